"""
What the rules of dm-integrity ask for (sim.block.dm.integrity), taken down to be played out in time.

A plan is of one bio, or flush: jobs in a row, each of one who does it. Jobs of one piece of a bio form a
chain, each behind the one before it; commits and copies of the journal go on in the background, each copying
behind the commit before it.
"""

from __future__ import annotations

from typing import Final

from sim.block.dm.asked import COMMIT, MAP, WRITER, Asked, dm_io_bios, pages_of
from sim.block.opf import REQ_OP_WRITE
from sim.stack.dm_integrity_bios import Mapped

CALL: Final = 0
"""Kinds of steps: kernel symbols that are called;"""
HASH: Final = 1
"""blocks that are hashed;"""
CLONE: Final = 2
"""the clone of a piece, handed down;"""
BUFFER: Final = 3
"""a buffer of tags that must have come;"""
BUFFER_WRITE: Final = 4
"""what was changed of one, written;"""
IO: Final = 5
"""what the target writes for itself, or the disk's cache emptied;"""
TAKE: Final = 6
"""entries of the journal that blocks are copied into, left empty, free again;"""
SKIP: Final = 7
FREE: Final = 8
COPY: Final = 9
"""blocks that are copied out of it."""

_ENTERING: Final = "__journal_read_write"
_ELSEWHERE: Final = ("integrity_end_io", "block_bio_complete", "block_split", _ENTERING)
"""Charged with the completion, or with what is copied; events of tracers."""


class Step:
    """A step. symbol: of a CALL. number: how often, how many blocks. sector, sectors, opf: of a bio."""

    __slots__ = ("kind", "number", "opf", "sector", "sectors", "symbol")

    def __init__(
        self, kind: int, number: int = 1, symbol: str = "", sector: int = 0, sectors: int = 0, opf: int = 0
    ) -> None:
        self.kind = kind
        self.number = number
        self.symbol = symbol
        self.sector = sector
        self.sectors = sectors
        self.opf = opf


class Job:
    """
    What one does. rest: the jobs of its chain behind it, None in the background. after: the job that must
    be over before. then: the jobs that wait for this one. whose: the bio that waits for it, None: nobody.
    """

    __slots__ = ("after", "over", "rest", "steps", "then", "who", "whose")

    def __init__(self, who: str, rest: list[Job] | None = None) -> None:
        self.who = who
        self.steps: list[Step] = []
        self.rest = rest
        self.after: Job | None = None
        self.then: list[Job] = []
        self.whose: Mapped | None = None
        self.over = False


class PlanTaker(Asked):
    """
    Takes plans down, one after the other: what one bio asks for is between two calls of `taken`.

    ends: how many bios of the taken plan end above the disk (bio_endio).
    """

    def __init__(self) -> None:
        self.ends = 0
        self._jobs: list[Job] = []
        self._chain: list[Job] = []
        self._now: Job = Job(MAP)
        self._commit: Job | None = None

    def taken(self) -> list[Job]:
        """Return the jobs since it was called last."""
        jobs, self._jobs = self._jobs, []
        return jobs

    def by(self, who: str) -> None:
        """Begin a job (Asked)."""
        if who in (COMMIT, WRITER):
            self._now = Job(who)
            if who == WRITER:
                self._now.after = self._commit
            else:
                self._commit = self._now
            self._jobs.append(self._now)
            return
        if who == MAP:
            self._chain = []
            self._now = Job(who, self._chain)
            self._jobs.append(self._now)
        else:
            self._now = Job(who, self._chain)
            self._chain.append(self._now)

    def call(self, *symbols: str, times: int = 1) -> None:
        """Take calls down (Asked)."""
        if not times:
            return
        for symbol in symbols:
            if symbol == "bio_endio":
                self.ends += times
            elif symbol == "integrity_sector_checksum":
                self._now.steps.append(Step(HASH, times))
            elif symbol not in _ELSEWHERE:
                self._now.steps.append(Step(CALL, times, symbol))

    def to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """Take a clone down (Asked)."""
        del apart
        self._now.steps.append(Step(CLONE, 1, "", sector, sectors, opf))

    def submit_to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """Take the bio of a buffer down (Asked)."""
        del apart
        kind = BUFFER_WRITE if opf & REQ_OP_WRITE else BUFFER
        self.call("submit_bio")
        self._now.steps.append(Step(kind, 1, "", sector, sectors, opf))

    def dm_io(self, sector: int, sectors: int, opf: int) -> None:
        """Take down what the target does for itself (Asked)."""
        self.call("dm_io")
        for at, length in dm_io_bios(sector, sectors):
            self.call("bio_alloc_bioset", "submit_bio")
            self.call("bio_add_page", times=pages_of(length))
            self._now.steps.append(Step(IO, 1, "", at, length, opf))

    def needs(self, start: int) -> None:
        """Take a buffer down that must have come (Asked)."""
        self._now.steps.append(Step(BUFFER, 1, "", start))

    def takes(self, blocks: int) -> None:
        """Take down what enters the journal (Asked)."""
        self._now.steps.append(Step(TAKE, blocks))

    def skips(self, blocks: int) -> None:
        """Take down what is left empty (Asked)."""
        self._now.steps.append(Step(SKIP, blocks))

    def frees(self, blocks: int) -> None:
        """Take down what is free again (Asked)."""
        self._now.steps.append(Step(FREE, blocks))

    def copies(self, blocks: int) -> None:
        """Take down what is read from the journal (Asked)."""
        self._now.steps.append(Step(COPY, blocks))
