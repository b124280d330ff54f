"""Browse and query the store with Datasette: as JSON from Python, and in a browser.

pip install datasette; python sql_datasette.py [DATABASE]
"""

import asyncio
import sys
from pathlib import Path

from datasette.app import Datasette

database = Path(sys.argv[1] if len(sys.argv) > 1 else "~/.moonpalace/moonpalace.sqlite").expanduser()


async def main() -> None:
    """Ask for a table, for a query, and for the messages of one call."""
    store = Datasette([str(database)])
    base = f"/{database.stem}"

    # %% Filters are part of the address, as in the browser.
    table = await store.client.get(f"{base}/calls.json?_shape=array&_col=model&_col=state&_sort_desc=id&_size=3")
    print(table.json())

    # %% Any query.
    query = "SELECT model, count(*) AS calls, avg(latency_ms) AS ms FROM calls GROUP BY model ORDER BY model"
    answer = await store.client.get(f"{base}.json", params={"sql": query, "_shape": "array"})
    for row in answer.json():
        print(row["model"], row["calls"], f"{row['ms']:.1f} ms")

    # %% One call as a conversation.
    messages = await store.client.get(f"{base}/messages.json?_shape=array&call_id=1")
    for message in messages.json():
        print(message["role"], (message["text"] or "")[:70])


asyncio.run(main())
print(f"in a browser: datasette {database}")
