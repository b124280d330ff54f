"""Open a store in several processes at once."""

import subprocess
import sys
from pathlib import Path

from moonpalace_addons.store.database import engine as engine_module

CREATE = """
import sys
sys.path.insert(0, sys.argv[2])
from moonpalace_addons.store.database.opening import open_store
sys.stdin.read(1)
open_store(sys.argv[1], create=True).dispose()
"""


def open_at_once(url: str) -> None:
    """Open a store in three processes, and create it if it does not exist; all of them must succeed."""
    source = str(Path(engine_module.__file__).parents[3])
    command = [sys.executable, "-c", CREATE, url, source]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("x")
        process.stdin.flush()
    results = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert results == [("", 0)] * 3
