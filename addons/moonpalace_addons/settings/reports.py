"""Read from config.yaml where reports of calls go, and the rules that send them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.endpoints import is_name
from moonpalace_addons.settings.entries import Entry

REPORTS = "names with destinations, such as tracker: {github: owner/name}"
RULES = "names with rules, such as errors: {when: status_code >= 500, to: tracker}"
RULE = "when (a predicate), to (a name under reports), limit and delay"
RULE_MEMBERS = ("when", "to", "limit", "delay")
LIMIT = 5
"""Reports that a rule sends in 24 hours, where it does not say."""
DELAY = 600
"""Seconds for which a rule gathers similar calls, where it does not say."""
COMMON = ("redact",)
FROM_ENVIRONMENT = "env:"

_VARIABLE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*")
_ADDRESS = r"[!#$%&'*+/=?^_`{|}~0-9A-Za-z.-]{1,64}@[0-9A-Za-z.-]{1,255}"
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_PROJECT = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+|[0-9]+")
_SERVER = re.compile(r"[0-9A-Za-z._-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_DURATION = re.compile(r"([0-9]{1,6})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of destination: the form of its value, what that must be, and its further members.

    `secrets` are the members that nobody else may read; `is_secret` says that the value itself is such.
    """

    form: re.Pattern[str]
    allowed: str
    members: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    is_secret: bool = False


_ISSUE = ("token", "labels", "url")
_WEBHOOK = re.compile(r"https?://[!-~]+")
_ITS_URL = "the URL of the webhook, or env: and a variable"
KINDS: Mapping[str, Kind] = {
    "github": Kind(_REPOSITORY, "a repository, as owner/name", _ISSUE, ("token",)),
    "gitlab": Kind(_PROJECT, "a project, as group/name", _ISSUE, ("token",)),
    "gitee": Kind(_REPOSITORY, "a repository, as owner/name", _ISSUE, ("token",)),
    "mail": Kind(
        re.compile(rf"{_ADDRESS}( *, *{_ADDRESS})*"),
        "one or more e-mail addresses, separated by commas",
        ("from", "server", "user", "password"),
        ("password",),
    ),
    "webhook": Kind(_WEBHOOK, _ITS_URL, ("token",), ("token",), is_secret=True),
    "slack": Kind(_WEBHOOK, _ITS_URL, is_secret=True),
    "feishu": Kind(_WEBHOOK, _ITS_URL, ("secret",), ("secret",), is_secret=True),
    "dingtalk": Kind(_WEBHOOK, _ITS_URL, ("secret",), ("secret",), is_secret=True),
    "folder": Kind(re.compile(r"[^\x00-\x1f]+"), "the path of a folder"),
}
"""The kinds of destinations, by the member of config.yaml that says where reports go."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where reports go; `target` and the values of `options` may be secrets, or name variables that hold them."""

    name: str
    kind: str
    target: str = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)
    is_redacted: bool = True

    @property
    def has_secret(self) -> bool:
        """Tell whether a secret stands in the file itself."""
        kind = KINDS[self.kind]
        values = [*([self.target] if kind.is_secret else []), *(self.options.get(name, "") for name in kind.secrets)]
        return any(value and not value.startswith(FROM_ENVIRONMENT) for value in values)


@dataclass(frozen=True, slots=True)
class ReportRule:
    """Calls for which the predicate `when` holds are reported to the destination `to`.

    Similar calls within `delay` seconds share a report; at most `limit` reports are sent in 24 hours.
    """

    name: str
    when: str
    to: str
    limit: int = LIMIT
    delay: int = DELAY


def read_reports(entry: Entry) -> tuple[Destination, ...]:
    """Return the destinations in a mapping of names; raise SettingError."""
    return tuple(destination(name, given) for name, given in entry.mapping(REPORTS).items())


def destination(name: str, entry: Entry) -> Destination:
    """Return one destination."""
    if not is_name(name):
        entry.fail("is not a name for a destination: use letters, digits, dots, - and _")
    every = {member for kind in KINDS.values() for member in kind.members}
    members = entry.mapping(f"a mapping with one of {', '.join(KINDS)}", (*KINDS, *every, *COMMON))
    found = [kind for kind in KINDS if kind in members]
    if len(found) != 1:
        entry.fail(f"must have one of {', '.join(KINDS)}" + (f", not {' and '.join(found)}" if found else ""))
    kind = KINDS[found[0]]
    for member in members.keys() - {found[0], *kind.members, *COMMON}:
        members[member].fail(f"does not belong to {found[0]}, which has {', '.join((*kind.members, *COMMON))}")
    options = {member: option(member, members[member]) for member in kind.members if member in members}
    if found[0] == "mail":
        check_mail(entry, options)
    given = members.get("redact")
    is_redacted = given is None or checked(given, kinds.FLAG.parse, kinds.FLAG.allowed)
    return Destination(name, found[0], target(found[0], members[found[0]]), options, is_redacted)


def target(kind: str, entry: Entry) -> str:
    """Return where the reports go."""
    known = KINDS[kind]
    text = entry.scalar(known.allowed)
    if known.is_secret and _VARIABLE.fullmatch(text):
        return text
    if not known.form.fullmatch(text):
        entry.fail(f"must be {known.allowed}")
    if known.is_secret and not is_private(text):
        entry.fail("must be an https:// URL; http:// is for this machine only")
    return text


def is_private(url: str) -> bool:
    """Tell whether data sent to a URL cannot be read on its way."""
    try:
        parts = kinds.parse_url(url, "https")
    except ValueError:
        return False
    return parts.scheme == "https" or kinds.is_loopback(parts.host)


def option(name: str, entry: Entry) -> str:
    """Return a further member of a destination; no error quotes it."""
    text = entry.scalar(f"the {name}, as text")
    if _VARIABLE.fullmatch(text):
        return text
    if name == "url":
        url = checked(entry, kinds.ENDPOINT.parse, "the URL of the server")
        if not is_private(url):
            entry.fail("must be an https:// URL; http:// is for this machine only")
        return url
    if name == "server" and not _SERVER.fullmatch(text):
        entry.fail("must be a host and a port, such as smtp.example.com:587")
    if name == "from" and not re.fullmatch(_ADDRESS, text):
        entry.fail("must be an e-mail address")
    if name == "token":
        return checked(entry, kinds.SECRET.parse, kinds.SECRET.allowed)
    return text


def check_mail(entry: Entry, options: Mapping[str, str]) -> None:
    """Raise SettingError if e-mail could not be sent with these options."""
    for name, what in (("server", "the SMTP server, with its port"), ("from", "the sender's address")):
        if name not in options:
            entry.fail(f"must have {name}: {what}")
    if ("user" in options) != ("password" in options):
        entry.fail("must have both user and password, or neither")


def read_rules(entry: Entry, destinations: tuple[Destination, ...]) -> tuple[ReportRule, ...]:
    """Return the rules in a mapping of names; raise SettingError."""
    return tuple(rule(name, given, destinations) for name, given in entry.mapping(RULES).items())


def rule(name: str, entry: Entry, destinations: tuple[Destination, ...]) -> ReportRule:
    """Return one rule."""
    if not is_name(name):
        entry.fail("is not a name for a rule: use letters, digits, dots, - and _")
    members = entry.mapping(RULE, RULE_MEMBERS)
    for needed, what in (("when", "the predicate that chooses calls"), ("to", "the name of a destination")):
        if needed not in members:
            entry.fail(f"must have {needed}: {what}")
    to, known = members["to"].scalar("the name of a destination"), [each.name for each in destinations]
    if to not in known:
        members["to"].fail(f"must be the name of a destination under reports: {', '.join(known) or 'there is none'}")
    when = members["when"].scalar("a predicate, as for mpal list --predicate")
    limit = checked(members["limit"], whole, "a whole number from 1 to 1000") if "limit" in members else LIMIT
    delay = checked(members["delay"], duration, "a time such as 30s, 10m or 2h") if "delay" in members else DELAY
    return ReportRule(name, when, to, limit, delay)


def whole(text: str) -> int:
    """Return the number of reports in 24 hours."""
    if not re.fullmatch("[0-9]{1,4}", text) or not 1 <= int(text) <= 1000:
        raise ValueError
    return int(text)


def duration(text: str) -> int:
    """Return seconds, at most a week."""
    match = _DURATION.fullmatch(text)
    if match is None or (seconds := int(match[1]) * _SECONDS[match[2]]) > 7 * 86_400:
        raise ValueError
    return seconds


def checked[T](entry: Entry, parse: Callable[[str], T], allowed: str) -> T:
    """Return a parsed value; an error does not quote it."""
    try:
        return parse(entry.scalar(allowed))
    except kinds.HintError as why:
        entry.fail(str(why))
    except ValueError:
        entry.fail(f"must be {allowed}")


def resolved(value: str, environ: Mapping[str, str], where: str) -> str:
    """Return a value, or that of the variable that it names; raise SettingError if the variable is not set."""
    if not _VARIABLE.fullmatch(value):
        return value
    variable = value.removeprefix(FROM_ENVIRONMENT)
    if not environ.get(variable):
        raise SettingError(f"{where} needs the variable {variable}, which is not set")
    return environ[variable]
