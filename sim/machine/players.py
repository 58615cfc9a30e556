"""
The players there are: kind of workload -> who plays it, as the tables of [workload] are called.

A kind is a table of sim/config/workload.py, a WorkloadPlayer that is built on a stage, and
a line here.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.machine.browser_run import BrowserRun
from sim.machine.delete_run import DeleteRun
from sim.machine.job_run import JobRun
from sim.machine.replay_run import ReplayRun
from sim.machine.stage import Stage, WorkloadPlayer
from sim.machine.write_run import WriteRun

PLAYERS: dict[str, Callable[[Stage], WorkloadPlayer]] = {
    "jobs": JobRun,
    "browser_cache": BrowserRun,
    "secure_delete": DeleteRun,
    "stream_write": WriteRun,
    "replay": ReplayRun,
}
