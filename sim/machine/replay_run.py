"""
A trace in a machine: every process of it a task, on its files or on the device.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sim.cache.address_space import OpenFile
from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, ReadRow
from sim.errors import ConfigError
from sim.machine.cell_metrics import check_delivery, result_of
from sim.machine.stage import Stage
from sim.machine.verify import Verifier
from sim.machine.volume_files import VolumeFile, verifier_of
from sim.volume.traces import names_of, trace_of
from sim.workload.player import Played
from sim.workload.replay import replay_bios, replay_reads
from sim.workload.traces.trace import Access, Trace


class ReplayRun:
    """One replay. Each open file of the trace has readahead of its own; its pages are all processes'."""

    def __init__(self, stage: Stage) -> None:
        said = stage.cell.config.workload.replay
        assert said is not None
        self._stage = stage
        self._pauses = said.pauses == "recorded"
        self._trace: Trace = trace_of(stage.cell, said)
        self._players: list[Played] = []
        self._files: dict[str, VolumeFile] = {}
        self._verifiers: dict[str, Verifier] = {}
        if self._pauses and not self._trace.timed:
            raise ConfigError("workload.replay.pauses", "recorded, and the trace has no times", '"none"')

    def start(self) -> None:
        """Start all processes (WorkloadPlayer)."""
        machine = self._stage.machine
        streams: dict[int, list[Access]] = defaultdict(list)
        for access in self._trace.accesses:
            streams[access.stream].append(access)
        opened = self._open() if self._trace.kind == "file" else {}
        for number, name in enumerate(self._trace.streams):
            task = machine.cpu.task(number, name)
            played = Played(log=[] if self._stage.trace else None)
            self._players.append(played)
            accesses = streams[number]
            if self._trace.kind == "block":
                load = replay_bios(machine.clock, machine.disk, task, accesses, self._pauses, played)
                machine.clock.process(load)
                continue
            reads = replay_reads(machine.clock, machine.filemap, task, accesses, opened, self._pauses, played)
            machine.clock.process(reads)

    def _open(self) -> dict[int, OpenFile]:
        """Return an open file for each of the trace's."""
        stage, paths = self._stage, names_of(self._stage.cell, self._stage.volume, self._trace)
        digests = stage.digests()
        found: dict[int, OpenFile] = {}
        for number, path in enumerate(self._trace.handles):
            name = paths[path]
            file = self._files.get(name)
            if file is None:
                file = self._files[name] = stage.open_file(name)
                if stage.cell.config.data == "real":
                    self._verifiers[name] = verifier_of(stage.volume, file, False, digests.get(name))
            found[number] = stage.machine.open(file.mapping, file.inode)
            if name in self._verifiers:
                found[number].sink = self._verifiers[name]
        return found

    @property
    def mappings(self) -> Iterable[Mapping]:
        """The files that were opened (WorkloadPlayer)."""
        return [file.mapping for file in self._files.values()]

    def result(self) -> CellResult:
        """Return what all processes came to (WorkloadPlayer)."""
        machine, trace = self._stage.machine, self._trace
        check_delivery(machine, self._players)
        reads = [
            ReadRow(
                reader, number, latency, trace.streams[reader], trace.handles[file], offset, length, start
            )
            for reader, played in enumerate(self._players)
            for number, (latency, (file, offset, length, start)) in enumerate(
                zip(played.latencies_ns, played.log or (), strict=False)
            )
        ]
        return result_of(machine, self._players, list(self._verifiers.values()), [], [], reads)
