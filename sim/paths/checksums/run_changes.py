"""
What changes of a file's list of checksums when blocks are written, and what of the data is needed for that.

A run has one checksum. "read": it is made anew of all of the run; what is not in memory is read, and stays
there. "split": the run is cut round what is written. What is written has a run of its own then, for which
nothing is read; the pieces that are left need checksums of their own, and so their data. Only with an
algorithm that is linear (crc32c) one piece of each run, the largest, is not needed: its checksum follows from
the run's, if the old contents of what is written and the other pieces are known (sim.integrity.linear). That
is done where it is less to read; the old contents are read before they are written over. A list that has no
room for more runs keeps them whole.

Left out: runs that grow together again; what combining checksums costs.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, NamedTuple

from sim.block.bio import Plug
from sim.block.opf import REQ_OP_READ
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS, Reclaim
from sim.cache.pages import ABSENT
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.file_tags import STORED, ListTags, Run
from sim.fs.live_inode import LiveInode
from sim.fs.tag_bytes import Piece
from sim.fs.write_out import Pending, WriteOut, sector_of
from sim.units import SECTOR_BYTES

STACK: Final = "ext4_data_csum_update"


class TagChange:
    """
    What a write changes. tag_blocks: with checksums, in order; none for a list in its inode. units, hashed:
    checksums and bytes that are computed. rows: of a table, what each is changed for. written: blocks of a
    file with a list. derived: pieces whose checksums follow from those of their runs.
    """

    __slots__ = ("derived", "hashed", "rows", "tag_blocks", "units", "written")

    def __init__(
        self,
        tag_blocks: list[int],
        units: int,
        hashed: int,
        rows: dict[int, list[Piece]],
        written: list[Run],
        derived: list[Run] | None = None,
    ) -> None:
        self.derived = derived or []
        self.tag_blocks = tag_blocks
        self.units = units
        self.hashed = hashed
        self.rows = rows
        self.written = written


class SumPolicy(NamedTuple):
    """
    How checksums are kept up. symbol, linear: of the algorithm; splits: runs written in part are cut. of:
    what they are of, as of FileTags.
    """

    symbol: str
    splits: bool = False
    linear: bool = False
    of: str = STORED


class RunChanges:
    """
    The changes of lists.

    more_blocks: of data that were read; cut, whole: how often a run was cut, or kept for want of room.
    """

    def __init__(
        self,
        ledger: Ledger,
        cache: PageCache,
        reads: WriteOut,
        per_page: int,
        block_size: int,
        policy: SumPolicy,
    ) -> None:
        """reads: on whose way data comes."""
        self.more_blocks = self.cut = self.whole = 0
        self._cache = cache
        self._reads = reads
        self._per_page = per_page
        self._size = block_size
        self._splits = policy.splits
        self._linear = policy.splits and policy.linear
        self._old: dict[int, dict[int, int]] = {}
        self._s_add = ledger.site(TASK, STACK, INSERT_SYMBOLS)
        self._reclaim = Reclaim(ledger, cache, STACK)

    def before(
        self, task: Task, inode: LiveInode, tags: ListTags, written: list[Run]
    ) -> Generator[Any, Any, list[Run]]:
        """Blocks are to be written: read, and return, those of which the old contents save more reading."""
        wanted: list[Run] = []
        if not self._linear:
            return wanted
        for number, inside in tags.touched(written).items():
            pieces = tags.rest(number, inside)
            largest = max((self._absent(inode, piece) for piece in pieces), default=0)
            if tags.has_room(inside, pieces) and sum(blocks for _, blocks in inside) < largest:
                wanted += inside
        if wanted:
            old = self._old.setdefault(inode.number, {})
            for lblk, blocks in wanted:
                old.update(dict.fromkeys(range(lblk, lblk + blocks), 1))
                self.more_blocks += blocks
            yield from self._read(task, inode, wanted)
        return wanted

    def of(
        self, task: Task, inode: LiveInode, tags: ListTags, written: list[Run]
    ) -> Generator[Any, Any, TagChange]:
        """Have in memory what is needed; return what changes."""
        units, hashed = 1, tags.length_bytes
        wanted, derived = list[Run](), list[Run]()
        for number, inside in tags.touched(written).items():
            pieces = tags.rest(number, inside)
            start, blocks = tags.run(number)
            if not self._splits or not pieces or not tags.has_room(inside, pieces):
                units += 1
                hashed += blocks * self._size
                wanted += self._missing(inode, (start, blocks))
                continue
            units += len(inside) + len(pieces)
            hashed += blocks * self._size
            if self._knows(inode, inside):
                pieces.sort(key=lambda piece: self._absent(inode, piece))
                derived.append(pieces.pop())
                hashed += (sum(count for _, count in inside) - derived[-1][1]) * self._size
            for piece in pieces:
                wanted += self._missing(inode, piece)
        self._old.pop(inode.number, None)
        if wanted:
            self.more_blocks += sum(blocks for _, blocks in wanted)
            yield from self._read(task, inode, wanted)
            for start, blocks in wanted:
                self._keep(task, inode, start, blocks)
        return TagChange(tags.changed_blocks(), units, hashed, {}, written, derived)

    def take(self, tags: ListTags, written: list[Run]) -> list[Run]:
        """Cut runs round what is written, where they are; return the runs that have other checksums."""
        changed: list[Run] = []
        for number, inside in sorted(tags.touched(written).items(), reverse=True):
            pieces = tags.rest(number, inside)
            if not self._splits or not pieces:
                changed.append(tags.run(number))
            elif tags.has_room(inside, pieces):
                self.cut += 1
                changed += tags.cut_up(number, sorted(inside + pieces))
            else:
                self.whole += 1
                changed.append(tags.run(number))
        return sorted(changed)

    def _knows(self, inode: LiveInode, inside: list[Run]) -> bool:
        """Tell whether the old contents of all that is written of a run are known."""
        old = self._old.get(inode.number)
        return old is not None and all(
            block in old for first, blocks in inside for block in range(first, first + blocks)
        )

    def _missing(self, inode: LiveInode, run: Run) -> list[Run]:
        """Return what of a run is not in memory."""
        state, per_page, missing = inode.mapping.state, self._per_page, list[Run]()
        at, stop = run[0], run[0] + run[1]
        while at < stop:
            end = at
            while end < stop and state[end // per_page] == ABSENT:
                end += 1
            if end > at:
                missing.append((at, end - at))
            at = max(end, at + 1)
        return missing

    def _absent(self, inode: LiveInode, run: Run) -> int:
        """Return how many blocks of a run are not in memory."""
        return sum(blocks for _, blocks in self._missing(inode, run))

    def _read(self, task: Task, inode: LiveInode, wanted: list[Run]) -> Generator[Any, Any, None]:
        """Read blocks, each of one run: it lies in a row on the device."""
        plug, pending, size = Plug(), list[Pending](), self._size
        for start, blocks in wanted:
            extent = inode.tree.covering(start)
            assert extent is not None
            first = extent.physical + start - extent.logical
            pending.append(
                self._reads.submit(
                    task,
                    plug,
                    sector_of(first, size),
                    blocks * size // SECTOR_BYTES,
                    -(-blocks // self._per_page),
                    [(first, blocks)],
                    None,
                    REQ_OP_READ,
                )
            )
        self._reads.queue.flush_for_sleep(task, plug)
        yield from self._reads.wait(task, pending)

    def _keep(self, task: Task, inode: LiveInode, start: int, blocks: int) -> None:
        """Have whole pages of what was read in the page cache, unless they are there by now."""
        per_page, mapping = self._per_page, inode.mapping
        for page in range(-(-start // per_page), (start + blocks) // per_page):
            if mapping.state[page] == ABSENT:
                self._reclaim.pay(task, self._cache.insert(mapping, page, page + 1))
                task.ps += self._s_add.charge(1)
                mapping.set_uptodate(page, page + 1)
                extent = inode.tree.covering(page * per_page)
                if inode.bytes is not None and extent is not None:
                    physical = extent.physical + page * per_page - extent.logical
                    inode.bytes.came(page * per_page, physical, per_page)
