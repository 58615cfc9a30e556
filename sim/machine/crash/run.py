"""
The power cuts that an experiment asks for, and what they came to.
"""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np

from sim.block.write_log import WrittenBio
from sim.config.cell_result import Number
from sim.config.crash import Crash
from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.files import find_program
from sim.machine.crash.e2fsck import E2fsck
from sim.machine.crash.history import FileHistory
from sim.machine.crash.judge import Judge, Verdicts
from sim.machine.crash.states import EVERYTHING, NOTHING, SOME, CutLog, boundaries
from sim.machine.mounted_bytes import MountedBytes
from sim.units import SECTOR_BYTES

NOT_ASKED = -1
"""A count of what e2fsck would have said, where it is not installed."""


def moments(said: Crash, log: list[WrittenBio], end_ns: int, seed: int) -> list[int]:
    """
    Return when the power is cut, in ns; ConfigError for a time behind the end of the run.

    At random means until the last bio has ended: in the seconds until timers end nothing changes any more.
    """
    if said.at == "random":
        last = min(end_ns, max(boundaries(log), default=end_ns))
        return sorted(stream(seed, "power cuts").integers(0, last, said.points, endpoint=True).tolist())
    if said.at == "bios":
        every = [at for at in boundaries(log) if at <= end_ns]
        if len(every) <= said.points:
            return every
        return [every[at] for at in np.linspace(0, len(every) - 1, said.points).astype(int).tolist()]
    if said.at > end_ns:
        raise ConfigError("crash.at", f"{said.at} ns, but the run ends at {end_ns} ns", "a time of the run")
    return [int(said.at)]


def crash_run(
    said: Crash,
    mounted: MountedBytes,
    files: dict[str, tuple[int, FileHistory]],
    end_ns: int,
    volatile: bool,
    seed: int,
) -> Verdicts:
    """
    Cut the power as often as asked for, and judge each state of the disk.

    files: by path, the inode's number and its writes. volatile: the disk has a cache that loses what was not
    flushed.
    """
    log = list(mounted.log)
    verdicts, rng = Verdicts(), stream(seed, "what a power cut leaves")
    with ExitStack() as stack:
        program = find_program("e2fsck")
        fsck = stack.enter_context(E2fsck(program)) if program else None
        judge = Judge(mounted, files, fsck)
        for at_ns in moments(said, log, end_ns, seed):
            cut = CutLog(log, at_ns, volatile)
            for number in range(said.states):
                what = (NOTHING, EVERYTHING, SOME)[min(number, 2)]
                if number and not cut.open:
                    break  # there is but one state
                verdicts.add(judge.judge(cut.written(what, rng), at_ns), f"{at_ns} ns, {what}")
    if fsck is None:
        verdicts.e2fsck = verdicts.differs = NOT_ASKED
    return verdicts


def crash_metrics(verdicts: Verdicts, sums: bool = False) -> dict[str, Number]:
    """Return what the states came to, as metrics of a cell. sums: the volume has checksums of data."""
    alarms: dict[str, Number] = {
        "crash_false_alarms": verdicts.alarming,
        "crash_false_alarm_blocks": verdicts.most_alarms,
        "crash_alarms_at_rest": verdicts.at_rest,
    }
    return {
        "crash_states": verdicts.states,
        "crash_unsound": verdicts.unsound,
        "crash_e2fsck_finds": verdicts.e2fsck,
        "crash_replays_differ": verdicts.differs,
        "crash_losing": verdicts.losing,
        "crash_stale": verdicts.showing,
        "crash_lost_bytes": verdicts.most_lost * SECTOR_BYTES,
        "crash_stale_bytes": verdicts.most_stale * SECTOR_BYTES,
        **(alarms if sums else {}),
    }
