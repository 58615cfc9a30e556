"""
Who holds what a reader has got against the tags of a volume: blocks by its table, runs by the lists of files.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from sim.errors import ImageError, InvariantError
from sim.ext4.format.extents import Extent
from sim.fs.file_tags import NO_BLOCK, Judge, Run, TableShape
from sim.integrity.units import ListUnits, TableUnits


class TableJudge(Judge):
    """
    A table's units, as a reader of one file asks for them.

    pending: blocks of the device that were written, went from memory and come back before their checksums are
    computed: a kernel would keep them in memory until then. inode: the file's. decrypted: what is judged is
    plaintext.
    """

    def __init__(
        self, units: TableUnits, shape: TableShape, pending: set[int], inode: int, decrypted: bool
    ) -> None:
        self._units = units
        self._shape = shape
        self._pending = pending
        self._inode = inode
        self._decrypted = decrypted

    def bad_tags(self, blocks: list[int]) -> list[int]:
        """Return blocks of the table that do not have their own tags (Judge)."""
        return [block for block in blocks if not self._units.is_row_good(block)]

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[Run]:
        """Return blocks that do not have their checksums (Judge)."""
        rank, owner = self._shape.rank(physical), (self._inode, lblk)
        bad = self._units.bad(physical, rank, blocks, stored, owner, self._decrypted)
        return [(lblk + at, 1) for at in bad if physical + at not in self._pending]

    def opened(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[bytes | None]:
        """Return the plaintext of blocks (Judge)."""
        rank, owner = self._shape.rank(physical), (self._inode, lblk)
        return self._units.opened(physical, rank, blocks, stored, owner)


def _nobody() -> ListUnits | None:
    return None


class ListJudge(Judge):
    """
    A list's units, as a reader asks for them. read: takes a list apart as it lies in blocks that came.

    decrypted: what is judged is plaintext. kept: the list as who writes the file has it in memory, if
    somebody does. pending: as of TableJudge.
    """

    def __init__(
        self,
        read: Callable[[list[int]], ListUnits],
        decrypted: bool,
        kept: Callable[[], ListUnits | None] = _nobody,
        pending: Container[int] = (),
    ) -> None:
        self._read = read
        self._decrypted = decrypted
        self._kept = kept
        self._pending = pending
        self._units: ListUnits | None = None

    def bad_tags(self, blocks: list[int]) -> list[int]:
        """Return all blocks of a list that is wrong (Judge); one that is kept in memory was good."""
        if self._kept() is not None:
            return []
        try:
            self._units = self._read(blocks)
        except ImageError:
            return blocks or [NO_BLOCK]
        return []

    def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[Run]:  # noqa: ARG002
        """Return the run if it does not have its checksum (Judge)."""
        units = self._kept() or self._units
        good = units is not None and (
            units.is_good(lblk, blocks, stored, self._decrypted) or units.physical(lblk) in self._pending
        )
        return [] if good else [(lblk, blocks)]

    def opened(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[bytes | None]:  # noqa: ARG002
        """Return the plaintext of a run of one block (Judge)."""
        return [None if self._units is None else self._units.opened(lblk, blocks, stored)]


class SealedContents:
    """
    The contents of a file whose cipher makes the tags, as it lies where `place` says of its blocks.

    seal: makes a block anew (first block of the file, where it lies, plaintext); None for who only reads.
    """

    def __init__(
        self,
        block_size: int,
        place: Callable[[int], Extent | None],
        judge: Judge,
        seal: Callable[[int, int, bytes], bytes] | None = None,
    ) -> None:
        self._size = block_size
        self._place = place
        self._judge = judge
        self._seal = seal

    def decrypt_blocks_into(self, data: memoryview, first: int, out: memoryview) -> None:
        """
        Decrypt consecutive blocks, from the file's block `first` on, into `out`, which may be longer.

        One that is not what was sealed stays as it is: whoever verifies it, or compares it, tells.
        """
        size = self._size
        for at, block in enumerate(range(first, first + len(data) // size)):
            stored = bytes(data[at * size : (at + 1) * size])
            (plain,) = self._judge.opened(block, self._physical(block), 1, stored)
            out[at * size : (at + 1) * size] = stored if plain is None else plain

    def encrypt_blocks(self, data: bytes, first: int) -> bytes:
        """Return consecutive blocks sealed."""
        size, seal = self._size, self._seal
        assert seal is not None
        return b"".join(
            seal(block, self._physical(block), data[at * size : (at + 1) * size])
            for at, block in enumerate(range(first, first + len(data) // size))
        )

    def _physical(self, block: int) -> int:
        extent = self._place(block)
        if extent is None:
            raise InvariantError(f"block {block} of a sealed file is a hole")
        return extent.physical + block - extent.logical
