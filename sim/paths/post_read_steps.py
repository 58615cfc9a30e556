"""
Steps between the end of a bio and the pages it brings: struct bio_post_read_ctx of fs/ext4 and fs/f2fs.

A bio of a file that wants a step is not done in the interrupt: a work item runs the steps in their order, and
then unlocks the pages. `Decrypt` is the one that ext4 files have here; a path may bring others (`post_read`
of a class of one's own, docs/own-path.md), as fs-verity or decompression. `NullStep` does nothing: what it
costs is the work item.

A step costs time, and may look at the bytes: decryption's are those of page_data.py, and a step that checks
says in `bad_blocks` what it found. The pages of those blocks are unlocked and not up to date, so that their
readers get EIO; which of a bio's pages that are, the kernel decides (see PathRules.fails_whole_bios).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mypy_extensions import mypyc_attr

from sim.block.bio import Bio
from sim.engine.ledger import Ledger, Site
from sim.fs.file_tags import SEALED
from sim.fs.fs_inode import FsInode

_CRYPT: Final = "fscrypt_decrypt_pagecache_blocks"
_BLOCK: Final = f"{_CRYPT};fscrypt_crypt_block"
_CIPHER: Final = f"{_BLOCK};crypto_skcipher_decrypt"


Blocks = list[tuple[int, int]]
"""Runs of a file's blocks: (first logical block, how many)."""


@dataclass(frozen=True, slots=True)
class CipherCalls:
    """
    What decryption calls in a work item: `page` per page (per buffer head there), `unit` per block. cipher:
    which of these takes longer by the byte.
    """

    page: str
    unit: str
    cipher: str = "xts_decrypt"


FSCRYPT = CipherCalls(
    page=_CRYPT, unit=f"{_BLOCK} {_BLOCK};fscrypt_generate_iv {_CIPHER}*2 {_CIPHER};xts_decrypt"
)
"""fs/crypto: the key is set once per inode, a cipher call per block."""

BLK_CRYPTO_FALLBACK = CipherCalls(page="", unit="crypto_skcipher_decrypt crypto_skcipher_decrypt;xts_decrypt")
"""block/blk-crypto-fallback.c of 7.3: a call a data unit, whose number goes on from the bio's."""

_PAGE: Final = "ext4_decrypt"
RFC2014 = CipherCalls(
    page=_PAGE,
    unit=f"{_PAGE};crypto_skcipher_setkey*2 {_PAGE};crypto_skcipher_setkey;xts_aesni_setkey"
    f" {_PAGE};crypto_skcipher_decrypt*2 {_PAGE};crypto_skcipher_decrypt;xts_decrypt",
)
"""
The patches of 2014: a cipher from a pool, so the key is set for every page; a page is one data unit.

They queue a work item per bio, as fs/crypto does: its hop has 6.1's symbols here too, and the cipher's
layers are 6.1's.
"""


@mypyc_attr(allow_interpreted_subclasses=True)
class PostReadStep:
    """
    One step. ledger: where it charges, in `context` (of its work queue) below the folded stack `stack`.

    block_size: in bytes.
    """

    def __init__(self, ledger: Ledger, context: str, stack: str, block_size: int) -> None:
        self.ledger = ledger
        self.context = context
        self.stack = stack
        self.block_size = block_size

    def site(self, calls: str, unit: str = "") -> Site:
        """Declare what the step calls: see Ledger.site."""
        return self.ledger.site(self.context, self.stack, calls, unit)

    def wanted(self, inode: FsInode) -> bool:  # noqa: ARG002
        """Return whether a file's bios need the step; all do unless a step knows better."""
        return True

    def charge(self, calls: int, blocks: int) -> int:
        """Return the ps of the step on `blocks` blocks in `calls` pages, or buffer heads where those are."""
        raise NotImplementedError

    def bad_blocks(self, bio: Bio) -> Blocks:  # noqa: ARG002
        """
        Return which blocks of a bio are not what they should be; here none are.

        It is asked once for each bio of a file that wants the step, when the work item that runs all steps
        ends, in their order, until one finds something; never with data = "off", or of a bio that the device
        failed. The bytes of block b are then in `bio.owner.mapping.content` from b times the block size on,
        decrypted, and the pages still locked; bio.sector and bio.blocks say where they came from.
        """
        return []


MakeStep = Callable[[Ledger, str, str, int], PostReadStep]
"""Makes a step of (ledger, context, stack, block size)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class NullStep(PostReadStep):
    """The null step: every bio goes through a work item, in which nothing is done."""

    def charge(self, calls: int, blocks: int) -> int:  # noqa: ARG002
        """Charge nothing."""
        return 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Decrypt(PostReadStep):
    """fs/crypto's step; `calls`: of which kind."""

    def __init__(self, ledger: Ledger, context: str, stack: str, block_size: int, calls: CipherCalls) -> None:
        super().__init__(ledger, context, stack, block_size)
        self._s_page = self.site(calls.page)
        self._s_unit = self.site(calls.unit, unit=calls.cipher)

    def wanted(self, inode: FsInode) -> bool:
        """Return whether the file is decrypted after it is read; where its cipher makes tags, it was."""
        return inode.encrypted and (inode.tags is None or inode.tags.of != SEALED)

    def charge(self, calls: int, blocks: int) -> int:
        """Charge decrypting `blocks` in `calls` of fscrypt_decrypt_pagecache_blocks()."""
        return self._s_page.charge(calls) + self._s_unit.charge_units(blocks, blocks * self.block_size)
