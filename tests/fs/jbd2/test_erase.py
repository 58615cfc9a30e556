"""A log that is flushed, read, written over and zeroed: whole logs of bios, and the bytes."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from write_kit import LOG, TABLE, WriteRig

from sim.engine.cpu import Task
from sim.fs.jbd2.erase import LogErase, runs_of
from sim.fs.write_out import WriteOut

PAGE = 4096
BLOCKS = 1024


class Kept:
    """A disk that keeps what is written, block by block."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}

    def write(self, offset: int, data: bytes) -> None:
        """Keep it."""
        for at in range(0, len(data), PAGE):
            self.blocks[(offset + at) // PAGE] = data[at : at + PAGE]


class Erasing(WriteRig):
    """A machine with a log, and what is done to it when it is empty."""

    def __init__(self, **said: Any) -> None:
        super().__init__(log=BLOCKS, **said)
        machine = self.machine
        self.disk = Kept()
        out = WriteOut(
            machine.clock,
            machine.ledger,
            machine.disk,
            self.disk,
            "end_bio_bh_io_sync",
            "",
            "__wait_on_buffer",
        )
        self.erase = LogErase(machine.ledger, out, range(LOG, LOG + BLOCKS), PAGE)

    def done(self, *what: Callable[[Task], Generator[Any, Any, None]]) -> list[tuple[str, int, int]]:
        """Do it; return the bios: letters, block of the log, blocks."""
        self.run(*(each(self.task) for each in what))
        return [(letters, block - LOG if blocks else 0, blocks) for letters, block, blocks in self.bios()]


def test_zeros_over_all_but_the_superblock() -> None:
    """1,023 blocks in bios of 256 pages, then a flush."""
    rig = Erasing()
    done = rig.done(rig.erase.zero)
    assert [("WS", 1, 256), ("WS", 257, 256), ("WS", 513, 256), ("WS", 769, 255), ("FWS", 0, 0)] == done
    assert {block: bytes(PAGE) for block in range(LOG + 1, LOG + BLOCKS)} == rig.disk.blocks


def test_a_search_reads_the_same_and_writes_nothing() -> None:
    """Every byte of it is looked at."""
    rig = Erasing()
    done = rig.done(rig.erase.search)
    assert [("R", 1, 256), ("R", 257, 256), ("R", 513, 256), ("R", 769, 255)] == done
    assert {} == rig.disk.blocks


def test_blocks_are_written_over_one_by_one() -> None:
    """A bio each under one plug, then a flush."""
    rig = Erasing()
    wiped = [(LOG + 5, b"a" * PAGE), (LOG + 6, b"b" * PAGE)]
    done = rig.done(lambda task: rig.erase.write_over(task, wiped))
    assert [("WS", 5, 1), ("WS", 6, 1), ("FWS", 0, 0)] == done
    assert dict(wiped) == rig.disk.blocks


@pytest.mark.parametrize("erased", [False, True])
def test_a_flush_empties_the_log(erased: bool) -> None:
    """
    The running transaction is committed, its blocks go in place, the cache is emptied, the superblock says
    where the log begins; then, behind what is done to the log, that it is empty: twice FUA. The next commit
    writes the superblock before it is logged, for a log that is called empty is not replayed.
    """
    rig = Erasing()
    journal = rig.writer.journal
    assert journal is not None
    inode = rig.file(PAGE, [(0, 500, 1, False)])
    erase = rig.erase.zero if erased else None
    done = rig.done(lambda _: rig.write(inode, 0, PAGE), lambda task: journal.flush(task, erase))
    log = [("WSM", 1, 1), ("WSM", 2, 1), ("FWFSM", 3, 1)]
    zeros = [("WS", 1, 256), ("WS", 257, 256), ("WS", 513, 256), ("WS", 769, 255), ("FWS", 0, 0)]
    superblock = ("WFSM", 0, 1)
    place = ("WS", TABLE - LOG, 1)
    expected = [*log, place, ("FWS", 0, 0), superblock, *(zeros if erased else []), superblock]
    assert expected == done
    assert (0, BLOCKS - 1) == (journal.log.checkpoints, journal.log.free)
    again = rig.done(lambda _: rig.write(inode, 0, PAGE), lambda _: rig.fsync(inode))
    assert ("WSM", 0, 1) in again


def test_runs_of_blocks() -> None:
    """Neighbours, up to the most; what follows nothing begins anew."""
    assert [(5, 2), (7, 1), (9, 1)] == runs_of([5, 6, 7, 9], 2)
