"""Run the benchmarks whose module's name contains a word given on the command line; all without one.

What follows the word is left to the modules: those with options parse `sys.argv[2:]`.
"""

import importlib
import pkgutil
import sys

from tests import bench


def main() -> None:
    """Run every `time_*` function of the chosen modules and print what it returns."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    for module in pkgutil.iter_modules(bench.__path__):
        if not module.name.startswith("bench_") or word not in module.name:
            continue
        loaded = importlib.import_module(f"tests.bench.{module.name}")
        for name in vars(loaded):
            if name.startswith("time_"):
                print(f"== {module.name}.{name}: {getattr(loaded, name).__doc__}", flush=True)  # noqa: T201
                for line in getattr(loaded, name)():
                    print(f"   {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, "addons")
    main()
