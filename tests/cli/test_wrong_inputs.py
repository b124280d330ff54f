"""Invalid input: one line names the mistake and the remedy."""

from pathlib import Path

import pytest

from tests.cli.conftest import Mpal, Store

WRONG = (
    # calls that there are not
    ("show 99", "no stored call has id 99", "mpal list shows the stored calls"),
    ("show nothing", "no stored call matches 'nothing'", "mpal list shows"),
    ("show chatcmpl-a", "'chatcmpl-a' matches the calls 2, 1", "write more of it"),
    ("show 5-3", "the range 5-3 is empty", "write 3-5"),
    ("show -3", "no option -3", "for the newest 3 write --last 3"),
    ("list -3", "no option -3", "for the newest 3 write -n 3"),
    ("cache why 99", "no stored call has id 99", "mpal list shows"),
    ("cache show nope", "there is no context cache 'nope'", "mpal cache list shows"),
    ("label 99 --good", "no stored call has id 99", "mpal list shows"),
    # commands and flags that there are not
    ("frobnicate", "no command 'frobnicate'", "see mpal --help"),
    ("insepct 1", "no command 'insepct'", "did you mean inspect?"),
    ("search x", "no command 'search'", "did you mean list --grep"),
    ("cache lsit", "no command 'lsit'", "did you mean list?"),
    ("config set", "no command 'set'", "there is init"),
    ("help nope", "no command 'nope'", "see mpal --help"),
    ("list --limit 3", "no option --limit", "did you mean --n?"),
    ("doctor --secret", "no option --secret", "did you mean --secrets?"),
    ("--databse x list", "no option --databse", "did you mean --database?"),
    # what a command does not take, or misses
    ("log 5", "mpal log takes no argument '5'", "mpal show 5 shows that call, -n 5 sets how many are listed"),
    ("cleanup all", "mpal cleanup takes no argument 'all'", "see mpal cleanup --help"),
    ("inspect", "at least one of the flags", "or an ID (mpal inspect 13)"),
    ("export", "at least one of the flags", "or an ID (mpal export 13)"),
    ("import", "Missing argument", "see mpal import --help"),
    ("completion tcsh", "no completion for tcsh", "only for bash, zsh, fish"),
    # values
    ("list -n ten", "'ten' must be a whole number", "0 or more"),
    ("list --columns modle", "there is no column 'modle'", "did you mean model?"),
    ("list --sort latncy", "there is no column 'latncy'", "did you mean latency?"),
    ("list --status bad", "'bad' is not a status", "write 429, 4xx or a state: in_flight"),
    ("list --since yesturday", "'yesturday' is not a time", "write -2h"),
    ("list --slow fast", "'fast' is not a duration", "write 5s, 300ms or 1m30s"),
    ("list --grep !!", "there is no word to search for", "see mpal list --help"),
    ("list --color red", "'red' is not one of", "'auto', 'always', 'never'"),
    ("list -o xml", "'xml' is not one of", "'table', 'json', 'jsonl', 'csv', 'yaml'"),
    ("inspect 1 --print body", "'body' is not one of", "request_body"),
    ("export 1 --format docx", "'docx' is not one of", "'json', 'jsonl', 'curl'"),
    ("cost --by user", "'user' is not one of", "'model', 'day', 'tag'"),
    ("cleanup --max-size big", "'big' must be a number of bytes", "(500MB, 2GB)"),
    ("cleanup --before soon", "'soon' is not a time", "write -2h"),
    # values that are empty, as those of variables that a shell does not know
    ("export 1 --directory ", "the path is empty", "is it a variable that is not set?"),
    ("export 1 -o ", "the path is empty", "is it a variable that is not set?"),
    ("list --export ", "the path is empty", "is it a variable that is not set?"),
    ("list --config ", "the path is empty", "is it a variable that is not set?"),
    ("list --model ", "it is empty", "name one, such as kimi-k3"),
    ("list --status ,", "it is empty", "name one, such as 429"),
    ("list --tag ", "it is empty", "name a tag"),
    ("list --columns ", "name at least one column", "see mpal list --help"),
    ("list --sort ", "there is no column ''", "mpal help columns shows all"),
    ("list --since ", "'' is not a time", "write -2h"),
    ("inspect 1 --print ", "name at least one of", "metadata"),
    ("label 1 --tag ", "'' is not a tag", "give one line of 1 to 100 characters"),
    ("show ", "no stored call matches ''", "mpal list shows"),
    # what people write who know other programs
    ("show 1,2", "no stored call matches '1,2'", "write 1 2"),
    ("list -n 1e3", "'1e3' must be a whole number", "0 or more"),
    ("list --since 2026-13-45", "'2026-13-45' is not a time", "write -2h"),
    ("cleanup --keep 5", "no option --keep", "did you mean --keep-last?"),
    ("cost --by model,day", "'model,day' is not one of", "'model', 'day'"),
    ("import /nowhere/case.json", "there is no file /nowhere/case.json", ""),
    ("report 1 --to tracker", "no destination is configured", "add one to"),
    # what does not go together
    ("export 1 --redact-pattern x", "--redact-pattern is for --redact", "see mpal export --help"),
    ("list --redact-pattern x", "--redact-pattern is for --redact", "see mpal list --help"),
    ("export 1 --force", "--force is for --directory", "is always overwritten"),
    ("list --count --stats", "--count and --stats", "exclude each other"),
    ("list --watch -o json", "--watch never ends", "use -o jsonl, not json"),
    ("export 1 --curl --report", "--format, --curl and --report", "exclude each other"),
    ("label 1 --good --bad", "--good and --bad", "exclude each other"),
    # files and databases
    ("list --database /nowhere/x.sqlite", "there is no database at /nowhere/x.sqlite", "run mpal start"),
    ("list --database {text}", "it is not an SQLite database", "give another with --database"),
    ("list --database mysql://x/y", "the database cannot be mysql", "calls are kept in SQLite (a path) or"),
    ("list --config {typo}", "line 2: start.prot is unknown", "the closest is port"),
    ("list --config {open}", "not YAML: expected ',' or ']'", "line 2, column 1"),
    ("export 1 --directory {text}", "cannot write into {text}", "it is a file, give a folder"),
    ("export 1 -o /nowhere/x.json", "cannot write /nowhere/x.json", "there is no folder /nowhere"),
    # settings of the proxy
    ("start --port 99999", "flag --port: '99999'", "from 0 to 65535"),
    ("start --endpoint kimi", "'kimi' must be a URL", "put http:// or https:// before it"),
    ("start --endpoint https://api.moonshot.cn/v1", "must not end in /v1", "set https://api.moonshot.cn"),
    ("start --upstream-proxy nothing", "'nothing' must be a URL", "(none means no proxy)"),
    ("start --redact-pattern (", "'(' is not a valid RE2 regular expression", "missing )"),
    ("start --host 0.0.0.0 --key sk-owner-key-1", "lets other machines use the key", "set a token"),
    ("start --log xml", "'xml' must be", "full, line or json"),
    ("start --workers 2 --web", "--workers and --web exclude each other", "mitmweb is one process"),
)


@pytest.mark.parametrize(("command", "mistake", "way_out"), WRONG, ids=[case[0] for case in WRONG])
def test_wrong_inputs(command: str, mistake: str, way_out: str, store: Store, tmp_path: Path, mpal: Mpal) -> None:
    """One line on standard error says what is wrong and what to do; nothing is printed, with a matching exit code."""
    for number in range(2):
        store.add(chatcmpl_id=f"chatcmpl-aa{number}")
    contents = {"text": "hello", "typo": "start:\n  prot: 1\n", "open": "start: [1\n"}
    files = {name: str(tmp_path / name) for name in contents}
    for name, text in contents.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    result = mpal(*command.format(**files).split(" "))
    assert (result.code in (1, 2), result.out, result.err.count("\n")) == (True, "", 1)
    assert mistake.format(**files) in result.err
    assert way_out in result.err


@pytest.mark.parametrize(
    ("predicate", "line"),
    [
        ("model =", "Error: predicate: syntax error at character 7; expected an operator"),
        ("modl == 'x'", "Error: predicate: there is no field modl; did you mean model?"),
    ],
)
def test_wrong_predicates(predicate: str, line: str, store: Store, mpal: Mpal) -> None:
    """Below the line, a predicate is repeated with a mark at the mistake."""
    result = mpal("list", "-p", predicate)
    assert result.err.startswith(line)
    assert [each.strip() for each in result.err.splitlines()[1:]] == [predicate, "^"]
