"""Put off imports that libraries make for uses that a short command never comes to.

Of the 671 ms of CPU that `mpal list` takes on a busy machine (python alone takes 23), asyncio would take 68 more, and
wcwidth 25.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from types import ModuleType

ASYNCIO = {"iscoroutine": inspect.iscoroutine}
"""What SQLAlchemy takes from asyncio while it is imported itself; the rest it needs for asynchronous engines only."""


class DeferredModule(ModuleType):
    """Stand for a module that is imported when something of it is first used."""

    def __getattr__(self, name: str) -> object:
        """Import the module, and give what was asked for."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)


class DeferredPackage(DeferredModule):
    """Stand for a package that is imported when something of it is first used that is no module of it."""

    def __getattr__(self, name: str) -> object:
        """Import the module of this name, if there is one, else the package."""
        if sys.modules.get(self.__name__) is self and importlib.util.find_spec(f"{self.__name__}.{name}"):
            return importlib.import_module(f"{self.__name__}.{name}")
        return super().__getattr__(name)


def defer(name: str, known: Mapping[str, object] | None = None) -> None:
    """Have the next `import name` give a stand-in, which knows only `known`; nothing if the module is there already."""
    if name not in sys.modules:
        module = DeferredModule(name)
        vars(module).update(known or {})
        sys.modules[name] = module


def defer_package(name: str) -> None:
    """Have modules of a package imported without what it imports itself; nothing if the package is there already."""
    found = importlib.util.find_spec(name)
    if name not in sys.modules and found is not None and found.submodule_search_locations is not None:
        package = DeferredPackage(name)
        package.__path__ = found.submodule_search_locations
        sys.modules[name] = package
