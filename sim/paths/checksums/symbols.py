"""
What verifying calls, by algorithm. ext4 has no checksums of data, so only the names of ciphers and hashes are
a kernel's (Linux 6.1, x86-64). What each costs stands in sim/profiles/machines/unmeasured.toml.
"""

from __future__ import annotations

from typing import Final

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
EXPAND: Final = "readahead_expand"
"""mm/readahead.c: widens what is read ahead, here to whole runs."""
