"""Destinations of exports: standard output, one file, a folder of files, a zip bundle with an index."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import click

from moonpalace_addons.store.fields import model
from moonpalace_addons.wire.escaping import escaped
from moonpalace_addons.wire.json_text import JSON_ESCAPES
from moonpalace_cli.export.files import candidates, cannot_write_into, safe_stem, write_new, write_over, writing_over
from moonpalace_cli.output import is_terminal, print_json, print_text

if TYPE_CHECKING:
    from moonpalace_addons.store.records.exchanges import Exchange
    from moonpalace_cli.calls.reading import Call
    from moonpalace_cli.export.formats import Format

INDEX = "index.json"


class Put(Protocol):
    """A function that writes calls; it returns the path of the call's own file, if any."""

    def __call__(self, call: Call, text: str, /) -> Path | None:
        """Write a call's text."""


type Destination = AbstractContextManager[Put]


def file_stem(exchange: Exchange) -> str:
    """Return the documented file name without its ending: the ID of the completion, of the request, or our own."""
    return safe_stem(exchange.chatcmpl_id or exchange.msh_request_id or "") or f"moonpalace-{exchange.id}"


def otherwise(exchange: Exchange) -> str:
    """Return the alternative name for a call whose file name is taken."""
    return f"{file_stem(exchange)}-{exchange.id}"


def joined(form: Format, write: Callable[[str], None], *, many: bool) -> Iterator[Put]:
    """Yield a consumer that writes all calls into one text, framed as the format requires."""
    framed = many or form.framed
    count = 0

    def put(_: Call, text: str) -> None:
        nonlocal count
        write((form.separator if count else form.opening if framed else "") + text)
        count += 1

    yield put
    write((("" if count else form.opening) + form.closing if framed else "") + ("\n" if count or form.closing else ""))


@contextmanager
def to_standard_output(form: Format, *, many: bool) -> Iterator[Put]:
    """Print the calls to a terminal or a pipe."""
    yield from joined(form, printer(form), many=many)


def printer(form: Format) -> Callable[[str], None]:
    """Return a function that prints a piece of text without adding a line end."""
    if form.kind == "json":
        return lambda text: print_json(text, end=False)
    if form.kind == "prose" or not is_terminal():
        return print_text
    return print_code


def print_code(text: str) -> None:
    """Print code on a terminal, with escapes for characters that it would interpret or cannot show."""
    coding = sys.stdout.encoding
    click.echo(escaped(text).encode(coding, "backslashreplace").decode(coding), nl=False)


@contextmanager
def to_file(form: Format, path: Path, *, many: bool) -> Iterator[Put]:
    """Write one file, which replaces an existing one when it is complete."""
    with writing_over(path) as file:
        yield from joined(form, lambda text: unused(file.write(form.encode(text))), many=many)


def unused(_: object) -> None:
    """Discard a result."""


@contextmanager
def to_folder(form: Format, folder: Path, *, many: bool, force: bool) -> Iterator[Put]:
    """Write a file for each call; an existing file is kept, unless `force`, and the new one is renamed."""
    written: set[Path] = set()

    def put(call: Call, text: str) -> Path:
        content = form.encode(alone(form, text))
        stem, second = file_stem(call.exchange), otherwise(call.exchange) if many else ""
        if not force:
            return write_new(folder, stem, form.ending, content, otherwise=second)
        path = next(path for path in candidates(folder, stem, form.ending, second) if path not in written)
        make_folder(folder)
        write_over(path, content)
        written.add(path)
        return path

    yield put


def make_folder(folder: Path) -> None:
    """Create the folder; raise MoonPalaceError on failure."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write_into(folder, error) from error


def alone(form: Format, text: str) -> str:
    """Return the text of a file with a single call."""
    return (f"{form.opening}{text}{form.closing}" if form.framed else text) + "\n"


@contextmanager
def to_bundle(form: Format, path: Path) -> Iterator[Put]:
    """Write a zip file with a file for each call, and an index of them as a JSON array."""
    with (
        writing_over(path) as file,
        tempfile.TemporaryFile() as index,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle,
    ):

        def put(call: Call, text: str) -> None:
            names = candidates(Path(), file_stem(call.exchange), form.ending, otherwise(call.exchange))
            name = next(str(name) for name in names if str(name) not in bundle.NameToInfo and str(name) != INDEX)
            bundle.writestr(member(name, call), form.encode(alone(form, text)))
            # Not kept in memory: an index may have any number of lines.
            index.write(b",\n" if index.tell() else b"[\n")
            index.write(json.dumps(index_row(name, call), ensure_ascii=False).encode("utf-8", JSON_ESCAPES))

        yield put
        index.write(b"\n]\n" if index.tell() else b"[]\n")
        copy_index(index, bundle)


def member(name: str, call: Call) -> zipfile.ZipInfo:
    """Return the zip entry of a file, dated by the call's start, readable by its owner only."""
    began = call.exchange.started_at.astimezone()
    moment = (began.year, began.month, began.day, began.hour, began.minute, began.second)
    info = zipfile.ZipInfo(name, max((1980, 1, 1, 0, 0, 0), moment))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100600 << 16
    return info


def copy_index(index: IO[bytes], bundle: zipfile.ZipFile) -> None:
    """Write the index into the bundle."""
    index.seek(0)
    info = zipfile.ZipInfo(INDEX)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o100600 << 16
    with bundle.open(info, "w", force_zip64=True) as file:
        shutil.copyfileobj(index, file)


def index_row(name: str, call: Call) -> dict[str, object]:
    """Return the index entry of a call."""
    exchange = call.exchange
    return {
        "file": name,
        "id": exchange.id,
        "requested_at": exchange.started_at.astimezone().isoformat(timespec="milliseconds"),
        "method": exchange.method,
        "path": exchange.path,
        "status": exchange.status_code,
        "state": exchange.state.value,
        "model": model(exchange),
        "chatcmpl": exchange.chatcmpl_id,
        "request_id": exchange.msh_request_id,
        "finish_reason": exchange.finish_reason,
        "category": exchange.category,
        "tags": list(call.tags),
    }


def encoding(form: Format, *, printed: bool) -> str:
    """Return the target encoding: that of the terminal from which the text may be copied, else UTF-8."""
    return sys.stdout.encoding if printed and form.kind == "code" and is_terminal() else "utf-8"
