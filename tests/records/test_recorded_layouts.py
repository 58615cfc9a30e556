"""Layout files: their form is checked, their digest is of what they say, not of what they are called."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from kernel_records import DATA, LAYOUTS, case_of, record_of
from typer.testing import CliRunner

from sim.cli.main import app
from sim.errors import ConfigError
from sim.records.layouts import LayoutFolder

NAME = "image_bs1024_frag64.json"


def layout_of(name: str = NAME, **changes: Any) -> dict[str, Any]:
    """Return a recorded layout, with some fields changed."""
    return json.loads((LAYOUTS / name).read_text()) | changes


def test_every_recorded_layout_follows_the_schema() -> None:
    """
    Those with a head; the oldest are a bare list of extents.

    The schema is asked of the first and the last of thousands of rows, and of all whether they are like them.
    """
    schema = json.loads((DATA.parent / "layout-schema.json").read_text())
    validator = jsonschema.validators.validator_for(schema)(schema)
    headed = 0
    for file in LAYOUTS.iterdir():
        layout = json.loads(file.read_text())
        if isinstance(layout, dict):
            rows = layout["extents"]
            assert {(list, 4, int)} >= {(type(row), len(row), *map(type, row[:1])) for row in rows}, file.name
            assert all(type(number) is int and number >= 0 for row in rows for number in row), file.name
            asked = layout | {"extents": rows[:4] + rows[-4:]}
            assert [] == [error.message for error in validator.iter_errors(asked)], file.name
            headed += 1
        extents = layout["extents"] if isinstance(layout, dict) else layout
        size = layout["block_size"] if isinstance(layout, dict) else int(file.name.split("_bs")[1][:4])
        assert len(extents) == LayoutFolder(LAYOUTS).read(file.name, size).listed
    assert headed > 100


FIRST = [0, 101190656, 65536, 0]


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        (
            layout_of(block_size=0),
            "block_size: 0 is not one of [1024, 2048, 4096, 8192, 16384, 32768, 65536]; allowed: 1024, 2048",
        ),
        (layout_of(block_size=4096), "block_size: 4096; allowed: 1024, the record's"),
        (layout_of(block_size="1024"), "block_size: '1024' is not "),
        ({"extents": []}, "'block_size' is a required property"),
        (layout_of(extents={}), "extents: {} is not of type 'array'"),
        (layout_of(extents=[[0, 1024, 1024]]), "extents.0: [0, 1024, 1024] is too short"),
        (layout_of(extents=[[0, 1024, 1024.0, 0]]), "extents.0.2: 1024.0 is not of type 'integer'"),
        (layout_of(extents=[[0, -1024, 1024, 0]]), "extents.0.1: -1024 is less than the minimum of 0"),
        (
            layout_of(extents=[[0, 1000, 1024, 0]]),
            "extent 0: 1024 bytes at 0, on the device at 1000; allowed:",
        ),
        (layout_of(extents=[[0, 1024, 0, 0]]), "extent 0: 0 bytes at 0"),
        (layout_of(extents=[[0, 1024, 1 << 60, 0]]), "extent 0: 1152921504606846976 bytes at 0"),
        (layout_of(extents=[[0, 0, 1024, 4]]), "extent 0: is delalloc (flag 0x4)"),
        (layout_of(extents=[FIRST, [64512, 1024, 1024, 0]]), "block 63 of the file is in two extents"),
        (
            layout_of(extents=[FIRST, [65536, 101190656, 1024, 0]]),
            "block 98819 of the device at logical blocks",
        ),
        (layout_of(tree_blocks=[5908]), "tree_blocks: 1 blocks in a list of 1; allowed: 2, what a tree of"),
        (layout_of(tree_blocks=[5908, 5908]), "tree_blocks: 1 blocks in a list of 2; allowed: 2"),
        (
            layout_of(tree_blocks=[5908, 98820]),
            "tree_blocks: block 98820 is one of the file's; allowed: blocks",
        ),
        (7, "7 is not of type 'object'"),
    ],
)
def test_what_is_no_layout_is_told_in_one_line(tmp_path: Path, layout: Any, message: str) -> None:
    """File, place, value and what is allowed; blocks of nothing, of another size, twice, or of no place."""
    (tmp_path / NAME).write_text(json.dumps(layout))
    with pytest.raises(ConfigError) as error:
        LayoutFolder(tmp_path).read(NAME, 1024)
    assert str(error.value).startswith(str(tmp_path / NAME))
    assert message in str(error.value)


@pytest.mark.parametrize("text", [b"\xff", b"{", b"[" * 100_000, b'{"extents": [], "extents": []}'])
def test_validate_exits_with_2_on_a_layout_that_is_none(tmp_path: Path, text: bytes) -> None:
    """Whatever the bytes are, there is one line and no traceback."""
    record = record_of("matrix_bs4096/bs4096/ext4/contig/stride64k/warm")
    (tmp_path / "mine.jsonl").write_text(json.dumps(record))
    (tmp_path / record["layout_file"]).write_bytes(text)
    result = CliRunner().invoke(app, ["validate", str(tmp_path / "mine.jsonl"), "--layouts", str(tmp_path)])
    assert (2, 1) == (result.exit_code, len(result.output.splitlines()))


def test_a_digest_is_of_the_layouts_content(tmp_path: Path) -> None:
    """The same under another name or spelling; another of every extent, tree block and size."""
    case = case_of(record_of("matrix_bs1024/bs1024/ext4/frag2/backward4k/all_cold"))
    layout, record = case.layout, case.record
    (tmp_path / "other.json").write_text(
        json.dumps(json.loads((LAYOUTS / record["layout_file"]).read_text()) | {"layout": "other"}, indent=3)
    )
    same = replace(case, layout=LayoutFolder(tmp_path).read("other.json", 1024))
    first, *rest = layout.extents
    changed = [
        replace(case, record=record | {"file_bytes": record["file_bytes"] - 1}),
        replace(case, record=record | {"block_size": 2048}),
        replace(case, layout=replace(layout, extents=tuple(rest))),
        replace(case, layout=replace(layout, extents=(first._replace(unwritten=True), *rest))),
        replace(case, layout=replace(layout, extents=(first._replace(physical=first.physical + 1), *rest))),
        replace(case, layout=replace(layout, tree_blocks=None)),
        replace(case, layout=replace(layout, tree_blocks=layout.tree_blocks[::-1])),
    ]
    assert case.digest == same.digest
    assert len({case.digest, *(other.digest for other in changed)}) == 1 + len(changed)
