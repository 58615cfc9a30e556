"""A small ext4 that is written, for the tests of the write side: allocator, journal and device by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from core_kit import FixedLatency, priced

from sim.block.bio import Plug
from sim.block.queue.limits import QueueLimits
from sim.cache.pages import Mapping
from sim.engine.clock import Clock
from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.engine.mode import compiled
from sim.ext4.format.extents import Extent, ExtentTree
from sim.fs.allocation import Allocator
from sim.fs.es_tree import ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.ext4_super import MountOptions
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import END, Path
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.machine.writer import Ext4Writer, JournalShape, VolumeShape
from sim.paths.checksums.run_changes import SumPolicy
from sim.paths.write_ciphers import FSCRYPT_WRITES, WriteCiphers
from sim.units import PAGE_BYTES

T = TypeVar("T")
LIMITS = QueueLimits(2560, 256, 64, write_cache=True, fua=True)
TABLE, BITMAP, DESCRIPTORS = 20, 10, 1
"""Blocks of the inode table, of the one group's bitmap, and of its descriptor."""
LOG, NODES, DATA = 1000, 5000, 100_000
"""Where the journal, the nodes of extent trees, and newly allocated data begin."""


class Bump(Allocator):
    """
    Gives the next blocks, at most `piece` at once, `gap` apart; nodes of trees from a range of their own.
    in_order: each block of a file has its place, so that neighbours in it are neighbours on the disk.

    With a journal bitmap and descriptor become part of the transaction, as mballoc's do.
    """

    def __new__(cls, *_said: Any, **_named: Any) -> Bump:
        """Skip the test where the core is compiled, whose classes no interpreted one may extend."""
        if compiled():
            pytest.skip("the core is compiled, and an allocator of a test's own is not")
        return super().__new__(cls)

    def __init__(self, piece: int = 1 << 15, gap: int = 0, in_order: bool = False) -> None:
        self.piece, self.gap, self.in_order = piece, gap, in_order
        self.next_data, self.next_node = DATA, NODES
        self.freed: list[int] = []
        self.promised = 0
        self.sb: Any = None

    def mount(self, sb: Any) -> None:
        """Serve a mounted file system."""
        self.sb = sb

    def new_blocks(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        length: int,
        reserved: bool,
        plug: Plug,
        normalise: bool = True,
    ) -> Generator[Any, Any, tuple[int, int]]:
        """Return the next blocks."""
        del inode, path, reserved, plug, normalise
        given = min(length, self.piece)
        block = DATA + lblk if self.in_order else self.next_data
        self.next_data += given + self.gap
        self._changes(task)
        yield from ()
        return block, given

    def _changes(self, task: Task) -> None:
        for block in (BITMAP, DESCRIPTORS):
            self.sb.get_write_access(task, block)
            self.sb.dirty_metadata(task, block)

    def promise(self, blocks: int) -> bool:
        """Promise any number."""
        self.promised += blocks
        return True

    def claimed(self, task: Task, inode: LiveInode, blocks: int) -> Generator[Any, Any, None]:
        """Promised blocks have their places."""
        self.promised -= blocks
        inode.reserved -= blocks
        yield from self.sb.mark_dirty_sync(task, inode)

    def new_node(
        self, task: Task, inode: LiveInode, path: Path, lblk: int, plug: Plug
    ) -> Generator[Any, Any, int]:
        """Return the next node."""
        del path, lblk
        return (yield from self.new_level(task, inode, plug))

    def new_level(self, task: Task, inode: LiveInode, plug: Plug) -> Generator[Any, Any, int]:
        """Return the next node."""
        del inode, plug
        self.next_node += 1
        self._changes(task)
        yield from ()
        return self.next_node

    def free_node(self, task: Task, inode: LiveInode, block: int) -> None:
        """Take a node back."""
        del task, inode
        self.freed.append(block)

    def closed(self, task: Task, inode: LiveInode) -> None:
        """Nothing was preallocated."""


class SlowData(FixedLatency):
    """A device that answers what lies from DATA on after `data_ns`, and all else after `latency_ns`."""

    def __init__(self, clock: Clock, latency_ns: int, data_from: int, data_ns: int) -> None:
        super().__init__(clock, latency_ns)
        self._others = latency_ns, data_from, data_ns

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer."""
        latency_ns, data_from, data_ns = self._others
        self.latency_ns = data_ns if sector >= data_from else latency_ns
        super().submit(sector, sectors, token, done)


class WriteRig:
    """
    A machine with a mounted ext4.

    log: blocks of the journal, 0: none. depth: of the queue, 0: deep enough. traced: `events` has all that
    the queue does. said: of MountOptions.
    """

    def __init__(
        self,
        block_size: int = 4096,
        log: int = 1024,
        allocator: Bump | None = None,
        path: str = "page_io",
        latency_ns: int = 50_000,
        data_ns: int = 0,
        memory_pages: int = 0,
        cache_pages: int = 1 << 40,
        plain: bool = False,
        depth: int = 0,
        costs: CostTable | None = None,
        ciphers: WriteCiphers = FSCRYPT_WRITES,
        traced: bool = True,
        limits: QueueLimits = LIMITS,
        checksums: SumPolicy | None = None,
        **said: Any,
    ) -> None:
        self.events: list[tuple[str, int, int, int]] = []
        self.allocator = allocator or Bump()
        spec = MachineSpec(
            "page_io",
            block_size,
            replace(limits, queue_depth=depth or 64, tags=depth),
            costs or priced(),
            cpus=2,
            memory_pages=cache_pages,
            tracer=(lambda *event: self.events.append(event)) if traced else None,
        )
        self.machine = Machine(spec, self._device(block_size, latency_ns, data_ns))
        machine = self.machine
        journal = JournalShape(range(LOG, LOG + log)) if log else None
        self.writer = Ext4Writer(
            machine.clock,
            machine.cpu,
            machine.ledger,
            machine.disk,
            machine.cache,
            VolumeShape(block_size, 1, 1, DESCRIPTORS, journal),
            MountOptions(**said),
            self.allocator,
            path,
            plain,
            memory_pages=memory_pages,
            ciphers=ciphers,
            checksums=checksums,
        )
        self.writer.buffers.warm([TABLE, BITMAP, DESCRIPTORS])
        self.task = machine.cpu.task(0, "writer")

    def _device(self, block_size: int, latency_ns: int, data_ns: int) -> Callable[[Clock], FixedLatency]:
        def make(clock: Clock) -> FixedLatency:
            data_from = DATA * (block_size // 512)
            self.device = SlowData(clock, latency_ns, data_from, data_ns or latency_ns)
            return self.device

        return make

    def file(
        self,
        size: int = 0,
        extents: Iterable[tuple[int, int, int, bool]] = (),
        number: int = 12,
        known: bool = True,
        encrypted: bool = False,
        inline: bool = False,
    ) -> LiveInode:
        """
        Open a file whose extents fit into the root. known: its status tree knows them and the holes. inline:
        the device encrypts it.
        """
        tree = ExtentTree(0, [Extent(*each) for each in extents], [0], [0], [()])
        mapping = Mapping(-(-size // PAGE_BYTES), False)
        inode = LiveInode(number, TABLE, 0, size, tree, self.writer.sb.block_size, mapping, encrypted, inline)
        self.writer.add(inode)
        if known:
            inode.es.insert(0, END, ES_HOLE, 0)
            for lblk, block, length, unwritten in tree.extents:
                inode.es.insert(lblk, length, ES_UNWRITTEN if unwritten else ES_WRITTEN, block)
        return inode

    def cached(self, inode: LiveInode) -> None:
        """Have all pages of a file in the cache, up to date, without buffer heads."""
        pages = inode.mapping.pages
        self.machine.cache.insert(inode.mapping, 0, pages)
        inode.mapping.set_uptodate(0, pages)

    def run(self, *steps: Generator[Any, Any, Any]) -> None:
        """Do one thing after the other as the rig's task; return when nothing happens any more."""
        self.start(*steps)
        self.machine.clock.run()

    def run_for(self, ns: int) -> None:
        """Let so much time pass."""
        clock = self.machine.clock
        clock.run(until=clock.timeout(ns))

    def start(self, *steps: Generator[Any, Any, Any], task: Task | None = None) -> None:
        """Begin with them."""
        doing = task or self.task

        def process() -> Any:
            for step in steps:
                yield from step
                yield from doing.settle()

        self.machine.clock.process(process())

    def write(self, inode: LiveInode, offset: int, length: int) -> Generator[Any, Any, None]:
        """write(2)."""
        return self.writer.write(self.task, inode, offset, length)

    def fsync(self, inode: LiveInode, data_only: bool = False) -> Generator[Any, Any, None]:
        """fsync(2), or fdatasync(2)."""
        return self.writer.sync.fsync(self.task, inode, data_only)

    def calls(self) -> dict[str, int]:
        """Return calls per symbol so far."""
        return self.machine.ledger.calls()

    def bios(self) -> list[tuple[str, int, int]]:
        """
        Return the bios that were queued since they were last asked for: (RWBS, first block, blocks).

        Those that write come with their letters, as "WS"; reads as "R", flushes of the cache as "FWS".
        """
        size = self.writer.sb.block_size // 512
        queued = [event for event in self.events if event[0].startswith("Q")]
        self.events.clear()
        return [(letter[2:] or "R", sector // size, sectors // size) for letter, _, sector, sectors in queued]


def at_once(generator: Generator[Any, Any, T]) -> T:
    """Return what a generator returns that never sleeps."""
    try:
        while True:
            event = next(generator)
            raise AssertionError(f"slept for {event}")
    except StopIteration as stop:
        value: T = stop.value
        return value
