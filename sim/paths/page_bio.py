"""
The bio that a readahead call builds page by page, shared by the paths that build any.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from sim.block.bio import MAX_VECTORS, Bio, EndIo, Plug
from sim.block.protocols import BioQueue
from sim.cache.address_space import OpenFile
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.fs_inode import FsInode
from sim.paths.rules import LINUX_6_1, PathRules
from sim.units import SECTOR_BYTES

INLINE_SYMBOLS: Final = (
    "fscrypt_set_bio_crypt_ctx bio_crypt_set_ctx __blk_crypto_bio_prep __bio_crypt_free_ctx"
)
"""What a bio costs that the device decrypts: its context, from its making to its end."""

_SET: Final = "fscrypt_set_bio_crypt_ctx_bh"
WRITE_CONTEXT: Final = (
    f"{_SET} {_SET};fscrypt_set_bio_crypt_ctx {_SET};fscrypt_set_bio_crypt_ctx;bio_crypt_set_ctx"
    " __blk_crypto_bio_prep __bio_crypt_free_ctx"
)
"""The same of a bio that is made for a buffer head: ext4's that write, and what a write reads first."""

FALLBACK_SYMBOLS: Final = (
    "fscrypt_set_bio_crypt_ctx;fscrypt_generate_iv fscrypt_set_bio_crypt_ctx;bio_crypt_set_ctx"
    " /submit_bio;__blk_crypto_submit_bio"
    " /submit_bio;__blk_crypto_submit_bio;blk_crypto_fallback_bio_prep"
)
"""What a bio costs beside that which blk-crypto-fallback will decrypt: its number, its context, taken off."""

INLINE_VECTORS: Final = 4
"""BIO_INLINE_VECS: a bio for at most these needs no array of vectors (block/bio.c)."""


def array_vectors(room: int) -> int:
    """
    Return how many vectors the array of a bio for `room` has, 0 if it needs none: bvec_slabs, block/bio.c.

    With init_on_alloc all of them are zeroed, asked for or not: 16 bytes each.
    """
    if room <= INLINE_VECTORS:
        return 0
    return next((size for size in (16, 64, 128) if room <= size), MAX_VECTORS)


ARRAY_VECTORS: Final = [array_vectors(room) for room in range(MAX_VECTORS + 1)]
"""The same, by room."""


def capacity(room: int, exact: bool = False) -> int:
    """
    Return how many vectors a bio takes that was allocated for `room`: all that it or its array has.

    exact: without an array, only as many as were asked for.
    """
    return ARRAY_VECTORS[room] or (room if exact else INLINE_VECTORS)


@mypyc_attr(free_list_len=1)
class PageBio:
    """
    The one bio under construction of a readahead call.

    next_block: the physical block that would continue it, -1 without a bio.
    """

    __slots__ = ("_bio", "_factory", "_file", "_next_lblk", "_plug", "_room", "_task", "next_block")

    def __init__(self, factory: PageBioFactory, task: Task, file: OpenFile, plug: Plug) -> None:
        self._factory = factory
        self._task = task
        self._file = file
        self._plug = plug
        self._bio: Bio | None = None
        self._room = 0
        self._next_lblk = -1
        self.next_block = -1

    def add(self, lblk: int, physical: int, blocks: int, vectors: int, wanted: int) -> None:
        """
        Add `blocks` blocks in `vectors` pages, which continue the bio or start one with room for `wanted`.

        A bio whose room is used up is submitted and another one started. Left out: pages that lie side by
        side in memory share a vector.
        """
        factory = self._factory
        inode: FsInode = self._file.inode
        crypt = inode.crypt(lblk, physical)
        if factory.asks:
            meets = self._bio is not None and self.next_block == physical
            self._task.ps += factory.mergeable.charge(vectors if meets else vectors - 1)
            if inode.encrypted:
                self._task.ps += factory.numbers.charge(vectors if meets else vectors - 1)
        elif crypt is not None:
            self._task.ps += factory.mergeable.charge(vectors)
        if self._bio is not None and (
            self.next_block != physical
            or self._bio.crypt != crypt
            or (factory.below and inode.encrypted and self._next_lblk != lblk)
        ):
            self.submit()
        factory.charge_pages(self._task, vectors, vectors if self._bio is not None else vectors - 1)
        while True:
            if self._bio is None:
                room = min(wanted, MAX_VECTORS)
                self._room = capacity(room, factory.exact_room)
                self._bio = factory.start(self._task, self._file, physical, room)
                if factory.first_sure:
                    factory.charge_pages(self._task, -1, 0)  # it is put in by another call, an inlined one
                if crypt is None and factory.asks:
                    self._task.ps += factory.asked.charge(1)
                if factory.below and inode.encrypted:
                    self._task.ps += factory.fallback.charge(1)
                if crypt is not None:
                    self._bio.crypt = crypt
                    self._task.ps += factory.contexts.charge(1)
            take = min(vectors, self._room)
            part = blocks if take == vectors else blocks // vectors * take
            self._append(self._bio, lblk, part, take)
            if take == vectors:
                self.next_block = physical + blocks
                self._next_lblk = lblk + blocks
                return
            factory.charge_pages(self._task, 1, 1)  # the attempt that did not fit
            self.submit()
            lblk, physical, blocks = lblk + part, physical + part, blocks - part
            vectors, wanted = vectors - take, wanted - take

    def _append(self, bio: Bio, lblk: int, blocks: int, vectors: int) -> None:
        """Add blocks to the bio's runs and sizes."""
        runs = bio.blocks
        if runs and runs[-1][0] + runs[-1][1] == lblk:
            runs[-1] = (runs[-1][0], runs[-1][1] + blocks)
        elif runs and blocks:
            runs.append((lblk, blocks))
        elif blocks:
            bio.blocks = [(lblk, blocks)]
        bio.unit_sectors += blocks * self._factory.block_sectors
        if self._file.mapping.large:
            if bio.vectors is None:
                bio.vectors = []
            bio.vectors.append(blocks * self._factory.block_sectors)
        bio.segments += vectors
        self._room -= vectors

    def submit(self) -> None:
        """Submit the bio, if there is one."""
        if self._bio is not None:
            bio, self._bio = self._bio, None
            self.next_block = -1
            self._factory.queue.submit(self._task, bio, self._plug)


class PageBioFactory:
    """
    What all page bios of a path share.

    add_symbol: bio_add_page or bio_add_folio; its unit is a page behind another, which it might have
    continued. The array of vectors is freed in the completion; its charge is made here, where its size is
    known.
    """

    def __init__(
        self,
        ledger: Ledger,
        queue: BioQueue,
        end_io: EndIo,
        block_size: int,
        caller: str,
        add_symbol: str,
        rules: PathRules = LINUX_6_1,
        knows_fscrypt: bool = False,
        per_piece: bool = False,
    ) -> None:
        """
        knows_fscrypt: the path asks fscrypt for the contexts of its bios, where any does. per_piece: it is
        iomap's.
        """
        self.queue = queue
        self.exact_room = rules.exact_room
        self.asks = rules.asks_contexts and knows_fscrypt
        self.below = rules.decrypts_below
        self.first_sure = rules.first_sure and per_piece
        self.block_sectors = block_size // SECTOR_BYTES
        self._end_io = end_io
        self._allocated = ledger.site(TASK, caller, "bio_alloc_bioset")
        free = "/bio_endio;bio_put;bio_free;bvec_free"
        self._array = ledger.site(TASK, caller, f"bio_alloc_bioset;bvec_alloc {free}", unit="bvec_alloc")
        self._added = ledger.site(TASK, caller, add_symbol, unit=add_symbol)
        self.mergeable = ledger.site(TASK, caller, "fscrypt_mergeable_bio")
        self.contexts = ledger.site(TASK, caller, INLINE_SYMBOLS)
        set_context = "fscrypt_set_bio_crypt_ctx"
        self.asked = ledger.site(TASK, caller, set_context if self.asks else "")
        self.numbers = ledger.site(
            TASK, caller, "fscrypt_mergeable_bio;fscrypt_generate_iv" if self.asks else ""
        )
        self.fallback = ledger.site(TASK, caller, FALLBACK_SYMBOLS if self.below else "")

    def open(self, task: Task, file: OpenFile, plug: Plug) -> PageBio:
        """Return a call's bio, not yet allocated."""
        return PageBio(self, task, file, plug)

    def start(self, task: Task, file: OpenFile, physical: int, room: int) -> Bio:
        """bio_alloc() with `room` vectors."""
        task.ps += self._allocated.charge(1) + self._charge_array(room)
        return Bio(physical * self.block_sectors, 0, 1, 0, self._end_io, file, [], True)

    def _charge_array(self, room: int) -> int:
        """Count the array of a bio with `room` vectors; return its cost in ps."""
        vectors = ARRAY_VECTORS[room]
        return self._array.charge_units(1, vectors) if vectors else 0

    def charge_pages(self, task: Task, pages: int, behind: int) -> None:
        """Charge adding `pages` vectors, `behind` of them behind another."""
        task.ps += self._added.charge_units(pages, behind)
