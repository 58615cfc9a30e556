"""
An inode that is written: sizes, tree, status tree, pages with their buffer heads (Linux 6.1).

A buffer head's state is one byte, its place an integer, in arrays beside the page cache's: never an object a
block.
"""

from __future__ import annotations

from array import array
from typing import Any, Final

import numpy as np

from sim.cache.pages import Mapping
from sim.engine.rwsem import RwSemaphore
from sim.ext4.format.extents import ExtentTree
from sim.fs.es_tree import EsTree
from sim.fs.file_bytes import FileBytes
from sim.fs.live_tree import LiveTree
from sim.fs.page_locks import PageLocks
from sim.units import PAGE_BYTES

BH_UPTODATE: Final = 1
BH_DIRTY: Final = 2
BH_MAPPED: Final = 4
BH_NEW: Final = 8
BH_DELAY: Final = 16
BH_UNWRITTEN: Final = 32
BH_JBDDIRTY: Final = 64
BH_COW: Final = 128
"""
States of a buffer head; BH_JBDDIRTY: jbd2 has to commit it before it may be written. BH_COW: its block is
another file's, too; write-back gives it one of its own. No kernel's ext4 has it.
"""

GETS_PLACE: Final = BH_DELAY | BH_COW
NEEDS_MAPPING: Final = GETS_PLACE | BH_UNWRITTEN
_EVERY: Final = [bytes((state,)) for state in range(256)]


def same(state: int, blocks: int) -> bytes:
    """Return the states of blocks that are all in one."""
    return _EVERY[state] * blocks


def in_a_row(first: int, blocks: int) -> array[int]:
    """Return the places of blocks that lie one behind the other."""
    return array("q", np.arange(first, first + blocks, dtype=np.int64).tobytes())


def known_blocks(state: bytearray, base: int, blocks: int) -> int:
    """Return which of the blocks from `base` on are up to date: bit n for block n."""
    known = 0
    for block in range(blocks):
        if state[base + block] & BH_UPTODATE:
            known |= 1 << block
    return known


class LiveInode:
    """
    An inode in memory. changed: its map is another than it was. number: of the inode, table_block: that holds
    it. size: in bytes; disksize: what the disk's inode says of it. state, place: of every buffer head, by
    logical block. reserved: delayed blocks. sync_tid, datasync_tid: of the transactions that fsync(2) and
    fdatasync(2) wait for. tick: when its times were set last. open_files: who may write. encrypted: its
    blocks lie encrypted on the disk; by fs/crypto: fs_layer_crypto, by the device: inline_crypto (see
    fscrypt_inode_uses_inline_crypto()). journalled: its data goes through the log. taken: blocks that it got
    since it was opened, of data and of its tree (they are in i_blocks). bytes: None if data is off. regular:
    a file, no directory. links: how many names it has. dtime: seconds when it was deleted, or an orphan's
    next one. dirty: it, not only its pages, is on the flusher's list (I_DIRTY_SYNC); dirty_datasync: so
    that fdatasync(2) has to write it (I_DIRTY_DATASYNC). associated: without a journal, blocks of metadata
    that fsync(2) writes, in the order in which they were changed (i_mapping->private_list).
    rwsem: i_rwsem, of who writes it; data_sem: i_data_sem, of its blocks (sim.fs.inode_locks).
    page_locks: of its pages. shares: some of its blocks are other files', too, or were.
    """

    __slots__ = (
        "associated",
        "bytes",
        "changed",
        "data_sem",
        "datasync_tid",
        "dirty",
        "dirty_datasync",
        "disksize",
        "dtime",
        "encrypted",
        "es",
        "fs_layer_crypto",
        "group",
        "inline_crypto",
        "journalled",
        "links",
        "mapping",
        "nosec",
        "number",
        "open_files",
        "page_locks",
        "place",
        "regular",
        "reserved",
        "rwsem",
        "shares",
        "size",
        "state",
        "sync_tid",
        "table_block",
        "taken",
        "tick",
        "tree",
        "under_way",
    )

    def __init__(
        self,
        number: int,
        table_block: int,
        group: int,
        size: int,
        tree: ExtentTree,
        block_size: int,
        mapping: Mapping,
        encrypted: bool = False,
        inline: bool = False,
    ) -> None:
        """inline: where it is encrypted, the device does it."""
        self.rwsem = RwSemaphore()
        self.data_sem = RwSemaphore()
        self.page_locks = PageLocks(mapping)
        self.number = number
        self.table_block = table_block
        self.group = group
        self.size = self.disksize = size
        self.tree = LiveTree(tree, block_size)
        self.es = EsTree()
        self.mapping = mapping
        self.encrypted = encrypted
        self.fs_layer_crypto = encrypted and not inline
        self.inline_crypto = encrypted and inline
        self.journalled = False
        self.regular = True
        self.changed = self.dirty = self.dirty_datasync = self.shares = False
        blocks = mapping.pages * (PAGE_BYTES // block_size)
        self.state = bytearray(blocks)
        self.place = array("q", bytes(8 * blocks))
        self.reserved = self.taken = 0
        self.sync_tid = self.datasync_tid = 0
        self.tick = -1
        self.nosec = not encrypted
        self.open_files = self.links = 1
        self.dtime = 0
        self.under_way: list[Any] = []
        self.associated: dict[int, bool] = {}
        self.bytes: FileBytes | None = None

    def forget_heads(self, first: int, end: int, per_page: int) -> None:
        """Forget the blocks of pages [first, end) that have no buffer heads: they went with their page."""
        buffered = self.mapping.buffered
        if buffered is None:
            return
        at = buffered.find(0, first, end)
        while at >= 0:
            stop = buffered.find(1, at, end)
            stop = end if stop < 0 else stop
            self.state[at * per_page : stop * per_page] = bytes((stop - at) * per_page)
            at = buffered.find(0, stop, end)

    def reach(self, end_page: int, per_page: int) -> None:
        """Have room for pages up to `end_page`."""
        self.mapping.grow(end_page)
        missing = end_page * per_page - len(self.state)
        if missing > 0:
            self.state.extend(bytes(missing))
            self.place.frombytes(bytes(8 * missing))
