"""The state that all pages of a console share."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from moonpalace_cli.web.access import Access

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from moonpalace_cli.web.explainer import Explainer
    from moonpalace_cli.web.time_limit import TimeLimit
    from moonpalace_cli.web.watching import Watcher


@dataclass(frozen=True, slots=True)
class Console:
    """A console on a store; `executor` runs blocking functions, `limit` ends slow ones, `name` is that of the store."""

    engine: Engine
    access: Access
    executor: Executor
    limit: TimeLimit
    watcher: Watcher
    name: str
    cookie: str
    redact_pattern: str | None = None
    explainer: Explainer | None = None
