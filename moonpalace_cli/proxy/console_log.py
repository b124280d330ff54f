"""Print the log of `mpal start` to standard error, in the format of the original."""

import json
import logging
import queue
import sys
import threading
import time
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from typing import TextIO

import click

from moonpalace_addons.settings.values import Settings
from moonpalace_addons.wire.foreign import printable
from moonpalace_cli.text import colours

CAPACITY = 1_000
CLOSE_TIMEOUT = 2.0

STYLES = {"good": "green", "bad": "red", "warning": "yellow", "quiet": "bright_black"}
LEVELS = {logging.WARNING: "warning", logging.ERROR: "bad", logging.CRITICAL: "bad"}


class ConsoleLog(QueueHandler):
    """Print in a separate thread: a stopped terminal or a full pipe must not block calls or rows.

    If `CAPACITY` messages are waiting, new ones are dropped and counted. With `as_json`, a message without times is
    printed as a JSON object on one line, like the calls of `--log json`.
    """

    def __init__(self, stream: TextIO, *, as_json: bool = False) -> None:
        self.waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(CAPACITY)
        super().__init__(self.waiting)
        self.stream = stream
        self.colour = colours.wanted(stream)
        self._as_json = as_json
        self.dropped = 0
        self._thread = threading.Thread(target=self._print_all, name="moonpalace-log", daemon=True)
        self._thread.start()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Queue a record, or drop it."""
        try:
            self.waiting.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def finish(self) -> None:
        """Print the waiting messages, unless nobody reads them."""
        try:
            self.waiting.put(None, timeout=CLOSE_TIMEOUT)
        except queue.Full:
            return
        self._thread.join(CLOSE_TIMEOUT)

    def _print_all(self) -> None:
        while (record := self.waiting.get()) is not None:
            try:
                self.stream.write(self._text(record))
                if self.dropped:
                    dropped, self.dropped = self.dropped, 0
                    self.stream.write(self._text(notice(f"{dropped} log messages were dropped")))
                self.stream.flush()
            except (OSError, ValueError):
                continue  # the reader is gone; only the rows matter

    def _text(self, record: logging.LogRecord) -> str:
        has_own_times = getattr(record, "has_own_times", False)
        if self._as_json and not has_own_times:
            return json_line(record)
        lines = record.getMessage().split("\n")
        styles = getattr(record, "styles", [LEVELS.get(record.levelno, "plain")] * len(lines))
        start = "" if has_own_times else f"{prefix(record.created)} "
        if not "".join(lines).isprintable():  # check all of them at once: the calls of a batch have hundreds of lines
            lines = [printable(line) for line in lines]
        if self.colour:
            lines = [self._styled(line, style) for line, style in zip(lines, styles, strict=False)]
        return start + f"\n{start}".join(lines) + "\n"

    @staticmethod
    def _styled(text: str, style: str) -> str:
        return click.style(text, fg=STYLES[style]) if style in STYLES else text


def prefix(moment: float) -> str:
    """Return the prefix of every line; the time is local."""
    return time.strftime("[MoonPalace] %Y/%m/%d %H:%M:%S", time.localtime(moment))


def notice(text: str) -> logging.LogRecord:
    """Return a message of the log itself."""
    return logging.makeLogRecord({"msg": text, "levelno": logging.WARNING, "levelname": "WARNING"})


def json_line(record: logging.LogRecord) -> str:
    """Return a message as a JSON object on one line."""
    at = datetime.fromtimestamp(record.created, UTC).astimezone().isoformat(timespec="milliseconds")
    fields = {"time": at, "level": record.levelname.lower(), "message": record.getMessage()}
    return printable(json.dumps(fields, ensure_ascii=False)) + "\n"


def install(settings: Settings) -> ConsoleLog:
    """Send MoonPalace's log, and warnings of all other loggers, to standard error."""
    handler = ConsoleLog(sys.stderr, as_json=settings.log == "json")
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.addHandler(handler)
    logging.getLogger("moonpalace").setLevel(logging.INFO)
    # mitmweb's page requests style sheets that are not installed; users of a proxy need not know.
    logging.getLogger("tornado.access").setLevel(logging.ERROR)
    return handler
