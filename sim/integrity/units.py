"""
Units of one image held against their tags one by one, as who reads them does: blocks by a table, runs by the
list of their file. The bytes are those that the reader has, whatever has become of them on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sim.errors import ImageError
from sim.ext4.check.sums import is_wrong
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.checksums import Checksums
from sim.ext4.read.reader import Image, Inode
from sim.integrity.extents import TAGS_KEY, decode, list_place, run_place
from sim.integrity.pieces import joined
from sim.integrity.plan import Plan
from sim.integrity.tables import Geometry, own_place
from sim.integrity.tagger import Place, Tagger

Stored = Callable[[int], bytes]
"""A physical block -> its bytes, as the reader has them."""


class TableUnits:
    """Blocks of an image that has a table, whose blocks the reader has by `stored`."""

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, shape: Geometry, stored: Stored) -> None:
        self._size = image.block_size
        self._tag_bytes = plan.tag_bytes
        self._tagger = tagger
        self._shape = shape
        self._stored = stored
        self._numbers = {block: number for number, block in enumerate(shape.own)}
        self._rows: dict[int, tuple[bytes, list[bytes]]] = {}
        self._sealed: dict[int, bytes] = {}

    def is_row_good(self, block: int) -> bool:
        """Return whether a block of the table has its own tag."""
        raw = self._stored(block)
        body, own = raw[: -self._tag_bytes], raw[-self._tag_bytes :]
        return self._tagger.of_tags_again(own_place(self._tagger, self._numbers[block]), body, own) == own

    def bad(
        self,
        physical: int,
        rank: int,
        blocks: int,
        stored: bytes,
        owner: tuple[int, int] = (0, 0),
        decrypted: bool = False,
    ) -> list[int]:
        """
        Return which of `blocks` blocks from `physical` on do not have their tags, counted from 0.

        rank: number of the first one's entry. stored: their bytes, decrypted if they are. owner: as of
        Tagger.blocks_again. The rows are taken as good.
        """
        tags = self.tags_of(rank, blocks)
        found = self._tagger.blocks_again(physical, stored, self._size, tags, owner, decrypted)
        if found == tags:
            return []
        return [index for index in range(blocks) if found[index] != tags[index]]

    def opened(
        self, physical: int, rank: int, blocks: int, stored: bytes, owner: tuple[int, int]
    ) -> list[bytes | None]:
        """Return the plaintext of blocks whose cipher makes their tags; None for one that is bad."""
        size, tagger, (inode, logical) = self._size, self._tagger, owner
        return [
            tagger.open(
                tagger.block(physical + at, inode, logical + at),
                stored[at * size : (at + 1) * size],
                self._sealed.get(physical + at, tag),
            )
            for at, tag in enumerate(self.tags_of(rank, blocks))
        ]

    def tags_of(self, rank: int, blocks: int) -> list[bytes]:
        """Return the tags of `blocks` blocks, the first of which has the entry number `rank`."""
        per_block = self._shape.per_block
        tags: list[bytes] = []
        for row in range(rank // per_block, (rank + blocks - 1) // per_block + 1):
            first, stop = max(rank, row * per_block), min(rank + blocks, (row + 1) * per_block)
            tags += self._entries(row)[first - row * per_block : stop - row * per_block]
        return tags

    def _entries(self, row: int) -> list[bytes]:
        """Return the entries of a block of the table, taken apart once for the same bytes."""
        raw, length = self._stored(self._shape.own[row]), self._tag_bytes
        known = self._rows.get(row)
        if known is None or known[0] is not raw:
            entries = [raw[at : at + length] for at in range(0, self._shape.per_block * length, length)]
            known = self._rows[row] = raw, entries
        return known[1]


class ListUnits:
    """Runs of a file that has a list: `runs`, in order."""

    def __init__(self, plan: Plan, tagger: Tagger, inode: Inode) -> None:
        """Raises ImageError for a list that is wrong."""
        self._tagger = tagger
        self._inode = inode
        self.runs, self._own = decode(inode, plan)
        body = joined(inode.xattrs, TAGS_KEY)[: -plan.tag_bytes]
        if tagger.of_tags_again(list_place(tagger, inode), body, self._own) != self._own:
            raise ImageError(inode.place, "the list of tags does not have its own tag", "the list")
        self._by_start = {run.logical: run for run in self.runs}

    @classmethod
    def as_read(
        cls, image: Image, plan: Plan, tagger: Tagger, number: int, blocks: Sequence[int], stored: Stored
    ) -> ListUnits:
        """
        Return the runs of a file by its list as the reader has it in `blocks` of the device.

        Raises ImageError for a list that is wrong, or an xattr block that has not the checksum of metadata.
        """
        size, device = image.block_size, OverlayStore(image.store)
        for block in blocks:
            device.write(block * size, stored(block))
        read = Image(device, image.name)
        inode = read.inode(number)
        block = inode.raw.xattr_block
        set_checksum = partial(Checksums(read.superblock).xattr_block, block=block)
        if block in blocks and is_wrong(bytes(read.read_block(block)), set_checksum):
            raise ImageError(inode.place, "the xattr block does not have its checksum", "the block")
        return cls(plan, tagger, inode)

    def physical(self, logical: int) -> int | None:
        """Return where a block lies that was written; None for another."""
        extent = self._inode.tree.find(logical)
        if extent is None or extent.unwritten:
            return None
        return extent.physical + logical - extent.logical

    def is_good(self, logical: int, blocks: int, stored: bytes, decrypted: bool = False) -> bool:
        """Return whether the run that begins with a block has its tag; stored: its bytes, or decrypted."""
        found = self._run(logical, blocks)
        return found is not None and self._tagger.again(found[0], stored, found[1], decrypted) == found[1]

    def opened(self, logical: int, blocks: int, stored: bytes) -> bytes | None:
        """Return the plaintext of a run whose cipher makes its tag; None if it is bad."""
        found = self._run(logical, blocks)
        return None if found is None else self._tagger.open(found[0], stored, found[1])

    def _run(self, logical: int, blocks: int) -> tuple[Place, bytes] | None:
        """Return the place and the tag of a run; None if there is none."""
        run, first = self._by_start.get(logical), self.physical(logical)
        if run is None or run.blocks != blocks or first is None:
            return None
        return run_place(self._tagger, self._inode, logical, blocks, first), run.tag
