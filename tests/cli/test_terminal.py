"""Only printable text is written to a terminal, by any command, whatever clients and servers sent."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from moonpalace_addons.store.database.engine import writing
from moonpalace_addons.store.database.opening import open_store
from moonpalace_addons.store.records import exchanges, idempotency, labels
from moonpalace_addons.store.write import derive
from moonpalace_addons.wire.escaping import CONTROL, escaped
from moonpalace_cli.output import OURS, harmless
from tests.carried import carry

ROOT = Path(__file__).parents[2]
FOREIGN = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\u200fb\x7f\rc"
HOSTILE = f"{FOREIGN}\x1b[8m"
"""The same with a sequence like ours, which hides text."""
COMMANDS = [
    ("list",),
    ("list", "-v"),
    ("list", "--stats"),
    ("list", "--json"),
    ("list", "--columns", "id,error,model,tags,note"),
    ("log",),
    ("show",),
    ("why",),
    ("explain", "--last", "--dry-run"),
    ("cost",),
    ("cost", "--by", "tag"),
    ("list", "-o", "yaml"),
    ("list", "-o", "csv"),
    ("inspect", "--last"),
    ("inspect", "--last", "--json"),
    ("inspect", "--last", "--chat"),
    ("inspect", "--last", "--timeline"),
    ("inspect", "--last", "--print-request", "--print-response"),
    ("inspect", "--last", "--print", "metadata,error,request_body,response_body,request_header"),
    ("export", "--last", "--allow-secrets"),
    ("export", "--last", "--format", "curl"),
    ("export", "--last", "--format", "python"),
    ("export", "--last", "--format", "httpie"),
    ("export", "--last", "--format", "har"),
    ("export", "--last", "--report", "--no-redact"),
    ("cache", "list"),
    ("cache", "why", "--id", "1"),
    ("doctor",),
    ("doctor", "--json"),
    ("doctor", "--secrets"),
    ("label", "--id", "1", "--tag", HOSTILE.replace("\r", "")),
    ("predicate", f"model = '{HOSTILE}'"),
    ("list", "-p", f"nothing {HOSTILE}"),
    ("inspect", "--chatcmpl", HOSTILE),
    ("list", f"--{HOSTILE}"),
    (HOSTILE,),
    ("cache", "show", HOSTILE),
]
SCRIPT = """
import json, sys
from moonpalace_cli.main import main
for each in json.loads(sys.argv[1]):
    print("mpal", each[0][:9].split(chr(27))[0], flush=True)
    main(each)
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the home of a store with a hostile call."""
    engine = open_store(f"sqlite:///{tmp_path / 'moonpalace.sqlite'}", create=True)
    texts = dict.fromkeys(
        ("path", "query", "client_request_id", "chatcmpl_id", "model_requested", "model_answered", "finish_reason"),
        HOSTILE,
    )
    texts |= dict.fromkeys(("error_kind", "error_message", "msh_request_id", "msh_uid", "cache_outcome"), HOSTILE)
    header = f"X-Odd: {HOSTILE}\r\n".replace("\rc", "c")
    message = {"role": "user", "content": HOSTILE}
    body = json.dumps({"model": HOSTILE, "messages": [message]}, ensure_ascii=False).encode()
    chunk = {"choices": [{"index": 0, "delta": {"content": HOSTILE}}], HOSTILE: HOSTILE}
    events = f"event: {HOSTILE[:4]}\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()
    columns = (
        derive.EMPTY | texts | {"uuid": "u", "run_id": "r", "state": "completed", "started_at": 1, "method": "POST"}
    )
    columns |= {"endpoint": "http://x", "request_headers": header, "response_headers": header, "overhead": 0}
    columns |= {
        "is_stream": True,
        "is_coerced": False,
        "request_bytes": len(body),
        "status_code": 200,
        "latency": 10**9,
    }
    columns |= {"cost": 1.0, "cost_currency": HOSTILE}
    columns |= {"warnings": json.dumps([HOSTILE], ensure_ascii=False), "total_tokens": 3, "time_to_first_token": 10**8}
    with writing(engine) as connection:
        idempotency.ensure_run(connection, {"id": "r", "host": HOSTILE, "pid": 1, "version": HOSTILE})
        (call,) = exchanges.insert_exchanges(connection, [columns]).values()
        carry(connection, call, request=body, response=events, stream=events, chunks=[(len(events), 1)])
    labels.change(engine, [call], labels.Change(note=HOSTILE, tag=("odd",)))
    engine.dispose()
    return tmp_path


def on_a_terminal(home: Path, commands: list[tuple[str, ...]]) -> str:
    """Return both outputs of commands on a terminal."""
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "MOONPALACE_HOME": str(home), "PAGER": "cat"}
    environment |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'addons'}", "LANG": "C.UTF-8", "TERM": "xterm"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(commands)]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT)
    os.close(theirs)
    got = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody has the other end open any more
            break
        if not piece:
            break
        got += piece
    os.close(ours)
    assert process.wait(60) == 0
    return got.decode()


def test_nothing_but_printable_text_reaches_a_terminal(home: Path) -> None:
    """Stored text, arguments, and JSON are escaped; the only sequences are colours."""
    shown = on_a_terminal(home, COMMANDS)
    assert shown.count("mpal ") >= len(COMMANDS)
    assert "Traceback" not in shown
    assert "\\u009b" in shown
    assert "\\u202e" in shown
    plain = OURS.sub("", shown.replace("\r\n", "\n"))
    assert CONTROL.findall(plain) == [], [plain[match.start() - 60 : match.end()] for match in CONTROL.finditer(plain)][
        :3
    ]
    assert re.findall(r"\x1b[^\[]|\x1b\[[0-9;]*[A-JL-Zln-z]", shown) == []
    assert re.findall(r"\x1b\[8m|\r(?!\n)", shown) == []  # what only looks like a sequence of ours


@pytest.mark.parametrize("text", ["plain", "中文 🚀\n", "\x1b[1mbold\x1b[0m", "a\rb", "\x1b[?25l"])
def test_what_is_ours_stays(text: str) -> None:
    """Text of all scripts, line ends and colours pass."""
    assert harmless(text) == text


@pytest.mark.parametrize("text", [FOREIGN, "\U000e0041", "\ud800", "\u200d", "\x85"])
def test_escapes_are_those_of_json(text: str) -> None:
    """An escaped JSON string has the same value."""
    assert json.loads(f'"{escaped(text)}"') == text
    assert CONTROL.search(harmless(text.replace("\r", ""))) is None
