"""
A traced cell as fio's JSON document (json or json+ of fio 3.33): the same keys, units and bins.

Bandwidth and IOPS are taken over the runtime in ns, which fio rounds to ms first; a short simulated run would
have none. usr_cpu is 0: nothing outside the kernel is modelled. ctx counts calls of schedule(). There are no
page faults. Samples of bandwidth (bw_min, ...) are taken every 500 ms, as fio does by default.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np

from sim.documents import read_json
from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.experiment.traced_tables import pieces
from sim.export.disk_util import disk_util
from sim.export.fio_bins import histogram, percentiles, value_of
from sim.export.fio_ios import READ, SYNC, WRITE, Clone, Ios, Numbers, clones_of
from sim.units import KIB, NS_PER_MS, NS_PER_S

FIO_VERSION = "fio-3.33"
"""Whose form this is."""
_NO_ETA = (1 << 31) - 1
_SAMPLE_NS = 500 * NS_PER_MS
_NS_BOUNDS = (2, 4, 10, 20, 50, 100, 250, 500, 750, 1000)
_DEPTHS = ("1", "2", "4", "8", "16", "32", ">=64")
_BATCHES = ("0", "4", "8", "16", "32", "64", ">=64")


def fio_document(run: Run, cell: int, seed: int, plus: bool) -> dict[str, Any]:
    """
    Return the document of a cell with one seed; `plus`: with bins (json+).

    Raises ConfigError for a cell with faults: the error that a job ended with is not kept job by job.
    """
    clones = clones_of(run, cell, seed)
    spent = _task_ns_and_sleeps(run, cell, seed)
    said = next(one for one in run.manifest["cells"] if one["cell"] == cell)
    if said["config"].get("faults"):
        raise ConfigError(
            f"{run.path}: cell {cell}", "has [faults]: errors by job are not kept", "one without"
        )
    made = _made(run)
    (metrics,) = (row for row in run.metrics if (row["cell"], row["seed"]) == (cell, seed))
    jobs = []
    for _, members in groupby(clones, key=lambda clone: clone.row["group"]):
        together = list(members)
        grouped = any(
            (row["cell"], row["seed"], row["scope"], row["group"])
            == (cell, seed, "group", together[0].row["group"])
            for row in run.jobs
        )
        rate = sum(_moved(one.ios[ddir]) for one in together for ddir in (READ, WRITE))
        parts = [together] if grouped else [[one] for one in together]
        jobs += [_job(part, said, run, spent, rate, plus) for part in parts]
    device = said["config"]["device"]["profile"]
    busy, elapsed = int(metrics["device_busy_ns"]), int(metrics["elapsed_ns"])
    return {
        "fio version": FIO_VERSION,
        "timestamp": int(made.timestamp()),
        "timestamp_ms": int(made.timestamp()) * 1000,
        "time": made.strftime("%a %b %d %H:%M:%S %Y"),
        "jobs": jobs,
        "disk_util": [disk_util(run.path, cell, seed, str(device), busy, elapsed)],
    }


def _made(run: Run) -> datetime:
    """Return when the run was made."""
    log = run.path / "run.log.json"
    if not log.is_file():
        return datetime.fromtimestamp(0, UTC)
    return datetime.fromisoformat(read_json(log, str(log), "what `readpath run` made")["started"])


def _job(
    clones: list[Clone], said: dict[str, Any], run: Run, spent: dict[str, list[int]], moved: int, plus: bool
) -> dict[str, Any]:
    """Return the entry of a clone, or of a group that is reported as one."""
    first = clones[0].row
    runtime = max(int(clone.row["runtime_ns"]) for clone in clones)
    ios = clones[0].ios
    for clone in clones[1:]:
        ios = {ddir: ios[ddir].joined(clone.ios[ddir]) for ddir in ios}
    began = min(clone.began_ns for clone in clones)
    latencies = np.concatenate([ios[READ].latency, ios[WRITE].latency])
    total = len(latencies)
    names = [_task_name(said, clone) for clone in clones]
    task_ns, sleeps = (sum(spent.get(name, [0, 0])[at] for name in names) for at in (0, 1))
    depth = 100 * (total + len(ios[SYNC].start)) / total if total else 0.0
    runtimes = sum(int(clone.row["runtime_ns"]) for clone in clones)
    return {
        "jobname": first["job"],
        "groupid": first["group"],
        "error": 0,
        "eta": _NO_ETA,
        "elapsed": -(-(began + runtime) // NS_PER_S),
        "job options": _options(said, clones[0], run),
        "read": _direction(ios[READ], began, runtime, moved, plus),
        "write": _direction(ios[WRITE], began, runtime, moved, plus),
        "trim": _direction(ios[READ].behind(1 << 62), began, 0, 0, plus),
        "sync": {
            "total_ios": len(ios[SYNC].start),
            "lat_ns": _latencies(ios[SYNC].latency) | _percentiles(ios[SYNC].latency, plus),
        },
        "job_runtime": runtimes // NS_PER_MS,
        "usr_cpu": 0.0,
        "sys_cpu": 100 * task_ns / runtimes if runtimes else 0.0,
        "ctx": sleeps,
        "majf": 0,
        "minf": 0,
        "iodepth_level": dict.fromkeys(_DEPTHS, 0.0) | {"1": depth},
        "iodepth_submit": dict.fromkeys(_BATCHES, 0.0) | {"4": 100.0 if total else 0.0},
        "iodepth_complete": dict.fromkeys(_BATCHES, 0.0) | {"4": 100.0 if total else 0.0},
        **_distribution(latencies),
        "latency_depth": 1,
        "latency_target": 0,
        "latency_percentile": 100.0,
        "latency_window": 0,
    }


def _moved(ios: Ios) -> int:
    return int(ios.length.sum())


def _direction(ios: Ios, began: int, runtime: int, moved: int, plus: bool) -> dict[str, Any]:
    """Return the fields of one direction; moved: bytes of the whole group, for bw_agg."""
    count, read = len(ios.start), _moved(ios)
    seconds = runtime / NS_PER_S
    rate = int(read / seconds) if seconds else 0
    none = _latencies(ios.latency[:0])
    found = _latencies(ios.latency)
    return {
        "io_bytes": read,
        "io_kbytes": read // KIB,
        "bw_bytes": rate,
        "bw": rate // KIB,
        "iops": count / seconds if seconds else 0.0,
        "runtime": runtime // NS_PER_MS if count else 0,
        "total_ios": count,
        "short_ios": 0,
        "drop_ios": 0,
        "slat_ns": none,
        "clat_ns": found | _percentiles(ios.latency, plus),
        "lat_ns": found,
        **_samples(ios, began, runtime, moved),
    }


def _latencies(latencies: Numbers) -> dict[str, Any]:
    count = len(latencies)
    return {
        "min": int(latencies.min()) if count else 0,
        "max": int(latencies.max()) if count else 0,
        "mean": float(latencies.mean()) if count else 0.0,
        "stddev": float(latencies.std(ddof=1)) if count > 1 else 0.0,
        "N": count,
    }


def _percentiles(latencies: Numbers, plus: bool) -> dict[str, Any]:
    """Return what fio adds to latencies if there are any: percentiles, and for json+ the bins."""
    if not len(latencies):
        return {}
    bins = histogram(latencies)
    found: dict[str, Any] = {"percentile": {f"{p:f}": ns for p, ns in percentiles(bins).items()}}
    if plus:
        found["bins"] = {str(value_of(number)): count for number, count in bins.items()}
    return found


def _samples(ios: Ios, began: int, runtime: int, moved: int) -> dict[str, Any]:
    """Return the samples of bandwidth (KiB/s) and IOPS: one for every 500 ms that are whole."""
    windows = runtime // _SAMPLE_NS if len(ios.start) else 0
    at = (ios.start + ios.latency - began) // _SAMPLE_NS
    inside = (at >= 0) & (at < windows)
    per_second = NS_PER_S / _SAMPLE_NS
    count = np.bincount(at[inside], minlength=windows) * per_second
    bandwidth = np.bincount(at[inside], ios.length[inside], minlength=windows) / KIB * per_second
    whole = moved / KIB / (runtime / NS_PER_S) if runtime else 0.0
    mean = float(bandwidth.mean()) if windows else 0.0
    return {
        "bw_min": int(bandwidth.min()) if windows else 0,
        "bw_max": int(bandwidth.max()) if windows else 0,
        "bw_agg": min(100 * mean / whole, 100.0) if whole else 0.0,
        "bw_mean": mean,
        "bw_dev": float(bandwidth.std(ddof=1)) if windows > 1 else 0.0,
        "bw_samples": windows,
        "iops_min": int(count.min()) if windows else 0,
        "iops_max": int(count.max()) if windows else 0,
        "iops_mean": float(count.mean()) if windows else 0.0,
        "iops_stddev": float(count.std(ddof=1)) if windows > 1 else 0.0,
        "iops_samples": windows,
    }


def _distribution(latencies: Numbers) -> dict[str, dict[str, float]]:
    """Return the shares, in percent, of latencies below each of fio's bounds in ns, us and ms."""
    total = len(latencies) or 1
    found = {}
    for name, unit, bounds in (
        ("latency_ns", 1, _NS_BOUNDS),
        ("latency_us", 1000, _NS_BOUNDS),
        ("latency_ms", NS_PER_MS, (*_NS_BOUNDS, 2000)),
    ):
        least = unit if unit > 1 else 0
        whole = latencies[latencies >= least] // unit
        below = np.searchsorted(np.sort(whole), bounds, side="left")
        shares = np.diff(np.concatenate([[0], below])) * 100 / total
        found[name] = {str(bound): float(share) for bound, share in zip(bounds, shares, strict=True)}
    over = int((latencies >= 2000 * NS_PER_MS).sum())
    found["latency_ms"][">=2000"] = over * 100 / total
    return found


def _options(said: dict[str, Any], clone: Clone, run: Run) -> dict[str, str]:
    """Return the options of a job that were set, as fio shows them, and where this comes from."""
    job = _said_job(said, clone)
    rw = {"write": "write", "mixed": "rw"}.get(job.get("ddir", "read"), "read")
    options = {
        "name": str(clone.row["job"]),
        "description": f"simulated by readpath {run.manifest['versions']['readpath']}: "
        + " ".join(f"{axis}={label}" for axis, label in said["labels"].items()),
        "ioengine": "psync",
        "rw": f"rand{rw}" if job["rw"] == "randread" else rw,
        "bs": str(job["bs_bytes"]),
        "iodepth": "1",
        "numjobs": str(job["numjobs"]),
    }
    for name, key in (("filename", "filename"), ("size", "size_bytes"), ("fsync", "fsync_every")):
        if job.get(key):
            options[name] = str(job[key])
    return options


def _said_job(said: dict[str, Any], clone: Clone) -> dict[str, Any]:
    """Return the job of the configuration that a clone is of."""
    jobs = said["config"]["workload"]["jobs"]
    found = [job for job in jobs if (job.get("title") or job["name"]) == clone.row["job"]]
    return dict((found or jobs)[0])


def _task_name(said: dict[str, Any], clone: Clone) -> str:
    """Return what the trace calls the task of a clone."""
    return f"{_said_job(said, clone)['name']}.{clone.row['clone']}"


def _task_ns_and_sleeps(run: Run, cell: int, seed: int) -> dict[str, list[int]]:
    """Return task -> its CPU time in ns, and how often it called schedule()."""
    sleeps: dict[int, int] = {}
    for piece in pieces(run.path, "burst_calls", cell, seed):
        calls: Any = piece
        for kind, symbol, count in zip(calls["kind"], calls["symbol"], calls["calls"], strict=True):
            if symbol == "schedule":
                sleeps[kind] = sleeps.get(kind, 0) + count
    found: dict[str, list[int]] = {}
    seen = bytearray()  # by number of the stretch: its pieces share one kind
    for piece in pieces(run.path, "bursts", cell, seed):
        bursts: Any = piece
        names = ("burst", "context", "comm", "ns", "kind")
        for burst, context, comm, ns, kind in zip(*(bursts[name] for name in names), strict=True):
            if context != "task":
                continue
            entry = found.setdefault(comm, [0, 0])
            entry[0] += ns
            seen.extend(bytes(max(burst + 1 - len(seen), 0)))
            entry[1] += 0 if seen[burst] else sleeps.get(kind, 0)
            seen[burst] = 1
    return found
