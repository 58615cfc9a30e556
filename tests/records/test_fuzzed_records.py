"""`readpath validate` on records bent anyhow: an exit code and no traceback, and 0 only for a reason."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_records import LAYOUTS, record_of
from typer.testing import CliRunner, Result

from sim.cli.main import app
from sim.records.contradictions import ways_of
from sim.records.counters import AT_LEAST, NOT_COMPARED
from sim.records.devices import device_name

NAMES = (
    "matrix_bs4096/bs4096/ext4/contig/stride64k/warm",
    "matrix_bs1024/bs1024/mpage/contig/seq128k/warm/rewritten-one9",
    "matrix_bs4096/bs4096/buffer/contig/seq128k/warm/deadline",
    "xfs_bs4096/bs4096/iomap/contig/seq128k/warm/folios",
    "nullmq_bs1024/bs1024/buffer/frag4/rand4k/all_cold",
    "ecryptfs_cold_bs4096/bs4096/ext4/contig/seq128k/es_cold",
)
FREE = frozenset({"note", "unit", "t_all", "t_n", "t_min", "t_median", "t_max", "t_median_per_page"})
"""Fields that say nothing of what is counted."""
HELD_BY_COUNTS = frozenset(
    {
        *("read_ahead_kb", "max_sectors_kb", "scheduler", "fadvise", "read_bytes", "second_offset_bytes"),
        *("cached_pages", "rewritten_blocks", "large_folios", "pages_apart", "open_files"),
    }
)
"""Fields that are told only if what they change is counted: results/kernel/README.md names them."""
OPTIONAL = frozenset({"tree_depth"})
"""Fields that only repeat what a layout says: they may be left out."""

STRANGE = st.one_of(
    st.sampled_from(
        [
            None,
            True,
            False,
            0,
            -1,
            1,
            4096.0,
            0.5,
            1e308,
            10**18,
            10**400,
            -(10**30),
            "",
            "warm",
            "\ud800",
            "\x1b[2J",
        ]
    ),
    st.sampled_from(
        [float("nan"), float("inf"), [], {}, [[]], [0, 0], [[0, 1]], {"a": {"b": []}}, "x" * 10_000]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.recursive(
        st.none(), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    ),
).map(deepcopy)


Draw = Callable[[st.SearchStrategy[Any]], Any]


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value within a document, of long lists of the first few."""
    if at:
        yield at
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    )
    for key, one in inner:
        yield from _places(one, (*at, key))


def _at(document: Any, place: tuple[Any, ...]) -> Any:
    for step in place:
        document = document[step]
    return document


def bent(draw: Draw, document: Any, others: tuple[Any, ...]) -> Any:
    """
    Return a copy of a document with one to three changes.

    A value is another's (of `others`, at the same place), moved by one, a strange one, gone or under another
    name, or a strange one is added.
    """
    document = deepcopy(document)
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        place = draw(st.sampled_from(list(_places(document)) or [()]))
        if not place:
            break
        holder, key = _at(document, place[:-1]), place[-1]
        match draw(
            st.sampled_from(("other", "other", "step", "step", "step", "strange", "remove", "rename", "add"))
        ):
            case "other" if there := [other for other in others if place in set(_places(other))]:
                holder[key] = deepcopy(_at(there[draw(st.integers(0, len(there) - 1))], place))
            case "step" if isinstance(holder[key], int):
                holder[key] += draw(st.sampled_from((-1, 1)))
            case "remove":
                del holder[key]
            case "rename" if isinstance(holder, dict):
                holder[draw(st.sampled_from(sorted(holder)) | st.text(max_size=8))] = holder.pop(key)
            case "add" if isinstance(holder, dict):
                holder[draw(st.text(max_size=8))] = draw(STRANGE)
            case "add":
                holder.append(draw(STRANGE))
            case _:
                holder[key] = draw(STRANGE)
    return document


def _validate(line: bytes, layout: bytes | None = None) -> tuple[Result, Path]:
    """Run the verb on one line of a counts file, its layout's file with these bytes if any."""
    with TemporaryDirectory() as scratch:
        file = Path(scratch) / "mine.jsonl"
        file.write_bytes(line + b"\n")
        folder = LAYOUTS
        if layout is not None:
            folder = Path(scratch) / "layouts"
            folder.mkdir()
            (folder / json.loads(line)["layout_file"]).write_bytes(layout)
        result = CliRunner().invoke(app, ["validate", str(file), "--layouts", str(folder), "--json"])
    return result, file


def _told(result: Result, file: Path) -> None:
    """Fail unless the verb ended as it may: with its answer, or with one line that begins with the place."""
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (0, 1, 2)
    if result.exit_code == 2:
        assert 1 == len(result.output.splitlines())
    else:
        assert (result.exit_code == 1) == any(json.loads(result.output)[0]["differences"]), file


def _silent(base: dict[str, Any], record: dict[str, Any], left_out: dict[str, str]) -> list[str]:
    """Return the fields in which a record that was found equal differs from the honest one for no reason."""
    fields = {field for field in base.keys() | record.keys() if base.get(field) != record.get(field)}
    fields -= FREE | HELD_BY_COUNTS | {field for field in OPTIONAL if field not in record}
    if "case" in fields and _same_name(base["case"], record["case"]):
        fields.remove("case")
    if "device" in fields and device_name(base, "") == device_name(record, ""):
        fields.remove("device")
    if "encryption" in fields and record["encryption"].partition(" on ext4")[0] in base["encryption"]:
        fields.remove("encryption")
    found = sorted(fields - {"counts", "blk"})
    for part in ("counts", "blk"):
        for counter in base[part].keys() | record[part].keys():
            before, now = base[part].get(counter, 0), record[part].get(counter)
            known = counter in left_out or counter in NOT_COMPARED
            more = counter in AT_LEAST and (now is None or now > before)
            if before != (now or 0) and not known and not more and not _same_place(counter, before, now):
                found.append(f"{part}.{counter}")
    return found


def _same_name(before: str, now: str) -> bool:
    """Whether names agree in all that a record's fields say; words that are no known ones are free."""
    (old, new) = (name.split("/") for name in (before, now))
    return old[:4] == new[:4] and old[5] == new[5] and (old[4] == new[4] or not ways_of(new[4]))


def _same_place(counter: str, before: Any, now: Any) -> bool:
    """Whether first bios differ in their flags only, or in where tree blocks lie, or eCryptfs' lower file."""
    return counter == "first_bios" and [bio[1] for bio in before] == [bio[1] for bio in now]


ALL = tuple(map(record_of, NAMES))
RECORDS = st.sampled_from(NAMES).map(record_of)


@settings(max_examples=80)
@given(st.data())
def test_a_bent_record_is_told(data: st.DataObject) -> None:
    """Types, missing and strange fields, huge numbers, NaN, nesting; equal only where a reason is named."""
    base = data.draw(RECORDS)
    record = bent(data.draw, base, ALL)
    result, file = _validate(json.dumps(record).encode())
    _told(result, file)
    if result.exit_code == 0:
        (outcome,) = json.loads(result.output)
        assert [] == _silent(base, record, outcome["left_out"])


@settings(max_examples=30)
@given(st.data())
def test_a_line_of_other_bytes_is_told(data: st.DataObject) -> None:
    """A few bytes of the line replaced, removed or put in, be they text or not."""
    base = data.draw(RECORDS)
    line = bytearray(json.dumps(base).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(line)))
        cut = data.draw(st.integers(0, 3))
        line[at : at + cut] = data.draw(st.binary(max_size=3))
    result, file = _validate(bytes(line))
    _told(result, file)
    if result.exit_code == 0:
        outcomes = json.loads(result.output)
        assert [] == _silent(base, json.loads(line.splitlines()[0]), outcomes[0]["left_out"])


@settings(max_examples=30)
@given(st.data())
def test_a_bent_layout_is_told(data: st.DataObject) -> None:
    """Whatever a layout file says: an exit code."""
    base = data.draw(RECORDS)
    layouts = [json.loads((LAYOUTS / record["layout_file"]).read_text()) for record in ALL]
    layout = layouts[ALL.index(base)]
    changed = bent(data.draw, layout, tuple(layouts))
    result, file = _validate(json.dumps(base).encode(), json.dumps(changed).encode())
    _told(result, file)


def test_the_honest_ones_are_equal() -> None:
    """What the others bend."""
    for name in NAMES:
        result, _ = _validate(json.dumps(record_of(name)).encode())
        assert 0 == result.exit_code
        assert device_name(record_of(name), name) == "null_blk"
