"""`ext4_iomap`: iomap as 7.3 has it on XFS with ext4's calls; what ext4 leaves to its old loop is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from core_kit import Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st
from small_files import DISK, small_files

from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.notes import notes_of
from sim.experiment.results import manifest
from sim.ext4.format.extents import Extent
from sim.ext4.format.indirect import IndirectMap
from sim.ext4.store import MemoryStore
from sim.fs.fs_inode import FsInode
from sim.machine.initial_cache import pages_with_buffers
from sim.report.panels import spaced
from sim.report.style import path_word
from sim.units import KIB

OF_EXT4 = {
    "ext4_iomap_readahead",
    "ext4_iomap_read_folio",
    "ext4_iomap_buffered_read_begin",
    "ext4_set_iomap",
    "ext4_iomap_begin",
}
TEXT = """
title = "t"
path = "ext4_iomap"
data = "off"
machine = { kernel = "7.3" }
device = { profile = "nvme" }
volume = { block_size = "4KiB", files = [{ name = "data", size = "64KiB" }] }
workload = { job = { rw = "read", bs = "64k" } }
"""


def test_a_mapping_is_begun_asked_for_and_described_once() -> None:
    """Data, a hole, data of 1 KiB blocks in one window: three mappings, and an iomap_iter more."""
    calls = Rig("ext4_iomap", [(0, 1000, 5), (9, 2000, 7)], 16 * KIB, KIB, kernel="7.3").run([(0, 16 * KIB)])
    assert [1, 1, 4, 3, 3, 3, 2] == [
        calls[symbol]
        for symbol in (
            "ext4_iomap_readahead",
            "iomap_readahead",
            "iomap_iter",
            "ext4_iomap_buffered_read_begin",
            "ext4_map_blocks",
            "ext4_set_iomap",
            "submit_bio",
        )
    ]
    assert not {"ext4_get_block", "alloc_buffer_head", "block_read_full_folio"} & calls.keys()


def test_a_folio_in_pieces_takes_no_buffer_heads() -> None:
    """Extents of 16 KiB, folios of up to 128 KiB: a map and a bio an extent, no buffer heads."""
    extents = [(4 * i, 1000 + 8 * i, 4) for i in range(64)]
    rig = Rig("ext4_iomap", extents, 1 << 20, kernel="7.3")
    calls = rig.run(sequential(1 << 20, 128 * KIB))
    assert rig.mapping.large
    assert [64, 64, 0] == [
        calls.get(symbol, 0) for symbol in ("ext4_map_blocks", "submit_bio", "alloc_buffer_head")
    ]


def test_a_page_alone() -> None:
    """->read_folio: one of ext4's, one of iomap's, two iomap_iter, one mapping."""
    rig = Rig("ext4_iomap", [(0, 1000, 4)], 4 * KIB, KIB, kernel="7.3", large_folios=False)
    pages_with_buffers(rig.machine, rig.mapping, rig.inode, [(0, 1)])
    calls = rig.run([(0, 4 * KIB)])
    symbols = ("ext4_iomap_read_folio", "iomap_read_folio", "iomap_iter", "ext4_set_iomap")
    assert [1, 1, 2, 1] == [calls[symbol] for symbol in symbols]


@settings(max_examples=60, deadline=None)
@given(file=small_files(), step=st.sampled_from([4 * KIB, 20 * KIB, 128 * KIB]), large=st.booleans())
def test_all_but_ext4s_own_calls_is_iomap(
    file: tuple[list[Extent], int, int], step: int, large: bool
) -> None:
    """Any file: the bios, where they lie, and every other call are those of iomap on the same kernel."""
    seen = []
    for path in ("iomap", "ext4_iomap"):
        extents, size, block_size = file
        options: dict[str, Any] = {"kernel": "7.3", "large_folios": large, "store": MemoryStore(DISK)}
        rig = Rig(path, extents, size, block_size, **options)
        calls = rig.run(sequential(size, step))
        others = {name: number for name, number in calls.items() if name not in OF_EXT4}
        begun = calls.get("ext4_iomap_begin", 0) + calls.get("ext4_iomap_buffered_read_begin", 0)
        seen.append((others, begun, rig.letters("QD"), bytes(rig.mapping.state)))
    assert seen[0] == seen[1]


def test_what_ext4_leaves_to_its_old_loop_is_refused() -> None:
    """An encrypted file, one with fs-verity, one without extents, and an older kernel: a line each."""
    extents = [(0, 1000, 4)]
    with pytest.raises(ConfigError, match=r"^path: ext4_iomap with an encrypted file; allowed: plain files$"):
        Rig("ext4_iomap", extents, 16 * KIB, kernel="7.3", encrypted=True)
    with pytest.raises(ConfigError, match=r"^path: ext4_iomap with kernel 6.12; allowed: kernel 7.3$"):
        Rig("ext4_iomap", extents, 16 * KIB, kernel="6.12")
    rig = Rig("ext4_iomap", extents, 16 * KIB, kernel="7.3")
    with pytest.raises(ConfigError, match=r"^fs-verity: not modelled on ext4_iomap of kernel 7.3; allowed: "):
        rig.machine.enable_verity(rig.inode)
    mapped = FsInode(rig.inode.map.tree, 16 * KIB, 4096, indirect=IndirectMap(1024, {}, []))
    with pytest.raises(ConfigError, match=r"^path: ext4_iomap with a file without extents; allowed: "):
        rig.machine.mapping(mapped)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("machine.kernel=6.1", "path 'ext4_iomap' with kernel 6.1; allowed: kernel 7.3"),
        (
            "encryption.scheme=fscrypt-v2",
            "path 'ext4_iomap' with encryption.scheme 'fscrypt-v2'; allowed: none, dm-crypt, ecryptfs",
        ),
        ("mount.data=journal", "path 'ext4_iomap' with mount.data 'journal'; allowed: ordered, writeback"),
        ("mapping=indirect", "path 'ext4_iomap' with mapping 'indirect'; allowed: extents"),
    ],
)
def test_an_experiment_that_asks_for_it_is_refused(tmp_path: Path, said: str, message: str) -> None:
    """What can be told from the file is told before any image is made."""
    file = tmp_path / "e.toml"
    file.write_text(TEXT)
    with pytest.raises(ConfigError) as told:
        load_experiment(file, [said])
    assert str(told.value).endswith(message)


def test_it_is_called_a_prediction(tmp_path: Path) -> None:
    """In the manifest and the notes of a run, and in figures; the recorded paths are not."""
    file = tmp_path / "e.toml"
    file.write_text(TEXT)
    experiment = load_experiment(file)
    assert ["ext4_iomap"] == list(manifest(experiment, {})["predicted"])
    (note,) = notes_of(experiment)
    assert note.startswith("path ext4_iomap is a prediction: no kernel with ")
    recorded = load_experiment(file, ["path=iomap"])
    assert [] == notes_of(recorded)
    assert "predicted" not in manifest(recorded, {})
    assert "ext4_iomap (predicted)" == path_word("ext4_iomap") == spaced("ext4_iomap")
    assert "iomap" == path_word("iomap")
