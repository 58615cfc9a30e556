"""
The files of a recorded write case: those that are on its volume, and those that its script makes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Final

from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.ext4.format.dirhash import HALF_MD4, name_hashes
from sim.ext4.format.extents import ExtentTree
from sim.ext4.format.inode import ROOT_INODE
from sim.fs.allocation import Ext4Allocator
from sim.fs.es_tree import ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import END, Node
from sim.fs.mballoc.allocator import NoSpaceError
from sim.fs.namei import Names
from sim.machine.machine import Machine
from sim.machine.writer import Ext4Writer
from sim.records.write_case import WriteCase
from sim.units import PAGE_BYTES

ROOT_ENTRIES_BYTES: Final = 512
"""More than the names in a root directory of the recordings take."""
FILLER: Final = "filler"


class ScriptFiles:
    """The open files of a script, by its numbers, and the directories that are in memory, by their paths."""

    def __init__(
        self, case: WriteCase, machine: Machine, writer: Ext4Writer, allocator: Ext4Allocator
    ) -> None:
        volume = case.volume
        self._case = case
        self._machine = machine
        self._writer = writer
        self._allocator = allocator
        inodes = volume.inode_allocator(allocator.mb)
        self.names = Names(machine.ledger, writer.sb, writer.mapper, inodes, volume.inode_tables())
        root = self.names.directory(
            ROOT_INODE, volume.directory("/"), True, volume.block_size - ROOT_ENTRIES_BYTES
        )
        self.directories = {"/": root}
        self.open: dict[int, LiveInode] = {}
        self._made: dict[str, LiveInode] = {}

    def opened(self, task: Task, number: int, path: str) -> Generator[Any, Any, None]:
        """open(2): of a file that is there, of a new one, or of a directory, which takes no number."""
        if path in self.directories or path == "":
            return
        known, encrypted = self._case.volume.file(path), path.startswith(("/enc_", "/e/"))
        live = self._made.get(path)
        if known is not None:
            live = self._writer.inodes.get(known.inode)
            if live is None:
                live = self._known(known.inode, known.size, known.tree, encrypted)
                live.open_files = 0
            yield from self.names.opened(task)
        elif live is None:
            above, _, name = path.rpartition("/")
            live = yield from self.names.create(task, self.directories[above or "/"], name, encrypted)
            self._writer.add(live)
            self._made[path] = live
            live.open_files = 0
        live.open_files += 1
        self.open[number] = live

    def _known(self, number: int, size: int, tree: ExtentTree, encrypted: bool) -> LiveInode:
        """Know an inode of the volume."""
        block, group = self._case.volume.table_block(number)
        mapping = Mapping(-(-size // PAGE_BYTES), False)
        live = LiveInode(number, block, group, size, tree, self._case.volume.block_size, mapping, encrypted)
        self._writer.add(live)
        if not self._writer.buffers.holds(block):
            self._writer.buffers.warm(self._case.volume.inode_tables().read_with(number))
        return live

    def make_directory(self, task: Task, path: str) -> Generator[Any, Any, None]:
        """mkdir(2) in the root."""
        name = path.removeprefix("/")
        hashed = int(name_hashes([name.encode()], HALF_MD4, self._case.volume.hash_seed)[0])
        made = yield from self.names.make_directory(task, self.directories["/"], name, hashed)
        self.directories[path] = made

    def read(self, number: int, offset: int, length: int) -> None:
        """Have pages in the cache, as a read left them."""
        inode = self.open[number]
        first = offset // PAGE_BYTES
        end = -(-min(offset + length, inode.size) // PAGE_BYTES)
        self._machine.cache.insert(inode.mapping, first, end)
        inode.mapping.set_uptodate(first, end)

    def fill(self, task: Task, chunk: int, least: int) -> Generator[Any, Any, None]:
        """fallocate(2) into a new file until the volume is full."""
        filler = yield from self.names.create(task, self.directories["/"], FILLER)
        self._writer.add(filler)
        at = 0
        while chunk >= least:
            try:
                yield from self._writer.fallocate(task, filler, at, chunk, False)
                at += chunk
            except NoSpaceError:
                self._writer.sb.stop(task)
                chunk //= 2
        self._allocator.close(task, filler)

    def free(self, path: str) -> None:
        """unlink(2) of a file that is not open, and its commit: what becomes free, not what is logged."""
        known = self._case.volume.file(path)
        if known is None:
            raise ConfigError(self._case.at, f"unlink of {path}", "a file of the volume")
        for extent in known.tree.extents:
            self._allocator.mb.free_blocks(extent.physical, extent.length, 1)
        nodes = sorted({block for chain in known.tree.leaf_chain for block in chain})
        self._writer.buffers.warm(nodes)  # they were read to be freed
        for node in nodes:
            self._allocator.mb.free_blocks(node, 1, 1)
        self._allocator.mb.committed(1)
        self.names.forget(known.inode)
        self._allocator.forget_counts()


def nodes_of(node: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    yield node
    for child in node.children:
        yield from nodes_of(child)


def know_nodes(writer: Ext4Writer, inode: LiveInode) -> None:
    """Have the nodes of a file's tree in memory."""
    for node in nodes_of(inode.tree.root):
        if node.block:
            writer.buffers.warm([node.block])
            writer.buffers.verify(node.block)


def know_all(writer: Ext4Writer, inode: LiveInode) -> None:
    """Have a file's tree and status tree in memory, as FIEMAP leaves them."""
    know_nodes(writer, inode)
    last = 0
    for extent in inode.tree.extents():
        if extent.logical > last:
            inode.es.insert(last, extent.logical - last, ES_HOLE, 0)
        status = ES_UNWRITTEN if extent.unwritten else ES_WRITTEN
        inode.es.insert(extent.logical, extent.length, status, extent.physical)
        last = extent.logical + extent.length
    inode.es.insert(last, END - last, ES_HOLE, 0)
