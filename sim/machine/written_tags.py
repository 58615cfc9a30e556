"""
The bytes of the checksums of files that jobs write (TagBytes), and of which bytes they are.

A checksum is of what was submitted last: a page that is changed again while it is under way has another one
when it is written again. Of journalled data it is of what the page holds, under the handle that logs it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable

from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.store import ByteStore
from sim.fs.file_tags import Run
from sim.fs.live_inode import LiveInode
from sim.fs.tag_bytes import Piece, TagBytes
from sim.integrity.written import WrittenList, WrittenTable


class WrittenTags(TagBytes):
    """
    table: None where files have lists. disk: what is on it now. lists: of the files that are open, by inode's
    number. pending: blocks of the device that were submitted and whose checksums are to follow.
    """

    def __init__(
        self, table: WrittenTable | None, disk: ByteStore, block_size: int, pending: set[int]
    ) -> None:
        self.lists: dict[int, WrittenList] = {}
        self.pending = pending
        self._table = table
        self._disk = disk
        self._size = block_size
        self._submitted: dict[int, bytes] = {}
        self._old: dict[int, dict[int, bytes]] = {}

    def before(self, store: OverlayStore, runs: Iterable[Run]) -> None:
        """Blocks of no file have got other bytes before the volume was mounted: a table has that, too."""
        if self._table is None:
            return
        for first, blocks in runs:
            for block in range(first, first + blocks):
                self._table.write(block, bytes(store.read(block * self._size, self._size)))
        for block, data in self._table.changed.items():
            store.write(block * self._size, data)

    def submitted(self, physical: int, data: bytes) -> None:
        """Data is on its way to blocks of the device, from `physical` on."""
        size = self._size
        for index in range(len(data) // size):
            self._submitted[physical + index] = data[index * size : (index + 1) * size]
        self.pending.update(range(physical, physical + len(data) // size))

    def _stored(self, inode: LiveInode, lblk: int, physical: int, blocks: int) -> bytes:
        """Return blocks of a file as their checksums are, or are to be, of them."""
        size = self._size
        if inode.journalled:
            assert inode.bytes is not None
            return bytes(inode.bytes.expected[lblk * size : (lblk + blocks) * size]).ljust(
                blocks * size, b"\0"
            )
        self.pending.difference_update(range(physical, physical + blocks))
        on_disk = bytes(self._disk.read(physical * size, blocks * size))
        parts = (
            self._submitted.get(physical + index, on_disk[index * size : (index + 1) * size])
            for index in range(blocks)
        )
        return b"".join(parts)

    def pieces_written(self, inode: LiveInode, pieces: list[Piece]) -> None:
        """Have a table's checksums of these blocks (TagBytes)."""
        assert self._table is not None
        for lblk, physical, blocks in pieces:
            stored = self._stored(inode, lblk, physical, blocks)
            self._table.write(physical, stored, (inode.number, lblk))

    def old_read(self, inode: LiveInode, runs: list[Run]) -> None:
        """Keep the old contents of blocks until they are written (TagBytes)."""
        stored, old = self._of_list(inode), self._old.setdefault(inode.number, {})
        for first, blocks in runs:
            old.update({at: stored(at, 1) for at in range(first, first + blocks)})

    def runs_written(self, inode: LiveInode, runs: list[Run], derived: list[Run]) -> None:
        """Have a list's checksums of these runs (TagBytes)."""
        old = self._old.pop(inode.number, {})
        self.lists[inode.number].write(runs, self._of_list(inode), derived, old)

    def _of_list(self, inode: LiveInode) -> Callable[[int, int], bytes]:
        """Return what gives the blocks of a file with a list, of which a run lies in a row."""

        def stored(lblk: int, blocks: int) -> bytes:
            first = self.lists[inode.number].physical(lblk)
            assert first is not None
            return self._stored(inode, lblk, first, blocks)

        return stored

    def block(self, block: int) -> bytes | None:
        """Return what a block with checksums holds (TagBytes)."""
        if self._table is not None:
            return self._table.changed.get(block)
        for kept in self.lists.values():
            held = kept.block(block)
            if held is not None:
                return held
        return None

    def inodes(self) -> ChainMap[int, bytes]:
        """Return the ea_inodes of all lists (TagBytes)."""
        return ChainMap(*(kept.values.inodes for kept in self.lists.values()))

    def inode_copied(self, number: int, raw: bytearray) -> None:
        """Put a list that lies in its inode there (TagBytes)."""
        kept = self.lists.get(number)
        if kept is not None:
            kept.into_inode(raw)
