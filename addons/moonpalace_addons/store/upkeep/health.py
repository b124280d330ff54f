"""Check a store's health: its content, its users and its problems."""

import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from moonpalace_addons.store.database.engine import parse_url, shown, sqlite_file
from moonpalace_addons.store.incoming.upgrade import Places, backups
from moonpalace_addons.store.journal import journal_place
from moonpalace_addons.store.journal.journal_place import JournalFile
from moonpalace_addons.store.records import deliveries
from moonpalace_addons.store.records.deliveries import Delivery, DeliveryState
from moonpalace_addons.store.upkeep import health_rows
from moonpalace_addons.store.upkeep.health_rows import Run
from moonpalace_addons.store.write import recovery
from moonpalace_addons.version import __version__

MIN_FREE_DISK = 200_000_000
"""Free bytes below which the disk is reported: a long session with images may write as much within an hour."""
MAX_REPORTS = 10
"""Maximum reports of calls that are listed."""
OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and advice on what to do."""

    what: str
    advice: str


@dataclass(slots=True)
class Report:
    """The health of a store. Sizes are in bytes; values that a database does not have are None or empty."""

    database: str
    version: str = __version__
    schema: str | None = None
    journal_mode: str | None = None
    size: int | None = None
    log_size: int | None = None
    free_disk: int | None = None
    tables: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    unused_pieces: int = 0
    unused_bytes: int = 0
    proxies: list[Run] = field(default_factory=list)
    journals: list[JournalFile] = field(default_factory=list)
    kept: list[Path] = field(default_factory=list)
    backups: list[Path] = field(default_factory=list)
    export: str = ""
    """The receiver to which calls are exported, and the outcome of a request to it; empty if they are not exported."""
    reports: dict[str, int] = field(default_factory=dict)
    waiting: list[Delivery] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def examine(engine: Engine, url: str, home: Path) -> Report:
    """Check the store's health; `home` is MoonPalace's folder."""
    file = sqlite_file(parse_url(url))
    report = Report(shown(parse_url(url)), journals=journal_place.files(url, home), kept=journal_place.kept(url, home))
    with engine.connect() as connection:
        inspect_database(connection, report)
    report.findings += [Finding(*pair) for pair in (*database_problems(report), *journal_problems(report, url, home))]
    if file is not None:
        inspect_files(file, report)
        report.findings += [
            Finding(*pair) for pair in (*permission_problems(file, home, report), *upgrade_problems(file))
        ]
    if report.free_disk is not None and report.free_disk < MIN_FREE_DISK:
        advice = "free some, or delete old calls: mpal cleanup --vacuum"
        report.findings.append(Finding(f"the disk has only {report.free_disk / 1e6:,.0f} MB left", advice))
    return report


def inspect_database(connection: Connection, report: Report) -> None:
    """Fill in the database's own report, and the damage that it finds."""
    report.schema = health_rows.revision(connection)
    report.journal_mode = health_rows.journal_mode(connection)
    report.size = health_rows.database_size(connection)
    damage = health_rows.broken(connection)
    copy = "copy the file away before anything else; sqlite3 FILE .recover gets out of it what can be got"
    report.findings += [Finding(f"the database is damaged: {line}", copy) for line in damage]
    if damage:
        return  # the other queries would fail
    report.tables = health_rows.table_sizes(connection)
    report.rows = health_rows.rows_by_state(connection)
    report.unused_pieces, report.unused_bytes = health_rows.unused_pieces(connection)
    report.proxies = health_rows.unended_runs(connection)
    report.reports = deliveries.counts(connection)
    report.waiting = deliveries.read(connection, deliveries.TABLE.state.in_(deliveries.WAITING), limit=MAX_REPORTS)
    report.findings += [Finding(*pair) for pair in report_problems(deliveries.failed(connection, limit=MAX_REPORTS))]
    if lost := health_rows.damaged_calls(connection):
        named = ", ".join(str(number) for number in lost[: health_rows.MAX_LISTED]) + (
            ", …" if len(lost) > health_rows.MAX_LISTED else ""
        )
        what = f"{len(lost)} calls have lost a piece of a body: {named}"
        report.findings.append(
            Finding(what, "take them from a copy of the store: mpal import COPY, after deleting them")
        )


type Pairs = Iterator[tuple[str, str]]
"""Pairs of a problem and advice."""


def live_proxies(report: Report) -> list[Run]:
    """Return the proxies that are alive."""
    return [run for run in report.proxies if recovery.is_alive(run.open_run)]


def database_problems(report: Report) -> Pairs:
    """Yield the problems that the database's report shows."""
    dead = [run for run in report.proxies if run.in_flight and not recovery.is_alive(run.open_run)]
    if left := sum(run.in_flight for run in dead):
        yield f"{left} calls are in flight of a proxy that has died", "the next mpal start finishes them"
    if report.journal_mode not in (None, "wal"):
        yield (
            f"the journal mode is {report.journal_mode}: readers and the proxy wait for each other",
            "with no proxy running: sqlite3 FILE 'PRAGMA journal_mode = WAL'",
        )


def export_problems(report: Report) -> list[tuple[str, str]]:
    """Return why running proxies do not export calls now."""
    problems = []
    for run in live_proxies(report):
        state = run.export
        if state is not None and state.problem is not None and not state.is_over:
            problem = f"process {run.open_run.pid} does not export calls: {state.place} {state.problem}"
            advice = "calls are stored, and exported once that is over"
            if state.left_out_since is not None:
                first = datetime.fromtimestamp(state.left_out_since / 1e6, UTC).astimezone()
                advice = f"once that is over, this sends what was left out: mpal otel --since '{first:%F %T}'"
            problems.append((problem, advice))
    return problems


def journal_problems(report: Report, url: str, home: Path) -> Pairs:
    """Yield journals with calls that are not stored yet or could not be stored, and files that are not journals."""
    for journal in report.journals:
        size = f"{journal.size / 1e6:,.1f} MB of calls wait in {journal.path}"
        if journal.problem:
            yield (
                f"{journal.path} has the name of a journal but cannot be read: {journal.problem}",
                "the proxy ignores it; find out what it is, and move it away",
            )
        elif journal.in_use:
            yield (
                f"{size}, because the store does not accept them",
                "the proxy's log has the reason; it stores them once the store accepts them again",
            )
        else:
            yield f"{size}, left by a proxy that has ended", "the next mpal start stores them"
    for path in report.kept:
        yield (
            f"something in {path} could not be read, or was refused by the database; all else of it is stored",
            "a newer MoonPalace may read them: rename the file so that it ends in .journal, and start the proxy",
        )
    for path in journal_place.others(url, home):
        yield f"calls of another store wait in {path}", "start mpal once with the --database that they were made with"


def report_problems(failed: Sequence[Delivery]) -> Pairs:
    """Yield the reports that were refused, or that may have arrived."""
    for each in failed:
        is_doubted = each.state is DeliveryState.IN_DOUBT
        what = "may have arrived, or not" if is_doubted else "was refused"
        look = "look whether it is there; if not, " if is_doubted else "correct that, and "
        yield f"report {each.id} to {each.destination} {what}: {each.reason}", f"{look}mpal report --retry {each.id}"


def inspect_files(file: Path, report: Report) -> None:
    """Fill in data from the file system."""
    log = companion(file, "-wal")
    report.log_size = log.stat().st_size if log.exists() else 0
    report.free_disk = shutil.disk_usage(file.parent).free
    report.backups = backups(file)


def companion(file: Path, ending: str) -> Path:
    """Return the path of a file that SQLite keeps next to the database."""
    return file.with_name(file.name + ending)


def permission_problems(file: Path, home: Path, report: Report) -> Pairs:
    """Yield files that other users can access, and the folder if it is our own."""
    own = [companion(file, ending) for ending in ("", "-wal", "-shm", "-journal")]
    for path in [
        *own,
        *(journal.path for journal in report.journals if not journal.problem),
        *report.kept,
        *report.backups,
    ]:
        if path.exists() and (mode := path.stat().st_mode) & OTHERS:
            yield f"{path} can be used by others (mode {stat.S_IMODE(mode):04o})", f"chmod 600 {path}"
    if file.parent.resolve() == home.resolve() and (mode := home.stat().st_mode) & OTHERS:
        yield f"{home} can be used by others (mode {stat.S_IMODE(mode):04o})", f"chmod 700 {home}"


def upgrade_problems(file: Path) -> Pairs:
    """Yield the leftovers of a killed upgrade."""
    folder = Places(file).folder
    if folder.exists():
        yield f"{folder} is left from an interrupted upgrade", f"rm -r {folder}"
