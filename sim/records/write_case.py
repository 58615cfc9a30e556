"""
A recorded write case (results/kernel/README.md has the form).

What a record decides and no simulation can: how often a write fell into a new clock tick, where in the log
the first transaction lies, and which process wrote (its number decides where nodelalloc begins).
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as TypingMapping
from dataclasses import replace
from typing import Any

from sim.block.queue.limits import QueueLimits
from sim.engine.costs import PS_PER_NS, Cost, CostTable
from sim.fs.ext4_super import MountOptions
from sim.records.write_volumes import WriteVolume
from sim.units import MIB, NS_PER_S, PAGE_BYTES

NULLB = QueueLimits(1280, 128, 128, driver="null_blk", write_cache=True, fua=True)
DEVICES = {
    "nullb": NULLB,
    "nullb-nocache": replace(NULLB, write_cache=False, fua=False),
    "virtio": replace(NULLB, max_sectors=2560, max_segments=254, queue_depth=256, fua=False),
    "loop": replace(NULLB, max_sectors=2560, fua=False),
    "wtram": replace(NULLB, bio_based=True, driver="brd", write_cache=False, fua=False),
}
"""The devices of the recordings; their requests were recorded exactly on null_blk."""
PATHS = {
    "own": "page_io",
    "bwfp": "buffer_head",
    "bwfp2": "buffer_head",
    "mpage": "mpage",
    "mpage2": "mpage",
}
"""A record's path -> write-back here; those on 2 also write without handles."""
MOST_WRITE = 4 * MIB
"""The rig's program splits larger writes."""


class CountedCalls(CostTable):
    """
    A table in which every call takes a nanosecond: counts do not depend on costs, and with these a device
    without latency is done before a task looks, as the recordings' was.
    """

    def __init__(self) -> None:
        super().__init__("counted calls", {})

    def __getitem__(self, symbol: str) -> Cost:
        """Return the cost of a call."""
        return Cost(symbol, PS_PER_NS, 0, "", "writes", 0.0, "counted")

    def extended(self, whose: str, entries: TypingMapping[str, TypingMapping[str, Any]]) -> CostTable:
        """Return itself: what a path adds costs the same."""
        del whose, entries
        return self


class WriteCase:
    """A record, and the volume that it was made on."""

    def __init__(
        self, record: dict[str, Any], volume: WriteVolume, at: str, probes: frozenset[str] = frozenset()
    ) -> None:
        """at: where the record stands, for errors. probes: symbols that were counted."""
        self.probes = probes
        self.record = record
        self.volume = volume
        self.at = at

    @property
    def name(self) -> str:
        """The record's own name."""
        return str(self.record["case"])

    def phase(self, name: str) -> dict[str, int]:
        """Return what a phase was recorded to call."""
        found = [phase["counts"] for phase in self.record["phases"] if phase["name"] == name]
        return dict(found[0]) if found else {}

    @property
    def options(self) -> MountOptions:
        """The mount options that matter here."""
        said = str(self.record["mount"]).split(",")
        data = next((word.removeprefix("data=") for word in said if word.startswith("data=")), "ordered")
        nolock = True if "dioread_nolock" in said else False if "dioread_lock" in said else None
        return MountOptions(
            data,
            "nodelalloc" not in said and data != "journal",
            nolock,
            "nobarrier" not in said,
            "journal_async_commit" in said,
            600 * NS_PER_S,
        )

    def log_head(self) -> int:
        """Return where in the journal the first recorded transaction begins."""
        places = self.volume.journal_numbers
        per = self.volume.block_size // 512
        for bio in self.record["bios"]:
            if bio[5] == "j" and bio[3] & 4 and bio[1] // per in places:
                return places[bio[1] // per]
        return 1


def jobs_of(words: list[str]) -> tuple[list[tuple[int, int]], int]:
    """Return the (offset, length) of the writes of a script's line, and what follows each (0, 1, 2)."""
    verb, n = words[0], [int(word) for word in words[1:]]
    if verb == "w":
        return [(n[1], n[2])], 0
    if verb == "wseq":
        return [(n[1] + at, min(n[2], n[3] - at)) for at in range(0, n[3], n[2])], n[4]
    if verb == "wv":
        return [(n[1] + i * n[3], n[2]) for i in range(n[4])], n[5]
    return [(offset, n[1]) for offset in n[3:]], n[2]


def pieces(offset: int, length: int) -> Iterator[tuple[int, int]]:
    """Yield the writes that the rig's program makes of one."""
    for at in range(0, length, MOST_WRITE):
        yield offset + at, min(MOST_WRITE, length - at)


def piece_ends(offset: int, length: int) -> Iterator[int]:
    """Yield where the pieces of a write end, cut at pages."""
    end = offset + length
    while offset < end:
        offset = min((offset // PAGE_BYTES + 1) * PAGE_BYTES, end)
        yield offset
