"""
Recorded cases of reflink on XFS, as the models run them.

Taken from a record, for nothing else knows it: the ticks of the clock (transactions of new times), which
buffers of metadata had to be read, how long the log's records are, and where the allocator put copies
(FIEMAP after).
"""

from __future__ import annotations

from typing import Final

from sim.block.opf import REQ_META, REQ_OP_WRITE
from sim.peers.iomap_read import RA_PAGES, IomapReader
from sim.peers.page_reads import PageReads
from sim.peers.phases import run_counted
from sim.peers.script import Step
from sim.peers.tally import Queued, Tally
from sim.peers.xfs_file import SHARED, file_of
from sim.peers.xfs_write import XfsWriter, log_times, read_buffer
from sim.records.peer_case import ALL, PeerCase, Prediction, check_mapped, rows_of

FILE: Final = "/mnt/f"
COUNTED: Final = ("read", "write", "clone", "sync")
UMOUNT: Final = "when the log is covered and metadata written in place: timers and the log's tail decide"
LOG: Final = (
    "where the log's head stands and how long a record is: what was logged before and the items' form"
)
BUFFERS: Final = "which buffers of metadata drop_caches has left: the cache's history decides"
TICKS: Final = "whether a write falls into a new tick of the clock"
WORKER: Final = "how many ends of I/O a worker finds when it runs: time decides"


def predict_xfs(case: PeerCase) -> Prediction:
    """Run a case. Raises ConfigError where a record has not what the model needs."""
    left_out = {
        ("umount", ALL): UMOUNT,
        (ALL, "places and lengths of records of the log"): LOG,
        (ALL, "bios of metadata that is read"): BUFFERS,
        (ALL, "xfs_buf_submit"): BUFFERS,
        (ALL, "xfs_buf_ioapply"): BUFFERS,
    }
    phases = _read(case) if case.counts("read") else _write(case)
    _take_from(case, phases)
    for name, phase in phases.items():
        if phase.calls["xfs_file_buffered_write"]:
            left_out[name, "xfs_trans_commit"] = TICKS
        if phase.calls["xfs_file_fsync"] and phase.calls["xfs_end_io"] > phase.calls["xfs_file_fsync"]:
            left_out[name, "xfs_end_io"] = WORKER
    return Prediction(phases, left_out, _comparable)


def _read(case: PeerCase) -> dict[str, Tally]:
    """Read: shared blocks lie where FIEMAP has them; a case without FIEMAP made its file in one extent."""
    tally = Tally()
    rows = rows_of(case, "before", FILE)
    reader = IomapReader(file_of(rows, rows), tally)
    pages = PageReads(tally, rows[-1][0] + rows[-1][2], RA_PAGES, reader.read_folios, large=True)

    def do(step: Step) -> None:
        if step.request.kind == "read":
            pages.read_on(step.request.offset, step.request.length)

    return run_counted(case.steps(), tally, do, COUNTED)


def _write(case: PeerCase) -> dict[str, Tally]:
    cloning = bool(case.counts("clone"))
    after = case.extents("after", FILE)
    before = [[row[0], row[1], row[2], 0] for row in after] if cloning else case.extents("before", FILE)
    plain = not any(row[3] & SHARED for row in before)
    ticks = {name: case.counts(name).get("xfs_trans_commit", 0) * plain for name in COUNTED}
    tally = Tally()
    logs = [bio.sectors for name in COUNTED for bio in case.bios(name) if _of_the_log(bio)]
    file = file_of(before, after)
    writer = XfsWriter(file, tally, logs)

    def do(step: Step) -> None:
        request = step.request
        if request.kind == "write":
            if ticks[step.phase]:
                ticks[step.phase] -= 1
                writer.new_times()
            check_mapped(case, request, file.places.keys() & file.places_later.keys())
            writer.write(request.offset, request.length)
        elif request.kind == "fsync":
            writer.fsync()
        elif request.kind == "clone":
            writer.clone()

    return run_counted(case.steps(), tally, do, COUNTED)


def _take_from(case: PeerCase, phases: dict[str, Tally]) -> None:
    """Add what the record alone knows: buffers that were read, new times beside other transactions."""
    for name, phase in phases.items():
        for bio in case.bios(name):
            if bio.opf & REQ_META and not bio.opf & REQ_OP_WRITE:
                read_buffer(phase, bio.sector, bio.sectors)
        if phase.calls["xfs_file_buffered_write"]:
            for _tick in range(
                case.counts(name).get("xfs_trans_commit", 0) - phase.calls["xfs_trans_commit"]
            ):
                log_times(phase)


def _of_the_log(bio: Queued) -> bool:
    return bool(bio.opf & REQ_META and bio.opf & REQ_OP_WRITE)


def _comparable(bio: Queued) -> Queued | None:
    """Compare no bio of metadata that is read; of a record of the log that it is written, and how."""
    if not bio.opf & REQ_META:
        return bio
    return Queued(bio.device, 0, 1, bio.opf) if _of_the_log(bio) else None
