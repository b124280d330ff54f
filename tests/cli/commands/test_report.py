"""`mpal report`: its output, questions, sending and list."""

import json
import re
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Mpal, Store
from tests.cli.reporting.conftest import call, config, hook, tracker  # noqa: F401 - fixtures
from tests.cli.reporting.servers import TOKEN, Reply, Site

# ruff: noqa: F811 - the fixtures


def test_it_is_shown_before_it_goes(mpal: Mpal, call: int, tracker: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The redacted text is printed, and sent if the user says yes; without a terminal it is an error."""
    shown = mpal("report", str(call), "--to", "tracker", "--dry-run")
    assert shown.code == 0
    assert shown.out.startswith("# Call: kimi-k3: 429 Too Many Requests, too many\n\n## Call\n")
    assert "email-" in shown.out
    assert "me@example.com" not in shown.out
    assert shown.err == "1 report would go to tracker: an issue in o/r on GitHub\n"
    nobody = mpal("report", str(call), "--to", "tracker")
    assert (nobody.code, tracker.asked) == (1, [])
    assert "--yes sends without asking" in nobody.err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, sent in (("n", 0), ("y", 1)):
        monkeypatch.setattr("click.confirm", lambda *_, answer=answer, **__: answer == "y")
        assert mpal("report", str(call), "--to", "tracker").code == 0
        assert len(tracker.arrived) == sent


def test_nothing_is_recorded_that_is_not_sent(mpal: Mpal, call: int) -> None:
    """A report that was only shown is not recorded."""
    mpal("report", str(call), "--to", "tracker", "--dry-run")
    assert mpal("report", "--list").out == "no report was sent yet\n"


def test_it_is_sent_once(mpal: Mpal, call: int, tracker: Site) -> None:
    """The second time it says where the report is; --again sends another."""
    first = mpal("report", str(call), "--to", "tracker", "--yes")
    second = mpal("report", str(call), "--to", "tracker", "--yes")
    assert (first.code, second.code, len(tracker.arrived)) == (0, 0, 1)
    assert first.out == second.out
    assert first.out.endswith(f": {tracker.url}/o/r/issues/1\n")
    (reported_line,) = [line for line in mpal("show", str(call)).out.splitlines() if line.startswith("reported")]
    assert re.fullmatch(rf"reported  sent to tracker at [0-9 :-]{{19}}: {tracker.url}/o/r/issues/1", reported_line)
    (known,) = json.loads(mpal("inspect", str(call), "--json").out)["reports"]
    assert (known["to"], known["state"], known["address"]) == ("tracker", "sent", f"{tracker.url}/o/r/issues/1")
    assert mpal("report", str(call), "--to", "tracker", "--yes", "--again").code == 0
    assert len(tracker.arrived) == 2


def test_the_list(mpal: Mpal, call: int, tracker: Site, hook: Site) -> None:
    """It has every report with its state and its address, or the reason."""
    mpal("report", str(call), "--to", "tracker", "--yes")
    hook.replies.append(Reply(422, {"message": f"no {TOKEN}"}))
    refused = mpal("report", str(call), "--to", "hook", "--yes")
    assert refused.code == 1
    assert f"call {call} is not sent: 127.0.0.1 answers 422: no ***" in refused.err
    records = [json.loads(line) for line in mpal("report", "--list", "--json").out.splitlines()]
    assert [(each["to"], each["state"], each["address"]) for each in records] == [
        ("tracker", "sent", f"{tracker.url}/o/r/issues/1"),
        ("hook", "refused", "127.0.0.1 answers 422: no ***"),
    ]
    assert "| tracker" in mpal("report", "--list").out
    assert TOKEN not in mpal("report", "--list").out
    assert mpal("report", "--retry", "2", "--yes").code == 0
    assert len(hook.arrived) == 1
    assert "was sent to hook" in mpal("report", "--retry", "2", "--yes").err


def test_many(mpal: Mpal, store: Store, call: int, tracker: Site) -> None:
    """Each call has its own report; a failing one does not stop the others."""
    store.add(status_code=500)
    tracker.replies.append(Reply(429, {}, {"Retry-After": "60"}))
    done = mpal("report", "--failed", "--to", "tracker", "--yes")
    assert (done.code, len(tracker.arrived)) == (1, 1)
    assert f"call {call} is not sent: 127.0.0.1 answers 429; try again later" in done.err
    assert "Error: 1 of 2 reports are not known to have arrived" in done.err
    assert "due" not in mpal("doctor").out  # nobody sends it by himself


def test_secrets_stay(mpal: Mpal, call: int, tracker: Site) -> None:
    """Without redaction a call with a key is not sent, unless that is allowed, too."""
    refused = mpal("report", str(call), "--to", "tracker", "--yes", "--no-redact")
    assert (refused.code, tracker.asked) == (1, [])
    assert "seems to contain a secret" in refused.err
    assert mpal("report", str(call), "--to", "tracker", "--yes", "--no-redact", "--allow-secrets").code == 0
    assert "me@example.com" in tracker.arrived[0]["body"]


def test_a_folder(mpal: Mpal, call: int, tmp_path: Path) -> None:
    """The report and the call's JSON are private files."""
    done = mpal("report", str(call), "--to", "disk", "--yes")
    file = Path(done.out.split(": ", 1)[1].strip())
    assert file.parent == tmp_path / "reports"
    assert file.read_text().startswith("# Call: kimi-k3")
    assert json.loads(file.with_suffix(".json").read_text())["metadata"]["moonpalace_id"] == str(call)
    assert {each.stat().st_mode & 0o777 for each in (file, file.with_suffix(".json"))} == {0o600}


def test_rules(mpal: Mpal, store: Store, call: int, tracker: Site) -> None:
    """The reports that rules would have sent are shown; run once, they send those due."""
    planned = mpal("report", "--rules", "--dry-run", "--since", "-36500d", "--json")
    (one,) = (json.loads(line) for line in planned.out.splitlines())
    assert (one["rule"], one["to"], one["calls"], one["kinds"], one["call"]) == ("errors", "tracker", 1, 1, call)
    assert mpal("report", "--rules", "--dry-run", "--since", "-1h").out == "the rules would have sent nothing\n"
    assert mpal("report", "--rules").out == "the rules have nothing to send\n"
    store.add(status_code=500)
    assert mpal("report", "--rules").out == f"report 1 of rule errors is sent: {tracker.url}/o/r/issues/1\n"


def test_config_shows_no_secret(mpal: Mpal, config: Path) -> None:
    """`mpal config` shows destinations and rules, without tokens and paths of webhooks."""
    with config.open("a") as file:
        file.write("")
    shown = mpal("config", "--json")
    rows = {row["setting"]: row["value"] for row in map(json.loads, shown.out.splitlines())}
    assert rows["reports.tracker"] == "an issue in o/r on GitHub, token ***"
    assert rows["reports.hook"] == "a webhook at env:HOOK"
    assert rows["rules.errors"] == "status_code >= 400 => tracker, at most 5 in 24 hours, similar calls of 0 s together"
    assert TOKEN not in shown.out


def test_doctor_says_what_waits(mpal: Mpal, call: int, hook: Site) -> None:
    """Waiting reports are counted; doubtful and refused ones are problems with advice."""
    hook.replies.append(Reply(broken=True))
    mpal("report", str(call), "--to", "hook", "--yes")
    printed = mpal("doctor")
    assert printed.code == 1
    assert "reports       1 in doubt\n" in printed.out
    assert "report 1 to hook may have arrived, or not: 127.0.0.1 was sent the request" in printed.out
    assert "mpal report --retry 1" in printed.out
    assert json.loads(mpal("doctor", "--json").out)["reports"] == {"in_doubt": 1}


MISTAKES = [
    (("report", "1"), "which destination: give --to with one of tracker, hook, disk"),
    (("report", "1", "--to", "x"), "there is no destination 'x': give --to with one of tracker, hook, disk"),
    (("report", "--list", "--rules"), "--rules, --list and --retry exclude each other"),
    (("report", "--retry", "7"), "there is no report 7; mpal report --list shows all"),
    (("report", "99", "--to", "disk"), "99"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes(mpal: Mpal, call: int, arguments: tuple[str, ...], message: str) -> None:
    """Each is one line."""
    done = mpal(*arguments)
    assert done.code in (1, 2)
    assert message in done.err
    assert done.err.count("\n") == 1


def test_without_a_destination(mpal: Mpal, store: Store) -> None:
    """The message shows what to write, and where."""
    store.add()
    done = mpal("report")
    assert done.code == 1
    assert "config.yaml, such as reports: {tracker: {github: owner/name}}" in done.err
    assert "no rule is configured" in mpal("report", "--rules").err
