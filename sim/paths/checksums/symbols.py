"""
What verifying calls, by algorithm. ext4 has no checksums of data, so only the names of ciphers and hashes are
a kernel's (Linux 6.1, x86-64). What each costs stands in sim/profiles/machines/unmeasured.toml.
"""

from __future__ import annotations

from typing import Final

from sim.engine.ledger import under

ALGORITHM_SYMBOLS: Final = {
    "crc32c": "crc32c_pcl_intel_digest",
    "xxh64": "xxhash64_digest",
    "sha256": "sha256_ni_finup",
    "blake2b": "crypto_blake2b_update_generic",
    "hmac-sha256": "hmac_finup",
    "aes-cmac": "crypto_cmac_digest_update",
    "aes-256-gcm": "ghash_update",
}
END_IO: Final = "ext4_data_csum_end_io"
"""The end of a bio of a file that has checksums."""
WORK: Final = "ext4_data_csum_work"
"""The work item that verifies it."""
LOOKUP: Final = "ext4_data_csum_lookup"
"""Finds a block with checksums that is in memory."""
VERIFY: Final = "ext4_data_csum_verify"
"""Verifies what has one checksum."""
SET: Final = "ext4_data_csum_set"
"""Computes one checksum of what is written."""
XTS: Final = "xts_decrypt"
GCM: Final = "gcm_decrypt"
"""AES-256-GCM, which decrypts and verifies in one pass: gcmaes_decrypt() of 6.1 by another name."""
TAG_BYTES: Final = 16
"""Of a checksum that is encrypted: one block of AES."""
_CRYPT: Final = "fscrypt_crypt_block"
UNSEAL: Final = under(VERIFY, f"crypto_skcipher_decrypt*2 {under('crypto_skcipher_decrypt', XTS)}")
"""Decrypts a checksum of plaintext: a call of the file's second cipher."""
OPEN_PAGE: Final = "fscrypt_decrypt_pagecache_blocks"
OPEN: Final = (
    f"{VERIFY} {VERIFY};{_CRYPT} {VERIFY};{_CRYPT};fscrypt_generate_iv"
    f" {VERIFY};{_CRYPT};crypto_aead_decrypt {VERIFY};{_CRYPT};crypto_aead_decrypt;{GCM}"
)
"""Decrypts and verifies a block: fscrypt's call, with a cipher that takes the tag besides."""
EXPAND: Final = "readahead_expand"
"""mm/readahead.c: widens what is read ahead, here to whole runs."""
