"""
Recorded cases of btrfs, as the models run them.
"""

from __future__ import annotations

from typing import Final

from sim.block.opf import REQ_META
from sim.errors import ConfigError
from sim.peers.btrfs_layout import BtrfsFile, read_extents
from sim.peers.btrfs_read import RA_PAGES, WHERE_LEAVES_LIE, BtrfsReader
from sim.peers.page_reads import PageReads
from sim.peers.phases import run_counted
from sim.peers.script import Step
from sim.peers.tally import Queued, Tally
from sim.records.peer_btrfs_writes import UMOUNT, predict_write
from sim.records.peer_case import ALL, PeerCase, Prediction, rows_of

IMAGES: Final = {
    "btrfs16k": (16384, "crc32c"),
    "btrfs4k": (4096, "crc32c"),
    "btrfs-sha256": (16384, "sha256"),
}
"""Images of the recordings: bytes of a node, algorithm of the checksums."""
FILE: Final = "/mnt/f"
READ_PHASES: Final = ("read", "again")
PLACES: Final = "where the allocator put tree blocks; their number and size are compared"


def predict_btrfs(case: PeerCase) -> Prediction:
    """Run a case. Raises ConfigError for an image or phases that no model has."""
    names = [phase["name"] for phase in case.record["phases"]]
    if "read" not in names:
        return predict_write(case, _file(case, rows_of(case, "after", FILE)))
    return _predict_read(case, _file(case, rows_of(case, "before", FILE)))


def _predict_read(case: PeerCase, file: BtrfsFile) -> Prediction:
    tally = Tally()
    pages = PageReads(tally, file.size, RA_PAGES, BtrfsReader(file, tally).read_folios)

    def do(step: Step) -> None:
        if step.request.kind == "random":
            pages.random = True
        elif step.request.kind == "read":
            pages.read_on(step.request.offset, step.request.length)

    phases = run_counted(case.steps(), tally, do, READ_PHASES)
    left_out = {("umount", ALL): UMOUNT, (ALL, "places of tree blocks"): PLACES}
    return Prediction(phases, left_out, _without_places)


def _file(case: PeerCase, rows: list[list[int]]) -> BtrfsFile:
    """Return the file of a case, of which FIEMAP said `rows`."""
    image = str(case.record["image"])
    if image not in IMAGES:
        raise ConfigError(f"{case.at}: image", repr(image), ", ".join(IMAGES))
    node_bytes, algorithm = IMAGES[image]
    script = [line.split() for line in case.record["script"]]
    made = {words[2] for words in script if words[0] == "open" and words[3] == "c"}
    nodatasum = any(words[0] == "mount" and "nodatasum" in words[3] for words in script)
    return BtrfsFile(read_extents(rows), node_bytes, "" if nodatasum else algorithm, len(made))


def _without_places(bio: Queued) -> Queued | None:
    """Compare a bio of a tree block without its place."""
    return Queued(bio.device, WHERE_LEAVES_LIE, bio.sectors, bio.opf) if bio.opf & REQ_META else bio
