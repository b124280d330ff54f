"""Classify a repeated unit of text as data or code (a table row, a line of JSON, a call) rather than prose.

Data repeats itself legitimately where prose does not: nine rows of zeros are a matrix, nine equal sentences are a loop.
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
"""Digits with a separator: in a unit without letters, these are rows of numbers."""


def looks_like_data(unit: str) -> bool:
    """Tell whether a repeated unit is more likely data or code than prose.

    The unit may begin anywhere: its end continues at its start.
    """
    twice = unit + unit
    if _DATA.search(twice):
        return True
    has_letters = any(character.isalpha() for character in unit)
    return not has_letters and _SEPARATED_DIGITS.search(twice) is not None
