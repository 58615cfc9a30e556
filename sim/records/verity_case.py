"""
Recorded reads of files with fs-verity on 6.1 (results/kernel/README.md has the form), against the simulator.

A record has a script and its phases. Those that read are compared: every counter and every bio. Of the
others, which enable fs-verity and unmount, nothing is: no simulator of them is here. In which order bios of
the tree and of data were queued is not compared: a worker reads the one, a task the other, and time decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.opf import REQ_OP_WRITE
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.integrity.merkle import area_of
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.records.json_lines import read_lines
from sim.records.write_bios import recorded_bios
from sim.records.write_case import NULLB, CountedCalls
from sim.records.write_compare import WriteDifference, WriteOutcome
from sim.units import PAGE_BYTES, SECTOR_BYTES

GROUP: Final = "fs-verity"
PHASES: Final = ("read", "again")
"""The phases that are compared."""
NOT_READ: Final = "enabling fs-verity and unmounting are not simulated from these records"
_NEEDED: Final = ("case", "script", "phases", "bios", "files", "file_bytes")
_EVENTS: Final = {
    "bio_queue": "queued",
    "getrq": "getrq",
    "rq_issue": "issued",
    "rq_complete": "completed",
    "plug": "plugs",
}
"""A record's block events -> those of BlockStats."""


class VerityCase:
    """
    One record. record: as it is, with what a table of cases asks for. probes: what was counted, in this one
    or in another of its file; what is not named in it was not called.
    """

    def __init__(self, record: dict[str, Any], at: str, probes: frozenset[str]) -> None:
        self.probes = probes
        self.record = {**record, "mode": GROUP, "path": "page_io", "block_size": PAGE_BYTES}
        self.at = at

    @property
    def name(self) -> str:
        """The record's own name."""
        return str(self.record["case"])

    def phase(self, name: str) -> dict[str, Any]:
        """Return what was recorded of a phase."""
        return dict(next(phase for phase in self.record["phases"] if phase["name"] == name))

    def number(self, name: str) -> int:
        """Return which phase it is, from 0."""
        return [phase["name"] for phase in self.record["phases"]].index(name)

    def extents(self) -> list[Extent]:
        """Return the file's extents: of its data as fiemap told them, of its tree where that was written."""
        found = [
            Extent(logical // PAGE_BYTES, physical // PAGE_BYTES, length // PAGE_BYTES, False)
            for logical, physical, length, _flags in self.record["files"][0]["extents"]
        ]
        (tree,) = [bio for bio in recorded_bios(self.record) if bio.phase == 0 and bio.opf & REQ_OP_WRITE]
        first = area_of(int(self.record["file_bytes"]), PAGE_BYTES).first
        blocks = tree.sectors * SECTOR_BYTES // PAGE_BYTES
        return [*found, Extent(first, tree.sector * SECTOR_BYTES // PAGE_BYTES, blocks, False)]

    def reads(self, phase: str) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of the reads of a phase's script."""
        now = ""
        for line in self.record["script"]:
            verb, *words = line.split()
            if verb == "mark":
                now = words[0]
            elif now == phase and verb == "r":
                yield int(words[1]), int(words[2])
            elif now == phase and verb == "rseq":
                start, step, length = map(int, words[1:])
                for offset in range(start, start + length, step):
                    yield offset, step

    @property
    def random(self) -> bool:
        """Whether the file was told POSIX_FADV_RANDOM."""
        return any(line.startswith("random ") for line in self.record["script"])


def is_verity_file(path: Path) -> bool:
    """Return whether a file of recordings is of this form, by its first line."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return f'"group":"{GROUP}"' in file.readline()
    except OSError:
        return False


def load_verity_cases(path: Path) -> list[VerityCase]:
    """Return the cases of a file; ConfigError for one that is not of this form."""
    records = list(read_lines(path))
    for number, record in enumerate(records, start=1):
        missing = [key for key in _NEEDED if key not in record]
        if missing or record.get("group") != GROUP:
            problem = f"has no {(missing or ['group'])[0]!r}"
            raise ConfigError(f"{path}:{number}", problem, f"a record of {GROUP}")
    phases = [phase for record in records for phase in record["phases"] if phase["name"] in PHASES]
    probes = frozenset(name for phase in phases for part in ("counts", "blk") for name in phase[part])
    return [VerityCase(record, f"{path}:{at}", probes) for at, record in enumerate(records, start=1)]


class VerityRun:
    """A record's reading phases, simulated. counts, bios: by phase."""

    def __init__(self, case: VerityCase) -> None:
        self.counts: dict[str, Counter[str]] = {}
        self.bios: dict[str, list[tuple[int, int]]] = {}
        self._queued: list[tuple[int, int]] = []
        profile = load_device_profile("null_blk")
        spec = MachineSpec("page_io", PAGE_BYTES, NULLB, CountedCalls(), cpus=1, tracer=self._trace)
        self._machine = machine = Machine(spec, lambda clock: make_device(clock, profile))
        plan = plan_tree(normalise(case.extents(), merge=False), PAGE_BYTES)
        tree = plan.tree(range(1, plan.blocks_needed + 1))
        inode = FsInode(tree, int(case.record["file_bytes"]), PAGE_BYTES)
        inode.map.status.fill()  # fiemap and the descriptor were read before
        machine.enable_verity(inode)
        file = machine.open(machine.mapping(inode), inode, case.random)
        task = machine.cpu.task(0, "reader")

        def reader(phase: str) -> Iterator[Any]:
            for offset, length in case.reads(phase):
                yield from machine.filemap.read(task, file, offset, length)
            yield from task.settle()

        before = self._now()
        for phase in PHASES:
            machine.clock.process(reader(phase))  # type: ignore[arg-type]
            machine.clock.run()
            self.bios[phase], self._queued = self._queued, []
            after = self._now()
            self.counts[phase] = after - before
            before = after

    def _trace(self, letter: str, _time_ns: int, sector: int, sectors: int) -> None:
        if letter == "Q":
            self._queued.append((sector, sectors))

    def _now(self) -> Counter[str]:
        found = Counter(self._machine.ledger.calls())
        stats = self._machine.queue.stats
        found.update({event: getattr(stats, name) for event, name in _EVENTS.items()})
        return found


def compare_verity_case(case: VerityCase) -> WriteOutcome:
    """Run a case and hold it against its record."""
    run = VerityRun(case)
    differences: list[WriteDifference] = []
    compared = 0
    for name in PHASES:
        phase = case.phase(name)
        recorded = {**phase["counts"], **phase["blk"]}
        for counter in sorted(recorded.keys() | case.probes):
            compared += 1
            kernel, ours = recorded.get(counter, 0), run.counts[name].get(counter, 0)
            if kernel != ours:
                differences.append(WriteDifference(case.name, name, counter, kernel, ours))
        compared += 1
        bios = recorded_bios(case.record)
        theirs = sorted((bio.sector, bio.sectors) for bio in bios if bio.phase == case.number(name))
        if theirs != sorted(run.bios[name]):
            differences.append(WriteDifference(case.name, name, "bios", theirs, sorted(run.bios[name])))
    left_out = {
        str(phase["name"]): NOT_READ for phase in case.record["phases"] if phase["name"] not in PHASES
    }
    return WriteOutcome(case, tuple(differences), compared, left_out)
