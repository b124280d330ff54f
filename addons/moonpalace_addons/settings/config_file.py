"""Parse config.yaml into raw values with line numbers, or report one error with its location."""

import re
import shlex
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings.endpoints import read_endpoints
from moonpalace_addons.settings.entries import FREE, Entry
from moonpalace_addons.settings.kinds import Kind
from moonpalace_addons.settings.reports import read_reports
from moonpalace_addons.settings.table import BY_NAME, TABLE
from moonpalace_addons.wire.suggestions import nearest

if TYPE_CHECKING:
    import yaml

# Far above any real file: it stops a mistake such as --config /dev/zero from filling the memory.
MAX_FILE_SIZE = 100_000

_KNOWN = {setting.path: setting for setting in TABLE}
_SECTIONS = {setting.path[:depth] for setting in TABLE for depth in range(1, len(setting.path))}
_FREE = {(name,) for name in FREE}
_YAML = "tag:yaml.org,2002:"


class Contents(NamedTuple):
    """What a file says: the raw value and line number of each setting by its name, and the parts with free keys."""

    settings: Mapping[str, tuple[object, int]]
    free: Mapping[str, Entry]


def read(path: Path) -> Contents:
    """Return the settings in the file, and its parts whose keys the user chooses (`FREE`).

    Scalars are the text as written (a key of digits keeps its leading zeros), lists are tuples of such texts, and a
    feature given as a mapping is True. Relative paths are resolved against the file's folder, so that every command
    finds the same database. Raise SettingError for an invalid file.
    """
    root = _compose(path)
    if root is None or root.tag == f"{_YAML}null":
        return Contents({}, {})
    reader = _Reader(path)
    if _shape(root) != "mapping":
        line = root.start_mark.line + 1
        raise SettingError(
            f"{display_path(path)}, line {line}: the file must hold `start:` with settings indented under it"
        )
    try:
        reader.walk(root, ())
    except RecursionError:  # an alias within what it stands for
        raise SettingError(f"{display_path(path)}: nested too deeply") from None
    return Contents(reader.found, reader.free)


def exposed_secrets(path: Path) -> tuple[str, str] | None:
    """Return a warning about secrets in a file that other users can read, and the command that fixes it, or None.

    Raise SettingError as `read` does.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    # Windows has no such bits; anything but a regular file (a shell's pipe) can be read only once.
    if sys.platform == "win32" or not stat.S_ISREG(mode) or not mode & 0o077:
        return None
    contents = read(path)
    secrets = [name for name in contents.settings if BY_NAME[name].secret]
    if "key" not in secrets and has_key(contents.free):
        secrets = ["key", *secrets]
    if "reports" in contents.free and any(each.has_secret for each in read_reports(contents.free["reports"])):
        secrets.append("secret of a destination of reports")
    if not secrets:
        return None
    warning = f"{display_path(path)} holds a {' and a '.join(secrets)} that other users can read"
    return warning, f"chmod 600 {shlex.quote(str(path))}"


def has_key(free: Mapping[str, Entry]) -> bool:
    """Tell whether an endpoint or the model that explains calls has a key or a header with a credential."""
    named, _ = read_endpoints(free["endpoints"]) if "endpoints" in free else ((), ())
    return any(endpoint.secrets for endpoint in named) or ("explain" in free and "key" in free["explain"].members)


def position(path: Path, line: int, keys: tuple[str, ...]) -> str:
    """Return a position in the file as error messages show it."""
    return f"{display_path(path)}, line {line}: {'.'.join(keys)}"


def display_path(path: Path) -> str:
    """Return a path for display, with `~` for the home folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except (ValueError, RuntimeError):
        return str(path)


def _compose(path: Path) -> "yaml.Node | None":
    text = _text(path)
    import yaml  # only for a file that exists: it costs 20 ms

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingError(f"{display_path(path)}{where}: not YAML: {_without_quoted_names(error)}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingError(f"{display_path(path)}, line {line}: not YAML: it contains a control character") from None
    except (ValueError, OverflowError):  # an escape such as "\\UFFFFFFFF", which PyYAML passes to chr()
        raise SettingError(f"{display_path(path)}: not YAML: an escape sequence is not a valid character") from None
    except RecursionError:
        raise SettingError(f"{display_path(path)}: nested too deeply") from None


def _without_quoted_names(error: "yaml.MarkedYAMLError") -> str:
    # PyYAML quotes names from the file, such as that of an alias `*name`, which may be an API key.
    problem = error.problem or error.context or "cannot be understood"
    return re.sub(r"'([^']*)'", lambda found: found[0] if _is_mark(found[1]) else "'…'", problem)


def _is_mark(quoted: str) -> bool:
    """Tell whether PyYAML quotes a part of YAML, such as `,` or `<stream end>`."""
    return len(quoted) < 4 or quoted.startswith("<")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_SIZE + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SettingError(f"cannot read {display_path(path)}: {reason}") from None
    if len(data) > MAX_FILE_SIZE:
        raise SettingError(f"cannot read {display_path(path)}: it is larger than {MAX_FILE_SIZE} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{display_path(path)}, line {line}: not UTF-8 text") from None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Collect the values of known settings from the mappings of one file."""

    path: Path
    found: dict[str, tuple[object, int]] = field(default_factory=dict)
    free: dict[str, Entry] = field(default_factory=dict)

    def walk(self, node: "yaml.Node", at: tuple[str, ...]) -> None:
        seen: dict[str, int] = {}
        for key, line, value in self._entries(node, at):
            keys = (*at, key)
            if key in seen:
                raise self._error(line, keys, f"is a duplicate of line {seen[key]}: remove one of them")
            seen[key] = line
            if keys in _FREE:
                self.free[key] = self._entry(keys, line, value)
                continue
            if keys not in _KNOWN and keys not in _SECTIONS:
                raise self._error(line, (*at, _short(key)), _unknown(keys))
            self._take(keys, line, value)

    def _entries(self, node: "yaml.Node", at: tuple[str, ...]) -> "Iterator[tuple[str, int, yaml.Node]]":
        for key, value in node.value:
            line = key.start_mark.line + 1
            if _shape(key) != "scalar":
                raise self._error(line, (*at, "?"), "is not a valid key: a key is one word followed by `: `")
            yield key.value, line, value

    def _entry(self, keys: tuple[str, ...], line: int, node: "yaml.Node") -> Entry:
        where = position(self.path, line, (*keys[:-1], _short(keys[-1])))
        if _shape(node) == "mapping":
            members = dict[str, Entry]()
            for key, its_line, value in self._entries(node, keys):
                if key in members:
                    raise self._error(its_line, (*keys, _short(key)), "is there twice: remove one of them")
                members[key] = self._entry((*keys, key), its_line, value)
            return Entry(where, None, members)
        return Entry(where, node.value if _shape(node) == "scalar" and node.tag != f"{_YAML}null" else None)

    def _take(self, keys: tuple[str, ...], line: int, value: "yaml.Node") -> None:
        setting = _KNOWN.get(keys)
        if keys in _SECTIONS and _shape(value) == "mapping":
            if setting is not None:
                self.found[setting.name] = (True, line)
            self.walk(value, keys)
        elif setting is None:
            if value.tag != f"{_YAML}null":
                raise self._error(line, keys, "must be a mapping: settings indented under it, one per line")
        else:
            self.found[setting.name] = (self._value(setting.kind, keys, line, value), line)

    def _value(self, kind: Kind[object], keys: tuple[str, ...], line: int, value: "yaml.Node") -> object:
        allowed = f"must be {kind.allowed}"
        if keys in _SECTIONS:
            allowed += f", or a mapping with {_children(keys)}"
        if kind.form == "list" and _shape(value) == "list":
            return tuple(self._scalar(item, line, keys, allowed) for item in value.value)
        text = self._scalar(value, line, keys, allowed)
        if kind.form == "switch":
            return text
        if value.tag == f"{_YAML}bool":
            raise self._error(
                line, keys, f"{allowed}; YAML reads this word as true or false: quote it to use it as text"
            )
        return self._from_folder(text) if kind.form == "path" else text

    def _scalar(self, node: "yaml.Node", line: int, keys: tuple[str, ...], allowed: str) -> str:
        if node.tag == f"{_YAML}null" or (isinstance(node.value, str) and not node.value.strip()):
            raise self._error(line, keys, f"has no value: it {allowed}, or remove the line")
        if _shape(node) != "scalar":
            raise self._error(line, keys, f"{allowed}, not a {_shape(node)}")
        if node.tag.removeprefix(_YAML) not in ("str", "int", "float", "bool", "timestamp"):
            raise self._error(line, keys, f"{allowed}, not another YAML type")
        return str(node.value)

    def _from_folder(self, text: str) -> str:
        if not text.strip() or "://" in text or text.startswith("~"):
            return text
        return str(self.path.parent / text.strip())

    def _error(self, line: int, keys: tuple[str, ...], what: str) -> SettingError:
        return SettingError(f"{position(self.path, line, keys)} {what}")


def _shape(node: "yaml.Node") -> str:
    import yaml

    if isinstance(node, yaml.MappingNode):
        return "mapping"
    return "list" if isinstance(node, yaml.SequenceNode) else "scalar"


def _unknown(keys: tuple[str, ...]) -> str:
    at, key = keys[:-1], keys[-1]
    for setting in TABLE:
        if key in (setting.name, setting.path[-1]):
            if len(setting.path) == 1:
                return f"is unknown here: {key} belongs at the top of the file, not under {'.'.join(at)}"
            return f"is unknown here: write it under {'.'.join(setting.path[:-1])}, as {setting.path[-1]}"
    here = {known[len(at)] for known in _KNOWN.keys() | _FREE if known[: len(at)] == at and len(known) > len(at)}
    return f"is unknown; the closest is {nearest(key, here, 1, 0.0)[0]}, of {', '.join(sorted(here))}"


def _children(keys: tuple[str, ...]) -> str:
    return ", ".join(known[-1] for known in _KNOWN if known[:-1] == keys)


def _short(key: str) -> str:
    return key if key.isprintable() and len(key) <= 40 else repr(key[:40])
