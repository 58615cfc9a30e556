"""
A traced cell as a Perfetto trace (https://perfetto.dev), to be opened in its user interface or queried.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sim.export.perfetto_cpu import cpu_items
from sim.export.perfetto_io import io_items
from sim.export.trace_packets import Names, start
from sim.export.trace_shapes import assembled

ALWAYS = (0, 1 << 55)
"""The whole run, in ns."""


def perfetto_packets(run: Path, cell: int, seed: int, between: tuple[int, int] = ALWAYS) -> Iterator[bytes]:
    """
    Yield the bytes of the trace of a cell; of what begins in `between` [ns, ns).

    Raises ConfigError if the run has no trace.
    """
    names = Names()
    yield start()
    yield from assembled(io_items(run, cell, seed, names, between))
    yield from assembled(cpu_items(run, cell, seed, names, between))
