"""
What jobs write through each scheme decrypts, without the code that wrote it, from the bytes of the device:
after the log was replayed by e2fsck, which finds nothing then. And none of it lies there in the clear.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from crash_cells import Played, cell_text, played
from tools import e2fsck, tool
from written_oracles import contents, decrypted_device, ecryptfs_contents, whole

from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.notes import notes_of
from sim.ext4.read.reader import Image
from sim.machine.crash.e2fsck import E2fsck
from sim.machine.crash.states import SOME, CutLog
from sim.volume.scheme_image import secret
from sim.workload.stamps import MAGIC

SCHEMES = ("none", "fscrypt-v2", "inline", "file-keys", "rfc2014", "dm-crypt", "ecryptfs")
LOGS = {"1KiB": "1MiB", "4KiB": "4MiB"}
DATA = ("ordered", "writeback", "journal")
EVERY = [each for each in product(SCHEMES, LOGS, DATA) if each[:2] != ("rfc2014", "1KiB")]
JOBS = """
job = [
    { name = "a", filename = "f", rw = "randrw", bsrange = "512-12k", blockalign = "512", size = "59k", io_size = "192k", fsync = "4", randrepeat = 0 },
    { name = "b", filename = "g", rw = "write", bs = "16k", size = "32k", end_fsync = "1" },
]
"""  # noqa: E501
FRAGMENTED = '{ kind = "fragmented", extent = "4KiB" }'


def text_of(scheme: str, size: str, data: str, more: str = "", crash: str = "", jobs: str = JOBS) -> str:
    """Return the experiment of a case."""
    volume = (
        f'block_size = "{size}"\njournal = "{LOGS[size]}"\n'
        f'files = [{{ name = "f", size = "61000", layout = {FRAGMENTED} }}, {{ name = "g", size = "32KiB" }}]'
    )
    said = f'[encryption]\nscheme = "{scheme}"\n{more}'
    return cell_text(volume, jobs, f'data = "{data}"', crash=crash, more=said)


def device_key(run: Played) -> bytes:
    """Return the key of a device under dm-crypt."""
    return secret(run.cell.config.volume.seed, "dm-crypt")


def replayed(run: Played, folder: Path, sector_bytes: int = 512) -> Image:
    """Return the file system on the device, decrypted, its log replayed; e2fsck finds nothing in it."""
    disk = bytes(run.mounted.raw.read(0, run.mounted.raw.size_bytes))
    if run.cell.config.encryption.scheme == "dm-crypt":
        disk = decrypted_device(disk, device_key(run), sector_bytes)
    with E2fsck(tool("e2fsck")) as fsck:
        image = whole(folder, fsck.replayed(disk))
    e2fsck(folder / "whole")
    return image


def check(run: Played, folder: Path, sector_bytes: int = 512) -> None:
    """Fail unless all files have what was written."""
    assert run.result.metrics["digest_ok"] == 1
    image = replayed(run, folder, sector_bytes)
    for path, (file, _) in run.mounted.files.items():
        expected = bytes(run.mounted.expected(file))
        if run.cell.config.encryption.scheme == "ecryptfs":
            lower = bytes(image.read_file(image.lookup(path)))
            found = ecryptfs_contents(run, lower, lambda page: page % 8 in (0, 6))
            wanted = {page: expected[page * 4096 : (page + 1) * 4096] for page in found}
            assert wanted == found
            assert int.from_bytes(lower[:8], "big") == len(expected)
        else:
            assert expected == contents(run, image, path)


@pytest.mark.parametrize(("scheme", "size", "data"), EVERY, ids=[" ".join(each) for each in EVERY])
def test_what_was_written_decrypts(tmp_path: Path, scheme: str, size: str, data: str) -> None:
    """Every scheme with every block size and way of journalling; jobs write it in pieces of a block, too."""
    run = played(text_of(scheme, size, data), tmp_path)
    assert run.result.metrics["writes"] > 10
    check(run, tmp_path)
    raw = bytes(run.mounted.raw.read(0, run.mounted.raw.size_bytes))
    assert (MAGIC.to_bytes(8, "little") in raw) == (scheme == "none")
    assert (raw[0x438:0x43A] == b"\x53\xef") == (scheme != "dm-crypt")  # a superblock's own mark
    assert (b"\xc0\x3b\x39\x98" in raw) == (scheme != "dm-crypt")  # the mark of each block of a log


@pytest.mark.parametrize("path", ["buffer_head", "mpage", "iomap"])
def test_dm_crypt_below_each_design(tmp_path: Path, path: str) -> None:
    """What is below the file system does not ask who wrote; a sector of 4096 bytes has one IV."""
    text = text_of("dm-crypt", "4KiB", "ordered", "sector_size = 4096")
    text = text.replace("[mount]", "[mount]\ndelalloc = false").replace("title", f'path = "{path}"\ntitle', 1)
    check(played(text, tmp_path), tmp_path, sector_bytes=4096)


@pytest.mark.parametrize("path", ["buffer_head", "mpage"])
def test_ecryptfs_above_each_design(tmp_path: Path, path: str) -> None:
    """The lower file is written back as any other."""
    text = text_of("ecryptfs", "4KiB", "writeback").replace("[mount]", "[mount]\ndelalloc = false")
    check(played(text.replace("title", f'path = "{path}"\ntitle', 1), tmp_path), tmp_path)


CRASH = "[crash]\npoints = 4\nstates = 3"


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_power_cuts_through_dm_crypt(tmp_path: Path, sector_size: int) -> None:
    """What the device has is ciphertext, torn by sectors; decrypted it is sound and has what was promised."""
    more = f"sector_size = {sector_size}"
    run = played(text_of("dm-crypt", "4KiB", "ordered", more, CRASH), tmp_path, judged=True)
    metrics = run.result.metrics
    assert metrics["crash_states"] >= 6
    broken = ("unsound", "losing", "stale")
    assert [0, 0, 0] == [metrics[f"crash_{name}"] for name in broken]
    assert {metrics["crash_e2fsck_finds"], metrics["crash_replays_differ"]} <= {0, -1}
    written = b"".join([bio.data for bio in run.mounted.log])
    assert len(written) > 200_000
    assert MAGIC.to_bytes(8, "little") not in written
    assert b"\xc0\x3b\x39\x98" not in written


@pytest.mark.parametrize("sector_size", [512, 4096])
def test_a_cut_disk_is_decrypted_whole(tmp_path: Path, sector_size: int) -> None:
    """Whatever sectors of 512 bytes are there: as if all of the disk had been decrypted after the cut."""
    more = f"sector_size = {sector_size}"
    run = played(text_of("dm-crypt", "4KiB", "ordered", more, CRASH), tmp_path)
    log, rng = run.mounted.log, np.random.default_rng(4)
    cuts = [list(CutLog(log, bio.submitted_ns, volatile=True).written(SOME, rng)) for bio in log]
    left = next(cut for cut in cuts if any(len(data) == 512 for _, data in cut))  # torn
    disk = bytearray(run.mounted.base)
    for offset, data in left:
        disk[offset : offset + len(data)] = data
    assert decrypted_device(bytes(disk), device_key(run), sector_size) == run.mounted.after(left)


def test_power_cuts_through_dm_crypt_find_what_is_broken(tmp_path: Path) -> None:
    """Without barriers promises are in vain there, too."""
    text = text_of("dm-crypt", "4KiB", "ordered", crash=CRASH).replace("[mount]", "[mount]\nbarrier = false")
    assert played(text, tmp_path, judged=True).result.metrics["crash_losing"] > 0


def test_power_cuts_of_ecryptfs_are_refused(tmp_path: Path) -> None:
    """One line, with the reason."""
    with pytest.raises(ConfigError, match="a torn sector spoils the next in CBC; allowed: another scheme"):
        played(text_of("ecryptfs", "4KiB", "ordered", crash=CRASH), tmp_path)


@pytest.mark.parametrize("scheme", ["ecryptfs", "dm-crypt", "inline", "none"])
@pytest.mark.parametrize("device", ["sata-ssd", "ramdisk"])
def test_little_memory(tmp_path: Path, scheme: str, device: str) -> None:
    """Three jobs, a hundred and fifty pages: what reclaim takes, and what two want at once, stays right."""
    jobs = (
        'job = [{ name = "a", numjobs = 3, filename = "f", rw = "randrw", bsrange = "512-16k",'
        ' blockalign = "512", size = "512k", io_size = "512k", fsync = "8", randrepeat = 0 }]'
    )
    text = text_of(scheme, "4KiB", "ordered", '[machine]\nmemory = "600KiB"', jobs=jobs)
    text = text.replace("61000", "512KiB").replace("sata-ssd", device)
    text = text.replace("[device]", "[device]\nread_ahead_kb = 16")
    check(played(text, tmp_path), tmp_path)


def test_a_run_says_that_encrypted_files_are_not_journalled(tmp_path: Path) -> None:
    """data=journal is one of the mount's; ext4 takes ordered for each encrypted file, and a run tells it."""
    (tmp_path / "x.toml").write_text(text_of("fscrypt-v2", "4KiB", "journal"))
    said = notes_of(load_experiment(tmp_path / "x.toml"))
    expected = "fscrypt-v2 with mount.data journal: ext4 does not journal encrypted files, they are as with"
    assert [f"{expected} ordered and nodelalloc"] == said
    for scheme, data in (("fscrypt-v2", "ordered"), ("dm-crypt", "journal"), ("ecryptfs", "journal")):
        (tmp_path / "x.toml").write_text(text_of(scheme, "4KiB", data))
        assert [] == notes_of(load_experiment(tmp_path / "x.toml"))


@pytest.mark.parametrize(
    ("scheme", "journalled"), [("inline", 0), ("fscrypt-v2", 0), ("ecryptfs", 1), ("none", 1)]
)
def test_who_is_journalled(tmp_path: Path, scheme: str, journalled: int) -> None:
    """Files that ext4 knows to be encrypted are not, whoever encrypts them; lower files of eCryptfs are."""
    run = played(text_of(scheme, "4KiB", "journal"), tmp_path)
    calls = {row.symbol for row in run.result.calls}
    assert journalled == ("ext4_journalled_write_end" in calls)
    assert "ext4_da_write_begin" not in calls
