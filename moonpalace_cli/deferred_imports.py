"""Defer imports that libraries make for features which a short command does not use.

On a busy machine `mpal list` takes 740 ms of CPU, 430 of them for SQLAlchemy; asyncio would add 68.
"""

import gc
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType

ASYNCIO = {"iscoroutine": inspect.iscoroutine}
"""The attributes that SQLAlchemy reads from asyncio at import; it needs the rest for asynchronous engines only."""


class DeferredModule(ModuleType):
    """A stand-in for a module that is imported on first use."""

    def __getattr__(self, name: str) -> object:
        """Import the module, and return its attribute."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class DeferredPackage(DeferredModule):
    """A stand-in for a package that is imported when an attribute other than a submodule is first used."""

    def __getattr__(self, name: str) -> object:
        """Import the submodule of this name, if there is one, else the package."""
        if sys.modules.get(self.__name__) is self and importlib.util.find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        return super().__getattr__(name)


def defer(name: str, attributes: Mapping[str, object] | None = None) -> None:
    """Make the next `import name` return a stand-in with only these attributes, unless the module is loaded already."""
    if name not in sys.modules:
        module = DeferredModule(name)
        vars(module).update(attributes or {})
        sys.modules[name] = module


def defer_package(name: str) -> None:
    """Import a package's submodules without running its `__init__`, unless it is loaded already."""
    if name in sys.modules:
        return
    spec = importlib.util.find_spec(name)
    if spec is not None and spec.submodule_search_locations is not None:
        package = DeferredPackage(name)
        package.__path__ = spec.submodule_search_locations
        sys.modules[name] = package


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without garbage collection, which finds nothing in modules and takes a tenth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
