"""
The volumes of the write recordings: metadata, journal, free blocks and files, as volumes.json describes them
(experiments/kernel/write_volumes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sim.documents import parse_json, read_text
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, ExtentTree
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET
from sim.fs.ialloc import InodeAllocator, InodeBitmapSource, InodeGroup
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry
from sim.fs.namei import InodeTables
from sim.machine.volume_shape import JournalShape, VolumeShape
from sim.machine.write_jobs import TAG_BYTES
from sim.units import SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file of a volume: inode number, size in bytes, extents."""

    inode: int
    size: int
    tree: ExtentTree


class _Runs(BitmapSource):
    """Bitmaps of the free runs of each group."""

    def __init__(self, groups: list[dict[str, Any]], bitmap_bytes: int) -> None:
        self._groups = groups
        self._bytes = bitmap_bytes

    def read(self, group: int) -> bytes:
        """Return a group's bitmap."""
        bits = bytearray(b"\xff" * self._bytes)
        for first, length in self._groups[group]["runs"]:
            for at in range(first, first + length):
                bits[at >> 3] &= ~(1 << (at & 7))
        return bytes(bits)


class _UsedInodes(InodeBitmapSource):
    """Inode bitmaps of the runs of inodes in use of each group."""

    def __init__(self, groups: list[dict[str, Any]], bitmap_bytes: int) -> None:
        self._groups = groups
        self._bytes = bitmap_bytes

    def read(self, group: int) -> bytes:
        """Return a group's bitmap."""
        bits = bytearray(self._bytes)
        for first, length in self._groups[group]["used_inodes"]:
            for at in range(first, first + length):
                bits[at >> 3] |= 1 << (at & 7)
        return bytes(bits)


class WriteVolume:
    """One volume, as it was before any case."""

    def __init__(self, name: str, said: dict[str, Any]) -> None:
        self.name = name
        self._said = said
        self.block_size = int(said["block_size"])
        self.checksums = bool(said["checksums"])

    def geometry(self) -> MbGeometry:
        """Return its shape as mballoc needs it."""
        said = self._said
        return MbGeometry(
            self.block_size,
            said["blocks"],
            said["first_data_block"],
            said["blocks_per_group"],
            said["flex_bg"],
            said["log_groups_per_flex"],
            said["descriptor_checksums"],
            said["reserved"],
        )

    def allocator(self) -> MbAllocator:
        """Return an allocator on it, freshly mounted."""
        groups = self._said["groups"]
        seeds = [GroupSeed(group["free"], group["bitmap"], group["uninit"]) for group in groups]
        source = _Runs(groups, self.block_size)
        return MbAllocator(self.geometry(), seeds, source)

    def journal_places(self) -> list[int]:
        """Return the blocks of the journal in order."""
        return [block for first, length in self._said["journal"] for block in range(first, first + length)]

    @cached_property
    def journal_numbers(self) -> dict[int, int]:
        """Where in the journal its blocks are, but the first, which is its superblock."""
        return {place: number for number, place in enumerate(self.journal_places()) if number}

    @cached_property
    def journal_sectors(self) -> frozenset[int]:
        """The sectors of the journal at which its blocks begin."""
        per = self.block_size // SECTOR_BYTES
        return frozenset(block * per for block in self.journal_places())

    def shape(self, head: int) -> VolumeShape:
        """Return its shape for the write side; head: where the next transaction begins in the journal."""
        said, places = self._said, self.journal_places()
        journal = None
        if places:
            tag = TAG_BYTES[self.checksums, bool(said["wide"])]
            journal = JournalShape(places, tag, self.checksums, head)
        return VolumeShape(
            self.block_size, len(said["groups"]), said["descriptor_blocks"], said["descriptors_at"], journal
        )

    def table_block(self, inode: int) -> tuple[int, int]:
        """Return the block of the inode table that holds an inode, and its group."""
        said = self._said
        group, at = divmod(inode - 1, said["inodes_per_group"])
        return said["groups"][group]["table"] + at * said["inode_bytes"] // self.block_size, group

    def inode_tables(self) -> InodeTables:
        """Return where inodes lie."""
        said, groups = self._said, self._said["groups"]
        unused = [group["unused_inodes"] if said["descriptor_checksums"] else 0 for group in groups]
        tables = [group["table"] for group in groups]
        return InodeTables(tables, said["inodes_per_group"], said["inode_bytes"], self.block_size, unused)

    def inode_allocator(self, blocks: MbAllocator) -> InodeAllocator:
        """Return the allocator of inodes beside that of blocks; every inode bitmap is read on mounting."""
        said, groups = self._said, self._said["groups"]
        seeds = [
            InodeGroup(
                group["free_inodes"], group["directories"], group["inode_bitmap"], group["inode_uninit"]
            )
            for group in groups
        ]
        per_group = said["inodes_per_group"]
        return InodeAllocator(
            blocks, seeds, per_group, said["first_inode"], _UsedInodes(groups, self.block_size)
        )

    @property
    def hash_seed(self) -> bytes:
        """The seed of its directory hashes."""
        return bytes.fromhex(self._said["hash_seed"])

    def directory(self, path: str) -> int:
        """Return the first block of a directory that is there."""
        return int(self._said["directories"][path]["blocks"][0])

    def mounted_blocks(self) -> list[int]:
        """
        Return blocks that a mount leaves in memory: superblock, descriptors, the root's inode with those that
        are read ahead.
        """
        said = self._said
        first = said["descriptors_at"]
        superblock = SUPERBLOCK_OFFSET // self.block_size
        tables = self.inode_tables().read_with(ROOT_INODE)
        return [superblock, *range(first, first + said["descriptor_blocks"]), *tables]

    def makes_bitmaps(self) -> bool:
        """Tell whether block bitmaps are still to be made (BLOCK_UNINIT), in several flex groups."""
        said = self._said
        several = len(said["groups"]) > 1 << said["log_groups_per_flex"]
        return bool(several and said["descriptor_checksums"] and any(g["uninit"] for g in said["groups"]))

    def backups(self) -> list[int]:
        """Return the copies of the superblock that a mount writes; none where that knows its overhead."""
        return [] if self._said["overhead_known"] else list(self._said["backups"])

    def inodes(self) -> list[int]:
        """Return the numbers of the files' inodes."""
        return [said["inode"] for said in self._said["files"].values()]

    def file(self, path: str) -> KnownFile | None:
        """Return a file that is there; None for one that is not."""
        said = self._said["files"].get(path)
        if said is None:
            return None
        extents = [Extent(a, b, c, bool(d)) for a, b, c, d in said["extents"]]
        chains = [tuple(chain) for chain in said["leaf_chain"]]
        tree = ExtentTree(said["depth"], extents, said["leaf_first"], said["leaf_key"], chains)
        return KnownFile(said["inode"], said["size"], tree)


def load_volumes(path: Path) -> dict[str, WriteVolume]:
    """Return the volumes of a volumes.json by name. Raises ConfigError for a file that is none."""
    return dict(_volumes(read_text(path, str(path), "a file of volumes"), path))


@lru_cache(2)  # a dozen files of recordings have one beside them
def _volumes(text: str, path: Path) -> dict[str, WriteVolume]:
    document = parse_json(text, str(path), "an object by volume")
    try:
        volumes = {}
        for name, said in document.items():
            whole = document[said["like"]] | said if "like" in said else said
            volumes[name] = WriteVolume(name, whole)
        return volumes
    except (AttributeError, KeyError, TypeError) as error:
        raise ConfigError(
            str(path), f"is no description of volumes ({error!r})", "results/kernel/README.md"
        ) from error
