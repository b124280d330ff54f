"""Buttons that write predicates."""

from moonpalace_addons.store.query.parser import parse
from moonpalace_cli.web.buttons import buttons, fixed, joined, without
from tests.exchanges import an_exchange
from tests.tables import for_each

PREDICATES = [predicate for _, predicate in fixed()]


@for_each("predicate", PREDICATES)
@for_each("query", ["", "id == 1", "model == 'x' || stream"])
def test_pressed_twice(query: str, predicate: str) -> None:
    """A button adds its predicate, in parentheses if necessary, and removes it again."""
    both = joined(query, predicate)
    parse(both)
    left = without(both, predicate)
    assert left is not None
    assert left in (query, f"({query})")
    assert without(left, predicate) is None
    assert not query or parse(left)


def test_several_are_taken_away_in_any_order() -> None:
    """Each pressed button removes only its own predicate."""
    query = ""
    for predicate in PREDICATES:
        query = joined(query, predicate)
    for place in (3, 0, 5, 1, 4, 2, 6):
        result = without(query, PREDICATES[place])
        assert result is not None
        assert not result or parse(result)
        query = result
    assert query == ""


def test_models_and_keys_of_the_calls() -> None:
    """There is a button for each shown model, and for each key if there are several."""
    one = an_exchange(model_answered="it's", key_fingerprint="aaaaaaaaaa")
    other = an_exchange(model_answered=None, model_requested="k3", key_fingerprint="bbbbbbbbbb")
    named = {button.name: button.predicate for button in buttons("", [one, other]) if button.is_verbatim}
    assert named == {
        "it's": r"model == 'it\'s'",
        "k3": "model == 'k3'",
        "key aaaaaa": "key_fingerprint == 'aaaaaaaaaa'",
        "key bbbbbb": "key_fingerprint == 'bbbbbbbbbb'",
    }
    assert not [button for button in buttons("", [one, one]) if button.name.startswith("key")]
