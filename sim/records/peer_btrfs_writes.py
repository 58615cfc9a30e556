"""
Recorded cases of writing to btrfs, as the model of the data's side runs them.

Taken from a record: how many nodes are written and in which bios, into how many pieces a large write(2) is
cut, and where the allocator put the data (FIEMAP after).
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from sim.block.opf import REQ_META, REQ_OP_WRITE, REQ_PRIO
from sim.peers.btrfs_layout import BtrfsFile
from sim.peers.btrfs_write import ONE_PIECE_PAGES, PIECES, BtrfsWriter, count_pieces, write_nodes
from sim.peers.phases import run_counted
from sim.peers.script import UNCOUNTED, Request, Step
from sim.peers.tally import Queued, Tally
from sim.records.peer_case import ALL, PeerCase, Prediction, check_mapped
from sim.units import PAGE_BYTES

COUNTED: Final = ("write", "sync", "commit")
TREES: Final = "the shape of all trees decides it: what is searched, copied, inserted, freed"
OF_TREES: Final = (
    *("btrfs_search_slot", "read_block_for_search", "find_extent_buffer", "alloc_extent_buffer"),
    *("btrfs_cow_block", "btrfs_force_cow_block", "btrfs_reserve_extent", "btrfs_insert_empty_items"),
    *("btrfs_run_delayed_refs", "btrfs_lookup_csum", "btrfs_read_extent_buffer"),
    *("read_extent_buffer_pages", "btrfs_drop_extents", "crypto_shash_update"),
)
NODES: Final = "how many nodes of trees are written, and in which bios; what each costs is compared"
BITS: Final = "ranges of the extent tree of ordered data and of trees' nodes meet and merge"
OF_BITS: Final = ("clear_extent_bit", "set_extent_bit", "filemap_add_folio")
PIECE: Final = "into how many pieces a write of more than 8 pages is cut: a counter of the task's decides"
FINISHED: Final = "whether an ordered extent has ended when its checksums are logged: time decides"
OVERWRITTEN: Final = "extents that are looked at piece by piece when they are written over"
CHUNK: Final = "a new chunk of the disk was taken: a change of several trees"
DROPPED: Final = "nodes of the log tree that is dropped are cleaned: how many, its shape decides"
HOLE: Final = "a write behind the end of the file makes a hole, whose range is locked and unlocked"
UMOUNT: Final = "a commit of trees whose shape is the whole file system's"


def predict_write(case: PeerCase, file: BtrfsFile) -> Prediction:
    """Run a case that writes. file: as it is in the end."""
    tally = Tally()
    places = _places(file)
    writer = _writer(case, file, tally, places)
    chunk_in, hole_in = set[str](), set[str]()

    def do(step: Step) -> None:
        request = step.request
        if request.kind == "write":
            check_mapped(case, request, places)
            if request.offset > writer.size:
                hole_in.add(step.phase)
            writer.write(request.offset, request.length)
            if writer.new_chunk:
                chunk_in.add(step.phase)
        else:
            _sync(writer, request)

    phases = run_counted(case.steps(), tally, do, COUNTED)
    left_out = {("umount", ALL): UMOUNT, (ALL, "bios of nodes of trees"): NODES}
    for name, phase in phases.items():
        _take_from(case, file, name, phase)
        left_out |= _left_out(case, name, phase, chunk=name in chunk_in)
        if chunk_in and phase.calls["btrfs_commit_transaction"]:
            left_out[name, "folio_clear_dirty_for_io"] = DROPPED
        if name in hole_in:
            left_out |= dict.fromkeys(((name, "clear_extent_bit"), (name, "set_extent_bit")), HOLE)
    return Prediction(phases, left_out, _no_nodes)


def _places(file: BtrfsFile) -> dict[int, int]:
    """Return where each page of a file lies: page -> byte of the disk."""
    return {
        (extent.offset + at) // PAGE_BYTES: extent.disk + at
        for extent in file.extents
        for at in range(0, extent.length, PAGE_BYTES)
    }


def _writer(case: PeerCase, file: BtrfsFile, tally: Tally, places: dict[int, int]) -> BtrfsWriter:
    """Return a writer for which what the case does before its first phase has happened."""
    first = next(n for n, step in enumerate(case.steps()) if step.phase != UNCOUNTED)
    before = [step.request for step in islice(case.steps(), first)]
    others = sum(request.length for request in before if request.kind == "write" and request.fd)
    writer = BtrfsWriter(file, tally, places, others)
    for request in before:
        if request.kind == "write" and not request.fd:
            check_mapped(case, request, places)
            writer.write(request.offset, request.length)
        elif not request.fd:
            _sync(writer, request)
    return writer


def _sync(writer: BtrfsWriter, request: Request) -> None:
    """Do what asks for durability, of the file or of all; nothing for another request."""
    if request.kind == "fsync":
        writer.fsync()
    elif request.kind in ("sync", "syncfs"):
        writer.syncfs()


def _take_from(case: PeerCase, file: BtrfsFile, name: str, phase: Tally) -> None:
    """Add what the record alone knows of a phase."""
    for bio in case.bios(name):
        if _of_nodes(bio):
            write_nodes(phase, file.node_pages, bio.sector, bio.sectors, bio.opf)
    if phase.calls["btrfs_buffered_write"] and not phase.calls[PIECES]:
        count_pieces(phase, case.counts(name).get(PIECES, 0))


def _left_out(case: PeerCase, name: str, phase: Tally, chunk: bool) -> dict[tuple[str, str], str]:
    """Return what of a phase is not compared, and why."""
    found = {(name, counter): TREES for counter in OF_TREES}
    writes = [s.request for s in case.steps() if s.phase == name and s.request.kind == "write"]
    if phase.calls["write_all_supers"]:
        found |= {(name, counter): BITS for counter in OF_BITS}
    if chunk:
        found |= {(name, counter): CHUNK for counter in OF_BITS}
    if any(request.length > ONE_PIECE_PAGES * PAGE_BYTES for request in writes):
        found[name, PIECES] = PIECE
    if "new" not in case.name.split("/")[1]:
        found[name, "btrfs_lookup_csums_range"] = FINISHED
        if writes:
            found[name, "btrfs_get_extent"] = OVERWRITTEN
    return found


def _of_nodes(bio: Queued) -> bool:
    return bool(bio.opf & REQ_META and bio.opf & REQ_OP_WRITE and not bio.opf & REQ_PRIO)


def _no_nodes(bio: Queued) -> Queued | None:
    """Compare all bios but those of trees' nodes; superblocks are compared."""
    return None if bio.opf & REQ_META and not bio.opf & REQ_PRIO else bio
