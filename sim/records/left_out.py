"""
What of a recorded case is not compared, and why: reasons by counter.
"""

from __future__ import annotations

from typing import Any, Final

from sim.machine.machine import Machine
from sim.records import counters
from sim.records.folio_log import LEAVES, TREE_PLACES, unplaced
from sim.records.kernel_case import Case, reads
from sim.records.measures import names_of
from sim.records.versions import VERSIONS, kernel_name
from sim.records.write_back import beside
from sim.units import PAGE_BYTES, PAGE_SECTORS

ELEVATOR = "an elevator merges with what happens to wait in it: time decides"
SLEEPS = "requests are inserted where the reader sleeps before its plug is full: time decides"
SEGMENTS = "more pages in a bio than segments in a request: where they lie in memory decides the cut"
WRITES = "writes beside the reads, of no known kind: other tasks call it too"
AWAKE = "schedule() flushes the plug again unless the tree block has come by then: time decides"
KNOWN = "a piece of a page that is up to date already is passed over within it"
FOLIOS = "of large folios only those of more blocks than one have a state to set"
TAKES_BIOS = "the device takes bios: its events are in no recording"
NOT_RECORDED = "the record has no count of it"
ONE_MORE = "on XFS, after blocks were rewritten, the kernel counts one more than here: of unknown cause"

WORKER_READS = (
    "a page of a Merkle tree of smaller blocks is read by readahead or by the worker that verifies, whichever"
    " comes first: time decides"
)
_OF_TREE_PAGES: Final = (
    *("bio_sectors_hist", "rq_sectors_hist", "read bios", "first_bios"),
    *("folio_orders", "first_folios", "first_windows", "bare_runs", "sectors in requests"),
)
_OF_DATA: Final = frozenset(
    (
        "filemap_read",
        "page_cache_sync_ra",
        "page_cache_async_ra",
        "page_cache_ra_order",
        "force_page_cache_ra",
        "fsverity_add_data_blocks",
        "fsverity_enqueue_verify_work",
        "fsverity_readahead",
        "fsverity_verify_bio",
        "fsverity_verify_pending_blocks",
        "verify_data_block",
        "ext4_get_block",
        "block_read_full_folio",
    )
)
"""What of a file with such a tree does not hang on that."""

STILL_EXACT: Final = frozenset(
    {*counters.ONE_PAGE_READS.values(), AWAKE, KNOWN, FOLIOS, ONE_MORE, NOT_RECORDED, TREE_PLACES, LEAVES}
)
"""Reasons that leave a case exact: what they leave out, no comparison of single cases can have."""


def not_compared(case: Case, machine: Machine) -> dict[str, str]:
    """Return the counters that a case on this machine does not decide alone, each with the reason."""
    record, limits = case.record, machine.spec.limits
    of_virtio = counters.VIRTIO if limits.driver in counters.VIRTIO else ()
    found: dict[str, str] = {}
    if any(
        offset // PAGE_BYTES != (offset + length - 1) // PAGE_BYTES for offset, length, _ in reads(record)
    ):
        found |= counters.ONE_PAGE_READS
    if record.get("rewritten_blocks"):
        found["iomap_iop_set_range_uptodate"] = KNOWN
        if record.get("filesystem") == "xfs":
            found["__blk_flush_plug"] = ONE_MORE
    found |= unplaced(case, machine)
    if "verity" in record and int(record["block_size"]) < PAGE_BYTES:
        others = {*names_of(case), *counters.BLOCK_EVENTS, *_OF_TREE_PAGES} - _OF_DATA
        found |= dict.fromkeys(sorted(others), WORKER_READS)
    if record.get("large_folios") and record["path"] == "iomap":
        found["iomap_iop_set_range_uptodate"] = FOLIOS
    if beside(record) is None:
        found |= dict.fromkeys(counters.WRITES_TOO, WRITES)
    if machine.spec.ecryptfs is not None:
        found |= dict.fromkeys(("rq_insert", "unplug", "__blk_flush_plug", *of_virtio), SLEEPS)
    known = limits.bio_based or record.get("pages_apart", False)
    if _has_many_pages(record, machine) and not known:
        found["rq_sectors_hist"] = SEGMENTS
    if limits.bio_based:
        found |= dict.fromkeys(counters.BLOCK_EVENTS, TAKES_BIOS)
    if limits.scheduler != "none":
        decided = counters.UNMERGED if _nothing_merges(case, machine) else ()
        found |= {name: ELEVATOR for name in (*counters.BY_TIME, *of_virtio) if name not in decided}
    if machine.ledger.calls().get("ext4_read_bh"):
        version = VERSIONS[kernel_name(record, case.name)]
        listed = [counter for counter in ("blk_mq_flush_plug_list",) if counter in version.compared]
        found |= dict.fromkeys(("__blk_flush_plug", *listed), AWAKE)
    return found


def _nothing_merges(case: Case, machine: Machine) -> bool:
    """Return whether all bios are of a block of the file, and none of these is beside another on the disk."""
    extents = case.layout.extents
    starts = {extent.physical for extent in extents}
    apart = all(extent.length == 1 and extent.physical + 1 not in starts for extent in extents)
    return apart and not machine.ledger.calls().get("ext4_read_bh")


def _has_many_pages(record: dict[str, Any], machine: Machine) -> bool:
    """Return whether a bio has more pages, or pieces of folios, than a request takes segments."""
    limits = machine.spec.limits
    if record.get("large_folios"):
        return machine.queue.stats.most_segments > limits.max_segments
    largest = max(map(int, record["blk"]["bio_sectors_hist"]), default=0)
    return min(largest, limits.max_sectors) > limits.max_segments * PAGE_SECTORS
