"""dm-crypt with an AEAD above dm-integrity: each bio passes three devices, its tags along with it."""

from __future__ import annotations

from sim.block.dm.integrity import IntegrityDevice
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.integrity.interleaved import Interleaved
from sim.peers.dm_crypt_aead import AeadDevice
from sim.peers.tally import Tally


def device() -> tuple[AeadDevice, Tally]:
    """Return sectors of 4 KiB on a disk of nothing but calls."""
    tally = Tally()
    return AeadDevice(
        IntegrityDevice(Interleaved(4096, 28, mode="D"), tally, own_hash=False), tally, 8
    ), tally


def test_a_cold_read_of_4k() -> None:
    """The clone on dm-integrity, data and tags on the disk; decrypted through both layers of the API."""
    target, tally = device()
    target.read(2048, 8, REQ_OP_READ | REQ_SYNC)
    assert [("dm0", 2048, 8), ("null", 4160, 8), ("null", 1856, 128)] == [
        (bio.device, bio.sector, bio.sectors) for bio in tally.bios
    ]
    assert (2, 1, 2, 6) == tuple(
        tally.calls[name]
        for name in ("crypto_aead_decrypt", "dm_integrity_rw_tag", "bio_integrity_alloc", "bio_endio")
    )


def test_a_write_is_encrypted_into_pages_of_its_own() -> None:
    """256 pages, 256 sectors of 4 KiB; each piece below has a list of tags of its own."""
    target, tally = device()
    target.write(8192, 2048, REQ_OP_WRITE | REQ_SYNC)
    assert (512, 3) == (tally.calls["crypto_aead_encrypt"], tally.calls["bio_integrity_alloc"])
    assert 256 + 16 == tally.calls["bio_add_page"]


def test_a_flush_goes_down_as_it_is() -> None:
    """Two devices see it before the disk does."""
    target, tally = device()
    target.flush()
    assert ["dm0", "null"] == [bio.device for bio in tally.bios]
    assert 2 == tally.calls["dm_submit_bio"]
