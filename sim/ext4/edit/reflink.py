"""
Clones of files: extents shared until one of the files is written, as XFS' reflink and FICLONE have it.

ext4 has no reference counts. Here they lie in a file of the root, ".refcounts", immutable, with the flag for
data=journal, so that a kernel would write it through the journal (format: sim.ext4.format.refcounts). That
several files have a block is said by a feature that ext4 does have, shared_blocks (ro_compat 0x4000): with it
e2fsck finds nothing wrong, and `e2fsck -E unshare_blocks` gives each file blocks of its own; a kernel mounts
such an image read-only, and without the feature e2fsck calls the blocks multiply-claimed. So whoever does not
know of the counts must not write. The feature goes with the last shared block.

An inode counts shared blocks as its own in i_blocks, as on XFS: du is too large by what is shared, df is not.

Left out: sharing part of a file (FICLONERANGE, dedupe), the journal's transactions (the image is written
aside and renamed), unwritten extents, which XFS does not share either: a clone has holes there. What belongs
to a file besides its blocks (xattrs, keys) is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format import refcounts
from sim.ext4.format.extents import Extent
from sim.ext4.format.features import RoCompat
from sim.ext4.format.inode import FLAG_IMMUTABLE
from sim.ext4.read.counts import COUNTS_PATH, counts_of
from sim.ext4.read.reader import Image, Inode

FLAG_JOURNAL_DATA = 0x4000


@dataclass(frozen=True, slots=True)
class Space:
    """
    Blocks of data. files: as all inodes count them; used: on the device; shared: of these, of two or more.
    """

    files: int
    used: int
    shared: int


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done: extents shared or split off, blocks copied, records of counts before and after."""

    extents: int
    copied_blocks: int
    records_before: int
    records_after: int


def space(image: Image) -> Space:
    """Return how many blocks files have and use."""
    blocks: dict[int, int] = {}
    for inode in _files(image):
        for extent in inode.tree.extents:
            for block in range(extent.physical, extent.physical + extent.length):
                blocks[block] = blocks.get(block, 0) + 1
    shared = sum(count > 1 for count in blocks.values())
    return Space(sum(blocks.values()), len(blocks), shared)


def _files(image: Image) -> list[Inode]:
    found = {i.number: i for _path, i in image.walk() if i.is_regular and i.has_contents}
    return list(found.values())


class ReflinkEditor(FileEditor):
    """An editor that shares blocks between files and keeps count of them."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, int(RoCompat.SHARED_BLOCKS))
        self._counts = counts_of(self.image)

    def clone(self, source: str, target: str) -> Changed:
        """
        Make a file that shares all written extents of another; FICLONE. Its mode is the source's.

        Raises ImageError for what is no file mapped by extents, and a name that is there.
        """
        inode = self.image.lookup(source)
        if not inode.is_regular or not inode.has_contents:
            raise ImageError(inode.place, f"is a {inode.type_word} without blocks", "a file in blocks")
        before = self._records()
        number = self.add_file(target, 0, inode.mode & 0o7777)
        shared = [extent for extent in inode.tree.extents if not extent.unwritten]
        self.set_extents(number, shared, inode.size_bytes)
        for block in _blocks(shared):
            self._counts[block] = self._counts.get(block, 1) + 1
        self._put_counts()
        return Changed(len(shared), 0, before, self._records())

    def prepare(self) -> None:
        """Have a file of counts, and the feature, before anything is shared."""
        self._put_counts(keep=True)

    def write_shared(self, path: str, data: Mapping[int, bytes]) -> Changed:
        """
        Write blocks of a file as they are to be stored, one after the other: in place, or elsewhere where
        another file has one too. data: by logical block.

        Raises ImageError for a hole: nothing is allocated for one here.
        """
        inode = self.image.lookup(path)
        old: dict[int, int] = {}
        for logical, stored in data.items():
            extent = inode.tree.find(logical)
            if extent is None or extent.unwritten:
                raise ImageError(inode.place, f"block {logical} is a hole", "a block that was written")
            block = extent.physical + logical - extent.logical
            if block in self._counts:
                old[logical] = block
            else:
                self.write_block(block, stored)
        return self._elsewhere(inode, old, data)

    def unshare_blocks(self, path: str) -> Changed:
        """Give a file blocks of its own for all that it shares (FALLOC_FL_UNSHARE_RANGE, of all of it)."""
        inode = self.image.lookup(path)
        mine = {
            extent.logical + at: extent.physical + at
            for extent in inode.tree.extents
            for at in range(extent.length)
            if extent.physical + at in self._counts
        }
        data = {logical: bytes(self.image.read_block(block)) for logical, block in mine.items()}
        return self._elsewhere(inode, mine, data)

    def _elsewhere(self, inode: Inode, shared: Mapping[int, int], data: Mapping[int, bytes]) -> Changed:
        """Write blocks of a file to places of its own. shared: where they lie now, by logical block."""
        before = self._records()
        taken = self.take_blocks(len(shared), inode.place)
        places = [start + at for start, length in taken for at in range(length)]
        new = dict(zip(shared, places, strict=True))
        for logical, block in new.items():
            self.write_block(block, data[logical])
        if new:
            self._replace(inode.number, new)
            self._drop(shared.values())
            self._put_counts()
        return Changed(len(taken), len(new), before, self._records())

    def remove(self, path: str, as_kernel: bool = False) -> int:
        """As the editor's: what another file has too stays. Returns how many blocks that frees."""
        inode = self.image.lookup(path)
        last = inode.raw.links == 1 and inode.is_regular and inode.has_contents
        held = [block for block in _blocks(inode.tree.extents) if block in self._counts] if last else []
        if held:
            self._whole_only = True  # counts and extents change together, or not at all
            gone = set(held)
            kept = [piece for extent in inode.tree.extents for piece in _without(extent, gone)]
            self.set_extents(inode.number, kept)
            self._drop(held)
        freed = super().remove(path, as_kernel)
        if held:
            self._put_counts()
        return freed

    # -- counts ----------------------------------------------------------------------------------------

    def _records(self) -> int:
        return len(refcounts.runs_of(self._counts))

    def _drop(self, blocks: Iterable[int]) -> None:
        """Take one file from the counts of shared blocks; none of them is free then."""
        for block in blocks:
            left = self._counts.pop(block) - 1
            if left > 1:
                self._counts[block] = left

    def _replace(self, number: int, new: dict[int, int]) -> None:
        """Map logical blocks of a file to other physical ones."""
        extents: list[Extent] = []
        for logical, physical, length, unwritten in self.image.inode(number).tree.extents:
            for at in range(length):
                block = new.get(logical + at, physical + at)
                last = extents[-1] if extents else None
                if (
                    last is not None
                    and last.logical + last.length == logical + at
                    and last.physical + last.length == block
                    and last.unwritten == unwritten
                ):
                    extents[-1] = last._replace(length=last.length + 1)
                else:
                    extents.append(Extent(logical + at, block, 1, unwritten))
        self.set_extents(number, extents)

    def _put_counts(self, keep: bool = False) -> None:
        """Write the file of counts, and the feature; without a shared block both go, unless they are kept."""
        present = self.image.superblock.has(RoCompat.SHARED_BLOCKS)
        if not self._counts and not keep:
            if present:
                super().remove(COUNTS_PATH)
            self.add_ro_compat(0, clear=int(RoCompat.SHARED_BLOCKS))
            return
        blocks = refcounts.encode(self._counts, self.image.block_size)
        size = len(blocks) * self.image.block_size
        if present and self.image.lookup(COUNTS_PATH).size_bytes != size:
            super().remove(COUNTS_PATH)
            present = False
        if not present:
            self.add_file(COUNTS_PATH, size, 0o400, FLAG_IMMUTABLE | FLAG_JOURNAL_DATA)
        places = _blocks(self.image.lookup(COUNTS_PATH).tree.extents)
        for block, data in zip(places, blocks, strict=True):
            self.write_block(block, data)
        self.add_ro_compat(int(RoCompat.SHARED_BLOCKS))


def _blocks(extents: list[Extent]) -> list[int]:
    return [e.physical + at for e in extents for at in range(e.length)]


def _without(extent: Extent, gone: set[int]) -> list[Extent]:
    """Return what is left of an extent without some physical blocks."""
    pieces: list[Extent] = []
    for at in range(extent.length):
        if extent.physical + at in gone:
            continue
        last = pieces[-1] if pieces else None
        if last is not None and last.physical + last.length == extent.physical + at:
            pieces[-1] = last._replace(length=last.length + 1)
        else:
            pieces.append(Extent(extent.logical + at, extent.physical + at, 1, extent.unwritten))
    return pieces
