"""
The columns of the long tables of a traced run.
"""

from __future__ import annotations

import pyarrow as pa

from sim.experiment.columns import KEYS, column

WRITES = pa.schema(
    [
        *KEYS,
        column("reader", pa.int32(), "", "number of the job's clone, in the order of the jobs"),
        column("number", pa.int64(), "", "number of the call, from 0"),
        column("call", pa.string(), "", "write, fsync or fdatasync"),
        column("latency_ns", pa.int64(), "ns", "from call to return"),
        column("job", pa.string(), "", "what results call the job: its name= or section"),
        column("file", pa.string(), "", "path in the volume"),
        column("offset", pa.int64(), "B", "first byte; 0 of a sync"),
        column("length", pa.int64(), "B", "bytes that were written; 0 of a sync"),
        column("start", pa.int64(), "ns", "simulated time of the call"),
    ]
)
BLOCK = pa.schema(
    [
        *KEYS,
        column("time_ns", pa.int64(), "ns", "simulated time of the event; the rows are in its order"),
        column("action", pa.string(), "", "blktrace's letter: P U Q G I M F X D C"),
        column("rwbs", pa.string(), "", "blktrace's RWBS: R or W or N, with F, A, S, M"),
        column("sector", pa.int64(), "sectors", "first sector"),
        column("sectors", pa.int64(), "sectors", "how many; of X: those cut off"),
        column("cpu", pa.int32(), "", "core on which it happened"),
        column("pid", pa.int32(), "", "number of the task; 0: an interrupt"),
        column("comm", pa.string(), "", "its name"),
        column("window", pa.int64(), "", "of Q: the read window that it is part of; -1: of none"),
        column("count", pa.int64(), "requests", "of U: how many were inserted"),
    ]
)
BURSTS = pa.schema(
    [
        *KEYS,
        column("burst", pa.int64(), "", "number of the stretch of work; its pieces have the same"),
        column("cpu", pa.int32(), "", "core"),
        column("context", pa.string(), "", "task, irq or kworker"),
        column("pid", pa.int32(), "", "number of the task, as in block.parquet"),
        column("comm", pa.string(), "", "its name"),
        column("start_ns", pa.int64(), "ns", "simulated time of its beginning; rows are in this order"),
        column("ns", pa.int64(), "ns", "how long it is; other work comes between two pieces"),
        column("kind", pa.int64(), "", "which rows of burst_calls.parquet its calls are"),
    ]
)
BURST_CALLS = pa.schema(
    [
        *KEYS,
        column("kind", pa.int64(), "", "kind of a stretch of work"),
        column("context", pa.string(), "", "task, irq or kworker"),
        column("symbol", pa.string(), "", "the kernel's own name"),
        column("stack", pa.string(), "", "callers;...;symbol, as in calls.parquet"),
        column("calls", pa.int64(), "calls", "how often in one such stretch"),
        column("ps", pa.int64(), "ps", "own CPU time over these calls, in thousandths of a ns"),
        column("milli_instructions", pa.int64(), "instructions / 1000", "own instructions, likewise"),
    ]
)
WINDOWS = pa.schema(
    [
        *KEYS,
        column("window", pa.int64(), "", "number of the window"),
        column("pid", pa.int32(), "", "number of the task, as in block.parquet"),
        column("comm", pa.string(), "", "its name"),
        column("call", pa.string(), "", "read_pages: ->readahead or a batch of pages; read_folio: one page"),
        column("page", pa.int64(), "pages", "first page in the file"),
        column("pages", pa.int64(), "pages", "how many are read"),
        column("begin_ns", pa.int64(), "ns", "simulated time at which the path was called"),
        column("end_ns", pa.int64(), "ns", "simulated time at which all was submitted"),
    ]
)
GAUGES = pa.schema(
    [
        *KEYS,
        column("time_ns", pa.int64(), "ns", "simulated time at which the change was seen"),
        column("gauge", pa.string(), "", "what is counted: dirty_pages"),
        column("value", pa.int64(), "pages", "how many there are from then on"),
    ]
)

TRACED = {
    "writes": WRITES,
    "block": BLOCK,
    "bursts": BURSTS,
    "burst_calls": BURST_CALLS,
    "windows": WINDOWS,
    "gauges": GAUGES,
}
"""Table -> its columns."""
