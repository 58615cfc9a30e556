"""What the write side has to know of a volume: sizes, and where its journal lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JournalShape:
    """
    places: blocks of the journal in order, its superblock first. tag_bytes: 8, 12 or 16. checksums: v3. head:
    where the next transaction begins; what lies before was written since the mount. wide: block numbers of 64
    bits. is_empty: nothing was committed since the mount, and the superblock says so.
    """

    places: Sequence[int]
    tag_bytes: int = 8
    checksums: bool = False
    head: int = 1
    wide: bool = False
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class VolumeShape:
    """
    What the write side has to know of a volume: block size in bytes, groups, blocks of descriptors and the
    first of them; journal: None without.
    """

    block_size: int
    groups: int
    descriptor_blocks: int
    descriptors_at: int
    journal: JournalShape | None
