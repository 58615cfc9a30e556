"""
What encrypts the blocks of files that are written, and decrypts those that a write has read first.

fs/crypto of 6.1 encrypts a page of the cache into a bounce page, block by block
(fscrypt_encrypt_pagecache_blocks()); blk-crypto does nothing of it, its bios carry the key (page_io.py). The
patches of 2014 have a bounce page too, one cipher call a page, for which the key is set anew; when a write
decrypts a page that it has read is not known of them, and taken to be where 6.1 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.engine.ledger import under
from sim.paths.post_read_steps import FSCRYPT, RFC2014, CipherCalls


@dataclass(frozen=True, slots=True)
class WriteCiphers:
    """
    The symbols of one scheme. encrypt: of a page that goes out, and of each of its blocks. zeros: of a block
    of zeros that is written over an unwritten one. decrypt: of a block that write_begin has read.
    """

    encrypt: CipherCalls
    zeros: str
    decrypt: CipherCalls


_PAGE: Final = "fscrypt_encrypt_pagecache_blocks"
_BLOCK: Final = "fscrypt_crypt_block"
_CIPHER: Final = "crypto_skcipher_encrypt*2 crypto_skcipher_encrypt;xts_encrypt"
_CRYPT: Final = f"{_BLOCK} {under(_BLOCK, f'fscrypt_generate_iv {_CIPHER}')}"
FSCRYPT_WRITES: Final = WriteCiphers(CipherCalls(_PAGE, under(_PAGE, _CRYPT)), _CRYPT, FSCRYPT)
"""fs/crypto: the key is set once per inode."""

_OLD: Final = "ext4_encrypt"
_OLD_CRYPT: Final = under(_OLD, f"crypto_skcipher_setkey*2 crypto_skcipher_setkey;xts_aesni_setkey {_CIPHER}")
RFC2014_WRITES: Final = WriteCiphers(CipherCalls(_OLD, _OLD_CRYPT), f"{_OLD} {_OLD_CRYPT}", RFC2014)
"""The patches of 2014, whose blocks are pages; but for the cipher all is as in 6.1."""
