"""
Keyed tags of data: AES-CMAC, GMAC, HMAC-SHA256 cut short; keys for them; one-block sealing of short tags.

Bytes in, bytes out. Sources: RFC 4493 (CMAC), NIST SP 800-38D (GMAC: GCM over nothing, the data as what is
authenticated alone), RFC 2104 and RFC 4868 (HMAC-SHA-256-128).
"""

from __future__ import annotations

import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC

from sim.crypto.ciphers.xts import XtsUnits
from sim.crypto.fscrypt.contexts import hkdf_sha512

MAC_KEY_BYTES = 32
TAG_BYTES = 16
NONCE_BYTES = 12
_SEAL_KEY_BYTES = 64


def hmac_sha256_128(key: bytes, data: bytes) -> bytes:
    """Return the first 16 bytes of HMAC-SHA256."""
    return hmac.digest(key, data, "sha256")[:TAG_BYTES]


def aes_cmac(key: bytes, data: bytes) -> bytes:
    """Return the 16 bytes of AES-CMAC; the key has 16, 24 or 32."""
    mac = CMAC(AES(key))
    mac.update(data)
    return mac.finalize()


def gmac(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """Return the 16 bytes of GMAC; a nonce, of 12 bytes, must never come twice under a key."""
    return AESGCM(key).encrypt(nonce, b"", data)


class Aead:
    """AES-256-GCM of blocks: ciphertext as long as the data, and a tag of 16 bytes beside it."""

    __slots__ = ("_gcm",)

    def __init__(self, key: bytes) -> None:
        self._gcm = AESGCM(key)

    def seal(self, nonce: bytes, data: bytes, context: bytes) -> tuple[bytes, bytes]:
        """Return ciphertext and tag; a nonce must never come twice. context: authenticated, not kept."""
        sealed = self._gcm.encrypt(nonce, data, context)
        return sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]

    def open(self, nonce: bytes, data: bytes, tag: bytes, context: bytes) -> bytes | None:
        """Return the plaintext, None if data, tag, nonce and context do not belong together."""
        try:
            return self._gcm.decrypt(nonce, data + tag, context)
        except InvalidTag:
            return None

    def tag(self, nonce: bytes, data: bytes, context: bytes) -> bytes:
        """Return the tag that ciphertext has under a nonce; of what `seal` made it is the same."""
        stream = self._gcm.encrypt(nonce, bytes(len(data)), None)[:-TAG_BYTES]
        plain = int.from_bytes(stream, "little") ^ int.from_bytes(data, "little")
        return self._gcm.encrypt(nonce, plain.to_bytes(len(data), "little"), context)[-TAG_BYTES:]


class SealedTags:
    """
    Checksums of plaintext as they may lie beside ciphertext: each encrypted as an XTS unit of 16 bytes.

    In clear they would tell which blocks are alike, and what is in a block that is guessed.
    """

    __slots__ = ("_xts",)

    def __init__(self, file_key: bytes) -> None:
        self._xts = XtsUnits(hkdf_sha512(file_key, b"readpath integrity seal\0", _SEAL_KEY_BYTES))

    def seal(self, tag: bytes, position: int) -> bytes:
        """Return 16 bytes for the tag, of at most 16, of the block at a position of the file."""
        return self._xts.encrypt(tag.ljust(TAG_BYTES, b"\0"), position, TAG_BYTES)


def mac_key_of(file_key: bytes) -> bytes:
    """
    Return the key of a file's tags, which follows from the file's key: HKDF-SHA512 of it.

    Who has it can judge the file's blocks and cannot read them: a scrubber may be given it.
    """
    return hkdf_sha512(file_key, b"readpath integrity mac\0", MAC_KEY_BYTES)
