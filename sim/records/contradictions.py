"""
What a record says twice, held against itself: its name and its fields, its reads and its layout, a probe and
the tracepoint of the same event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sim.ext4.format.extents import normalise, plan_tree
from sim.kernels import KERNELS
from sim.records.counters import DRIVER_PROBE, SAME_EVENTS
from sim.records.devices import NULL_BLK, device_name
from sim.records.kernel_case import Case, reads
from sim.records.versions import VERSIONS, kernel_name
from sim.records.write_back import writes_beside
from sim.units import KIB, PAGE_BYTES

FIRST_BIOS: Final = 16
"""Bios whose place a record has, if there were so many."""
NO_READ: Final = 1 | 4
"""Flags of bios that are not the file's: of metadata (write-back's), written."""


class Contradiction(NamedTuple):
    """`what` a record says as `said`, and elsewhere as `other`."""

    what: str
    said: Any
    other: Any


def of_the_work(case: Case) -> Iterator[Contradiction]:
    """Yield what a record says of its file and reads in two ways; nothing can be simulated then."""
    record, layout = case.record, case.layout
    for what, said, other in _name(record):
        if said != other:
            yield Contradiction(f"{what} in the name of the case", said, other)
    asked = pages_asked(record)
    if record["pages_read"] != asked:
        yield Contradiction("pages_read against the reads", record["pages_read"], asked)
    if record["fiemap_extents"] != layout.listed:
        yield Contradiction("fiemap_extents against the layout", record["fiemap_extents"], layout.listed)
    if layout.file_bytes not in (None, record["file_bytes"]):
        yield Contradiction("file_bytes against the layout", record["file_bytes"], layout.file_bytes)
    if layout.tree_blocks is not None:
        depth = plan_tree(normalise(layout.extents, merge=False), int(record["block_size"])).depth
        for where, said in (("tree_depth", record.get("tree_depth")), ("the layout's depth", layout.depth)):
            if said not in (None, depth):
                yield Contradiction(f"{where} against the layout's extents", said, depth)
    if (record["path"] == "iomap") != (record.get("filesystem") == "xfs"):
        yield Contradiction("path against filesystem", record["path"], record.get("filesystem", "ext4"))


def pages_asked(record: dict[str, Any]) -> int:
    """Return how many pages all reads of a record ask for, within the file."""
    size = int(record["file_bytes"])
    return sum(-(-max(min(length, size - offset), 0) // PAGE_BYTES) for offset, length, _ in reads(record))


_WAYS: Final = re.compile(
    r"(?P<rand>rand4k(?:_advrandom)?)|(?P<seq>seq(?:4|128)k)(?P<advised>_advseq)?|seq(?P<bytes>\d{1,12})"
    r"|stride(?P<step>\d{1,12})k|backward(?P<back>\d{1,12})k|streams(?P<each>\d{1,12})k(?P<two>_2fd)?"
)
"""Ways to read, as names of cases have them."""


def ways_of(word: str) -> dict[str, Any]:
    """Return the fields that a way to read stands for; none for a word that is no known one."""
    found = _WAYS.fullmatch(word)
    if found is None:
        return {}
    if found["rand"] or found["seq"]:
        advice = "sequential" if found["advised"] else None
        return {"access": found["rand"] or found["seq"], "fadvise": advice}
    if found["bytes"]:
        size = int(found["bytes"])
        return {"access": "stride", "read_bytes": size, "step_bytes": size}
    if found["step"]:
        return {"access": "stride", "step_bytes": int(found["step"]) * KIB}
    if found["back"]:
        return {"access": "backward", "read_bytes": int(found["back"]) * KIB}
    files = 2 if found["two"] else 1
    return {"access": "two_streams", "read_bytes": int(found["each"]) * KIB, "open_files": files}


_SPECIAL: Final = {"ra": ("read_ahead_kb", 128), "max": ("max_sectors_kb", 640)}
"""What a name says is special, with a number: the field that has it, and what it is if absent."""


def _special(word: str, record: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, its value by the name, its value) of what a name says is special about a case."""
    for part in word.split("-"):
        number = re.fullmatch(r"(ra|max)(\d{1,12})", part)
        if number is not None:
            field, absent = _SPECIAL[number[1]]
            yield field, int(number[2]), record.get(field, absent)
        elif part == "deadline":
            yield "scheduler", "mq-deadline", record.get("scheduler")
        elif part == "folios":
            yield "large_folios", True, record.get("large_folios")
        elif part in ("cached", "rewritten"):
            field = "cached_pages" if part == "cached" else "rewritten_blocks"
            yield field, True, bool(record.get(field))


def _name(record: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (field, its value by the name, its value): tag/bsN/path/layout/way/status[/special]."""
    parts = str(record["case"]).split("/")
    fields = [record["tag"], f"bs{record['block_size']}", record["path"], record["layout"], "", record["es"]]
    for what, said, has in zip(
        ("tag", "block_size", "path", "layout", "", "es"), parts, fields, strict=False
    ):
        if what:
            yield what, said, has
    if len(parts) < len(fields):
        yield "parts", len(parts), len(fields)
        return
    for field, said in ways_of(parts[4]).items():
        yield field, said, record.get(field)
    for word in parts[6:]:
        yield from _special(word, record)


def of_the_counts(case: Case) -> Iterator[Contradiction]:
    """Yield what a record counts twice and not alike."""
    record = case.record
    counts, blk = record["counts"], record["blk"]
    name = kernel_name(record, case.name)
    kernel = KERNELS[name]
    for event in SAME_EVENTS:
        if event.probe in counts:
            traced = int(blk[event.tracepoint])
            if event.plus and kernel.rest_checked:
                traced += int(blk[event.plus])
            if counts[event.probe] != traced:
                what = f"{event.probe} against its tracepoint {event.tracepoint}"
                if counts[event.probe] < traced:
                    what += " (probes lose hits in interrupts)"
                yield Contradiction(what, counts[event.probe], traced)
    on, probed = device_name(record, case.name), counts.get(DRIVER_PROBE, 0)
    if on == NULL_BLK and probed != blk["rq_issue"]:
        yield Contradiction(f"{DRIVER_PROBE} against rq_issue on {on}", probed, blk["rq_issue"])
    if on != NULL_BLK and probed:
        yield Contradiction(f"{DRIVER_PROBE} on device {record['device']!r}", probed, 0)
    inserted = counts.get("dd_insert_requests")
    if record.get("scheduler", "none") != "none" and inserted is not None and inserted != blk["unplug"]:
        yield Contradiction("dd_insert_requests against its tracepoint unplug", inserted, blk["unplug"])
    inlined = "blk_mq_flush_plug_list" not in VERSIONS[name].compared
    if inlined and "blk_mq_flush_plug_list" in counts and record.get("scheduler", "none") == "none":
        flushed, listed = counts.get("__blk_flush_plug", 0), counts["blk_mq_flush_plug_list"]
        if flushed != listed:
            yield Contradiction("blk_mq_flush_plug_list against __blk_flush_plug", listed, flushed)
    yield from _bios(record)


def _bios(record: dict[str, Any]) -> Iterator[Contradiction]:
    """Yield where the first bios, or the sizes of reads, are not of as many bios as were queued."""
    blk = record["blk"]
    if writes_beside(record) < 0:
        hist = sum(blk["bio_sectors_hist"].values())
        yield Contradiction("bio_sectors_hist against bio_queue", hist, blk["bio_queue"])
    if blk["meta_bios"] > max(writes_beside(record), 0):
        yield Contradiction("meta_bios against bio_queue", blk["meta_bios"], writes_beside(record))
    first = blk["first_bios"]
    if len(first) != min(FIRST_BIOS, blk["bio_queue"]):
        yield Contradiction("first_bios against bio_queue", len(first), min(FIRST_BIOS, blk["bio_queue"]))
    others = sum(bool(flags & NO_READ) for _, _, flags in first)
    if others > max(writes_beside(record), 0):
        yield Contradiction("no reads among first_bios against bio_queue", others, writes_beside(record))
