"""
The script of a recorded case that writes a block device, done by the simulator.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.engine.costs import CostTable
from sim.engine.cpu import Task
from sim.paths.bdev_file import BdevFile
from sim.records.counted_machine import SETTLES_NS, CountedMachine
from sim.records.write_case import WriteCase, jobs_of, pieces


class BdevRun(CountedMachine):
    """One case on a block device, being run. How often a write fell into a new tick is the record's."""

    def __init__(self, case: WriteCase, costs: CostTable) -> None:
        super().__init__(case, costs)
        machine = self.machine
        self.file = BdevFile(machine.clock, machine.ledger, self.queue, machine.cache, case.volume.block_size)
        called = case.phase("write")
        self.ticks = called.get("__mark_inode_dirty", 0) - called.get("__folio_mark_dirty", 0)
        self.file.ticks_left = self.ticks

    def run(self) -> None:
        """Do what the script says."""
        self.play(self._script(self.machine.cpu.task(0, "wtruth")))

    def _script(self, task: Task) -> Generator[Any, Any, None]:
        for line in self.case.record["script"]:
            words = line.split()
            if words[0] == "mark":
                yield from task.settle()
                yield self.machine.clock.timeout(SETTLES_NS)
                self.begin(words[1])
            elif words[0] in ("w", "wseq", "wv", "wl"):
                yield from self._write(task, words)
            elif words[0] in ("fsync", "fdatasync"):
                yield from self.file.fsync(task)
            elif words[0] == "close":
                yield from self.file.close(task)

    def _write(self, task: Task, words: list[str]) -> Generator[Any, Any, None]:
        jobs, how = jobs_of(words)
        for offset, length in jobs:
            for at, part in pieces(offset, length):
                self.writes += 1
                yield from self.file.write(task, at, part)
            if how:
                yield from self.file.fsync(task)
