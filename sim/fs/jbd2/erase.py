"""
What is done to a log that is empty, but for its superblock: read and searched, written over, zeroed
(__jbd2_journal_erase() of Linux 6.1; no kernel searches).

Left out: discards, WRITE ZEROES.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.write_out import Contents, Pending, WriteOut, sector_of
from sim.units import PAGE_BYTES, SECTOR_BYTES

_WRITE: Final = REQ_OP_WRITE | REQ_SYNC


class LogErase:
    """places: blocks of the journal in order, its superblock first. out: on whose way bios go."""

    def __init__(self, ledger: Ledger, out: WriteOut, places: Sequence[int], block_size: int) -> None:
        self._out = out
        self._places = places
        self._size = block_size
        self._s_search = ledger.site(TASK, "", "memchr_inv", unit="memchr_inv")

    def search(self, task: Task) -> Generator[Any, Any, None]:
        """Read all of it, and look at every byte."""
        yield from self._out.wait(task, self._over_log(task, REQ_OP_READ))
        task.ps += self._s_search.charge_units(1, (len(self._places) - 1) * self._size)

    def zero(self, task: Task) -> Generator[Any, Any, None]:
        """EXT4_IOC_CHECKPOINT with ZEROOUT: zeros over the log, and a flush."""
        yield from self._out.wait(task, self._over_log(task, _WRITE))
        yield from self._out.flush(task)

    def write_over(self, task: Task, blocks: Sequence[tuple[int, bytes]]) -> Generator[Any, Any, None]:
        """Write other bytes into blocks of it, a bio each, and a flush."""
        plug, size = Plug(), self._size
        pending = [
            self._submit(task, plug, block, 1, _WRITE, [(block * size, data)]) for block, data in blocks
        ]
        self._out.queue.finish_plug(task, plug)
        yield from self._out.wait(task, pending)
        yield from self._out.flush(task)

    def _over_log(self, task: Task, opf: int) -> list[Pending]:
        """Submit bios of up to 256 pages over the log."""
        plug, size = Plug(), self._size
        pending = []
        for first, length in runs_of(self._places[1:], MAX_VECTORS * PAGE_BYTES // size):
            zeros = [(first * size, bytes(length * size))] if opf & REQ_OP_WRITE else None
            pending.append(self._submit(task, plug, first, length, opf, zeros))
        self._out.queue.finish_plug(task, plug)
        return pending

    def _submit(
        self,
        task: Task,
        plug: Plug,
        first: int,
        length: int,
        opf: int,
        written: list[tuple[int, bytes]] | None,
    ) -> Pending:
        size = self._size
        contents: Contents | None = None if written is None else lambda: written
        pages = -(-length * size // PAGE_BYTES)
        sectors = length * size // SECTOR_BYTES
        return self._out.submit(
            task, plug, sector_of(first, size), sectors, pages, [(first, length)], contents, opf
        )


def runs_of(blocks: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Return runs (first, length) of blocks that follow one another, of at most `most`."""
    runs: list[tuple[int, int]] = []
    for block in blocks:
        if runs and sum(runs[-1]) == block and runs[-1][1] < most:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((block, 1))
    return runs
