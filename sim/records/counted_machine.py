"""
The machine that a recorded write case runs on: its calls are counted phase by phase, its bios all kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.engine.costs import CostTable
from sim.errors import ConfigError, InvariantError
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.records.write_bios import BioSeen, WatchedQueue
from sim.records.write_case import DEVICES, PATHS, WriteCase

SETTLES_NS = 1_000_000
"""Between phases the recorded machine came to rest."""
WRITTEN = "sectors written"
"""Among the counts: what the device was given to write."""


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """
    What a phase called: counts by symbol, with the queue's own quantities among them. units: of what a
    symbol's cost goes by.
    """

    name: str
    counts: dict[str, int]
    units: dict[str, int]


class CountedMachine:
    """
    One case's machine. phases: what was counted. bios: all that were queued. phase: that which runs, None
    between them. ticks: how many of its writes fell into a new clock tick, as recorded; writes: how many it
    did, of which so many `grew` a file. all_simulated: what the script did before its first phase left the
    log as in the record.
    """

    def __init__(self, case: WriteCase, costs: CostTable) -> None:
        """Raise ConfigError for a path or a device that no recording is of."""
        record = case.record
        if record["path"] not in PATHS or record["device"] not in DEVICES:
            raise ConfigError(
                case.at, f"{record['path']} on {record['device']}", "a recorded path and device"
            )
        self.case = case
        self.phases: list[PhaseCounts] = []
        self.bios: list[BioSeen] = []
        self.ticks = self.writes = self.grew = 0
        self.all_simulated = True
        self.phase: str | None = None
        self._before: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        limits = DEVICES[record["device"]]
        spec = MachineSpec("page_io", case.volume.block_size, limits, costs, cpus=1, tracer=self._trace)
        profile = load_device_profile("null_blk")
        self.machine = Machine(spec, lambda clock: make_device(clock, profile))
        self.queue = WatchedQueue(self.machine.disk)

    def play(self, script: Generator[Any, Any, None]) -> None:
        """Run a script to its end; InvariantError for one that waits for what never comes."""
        ended = self.machine.clock.process(script)
        self.machine.clock.run()
        if not ended.triggered:
            raise InvariantError(f"{self.case.name}: the script waits for what never comes")

    def begin(self, name: str) -> None:
        """End the phase that runs; begin another, or none for "-"."""
        now = self._counts()
        if self.phase is not None:
            counts, units = (_gained(after, before) for after, before in zip(now, self._before, strict=True))
            self.phases.append(PhaseCounts(self.phase, counts, units))
        self._before = now
        self.phase = None if name == "-" else name

    def _trace(self, letter: str, _time_ns: int, sector: int, sectors: int) -> None:
        if letter.startswith("Q"):
            phase = -1 if self.phase is None else len(self.phases)
            place = sector if sectors else 0
            self.bios.append(BioSeen(phase, place, sectors, self.queue.queued(letter)))

    def _counts(self) -> tuple[Counter[str], Counter[str]]:
        counts: Counter[str] = Counter()
        units: Counter[str] = Counter()
        for charge in self.machine.ledger.charges():
            counts[charge.name] += charge.calls
            units[charge.name] += charge.units
        counts["bio_split"] = self.machine.queue.stats.splits
        counts[WRITTEN] = self.machine.queue.stats.write_sectors
        return counts, units


def _gained(after: Counter[str], before: Counter[str]) -> dict[str, int]:
    """Return what was added, without what was not."""
    gained = {symbol: number - before[symbol] for symbol, number in after.items()}
    return {symbol: number for symbol, number in gained.items() if number}
