"""Cells with checksums of file data: counts as the pure reader has them, and bytes that were changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shared_images import shared_image
from tools import mke2fs

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.integrity.findings import Checked
from sim.integrity.protect import check_data
from sim.integrity.reading import Reader
from sim.machine.run_cell import played_cell
from sim.units import KIB
from sim.volume.protected_image import protect_image, secrets_for, tags_of

TEXT = """\
title = "t"
path = "{path}"
data = "real"
[device]
profile = "nvme"
[cache]
status = "all_cold"
[volume]
block_size = "{size}KiB"
files = [{{ name = "data", size = "512KiB", layout = {{ kind = "fragmented", extent = "24KiB" }} }}]
[encryption]
scheme = "{scheme}"
[workload]
job = {{ rw = "{rw}", bs = "4k" }}
[checksums]
{sums}
"""
LAYOUTS = [
    'layout = "table_all"',
    'layout = "table_data"\nalgorithm = "sha256"',
    'layout = "per_extent"',
    'layout = "per_extent"\nextent_blocks = 2\nalgorithm = "xxh64"',
    'layout = "per_extent_place"\nextent_blocks = 1',
    'layout = "table_data"\nalgorithm = "aes-cmac"',
    'layout = "per_extent"\nalgorithm = "hmac-sha256"',
]


def cell_of(folder: Path, sums: str, **said: object) -> tuple[Cell, Path]:
    """Return a cell with these checksums, and its image."""
    words = {"path": "page_io", "size": 4, "scheme": "none", "rw": "read"} | said
    (folder / "e.toml").write_text(TEXT.format(sums=sums, **words))
    (cell,) = load_experiment(folder / "e.toml").cells
    return cell, shared_image(cell)


def ran(folder: Path, sums: str, **said: object) -> CellResult:
    """Return the result of a cell."""
    cell, image = cell_of(folder, sums, **said)
    return played_cell(cell, image)[0]


@pytest.mark.parametrize("rw", ["read", "randread"])
@pytest.mark.parametrize("sums", LAYOUTS)
def test_counts_are_those_of_the_pure_reader(tmp_path: Path, sums: str, rw: str) -> None:
    """All of a file read cold: blocks of checksums, and what is hashed, as sim.integrity.reading counts."""
    cell, image = cell_of(tmp_path, sums, rw=rw)
    metrics = played_cell(cell, image)[0].metrics
    volume = Image.open(image)
    plan, _ = tags_of(volume, cell.config.checksums, cell.config.encryption, 0)
    cost = Reader(volume, plan, "/data").read(0, 512 * KIB // volume.block_size)
    assert len(cost.tag_blocks) * volume.block_size == metrics["checksum_bytes_read"]
    assert cost.hashed_bytes == metrics["checksum_bytes_hashed"]
    assert 1 == metrics["digest_ok"]


def test_what_a_run_makes_a_reader_read_is_counted(tmp_path: Path) -> None:
    """4 KiB of extents of 24 KiB, at random: each first read of an extent brings 5 pages more."""
    metrics = ran(tmp_path, 'layout = "per_extent"', rw="randread").metrics
    assert (21 * 5 + 1) * 4096 == metrics["checksum_more_bytes"]
    assert 22 + 1 == metrics["checksums_verified"]
    assert 0 == ran(tmp_path, 'layout = "table_data"', rw="randread").metrics["checksum_more_bytes"]


def flipped(folder: Path, image: Path, at: int) -> Path:
    """Return a copy of an image in which a bit of one byte is another."""
    copy = shutil.copytree(image.parent, folder / "flipped") / image.name
    with open(copy, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 4]))
    return copy


def checked_image(cell: Cell, path: Path) -> Checked | None:
    """Return what the check of an image's data finds, with the keys of the experiment."""
    image, config = Image.open(path), cell.config
    return check_data(image, secrets_for(image, config.checksums, config.encryption, 0))


def told(cell: Cell, image: Path) -> tuple[object, ...]:
    """Return what a run says of reads: right, EIO, wrong, jobs ended, and whether contents were compared."""
    metrics = played_cell(cell, image)[0].metrics
    names = ("reads_right", "reads_eio", "reads_wrong", "jobs_ended", "digest_ok")
    return tuple(metrics[name] for name in names)


@pytest.mark.parametrize("rw", ["read", "randread"])
@pytest.mark.parametrize("context", ["work", "completion"])
@pytest.mark.parametrize("sums", LAYOUTS)
def test_a_flipped_bit_is_eio_where_the_check_finds_it(
    tmp_path: Path, sums: str, context: str, rw: str
) -> None:
    """One bit of one block changed: EIO for the blocks that `check_data` tells of; the first ends a job."""
    cell, image = cell_of(tmp_path, f'{sums}\ncontext = "{context}"', rw=rw)
    extent = Image.open(image).lookup("/data").tree.extents[3]
    wrong = flipped(tmp_path, image, (extent.physical + 3) * 4096 + 100)
    checked = checked_image(cell, wrong)
    assert checked is not None
    (bad,) = checked.bad
    goes_on, _ = cell_of(tmp_path, f'{sums}\ncontext = "{context}"', rw=f'{rw}", continue_on_error = "read')
    assert (128 - bad.blocks, bad.blocks, 0, 0, -1) == told(goes_on, wrong)
    assert extent.logical <= (bad.logical or 0) <= extent.logical + 3
    if rw == "read":
        assert (bad.logical, 1, 0, 1, -1) == told(cell, wrong)


def test_a_flipped_bit_in_the_table_is_found(tmp_path: Path) -> None:
    """A block of the table has a checksum of its own: EIO for all of the file, which has them there."""
    cell, image = cell_of(tmp_path, 'layout = "table_data"', rw='read", continue_on_error = "read')
    table = Image.open(image).lookup("/.checksums").tree.extents[0].physical
    assert (0, 128, 0, 0, -1) == told(cell, flipped(tmp_path, image, table * 4096 + 4000))


def test_a_flipped_bit_in_a_list_is_found(tmp_path: Path) -> None:
    """So has a list: EIO for all of its file."""
    cell, image = cell_of(tmp_path, LAYOUTS[2], rw='read", continue_on_error = "read')
    block = Image.open(image).lookup("/data").raw.xattr_block
    assert (0, 128, 0, 0, -1) == told(cell, flipped(tmp_path, image, block * 4096 + 4000))


@pytest.mark.parametrize("feature", ["metadata_csum", "^metadata_csum"])
def test_a_flipped_bit_beside_a_list_is_for_ext4_to_find(tmp_path: Path, feature: str) -> None:
    """In the same xattr block, where nothing lies: its checksum of metadata tells, where there is one."""
    cell, _ = cell_of(tmp_path, LAYOUTS[4], rw='read", filename = "data", continue_on_error = "read')
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "data").write_bytes(bytes(range(256)) * 1024)
    (tmp_path / "made").mkdir()
    image = tmp_path / "made" / "volume.img"
    mke2fs(image, tmp_path / "files", "-b", "4096", "-O", f"ea_inode,{feature}", size="8M")
    protect_image(image, cell.config.checksums, cell.config.encryption, 0)
    wrong = flipped(tmp_path, image, Image.open(image).lookup("/data").raw.xattr_block * 4096 + 1000)
    lines = (tmp_path / "e.toml").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith(("block_size", "files")))
    (tmp_path / "e.toml").write_text(text.replace("[volume]", f'[volume]\nimage = "{wrong}"'))
    (given,) = load_experiment(tmp_path / "e.toml").cells
    found = played_cell(given, wrong)[0].metrics
    right = feature == "^metadata_csum"
    assert (1 if right else -1, 0 if right else 64) == (found["digest_ok"], found.get("reads_eio", 0))


@pytest.mark.parametrize("sums", [LAYOUTS[1], LAYOUTS[2]])
def test_ciphertext_is_verified_before_it_is_decrypted(tmp_path: Path, sums: str) -> None:
    """fscrypt: checksums are of what lies on the device; the reader gets the plaintext."""
    result = ran(tmp_path, sums, scheme="fscrypt-v2")
    assert 1 == result.metrics["digest_ok"]
    calls = {row.symbol: 0 for row in result.calls}
    for row in result.calls:
        calls[row.symbol] += row.calls
    assert calls["ext4_data_csum_work"] >= 1
    assert 128 == calls["fscrypt_crypt_block"]


@pytest.mark.parametrize("scheme", ["none", "fscrypt-v2", "file-keys"])
def test_what_was_decrypted_before_is_verified_as_it_was_stored(tmp_path: Path, scheme: str) -> None:
    """Every second page is in memory as plaintext; its run is of the ciphertext, and holds."""
    cell_of(tmp_path, LAYOUTS[2], scheme=scheme)
    text = (tmp_path / "e.toml").read_text().replace("[cache]", "[cache]\npages = { every = 2 }")
    (tmp_path / "e.toml").write_text(text)
    (cell,) = load_experiment(tmp_path / "e.toml", ["workload.job.invalidate=0"]).cells
    metrics = played_cell(cell, shared_image(cell))[0].metrics
    assert 1 == metrics["digest_ok"]
    assert "reads_eio" not in metrics
    assert 64 == metrics["pages_read"]


def test_memory_that_has_the_checksums_reads_none(tmp_path: Path) -> None:
    """A warm extent status cache has them too; es_cold has their blocks, and verifies a list anew."""
    base = ran(tmp_path, 'layout = "per_extent"').metrics
    (text,) = [(tmp_path / "e.toml").read_text()]
    found = {}
    for status in ("warm", "es_cold"):
        (tmp_path / "e.toml").write_text(text.replace("all_cold", status))
        (cell,) = load_experiment(tmp_path / "e.toml").cells
        found[status] = played_cell(cell, shared_image(cell))[0].metrics
    assert [0, 0] == [found[status]["checksum_bytes_read"] for status in found]
    assert base["checksum_bytes_hashed"] == found["es_cold"]["checksum_bytes_hashed"]
    assert int(found["warm"]["checksums_verified"]) + 1 == found["es_cold"]["checksums_verified"]


def test_an_image_with_other_checksums_is_refused(tmp_path: Path) -> None:
    """A given image says what its checksums are; an experiment that says otherwise is told."""
    cell, _ = cell_of(tmp_path, 'layout = "table_data"')
    _, image = cell_of(tmp_path, 'layout = "per_extent"')
    with pytest.raises(ConfigError, match="table_data, checksum, crc32c, 0, but"):
        played_cell(cell, image)


@pytest.mark.parametrize(
    ("sums", "change", "problem"),
    [
        ('layout = "table"', {}, "table"),
        ('layout = "table_data"\nextent_blocks = 2', {}, "extent_blocks with layout 'table_data'"),
        ('layout = "per_extent"\nahead = 2', {}, "ahead with layout"),
        ('layout = "per_extent"\nalgorithm = "md5"', {}, "'md5' is not known"),
        ('layout = "per_extent_place"\nalgorithm = "aes-256-gcm"', {}, "aes-256-gcm"),
        ('layout = "table_data"', {"scheme": "dm-crypt"}, "encryption.scheme 'dm-crypt'"),
        ('layout = "table_data"', {"scheme": "inline"}, "encryption.scheme 'inline'"),
        ('layout = "table_data"\ncontext = "completion"\nwork_queue = "bound"', {}, "work_queue with"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, sums: str, change: dict[str, object], problem: str) -> None:
    """One line for each: what does not go together, and what would."""
    with pytest.raises(ConfigError, match=problem):
        cell_of(tmp_path, sums, **change)
