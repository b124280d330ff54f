"""Two calls side by side, at `/compare?call=12&call=13`."""

from __future__ import annotations

from sqlalchemy import Engine

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_addons.store.read.outcomes import outcome
from moonpalace_cli.views.comparing.comparison import Comparison, compare
from moonpalace_cli.views.comparing.document import document
from moonpalace_cli.views.showing.facts import read_facts
from moonpalace_cli.web.call import read_row
from moonpalace_cli.web.compared import compared
from moonpalace_cli.web.page import Page


class ComparePage(Page):
    """Show two calls side by side, the earlier one on the left."""

    async def get(self) -> None:
        """Answer with the comparison."""
        numbers, engine = self.numbers(), self.console.engine
        if self.wants_json:
            self.give_json(await self.read(lambda: document(read(engine, *numbers))))
            return
        comparison = await self.read(lambda: compared(read(engine, *numbers)))
        self.give_page(
            "compare.html",
            shown=comparison,
            calls=comparison.found.calls,
            outcome=outcome,
            query=self.argument("q"),
        )

    def numbers(self) -> tuple[int, int]:
        """Return the ids of the two calls; raise MoonPalaceError for anything else."""
        ids = self.get_query_arguments("call")
        numbers = {int(text.lstrip("#")) for text in ids if text.lstrip("#").isdecimal() and len(text) <= 20}
        if len(ids) != 2 or len(numbers) != 2:
            raise MoonPalaceError("name two different calls by their ids, as in /compare?call=12&call=13")
        one, other = sorted(numbers)
        return one, other


def read(engine: Engine, *numbers: int) -> Comparison:
    """Return the comparison of two calls; raise NotFoundError if one of them does not exist."""
    one, other = (read_facts(engine, read_row(engine, number)) for number in numbers)
    return compare(one, other)
