"""Recorded kernel cases for tests: single ones by name, each file read once."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from sim.records.kernel_case import Case, load_case
from sim.records.layouts import LayoutFolder

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
LAYOUTS = DATA / "layouts"
FILES = ("counts.jsonl", "matrix.jsonl", "matrix-xfs.jsonl")


@cache
def _lines() -> dict[str, str]:
    """Return the line of each record, by the name of its case, which comes first or after a few settings."""
    found = {}
    for name in FILES:
        for line in (DATA / name).read_text().splitlines():
            found[line.partition('"case":')[2].split('"')[1]] = line
    return found


@cache
def _parsed(name: str) -> dict[str, Any]:
    record = json.loads(_lines()[name])
    assert record["case"] == name
    return record


def record_of(name: str, **changes: Any) -> dict[str, Any]:
    """Return a record of one's own of the case of this name, with some fields changed."""
    return deepcopy(_parsed(name)) | changes


def case_of(record: dict[str, Any]) -> Case:
    """Return a record with its layout."""
    return load_case(record, LayoutFolder(LAYOUTS), "mine:1")
