"""
The script of a recorded write case, done by the simulator.

How often a write fell into a new clock tick and where in the log the first transaction lies is the record's.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

from sim.cache.pages import Mapping
from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.ext4.format.extents import ExtentTree
from sim.fs.allocation import Ext4Allocator
from sim.fs.es_tree import ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import END, Node
from sim.fs.mballoc.allocator import NoSpaceError
from sim.fs.mballoc.goal import inode_to_goal_block
from sim.fs.mballoc.request import AllocationRequest, MbInode
from sim.fs.writeback_control import WB_ALL, WB_SYNC_NONE
from sim.machine.writer import Ext4Writer
from sim.records.counted_machine import SETTLES_NS, CountedMachine
from sim.records.write_case import PATHS, WriteCase, jobs_of, piece_ends, pieces
from sim.units import PAGE_BYTES

TICKS_A_ROUND = 1
"""In a round of the instruction recordings, which lasts less than a tick of 4 ms, the times change once."""


class ScriptRun(CountedMachine):
    """One case on a file system, being run."""

    def __init__(self, case: WriteCase, costs: CostTable) -> None:
        super().__init__(case, costs)
        record, volume, machine = case.record, case.volume, self.machine
        self.allocator = Ext4Allocator(machine.ledger, volume.allocator())
        self.writer = Ext4Writer(
            machine.clock,
            machine.cpu,
            machine.ledger,
            self.queue,
            machine.cache,
            volume.shape(case.log_head()),
            case.options,
            self.allocator,
            PATHS[record["path"]],
            record["path"].endswith("2"),
        )
        self.writer.buffers.warm(volume.mounted_blocks())
        self._open: dict[int, LiveInode] = {}

    def run(self) -> None:
        """Do what the script says, up to umount."""
        task = self.machine.cpu.task(0, "wtruth")
        self.machine.clock.process(self._script(task))
        self.machine.clock.run()

    def waited_for_credits(self) -> bool:
        """Tell whether the writer has waited for credits that a worker gave back."""
        return self.writer.journal is not None and self.writer.journal.reserve_waits > 0

    # -- the script ----------------------------------------------------------------------------------

    def _script(self, task: Task) -> Generator[Any, Any, None]:
        for line in self.case.record["script"]:
            words = line.split()
            if words[0] == "umount":
                return
            yield from self._line(task, words)

    def _line(self, task: Task, words: list[str]) -> Generator[Any, Any, None]:
        writer, verb = self.writer, words[0]
        if verb == "mark":
            yield from task.settle()
            yield self.machine.clock.timeout(SETTLES_NS)
            self._mark(words[1])
        elif verb == "open":
            self._opened(int(words[1]), words[2].removeprefix("/mnt"))
        elif verb == "close":
            self._open[int(words[1])].open_files -= 1
        elif verb == "fiemap" and words[2] == "before":
            know_all(writer, self._open[0])
        elif verb == "precache":
            know_nodes(writer, self._open[0])
        elif verb == "esclear":
            self._open[int(words[1])].es.clear()
        elif verb == "rseq":
            self._read(int(words[1]), int(words[2]), int(words[4]))
        elif verb in ("w", "wseq", "wv", "wl"):
            yield from self._write(task, words)
        elif verb in ("fsync", "fdatasync"):
            yield from writer.sync.fsync(task, self._open[int(words[1])], verb == "fdatasync")
        elif verb == "sfr":
            flags = int(words[4])
            inode = self._open[int(words[1])]
            yield from writer.sync.sync_file_range(
                task, inode, bool(flags & 1), bool(flags & 2), bool(flags & 4)
            )
        elif verb == "syncfs" or (verb == "sync" and self.phase is None):
            yield from writer.flusher.syncfs(task)
        elif verb == "sleep" and self.phase == "sync":
            yield from writer.flusher.finish(task, WB_ALL)
        elif verb == "dontneed":
            inode = self._open[int(words[1])]
            yield from writer.write_back.writepages(task, inode, WB_SYNC_NONE)
            yield from writer.wait.wait(task, inode)
            self.machine.cache.drop(inode.mapping)
        elif verb == "falloc":
            yield from writer.fallocate(
                task, self._open[int(words[1])], int(words[3]), int(words[4]), words[2] == "1"
            )
        elif verb == "fill":
            yield from self._fill(task, int(words[2]), int(words[3]))
        elif verb == "mkdir":
            self._make_directory(words[1].removeprefix("/mnt"))
        elif verb == "unlink":
            self._free(words[1].removeprefix("/mnt"))

    def _write(self, task: Task, words: list[str]) -> Generator[Any, Any, None]:
        jobs, how = jobs_of(words)
        inode = self._open[int(words[1])]
        for offset, length in jobs:
            for at, part in pieces(offset, length):
                self.writes += 1
                yield from self.writer.write(task, inode, at, part)
            if how:
                yield from self.writer.sync.fsync(task, inode, how == 2)

    def _mark(self, name: str) -> None:
        if name == "write" and self.writer.journal is not None:  # what came before was not all simulated
            head = self.case.log_head()
            self.writer.journal.log.head = head
            places = self.case.volume.journal_places()
            self.writer.buffers.forget_pages(places)
            self.writer.buffers.warm([places[0], places[head - 1]])
        self.begin(name)
        ticks = self._ticks() if name == "write" else TICKS_A_ROUND
        self.ticks = self.ticks or ticks
        self.writer.sb.ticks_left = ticks if name.startswith("write") else 0

    def _ticks(self) -> int:
        """Return how often a write of the case fell into a new tick: what of ext4_dirty_inode() is left."""
        called = self.case.phase("write")
        left = called.get("ext4_dirty_inode", 0) - called.get("ext4_mb_new_blocks", 0)
        if self.writer.sb.delalloc and not self.writer.plain:
            left -= self._growths()
        return max(left, 0)

    def _growths(self) -> int:
        """Return how many pieces of writes make a file longer."""
        sizes = {number: inode.size for number, inode in self._open.items()}
        grown = 0
        for line in self.case.record["script"]:
            words = line.split()
            if words[0] not in ("w", "wseq", "wv", "wl"):
                continue
            number = int(words[1])
            for offset, length in jobs_of(words)[0]:
                for end in piece_ends(offset, length):
                    if end > sizes[number]:
                        sizes[number] = end
                        grown += 1
        return grown

    # -- files ---------------------------------------------------------------------------------------

    def _opened(self, number: int, path: str) -> None:
        """open(2): of a file that is there, or of a new one, which has the inode that was recorded."""
        known, encrypted = self.case.volume.file(path), path.startswith(("/enc_", "/e/"))
        if known is not None:
            inode, size, tree = known.inode, known.size, known.tree
        else:
            after = [entry for entry in self.case.record["files"] if entry["path"] == path]
            inode, size = after[0]["inode"] if after else self._unused_inode(), 0
            tree = ExtentTree(0, [], [0], [0], [()])
        live = self.writer.inodes.get(inode)
        if live is None:
            self._new_inode(number, inode, size, encrypted, tree)
        else:
            live.open_files += 1
            self._open[number] = live

    def _unused_inode(self) -> int:
        """Return a number that no file has."""
        return max(*self.case.volume.inodes(), *self.writer.inodes, 0) + 2

    def _new_inode(
        self, number: int, inode: int, size: int, encrypted: bool, tree: ExtentTree | None = None
    ) -> None:
        """Know an inode under a number of the script's."""
        block, group = self.case.volume.table_block(inode)
        mapping = Mapping(-(-size // PAGE_BYTES), False)
        tree = tree or ExtentTree(0, [], [0], [0], [()])
        live = LiveInode(inode, block, group, size, tree, self.case.volume.block_size, mapping, encrypted)
        self.writer.add(live)
        self.writer.buffers.warm([block])
        self._open[number] = live

    def _read(self, number: int, offset: int, length: int) -> None:
        """Have pages in the cache, as a read left them."""
        inode = self._open[number]
        first = offset // PAGE_BYTES
        end = -(-min(offset + length, inode.size) // PAGE_BYTES)
        self.machine.cache.insert(inode.mapping, first, end)
        inode.mapping.set_uptodate(first, end)

    def _fill(self, task: Task, chunk: int, least: int) -> Generator[Any, Any, None]:
        """fallocate(2) into a new file until the volume is full."""
        self._new_inode(-1, self._unused_inode(), 0, False)
        filler, at = self._open.pop(-1), 0
        while chunk >= least:
            try:
                yield from self.writer.fallocate(task, filler, at, chunk, False)
                at += chunk
            except NoSpaceError:
                self.writer.sb.stop(task)
                chunk //= 2
        filler.open_files = 0
        self.allocator.closed(task, filler)

    def _make_directory(self, path: str) -> None:
        """mkdir(2): the block of a directory, in the group of the file that comes to lie in it."""
        inside = [entry for entry in self.case.record["files"] if entry["path"].startswith(f"{path}/")]
        group = self.case.volume.table_block(inside[0]["inode"])[1] if inside else 0
        geometry, inode = self.allocator.mb.geometry, MbInode(0, group, regular=False)
        goal = inode_to_goal_block(geometry, inode, self.writer.sb.delalloc, 0)
        self.allocator.mb.new_blocks(AllocationRequest(inode, 0, 1, goal, 0))
        self.allocator.forget_counts()

    def _free(self, path: str) -> None:
        """unlink(2) of a file that is not open, and its commit."""
        known = self.case.volume.file(path)
        if known is None:
            raise ConfigError(self.case.at, f"unlink of {path}", "a file of the volume")
        for extent in known.tree.extents:
            self.allocator.mb.free_blocks(extent.physical, extent.length, 1)
        self.allocator.mb.committed(1)
        self.allocator.forget_counts()


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
