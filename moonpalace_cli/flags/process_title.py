"""Hide command-line secrets from the process list, which every user of the machine can read."""

import re
from collections.abc import Iterator, Sequence

USER = re.compile(r"(?<=://).*@")
"""The part before the `@` of a URL: user and possibly password, which may contain an `@`."""
SITE_USER = re.compile(r"[^@/]*@")
"""The same for a proxy given without its scheme."""
PASSWORD = re.compile(r"(?<=password=)[^&\s]+")
"""A password in the query of a URL or in a connection string, which PostgreSQL accepts too."""

ROW = re.compile(r"[A-Za-z0-9_.-]{16}")
"""A pattern that everything like a key matches, because a full check costs each command some milliseconds."""

LONG = ("--key", "--token", "--web-password")
SHORT = ("-k",)
PROXY = "--upstream-proxy"
"""The flags of secrets, and of a URL without a scheme; importing the table of settings for them would cost as much."""


def hide_secrets(arguments: Sequence[str]) -> None:
    """Replace all secrets among the arguments by `***` in the process list, whatever the command."""
    found = set(secrets(arguments)) - {""}
    if not found:
        return
    import setproctitle  # importing it costs some milliseconds

    title = shown = setproctitle.getproctitle()
    for secret in sorted(found, key=len, reverse=True):
        shown = shown.replace(secret, "***@" if secret.endswith("@") else "***")
    if shown != title:
        setproctitle.setproctitle(shown)


def secrets(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the secrets: values of secret flags, users and passwords of URLs, and text that looks like a key."""
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
    """Yield the text in the form of a key."""
    from moonpalace_addons.wire.secrets import patterns

    return (argument[found.start : found.end] for found in patterns.find(argument))
