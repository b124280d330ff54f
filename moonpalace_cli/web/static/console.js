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
    "[": () => go("previous-turn"), "]": () => go("next-turn"),
    c: () => (page === "call" ? go("compare") : current()?.querySelector(".mark input").click()),
    "/": () => { const filter = $("q") ?? $("find"); filter?.focus(); filter?.select(); },
    "?": () => $("keys").showModal(),
  };

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog[open]");
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
    if (row && !event.target.closest("a, .mark") && !getSelection().toString()) row.querySelector("a").click();
    for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  async function copy(button) {
    const answer = await fetch(button.dataset.copies, { headers: { Accept: "application/json" } });
    if (!answer.ok) return say((await answer.json()).error.message);
    await navigator.clipboard.writeText(await answer.text());
    say("✓");
  }
  for (const button of document.querySelectorAll("[data-copies]")) button.hidden = false;

  // A download says beside its button what was replaced in the file.
  async function download(event) {
    event.preventDefault();
    const form = event.target, said = $("redaction");
    const answer = await fetch(`${form.action}?${new URLSearchParams(new FormData(form))}`, { headers: { Accept: "application/json" } });
    if (!answer.ok) { said.textContent = (await answer.json()).error.message; return; }
    const lines = JSON.parse(answer.headers.get("MoonPalace-Redaction") ?? "null");
    said.textContent = lines === null ? "" : lines.join("\n") || said.dataset.nothing;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = /filename="([^"]*)"/.exec(answer.headers.get("Content-Disposition"))[1];
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
  $("export")?.addEventListener("submit", download);

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
      mark(row);
    }
    if (focused) $(focused)?.querySelector("a").focus({ preventScroll: true });
  }

  // Two calls are marked to be compared; marks outlive the rows that scroll away.
  let marked = [];
  const mark = (body) => {
    for (const box of body.querySelectorAll(".mark input")) box.checked = marked.includes(box.value);
  };

  function compare() {
    const form = $("compare"), button = form?.querySelector("button");
    if (!form) return;
    const show = () => {
      form.hidden = !marked.length;
      button.disabled = marked.length !== 2;
      button.textContent = [button.dataset.name ??= button.textContent, ...marked.map((id) => `#${id}`)].join(" ");
      mark(document);
    };
    document.addEventListener("change", (event) => {
      const box = event.target.closest?.(".mark input");
      if (!box) return;
      marked = marked.filter((id) => id !== box.value);
      if (box.checked) marked = [...marked, box.value].slice(-2);
      show();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const query = form.elements.q.value;
      location.assign(`/compare?${new URLSearchParams([...marked.map((id) => ["call", id]), ...(query ? [["q", query]] : [])])}`);
    });
    // A browser that comes back to the page restores its boxes.
    marked = [...document.querySelectorAll(".mark input:checked")].slice(-2).map((box) => box.value);
    show();
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
        mark(body);
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

  // The filter: the caret stands at the mistake.
  function filter() {
    const input = $("q");
    const position = input.dataset.position;
    if (position === undefined) return;
    // Positions are counted in code points.
    const units = [...input.value].slice(0, Number(position)).join("").length;
    input.focus();
    input.setSelectionRange(units, Math.min(units + 1, input.value.length));
  }

  // Completion: the server knows the grammar and the calls, the list box is that of the ARIA combobox pattern.
  function complete() {
    const input = $("q"), list = document.createElement("ul");
    let found = { offers: [] }, active = -1, waiting = 0, asked = 0, pending = null;
    list.id = "offers";
    list.className = "offers";
    list.hidden = true;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", input.dataset.offers);
    input.closest("form").append(list);
    const attributes = { role: "combobox", "aria-autocomplete": "list", "aria-controls": "offers", "aria-expanded": "false" };
    for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
    const points = (units) => [...input.value.slice(0, units)].length;
    const units = (place) => [...input.value].slice(0, place).join("").length;

    const choose = (place) => {
      active = place;
      [...list.children].forEach((option, at) => option.setAttribute("aria-selected", String(at === place)));
      const option = list.children[place];
      if (option) input.setAttribute("aria-activedescendant", option.id); else input.removeAttribute("aria-activedescendant");
      option?.scrollIntoView({ block: "nearest" });
    };
    const show = (offers) => {
      list.replaceChildren(...offers.map((offer, at) => {
        const option = document.createElement("li"), meaning = document.createElement("small");
        option.id = `offer-${at}`;
        option.setAttribute("role", "option");
        meaning.textContent = offer.meaning;
        option.append(offer.text.trim(), meaning);
        return option;
      }));
      list.hidden = !offers.length;
      input.setAttribute("aria-expanded", String(offers.length > 0));
      choose(-1);
    };
    const wait = () => { clearTimeout(waiting); waiting = 0; };
    const close = () => { asked++; wait(); show([]); };
    const fetched = async () => {
      const turn = ++asked, query = new URLSearchParams({ q: input.value, at: points(input.selectionStart) });
      const answer = await fetch(`/complete?${query}`).catch(() => null);
      const fresh = answer?.ok ? await answer.json() : { offers: [] };
      if (turn !== asked) return;
      found = fresh;
      show(found.offers);
    };
    const ask = () => (pending = fetched());
    const step = async (by) => {
      // The offers are those for what stands there now.
      if (waiting || !list.children.length) { wait(); ask(); }
      await pending;
      const count = list.children.length, next = active + by;
      choose(next < -1 ? count - 1 : next >= count ? -1 : next);
    };
    const take = (place) => {
      const text = found.offers[place].text, from = units(found.from), to = units(found.to);
      input.setRangeText(text, from, to, "end");
      choose(-1);
      ask();
    };

    input.addEventListener("input", () => {
      choose(-1);
      wait();
      waiting = setTimeout(() => { waiting = 0; ask(); }, 100);
    });
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (event.isComposing || event.altKey || event.ctrlKey || event.metaKey) return;
      if (by) step(by);
      else if ((event.key === "Enter" || event.key === "Tab") && active >= 0 && !event.shiftKey) take(active);
      else if (event.key === "Escape" && !list.hidden) { close(); event.stopPropagation(); }
      else return;
      event.preventDefault();
    });
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", (event) => {
      const option = event.target.closest("li");
      if (option) take([...list.children].indexOf(option));
    });
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
      const answer = await fetch(location.pathname + location.search, { headers: { Accept: "application/json" } }).catch(() => null);
      if (answer?.status === 401) return location.reload();
      if (answer && !answer.ok) return say(`${answer.status} ${answer.statusText}`);
      const known = answer ? await answer.json() : { state: "asking" };
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

  if (page === "list") { filter(); complete(); follow(); scroll(); compare(); }
  if (page === "overview") { filter(); complete(); }
  if (page === "call") { find(); grow(); }
  if (page === "explain") grow();
})();
