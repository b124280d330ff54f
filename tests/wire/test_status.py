"""Tests of naming status codes."""

import pytest

from moonpalace_addons.wire.status import status_line


@pytest.mark.parametrize(("code", "line"), [(200, "200 OK"), (404, "404 Not Found"), (529, "529"), (None, "")])
def test_status_line(code: int | None, line: str) -> None:
    """Codes have their names; an unknown code is shown alone, and a missing one is empty."""
    assert status_line(code) == line
