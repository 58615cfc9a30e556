"""
Bios and requests.

A `Bio` here stands for `count` bios of `unit_sectors` each that lie side by side on the disk: one bio of
a whole run (count = 1), or the one-block bios of a run of buffer heads. Counts are exact; objects are few.
"""

from __future__ import annotations

from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.block.io_record import IoRecord
from sim.block.opf import REQ_OP_READ
from sim.units import PAGE_SECTORS

MAX_VECTORS: Final = 256
"""BIO_MAX_VECS: a bio is allocated for as many pages as are left, at most these."""


@mypyc_attr(allow_interpreted_subclasses=True)
class EndIo:
    """
    What happens when a bio completes (bi_end_io), in two steps.

    Each submitted bio sees both exactly once, in this order.
    """

    def charge(self, bio: Bio, context: str) -> int:
        """Return the ps of the completion work, charged to `context`."""
        raise NotImplementedError

    def done(self, bio: Bio) -> None:
        """Do what the completion does: unlock pages, queue decryption, wake."""
        raise NotImplementedError

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether `done` queues work items: where bios end in their submitter each takes its turn."""
        del bio
        return False


@mypyc_attr(free_list_len=1)
class Bio:
    """
    `count` bios of `unit_sectors` sectors from `sector` on, adjacent on the disk. A flush has none: 0.

    owner: whose data it is (an open file, a buffer cache), for `end_io`. blocks: the runs of the owner's
    blocks (logical, length) that it holds, in disk order. segments: physical segments in all. ahead:
    REQ_RAHEAD. pieces: how many requests hold a piece of it; parts: those not complete. record: its trace,
    or None. crypt: the encryption that the device undoes (blk-crypto), None for plain data; bios of one
    value hold data units whose numbers go on where their sectors do. opf: operation and flags, see opf.py.
    failed: bi_status is an error, of the device or of what was done behind it. bad: runs of its blocks that
    have not their checksums, None where none was found. vectors: sectors of each
    vector, where they are of large folios; None: each is a page, or a part of one.
    """

    __slots__ = (
        "ahead",
        "bad",
        "blocks",
        "count",
        "crypt",
        "end_io",
        "failed",
        "opf",
        "owner",
        "parts",
        "pieces",
        "record",
        "sector",
        "segments",
        "unit_sectors",
        "vectors",
    )

    def __init__(
        self,
        sector: int,
        unit_sectors: int,
        count: int,
        segments: int,
        end_io: EndIo,
        owner: Any,
        blocks: list[tuple[int, int]],
        ahead: bool,
        opf: int = REQ_OP_READ,
    ) -> None:
        self.sector = sector
        self.unit_sectors = unit_sectors
        self.count = count
        self.segments = segments
        self.end_io = end_io
        self.owner = owner
        self.blocks = blocks
        self.ahead = ahead
        self.opf = opf
        self.pieces = self.parts = 1
        self.record: IoRecord | None = None
        self.crypt: tuple[Any, int] | None = None
        self.failed = False
        self.bad: list[tuple[int, int]] | None = None
        self.vectors: list[int] | None = None

    @property
    def sectors(self) -> int:
        """All sectors of all bios."""
        return self.unit_sectors * self.count

    @property
    def blocks_per_page(self) -> int:
        """How many of its blocks a page has; 1 for a bio without blocks, or of larger ones."""
        if not self.blocks:
            return 1
        blocks = self.blocks[0][1] if len(self.blocks) == 1 else sum([count for _, count in self.blocks])
        return max(PAGE_SECTORS * blocks // self.sectors, 1) if blocks else 1

    def row(self, first: int, count: int) -> Bio:
        """Return bios [first, first + count) of a row over one run of blocks, each of as many of them."""
        lblk, blocks = self.blocks[0]
        each = blocks // self.count
        part = Bio(
            self.sector + first * self.unit_sectors,
            self.unit_sectors,
            count,
            count,
            self.end_io,
            self.owner,
            [(lblk + first * each, count * each)],
            self.ahead,
            self.opf,
        )
        part.record = self.record
        if self.vectors is not None:
            part.vectors = self.vectors[first : first + count]
        part.crypt = self.crypt
        part.failed = self.failed
        if self.bad is not None:
            start, stop = part.blocks[0][0], part.blocks[0][0] + part.blocks[0][1]
            cut = [(max(at, start), min(at + blocks, stop)) for at, blocks in self.bad]
            part.bad = [(at, end - at) for at, end in cut if at < end]
        return part


@mypyc_attr(free_list_len=1)
class Request:
    """
    A request: bios merged into one run of sectors, in disk order.

    core: who gets its interrupt. closed: it takes no more bios (REQ_NOMERGE). crypt: that of its bios. opf:
    that of its first bio. tags: what its tag is of. sequenced: the steps that a flush has yet to take (see
    flush.py), else None.
    """

    __slots__ = (
        "bios",
        "closed",
        "core",
        "crypt",
        "deadline_ns",
        "opf",
        "sector",
        "sectors",
        "segments",
        "sequenced",
        "tags",
    )

    def __init__(self, sector: int, sectors: int, segments: int, opf: int = REQ_OP_READ) -> None:
        self.sector = sector
        self.sectors = sectors
        self.segments = segments
        self.opf = opf
        self.sequenced: list[str] | None = None
        self.bios: list[Bio] = []
        self.deadline_ns = 0
        self.core: Any = None
        self.tags: Any = None
        self.crypt: tuple[Any, int] | None = None
        self.closed = False

    @property
    def end(self) -> int:
        """The sector after the last."""
        return self.sector + self.sectors


@mypyc_attr(free_list_len=1)
class Plug:
    """
    A task's plug (struct blk_plug): requests held back so that neighbours can merge.

    holds: False for a task without a plug, whose requests go on one by one.
    """

    __slots__ = ("holds", "requests")

    def __init__(self, holds: bool = True) -> None:
        self.requests: list[Request] = []
        self.holds = holds
