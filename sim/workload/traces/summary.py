"""
What is in a trace: counts, sizes, order, how much of it is read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sim.units import PAGE_BYTES
from sim.workload.traces.trace import UNKNOWN, Trace


@dataclass(frozen=True, slots=True)
class Summary:
    """
    A trace in numbers.

    reads, writes: accesses. bytes: delivered. files: that the trace names; files_accessed: of these.
    duration_ns: from the first access to the end of the last, as far as known; UNKNOWN without times. sizes:
    bytes asked for -> accesses. sequential: accesses that begin where the one before through the same open
    file ended; forward, backward: those that jump; the first of each open file is none of them.
    working_set_bytes: in pages of 4 KiB touched at least once. page_accesses: pages touched, each time
    counted.
    """

    reads: int
    writes: int
    bytes: int
    files: int
    files_accessed: int
    streams: int
    duration_ns: int
    sizes: dict[int, int]
    sequential: int
    forward: int
    backward: int
    working_set_bytes: int
    page_accesses: int

    @property
    def reuse(self) -> float:
        """How often a page is touched in the mean."""
        return self.page_accesses * PAGE_BYTES / self.working_set_bytes if self.working_set_bytes else 0.0


def summary(trace: Trace) -> Summary:
    """Return what is in a trace."""
    ends: dict[int, int] = {}
    order: Counter[int] = Counter()
    ranges: dict[str, list[tuple[int, int]]] = {}
    touched = 0
    for access in trace.accesses:
        before = ends.get(access.handle)
        if before is not None:
            order[(access.offset > before) - (access.offset < before)] += 1
        ends[access.handle] = access.offset + access.got
        if access.got:
            first, end = access.offset // PAGE_BYTES, -(-(access.offset + access.got) // PAGE_BYTES)
            ranges.setdefault(trace.handles[access.handle], []).append((first, end))
            touched += end - first
    writes = sum(access.write for access in trace.accesses)
    return Summary(
        reads=len(trace.accesses) - writes,
        writes=writes,
        bytes=sum(access.got for access in trace.accesses),
        files=len(trace.named),
        files_accessed=len(trace.files),
        streams=len(trace.streams),
        duration_ns=max(each.at_ns + max(each.took_ns, 0) for each in trace.accesses)
        if trace.timed
        else UNKNOWN,
        sizes=dict(sorted(Counter(access.length for access in trace.accesses).items())),
        sequential=order[0],
        forward=order[1],
        backward=order[-1],
        working_set_bytes=PAGE_BYTES * sum(_covered(spans) for spans in ranges.values()),
        page_accesses=touched,
    )


def _covered(spans: Iterable[tuple[int, int]]) -> int:
    """Return how many pages lie in any of some spans [first, end)."""
    covered = reached = 0
    for first, end in sorted(spans):
        covered += max(end - max(first, reached), 0)
        reached = max(reached, end)
    return covered
