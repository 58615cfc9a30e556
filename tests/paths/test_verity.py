"""Reads of files with fs-verity: the tree before the data, under one plug, and a work item a bio."""

from __future__ import annotations

import pytest
from core_kit import FixedLatency, Rig, sequential

from sim.cache.ra_log import RaLog
from sim.errors import ConfigError
from sim.fs.merkle import MerkleTree
from sim.units import KIB, MIB


def verified(size: int = MIB, log: RaLog | None = None, **options: object) -> Rig:
    """Return a machine of 7.3 over a contiguous file whose tree follows it."""
    pages = MerkleTree(size, 4 * KIB).end_page
    rig = Rig("page_io", [(0, 1000, pages)], size, kernel="7.3", ra_log=log, **options)  # type: ignore[arg-type]
    rig.machine.enable_verity(rig.inode)
    return rig


def test_the_tree_is_read_before_the_data() -> None:
    """1 MiB: leaves in pages 257 and 258, the root in 256; window [0, 32) needs 257 and the root first."""
    log = RaLog()
    rig = verified(log=log)
    calls = rig.run([(0, 128 * KIB)])
    assert [[0, 32, 16, 0], [257, 1, 0], [256, 1, 0], [32, 32, 32, 2]] == log.windows
    places = [(sector // 8 - 1000, sectors) for _, sector, sectors in rig.letters("Q")]
    assert [(257, 8), (256, 8), (0, 256), (32, 256)] == places
    assert [("F", 8000 + 256 * 8, 8)] == rig.letters("F")  # the root joins the leaf's request from before
    assert (2, 4) == (calls["fsverity_readahead"], calls["generic_readahead_merkle_tree"])


def test_every_block_is_verified_once() -> None:
    """256 blocks of data: each looks at its leaf, and the first below each of the two at the root as well."""
    calls = verified().run(sequential(MIB, 128 * KIB))
    assert (256, 258) == (calls["verify_data_block"], calls["generic_read_merkle_tree_page"])
    assert (8, 8) == (calls["fsverity_verify_bio"], calls["fsverity_enqueue_verify_work"])
    assert 8 + 256 == calls["fsverity_verify_pending_blocks"]
    assert 8 + 3 == calls["ext4_mpage_end_io"] == calls["__read_end_io"]


def test_a_bio_waits_for_its_pages_of_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that brings small requests late: the data is there, and read(2) returns when the tree is."""
    plain = FixedLatency.submit

    def late(self: FixedLatency, sector: int, sectors: int, token: object, done: object) -> None:
        self.latency_ns = 900_000 if sectors <= 16 else 50_000
        plain(self, sector, sectors, token, done)  # type: ignore[arg-type]

    monkeypatch.setattr(FixedLatency, "submit", late)
    rig = verified()
    returned = rig.start([(0, 4 * KIB)])
    calls = rig.finish()
    assert returned[0] > 900_000
    assert 1 == calls["fsverity_verify_bio"]
    assert not rig.inode.verity.waiting  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("path", "kernel", "block_size"),
    [
        ("mpage", "7.3", 4 * KIB),
        ("buffer_head", "7.3", 4 * KIB),
        ("page_io", "6.12", 4 * KIB),
        ("page_io", "3.16", 4 * KIB),
        ("iomap", "6.1", 4 * KIB),
        ("page_io", "6.1", 1 * KIB),
    ],
)
def test_what_is_not_modelled_is_told(path: str, kernel: str, block_size: int) -> None:
    """fs-verity is modelled on ext4's own path of 6.1 and 7.3, and on buffer heads of 6.1."""
    rig = Rig(path, [(0, 1000, 256)], 128 * KIB, block_size, kernel=kernel)
    told = r"fs-verity: (not modelled on \w+ of|blocks of 1KiB on) kernel .*; allowed: (page_io|4KiB)"
    with pytest.raises(ConfigError, match=told):
        rig.machine.enable_verity(rig.inode)
