"""The exceptions that MoonPalace reports to users.

::

    MoonPalaceError            exit code 1; its text is one line for the user: what, where, what to do instead
    ├── SettingError           exit code 2; an invalid value or an unknown name in a flag, variable, option or file
    ├── StoreError             the database cannot be opened, is not ours, or fails
    └── NotFoundError          no stored call matches
"""


class MoonPalaceError(Exception):
    """Base of all errors that are reported to the user as one line `Error: …`.

    `detail` holds further lines, which point at a position in the user's input.
    """

    exit_code = 1
    detail = ""


class SettingError(MoonPalaceError):
    """Raised for an unknown setting or an invalid value."""

    exit_code = 2


class StoreError(MoonPalaceError):
    """Raised if the database cannot be used."""


class NotFoundError(MoonPalaceError):
    """Raised if no stored call matches."""
