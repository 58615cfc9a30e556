"""
Where the checksums of one file's data lie, and which of its reads wait for what.

In a table a block has a checksum of its own, in the block of the table that follows from its place on the
device. In a list a run of blocks has one: to verify a block, all of its run must be in memory. Pure counts
and places; whether data is what it should be is a `Judge`'s, where bytes are real.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.cache.pages import Mapping

Run = tuple[int, int]
"""Blocks of a file: the first, how many."""
InBlock = tuple[int, int, int]
"""A block with checksums; the blocks of the device whose checksums it has: the first, how many."""


STORED: Final = "stored"
"""What is verified is what lies on the device, encrypted or not."""
DECRYPTED: Final = "decrypted"
"""What is verified is plaintext, once the file system has decrypted it."""
SEALED: Final = "sealed"
"""What is verified is decrypted at once, by the cipher that made the tag."""

NO_BLOCK: Final = -1
"""Stands for a list of checksums that lies in the inode, in no block of its own."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Judge:
    """Holds what has come from the device against its checksums, and these against their own."""

    def bad_tags(self, blocks: list[int]) -> list[int]:
        """
        Return which blocks with checksums are not what they should be: rows of a table each by itself, the
        blocks of a list all or none (NO_BLOCK if it has none).
        """
        raise NotImplementedError

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[Run]:
        """
        Return what of whole runs, `blocks` blocks of a file from `lblk` on, has not its checksum.

        physical: where they lie, asked for only where a block is a run. stored: their bytes, as they came, or
        decrypted where they are to be.
        """
        raise NotImplementedError

    def opened(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[bytes | None]:
        """Return the plaintext of each of these runs of a block, sealed as they came; None for a bad one."""
        raise NotImplementedError


class FileTags:
    """
    The checksums of one file. name: its path, for errors.

    by_run: they are of runs. length_bytes: of all of them where a list has them; list_bytes: the same until
    it was read and hashed, then 0. known: the list was verified. judge: None where no bytes are kept. of:
    what they are of: STORED, DECRYPTED, SEALED. encrypt: of a file whose pages hold other bytes than the
    device. left: of each run that is being read, by number, the blocks that have not come; waiting: what has
    come of it; torn: runs of which a part could not be read.
    """

    def __init__(self, name: str, by_run: bool, list_bytes: int = 0, judge: Judge | None = None) -> None:
        self.name = name
        self.by_run = by_run
        self.length_bytes = self.list_bytes = list_bytes
        self.known = False
        self.judge = judge
        self.of = STORED
        self.encrypt: Callable[[Any, int], bytes] | None = None
        self.left: dict[int, int] = {}
        self._holds: dict[int, tuple[Mapping, int, int]] = {}
        self.waiting: dict[int, list[Any]] = {}
        self.torn: set[int] = set()

    def hold(self, number: int, mapping: Mapping, start: int, end: int) -> None:
        """Pages of a run, some of which are up to date, must not go until it is verified."""
        if number not in self._holds:
            self._holds[number] = (mapping, start, end)
            mapping.held.append((start, end))

    def let_go(self, number: int) -> None:
        """A run is verified."""
        held = self._holds.pop(number, None)
        if held is not None:
            mapping, start, end = held
            mapping.held.remove((start, end))

    def tag_blocks(self, physical: int, blocks: int) -> list[int]:
        """Return the blocks of the device with the checksums of so many blocks from `physical` on."""
        raise NotImplementedError

    def cut(self, physical: int, blocks: int) -> list[InBlock]:
        """Cut so many blocks from `physical` on by the blocks that have their checksums; of a table."""
        raise NotImplementedError

    def behind(self, block: int, count: int) -> list[int]:
        """Return up to `count` blocks with checksums that follow one of them."""
        raise NotImplementedError

    def runs(self, lblk: int, blocks: int) -> range:
        """Return the numbers of the runs that have any of these blocks of the file."""
        raise NotImplementedError

    def run(self, number: int) -> Run:
        """Return the blocks of a run."""
        raise NotImplementedError


class TableShape:
    """
    Which block of a table has the checksum of which block of the device.

    covered: runs (first block, blocks) of those that have one, in order; own: the table's blocks; per_block:
    checksums in each.
    """

    def __init__(self, covered: Sequence[Run], own: list[int], per_block: int) -> None:
        self.own = own
        self.per_block = per_block
        self._starts: list[int] = []
        self._ranks: list[int] = []
        self._places = {block: index for index, block in enumerate(own)}
        rank = 0
        for start, blocks in covered:
            self._starts.append(start)
            self._ranks.append(rank)
            rank += blocks

    def rank(self, physical: int) -> int:
        """Return the number of a covered block's checksum in the table."""
        at = bisect_right(self._starts, physical) - 1
        return self._ranks[at] + physical - self._starts[at]

    def rows(self, physical: int, blocks: int) -> list[int]:
        """Return the table's blocks with the checksums of a run of covered blocks."""
        rank = self.rank(physical)
        return self.own[rank // self.per_block : (rank + blocks - 1) // self.per_block + 1]

    def cut(self, physical: int, blocks: int) -> list[InBlock]:
        """Cut a run of covered blocks where rows end: (block of the table, first block, blocks) of each."""
        rank, end, pieces = self.rank(physical), physical + blocks, list[InBlock]()
        while physical < end:
            row, at = divmod(rank, self.per_block)
            count = min(self.per_block - at, end - physical)
            pieces.append((self.own[row], physical, count))
            physical, rank = physical + count, rank + count
        return pieces

    def behind(self, block: int, count: int) -> list[int]:
        """Return up to `count` blocks of the table that follow one of them."""
        at = self._places[block] + 1
        return self.own[at : at + count]


class TableTags(FileTags):
    """Checksums in a table that all files share."""

    def __init__(self, name: str, shape: TableShape, judge: Judge | None = None) -> None:
        super().__init__(name, False, 0, judge)
        self.shape = shape

    def tag_blocks(self, physical: int, blocks: int) -> list[int]:
        """Return the blocks of the table (FileTags)."""
        return self.shape.rows(physical, blocks)

    def cut(self, physical: int, blocks: int) -> list[InBlock]:
        """Return them row by row (FileTags)."""
        return self.shape.cut(physical, blocks)

    def behind(self, block: int, count: int) -> list[int]:
        """Return the next blocks of the table (FileTags)."""
        return self.shape.behind(block, count)

    def runs(self, lblk: int, blocks: int) -> range:
        """Return every block: each has its own (FileTags)."""
        return range(lblk, lblk + blocks)

    def run(self, number: int) -> Run:
        """Return a block (FileTags)."""
        return number, 1


class ListTags(FileTags):
    """
    Checksums in a list of the file's own. runs: (first block, blocks), in order. blocks: of the device, that
    hold the list; none if it lies in the inode. entry_bytes: of one run; most_bytes: that have room where the
    list lies. tables: blocks of the inode table that change with it, where it lies in inodes of its own.
    in_inode: the file's inode changes with it.
    """

    def __init__(
        self,
        name: str,
        runs: Sequence[Run],
        blocks: list[int],
        list_bytes: int,
        judge: Judge | None = None,
        entry_bytes: int = 0,
        most_bytes: int = 0,
        tables: Sequence[int] = (),
        in_inode: bool = False,
    ) -> None:
        super().__init__(name, True, list_bytes, judge)
        self._entry_bytes = entry_bytes
        self._most_bytes = most_bytes
        self._starts = [start for start, _ in runs]
        self._lengths = [length for _, length in runs]
        self._blocks = blocks
        self._changed = [*blocks, *tables]
        self.in_inode = in_inode

    def tag_blocks(self, physical: int, blocks: int) -> list[int]:  # noqa: ARG002
        """Return all blocks of the list: it is read as a whole (FileTags)."""
        return self._blocks

    def behind(self, block: int, count: int) -> list[int]:  # noqa: ARG002
        """Return none (FileTags)."""
        return []

    def runs(self, lblk: int, blocks: int) -> range:
        """Return the numbers of the runs (FileTags)."""
        first = max(bisect_right(self._starts, lblk) - 1, 0)
        last = bisect_right(self._starts, lblk + blocks - 1)
        if first < last and self._starts[first] + self._lengths[first] <= lblk:
            first += 1
        return range(first, last)

    def run(self, number: int) -> Run:
        """Return the blocks of a run (FileTags)."""
        return self._starts[number], self._lengths[number]

    def changed_blocks(self) -> list[int]:
        """Return the blocks that change with the list: it is written as a whole."""
        return self._changed

    def touched(self, written: list[Run]) -> dict[int, list[Run]]:
        """Return the numbers of the runs that are written, and which blocks of each; both in order."""
        found: dict[int, list[Run]] = {}
        for lblk, blocks in written:
            for number in self.runs(lblk, blocks):
                start, length = self.run(number)
                first, end = max(start, lblk), min(start + length, lblk + blocks)
                inside = found.setdefault(number, [])
                if inside and inside[-1][0] + inside[-1][1] == first:
                    first = inside.pop()[0]
                inside.append((first, end - first))
        return found

    def rest(self, number: int, inside: list[Run]) -> list[Run]:
        """Return the pieces of a run round these blocks of it."""
        at, pieces = self._starts[number], list[Run]()
        end = at + self._lengths[number]
        for first, blocks in [*inside, (end, 0)]:
            if first > at:
                pieces.append((at, first - at))
            at = first + blocks
        return pieces

    def has_room(self, inside: list[Run], pieces: list[Run]) -> bool:
        """Tell whether the list has room for these in place of one run."""
        more = len(inside) + len(pieces) - 1
        return self.length_bytes + more * self._entry_bytes <= self._most_bytes

    def cut_up(self, number: int, pieces: list[Run]) -> list[Run]:
        """Put pieces, in order, in the place of a run; return them."""
        self._starts[number : number + 1] = [start for start, _ in pieces]
        self._lengths[number : number + 1] = [blocks for _, blocks in pieces]
        self.length_bytes += (len(pieces) - 1) * self._entry_bytes
        return pieces
