"""Continuations of an unfinished filter, at `/complete?q=PREDICATE&at=POSITION`."""

from __future__ import annotations

from moonpalace_addons.errors import MoonPalaceError
from moonpalace_cli.flags.offering import Offer, offers
from moonpalace_cli.web.page import Page


class CompletePage(Page):
    """Suggest fields, operators and values."""

    async def get(self) -> None:
        """Answer with the suggestions for the characters from `from` to `to`, which are counted in code points."""
        text, place = self.get_query_argument("q", "", strip=False), self.argument("at")
        if place and not (place.isdecimal() and len(place) < 10):
            raise MoonPalaceError("at is the number of characters before the caret")
        at = min(int(place), len(text)) if place else len(text)
        suggested = await self.read(lambda: offers(self.console.engine, text, at))
        document = [{"text": each.text, "meaning": self.meaning(each)} for each in suggested.offers]
        self.give_json({"from": suggested.start, "to": suggested.end, "offers": document})

    def meaning(self, offer: Offer) -> str:
        """Return the meaning of a suggestion, in the language of the user."""
        if isinstance(offer.meaning, int):
            return self.translate("{count} calls" if offer.meaning > 1 else "{count} call", count=f"{offer.meaning:,}")
        return self.translate(offer.meaning)
