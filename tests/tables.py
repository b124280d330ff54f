"""Tables of cases that one test goes through, where pytest would spend more on a test for each than the cases take."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import pytest

type Test = Callable[..., None]

FAILURES = (Exception, BaseExceptionGroup, pytest.fail.Exception, pytest.skip.Exception)
"""What a case ends with that fails; one that is skipped would hide those that failed before it."""


def for_each(names: str | tuple[str, ...], cases: Iterable[Any]) -> Callable[[Test], Test]:
    """Have a test go through all cases, of which `pytest.mark.parametrize` would make a test each.

    All are tried, and those that fail are named. A case must leave nothing behind, as fixtures are not made anew, and
    cannot be skipped.
    """
    table = list(cases)
    wanted = (names,) if isinstance(names, str) else names

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def whole(**fixtures: object) -> None:
            failures = list[BaseException]()
            for case in table:
                values = dict(zip(wanted, (case,) if isinstance(names, str) else case, strict=True))
                try:
                    test(**fixtures, **values)
                except FAILURES as failure:
                    failure.add_note(f"with {values}")
                    failures.append(failure)
            if failures:
                # Of a group Python shows the first 15.
                named = "; ".join(failure.__notes__[-1] for failure in failures)
                raise BaseExceptionGroup(f"{len(failures)} of {len(table)} cases fail, {named}", failures)

        assert table, "there is no case"
        signature = inspect.signature(test)
        others = [parameter for name, parameter in signature.parameters.items() if name not in wanted]
        vars(whole)["__signature__"] = signature.replace(parameters=others)
        return whole

    return decorate
