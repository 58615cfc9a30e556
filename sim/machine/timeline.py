"""
One read window, watched: when the reader, the interrupts and the device worked, and when each page came.

A tiny machine reads a small file once with one read(2). Nothing is modelled here: the times are those of the
core, the calls those of its ledger. The file is as long as the window, so that no second window follows; its
extents are known (a warm status cache); data is off; the device answers each command after the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from sim.block.hardware import Hardware
from sim.block.queue.limits import QueueLimits
from sim.cache.pages import Mapping
from sim.config.cell_result import GROUPS
from sim.engine.clock import Clock
from sim.engine.costs import DEFAULT_MACHINE, PS_PER_NS, load_costs
from sim.engine.cpu import Core, Task
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.paths.registry import PATHS
from sim.units import PAGE_BYTES

LAYOUTS = ("contiguous", "1-block extents")
_LIMITS = QueueLimits(max_sectors=2560, max_segments=127, queue_depth=1023, driver="nvme")
"""Those of the nvme profile."""
_FIRST_BLOCK, _TREE_BLOCK = 1 << 12, 1 << 20


@dataclass(frozen=True, slots=True)
class Span:
    """
    A stretch of CPU work: [start_ns, end_ns), its ns by cost group, and how many bios it submitted or ended.
    """

    start_ns: int
    end_ns: int
    groups: dict[str, float]
    bios: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """
    One window on one path.

    task, irq: what the reader and the interrupts did, in order. commands: (issued, completed) in ns, in the
    order of their sectors. uptodate: (time in ns, pages that came up to date then), in order. calls: per
    kernel symbol, all contexts. events: blktrace's letter, ns, sector, sectors, as they happened.
    end_ns: return of the read(2).
    """

    path: str
    layout: str
    task: tuple[Span, ...]
    irq: tuple[Span, ...]
    commands: tuple[tuple[int, int], ...]
    uptodate: tuple[tuple[int, int], ...]
    calls: dict[str, int]
    events: tuple[tuple[str, int, int, int], ...]
    end_ns: int

    def count(self, letter: str) -> int:
        """Return how many events of one of blktrace's letters there were."""
        return sum(event[0] == letter for event in self.events)


class _Meter:
    """What one context has been charged since the last look."""

    def __init__(self, ledger: Ledger, context: str, per_bio: str) -> None:
        self._ledger, self._context, self._per_bio = ledger, context, per_bio
        self._seen = (dict.fromkeys(GROUPS, 0), 0)

    def take(self) -> tuple[dict[str, float], int]:
        """Return ns by group, and calls of the symbol that is called once a bio."""
        ps, bios = dict.fromkeys(GROUPS, 0), 0
        for row in self._ledger.rows():
            if row.context == self._context:
                ps[row.group] += row.ps
                bios += row.calls if row.symbol == self._per_bio else 0
        before, self._seen = self._seen, (ps, bios)
        return {group: (ps[group] - before[0][group]) / PS_PER_NS for group in GROUPS}, bios - before[1]


class _WatchedTask(Task):
    """A task that tells of its bursts."""

    __slots__ = ("_meter", "spans")

    def __init__(self, clock: Clock, core: Core, ledger: Ledger) -> None:
        super().__init__(clock, core, "reader")
        self._meter = _Meter(ledger, TASK, "bio_alloc_bioset")
        self.spans: list[Span] = []

    def begin_burst(self) -> None:
        """Put the gathered cost on the core, and note it."""
        before = self.core.busy_task_ns
        super().begin_burst()
        spent, end = self.core.busy_task_ns - before, self.core.free_at
        groups, bios = self._meter.take()
        if spent:
            self.spans.append(Span(end - spent, end, groups, bios))


class _WatchedMapping(Mapping):
    """A mapping that tells when its pages come up to date."""

    __slots__ = ("_clock", "came")

    def __init__(self, pages: int, clock: Clock) -> None:
        super().__init__(pages, keep_content=False)
        self._clock = clock
        self.came: dict[int, int] = {}

    def set_uptodate(self, start: int, end: int, brought: Any = None) -> None:
        """Unlock pages, and note when."""
        super().set_uptodate(start, end, brought)
        self.came[self._clock.now] = self.came.get(self._clock.now, 0) + end - start


class _FixedLatency(Hardware):
    """A device that answers every command after the same time, any number at once."""

    def __init__(self, clock: Clock, latency_ns: int) -> None:
        self._clock, self._latency_ns = clock, latency_ns

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer in `latency_ns`."""
        del sector, sectors
        self._clock.call(self._latency_ns, done, token)


class _Interrupts:
    """Interrupts, as far as a core and its ledger tell of them at each completion."""

    def __init__(self) -> None:
        self.core: Core
        self.meter: _Meter
        self._starts: list[tuple[int, int]] = []
        self._taken: list[tuple[dict[str, float], int]] = []

    def completion(self, now: int) -> None:
        """A command has completed at `now`; its interrupt follows."""
        if self._starts:
            self._taken.append(self.meter.take())
        self._starts.append((max(self.core.irq_free_at, now), self.core.busy_irq_ns))

    def spans(self) -> tuple[Span, ...]:
        """Return the interrupts; call once, at the end."""
        if self._starts:
            self._taken.append(self.meter.take())
        busy = [busy for _, busy in self._starts[1:]] + [self.core.busy_irq_ns]
        return tuple(
            Span(start, start + after - before, groups, bios)
            for (start, before), after, (groups, bios) in zip(self._starts, busy, self._taken, strict=True)
        )


def watch(
    path: str,
    layout: str,
    *,
    block_size: int = 1024,
    pages: int = 8,
    latency_ns: int = 8_000,
    machine: str = DEFAULT_MACHINE,
) -> Timeline:
    """
    Return the timeline of one window of `pages` pages, read with one read(2) on a cold page cache.

    layout: one of LAYOUTS. block_size in bytes. latency_ns: the device's. machine: a machine profile.

    Raises ConfigError for a path, layout or size that is not modelled.
    """
    _check("path", path, PATHS)
    _check("layout", layout, LAYOUTS)
    _check("block_size", block_size, (1024, 2048, 4096))
    _check("pages", pages, range(1, 257))
    inode = _file(layout, block_size, pages)
    events: list[tuple[str, int, int, int]] = []
    interrupts = _Interrupts()

    def trace(letter: str, ns: int, sector: int, sectors: int) -> None:
        events.append((letter, ns, sector, sectors))
        if letter == "C":
            interrupts.completion(ns)

    spec = MachineSpec(path, block_size, _LIMITS, load_costs(machine), cpus=1, ra_pages=pages, tracer=trace)
    small = Machine(spec, lambda clock: _FixedLatency(clock, latency_ns))
    core = small.cpu.cores[0]
    interrupts.core, interrupts.meter = core, _Meter(small.ledger, IRQ, "bio_endio")
    task = _WatchedTask(small.clock, core, small.ledger)
    mapping = _WatchedMapping(inode.pages, small.clock)

    def reader() -> Generator[Any, Any, None]:
        yield from small.filemap.read(task, small.open(mapping, inode), 0, inode.size_bytes)
        yield from task.settle()

    small.clock.process(reader())
    small.clock.run()
    small.check_quiet(mapping)
    return Timeline(
        path,
        layout,
        tuple(task.spans),
        interrupts.spans(),
        _commands(events),
        tuple(mapping.came.items()),
        small.ledger.calls(),
        tuple(events),
        task.spans[-1].end_ns,
    )


def _file(layout: str, block_size: int, pages: int) -> FsInode:
    """Return a file of `pages` pages that lies as `layout` says, its extents known."""
    blocks = pages * PAGE_BYTES // block_size
    step = 1 if layout == LAYOUTS[0] else 2
    extents = [Extent(block, _FIRST_BLOCK + block * step, 1, False) for block in range(blocks)]
    plan = plan_tree(normalise(extents), block_size)
    tree = plan.tree(range(_TREE_BLOCK, _TREE_BLOCK + plan.blocks_needed))
    inode = FsInode(tree, pages * PAGE_BYTES, block_size, False)
    inode.map.status.fill()
    return inode


def _check(name: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        words = f"1 to {allowed[-1]}" if isinstance(allowed, range) else ", ".join(map(str, allowed))
        raise ConfigError(f"timeline: {name}", f"{value!r} is not modelled", words)


def _commands(events: list[tuple[str, int, int, int]]) -> tuple[tuple[int, int], ...]:
    """Return when each command was issued and completed, in the order of their sectors."""
    issued = {sector: ns for letter, ns, sector, _ in events if letter == "D"}
    completed = {sector: ns for letter, ns, sector, _ in events if letter == "C"}
    return tuple((issued[sector], completed[sector]) for sector in sorted(issued))
