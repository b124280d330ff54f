// What the pages do beyond links and forms: keys, new calls as they come, more rows while scrolling, copying, finding.
// HTML is never made from text: pages are fetched as documents, which run nothing, and their rows are moved over.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const page = document.body.dataset.page;

  function load(address) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("GET", address);
      request.responseType = "document";
      request.setRequestHeader("Accept", "text/html");
      request.onload = () => (request.status === 200 ? resolve(request.response) : reject(request.status));
      request.onerror = () => reject(0);
      request.send();
    });
  }

  function say(text) {
    $("said").textContent = text;
    setTimeout(() => { if ($("said").textContent === text) $("said").textContent = ""; }, 2500);
  }

  // Keys
  const go = (id) => { const link = $(id); if (link) link.click(); };
  const rows = () => [...document.querySelectorAll(".calls tbody tr")];
  const current = () => document.activeElement?.closest?.(".calls tbody tr");

  function move(step) {
    if (page === "call") return go(step > 0 ? "older" : "newer");
    const all = rows();
    const at = all.indexOf(current());
    const row = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step];
    row?.querySelector("a").focus({ preventScroll: true });
    row?.scrollIntoView({ block: "nearest" });
  }

  function label(category) {
    if (page === "call") return go(category);
    const row = current();
    if (!row) return;
    const id = row.id.slice("call-".length);
    const body = new URLSearchParams({ category: row.querySelector(`.tag.${category}`) ? "" : category });
    fetch(`/calls/${id}/labels`, { method: "POST", body, headers: { Accept: "application/json" } }).then((answer) => {
      if (answer.ok) refresh(); else say(`${answer.status}`);
    });
  }

  const keys = {
    j: () => move(1), k: () => move(-1), g: () => label("good"), b: () => label("bad"), u: () => go("up"), o: () => go("overview"),
    e: () => go("explain"),
    "/": () => { const filter = $("q") ?? $("find"); filter?.focus(); filter?.select(); },
    "?": () => $("keys").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, dialog[open]");
    if (event.key === "Escape" && typing) return event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-opens]");
    if (opener) $(opener.dataset.opens).showModal();
    const copier = event.target.closest("[data-copies]");
    if (copier) copy(copier);
    const row = event.target.closest(".calls tbody tr");
    if (row && !event.target.closest("a") && !getSelection().toString()) row.querySelector("a").click();
    for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  async function copy(button) {
    const answer = await fetch(button.dataset.copies, { headers: { Accept: "application/json" } });
    if (!answer.ok) return say((await answer.json()).error.message);
    await navigator.clipboard.writeText(await answer.text());
    say("✓");
  }
  for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;

  // The list: new and changed rows take their places, whatever was selected stays selected.
  const MIN_PAUSE = 250;
  let waiting = 0, missed = false, pause = MIN_PAUSE;

  function refresh() {
    if (waiting) { missed = true; return; }
    waiting = setTimeout(async () => {
      missed = false;
      const began = performance.now();
      try { merge(await load(location.pathname + location.search)); } catch (status) { if (status === 401) location.reload(); }
      // On a busy machine the list comes late, and is asked for rarely: calls come first.
      pause = Math.max(MIN_PAUSE, 9 * (performance.now() - began));
      waiting = 0;
      if (missed) refresh();
    }, pause);
  }

  function merge(fresh) {
    const there = document.querySelector(".calls tbody"), given = fresh.querySelector(".calls tbody");
    if (!there || !given) return there || given ? location.reload() : undefined;
    // The page of the address may have been scrolled far away: its rows belong to no page that is there.
    if (there.dataset.newer && there.dataset.newer !== given.dataset.newer) return;
    const known = new Map([...there.rows].map((row) => [row.id, row]));
    const focused = current()?.id;
    let before = there.firstElementChild;
    for (const row of [...given.rows]) {
      const old = known.get(row.id);
      if (old && old.outerHTML === row.outerHTML) {
        if (old === before) before = before.nextElementSibling; else there.insertBefore(old, before);
        continue;
      }
      if (old === before) before = before.nextElementSibling;
      old?.remove();
      there.insertBefore(document.adoptNode(row), before);
    }
    if (focused) $(focused)?.querySelector("a").focus({ preventScroll: true });
  }

  function follow() {
    const button = $("live"), word = button.querySelector("span");
    let events = null;
    const stop = () => { events?.close(); events = null; };
    const start = () => {
      if (events || document.hidden || button.getAttribute("aria-pressed") !== "true") return;
      events = new EventSource("/live");
      events.addEventListener("changed", () => { button.classList.remove("broken"); refresh(); });
      events.onerror = () => {
        button.classList.add("broken");
        if (events?.readyState === EventSource.CLOSED) { stop(); setTimeout(start, 2000); }
      };
    };
    button.hidden = false;
    button.addEventListener("click", () => {
      const on = button.getAttribute("aria-pressed") !== "true";
      button.setAttribute("aria-pressed", String(on));
      word.textContent = on ? word.dataset.on : word.dataset.off;
      if (on) start(); else stop();
    });
    // A page in the background needs no events, and browsers allow only six connections to a host.
    document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
    addEventListener("pagehide", stop);
    addEventListener("pageshow", start);
    start();
  }

  // Scrolling: pages of rows come as they are needed, and go when they are far away.
  const MOST = 12;

  function scroll() {
    const table = document.querySelector(".calls");
    const link = $("older");
    if (!table || !link || !("IntersectionObserver" in window)) return;
    let busy = false;
    const more = async (side) => {
      const bodies = [...table.tBodies], edge = side === "older" ? bodies.at(-1) : bodies[0];
      if (busy || !edge.dataset[side]) return;
      busy = true;
      try {
        const fresh = await load(edge.dataset[side]);
        const body = fresh.querySelector(".calls tbody");
        if (!body) { edge.dataset[side] = ""; return; }
        document.adoptNode(body);
        const height = document.documentElement.scrollHeight, top = scrollY;
        if (side === "older") table.append(body); else table.tHead.after(body);
        if (side === "newer") scrollTo(0, top + document.documentElement.scrollHeight - height);
        if (table.tBodies.length > MOST) {
          const far = side === "older" ? table.tBodies[0] : table.tBodies[table.tBodies.length - 1];
          const before = document.documentElement.scrollHeight;
          far.remove();
          if (side === "older") scrollTo(0, scrollY - (before - document.documentElement.scrollHeight));
        }
        link.href = [...table.tBodies].at(-1).dataset.older || link.href;
        link.hidden = !([...table.tBodies].at(-1).dataset.older);
      } finally { busy = false; }
    };
    const near = () => {
      if (innerHeight + scrollY > document.documentElement.scrollHeight - 900) more("older");
      if (scrollY < 600 && table.tBodies[0].dataset.newer) more("newer");
    };
    addEventListener("scroll", near, { passive: true });
    near();
  }

  // The filter: the caret stands at the mistake, and fields are offered while typing.
  function filter() {
    const input = $("q");
    const position = input.dataset.position;
    if (position === undefined) return;
    // Positions are counted in code points.
    const units = [...input.value].slice(0, Number(position)).join("").length;
    input.focus();
    input.setSelectionRange(units, Math.min(units + 1, input.value.length));
  }

  // Finding in a body: folded parts that have the text are opened.
  function find() {
    const input = $("find"), tree = $("tree"), found = $("found");
    if (!input || !tree || !CSS.highlights) return;
    input.hidden = false;
    let ranges = [], at = -1;
    const search = () => {
      const sought = input.value.toLowerCase();
      ranges = []; at = -1;
      const walker = document.createTreeWalker(tree, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); sought && node && ranges.length < 5000; node = walker.nextNode()) {
        const text = node.data.toLowerCase();
        for (let from = text.indexOf(sought); from >= 0; from = text.indexOf(sought, from + sought.length)) {
          const range = new Range();
          range.setStart(node, from);
          range.setEnd(node, Math.min(from + sought.length, node.length));
          ranges.push(range);
        }
      }
      CSS.highlights.set("found", new Highlight(...ranges));
      step(1);
    };
    const step = (by) => {
      found.value = input.value ? `0 / ${ranges.length}` : "";
      CSS.highlights.delete("current");
      if (!ranges.length) return;
      at = (at + by + ranges.length) % ranges.length;
      const range = ranges[at];
      for (let holder = range.startContainer.parentElement; holder && holder !== tree; holder = holder.parentElement) {
        if (holder.localName === "details") holder.open = true;
      }
      CSS.highlights.set("current", new Highlight(range));
      range.startContainer.parentElement.scrollIntoView({ block: "center" });
      found.value = `${at + 1} / ${ranges.length}`;
    };
    input.addEventListener("input", search);
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
    });
  }

  // An explanation that comes: its text grows, and at the end the page shows it as it is kept.
  function grow() {
    const section = $("explanation");
    if (section?.dataset.asking === undefined) return;
    section.querySelector(".link").hidden = true;
    const look = async () => {
      const answer = await fetch(location.pathname, { headers: { Accept: "application/json" } }).catch(() => null);
      if (answer?.status === 401) return location.reload();
      const known = answer?.ok ? await answer.json() : { state: "asking" };
      if (known.state !== "asking") {
        section.replaceWith(document.adoptNode((await load(location.pathname + location.search)).getElementById("explanation")));
        return say("✓");
      }
      if (known.text) $("coming").textContent = known.text;
      if (known.thought) $("thought").textContent = $("thought").dataset.words.replace("{count}", known.thought.toLocaleString());
      setTimeout(look, answer ? 500 : 3000);
    };
    look();
  }

  if (page === "list") { filter(); follow(); scroll(); }
  if (page === "overview") filter();
  if (page === "call") { find(); grow(); }
})();
