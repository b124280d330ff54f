"""The flag that chooses colours."""

from collections.abc import Sequence

import pytest

from moonpalace_cli.main import main
from tests.cli.conftest import Store


@pytest.mark.parametrize(
    ("arguments", "variables", "is_coloured"),
    [
        (["log"], {}, False),
        (["log", "--color", "always"], {}, True),
        (["--color", "always", "log"], {}, True),
        (["--color", "always", "log"], {"NO_COLOR": "1"}, True),
        (["--color", "always", "log", "--color", "never"], {}, False),
        (["--color", "never", "show"], {}, False),
        (["show", "--color=always"], {}, True),
        (["list", "--color=always"], {}, True),
        (["why", "--color=auto"], {}, False),
    ],
)
def test_colour(
    arguments: Sequence[str],
    variables: dict[str, str],
    is_coloured: bool,
    store: Store,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flag is known before and after the command, and takes precedence over NO_COLOR and a pipe."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store.add(status_code=429)
    assert main(arguments) == 0
    assert ("\x1b[" in capsys.readouterr().out) is is_coloured
