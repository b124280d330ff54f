"""Tell data and code from prose by a unit of text that is repeated: a row of a table, a line of JSON, a call.

Data repeats itself legitimately where prose does not: nine rows of zeros are a matrix, nine equal sentences are none.
"""

import re

_DATA = re.compile(
    r"""
      [][{}|]                                        # lists, objects, tables
    | "\s*:  | :\s*"  | ",\s*["\n\d]                  # keys and values
    | </?\w  | /?>\s*<                               # tags
    | \w\(   | \)\s*[;:]?\s*\n                       # calls
    | [\w)]\s*[-+*/]?=\s*\w                          # assignments
    | ;\s*\n | ;\S                                   # statements
    | ,[^\s\d'"”’)]  | \d,(?!\d{3}(?!\d)|\d{1,2}$)\S  # lists without blanks, but no 1,000
    | (?<=\n)[ \t]*(?:-[ ])?[\w.-]+:[ \t]*\S*\n      # YAML, headers
    """,
    re.VERBOSE,
)
_SEPARATED_DIGITS = re.compile(r"\d\W|\W\d")
"""Digits with something between them, which without any letters are numbers in rows."""


def looks_like_data(unit: str) -> bool:
    """Tell whether a unit, which is repeated, is rather one of data or code than one of prose.

    It may begin anywhere: what stands at its end goes on at its start.
    """
    twice = unit + unit
    if _DATA.search(twice):
        return True
    has_letters = any(character.isalpha() for character in unit)
    return not has_letters and _SEPARATED_DIGITS.search(twice) is not None
