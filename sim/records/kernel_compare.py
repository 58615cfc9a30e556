"""
A recorded kernel case against the simulator: counter by counter.

FIEMAP does not tell where the blocks of the extent tree lie. That decides into how many pages of the
device's own cache they fall when blocks are smaller than pages, and nothing else that is counted:
`infer_tree_pages` takes that one number per layout from the records themselves.

`not_compared` names the few counters of a record that do not follow from the case alone, and says why.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from sim.block.queue.limits import QueueLimits
from sim.engine.costs import CostTable
from sim.machine.machine import Machine
from sim.records.kernel_case import Case, case_tree, run_case
from sim.units import PAGE_BYTES, PAGE_SECTORS

COMPARED = (
    "ext4_get_block",
    "ext4_map_blocks",
    "ext4_es_lookup_extent",
    "ext4_ext_map_blocks",
    "ext4_find_extent",
    "ext4_es_insert_extent",
    "ext4_es_cache_extent",
    "ext4_cache_extents",
    "__read_extent_tree_block",
    "ext4_read_bh",
    "ext4_mpage_readpages",
    "ext4_readahead",
    "ext4_mpage_end_io",
    "__read_end_io",
    "bio_post_read_processing",
    "block_read_full_folio",
    "create_empty_buffers",
    "create_page_buffers",
    "end_buffer_async_read",
    "end_buffer_async_read_io",
    "mpage_readahead",
    "do_mpage_readpage",
    "page_cache_ra_unbounded",
    "ondemand_readahead",
    "page_cache_ra_order",
    "force_page_cache_ra",
    "page_cache_sync_ra",
    "page_cache_async_ra",
    "read_pages",
    "filemap_read",
    "filemap_read_folio",
    "filemap_create_folio",
    "filemap_update_page",
    "ext4_read_folio",
    "mpage_read_folio",
    "fscrypt_decrypt_pagecache_blocks",
    "fscrypt_crypt_block",
    "fscrypt_decrypt_bio",
    "fscrypt_generate_iv",
    "crypto_skcipher_decrypt",
    "xts_decrypt",
    "dm_submit_bio",
    "crypt_map",
    "kcryptd_io_read",
    "crypt_endio",
    "kcryptd_queue_crypt",
    "kcryptd_crypt",
    "crypt_convert",
    "iomap_readahead",
    "iomap_read_folio",
    "iomap_iter",
    "iomap_readpage_iter",
    "iomap_page_create",
    "iomap_read_end_io",
    "ecryptfs_read_folio",
    "ecryptfs_decrypt_page",
    "ecryptfs_read_lower",
    "crypt_scatterlist",
)
"""Symbols that no other task of the recorded machine calls: always compared exactly."""

XFS_NAMES = {"xfs_read_iomap_begin": "ext4_iomap_begin", "xfs_bmapi_read": "ext4_map_blocks"}
"""
What a case on XFS calls, and the simulator's name for it: iomap asks the file system, ours is ext4.

Below these the two have nothing in common, so on XFS no symbol of ext4 is compared.
"""

COMPARED_WHEN_QUIET = (
    "submit_bh",
    "submit_bh_wbc",
    "alloc_page_buffers",
    "alloc_buffer_head",
    "end_bio_bh_io_sync",
    "submit_bio",
    "submit_bio_noacct",
    "submit_bio_noacct_nocheck",
    "__submit_bio",
    "bio_alloc_bioset",
    "bio_add_page",
    "bio_add_folio",
    "bio_endio",
    "bio_free",
    "bio_put",
    "blk_mq_submit_bio",
    "blk_attempt_plug_merge",
    "blk_mq_complete_request",
    "blk_mq_end_request",
    "filemap_add_folio",
    "__filemap_add_folio",
    "filemap_alloc_folio",
    "folio_mark_accessed",
)
"""Symbols that write-back calls too: compared exactly in every case whose block events show no write."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One counter on which kernel and simulator disagree."""

    case: str
    counter: str
    kernel: int | dict[str, int]
    simulator: int | dict[str, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    A case's verdict: "equal", "differs" or "not modelled".

    exact: every counter was compared exactly. left_out: counters that were not compared, each with its
    reason.
    compared: (counter, kernel, simulator) of all plain numbers that were.
    """

    case: Case
    verdict: str
    exact: bool
    differences: tuple[Difference, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    compared: tuple[tuple[str, int, int], ...] = ()


ELEVATOR = "an elevator merges with what happens to wait in it: time decides"
SLEEPS = "requests are inserted where the reader sleeps before its plug is full: time decides"
SEGMENTS = "more pages in a bio than segments in a request: where they lie in memory decides the cut"

_BY_TIME = (
    "bio_backmerge",
    "bio_frontmerge",
    "getrq",
    "rq_issue",
    "rq_complete",
    "rq_insert",
    "plug",
    "rq_sectors_hist",
    "blk_mq_complete_request",
    "blk_mq_end_request",
)


def not_compared(case: Case, limits: QueueLimits) -> dict[str, str]:
    """Return the counters that the case alone does not decide, with the reason; `limits`: of its queue."""
    if limits.scheduler != "none":
        return dict.fromkeys(_BY_TIME, ELEVATOR)
    if str(case.record.get("encryption", "")).startswith("eCryptfs"):
        return {"rq_insert": SLEEPS}
    largest = max(map(int, case.record["blk"]["bio_sectors_hist"]), default=0)
    known = limits.bio_based or case.record.get("pages_apart", False)
    if min(largest, limits.max_sectors) > limits.max_segments * PAGE_SECTORS and not known:
        return {"rq_sectors_hist": SEGMENTS}
    return {}


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
    tree_pages = infer_tree_pages([case for case in cases if modelled(case)], costs)
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
    machine = run_case(case, costs, tree_pages.get(case.record["layout_file"]))
    differences = (*compare(case, machine), *beyond_noise(case, machine))
    left_out = tuple(not_compared(case, machine.spec.limits).items())
    compared = tuple(pair for pair in _pairs(case, machine) if isinstance(pair[1], int))
    verdict = "differs" if differences else "equal"
    return Outcome(case, verdict, case.quiet and not left_out, differences, left_out, compared)


def compare(case: Case, machine: Machine) -> list[Difference]:
    """Return the counters on which a simulated case differs from its record."""
    return [
        Difference(case.name, counter, kernel, ours)
        for counter, kernel, ours in _pairs(case, machine)
        if kernel != ours
    ]


def _pairs(case: Case, machine: Machine) -> list[tuple[str, Any, Any]]:
    """Return (counter, kernel, simulator) of all that is compared exactly."""
    counts, blk = case.record["counts"], case.record["blk"]
    simulated = machine.ledger.calls()
    stats = machine.queue.stats
    symbols = COMPARED + (COMPARED_WHEN_QUIET if case.quiet else ())
    ours = {symbol: symbol for symbol in symbols}
    if case.record.get("filesystem") == "xfs":
        ours = {symbol: symbol for symbol in symbols if not symbol.startswith("ext4_")} | XFS_NAMES
    pairs: list[tuple[str, Any, Any]] = [
        (symbol, counts[symbol], simulated.get(name, 0)) for symbol, name in ours.items() if symbol in counts
    ]
    for name, sizes in (("bio_sectors_hist", stats.bio_sectors), ("rq_sectors_hist", stats.request_sectors)):
        # The record has the bios of all devices: dm-crypt's own and, one for one, its clones.
        times = 2 if machine.crypt is not None and name == "bio_sectors_hist" else 1
        pairs.append((name, blk[name], {str(size): n * times for size, n in sorted(sizes.items())}))
    reads = sum(blk["bio_sectors_hist"].values())
    if case.quiet and not machine.spec.limits.bio_based:
        pairs += [
            ("bio_backmerge", blk["bio_backmerge"], stats.back_merges),
            ("bio_frontmerge", blk["bio_frontmerge"], stats.front_merges),
            ("getrq", blk["getrq"], stats.getrq),
            ("rq_issue", blk["rq_issue"], stats.issued),
            ("rq_complete", blk["rq_complete"], stats.completed),
            ("rq_insert", blk["rq_insert"], stats.inserted),
            ("split", blk["split"], stats.splits),
            ("plug", blk["plug"], stats.plugs),
        ]
    pairs.append(("read bios", reads, stats.queued * (2 if machine.crypt is not None else 1)))
    left_out = not_compared(case, machine.spec.limits)
    if "rq_sectors_hist" in left_out:
        sectors = sum(int(size) * count for size, count in blk["rq_sectors_hist"].items())
        pairs.append(
            ("sectors in requests", sectors, sum(size * n for size, n in stats.request_sectors.items()))
        )
    return [pair for pair in pairs if pair[0] not in left_out]


def noise_bound(case: Case) -> dict[str, int]:
    """
    Return, per system-wide symbol, how many calls write-back can have added to a record at most.

    A write bio costs one call of each bio symbol, and up to 256 of bio_add_page; a bitmap or inode table
    that is read first, a page with up to 4 buffer heads.
    """
    blk = case.record["blk"]
    writes = int(blk["bio_queue"]) - sum(blk["bio_sectors_hist"].values())
    return {
        symbol: writes * (256 if symbol == "bio_add_page" else 4)
        for symbol in COMPARED_WHEN_QUIET
        if symbol in case.record["counts"]
    }


def beyond_noise(case: Case, machine: Machine) -> list[Difference]:
    """Return the system-wide counters of a case that is not quiet which its writes cannot explain."""
    if case.quiet:
        return []
    simulated = machine.ledger.calls()
    counts = case.record["counts"]
    return [
        Difference(case.name, symbol, counts[symbol], simulated.get(symbol, 0))
        for symbol, most in noise_bound(case).items()
        if not 0 <= counts[symbol] - simulated.get(symbol, 0) <= most
    ]


def infer_tree_pages(cases: list[Case], costs: CostTable) -> dict[str, int]:
    """
    Return, per layout file, in how many pages of the device's cache its tree blocks lie.

    Taken from one quiet, freshly mounted case that reads the whole file; the others of the layout are then
    compared with it. Layouts with blocks as large as a page, or without tree blocks, need no entry.
    """
    pages: dict[str, int] = {}
    for case in cases:
        record = case.record
        layout = str(record["layout_file"])
        block_size = int(record["block_size"])
        if case.tree_blocks is not None:
            continue
        whole = int(record["pages_read"]) * PAGE_BYTES >= int(record["file_bytes"])
        if layout in pages or block_size == PAGE_BYTES or record["es"] != "all_cold" or not whole:
            continue
        blocks = case_tree(case, None).blocks
        if not blocks or not case.quiet:
            continue
        excess = run_case(case, costs).ledger.calls()["alloc_page_buffers"]
        pages[layout] = len(blocks) - (excess - int(record["counts"]["alloc_page_buffers"]))
    return pages
