"""Take secrets on the command line out of the process list, which every user of the machine can read."""

import re
from collections.abc import Iterator, Sequence

USER = re.compile(r"(?<=://).*@")
"""What stands before the `@` of a URL: the user, and what may be a password, which may have an `@` in it."""
SITE_USER = re.compile(r"[^@/]*@")
"""The same of a proxy that is given without its scheme."""
PASSWORD = re.compile(r"(?<=password=)[^&\s]+")
"""A password in the query of a URL, or in a connection string, where PostgreSQL takes it too."""

ROW = re.compile(r"[A-Za-z0-9_.-]{16}")
"""What all that looks like a key has: to look closer costs each command some milliseconds."""

LONG = ("--key", "--token")
SHORT = ("-k",)
PROXY = "--upstream-proxy"
"""The flags of secrets, and of a URL without a scheme; the table of settings has them too, and costs as much."""


def hide_secrets(arguments: Sequence[str]) -> None:
    """Show `***` in the process list for whatever secrets are among the arguments, of whichever command they are."""
    found = set(secrets(arguments)) - {""}
    if not found:
        return
    import setproctitle  # costs each command some milliseconds

    title = shown = setproctitle.getproctitle()
    for secret in sorted(found, key=len, reverse=True):
        shown = shown.replace(secret, "***@" if secret.endswith("@") else "***")
    if shown != title:
        setproctitle.setproctitle(shown)


def secrets(arguments: Sequence[str]) -> Iterator[str]:
    """Iterate over what must not show: values of secret flags, users and passwords of URLs, what looks like a key."""
    flag = ""
    for argument in arguments:
        name, _, given = argument.partition("=") if argument.startswith("--") else (flag, "", argument)
        if name in LONG or name in SHORT:
            yield given
        elif argument.startswith(SHORT) and not argument.startswith("--"):
            yield argument[2:].removeprefix("=")
        elif name == PROXY:
            yield from SITE_USER.findall(given)[:1] if "://" not in given else ()
        yield from (*USER.findall(argument), *PASSWORD.findall(argument))
        yield from formed(argument) if ROW.search(argument) else ()
        flag = argument


def formed(argument: str) -> Iterator[str]:
    """Iterate over what has the form of a key."""
    from moonpalace_addons.wire.secrets import patterns

    return (argument[found.start : found.end] for found in patterns.find(argument))
