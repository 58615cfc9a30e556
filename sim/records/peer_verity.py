"""
Recorded cases of fs-verity on ext4, as the model runs them.
"""

from __future__ import annotations

from typing import Final

from sim.fs.merkle import MerkleTree
from sim.peers.page_reads import PageReads
from sim.peers.phases import run_counted
from sim.peers.script import Step
from sim.peers.tally import Tally
from sim.peers.verity import DESCRIPTOR_PAGES, RA_PAGES, VerityReader, enable
from sim.records.peer_case import ALL, PeerCase, Prediction
from sim.units import PAGE_BYTES, SECTOR_BYTES

FILE: Final = "/mnt/f"
COUNTED: Final = ("enable", "read", "again")
UMOUNT: Final = "ext4's log and metadata at the end: the write cases hold it"


def predict_verity(case: PeerCase) -> Prediction:
    """Run a case. Raises ConfigError where a record has not what the model needs."""
    tally = Tally()
    rows = case.extents("before", FILE)
    size = int(case.record["file_bytes"])
    tree = MerkleTree(size, PAGE_BYTES)
    places = {(row[0] + at) // PAGE_BYTES: row[1] + at for row in rows for at in range(0, row[2], PAGE_BYTES)}
    written = [bio.sector * SECTOR_BYTES for bio in case.bios("enable") if bio.sectors]
    tree_pages = tree.end_page - tree.first_page + DESCRIPTOR_PAGES
    if tree.first_page not in places and written:
        places |= {tree.first_page + at: min(written) + at * PAGE_BYTES for at in range(tree_pages)}
    extents = frozenset(row[0] // PAGE_BYTES for row in rows)
    reader = VerityReader(tally, size, places, extents)
    pages = PageReads(tally, size, RA_PAGES, reader.read_folios)

    def do(step: Step) -> None:
        if step.request.kind == "verity":
            enable(tally, size, places[tree.first_page] // SECTOR_BYTES)
        elif step.request.kind == "random":
            pages.random = True
        elif step.request.kind == "read":
            pages.read_on(step.request.offset, step.request.length)

    phases = run_counted(case.steps(), tally, do, COUNTED)
    return Prediction(phases, {("umount", ALL): UMOUNT})
