"""
The columns of a run directory's tables, each with its unit and meaning.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sim.config.cell_result import LATENCIES, PERCENTILES, percentile_name


def column(name: str, kind: pa.DataType, unit: str, about: str) -> pa.Field[Any]:
    """Return a column with its unit and what it is, which stand in the file."""
    return pa.field(name, kind, nullable=True, metadata={"unit": unit, "about": about})


_OTHER = {
    "mean": "mean duration of a read(2)",
    "stddev": "standard deviation of the durations",
    "min": "shortest duration",
    "max": "longest duration",
}
_PERCENTILE = {percentile_name(p): f"percentile {p:g} of the durations, by nearest rank" for p in PERCENTILES}
_LATENCIES: dict[str, tuple[pa.DataType, str]] = {
    name: (pa.float64() if name in ("mean", "stddev") else pa.int64(), (_OTHER | _PERCENTILE)[name])
    for name in LATENCIES
}
KEYS = [
    column("cell", pa.int32(), "", "position of the cell in the matrix"),
    column("seed", pa.int64(), "", "seed of the run"),
]
FAILED = pa.schema(
    [
        *KEYS,
        column("labels", pa.string(), "", "labels of the cell, joined"),
        column("error", pa.string(), "", "why it could not be run, in one line"),
        column("fault", pa.bool_(), "", "whether readpath is at fault; run.log.json then has the traceback"),
    ]
)
"""Cells without a result."""
CALLS = pa.schema(
    [
        *KEYS,
        column("symbol", pa.string(), "", "the kernel's own name"),
        column(
            "stack",
            pa.string(),
            "",
            "callers;...;symbol, from the system call, interrupt or worker thread down",
        ),
        column("context", pa.string(), "", "task, irq or kworker"),
        column("calls", pa.int64(), "calls", "how often"),
        column("ns", pa.int64(), "ns", "own CPU time over all calls, children not included"),
        column("instructions", pa.int64(), "instructions", "own instructions over all calls, likewise"),
        column("group", pa.string(), "", "cost group of the stacked figures"),
    ]
)
HISTOGRAMS = pa.schema(
    [
        *KEYS,
        column("histogram", pa.string(), "", "what is counted; a name ends in the unit of its bins"),
        column("bin", pa.int64(), "", "value"),
        column("count", pa.int64(), "", "how often"),
    ]
)

IO = pa.schema(
    [
        *KEYS,
        column("sector", pa.int64(), "sectors", "first sector"),
        column("sectors", pa.int64(), "sectors", "how many"),
        column("bios", pa.int32(), "bios", "bios in this row: more than 1 for one-block bios of a run"),
        column("merges", pa.int32(), "bios", "of these, those that joined a request which was there"),
        column("queued_ns", pa.int64(), "ns", "simulated time of submit_bio()"),
        column("plug_ns", pa.int64(), "ns", "until its request left the plug"),
        column("queue_ns", pa.int64(), "ns", "in the scheduler, or until the device had room: issued"),
        column("device_ns", pa.int64(), "ns", "from issue to the device's answer"),
        column("interrupt_ns", pa.int64(), "ns", "until the interrupt's work on it was done"),
        column("post_read_ns", pa.int64(), "ns", "until decrypted and ready; 0 for plain files"),
        column("wake_ns", pa.int64(), "ns", "until the last reader that slept for it ran on; 0 if none did"),
    ]
)
READS = pa.schema(
    [
        *KEYS,
        column("reader", pa.int32(), "", "number of the job's clone, in the order of the jobs"),
        column("number", pa.int64(), "", "number of the read(2), from 0"),
        column("latency_ns", pa.int64(), "ns", "from call to return"),
        column("job", pa.string(), "", "what results call the job: its name= or section"),
        column("file", pa.string(), "", "path in the volume; none: a whole file of a browser cache"),
        column("offset", pa.int64(), "B", "first byte"),
        column("length", pa.int64(), "B", "bytes that it returned"),
        column("start", pa.int64(), "ns", "simulated time of the call"),
    ]
)
JOBS = pa.schema(
    [
        *KEYS,
        column("scope", pa.string(), "", "job: one clone; group: all of a group with group_reporting"),
        column("job", pa.string(), "", "what results call the job: its name= or section; of a group, all"),
        column("clone", pa.int32(), "", "number of the clone; of a group, how many it has"),
        column("group", pa.int32(), "", "number of the group: stonewall and new_group begin one"),
        column(
            "reads",
            pa.int64(),
            "calls",
            "read(2) calls; here and below without the ramp_time",
        ),
        column("bytes_read", pa.int64(), "B", "bytes returned by read(2)"),
        column("runtime_ns", pa.int64(), "ns", "from the start, of the first, to the end, of the last"),
        column("iops", pa.float64(), "1/s", "reads per runtime"),
        column("throughput_mib_s", pa.float64(), "MiB/s", "bytes_read per runtime"),
        *(column(f"latency_{name}_ns", kind, "ns", about) for name, (kind, about) in _LATENCIES.items()),
    ]
)
"""What each fio job came to."""
