"""Small machines for the tests of the core: a file with given extents, a device with a fixed latency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from sim.block.hardware import WritableHardware
from sim.block.queue.limits import QueueLimits
from sim.cache.address_space import OpenFile
from sim.engine.clock import Clock
from sim.engine.costs import CostTable, load_costs
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.paths.design import PathDesign
from sim.paths.registry import DESIGNS
from sim.paths.registry import PATHS as ALL_PATHS

__all__ = ["ALL_PATHS", "PATHS", "TREE_AT", "FixedLatency", "Rig", "sequential"]
PATHS = tuple(path for path in ALL_PATHS if not DESIGNS[path].kernels)
"""The paths of any kernel; rigs are of 6.1 unless told otherwise."""

TREE_AT = 1 << 20
"""Where the blocks of extent trees lie: one in every 8 blocks from here, beyond all data."""


def priced(**costs: tuple[int, int]) -> CostTable:
    """Return the shipped symbols at no cost, but for these: (ns a call, ns a unit)."""
    table = {
        symbol: replace(cost, self_ps=0, unit_ps=0)
        for symbol, cost in load_costs("linux-6.1-epyc").costs.items()
    }
    for symbol, (call_ns, unit_ns) in costs.items():
        table[symbol] = replace(table[symbol], self_ps=call_ns * 1000, unit_ps=unit_ns * 1000)
    return CostTable("priced", table)


class FixedLatency(WritableHardware):
    """A device that answers every command after the same time, any number at once."""

    def __init__(self, clock: Clock, latency_ns: int) -> None:
        self.clock = clock
        self.latency_ns = latency_ns
        self.commands: list[tuple[int, int, int]] = []

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer in `latency_ns`."""
        self.commands.append((self.clock.now, sector, sectors))
        self.clock.call(self.latency_ns, done, token)

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer in `latency_ns`."""
        self.submit(sector, sectors, token, done)

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer in `latency_ns`."""
        self.submit(sector, sectors, token, done)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Answer in `latency_ns`."""
        self.clock.call(self.latency_ns, done, token)


class Rig:
    """A machine, one file of `extents`, and what happened at the device and in the queue."""

    def __init__(
        self,
        path: str | PathDesign,
        extents: Iterable[tuple[int, int, int] | Extent],
        size_bytes: int,
        block_size: int = 4096,
        status: str = "warm",
        latency_ns: int = 50_000,
        limits: QueueLimits | None = None,
        encrypted: bool = False,
        costs: CostTable | None = None,
        trace: bool = True,
        **spec: Any,
    ) -> None:
        self.block_log: list[tuple[str, int, int, int]] = []
        self.machine = Machine(
            MachineSpec(
                path=path,
                block_size=block_size,
                limits=limits or QueueLimits(1280, 128, 64),
                costs=costs or load_costs("linux-6.1-epyc"),
                tracer=(lambda *event: self.block_log.append(event)) if trace else None,
                **spec,
            ),
            self._device(latency_ns),
        )
        plan = plan_tree(normalise([Extent(*e, False) if len(e) == 3 else e for e in extents]), block_size)
        tree = plan.tree(range(TREE_AT, TREE_AT + 8 * plan.blocks_needed, 8))
        self.inode = FsInode(tree, size_bytes, block_size, encrypted)
        if status == "warm":
            self.inode.map.status.fill()
        if status != "all_cold":
            self.machine.buffers.warm(tree.blocks)
        self.mapping = self.machine.mapping(self.inode)

    def _device(self, latency_ns: int) -> Callable[[Clock], FixedLatency]:
        def make(clock: Clock) -> FixedLatency:
            self.device = FixedLatency(clock, latency_ns)
            return self.device

        return make

    def open(self, random: bool = False) -> OpenFile:
        """Open the file once more."""
        return self.machine.open(self.mapping, self.inode, random)

    def start(
        self, reads: Iterable[tuple[int, int]], file: OpenFile | None = None, core: int = 0
    ) -> list[int]:
        """Start a reader; return a list that will hold the time at which each read returned, in ns."""
        opened = file or self.open()
        task = self.machine.cpu.task(core, f"reader {core}")
        returned: list[int] = []

        def reader() -> Any:
            for offset, length in reads:
                yield from self.machine.filemap.read(task, opened, offset, length)
                returned.append(task.time_ns)
            yield from task.settle()

        self.machine.clock.process(reader())
        return returned

    def run(self, reads: Iterable[tuple[int, int]], random: bool = False) -> dict[str, int]:
        """Run one reader to the end; return calls per symbol."""
        self.start(reads, self.open(random))
        return self.finish()

    def finish(self) -> dict[str, int]:
        """Run to the end; return calls per symbol."""
        self.machine.clock.run()
        self.machine.check_quiet(self.mapping)
        return self.machine.ledger.calls()

    def letters(self, wanted: str) -> list[tuple[str, int, int]]:
        """Return the queue's events of the wanted letters, without times."""
        return [
            (letter, sector, sectors) for letter, _, sector, sectors in self.block_log if letter in wanted
        ]


def sequential(size_bytes: int, step_bytes: int) -> list[tuple[int, int]]:
    """Return the reads of a sequential pass."""
    return [(offset, step_bytes) for offset in range(0, size_bytes, step_bytes)]
