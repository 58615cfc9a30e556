"""Machines whose file has checksums, and judges of them for tests."""

from __future__ import annotations

from typing import Any

from core_kit import Rig

from sim.fs.file_tags import FileTags, Judge, ListTags, TableShape, TableTags
from sim.paths.checksums.verification import SumRules
from sim.units import MIB, PAGE_BYTES

CRC = "crc32c_pcl_intel_digest"
OWN = [500_000, 500_001, 500_002]
"""Blocks of a table, far from the data."""
LIST = 600_000


def table(first: int = 1000, blocks: int = 1 << 16, per_block: int = 100) -> TableTags:
    """Return checksums by a table whose rows have `per_block` entries, of blocks from `first` on."""
    own = OWN + [OWN[-1] + 2 * row for row in range(1, -(-blocks // per_block) - 2)]
    return TableTags("/data", TableShape([(first, blocks)], own, per_block))


def listed(*runs: tuple[int, int], blocks: tuple[int, ...] = (LIST,)) -> ListTags:
    """Return checksums by a list in one block of xattrs."""
    return ListTags("/data", runs, list(blocks), 64)


def rig(tags: FileTags, path: str = "page_io", size: int = MIB, **options: Any) -> Rig:
    """Return a machine over a contiguous file from block 1000 on."""
    said = {name: options.pop(name) for name in ("read", "ahead", "in_work") if name in options}
    extents = options.pop("extents", [(0, 1000, size // options.get("block_size", PAGE_BYTES))])
    made = Rig(path, extents, size, checksums=SumRules(CRC, **said), **options)
    made.inode.tags = tags
    return made


def commands(machine: Rig) -> list[tuple[int, int, int]]:
    """Return (ns, block, blocks) of what the device was given."""
    return [(at, sector // 8, sectors // 8) for at, sector, sectors in machine.device.commands]


class Refuses(Judge):
    """Finds one block of the file bad, or one of its checksums, and notes what it was asked for."""

    def __init__(self, bad: int = -1, row: int = -1) -> None:
        self.block, self.row = bad, row
        self.asked: list[tuple[int, int, int]] = []

    def bad_tags(self, blocks: list[int]) -> list[int]:
        return [block for block in blocks if block == self.row]

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[tuple[int, int]]:  # noqa: ARG002
        self.asked.append((lblk, physical, blocks))
        return [(self.block, 1)] if lblk <= self.block < lblk + blocks else []


class RefusesRuns(Refuses):
    """The same, by runs."""

    def bad_tags(self, blocks: list[int]) -> list[int]:
        return blocks if self.row >= 0 else []

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[tuple[int, int]]:
        return [(lblk, blocks)] if super().bad(lblk, physical, blocks, stored) else []
