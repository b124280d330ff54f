"""Types of settings: parse text into a value, or describe what is allowed."""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple


@dataclass(frozen=True, slots=True)
class Kind[T]:
    """Define how a setting's text is parsed.

    `allowed` completes the sentence "X must be …". `parse` raises ValueError, HintError for a message of its own, or
    OSError. `form` tells the parsers of flags and files what to accept: a switch, a text, a list or a file path.
    """

    metavar: str
    allowed: str
    parse: Callable[[str], T]
    form: Literal["switch", "text", "list", "path"] = "text"


class HintError(ValueError):
    """Reject a value with a message of its own, which never quotes the value: it may be a secret."""


def _flag(text: str) -> bool:
    word = text.strip().lower()
    if word in ("", "true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError


def whole(metavar: str, lowest: int, highest: int, unit: str = "", *, note: str = "") -> Kind[int]:
    """Return the kind of whole numbers from `lowest` to `highest`; `unit` is what they count."""

    def parse(text: str) -> int:
        # int() alone would accept 8_080 and the digits of other scripts.
        if not re.fullmatch(r"[0-9]+", text.strip()) or not lowest <= int(text) <= highest:
            raise ValueError
        return int(text)

    counted = f"a whole number of {unit}" if unit else "a whole number"
    return Kind(metavar, f"{counted} from {lowest} to {highest}{note}", parse)


def decimal(metavar: str, allowed: str, accepts: Callable[[float], bool]) -> Kind[float]:
    """Return the kind of numbers that `accepts` takes, which `allowed` describes."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?", text.strip().lower()):
            raise ValueError
        if not accepts(float(text)):
            raise ValueError
        return float(text)

    return Kind(metavar, allowed, parse)


def choice(metavar: str, *names: str) -> Kind[str]:
    """Return the kind of one of several words."""

    def parse(text: str) -> str:
        if text.strip().lower() not in names:
            raise ValueError
        return text.strip().lower()

    return Kind(metavar, " or ".join((", ".join(names[:-1]), names[-1])), parse)


def _secret(text: str) -> str:
    # It becomes part of a header, which anything else would split or corrupt.
    if not re.fullmatch(r"[!-~]+", text.strip()):
        raise ValueError
    return text.strip()


def _host(text: str) -> str:
    host = text.strip().lower()
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if re.fullmatch(r"[0-9a-f:.]*:[0-9a-f:.]*(%[a-z0-9_.-]+)?|[0-9.]+", host):
        return str(ipaddress.ip_address(host))
    if not text.isascii() or not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,252}", host):
        raise ValueError
    return host


DEFAULT_PORTS = {"http": "80", "https": "443"}


class _Url(NamedTuple):
    scheme: str
    user: str | None
    host: str
    port: str  # empty for the scheme's default
    rest: str

    @property
    def site(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{'' if self.user is None else self.user + '@'}{host}{self.port and ':' + self.port}"


_URL = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?(?:(?P<user>[^/?#]*)@)?"
    r"(?P<host>\[[^]/?#@]*\]|[^]:/?#@[]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)


def parse_url(text: str, default_scheme: str) -> _Url:
    """Return the parts of a URL, or of a bare host with the default scheme; raise ValueError for anything else."""
    text = text.strip()
    match = _URL.fullmatch(text)
    if match is None or not text.isprintable() or " " in text:
        raise ValueError
    scheme = (match["scheme"] or default_scheme).lower()
    port = str(whole("PORT", 1, 65535).parse(match["port"])) if match["port"] else ""
    own = port == DEFAULT_PORTS.get(scheme)
    return _Url(scheme, match["user"], _host(match["host"]), "" if own else port, match["rest"] or "")


_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?", re.ASCII)


def _endpoint(text: str) -> str:
    url = parse_url(text, "https")
    if url.scheme not in ("http", "https") or url.user is not None or not _PREFIX.fullmatch(url.rest):
        raise ValueError
    path = url.rest.rstrip("/")
    if path.endswith("/v1"):
        raise HintError(f"must not end in /v1, which every call contains: set {url.site}{path.removesuffix('/v1')}")
    _refuse_word(text, url.host)
    return url.site + path


def _refuse_word(text: str, host: str, port: str = "", hint: str = "") -> None:
    """Raise HintError for a single word, which is more often a mistake than a host; that can be given as a URL."""
    if "://" not in text and not (re.search(r"[.:]", host) or port or host == "localhost"):
        raise HintError(f"must be a URL: if {host} is a host, put http:// or https:// before it{hint}")


def _proxy(text: str) -> str:
    if text.strip().lower() == "none":
        return ""
    url = parse_url(text, "http")
    if url.scheme not in ("http", "https") or url.rest not in ("", "/"):
        raise ValueError
    _refuse_word(text, url.host, url.port, " (none means no proxy)")
    return url.site


def _origin(text: str) -> str:
    if text == "*":
        return text
    url = parse_url(text, "")
    if not url.scheme or url.user is not None or url.rest not in ("", "/"):
        raise ValueError
    return url.site


def _origins(text: str) -> tuple[str, ...]:
    return tuple(_origin(item.strip()) for item in text.split(",") if item.strip())


def parse_path(text: str) -> Path:
    """Return an absolute path, with `~` expanded; raise ValueError if the text is not a path."""
    if not text.strip() or not text.isprintable():
        raise ValueError
    try:
        return Path(text.strip()).expanduser().absolute()
    except RuntimeError as error:  # `~name` of an unknown user
        raise ValueError from error


def _readable_file(text: str) -> Path:
    path = parse_path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError
    return path


def sqlite_url(path: Path) -> str:
    """Return SQLAlchemy's URL of an SQLite file; raise HintError for a path that such a URL cannot contain."""
    # SQLAlchemy 2.1 decodes %41 in a path and 2.0 does not, so neither escaping it nor keeping it is right for both.
    if re.search(r"\?|%[0-9a-fA-F]{2}", str(path)):
        raise HintError("must not contain `?`, or `%` and two hexadecimal digits: they are special in a database URL")
    return f"sqlite:///{path}"


_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


MIN_BODY_SIZE = 1_000
MIN_DATABASE_SIZE = 1_000_000
"""Smallest size limit of a database, in bytes. An empty one takes 0.56 MB, as each SQLite table and index has a page of
16 KB: below that no call could be kept, and just above it hardly any."""


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) *([A-Z]*)", text.strip().upper(), re.ASCII)
    if match is None or match[2] not in _UNITS:
        raise ValueError
    size = int(float(match[1]) * _UNITS[match[2]])
    if size >= 2**60:
        raise ValueError
    return size


def _body(text: str) -> int:
    size = _bytes(text)
    if size < MIN_BODY_SIZE:
        raise ValueError
    return size


def _size(text: str) -> int:
    size = _bytes(text)
    if size < MIN_DATABASE_SIZE:
        raise HintError("must be at least 1MB: an empty database takes more than half of that")
    return size


def _pattern(text: str) -> str:
    # RE2 checks it where it is used: its syntax differs from Python's, and importing it is slow.
    if not text.strip():
        raise ValueError
    return text


def _database(text: str) -> str:
    text = text.strip()
    if match := re.match(r"[a-z][a-z0-9_]*(\+[a-z0-9_]+)?://", text, re.IGNORECASE):
        if match[0].lower() == "postgres://":
            raise HintError("must begin with postgresql://, as SQLAlchemy calls it")
        if not text.isprintable():
            raise ValueError
        return text
    if "://" in text or re.match(r"(sqlite|postgres|mysql|mariadb)[a-z0-9_+]*:", text, re.IGNORECASE):
        raise ValueError
    path = parse_path(text)
    if path.is_dir():
        raise HintError("must be a file, not a folder")
    return sqlite_url(path)


_SECONDS_PER_YEAR = 365 * 86_400
FLAG = Kind("", "true or false (also 1, 0, yes, no, on, off)", _flag, form="switch")
PORT = whole("PORT", 0, 65535, note=" (0 = any free port)")
COUNT = whole("NUMBER", 0, 1_000_000_000)
SIZE = Kind("SIZE", "a number of bytes, or one with KB, MB, GB or TB (500MB, 2GB)", _size)
BODY = Kind("SIZE", "a number of bytes from 1KB on, or one with KB, MB or GB (100MB)", _body)
WHOLE_SECONDS = whole("SECONDS", 1, _SECONDS_PER_YEAR, "seconds")
SECONDS = decimal(
    "SECONDS",
    f"a number of seconds above 0, at most {_SECONDS_PER_YEAR}",
    lambda number: 0 < number <= _SECONDS_PER_YEAR,
)
HOST = Kind("HOST", "an IP address or a host name, without a port", _host)
SECRET = Kind("TEXT", "ASCII characters without spaces (and without the word Bearer)", _secret)
ENDPOINT = Kind("URL", "an http:// or https:// URL without query or user (https://api.moonshot.cn)", _endpoint)
PROXY = Kind("URL", "a proxy like http://user:password@host:3128 (http or https), or the word none", _proxy)
ORIGINS = Kind("LIST", "web origins like https://host:port separated by commas, or *", _origins, form="list")
DATABASE = Kind("URL", "a file's path, or an SQLAlchemy URL (postgresql://user@host/name)", _database, form="path")
PATTERN = Kind("REGEX", "a regular expression", _pattern)
FILE = Kind("FILE", "a file that exists and can be read", _readable_file, form="path")


def is_loopback(host: str) -> bool:
    """Tell whether `host` is a loopback address: 127.0.0.0/8, ::1 (with or without brackets) or localhost."""
    name = host.lower().removesuffix(".").removeprefix("[").removesuffix("]")
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
