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
"""The flags of secrets, and of a URL without a scheme; importing the table of settings would cost as much as the check.
"""


def hide_secrets(arguments: Sequence[str]) -> None:
    """Replace all secrets among the arguments by `***` in the process list, whatever the command."""
    hidden = set(secrets(arguments)) - {""}
    if not hidden:
        return
    import setproctitle  # importing it costs some milliseconds

    title = masked = setproctitle.getproctitle()
    for secret in sorted(hidden, key=len, reverse=True):
        masked = masked.replace(secret, "***@" if secret.endswith("@") else "***")
    if masked != title:
        setproctitle.setproctitle(masked)


def secrets(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the secrets: values of secret flags, users and passwords of URLs, and text that looks like a key."""
    flag = ""
    for argument in arguments:
        name, _, value = argument.partition("=") if argument.startswith("--") else (flag, "", argument)
        if name in LONG or name in SHORT:
            yield value
        elif argument.startswith(SHORT) and not argument.startswith("--"):
            yield argument[2:].removeprefix("=")
        elif name == PROXY:
            yield from SITE_USER.findall(value)[:1] if "://" not in value else ()
        yield from (*USER.findall(argument), *PASSWORD.findall(argument))
        yield from formed(argument) if ROW.search(argument) else ()
        flag = argument


def formed(argument: str) -> Iterator[str]:
    """Yield the text in the form of a key."""
    from moonpalace_addons.wire.secrets import patterns

    return (argument[match.start : match.end] for match in patterns.find(argument))
