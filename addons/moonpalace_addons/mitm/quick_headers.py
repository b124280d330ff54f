"""mitmproxy's headers with an index by name, which the addons and the engine share."""

from collections.abc import Iterable
from functools import lru_cache
from types import MappingProxyType
from typing import cast

from mitmproxy.http import Headers

from moonpalace_addons.wire.header_fields import Fields, Named, by_name


@lru_cache(512)
def _indexed_name(name: str | bytes) -> bytes:
    """Return a name as it is in the index. Cached, as addons ask for the same names in every call."""
    return (name.encode("utf-8", "surrogateescape") if isinstance(name, str) else name).lower()


class QuickHeaders(Headers):
    """Headers with an index by name: lookups, of which addons do a dozen per call, cost a tenth."""

    _by_name: Named = MappingProxyType({})
    _indexed: object = None
    """The fields that `_by_name` indexes; any change of the headers replaces them."""

    @property
    def named(self) -> Named:
        """Return the index of the present fields."""
        if self._indexed is not self.fields:
            self.index(by_name(self.fields))
        return self._by_name

    def index(self, named: Named) -> None:
        """Use an index of the present fields that was made before."""
        self._by_name, self._indexed = named, self.fields

    def get_all(self, name: str | bytes) -> list[str]:
        """Return the values of all fields with a name."""
        named = self.named
        is_single = len(named) == len(self.fields) and _indexed_name(name) in named
        return [self[name]] if is_single else super().get_all(name)

    def get(self, key: str | bytes, default: object = None) -> object:
        """Return the values of a name joined by commas, or the default."""
        value = self.named.get(_indexed_name(key))
        return default if value is None else value.decode("utf-8", "surrogateescape")

    def __getitem__(self, key: str | bytes) -> str:
        """Return the values of a name joined by commas; raise KeyError if there are none."""
        return self.named[_indexed_name(key)].decode("utf-8", "surrogateescape")

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a field with a name."""
        return _indexed_name(cast(str, key)) in self.named

    def set_all(self, name: str | bytes, values: Iterable[str | bytes]) -> None:
        """Set all fields of a name; replacing a single field by a single value keeps its position."""
        given, sought, named = list(values), _indexed_name(name), self.named
        if len(given) != 1 or sought not in named or len(named) != len(self.fields):
            super().set_all(name, given)
            return
        value = given[0].encode("utf-8", "surrogateescape") if isinstance(given[0], str) else given[0]
        fields, at = list(self.fields), list(named).index(sought)  # no name is twice: the index has the fields' order
        fields[at] = fields[at][0], value
        self.fields = tuple(fields)
        self.index({**named, sought: value})


def make_headers(fields: Fields, named: Named | None = None) -> Headers:
    """Return mitmproxy's headers for parsed fields, whose index may be there already."""
    headers = QuickHeaders.__new__(QuickHeaders)
    headers.fields = tuple(fields)
    if named is not None:
        headers.index(named)
    return headers


def named_fields(headers: Headers) -> Named:
    """Return the values of headers by name, from the index if there is one."""
    return headers.named if isinstance(headers, QuickHeaders) else by_name(headers.fields)
