"""One setting: where its value can be given, how it is read, its default and its help."""

from dataclasses import dataclass, field
from typing import cast

from moonpalace_addons.settings import kinds


@dataclass(frozen=True, slots=True)
class Setting[T]:
    """Define one setting; `name` is its flag without the leading dashes.

    `config_keys` is its path in config.yaml unless that is `start` and the name. `default_text` describes a default
    that is determined at run time.
    """

    name: str
    kind: kinds.Kind[T]
    default: T
    about: str
    config_keys: tuple[str, ...] = ()
    short: str = ""
    secret: bool = False
    default_text: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """Return its keys in config.yaml, outermost first."""
        return self.config_keys or ("start", self.name)

    @property
    def field(self) -> str:
        """Return the name of its field in `Settings`."""
        return self.name.replace("-", "_")

    @property
    def env(self) -> str:
        """Return the name of the environment variable."""
        return f"MOONPALACE_{self.field.upper()}"

    @property
    def option(self) -> str:
        """Return the name of its mitmproxy option, for `--set`."""
        return f"moonpalace_{self.field}"

    @property
    def help(self) -> str:
        """Return one paragraph with the setting's effect, unit and default."""
        default = self.default_text or (f"{self.default:g}" if isinstance(self.default, float) else str(self.default))
        if self.kind.form == "switch" and not self.default_text:
            default = "on" if self.default else "off"
        return self.about + ("" if self.secret else f" Default: {default}.")


def setting[T, D](
    kind: kinds.Kind[T],
    default: D,
    about: str,
    *,
    config_keys: tuple[str, ...] = (),
    short: str = "",
    secret: bool = False,
    default_text: str = "",
    in_repr: bool = True,
) -> T | D:
    """Return the dataclass field of a setting; the arguments are those of `Setting`.

    With `in_repr=False` a value that may contain a password is left out of the repr, as secrets always are.
    """
    described = {
        "kind": kind,
        "default": default,
        "about": about,
        "config_keys": config_keys,
        "short": short,
        "secret": secret,
        "default_text": default_text,
    }
    made: T | D = field(default=default, repr=in_repr and not secret, metadata=described)
    return made


def derived[T](
    kind: kinds.Kind[T], about: str, *, default_text: str, config_keys: tuple[str, ...] = (), in_repr: bool = True
) -> T:
    """Return the dataclass field of a setting whose default is determined when the settings are resolved."""
    return cast(T, setting(kind, None, about, config_keys=config_keys, default_text=default_text, in_repr=in_repr))
