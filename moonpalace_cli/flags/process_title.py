"""Take secrets given as flags out of the process list, which every user of the machine can read."""

import re
from collections.abc import Iterator

from moonpalace_addons.settings import Settings

USER = re.compile(r"(?<=://)[^@]*@|^[^@/]*@")
"""What stands before the `@` of a URL: the user, and what may be a password."""
PASSWORD = re.compile(r"(?<=password=)[^&]+")
"""A password in the query of a URL, where PostgreSQL takes it too."""


def hide_secrets(settings: Settings) -> None:
    """Show `***` in the process list for whatever secrets among the settings stand there."""
    import setproctitle  # costs each command some milliseconds

    title = shown = setproctitle.getproctitle()
    for secret in secrets(settings):
        shown = shown.replace(secret, "***@" if secret.endswith("@") else "***")
    if shown != title:
        setproctitle.setproctitle(shown)


def secrets(settings: Settings) -> Iterator[str]:
    """Iterate over what must not show, in the spelling of the settings."""
    yield from (secret for secret in (settings.key, settings.token) if secret)
    for url in (settings.upstream_proxy or "", settings.database):
        # Not all of the URL: the rest of it may have been given in another spelling.
        yield from (*PASSWORD.findall(url), *USER.findall(url))
