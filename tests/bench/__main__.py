"""Run the benchmarks whose module's name contains a word given on the command line; all without one.

Options after the word are those of the modules: each module that has some parses `sys.argv[2:]` in `parsed_options`.
"""

import argparse
import importlib
import pkgutil
import sys

from tests import bench


def main() -> None:
    """Run every `time_*` function of the chosen modules and print what it returns."""
    found = [module.name for module in pkgutil.iter_modules(bench.__path__) if module.name.startswith("bench_")]
    names = ", ".join(name.removeprefix("bench_") for name in found)
    parser = argparse.ArgumentParser(prog="python -m tests.bench", usage="%(prog)s [WORD [OPTIONS]]")
    parser.add_argument("word", nargs="?", default="", help=f"run the benchmarks whose name contains it: {names}")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of that benchmark: WORD --help")
    given = parser.parse_args()
    chosen = [importlib.import_module(f"tests.bench.{name}") for name in found if given.word in name]
    if not chosen:
        parser.error(f"{given.word!r} is in no name of a benchmark: {names}")
    for module in chosen if given.options else ():
        if "parsed_options" not in vars(module):
            parser.error(f"{module.__name__} has no options: {' '.join(given.options)}")
        module.parsed_options()
    for module in chosen:
        for name, function in vars(module).items():
            if name.startswith("time_"):
                print(f"== {module.__name__.rpartition('.')[2]}.{name}: {function.__doc__}", flush=True)  # noqa: T201
                for line in function():
                    print(f"   {line}", flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.path.insert(0, "addons")
    main()
