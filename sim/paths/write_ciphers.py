"""
What encrypts the blocks of files that are written, and decrypts those that a write has read first.

fs/crypto of 6.1 encrypts a page of the cache into a bounce page, block by block
(fscrypt_encrypt_pagecache_blocks()); blk-crypto does nothing of it, its bios carry the key (page_io.py). The
patches of 2014 have a bounce page too, one cipher call a page, for which the key is set anew; when a write
decrypts a page that it has read is not known of them, and taken to be where 6.1 does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from sim.engine.ledger import under
from sim.fs.crypt_sites import BlockCalls
from sim.paths.checksums.symbols import GCM, OPEN, OPEN_PAGE, SET, TAG_BYTES
from sim.paths.post_read_steps import FSCRYPT, RFC2014, CipherCalls


@dataclass(frozen=True, slots=True)
class WriteCiphers:
    """
    The symbols of one scheme. page, block: of a page that goes out, and of each of its blocks. zeros: of a
    block of zeros that is written over an unwritten one; both with what makes its tag, if that is made of
    plaintext. decrypt: of a block that write_begin has read.
    """

    page: str
    block: tuple[BlockCalls, ...]
    zeros: tuple[BlockCalls, ...]
    decrypt: CipherCalls


_PAGE: Final = "fscrypt_encrypt_pagecache_blocks"
_BLOCK: Final = "fscrypt_crypt_block"
_XTS: Final = "xts_encrypt"
_CIPHER: Final = f"crypto_skcipher_encrypt*2 crypto_skcipher_encrypt;{_XTS}"


def _fs_crypto(cipher: str, unit: str, decrypt: CipherCalls) -> WriteCiphers:
    """Return fs/crypto with a cipher, whose key is set once per inode."""
    crypt = f"{_BLOCK} {under(_BLOCK, f'fscrypt_generate_iv {cipher}')}"
    return WriteCiphers(_PAGE, (BlockCalls(under(_PAGE, crypt), unit),), (BlockCalls(crypt, unit),), decrypt)


FSCRYPT_WRITES: Final = _fs_crypto(_CIPHER, _XTS, FSCRYPT)
"""fs/crypto as it is."""
_GCM: Final = "gcm_encrypt"
SEALING_WRITES: Final = _fs_crypto(
    f"{SET} crypto_aead_encrypt crypto_aead_encrypt;{_GCM}", _GCM, CipherCalls(OPEN_PAGE, OPEN, GCM)
)
"""AES-256-GCM makes the tag in the bounce page. What is read for a write is verified in the same pass."""

_OLD: Final = "ext4_encrypt"
_OLD_CRYPT: Final = under(_OLD, f"crypto_skcipher_setkey*2 crypto_skcipher_setkey;xts_aesni_setkey {_CIPHER}")
RFC2014_WRITES: Final = WriteCiphers(
    _OLD, (BlockCalls(_OLD_CRYPT, _XTS),), (BlockCalls(f"{_OLD} {_OLD_CRYPT}", _XTS),), RFC2014
)
"""The patches of 2014, whose blocks are pages; but for the cipher all is as in 6.1."""


SEAL: Final = BlockCalls(_CIPHER, _XTS, TAG_BYTES)
"""Encrypts a checksum of plaintext: the file's second cipher, one block of AES."""


def checksumming(ciphers: WriteCiphers, symbol: str) -> WriteCiphers:
    """Return ciphers of which each block that is written is hashed before, and the checksum encrypted."""
    tag = BlockCalls(f"{SET} {SET};{symbol}", symbol), SEAL
    return replace(ciphers, block=ciphers.block + tag, zeros=ciphers.zeros + tag)
