"""Any combination of options of `mpal export` and `mpal label` gives a result or one line."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from moonpalace_cli.export.formats import FORMATS
from tests.cli.conftest import Mpal, Store

TEXT = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["1", "2", "9" * 30, "-1", "", "a,b", "(", "\x00"]
)
CHOICES = (*FORMATS, "xml")
SELECTING = st.sampled_from([("--id", "1"), ("--id", "2"), ("--all",), ("--last",), ("--last", "2")]) | st.tuples(
    st.sampled_from(["--id", "--chatcmpl", "--requestid", "--last", "-p"]), TEXT
)
LABELLING = st.sampled_from([("--good",), ("--bad",)]) | st.tuples(st.just("--tag"), TEXT)
EXPORTING = st.sampled_from(
    [
        ("--redact",),
        ("--no-redact",),
        ("--allow-secrets",),
        ("--report",),
        ("--curl",),
        ("--escape-html",),
        ("--force",),
    ]
) | st.tuples(st.just("--format"), st.sampled_from(CHOICES))
PATTERNS = st.tuples(st.just("--redact-pattern"), TEXT)
LABEL_ONLY = st.sampled_from([("--clear",), ("--json",)]) | st.tuples(st.sampled_from(["--untag", "--note"]), TEXT)


def arguments(*options: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[list[str]]:
    """Return combinations of options, at least one of the first kind among them."""
    some = st.tuples(st.lists(options[0], min_size=1, max_size=2), st.lists(st.one_of(*options), max_size=4))
    return some.map(lambda pair: [word for option in (*pair[0], *pair[1]) for word in option])


COMMANDS = st.tuples(st.just("export"), arguments(SELECTING, LABELLING, EXPORTING, PATTERNS)) | st.tuples(
    st.just("label"), arguments(SELECTING, LABELLING, LABEL_ONLY)
)


@given(COMMANDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_options(store: Store, mpal: Mpal, command: tuple[str, list[str]]) -> None:
    """There is a result, or one line that begins with `Error: ` and is not a bug of ours."""
    from moonpalace_addons.store.records import exchanges

    if not exchanges.find(store.engine, id=1):
        store.add(id=1, request=b'{"messages": [{"content": "a@b.example"}]}', response=b"{}")
        store.add(id=2, request=b"\xff", response=None, events=b"data: {\n\n", is_stream=True)
    result = mpal(command[0], *command[1])
    assert result.code in (0, 1, 2)
    lines = result.err.splitlines()
    assert [line for line in lines if "unexpected" in line or "Traceback" in line] == []
    if result.code:
        assert [line for line in lines if line.startswith("Error: ")] != []
    else:
        assert result.out
