"""What calls cost, how long they took and which tools they called, with pandas.

pip install pandas; python sql_pandas.py [DATABASE]
"""

import sqlite3
import sys
from pathlib import Path

import pandas as pd

database = Path(sys.argv[1] if len(sys.argv) > 1 else "~/.moonpalace/moonpalace.sqlite").expanduser()
store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)

# %% One row for each call, without bodies.
calls = pd.read_sql("SELECT * FROM calls", store, index_col="id", parse_dates=["requested_at"])
print(calls.groupby("model")[["tokens", "cost"]].sum(min_count=1))

# %% Times by hour; durations are milliseconds.
by_hour = calls.set_index("requested_at").resample("h")["latency_ms"]
print(by_hour.quantile([0.5, 0.9]).unstack().dropna())

# %% The share of the prompt that was cached.
print((calls["cached_tokens"].sum() / max(1, calls["prompt_tokens"].sum())).round(3))

# %% Messages of the newest calls: bodies are put together for these only.
messages = pd.read_sql("SELECT * FROM messages WHERE call_id > (SELECT max(id) - 100 FROM calls)", store)
print(messages.groupby(["side", "role"]).size())
