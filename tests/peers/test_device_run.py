"""Direct requests: a bio each, a flush for fsync, with the flags that block/fops.c gives them."""

from __future__ import annotations

from sim.block.opf import FLUSH, REQ_IDLE, REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.peers.device_run import run_direct
from sim.peers.script import steps
from sim.peers.tally import Queued, Tally


class Nowhere:
    """A device that takes all and does nothing; it keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def read(self, sector: int, sectors: int, opf: int) -> None:
        """Keep it."""
        assert opf == REQ_OP_READ | REQ_SYNC
        self.asked.append(("read", sector, sectors))

    def write(self, sector: int, sectors: int, opf: int) -> None:
        """Keep it."""
        assert opf == REQ_OP_WRITE | REQ_SYNC | REQ_IDLE
        self.asked.append(("write", sector, sectors))

    def flush(self) -> None:
        """Keep it."""
        self.asked.append(("flush", 0, 0))


def test_a_bio_each() -> None:
    """Sleeping asks for nothing; each request is submitted once, to the program's own device."""
    device, tally = Nowhere(), Tally()
    script = ["mark io", "r 0 4096 8192", "w 0 0 4096", "mark sync", "fsync 0", "sleep 5", "mark -"]
    phases = run_direct(steps(script, "here"), device, "dm1", tally)
    assert [("read", 8, 16), ("write", 0, 8), ("flush", 0, 0)] == device.asked
    assert [Queued("dm1", 0, 0, FLUSH)] == phases["sync"].bios
    assert (2, 1, 1) == (
        phases["io"].calls["submit_bio"],
        phases["sync"].calls["submit_bio"],
        phases["sync"].calls["blkdev_issue_flush"],
    )
