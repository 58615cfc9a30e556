"""
A recorded kernel case against the simulator: counter by counter.

Three questions of each record. Does it contradict itself? Do its first bios lie where the file's blocks do?
And does every counter (counters.py) have the simulator's value, less what writes beside the reads are known
to have called (write_back.py)?

FIEMAP does not tell where the blocks of the extent tree lie. That decides into how many pages of the
device's own cache they fall when blocks are smaller than pages, and nothing else that is counted:
`find_tree_pages` looks for the one number per layout that makes all its records right.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from sim.block.queue.limits import QueueLimits
from sim.engine.costs import CostTable
from sim.machine.machine import Machine
from sim.records import counters
from sim.records.kernel_case import Case, case_tree, reads, run_case
from sim.records.write_back import beside
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

Kind = Literal["mapping", "page cache", "bios", "requests", "positions", "record"]
"""What a difference is about; "record": the record contradicts itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One counter on which kernel and simulator disagree, or a record with itself."""

    case: str
    counter: str
    kernel: int | dict[str, int] | list[list[int]]
    simulator: int | dict[str, int] | list[list[int]]
    kind: Kind = "mapping"


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    A case's verdict: "equal", "differs" or "not modelled".

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


ELEVATOR = "an elevator merges with what happens to wait in it: time decides"
SLEEPS = "requests are inserted where the reader sleeps before its plug is full: time decides"
SEGMENTS = "more pages in a bio than segments in a request: where they lie in memory decides the cut"
WRITES = "writes beside the reads, of no known kind: other tasks call it too"
AWAKE = "schedule() flushes the plug again unless the tree block has come by then: time decides"
KNOWN = "a piece of a page that is up to date already is passed over within it"
FOLIOS = "of large folios only those of more blocks than one have a state to set"
ONE_MORE = "on XFS, after blocks were rewritten, the kernel counts one more than here: of unknown cause"

_BY_TIME = (
    "bio_backmerge",
    "bio_frontmerge",
    "getrq",
    "rq_issue",
    "rq_complete",
    "rq_insert",
    "plug",
    "unplug",
    "rq_sectors_hist",
    "blk_mq_complete_request",
    "blk_mq_end_request",
    "null_queue_rq",
    "__blk_mq_alloc_requests",
    "__blk_flush_plug",
)


def not_compared(case: Case, limits: QueueLimits) -> dict[str, str]:
    """Return the counters that the case alone does not decide, with the reason; `limits`: of its queue."""
    found: dict[str, str] = {}
    if any(
        offset // PAGE_BYTES != (offset + length - 1) // PAGE_BYTES
        for offset, length, _ in reads(case.record)
    ):
        found |= counters.ONE_PAGE_READS
    if case.record.get("rewritten_blocks"):
        found["iomap_iop_set_range_uptodate"] = KNOWN
        if case.record.get("filesystem") == "xfs":
            found["__blk_flush_plug"] = ONE_MORE
    if case.record.get("large_folios"):
        found["iomap_iop_set_range_uptodate"] = FOLIOS
    if limits.scheduler != "none":
        return found | dict.fromkeys(_BY_TIME, ELEVATOR)
    if str(case.record.get("encryption", "")).startswith("eCryptfs"):
        return found | dict.fromkeys(("rq_insert", "unplug", "__blk_flush_plug"), SLEEPS)
    if beside(case.record) is None:
        found |= dict.fromkeys((*counters.SHARED, *counters.BLOCK_EVENTS), WRITES)
    largest = max(map(int, case.record["blk"]["bio_sectors_hist"]), default=0)
    known = limits.bio_based or case.record.get("pages_apart", False)
    if min(largest, limits.max_sectors) > limits.max_segments * PAGE_SECTORS and not known:
        found["rq_sectors_hist"] = SEGMENTS
    return found


def modelled(case: Case) -> bool:
    """Return whether the simulator has what the case was recorded on."""
    encryption = str(case.record.get("encryption", ""))
    known = ("fscrypt", "dm-crypt aes-xts-plain64", "eCryptfs aes-256")
    return not encryption or encryption.startswith(known)


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
    tree_pages = find_tree_pages([case for case in cases if modelled(case)], costs)
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
    if not modelled(case):
        return Outcome(case, "not modelled", False)
    bios = FirstBios()
    machine = run_case(case, costs, tree_pages.get(case.record["layout_file"]), bios)
    return judge_machine(case, machine, bios)


def judge_machine(case: Case, machine: Machine, bios: FirstBios) -> Outcome:
    """Return the verdict on a case that was simulated on `machine`, its bios seen by `bios`."""
    left_out = not_compared(case, machine.spec.limits)
    if machine.ledger.calls().get("ext4_read_bh"):
        left_out["__blk_flush_plug"] = AWAKE
    pairs = [pair for pair in _pairs(case, machine) if pair[0] not in left_out]
    differences = (
        *contradictions(case),
        *(
            Difference(case.name, counter, kernel, ours, kind_of(counter))
            for counter, kernel, ours in pairs
            if kernel != ours
        ),
        *_misplaced(case, machine, bios.seen),
    )
    compared = tuple(pair for pair in pairs if isinstance(pair[1], int))
    verdict = "differs" if differences else "equal"
    exact = set(left_out.values()) <= {*counters.ONE_PAGE_READS.values(), AWAKE, KNOWN, FOLIOS, ONE_MORE}
    return Outcome(case, verdict, exact, differences, tuple(left_out.items()), compared)


def kind_of(counter: str) -> Kind:
    """Return what a counter is about."""
    if counter.startswith(("rq_", "getrq", "plug", "unplug", "blk_mq", "null_", "virtio_", "__blk", "split")):
        return "requests"
    if counter.startswith(
        ("bio_", "submit_bio", "__submit_bio", "submit_bh", "read bios", "meta_bios", "end_bio")
    ):
        return "bios"
    if counter.startswith(
        ("filemap", "__filemap", "folio", "page_cache", "ondemand", "read_pages", "force_")
    ):
        return "page cache"
    return "mapping"


def contradictions(case: Case) -> Iterator[Difference]:
    """Yield what a record says twice and not alike; `simulator` is then the record's other word."""
    counts, blk = case.record["counts"], case.record["blk"]
    for event in counters.SAME_EVENTS:
        if event.probe in counts:
            traced = int(blk[event.tracepoint]) + (int(blk[event.plus]) if event.plus else 0)
            if counts[event.probe] != traced:
                what = f"{event.probe} against its tracepoint {event.tracepoint}"
                if counts[event.probe] < traced:
                    what += " (probes lose hits in interrupts)"
                yield Difference(case.name, what, counts[event.probe], traced, "record")
    device = str(case.record["device"])
    for name, probe in counters.DRIVER_PROBES.items():
        if name in device and counts.get(probe, 0) != blk["rq_issue"]:
            yield Difference(
                case.name,
                f"{probe} against rq_issue on {name}",
                counts.get(probe, 0),
                blk["rq_issue"],
                "record",
            )
        if name not in device and counts.get(probe, 0):
            yield Difference(case.name, f"{probe} on device {device!r}", counts[probe], 0, "record")
    if "blk_mq_flush_plug_list" in counts and case.record.get("scheduler", "none") == "none":
        flushed, listed = counts.get("__blk_flush_plug", 0), counts["blk_mq_flush_plug_list"]
        if flushed != listed:
            what = "blk_mq_flush_plug_list against __blk_flush_plug"
            yield Difference(case.name, what, listed, flushed, "record")


class FirstBios:
    """A tracer that keeps where the first bios lie, as many as a record has."""

    MOST = 16

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, letter: str, _time_ns: int, sector: int, sectors: int) -> None:
        if letter == "Q" and len(self.seen) < self.MOST:
            self.seen.append([sector, sectors])


def _misplaced(case: Case, machine: Machine, seen: list[list[int]]) -> Iterator[Difference]:
    """
    Yield a difference if the first bios lie elsewhere.

    Of a tree block, whose place is not recorded, only its turn is compared.
    """
    block_sectors = machine.spec.block_size // SECTOR_BYTES

    def placed(sector: int, sectors: int) -> list[int]:
        block = sector // block_sectors
        inside = any(e.physical <= block < e.physical + e.length for e in case.extents)
        return [sector, sectors] if inside or case.tree_blocks is not None else [-1, sectors]

    recorded = [
        placed(sector, sectors)
        for sector, sectors, flags in case.record["blk"]["first_bios"]
        if not flags & 1
    ]
    ours = [placed(*bio) for bio in seen[: len(recorded)]]
    if recorded != ours:
        yield Difference(case.name, "first_bios", recorded, ours, "positions")


def _pairs(case: Case, machine: Machine) -> list[tuple[str, Any, Any]]:
    """Return (counter, kernel less what is known of writes, simulator) of all that is compared exactly."""
    counts, blk = case.record["counts"], case.record["blk"]
    simulated, of_writes = measures(case, machine), beside(case.record) or {}
    names = {symbol: symbol for symbol in (*counters.READ_PATH, *counters.SHARED, *counters.ONE_PAGE_READS)}
    on_xfs = case.record.get("filesystem") == "xfs"
    names |= counters.RENAMED
    elsewhere = ("ext4_", "block_is_") if on_xfs else ("xfs_",)  # what only the other file system calls
    names = {symbol: "" if symbol.startswith(elsewhere) else name for symbol, name in names.items()}
    if machine.spec.limits.bio_based:
        names.pop("null_queue_rq")
    requests = of_writes.get("requests", 0)
    pairs: list[tuple[str, Any, Any]] = [
        (
            symbol,
            counts[symbol] - of_writes.get(symbol, requests * _per_request(symbol)),
            simulated.get(name, 0),
        )
        for symbol, name in names.items()
        if symbol in counts
    ]
    stats = machine.queue.stats
    twice = 2 if machine.crypt is not None else 1  # the record has the bios of both devices, one for one
    for name, sizes, times in (
        ("bio_sectors_hist", stats.bio_sectors, twice),
        ("rq_sectors_hist", stats.request_sectors, 1),
    ):
        pairs.append((name, blk[name], {str(size): n * times for size, n in sorted(sizes.items())}))
    if not machine.spec.limits.bio_based:
        pairs += [
            (event, int(blk[event]) - of_writes.get(event, requests * _per_request(event)), simulated[name])
            for event, name in counters.BLOCK_EVENTS.items()
        ]
    pairs.append(("read bios", sum(blk["bio_sectors_hist"].values()), stats.queued * twice))
    if "rq_sectors_hist" in not_compared(case, machine.spec.limits):
        sectors = sum(int(size) * count for size, count in blk["rq_sectors_hist"].items())
        ours = sum(size * n for size, n in stats.request_sectors.items())
        pairs.append(("sectors in requests", sectors, ours))
    return pairs


def _per_request(counter: str) -> int:
    """Return 1 for what happens once for each request of a write."""
    return counter in ("getrq", "rq_issue", "rq_complete", "null_queue_rq", "__blk_mq_alloc_requests")


def measures(case: Case, machine: Machine) -> dict[str, int]:
    """Return what a simulated case counted: calls per symbol, and quantities by name (counters.py)."""
    calls, stats = machine.ledger.calls(), machine.queue.stats
    small = int(case.record["block_size"]) < PAGE_BYTES
    return calls | {
        "back merges": stats.back_merges,
        "front merges": stats.front_merges,
        "requests taken": stats.getrq,
        "requests issued": stats.issued,
        "requests completed": stats.completed,
        "requests inserted": stats.inserted,
        "requests merged with requests": 0,
        "bios split": stats.splits,
        "plugs begun": stats.plugs,
        "plugs that went to the scheduler": stats.unplugs,
        "bios ended by a stacked device": stats.queued if machine.crypt is not None else 0,
        "bios of metadata": 0,
        "pieces of pages of smaller blocks": calls.get("iomap_readpage_iter", 0) if small else 0,
    }


def find_tree_pages(cases: list[Case], costs: CostTable) -> dict[str, int]:
    """
    Return, per layout file, in how many pages of the device's cache its tree blocks lie.

    Looked for among all numbers there can be: the least that makes the page-cache insertions of every
    freshly mounted case of the layout right, or most of them. Layouts with blocks as large as a page, without
    tree blocks or with recorded ones, need no entry.
    """
    of_layout: dict[str, list[Case]] = {}
    for case in cases:
        record = case.record
        unknown = case.tree_blocks is None and int(record["block_size"]) < PAGE_BYTES
        if unknown and record["es"] == "all_cold" and case_tree(case, None).blocks:
            of_layout.setdefault(str(record["layout_file"]), []).append(case)
    return {layout: _most_right(found, costs) for layout, found in of_layout.items()}


def _most_right(cases: list[Case], costs: CostTable) -> int:
    """Return the number of pages under which most cases have as many pages with buffers as recorded."""
    count = len(case_tree(cases[0], None).blocks)
    per_page = PAGE_BYTES // int(cases[0].record["block_size"])
    wanted = {
        case.name: int(case.record["counts"]["alloc_page_buffers"])
        - (beside(case.record) or {}).get("alloc_page_buffers", 0)
        for case in cases
    }
    for case in cases:  # one that reads the whole tree tells at once
        if int(case.record["pages_read"]) * PAGE_BYTES >= int(case.record["file_bytes"]):
            apart = run_case(case, costs).ledger.calls()["alloc_page_buffers"]
            return min(max(count - (apart - wanted[case.name]), 1), count)
    rights = {
        pages: sum(
            run_case(case, costs, pages).ledger.calls()["alloc_page_buffers"] == wanted[case.name]
            for case in cases
        )
        for pages in range(-(-count // per_page), count + 1)
    }
    return max(rights, key=lambda pages: rights[pages])
