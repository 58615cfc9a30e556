"""The recordings follow their schema, and the schema refuses what is no record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sim.ext4.make.fiemap import parse_fiemap

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
SCHEMA = json.loads((KERNEL / "schema.json").read_text())
VALIDATOR = jsonschema.validators.validator_for(SCHEMA)(SCHEMA)
FILES = sorted(KERNEL.glob("*/counts*.jsonl")) + sorted(KERNEL.glob("*/matrix*.jsonl"))


def records(file: Path) -> list[dict[str, Any]]:
    """Return the records of a file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_record_follows_the_schema(file: Path) -> None:
    """
    A record has no field that the schema does not explain, and all it asks for; no name is there twice.

    The schema is asked of the least and the most of a record's counts, and of all whether they are like them.
    """
    found = records(file)
    for record in found:
        counts = record.get("counts", {})
        assert {int} >= set(map(type, counts.values())), record.get("case")
        ends = sorted(counts, key=counts.__getitem__)
        least_and_most = {symbol: counts[symbol] for symbol in (*ends[:1], *ends[-1:])}
        asked = record | {"counts": least_and_most} if counts else record
        assert [] == [error.message for error in VALIDATOR.iter_errors(asked)], record.get("case")
    assert len(found) == len({record["case"] for record in found})


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_layout_is_there_and_says_what_the_record_says(file: Path) -> None:
    """A record's layout file exists, can be read as a FIEMAP list, and has as many extents."""
    counted = {record["layout_file"]: record["fiemap_extents"] for record in records(file)}
    for name, extents in counted.items():
        document = json.loads((file.parent / "layouts" / name).read_text())
        assert extents == len(document["extents"])
        assert extents == 0 or parse_fiemap(name, json.dumps(document)).extents


@pytest.mark.parametrize(
    "change",
    [
        {"access": "sideways"},
        {"access": "stride"},
        {"block_size": 512},
        {"colour": "blue"},
        {"counts": {"ext4_map_blocks": -1}},
        {"cached_pages": [[1, 2, 3]]},
    ],
    ids=str,
)
def test_the_schema_refuses(change: dict[str, Any]) -> None:
    """An unknown pattern, one without its parameters, a strange field, a negative count, half a range."""
    record = records(KERNEL / "linux-6.1.192" / "matrix.jsonl")[0]
    assert VALIDATOR.is_valid(record)
    assert not VALIDATOR.is_valid(record | change)


def test_the_kernel_read_our_images_as_we_wrote_them() -> None:
    """Every file of our images had, inside the kernel, our extents and our digest; encrypted ones too."""
    rows = json.loads((KERNEL / "linux-6.1.192" / "digests.json").read_text())
    assert {True, False} == {row["encrypted"] for row in rows}
    assert {1024, 2048, 4096} == {row["block_size"] for row in rows}
    for row in rows:
        assert row["ours_sha256"] == row["sha256"]
        assert row["same_extents"]
