"""fio's JSON made up from a device: jobs as the model alone does them, for tests of `calibrate device`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.block.device.profile import DeviceProfile
from sim.calibrate.device_jobs import Host, simulate_job
from sim.calibrate.fio_results import FioRow

HOST = Host(3_000, 500)
PLANNED = [("randread", bs, 1) for bs in (512, 4096, 16384, 131072, 1 << 20)]
PLANNED += [("randread", 4096, depth) for depth in (2, 4, 8, 16, 32, 64)]
PLANNED += [("read", 1 << 20, 8), ("randread", 1 << 20, 32), ("read", 4096, 1)]
"""rw, bs, iodepth."""


@dataclass
class Job:
    """One entry of fio's `jobs`, as little of it as is looked at."""

    rw: str = "randread"
    bs: int = 4096
    iodepth: int = 1
    iops: float = 10_000.0
    lat_ns: float = 100_000.0
    sys_cpu: float = 3.0
    usr_cpu: float = 0.5
    group: int = 0
    numjobs: int = 1

    def entry(self, **options: Any) -> dict[str, Any]:
        """Return it, with other options."""
        name = f"{self.rw}-{self.bs}-{self.iodepth}"
        said = {"rw": self.rw, "bs": str(self.bs), "iodepth": str(self.iodepth), "numjobs": str(self.numjobs)}
        said |= {"ioengine": "libaio", "direct": "1"}
        clat = {"mean": self.lat_ns, "percentile": {"20.000000": self.lat_ns, "80.000000": self.lat_ns}}
        read = {"total_ios": 1000, "iops": self.iops, "slat_ns": {"mean": 0.0}, "clat_ns": clat}
        return {
            "jobname": name,
            "groupid": self.group,
            "error": 0,
            "job options": said | options,
            "read": read | {"lat_ns": {"mean": self.lat_ns}},
            "usr_cpu": self.usr_cpu,
            "sys_cpu": self.sys_cpu,
        }


def document(entries: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a result with these entries."""
    return {"fio version": "fio-3.33", "time": "Sat Nov 28 02:00:00 2026", "jobs": entries} | more


def write_result(path: Path, entries: list[dict[str, Any]], **more: Any) -> Path:
    """Write a result and return its path."""
    path.write_text(json.dumps(document(entries, **more)))
    return path


def row_of(rw: str, bs: int, depth: int, **more: Any) -> FioRow:
    """Return a row with one clone, before it was measured."""
    measured = {"reads": 1, "iops": 1.0, "lat_ns": 1.0, "low_ns": None, "high_ns": None}
    measured |= {"system_ns": HOST.within_ns, "user_ns": HOST.between_ns}
    return FioRow("row", "made up", rw == "randread", bs, depth, 1, **(measured | more))  # type: ignore[arg-type]


def measured(profile: DeviceProfile, jobs: list[tuple[str, int, int]] = PLANNED) -> list[dict[str, Any]]:
    """Return entries of what jobs measure on a device whose host takes HOST of each read."""
    entries = []
    for number, (rw, bs, depth) in enumerate(jobs):
        done = simulate_job(profile, row_of(rw, bs, depth), HOST)
        share = 100 * done.iops / 1e9
        cpu = {"sys_cpu": HOST.within_ns * share, "usr_cpu": HOST.between_ns * share}
        entries.append(Job(rw, bs, depth, done.iops, done.lat_ns, group=number, **cpu).entry())
    return entries


def trimmed(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result of fio with no more in it than is looked at, and without the target's name."""
    everywhere = {key: said for key, said in result.get("global options", {}).items() if key != "filename"}
    kept = {key: result[key] for key in ("fio version", "time")}
    if "readpath" in result:
        kept["readpath"] = {"queue": result["readpath"]["queue"]}
    jobs = []
    for job in result["jobs"]:
        read = job["read"]
        percentile = read["clat_ns"].get("percentile", {})
        clat = {"percentile": {key: percentile[key] for key in ("20.000000", "80.000000")}}
        jobs.append(
            {key: job[key] for key in ("jobname", "groupid", "error", "job options", "usr_cpu", "sys_cpu")}
            | {
                "read": {
                    "total_ios": read["total_ios"],
                    "iops": read["iops"],
                    "lat_ns": {"mean": read["lat_ns"]["mean"]},
                    "slat_ns": {"mean": read["slat_ns"]["mean"]},
                    "clat_ns": clat,
                }
            }
        )
    return kept | {"global options": everywhere, "jobs": jobs}
