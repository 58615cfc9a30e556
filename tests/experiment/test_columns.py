"""docs/run-directory.md lists every column of every table as the schemas do. As a script: write them."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa

from sim.config.cell_result import METRICS
from sim.experiment import columns
from sim.experiment.traced_columns import TRACED

DOCUMENT = Path(__file__).parents[2] / "docs" / "run-directory.md"
TABLES = {
    "calls": columns.CALLS,
    "failed": columns.FAILED,
    "histograms": columns.HISTOGRAMS,
    "io": columns.IO,
    "jobs": columns.JOBS,
    "reads": columns.READS,
    **TRACED,
}


def listed(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """Return (column, unit, meaning) of a schema."""
    return [
        (field.name, field.metadata[b"unit"].decode(), field.metadata[b"about"].decode()) for field in schema
    ]


def expected() -> dict[str, list[tuple[str, str, str]]]:
    """Return the columns of all tables; those of metrics.parquet that name an axis differ by experiment."""
    first = [*listed(pa.schema(columns.KEYS)), ("config_hash", "", "SHA-256 of the cell's configuration")]
    metrics = [(name, unit, about) for name, (unit, about) in METRICS.items()]
    return {"metrics": first + metrics} | {name: listed(schema) for name, schema in TABLES.items()}


def rows(columns: list[tuple[str, str, str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| column | unit | meaning |", "|---|---|---|"]
    return "\n".join(lines + [f"| `{name}` | {unit} | {about} |" for name, unit, about in columns])


def documented() -> dict[str, list[tuple[str, str, str]]]:
    """Return what the document says, table by table."""
    found = {}
    for name, text in re.findall(r"## (\w+)\.parquet\n(.*?)(?=\n## |\Z)", DOCUMENT.read_text(), re.DOTALL):
        found[name] = re.findall(r"^\| `(.+?)` \| (.*?) ?\| (.+) \|$", text, re.MULTILINE)
    return found


def test_every_column_is_documented_with_its_unit():
    """No column is missing, none is said that is not there, and units and meanings are the schema's."""
    assert documented() == expected()


def write() -> None:
    """Put the columns of today into the document."""
    text = DOCUMENT.read_text()
    for name, listing in expected().items():
        there = re.compile(rf"(## {name}\.parquet\n.*?\n)\| column .*?(?=\n\n|\n?\Z)", re.DOTALL)
        text = there.sub(rf"\g<1>{rows(listing)}", text)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    write()
