"""
What a request queue allows, and what it counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import final

from mypy_extensions import i64


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """
    What the queue allows.

    queue_depth: commands at the hardware at once. tags: requests there can be, per hardware queue
    (nr_requests); 0: as many as the kernel has (see tags.py). plug_requests and plug_flush_sectors: when a
    plug is flushed early (0 sectors: never for size). plug_sorted: a flushed plug goes out by sector, and a
    bio may merge with any of its requests (before 3.17); else the newest request goes first, and only it
    takes bios. driver: by its module's name (sim.block.drivers). lists: a plug's requests go to a driver that
    takes lists as one (->queue_rqs(), since 5.16). copies: the symbol with which a driver whose device is
    memory copies the data, in the task that submits; "" for hardware. write_cache: the device has a cache
    that loses its contents with the power (QUEUE_FLAG_WC); without one flushes are dropped. fua: it can write
    past that (QUEUE_FLAG_FUA). max_segment_sectors: a longer vector counts as several segments; 0: no limit.
    newest_first: a plug is a stack: its newest request goes down first, and it is that one whose size
    flushes it early; else the oldest. rest_checked: see KernelVersion.
    """

    max_sectors: int
    max_segments: int
    queue_depth: int
    scheduler: str = "none"
    bio_based: bool = False
    plug_requests: int = 32
    plug_flush_sectors: int = 256
    plug_sorted: bool = False
    driver: str = "null_blk"
    lists: bool = True
    copies: str = ""
    write_cache: bool = False
    fua: bool = False
    tags: int = 0
    max_segment_sectors: int = 0
    newest_first: bool = True
    rest_checked: bool = True


@final
class SizeHistogram:
    """
    How often each size came, in sectors.

    Sizes that are alike come one after another: they are added up, and entered when another comes.
    """

    __slots__ = ("_counts", "_size", "_waiting")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._size: i64 = 0
        self._waiting: i64 = 0

    def __eq__(self, other: object) -> bool:
        """Whether both counted the same."""
        return isinstance(other, SizeHistogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """The counts by size."""
        return repr(self.counts)

    def add(self, size: i64, count: i64) -> None:
        """Count `count` of a size."""
        if size != self._size:
            self._enter()
            self._size = size
        self._waiting += count

    def _enter(self) -> None:
        if self._waiting:
            self._counts[self._size] = self._counts.get(self._size, 0) + self._waiting
            self._waiting = 0

    @property
    def counts(self) -> dict[int, int]:
        """How many there are of each size, in the order in which the sizes first came."""
        self._enter()
        return self._counts


@dataclass(slots=True)
class BlockStats:
    """
    Events as blktrace counts them, and histograms of sizes in sectors.

    pending: bios submitted and not completed. busy_ns: time in which the hardware had at least one command.
    write_bios, write_sectors: of those queued, the ones that carry data to the device; write_requests: of
    those issued. flush_bios: with REQ_PREFLUSH or REQ_FUA; flushes: flush commands issued, for one or more.
    most_segments: of a bio of pages, before it was cut. plugged: requests that were put into a plug; lists:
    plugs that went to the driver as they were.
    """

    queued: int = 0
    back_merges: int = 0
    front_merges: int = 0
    getrq: int = 0
    inserted: int = 0
    issued: int = 0
    completed: int = 0
    plugs: int = 0
    unplugs: int = 0
    splits: int = 0
    pending: int = 0
    busy_ns: int = 0
    write_bios: int = 0
    write_sectors: int = 0
    write_requests: int = 0
    flush_bios: int = 0
    flushes: int = 0
    bio_sizes: SizeHistogram = field(default_factory=SizeHistogram)
    request_sizes: SizeHistogram = field(default_factory=SizeHistogram)
    most_segments: int = 0
    plugged: int = 0
    lists: int = 0

    @property
    def merges(self) -> int:
        """Bios that joined a request, from behind or before."""
        return self.back_merges + self.front_merges

    @property
    def bio_sectors(self) -> dict[int, int]:
        """How many bios of each size in sectors were queued."""
        return self.bio_sizes.counts

    @property
    def request_sectors(self) -> dict[int, int]:
        """How many requests of each size in sectors were issued."""
        return self.request_sizes.counts


BlockTracer = Callable[[str, int, int, int], None]
"""
Called with blktrace's letter, time in ns, sector, sectors. For what is no read, RWBS follows the letter after
a blank: "Q WS", "D FF".
"""
