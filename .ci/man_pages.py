"""Put the man pages into the wheel; hatchling runs this when it builds one."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MIN_PYTHON = (3, 12)


class ManPages(BuildHookInterface[Any]):
    """Make a page for each command from its help."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the pages, and add them to the files of a wheel; one that refers to a checkout has none."""
        if version == "editable":
            return
        # pip builds the metadata before it compares `requires-python`; older versions cannot compile our modules.
        if sys.version_info < MIN_PYTHON:
            raise SystemExit("MoonPalace requires Python >={}.{}".format(*MIN_PYTHON))
        sys.path[:0] = [self.root, str(Path(self.root, "addons"))]
        from moonpalace_addons.version import __version__
        from moonpalace_cli.main import cli
        from moonpalace_cli.text.man_pages import pages

        folder = Path(self.directory, "man1")
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages(cli, "mpal", __version__):
            (folder / name).write_text(text, encoding="utf-8")
            build_data["shared_data"][str(folder / name)] = f"share/man/man1/{name}"
