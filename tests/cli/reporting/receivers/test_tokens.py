"""The sources of receivers' tokens, and the message if one is missing."""

from typing import Any

import pytest

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.reports import Destination
from moonpalace_cli.reporting.receivers.table import receiver
from tests.cli.reporting.servers import TOKEN

TOKENS: tuple[tuple[str, dict[str, str], dict[str, str], str], ...] = (
    ("github", {"token": "given"}, {"GITHUB_TOKEN": "other"}, "given"),
    ("github", {"token": "env:MINE"}, {"MINE": "mine"}, "mine"),
    ("github", {}, {"GITHUB_TOKEN": "second", "GH_TOKEN": "first"}, "first"),
    ("github", {"url": "https://git.example/api/v3"}, {"GH_TOKEN": "x", "GH_ENTERPRISE_TOKEN": "own"}, "own"),
    ("gitlab", {}, {"GITLAB_TOKEN": "hers"}, "hers"),
    ("gitee", {}, {"GITEE_TOKEN": "his-own"}, "his-own"),
)


@pytest.mark.parametrize(("kind", "options", "environ", "expected"), TOKENS)
def test_tokens(kind: str, options: dict[str, str], environ: dict[str, str], expected: str) -> None:
    """A token comes from config.yaml, else from the site's variable; github.com's is sent to no other server."""
    result = receiver(Destination("d", kind, "o/r", options), environ)
    assert getattr(result, "token") == expected  # noqa: B009
    assert expected not in repr(result)


def test_the_token_of_gh(tmp_path: Any) -> None:
    """Without a variable, gh is asked for the host's token."""
    program = tmp_path / "gh"
    program.write_text('#!/bin/sh\n[ "$*" = "auth token --hostname github.com" ] && echo gho_1\n')
    program.chmod(0o700)
    result = receiver(Destination("d", "github", "o/r"), {"PATH": str(tmp_path)})
    assert getattr(result, "token") == "gho_1"  # noqa: B009
    with pytest.raises(SettingError, match="GH_ENTERPRISE_TOKEN or"):
        receiver(Destination("d", "github", "o/r", {"url": "https://git.example"}), {"PATH": str(tmp_path)})


@pytest.mark.parametrize(
    ("destination", "environ", "message"),
    [
        (
            Destination("d", "github", "o/r"),
            {"PATH": ""},
            "reports.d needs a token: set the variable GH_TOKEN or GITHUB_",
        ),
        (Destination("d", "slack", "env:U"), {}, r"reports\.d\.slack needs the variable U, which is not set"),
        (Destination("d", "slack", "env:U"), {"U": f"http://x/{TOKEN}"}, r"reports\.d\.slack must be an https:// URL"),
        (Destination("d", "feishu", "https://x/", {"secret": "env:S"}), {}, r"reports\.d\.secret needs the variable S"),
        (
            Destination("d", "gitlab", "g/p", {"url": "env:U"}),
            {"U": "http://x"},
            r"reports\.d\.url must be an https://",
        ),
        (Destination("d", "gitee", "o/r"), {"GITEE_TOKEN": f"a {TOKEN}"}, "variable GITEE_TOKEN must be ASCII"),
    ],
)
def test_what_is_missing(destination: Destination, environ: dict[str, str], message: str) -> None:
    """A missing secret is named by its variable, and none is quoted."""
    with pytest.raises(SettingError, match=message) as raised:
        receiver(destination, environ)
    assert TOKEN not in str(raised.value)
