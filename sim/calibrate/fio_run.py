"""
Running fio on a device or a file of this machine: what may be measured, and what the kernel says of it.

Nothing is ever written to what is measured: fio runs with --readonly, and no job may create a file.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from sim.calibrate.fio_plan import LEAST_BYTES, Plan, plan_for
from sim.calibrate.fio_results import OURS
from sim.documents import parse_json, why
from sim.errors import ConfigError
from sim.files import find_program
from sim.units import MIB, NS_PER_S, SECTOR_BYTES

ALLOWED = f"a block device or a written file of {LEAST_BYTES // MIB} MiB or more that can be read"
SCHEDULERS = ("none", "mq-deadline")
_SYSFS = Path("/sys/dev/block")


def check_target(target: Path) -> os.stat_result:
    """Return the stat of what can be measured; ConfigError for what cannot."""
    place = f"--run {target}"
    if not str(target).isprintable():
        raise ConfigError(place, "has letters in its name that a job file cannot hold", ALLOWED)
    try:
        fd = os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ConfigError(place, f"cannot be read ({why(error)})", ALLOWED) from None
    try:
        said = os.fstat(fd)
        if stat.S_ISDIR(said.st_mode):
            raise ConfigError(place, "is a directory", ALLOWED)
        if not (stat.S_ISREG(said.st_mode) or stat.S_ISBLK(said.st_mode)):
            raise ConfigError(place, "is neither a file nor a block device", ALLOWED)
        size = os.lseek(fd, 0, os.SEEK_END)
    finally:
        os.close(fd)
    if size < LEAST_BYTES:
        raise ConfigError(place, f"has {size} bytes", ALLOWED)
    if stat.S_ISREG(said.st_mode) and said.st_blocks * SECTOR_BYTES < size:
        held = f"has holes: {said.st_blocks * SECTOR_BYTES} of {size} bytes are on the device"
        raise ConfigError(place, held, ALLOWED)
    return said


def find_fio() -> str:
    """Return the path of fio; ConfigError where there is none."""
    found = find_program("fio")
    if found is None:
        raise ConfigError("--run", "fio is not installed", "fio 3, or --fio RESULT.json of another machine")
    return found


def queue_folder(said: os.stat_result) -> Path | None:
    """Return the kernel's folder of the request queue below a file or device; None if there is none."""
    device = said.st_rdev if stat.S_ISBLK(said.st_mode) else said.st_dev
    folder = (_SYSFS / f"{os.major(device)}:{os.minor(device)}").resolve()
    for one in (folder, folder.parent):  # a partition has none of its own
        if (one / "queue").is_dir():
            return one / "queue"
    return None


def queue_limits(folder: Path | None) -> dict[str, dict[str, Any]]:
    """Return the limits of a request queue as a profile has them, those that its files say."""
    if folder is None:
        return {}
    found: dict[str, dict[str, Any]] = {}

    def keep(name: str, value: Any, unit: str, file: str) -> None:
        source = f"/sys/block/{folder.parent.name}/{file} of the machine that was measured"
        found[name] = {"value": value, "unit": unit, "source": source}

    for name, file, unit in (
        ("max_sectors", "max_sectors_kb", "KiB"),
        ("max_segments", "max_segments", "count"),
        ("queue_depth", "nr_requests", "count"),
        ("read_ahead_bytes", "read_ahead_kb", "KiB"),
    ):
        text = _said(folder / file)
        if text.isdigit() and int(text):
            keep(name, int(text), unit, f"queue/{file}")
    chosen = _said(folder / "scheduler").partition("[")[2].partition("]")[0]
    if chosen in SCHEDULERS:
        keep("scheduler", chosen, "name", "queue/scheduler")
    driver = _driver(folder.parent)
    if driver:
        keep("driver", driver, "name", f"device: {folder.parent.name}")
        keep("bio_based", False, "flag", f"device: {driver} has requests")
    return found


def _driver(folder: Path) -> str:
    """Return which of our drivers a disk has, "" if it is none of them."""
    name, where = folder.name, folder.as_posix()
    if name.startswith("nvme"):
        return "nvme"
    if name.startswith("vd"):
        return "virtio_blk"
    if name.startswith("sd"):
        return "ahci" if "/ata" in where else "virtio_scsi" if "/virtio" in where else ""
    return ""


def _said(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def planned(said: os.stat_result, runtime_ns: int) -> tuple[Plan, dict[str, dict[str, Any]]]:
    """Return the plan for what is measured, and the limits of its queue."""
    folder = queue_folder(said)
    sector = _said(folder / "logical_block_size") if folder else ""
    return plan_for(runtime_ns, int(sector) if sector.isdigit() else SECTOR_BYTES), queue_limits(folder)


def run_plan(fio: str, target: Path, plan: Plan, queue: dict[str, dict[str, Any]]) -> str:
    """
    Run a plan on `target`; return fio's JSON, with the plan and the queue's limits under OURS.

    Raises ConfigError with fio's own line if it fails, or takes much longer than the plan.
    """
    place = f"--run {target}"
    with tempfile.TemporaryDirectory() as folder:
        jobs, out = Path(folder) / "plan.fio", Path(folder) / "result.json"
        jobs.write_text(plan.job_file(str(target.absolute())), encoding="utf-8")
        words = [fio, "--readonly", "--output-format=json", f"--output={out}", str(jobs)]
        most_s = 2 * plan.most_ns / NS_PER_S + 10
        try:
            done = subprocess.run(
                words,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=most_s,
                check=False,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            raise ConfigError(
                place, f"fio did not end within {most_s:.0f} s", "a device that answers"
            ) from None
        except OSError as error:
            raise ConfigError(place, f"fio cannot be run ({why(error)})", "fio 3") from None
        text = out.read_text(encoding="utf-8") if out.is_file() else ""
    if "{" not in text or done.returncode:
        lines = [line for line in (done.stderr + text.partition("{")[0]).splitlines() if line.strip()]
        raise ConfigError(place, f"fio failed: {lines[0] if lines else done.returncode}", ALLOWED)
    document = parse_json(text[text.index("{") :], place, "JSON")
    document[OURS] = {"plan": plan.lines("the target"), "queue": queue}
    return json.dumps(document, indent=1) + "\n"
