"""Writing through eCryptfs: exact counts, cipher and device one after the other, what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

TEXT = """
title = "t"
data = "off"
[machine]
memory = "256MiB"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
stream_write = { bs = "4KiB" }
[matrix]
"device.profile" = ["ramdisk", "nvme", "hdd"]
encryption = [{ label = "plain", scheme = "none" }, { label = "eCryptfs", scheme = "ecryptfs" }]
"""


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """1 MiB written in 256 calls, plain and through eCryptfs, on three devices."""
    folder = tmp_path_factory.mktemp("stream")
    (folder / "s.toml").write_text(TEXT)
    make = partial(ensure_image, root=folder / "images")
    loaded = load_experiment(folder / "s.toml")
    return execute(loaded, folder / "run", run_cell, make, draw=lambda *_run, **_each: None)


def calls(run: Run, device: str, scheme: str) -> dict[str, int]:
    """Return the calls per symbol of one cell."""
    [cell] = {
        row["cell"] for row in run.metrics if (row["device.profile"], row["encryption"]) == (device, scheme)
    }
    found: dict[str, int] = {}
    for row in run.calls:
        if row["cell"] == cell:
            found[row["symbol"]] = found.get(row["symbol"], 0) + row["calls"]
    return found


def test_every_page_is_encrypted_once_and_written_twice_below(stream: Run) -> None:
    """A page: one cipher call; below, a write of it and one of the size into the header; 257 dirty pages."""
    said = calls(stream, "nvme", "eCryptfs")
    expected = {
        "ecryptfs_write_end": 256,
        "ecryptfs_encrypt_page": 256,
        "cbc_encrypt_128": 256,
        "crypto_skcipher_encrypt": 512,
        "ecryptfs_write_lower": 512,
        "ext4_file_write_iter": 512,
        "vfs_write": 256,
        "filemap_add_folio": 256 + 257,
        "__folio_mark_dirty": 257 + 1,  # and that of the inode, which has no journal
        "ext4_bio_write_page": 257,
        "ext4_io_submit": 1,  # at its end: what it submits on the way is inlined
    }
    assert expected == {symbol: said.get(symbol, 0) for symbol in expected}


def test_a_plain_file_is_written_as_it_lies(stream: Run) -> None:
    """256 calls, 256 pages, one bio of 1 MiB, one flush where there is something to flush."""
    said = calls(stream, "hdd", "plain")
    assert (256, 256, 1) == tuple(
        said[symbol] for symbol in ("ext4_file_write_iter", "ext4_bio_write_page", "ext4_io_submit")
    )
    flushes = {(row["device.profile"], row["encryption"]): row["flushes"] for row in stream.metrics}
    assert [0, 0, 1, 1, 1, 1] == list(flushes.values())


def test_cipher_and_device_add_up(stream: Run) -> None:
    """Nothing goes to the device before the sync: what eCryptfs adds is its CPU time, on every device."""
    for device in ("ramdisk", "nvme", "hdd"):
        rows = {row["encryption"]: row for row in stream.metrics if row["device.profile"] == device}
        more = rows["eCryptfs"]["elapsed_ns"] - rows["plain"]["elapsed_ns"]
        cpu = rows["eCryptfs"]["cpu_ns"] - rows["plain"]["cpu_ns"]
        # The header's page, and where the head then is: up to two revolutions and seeks of the disk.
        slack = {"ramdisk": 1_000, "nvme": 60_000, "hdd": 30_000_000}[device]
        assert abs(more - cpu) < slack


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('bs = "4KiB"', 'bs = "1000"', "bs 1000 bytes; allowed: whole pages of 4KiB"),
        ('data = "off"', 'data = "real"', 'with data "real"; allowed: data = "off"'),
        ('size = "1MiB"', 'size = "64MiB"', "a file of 64MiB; allowed: whole pages, up to a tenth"),
        ('scheme = "ecryptfs" }', 'scheme = "fscrypt-v2" }', "'fscrypt-v2'; allowed: none or ecryptfs"),
        ('scheme = "ecryptfs" }', 'scheme = "ecryptfs", cipher = "aes-256" }', "'aes-256'; allowed: aes-128"),
        ("[workload]", '[workload]\njob = { rw = "read", bs = "4k" }', "no workload, or two"),
    ],
)
def test_what_a_stream_cannot_be_run_on(tmp_path: Path, old: str, new: str, message: str) -> None:
    """One line with place, value and what is allowed."""
    assert old in TEXT
    path = tmp_path / "s.toml"
    path.write_text(TEXT.replace(old, new.replace("\\\n", "\n")))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_device_that_cannot_be_written_to(tmp_path: Path) -> None:
    """A profile of one's own without [write] reads, and is refused here."""
    from importlib import resources

    text = (resources.files("sim") / "profiles" / "devices" / "nvme.toml").read_text(encoding="utf-8")
    (tmp_path / "old.toml").write_text(text[: text.index("[write]")])
    (tmp_path / "s.toml").write_text(TEXT.replace('["ramdisk", "nvme", "hdd"]', '["old.toml"]'))
    [cell, *_] = load_experiment(tmp_path / "s.toml").cells
    with pytest.raises(ConfigError, match=r"cannot be written to; allowed: a profile with \[write\]"):
        run_cell(cell, ensure_image(cell, tmp_path / "images"), False)


def test_a_trace_of_a_stream_of_writes_is_refused(tmp_path: Path) -> None:
    """There are no rows for it yet; it is told, not left out."""
    (tmp_path / "s.toml").write_text(TEXT)
    [cell, *_] = load_experiment(tmp_path / "s.toml").cells
    with pytest.raises(ConfigError, match="--trace: with a workload stream_write; allowed: fio jobs"):
        run_cell(cell, ensure_image(cell, tmp_path / "images"), True)
