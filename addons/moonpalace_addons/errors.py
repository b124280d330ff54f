"""The exceptions that MoonPalace raises on purpose.

::

    MoonPalaceError            exit code 1; its text is one line for the user: what, where, what to do instead
    ├── SettingError           exit code 2; a bad value or an unknown name in a flag, variable, option or file
    ├── StoreError             the database cannot be opened, is not ours, or refuses to work
    └── NotFoundError          no stored call matches
"""


class MoonPalaceError(Exception):
    """Base of all errors that are reported to the user as one line `Error: …`.

    Only what points into a text of the user's has more lines, in `detail`.
    """

    exit_code = 1
    detail = ""


class SettingError(MoonPalaceError):
    """Report a setting that is unknown or has a bad value."""

    exit_code = 2


class StoreError(MoonPalaceError):
    """Report a database that cannot be used."""


class NotFoundError(MoonPalaceError):
    """Report that no stored call matches what was asked for."""
