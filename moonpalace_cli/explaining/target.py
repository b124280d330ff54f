"""Find the endpoint, the model and the key that explain calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from moonpalace_addons.errors import SettingError
from moonpalace_addons.settings import kinds
from moonpalace_addons.settings.endpoints import Endpoint
from moonpalace_addons.settings.explainer import KIMI
from moonpalace_addons.settings.values import Settings, with_proxy
from moonpalace_cli.views.showing.phrases import Phrase, phrase

KIMI_SITES = (KIMI, "https://api.moonshot.ai")
"""The hosts that get the key in `KEY_VARIABLE`."""
KEY_VARIABLE = "MOONSHOT_API_KEY"


@dataclass(frozen=True, slots=True)
class Target:
    """A model at an endpoint, which may have a key, headers and an outgoing proxy."""

    endpoint: Endpoint
    model: str

    @property
    def lacks_key(self) -> bool:
        """Return whether the request would go to the Kimi API without a key."""
        return self.endpoint.site in KIMI_SITES and not self.endpoint.secrets

    @property
    def named(self) -> Phrase:
        """Return the model and its endpoint as text."""
        return phrase("{model} at {url}", model=self.model, url=self.endpoint.url)

    def __str__(self) -> str:
        return str(self.named)


def find_target(
    settings: Settings, environ: Mapping[str, str], *, via: str | None, model: str | None, key: str | None
) -> Target:
    """Return the target: the flags `via`, `model` and `key` take precedence over config.yaml; raise SettingError."""
    choice = via or settings.explain.endpoint
    where = "flag --via" if via else "explain.endpoint"
    endpoint = default_endpoint(settings) if choice is None else endpoint_of(choice, where, settings.endpoints)
    own = settings.explain.key if via in (None, settings.explain.endpoint) else None  # the key is for that endpoint
    kimi = environ.get(KEY_VARIABLE, "").strip() if endpoint.site in KIMI_SITES else None
    chosen = replace(endpoint, key=checked(key) or own or endpoint.key or (checked(kimi, f"variable {KEY_VARIABLE}")))
    return Target(with_proxy(chosen, settings.explain.proxy, environ), model or settings.explain.model)


def default_endpoint(settings: Settings) -> Endpoint:
    """Return the configured endpoint if it belongs to Kimi, else Kimi's default."""
    first = settings.endpoints[0]
    return first if first.site in KIMI_SITES else Endpoint(KIMI)


def endpoint_of(text: str, where: str, named: tuple[Endpoint, ...]) -> Endpoint:
    """Return the endpoint with this name or URL."""
    for endpoint in named:
        if endpoint.name == text:
            return endpoint
    try:
        url = kinds.ENDPOINT.parse(text)
    except ValueError as error:
        names = ", ".join(each.name for each in named if each.name) or "none"
        why = str(error) if isinstance(error, kinds.HintError) else f"must be {kinds.ENDPOINT.allowed}"
        raise SettingError(f"{where}: {why}, or the name of one of endpoints: in config.yaml ({names})") from None
    return next((endpoint for endpoint in named if endpoint.url == url), Endpoint(url))


def checked(key: str | None, where: str = "flag --key") -> str | None:
    """Return a key, None if it is empty; raise SettingError if a header cannot contain it."""
    if not key:
        return None
    try:
        return kinds.SECRET.parse(key)
    except ValueError:
        raise SettingError(f"{where}: the value must be {kinds.SECRET.allowed}") from None
