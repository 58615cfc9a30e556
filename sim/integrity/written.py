"""
Tags of an image whose files are written over, in memory: what each write changes, and the blocks and inodes
that hold them then. Who writes says when they are changed, and brings them to the image.

A table: the entries of the blocks, and the own tag of each block of it. A list: the tags of the runs, and its
own; it lies where it lay, in the inode, in its xattr block, or in inodes of its own
(sim.integrity.ea_values).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sim.errors import ImageError
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.xattr import EaValue, encode_block, encode_body
from sim.ext4.read.reader import Image, Inode
from sim.integrity.ea_values import EaValues
from sim.integrity.extents import TAGS_KEY, TaggedRun, encode_list, run_place
from sim.integrity.linear import tag_of_piece
from sim.integrity.list_room import body_at, stored_xattrs
from sim.integrity.pieces import is_piece, replaced
from sim.integrity.plan import Plan
from sim.integrity.tables import Geometry, own_place
from sim.integrity.tagger import Place, Tagger
from sim.integrity.units import ListUnits, Stored, TableUnits

Written = Callable[[int, int], bytes]
"""(first logical block, blocks) -> a file's blocks as they are to lie on the device."""
Blocks = tuple[int, int]
"""Blocks of a file: the first, how many."""


class WrittenTable(TableUnits):
    """
    A table whose entries change; who reads sees them at once. changed: its blocks that did, as they are now.

    Where the cipher makes the tags, who reads a block that was sealed anew sees its new tag, before it is in
    its entry.
    """

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, shape: Geometry, stored: Stored) -> None:
        """stored: its blocks as the reader has them, as long as they have not changed."""
        super().__init__(image, plan, tagger, shape, self._now)
        self.changed: dict[int, bytes] = {}
        self._place = image.name
        self._unchanged = stored

    def _now(self, block: int) -> bytes:
        changed = self.changed.get(block)
        return self._unchanged(block) if changed is None else changed

    def seal(self, physical: int, plain: bytes, owner: tuple[int, int]) -> bytes:
        """Return a block of a file as it is to lie at `physical`, sealed; its tag is kept for `write`."""
        found = self._shape.entry_of(physical)
        assert found is not None, "a file's block has an entry"
        old = self._sealed.get(physical)
        if old is None:
            (old,) = self.tags_of(found[0] * self._shape.per_block + found[1], 1)
        stored, tag = self._tagger.seal(self._tagger.block(physical, *owner), plain, old)
        self._sealed[physical] = tag
        return stored

    def write(self, physical: int, stored: bytes, owner: tuple[int, int] = (0, 0)) -> None:
        """
        Blocks in a row, from `physical` on, hold these bytes: their entries are of them.

        owner: as of Tagger.blocks_again. Raises ImageError where a block of the table was wrong before.
        """
        size, per_block, tagger = self._size, self._shape.per_block, self._tagger
        inode, logical = owner
        found = self._shape.entry_of(physical)
        assert found is not None, "a file's block has an entry"
        first, rows = found[0] * per_block + found[1], dict[int, list[bytes]]()
        for index in range(len(stored) // size):
            row, at = divmod(first + index, per_block)
            entries = rows[row] = rows.get(row) or self._to_change(row)
            data = stored[index * size : (index + 1) * size]
            place = tagger.block(physical + index, inode, logical + index)
            if tagger.makes_tags(place):
                entries[at] = self._sealed.pop(physical + index, entries[at])
            else:
                entries[at] = tagger.make(place, data, entries[at])
        for row, entries in rows.items():
            block = self._shape.own[row]
            body, old = b"".join(entries).ljust(size - self._tag_bytes, b"\0"), self._now(block)
            own = tagger.of_tags(own_place(tagger, row), body, old[-self._tag_bytes :])
            self.changed[block] = body + own
            self._rows[row] = self.changed[block], entries

    def _to_change(self, row: int) -> list[bytes]:
        """Return the entries of a block of the table that is good, or was changed before."""
        block = self._shape.own[row]
        if block not in self.changed and not self.is_row_good(block):
            raise ImageError(self._place, f"block {row} of the table does not have its own tag", "the table")
        return self._entries(row)


class WrittenList(ListUnits):
    """
    The list of a file that is written over, which keeps its places; its runs may be cut. values: that lie in
    inodes of their own.
    """

    def __init__(self, image: Image, plan: Plan, tagger: Tagger, inode: Inode) -> None:
        super().__init__(plan, tagger, inode)
        self._plan = plan
        self._size = image.block_size
        self._sums = Checksums(image.superblock)
        self._fields = body_at(inode)
        self._place = inode.raw.xattr_block
        self._body, self._in_block = stored_xattrs(image, inode)
        self.values = EaValues(image)

    def write(
        self, runs: Sequence[Blocks], stored: Written, derived: Sequence[Blocks], old: Mapping[int, bytes]
    ) -> None:
        """
        Runs, or all pieces of runs that are cut, have other contents: their tags are of these.

        derived: pieces whose tags follow from those of their runs. old: blocks as they were before.
        """
        tags = {piece: self._derived(piece, stored, old) for piece in runs if piece in derived}
        for start, blocks in runs:
            known = self._by_start.get(start)
            tag = tags.get((start, blocks))
            if tag is None:
                was = b"" if known is None else known.tag
                tag = self._tagger.make(self._run_place(start, blocks), stored(start, blocks), was)
            self._by_start[start] = TaggedRun(start, blocks, tag)
        self._encode()

    def _run_place(self, start: int, blocks: int) -> Place:
        first = self.physical(start)
        assert first is not None, "a file that is written over keeps its places"
        return run_place(self._tagger, self._inode, start, blocks, first)

    def _derived(self, piece: Blocks, stored: Written, old: Mapping[int, bytes]) -> bytes:
        """Return the tag of a piece that is not read."""
        start, blocks = piece
        run = self._by_start[max(at for at in self._by_start if at <= start)]
        round_it = [range(run.logical, start), range(start + blocks, run.logical + run.blocks)]
        before, after = (b"".join(old.get(at) or stored(at, 1) for at in part) for part in round_it)
        return tag_of_piece(
            run.tag,
            self._run_place(run.logical, run.blocks).context,
            before,
            after,
            blocks * self._size,
            self._run_place(start, blocks).context,
        )

    def _encode(self) -> None:
        """Have the list with its own tag where it lies."""
        self.runs = [self._by_start[start] for start in sorted(self._by_start)]
        value = encode_list(self._plan, self._tagger, self._inode, self.runs, self._own)
        self._own = value[-self._plan.tag_bytes :]
        for key, part in replaced({}, TAGS_KEY, value).items():
            where = self._body if key in self._body else self._in_block
            old = where[key]
            where[key] = self.values.write(old.inode, part) if isinstance(old, EaValue) else part

    def into_inode(self, raw: bytearray) -> None:
        """Put what lies in the inode into its bytes; its checksum is set by whoever writes them."""
        if any(is_piece(key, TAGS_KEY) for key in self._body):
            raw[self._fields :] = encode_body(self._body, len(raw) - self._fields)

    def block(self, block: int) -> bytes | None:
        """Return the xattr block, or one of a value of its own; None for another."""
        if block != self._place or not self._place:
            return self.values.blocks.get(block)
        raw = bytearray(encode_block(self._in_block, self._size))
        self._sums.xattr_block(raw, block)
        return bytes(raw)
