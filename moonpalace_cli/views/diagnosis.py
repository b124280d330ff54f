"""Format the doctor's report as lines and JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from moonpalace_cli.calls.presentation import local_time
from moonpalace_cli.text.tables import box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from moonpalace_addons.store.records.deliveries import Delivery
    from moonpalace_addons.store.telemetry.export_state import ExportState
    from moonpalace_addons.store.upkeep.health import Report
    from moonpalace_addons.store.upkeep.health_rows import Run
    from moonpalace_addons.store.upkeep.secret_search import Hit

WIDTH = 14
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def report_text(report: Report) -> Iterator[str]:
    """Yield the lines of a report."""
    from moonpalace_addons.store.upkeep.health import live_proxies

    yield line("database", report.database)
    yield line("version", f"MoonPalace {report.version}, schema {report.schema}")
    if report.journal_mode:
        yield line("journal mode", report.journal_mode)
    log = f" and {size(report.log_size)} in its log" if report.log_size else ""
    yield line("size", size(report.size or 0) + log)
    for name, bytes_ in report.tables.items():
        yield line("", f"{size(bytes_):>9}  {name}")
    yield line("calls", ", ".join(f"{number} {state}" for state, number in report.rows.items()) or "none")
    if report.unused_pieces:
        yield line("unused", f"{report.unused_pieces} pieces of bodies, {size(report.unused_bytes)}, for mpal cleanup")
    alive = live_proxies(report)
    yield line("proxies", "; ".join(proxy(run) for run in alive) or "none running")
    yield line("backlog", backlog(report))
    exports = [report.export, *(exported(run.open_run.pid, run.export) for run in alive if run.export is not None)]
    for number, text in enumerate(filter(None, exports)):
        yield line("" if number else "export", text)
    if report.reports:
        yield line(
            "reports", ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in report.reports.items())
        )
    for each in report.waiting:
        yield line("", waiting(each))
    for backup in report.backups:
        yield line("old file", f"{backup}, with the keys and cookies that the original stored")
    if report.free_disk is not None:
        yield line("free disk", size(report.free_disk))
    yield ""
    yield "nothing is wrong" if not report.findings else f"{len(report.findings)} wrong:"
    for finding in report.findings:
        yield f"  {finding.what}"
        yield f"    → {finding.advice}"


def backlog(report: Report) -> str:
    """Return the size of the calls that wait outside the store, and the most that a proxy keeps in memory."""
    from moonpalace_addons.store.write.memory import MEMORY_LIMIT, WINDOW_SIZE

    journals = [journal for journal in report.journals if not journal.problem]
    waiting = f"{size(sum(journal.size for journal in journals))} in {len(journals)} journals" if journals else "none"
    most, limit = size(WINDOW_SIZE), size(MEMORY_LIMIT)
    return f"{waiting}; a proxy has {most} of ended calls in memory at most, and a journal from {limit} on"


def waiting(delivery: Delivery) -> str:
    """Describe a waiting report."""
    whose = f" of rule {delivery.rule}" if delivery.rule else ""
    since = local_time(delivery.due_at)
    why = f": {delivery.reason}" if delivery.reason else ""
    return f"report {delivery.id}{whose} to {delivery.destination}, {delivery.calls} calls, due {since}{why}"


def exported(pid: int, state: ExportState) -> str:
    """Describe the state of a running proxy's export."""
    counts = f"process {pid}: {state.sent:,} calls taken, {state.waiting:,} waiting, {state.left_out:,} left out"
    if state.problem is None or state.problem_at is None:
        return counts
    at = local_time(state.problem_at)
    return f"{counts}; {'last problem, at' if state.is_over else 'since'} {at}: {state.problem}"


def line(name: str, text: str) -> str:
    """Return a line of a report."""
    return f"{name:<{WIDTH}}{text}"


def proxy(run: Run) -> str:
    """Describe a running proxy."""
    machine = run.open_run.host.partition("/")[0]
    since = local_time(run.started_at)
    heartbeat = f"last heartbeat {run.open_run.silent / 1e6:.0f} s ago"
    return f"process {run.open_run.pid} on {machine} since {since}, {heartbeat}, {run.in_flight} calls under way"


def size(bytes_: int) -> str:
    """Format a size for people."""
    for unit, name in UNITS:
        if bytes_ >= unit:
            return f"{bytes_ / unit:,.1f} {name}"
    return f"{bytes_} B"


def report_json(report: Report) -> dict[str, object]:
    """Return a report as a JSON object; sizes are in bytes, times in ISO 8601."""
    from moonpalace_addons.store.upkeep.health import live_proxies

    return {
        "database": report.database,
        "version": report.version,
        "schema": report.schema,
        "journal_mode": report.journal_mode,
        "size": report.size,
        "log_size": report.log_size,
        "free_disk": report.free_disk,
        "tables": report.tables,
        "rows": report.rows,
        "unused_pieces": report.unused_pieces,
        "unused_bytes": report.unused_bytes,
        "proxies": [proxy_json(run) for run in live_proxies(report)],
        "journals": [
            {"path": str(journal.path), "size": journal.size, "in_use": journal.in_use}
            for journal in report.journals
            if not journal.problem
        ],
        "kept_journals": [str(path) for path in report.kept],
        "export": report.export or None,
        "reports": report.reports,
        "backups": [str(path) for path in report.backups],
        "findings": [{"what": finding.what, "advice": finding.advice} for finding in report.findings],
    }


def proxy_json(run: Run) -> dict[str, object]:
    """Return a running proxy for --json."""
    return {
        "host": run.open_run.host,
        "pid": run.open_run.pid,
        "version": run.version,
        "started_at": datetime.fromtimestamp(run.started_at / 1e6, UTC).astimezone().isoformat(),
        "heard_of_seconds_ago": round(run.open_run.silent / 1e6, 3),
        "in_flight": run.in_flight,
        "export": None if run.export is None else asdict(run.export),
    }


def hits_text(hits: list[Hit]) -> Iterator[str]:
    """Yield the lines of a table of suspected secrets."""
    rows = [[str(hit.call or ""), hit.field, hit.kind, hit.masked] for hit in hits]
    yield from box(["id", "field", "kind", "secret"], rows).split("\n")
