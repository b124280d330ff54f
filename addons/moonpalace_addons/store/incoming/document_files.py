"""Read the calls in files that `mpal export` wrote: a JSON object or array, lines of JSON, or a zip of such files.

Such a file comes from elsewhere: everything in it is checked before anything of it is stored.
"""

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import msgspec

from moonpalace_addons.errors import StoreError
from moonpalace_addons.store.database.file_checks import MAGIC
from moonpalace_addons.wire.json_value import parse

MAX_BYTES = 512 * 1024 * 1024
"""Bytes of a file, or of all files in a zip once they are unpacked."""
MAX_FILES = 100_000
INDEX = "index.json"
ZIP = b"PK"
IMPORTED = "of exports, only json, jsonl and zips of these can be imported, not reports, commands or other formats"
ENDINGS = (".json", ".jsonl", ".zip")
BROKEN = (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, EOFError, ValueError)
"""What is raised for files that cannot be read, and for zips that are damaged, encrypted or of another kind."""

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)")
"""An escape in JSON; the group is half of a surrogate pair, which no text can hold and msgspec refuses."""


class Message(msgspec.Struct, kw_only=True):
    """A request or a response; a body that is no JSON is a string, one that is no text is in base64."""

    url: str = ""
    status: str = ""
    header: str = ""
    body: msgspec.Raw = msgspec.Raw(b"")
    body_base64: str | None = None
    event_stream: str | None = None
    event_stream_base64: str | None = None
    event_times: list[int] | None = None


class Document(msgspec.Struct, kw_only=True):
    """A call as `mpal export` writes it."""

    metadata: dict[str, str]
    request: Message
    response: Message = msgspec.field(default_factory=Message)
    error: str | None = None
    category: str | None = None
    tags: list[str] = []
    note: str | None = None
    exchange: dict[str, bool | int | float | str | list[str] | None] = {}


_decode = msgspec.json.Decoder(Document).decode
_decode_list = msgspec.json.Decoder(list[Document]).decode


def is_export(file: Path) -> bool:
    """Tell whether a file is one of these, and no database; raise StoreError if it cannot be read."""
    try:
        with file.open("rb") as opened:
            head = opened.read(len(MAGIC))
    except OSError as error:
        raise StoreError(f"cannot import {file}: {error.strerror}") from error
    return head != MAGIC and (
        file.suffix.lower() in ENDINGS or head.startswith(ZIP) or head.lstrip()[:1] in (b"{", b"[")
    )


def documents(file: Path) -> list[Document]:
    """Return the calls of a file; raise StoreError with one line that names what is wrong, and where."""
    found = list[Document]()
    for name, data in _contents(file):
        found += _read(name, data)
    if not found:
        raise StoreError(f"cannot import {file}: there is no call in it; {IMPORTED}")
    return found


def _contents(file: Path) -> Iterator[tuple[str, bytes]]:
    try:
        if not zipfile.is_zipfile(file):
            if file.stat().st_size > MAX_BYTES:
                refuse(str(file), f"it has more than {MAX_BYTES} bytes")
            yield str(file), file.read_bytes()
            return
        with zipfile.ZipFile(file) as bundle:
            yield from _unpacked(file, bundle)
    except BROKEN as error:
        raise StoreError(f"cannot import {file}: {getattr(error, 'strerror', None) or error}") from error


def _unpacked(file: Path, bundle: zipfile.ZipFile) -> Iterator[tuple[str, bytes]]:
    infos = [info for info in bundle.infolist() if info.filename.endswith((".json", ".jsonl"))]
    if len(infos) > MAX_FILES:
        refuse(str(file), f"it has more than {MAX_FILES} files")
    left = MAX_BYTES
    for info in infos:
        if info.filename == INDEX:
            continue
        with bundle.open(info) as opened:
            data = opened.read(left + 1)  # its own size in the zip may be a lie
        left -= len(data)
        if left < 0:
            refuse(str(file), f"it unpacks to more than {MAX_BYTES} bytes")
        yield f"{file}, {info.filename}", data


def _read(name: str, data: bytes) -> list[Document]:
    try:
        try:
            return _decoded(data.lstrip())
        except msgspec.DecodeError:
            return _decoded(_ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data.lstrip()))
    except msgspec.ValidationError as error:
        refuse(name, f"it is not an export of MoonPalace: {error}")
    except (msgspec.DecodeError, ValueError) as error:
        refuse(name, f"not JSON: {error}")
    except RecursionError:
        refuse(name, "it is nested too deeply")


def _decoded(text: bytes) -> list[Document]:
    if text.startswith(b"["):
        return _decode_list(text)
    lines = text.split(b"\n")
    if len(lines) > 1 and isinstance(parse(lines[0]), dict):
        return [_decode(line) for line in lines if line.strip()]
    return [_decode(text)]


def refuse(name: str, why: str) -> NoReturn:
    """Raise StoreError in one line."""
    line = " ".join(why.split())
    raise StoreError(f"cannot import {name}: {line[:300]}")
