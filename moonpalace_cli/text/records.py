"""Print records for programs: JSON, JSON Lines, CSV or YAML."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from typing import Literal

from moonpalace_addons.wire.json_text import Json, compact, dumps
from moonpalace_cli.output import print_json, print_text

type Form = Literal["table", "json", "jsonl", "csv", "yaml"]

FORMS = ("table", "json", "jsonl", "csv", "yaml")
"""The output forms of records; a table is for people."""


def print_records(lines: Iterable[str], form: Form) -> None:
    """Print records, each given as a JSON object in one line, in any form except a table."""
    if form == "jsonl":
        for line in lines:
            print_json(line)
    elif form == "json":
        objects = list(lines)
        print_json("[\n" + ",\n".join(objects) + "\n]" if objects else "[]")
    elif form == "csv":
        print_csv(lines)
    else:
        print_yaml([json.loads(line) for line in lines])


def print_object(value: Json, form: Form) -> None:
    """Print a single object in any form except a table: JSON is indented, JSON Lines have it on one line."""
    if form == "json":
        print_json(dumps(value))
    elif form == "yaml":
        print_yaml(json.loads(dumps(value)))
    else:
        print_records([compact(dumps(value))], form)


def print_yaml(value: object) -> None:
    """Print a value as YAML."""
    import yaml  # 0.02 s

    print_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))


def print_csv(lines: Iterable[str]) -> None:
    """Print a header and a row for each record; values other than texts and numbers are JSON, null is empty."""
    import csv  # only few users need it

    for place, line in enumerate(lines):
        record = json.loads(line)
        rows = ([*record], [cell(value) for value in record.values()])
        written = io.StringIO()
        csv.writer(written, lineterminator="\n").writerows(rows if place == 0 else rows[1:])
        print_text(written.getvalue())


def cell(value: object) -> object:
    """Return a value for a cell."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
