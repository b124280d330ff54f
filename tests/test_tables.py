"""A test that goes through a table."""

import inspect

import pytest

from tests.tables import for_each


def test_all_cases_are_tried_and_those_that_fail_are_named() -> None:
    """Also those in which an exception is expected, and does not come."""
    tried = list[tuple[int, str]]()

    @for_each("number", [1, 2, 0])
    @for_each(("text", "allowed"), [("5", 5), ("x", 0)])
    def test(number: int, text: str, allowed: int) -> None:
        tried.append((number, text))
        if number:
            assert int(text) <= allowed
        else:
            with pytest.raises(ValueError, match="invalid literal"):
                int(text)

    with pytest.raises(BaseExceptionGroup, match="3 of 3 cases fail") as raised:
        test()
    assert tried == [(number, text) for number in (1, 2, 0) for text in ("5", "x")]
    noted = [(failed.__notes__, [case.__notes__ for case in failed.exceptions]) for failed in raised.value.exceptions]
    assert noted == [
        (["with {'number': 1}"], [["with {'text': 'x', 'allowed': 0}"]]),
        (["with {'number': 2}"], [["with {'text': 'x', 'allowed': 0}"]]),
        (["with {'number': 0}"], [["with {'text': '5', 'allowed': 5}"]]),
    ]


def test_no_failure_is_hidden() -> None:
    """Of a group Python shows 15; and a case that is skipped would have pytest report the whole test as skipped."""

    @for_each("number", range(40))
    def test(number: int) -> None:
        if number == 20:
            pytest.skip("not here")
        assert not number % 2

    with pytest.raises(BaseExceptionGroup) as raised:
        test()
    failed = "; ".join(f"with {{'number': {number}}}" for number in range(40) if number % 2 or number == 20)
    assert raised.value.message == f"21 of 40 cases fail, {failed}"


def test_fixtures_are_given_once() -> None:
    """The test asks for all but what is in the table."""

    @for_each("name", ["a", "b"])
    def test(name: str, given: list[str]) -> None:
        given.append(name)

    assert list(inspect.signature(test).parameters) == ["given"]
    given = list[str]()
    test(given=given)
    assert given == ["a", "b"]


def test_a_table_has_cases() -> None:
    """One that has become empty is an error rather than a test that passes."""
    with pytest.raises(AssertionError, match="there is no case"):
        for_each("name", [])(lambda name: None)
