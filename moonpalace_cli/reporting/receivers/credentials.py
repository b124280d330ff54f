"""Tokens for issue trackers: from config.yaml, the environment, or GitHub's own program `gh`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.reports import resolved

if TYPE_CHECKING:
    from moonpalace_addons.settings.reports import Destination

PUBLIC = {"github": "https://api.github.com", "gitlab": "https://gitlab.com", "gitee": "https://gitee.com/api/v5"}
"""The default URLs of the sites."""
VARIABLES = {
    "github": ("GH_TOKEN", "GITHUB_TOKEN"),
    "gitlab": ("GITLAB_TOKEN",),
    "gitee": ("GITEE_TOKEN",),
}
ENTERPRISE = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")
"""The variables for a server other than github.com, as in gh: no token is used for both."""
GH_TIMEOUT = 10.0


def token(destination: Destination, url: str, environ: Mapping[str, str]) -> str:
    """Return the token for a site; raise SettingError if there is none."""
    where = f"reports.{destination.name}"
    if configured := destination.options.get("token"):
        return usable(resolved(configured, environ, f"{where}.token"), f"{where}.token")
    is_enterprise = destination.kind == "github" and url != PUBLIC["github"]
    names = ENTERPRISE if is_enterprise else VARIABLES[destination.kind]
    for name in names:
        if environ.get(name):
            return usable(environ[name], f"variable {name}")
    if destination.kind == "github" and (stored := of_gh(urlsplit(url).hostname or "", environ)):
        return usable(stored, "the token of gh")
    also = ", or log in with gh auth login" if destination.kind == "github" else ""
    raise SettingError(f"{where} needs a token: set the variable {' or '.join(names)}, or token in config.yaml{also}")


def of_gh(host: str, environ: Mapping[str, str]) -> str | None:
    """Return the token that gh has stored for a host."""
    program = shutil.which("gh", path=environ.get("PATH"))
    if program is None:
        return None
    command = [program, "auth", "token", "--hostname", "github.com" if host == "api.github.com" else host]
    try:
        run = subprocess.run(  # noqa: S603 - the host is from config.yaml
            command, capture_output=True, text=True, timeout=GH_TIMEOUT, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip() or None if run.returncode == 0 else None


def usable(text: str, where: str) -> str:
    """Return a token that a header can contain; raise SettingError, without quoting it, for any other."""
    try:
        return kinds.SECRET.parse(text)
    except ValueError:
        raise SettingError(f"{where} must be {kinds.SECRET.allowed}") from None
