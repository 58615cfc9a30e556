"""
dm-crypt with an AEAD above dm-integrity (drivers/md/dm-crypt.c, Linux 6.1): IV and tag of a sector lie
below.

A read is cloned and read below with room for its tags; a worker (kcryptd) then decrypts and checks sector
by sector. A write is encrypted into pages of its own by kcryptd, and sent by a thread (dmcrypt_write). The
tags of a bio go along with it, and dm-integrity keeps them.

AES-NI's GCM is reached through the wrapper that minds the FPU: two calls of the crypto API a sector.

Left out: bios of more than 256 pages, no_read_workqueue and no_write_workqueue, tags that fail.
"""

from __future__ import annotations

from sim.block.dm.asked import pages_of
from sim.block.dm.integrity import IntegrityDevice
from sim.block.opf import FLUSH
from sim.peers.tally import Tally

API_CALLS = 2
"""Calls of crypto_aead_encrypt or _decrypt a sector."""


class AeadDevice:
    """A device above one of dm-integrity. sector_sectors: sectors of 512 bytes that are encrypted at once."""

    def __init__(self, below: IntegrityDevice, tally: Tally, sector_sectors: int) -> None:
        self._below = below
        self._tally = tally
        self._sector_sectors = sector_sectors

    def read(self, sector: int, sectors: int, opf: int) -> None:
        """Read; the bio was queued to the device by whom it belongs to."""
        self._cloned()
        self._tally.call("kcryptd_io_read", "kcryptd_crypt_read_convert")
        self._below_bio(sector, sectors, opf)
        self._below.read(sector, sectors, opf)
        self._tally.call("crypto_aead_decrypt", times=API_CALLS * (sectors // self._sector_sectors))

    def write(self, sector: int, sectors: int, opf: int) -> None:
        """Write; as `read`."""
        self._cloned()
        self._tally.call("crypt_alloc_buffer", "kcryptd_crypt_write_convert", "kcryptd_crypt_write_io_submit")
        self._tally.call("bio_add_page", times=pages_of(sectors))
        self._tally.call("crypto_aead_encrypt", times=API_CALLS * (sectors // self._sector_sectors))
        self._below_bio(sector, sectors, opf)
        self._below.write(sector, sectors, opf)

    def flush(self) -> None:
        """Hand a flush down as it is."""
        self._tally.call("dm_submit_bio", "bio_alloc_bioset", "crypt_map", "bio_endio", "block_bio_complete")
        self._tally.queue("dm0", 0, 0, FLUSH)
        self._below.flush()

    def _cloned(self) -> None:
        """Clone a bio twice, for device mapper and for the target, with room for tags."""
        self._tally.call("dm_submit_bio", "crypt_map", "crypt_convert", "crypt_endio", "block_bio_complete")
        self._tally.call("kcryptd_crypt", "kcryptd_queue_crypt", "dm_crypt_integrity_io_alloc")
        self._tally.call("bio_integrity_add_page", "bio_integrity_alloc")
        self._tally.call("bio_alloc_bioset", times=2)
        self._tally.call("bio_endio", times=2)

    def _below_bio(self, sector: int, sectors: int, opf: int) -> None:
        """Queue the target's clone to the device below; each piece made of it takes its tags along."""
        self._tally.queue("dm0", sector, sectors, opf)
        self._tally.call("bio_integrity_alloc", times=len(self._below.pieces(sector, sectors)))
