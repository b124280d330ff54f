"""The log of `mpal start` on standard error."""

import io
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from moonpalace_addons.settings.values import Settings
from moonpalace_cli.proxy import console_log
from moonpalace_cli.proxy.console_log import ConsoleLog, install

PREFIX = r"\[MoonPalace\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d "


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


class Gate(io.StringIO):
    """A stream that blocks while it is closed, like a terminal stopped by Ctrl-S."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()
        self.open = threading.Event()

    def write(self, text: str) -> int:
        """Wait until the gate is open."""
        self.waits.set()
        assert self.open.wait(10)
        return super().write(text)


def log(handler: ConsoleLog, message: str, level: int = logging.INFO, **extra: object) -> None:
    """Log a message through the handler."""
    record = logging.LogRecord("moonpalace", level, "x", 1, message, None, None)
    record.__dict__.update(extra)
    handler.handle(record)


def printed(stream: io.StringIO, *messages: tuple[str, int, list[str] | None]) -> str:
    """Return the output for messages, each with its level and optional styles."""
    handler = ConsoleLog(stream)
    for message, level, styles in messages:
        log(handler, message, level, **({} if styles is None else {"styles": styles}))
    handler.finish()
    return stream.getvalue()


def test_every_line_has_the_documented_prefix() -> None:
    """Each line of a message begins as in the documented log."""
    text = printed(io.StringIO(), ("one\n  - two: ", logging.INFO, ["good", "plain"]), ("three", logging.INFO, None))
    assert re.fullmatch(f"{PREFIX}one\n{PREFIX}  - two: \n{PREFIX}three\n", text)


def test_nothing_but_printable_text_is_printed() -> None:
    """Whatever a message quotes, it cannot move the cursor or add a line; our line ends are kept."""
    text = printed(io.StringIO(), ("one \x1b[2J\u202e\r\ntwo \x9b31m", logging.WARNING, None))
    assert re.fullmatch(rf"{PREFIX}one  \[2J  \n{PREFIX}two  31m\n", text)


def test_time_is_local() -> None:
    """The prefix shows the record's own time, in the zone of the machine, here that of Shanghai."""
    assert console_log.prefix(1722259829) == "[MoonPalace] 2024/07/29 21:30:29"


STYLED = [
    ("good", "\x1b[32mtext\x1b[0m"),
    ("bad", "\x1b[31mtext\x1b[0m"),
    ("warning", "\x1b[33mtext\x1b[0m"),
    ("quiet", "\x1b[90mtext\x1b[0m"),
    ("plain", "text"),
]


@pytest.mark.parametrize(("style", "expected"), STYLED)
def test_colour_on_a_terminal(style: str, expected: str) -> None:
    """On a terminal each line has the colour of its style, after the prefix."""
    assert re.sub(PREFIX, "", printed(Terminal(), ("text", logging.INFO, [style]))) == f"{expected}\n"


@pytest.mark.parametrize("style", [style for style, _ in STYLED])
def test_no_colour_elsewhere(style: str) -> None:
    """In a file or a pipe there is no colour."""
    assert "\x1b" not in printed(io.StringIO(), ("text", logging.ERROR, [style]))


@pytest.mark.parametrize(
    ("level", "expected"),
    [(logging.INFO, "a\nb\n"), (logging.WARNING, "\x1b[33ma\x1b[0m\n\x1b[33mb\x1b[0m\n")],
)
def test_colour_of_other_messages(level: int, expected: str) -> None:
    """Messages without styles have the colour of their level, in every line."""
    assert re.sub(PREFIX, "", printed(Terminal(), ("a\nb", level, None))) == expected


def test_traceback_is_printed() -> None:
    """An exception's traceback is printed, each line with the prefix."""
    stream = io.StringIO()
    handler = ConsoleLog(stream)
    try:
        _ = 1 // len("")
    except ZeroDivisionError as error:
        info = (type(error), error, error.__traceback__)
        handler.handle(logging.LogRecord("x", logging.ERROR, "x", 1, "it failed", None, info))
    handler.finish()
    lines = stream.getvalue().splitlines()
    assert lines[0].endswith(" it failed")
    assert lines[-1].endswith("ZeroDivisionError: integer division or modulo by zero")
    assert all(re.match(PREFIX, line) for line in lines)


def test_stopped_terminal_holds_nothing_up() -> None:
    """While nothing can be printed, logging returns immediately; messages that do not fit are dropped and counted."""
    stream = Gate()
    handler = ConsoleLog(stream)
    handler.waiting.maxsize = 3
    log(handler, "first")
    assert stream.waits.wait(5)  # the thread has taken it, and hangs
    for number in range(10):
        log(handler, str(number))
    assert handler.dropped == 7
    stream.open.set()
    handler.waiting.maxsize = 0
    handler.finish()
    texts = re.sub(PREFIX, "", stream.getvalue()).splitlines()
    assert texts == ["first", "7 log messages were dropped", "0", "1", "2"]


def full_pipe() -> tuple[int, TextIO]:
    """Return the end of a pipe without a reader, and a stream into it that is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 65536)
    except BlockingIOError:
        os.set_blocking(writer, True)
    return reader, os.fdopen(writer, "w")


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """Return a stream into a full pipe without a reader; it is read at the end, so that the thread ends."""
    reader, stream = full_pipe()
    yield stream
    drain = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 65536), b"")])
    drain.start()
    stream.close()
    drain.join(5)
    os.close(reader)


def test_pipe_that_nobody_reads(unread: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full pipe delays neither logging nor, beyond the limit, the end of the proxy."""
    monkeypatch.setattr(console_log, "CLOSE_TIMEOUT", 0.05)
    handler = ConsoleLog(unread)
    began = time.monotonic()
    for number in range(1000):
        log(handler, str(number))
    handler.finish()
    assert time.monotonic() - began < 5
    assert handler._thread.is_alive()


def test_finish_gives_up_on_a_full_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the queue itself is full, the end does not wait for it."""
    monkeypatch.setattr(console_log, "CLOSE_TIMEOUT", 0.05)
    stream = Gate()
    handler = ConsoleLog(stream)
    handler.waiting.maxsize = 1
    log(handler, "first")
    assert stream.waits.wait(5)
    log(handler, "second")
    handler.finish()
    assert handler._thread.is_alive()
    stream.open.set()  # lets the thread of this test end
    handler.waiting.put(None, timeout=5)


class Broken(io.StringIO):
    """A stream that fails once."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error: Exception | None = error

    def write(self, text: str) -> int:
        """Fail the first time."""
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return super().write(text)


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError("disk full"), ValueError("I/O operation on closed file")])
def test_broken_stream_ends_nothing(error: Exception) -> None:
    """A message that cannot be printed is lost; the thread continues with the next."""
    text = printed(Broken(error), ("lost", logging.INFO, None), ("next", logging.INFO, None))
    assert re.fullmatch(f"{PREFIX}next\n", text)


def test_closed_stream_is_no_error() -> None:
    """A stream that was closed raises no exception."""
    stream = io.StringIO()
    handler = ConsoleLog(stream)
    stream.close()
    log(handler, "lost")
    handler.finish()
    assert not handler._thread.is_alive()


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("full", f"{PREFIX}call", f"{PREFIX}a warning"),
        (
            "json",
            '{"time": ".*", "level": "info", "message": "call"}',
            '{.*"level": "warning", "message": "a warning"}',
        ),
    ],
)
def test_install(form: str, first: str, second: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own information and all other warnings are printed, but nothing else."""
    stream, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger("moonpalace")
    monkeypatch.setattr(sys, "stderr", stream)
    before = (root.level, ours.level)
    handler = install(Settings(log=form, home=Path("/")))
    try:
        ours.info("call")
        logging.getLogger("mitmproxy.proxy.server").info("client connect")
        logging.getLogger("mitmproxy").warning("a warning")
    finally:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])
    handler.finish()
    assert re.fullmatch(f"{first}\n{second}\n", stream.getvalue())


def test_json() -> None:
    """In a JSON log every line is an object, whatever a message contains; the lines of calls already are."""
    stream = io.StringIO()
    handler = ConsoleLog(stream, as_json=True)
    log(handler, 'two\nlines "quoted" \x1b[31m\u202e', logging.ERROR)
    log(handler, '{"id": 1}\n{"id": 2}', has_own_times=True)
    handler.finish()
    first, *calls = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["level"], first["message"]) == ("error", 'two\nlines "quoted" \x1b[31m ')
    assert calls == [{"id": 1}, {"id": 2}]
