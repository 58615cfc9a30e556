"""Contents under file-keys: XTS as fscrypt's, GCM with tags that notice every change."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ciphers.xts import OUT_SLACK_BYTES, XtsUnits
from sim.crypto.keys.data_units import RECORD_BYTES, GcmContents, XtsContents, contents_cipher
from sim.crypto.keys.file_keys import MODE_AES_256_GCM, MODE_AES_256_XTS, FileKey
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError

XTS_KEY = FileKey.generate(NamedStream(1, "xts"), MODE_AES_256_XTS)
GCM_KEY = FileKey.generate(NamedStream(1, "gcm"), MODE_AES_256_GCM)
BLOCK_BYTES = 1024
PLAIN = hashlib.shake_128(b"plain").digest(4 * BLOCK_BYTES)


def sealed() -> tuple[GcmContents, bytes]:
    """Return a cipher with the tags of 4 blocks of 6, and their ciphertext."""
    gcm = GcmContents(GCM_KEY, BLOCK_BYTES, bytes(6 * RECORD_BYTES))
    return gcm, gcm.encrypt_blocks(PLAIN, 1)


def test_xts_is_the_block_number_as_tweak() -> None:
    """XTS blocks are what the plain cipher makes with the block's number as tweak, into a target too."""
    contents = contents_cipher(XTS_KEY, BLOCK_BYTES)
    assert isinstance(contents, XtsContents)
    stored = contents.encrypt_blocks(PLAIN, 7)
    assert XtsUnits(XTS_KEY.raw).encrypt(PLAIN, 7, BLOCK_BYTES) == stored
    out = bytearray(len(PLAIN) + OUT_SLACK_BYTES)
    contents.decrypt_blocks_into(stored, 7, memoryview(out))
    assert PLAIN == out[: len(PLAIN)] == contents.decrypt_blocks(stored, 7)


def test_gcm_record_is_counter_and_tag() -> None:
    """A block is AES-256-GCM with nonce {counter 4, block 8}, little endian, and its tag is in the table."""
    gcm, stored = sealed()
    record = bytes(gcm.table[2 * RECORD_BYTES : 3 * RECORD_BYTES])
    want = AESGCM(GCM_KEY.raw).encrypt(bytes((1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0)), PLAIN[1024:2048], None)
    assert want == stored[1024:2048] + record[4:]
    assert bytes((1, 0, 0, 0)) == record[:4]
    assert bytes(RECORD_BYTES) == gcm.table[:RECORD_BYTES]
    again = contents_cipher(GCM_KEY, BLOCK_BYTES, bytes(gcm.table))
    assert bytes(BLOCK_BYTES) + PLAIN == again.decrypt_blocks(bytes(BLOCK_BYTES) + stored, 0)


def test_a_seal_is_counter_and_tag_over_size_id_and_table() -> None:
    """It is AES-256-GCM over nothing with a nonce that no block has; another size, id or table is told."""
    gcm, _stored = sealed()
    said = b"readpath seal\0" + b"i" * 16 + (5000).to_bytes(8, "little") + hashlib.sha512(gcm.table).digest()
    want = AESGCM(GCM_KEY.raw).encrypt(bytes((1, 0, 0, 0)) + bytes((255,)) * 8, b"", said)
    seal = gcm.seal(5000, b"i" * 16)
    assert bytes((1, 0, 0, 0)) + want == seal
    assert gcm.check_seal(seal, 5000, b"i" * 16)
    assert not gcm.check_seal(seal, 5001, b"i" * 16)
    assert not gcm.check_seal(seal, 5000, b"j" * 16)
    assert not gcm.check_seal(b"\2" + seal[1:], 5000, b"i" * 16)
    gcm.encrypt_blocks(PLAIN[:1024], 5)
    assert not gcm.check_seal(seal, 5000, b"i" * 16)


def test_gcm_never_uses_a_nonce_twice() -> None:
    """The same block written again has another counter, another ciphertext, and the old one does not open."""
    gcm, stored = sealed()
    newer = gcm.encrypt_blocks(PLAIN[:1024], 1)
    assert newer != stored[:1024]
    assert PLAIN[:1024] == gcm.decrypt_blocks(newer, 1)
    with pytest.raises(CryptoError, match="block 1 fails its AES-256-GCM check"):
        gcm.decrypt_blocks(stored[:1024], 1)
    gcm.table[RECORD_BYTES : RECORD_BYTES + 4] = b"\xff" * 4
    with pytest.raises(CryptoError, match="a new key"):
        gcm.encrypt_blocks(PLAIN[:1024], 1)


@given(st.integers(0, 4 * BLOCK_BYTES * 8 - 1), st.integers(0, 4 * RECORD_BYTES * 8 - 1))
@settings(max_examples=80, deadline=None)
def test_gcm_notices_every_bit(data_bit: int, table_bit: int) -> None:
    """One changed bit of data or of the table of tags: an error, and not a byte of plaintext."""
    gcm, stored = sealed()
    changed = bytearray(stored)
    changed[data_bit // 8] ^= 1 << data_bit % 8
    out = bytearray(len(PLAIN))
    with pytest.raises(CryptoError, match="fails its AES-256-GCM check"):
        gcm.decrypt_blocks_into(bytes(changed), 1, memoryview(out))
    assert bytes(len(PLAIN)) == out
    gcm.table[RECORD_BYTES + table_bit // 8] ^= 1 << table_bit % 8
    with pytest.raises(CryptoError, match="fails its AES-256-GCM check"):
        gcm.decrypt_blocks(stored, 1)


def test_gcm_block_without_its_record() -> None:
    """A record that was zeroed says never written: a block that is there is an error, not zeros."""
    gcm, stored = sealed()
    gcm.table[RECORD_BYTES : 2 * RECORD_BYTES] = bytes(RECORD_BYTES)
    with pytest.raises(CryptoError, match="block 1 is there and has no tag"):
        gcm.decrypt_blocks(stored, 1)


def test_gcm_blocks_have_their_place() -> None:
    """Blocks that changed places fail, with or without their records."""
    gcm, stored = sealed()
    swapped = stored[1024:2048] + stored[:1024]
    with pytest.raises(CryptoError, match="block 1 fails"):
        gcm.decrypt_blocks(swapped, 1)
    one, two = gcm.table[20:40], gcm.table[40:60]
    gcm.table[20:60] = two + one
    with pytest.raises(CryptoError, match="block 1 fails"):
        gcm.decrypt_blocks(swapped, 1)


def test_what_is_refused() -> None:
    """Keys of another mode, tables and data that are not whole, blocks without a record."""
    for action in (
        lambda: XtsContents(GCM_KEY, BLOCK_BYTES),
        lambda: GcmContents(XTS_KEY, BLOCK_BYTES, b""),
        lambda: GcmContents(GCM_KEY, BLOCK_BYTES, bytes(19)),
        lambda: sealed()[0].decrypt_blocks(bytes(100), 1),
        lambda: sealed()[0].decrypt_blocks(bytes(1024), 6),
        lambda: sealed()[0].encrypt_blocks(bytes(1024), 6),
    ):
        with pytest.raises(CryptoError, match="file contents"):
            action()
