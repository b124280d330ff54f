"""Give up early on a store that does not answer: what a Python whose PYTHONPATH has this folder does before all else.

Tests in which a whole proxy has to wait for a store would otherwise sit these waits out, some of them several times.
What they check is what happens then, and how long it may take at the most follows from the same constants.
"""

from moonpalace_addons.store.database import engine, postgres_timeout

engine.BUSY_TIMEOUT = 0.5
postgres_timeout.RESPONSE_TIMEOUT = postgres_timeout.TimeoutConnection.response_timeout = 1.5

from moonpalace_addons.store.write import writer  # noqa: E402 - it works out its own from the others

writer.JOURNALED_DRAIN_TIMEOUT = 0.5
writer.DRAIN_TIMEOUT = 3.0
