"""
A recorded kernel case against the simulator: counter by counter.

Three questions of each record. Does it contradict itself? Do its first bios lie where the file's blocks do?
And does every counter (counters.py) have the simulator's value, less what writes beside the reads are known
to have called (write_back.py)?

Where the blocks of the extent tree lie is not in every layout: see tree_pages.py.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from sim.cache.ra_log import RaLog
from sim.engine.costs import CostTable
from sim.machine.machine import Machine
from sim.records import counters
from sim.records.contradictions import FIRST_BIOS, NO_READ, Contradiction, of_the_counts, of_the_work
from sim.records.folio_log import folio_pairs, unknown_leaves
from sim.records.kernel_case import Case, run_case
from sim.records.left_out import NOT_RECORDED, STILL_EXACT, WRITES, not_compared
from sim.records.measures import measures, names_of
from sim.records.tree_pages import find_tree_pages
from sim.records.versions import VERSIONS, kernel_name
from sim.records.write_back import beside
from sim.units import SECTOR_BYTES

Kind = Literal["mapping", "page cache", "bios", "requests", "positions", "record"]
"""What a difference is about; "record": the record contradicts itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One counter on which kernel and simulator disagree, or a record with itself."""

    case: str
    counter: str
    kernel: int | str | dict[str, int] | list[list[int]]
    simulator: int | str | dict[str, int] | list[list[int]]
    kind: Kind = "mapping"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    A case's verdict: "equal" or "differs".

    exact: every counter that can be was compared exactly. left_out: counters that were not compared in this
    case, each with its reason; what is compared in no case stands in counters.NOT_COMPARED.
    compared: (counter, kernel, simulator) of all plain numbers that were; nulls: how many of them are 0 = 0.
    """

    case: Case
    verdict: str
    exact: bool
    differences: tuple[Difference, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    compared: tuple[tuple[str, int, int], ...] = ()

    @property
    def nulls(self) -> int:
        """Comparisons of nothing with nothing."""
        return sum(kernel == ours == 0 for _, kernel, ours in self.compared)


def validate(
    cases: list[Case],
    costs: CostTable,
    watch: Callable[[Case], None] = lambda _case: None,
    workers: int | None = None,
) -> list[Outcome]:
    """
    Run all cases and compare them; `watch` is called after each.

    workers: processes to share them among (None: as many as the machine has cores).
    """
    tree_pages = find_tree_pages([case for case in cases if not any(of_the_work(case))], costs)
    count = min(workers or os.cpu_count() or 1, -(-len(cases) // _LEAST_SHARE))
    outcomes: list[Outcome] = []
    if count <= 1:
        for case in cases:
            outcomes.append(_outcome(case, costs, tree_pages))
            watch(case)
        return outcomes
    # Shares of neighbours: a layout is sent once for all its cases of a share.
    share = min(-(-len(cases) // count), _MOST_SHARE)
    parts = [cases[at : at + share] for at in range(0, len(cases), share)]
    with ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool:
        for part, found in zip(
            parts, pool.map(partial(_outcomes, costs=costs, tree_pages=tree_pages), parts), strict=True
        ):
            outcomes += found
            for case in part:
                watch(case)
    return outcomes


_LEAST_SHARE, _MOST_SHARE = 20, 40
"""Cases a process must have to be worth its start, and cases that are sent to it at a time."""


def _outcomes(cases: list[Case], costs: CostTable, tree_pages: dict[str, int]) -> list[Outcome]:
    return [_outcome(case, costs, tree_pages) for case in cases]


def _outcome(case: Case, costs: CostTable, tree_pages: dict[str, int]) -> Outcome:
    if told := tuple(_told(case, of_the_work(case))):
        return Outcome(case, "differs", False, told)
    bios = FirstBios()
    log = RaLog() if "first_folios" in case.record else None
    machine = run_case(case, costs, tree_pages.get(case.record["layout_file"]), bios, log=log)
    return judge_machine(case, machine, bios, log)


def judge_machine(case: Case, machine: Machine, bios: FirstBios, log: RaLog | None = None) -> Outcome:
    """
    Return the verdict on a case that was simulated on `machine`, its bios seen by `bios`, folios by `log`.
    """
    simulated, names = measures(case, machine), names_of(case)
    unrecorded = [name for name in names if name not in case.record["counts"] and simulated.get(names[name])]
    left_out = dict.fromkeys(unrecorded, NOT_RECORDED) | not_compared(case, machine)
    pairs = [pair for pair in _pairs(case, machine, simulated, names) if pair[0] not in left_out]
    if log is not None:
        pairs += [pair for pair in folio_pairs(case, log) if pair[0] not in left_out]
    if "rq_sectors_hist" in left_out and "sectors in requests" not in left_out:
        pairs.append(_sectors(case, machine))
    differences = (
        *_told(case, of_the_counts(case)),
        *(
            Difference(case.name, counter, kernel, ours, kind_of(counter))
            for counter, kernel, ours in (*pairs, *_too_few(case, simulated, names, left_out))
            if kernel != ours
        ),
        *(_misplaced(case, machine, bios.seen) if "first_bios" not in left_out else ()),
    )
    compared = tuple(pair for pair in pairs if isinstance(pair[1], int))
    verdict = "differs" if differences else "equal"
    exact = set(left_out.values()) <= STILL_EXACT
    return Outcome(case, verdict, exact, differences, tuple(left_out.items()), compared)


def _told(case: Case, found: Iterable[Contradiction]) -> Iterator[Difference]:
    """Yield contradictions as differences; `simulator` is the record's other word."""
    for what, said, other in found:
        yield Difference(case.name, what, said, other, "record")


_OF_DRIVERS: Final = (*counters.VIRTIO, *counters.RAM_DRIVERS, counters.DRIVER_PROBE, "dd_insert_requests")


def kind_of(counter: str) -> Kind:
    """Return what a counter is about."""
    if (
        counter.startswith(("rq_", "getrq", "plug", "unplug", "blk_mq", "__blk", "split"))
        or counter in _OF_DRIVERS
    ):
        return "requests"
    if counter.startswith(
        ("bio_", "submit_bio", "__submit_bio", "submit_bh", "read bios", "meta_bios", "end_bio")
    ):
        return "bios"
    if counter.startswith(
        (
            "filemap",
            "__filemap",
            "folio",
            "page_cache",
            "ondemand",
            "read_pages",
            "force_",
            "windows",
            "first_",
        )
    ):
        return "page cache"
    return "mapping"


class FirstBios:
    """A tracer that keeps where the first bios lie, as many as a record has."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, letter: str, _time_ns: int, sector: int, sectors: int) -> None:
        if letter == "Q" and len(self.seen) < FIRST_BIOS:
            self.seen.append([sector, sectors])


def _misplaced(case: Case, machine: Machine, seen: list[list[int]]) -> Iterator[Difference]:
    """
    Yield a difference if the first bios lie elsewhere.

    Of a tree block, whose place is not recorded, only its turn is compared; and not even that where nothing
    says how full the leaves are (`LEAVES`).
    """
    block_sectors = machine.spec.block_size // SECTOR_BYTES

    def placed(sector: int, sectors: int) -> list[int]:
        if case.layout.tree_blocks is not None:
            return [sector, sectors]
        block = sector // block_sectors
        inside = any(e.physical <= block < e.physical + e.length for e in case.layout.extents)
        return [sector, sectors] if inside else [-1, sectors]

    recorded = [
        placed(sector, sectors)
        for sector, sectors, flags in case.record["blk"]["first_bios"]
        if not flags & NO_READ
    ]
    ours = [placed(*bio) for bio in seen[: len(recorded)]]
    if unknown_leaves(case, machine):
        recorded, ours = ([bio for bio in bios if bio[0] >= 0] for bios in (recorded, ours))
        both = min(len(recorded), len(ours))
        recorded, ours = recorded[:both], ours[:both]
    if recorded != ours:
        yield Difference(case.name, "first_bios", recorded, ours, "positions")


def _pairs(
    case: Case, machine: Machine, simulated: dict[str, int], names: dict[str, str]
) -> list[tuple[str, Any, Any]]:
    """Return (counter, kernel less what is known of writes, simulator) of all that is compared exactly."""
    counts, blk = case.record["counts"], case.record["blk"]
    of_writes = beside(case.record) or {}
    events = VERSIONS[kernel_name(case.record, case.name)].events
    pairs: list[tuple[str, Any, Any]] = [
        (symbol, counts[symbol] - of_writes.get(symbol, 0), simulated.get(name, 0))
        for symbol, name in names.items()
        if symbol in counts
    ]
    pairs += [
        (event, int(blk[event]) - of_writes.get(event, 0), simulated[name])
        for event, name in (counters.BLOCK_EVENTS | dict(events)).items()
    ]
    stats = machine.queue.stats
    twice = 2 if machine.crypt is not None else 1  # the record has the bios of both devices, one for one
    for name, sizes, times in (
        ("bio_sectors_hist", stats.bio_sectors, twice),
        ("rq_sectors_hist", stats.request_sectors, 1),
    ):
        pairs.append((name, blk[name], {str(size): n * times for size, n in sorted(sizes.items())}))
    pairs.append(("read bios", sum(blk["bio_sectors_hist"].values()), stats.queued * twice))
    return pairs


def _sectors(case: Case, machine: Machine) -> tuple[str, int, int]:
    """Return what is left of the sizes of requests where time or memory decides them: their sum."""
    sectors = sum(int(size) * count for size, count in case.record["blk"]["rq_sectors_hist"].items())
    ours = sum(size * n for size, n in machine.queue.stats.request_sectors.items())
    return "sectors in requests", sectors, ours


def _too_few(
    case: Case, simulated: dict[str, int], names: dict[str, str], left_out: dict[str, str]
) -> Iterator[tuple[str, int, int]]:
    """Yield (counter, kernel, simulator) of what other tasks add to, where the kernel counted less."""
    recorded = case.record["counts"] | case.record["blk"]
    of_writes = [counter for counter, why in left_out.items() if why == WRITES]
    more = VERSIONS[kernel_name(case.record, case.name)].at_least
    for counter in (*counters.AT_LEAST, *more, *of_writes):
        ours = simulated.get((names | counters.BLOCK_EVENTS).get(counter, counter), 0)
        if recorded.get(counter, ours) < ours:
            yield counter, recorded[counter], ours
