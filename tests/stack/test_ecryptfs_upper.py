"""Jobs that write through eCryptfs: what a page costs, where it is read first, who waits, what is refused."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from crash_cells import cell_of, cell_text, played
from write_kit import WriteRig

from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.machine.run_cell import played_cell, run_cell
from sim.stack.ecryptfs import EcryptfsInode
from sim.stack.ecryptfs_upper import EcryptfsUpper, UpperFile

VOLUME = 'block_size = "4KiB"\njournal = "4MiB"\nfiles = [{ name = "f", size = "1MiB" }]'
PAGES = 256
PAGE = 4096


def text_of(job: str, more: str = "", mount: str = "", volume: str = VOLUME, data: str = "off") -> str:
    """Return an experiment of one job on eCryptfs."""
    said = f'job = {{ name = "a", filename = "f", {job} }}'
    text = cell_text(volume, said, mount, crash="", more=f'[encryption]\nscheme = "ecryptfs"\n{more}')
    return text.replace('data = "real"', f'data = "{data}"', 1)


def run_of(folder: Path, job: str, **said: Any) -> CellResult:
    """Run it."""
    return run_cell(*cell_of(text_of(job, **said), folder), False)


def calls_of(result: CellResult) -> dict[str, int]:
    """Return calls per symbol."""
    found: dict[str, int] = {}
    for row in result.calls:
        found[row.symbol] = found.get(row.symbol, 0) + row.calls
    return found


def test_every_page_is_encrypted_once_and_written_twice_below(tmp_path: Path) -> None:
    """A page: one cipher call; below, a write of it and one of the size into the header; 257 dirty pages."""
    said = calls_of(run_of(tmp_path, 'rw = "write", bs = "4k", end_fsync = "1"'))
    expected = {
        "generic_file_write_iter": PAGES,
        "ecryptfs_write_begin": PAGES,
        "ecryptfs_write_end": PAGES,
        "ecryptfs_encrypt_page": PAGES,
        "ecryptfs_derive_iv": PAGES,
        "cbc_encrypt_128": PAGES,
        "crypto_skcipher_encrypt": 2 * PAGES,
        "ecryptfs_write_lower": 2 * PAGES,
        "ecryptfs_write_inode_size_to_metadata": PAGES,
        "ext4_file_write_iter": 2 * PAGES,
        "vfs_write": PAGES,  # the lower file's writes come by kernel_write()
        "copy_page_from_iter_atomic": 3 * PAGES,
        "ext4_bio_write_page": PAGES + 1,
        "ecryptfs_fsync": 1,
        "ext4_sync_file": 1,
    }
    assert expected == {symbol: said.get(symbol, 0) for symbol in expected}
    assert "cbc_decrypt_128" not in said


def test_a_write_of_many_pages_is_no_cheaper_below(tmp_path: Path) -> None:
    """One write(2) of 64 KiB: 16 pages, each encrypted and written down for itself."""
    said = calls_of(run_of(tmp_path, 'rw = "write", bs = "64k", size = "64k"'))
    counts = ("vfs_write", "ecryptfs_write_begin", "ecryptfs_encrypt_page", "ext4_file_write_iter")
    assert [1, 16, 16, 32] == [said[symbol] for symbol in counts]


def test_a_page_that_is_written_in_part_is_decrypted_first(tmp_path: Path) -> None:
    """Eight writes of a page: read and decrypted before the first, encrypted whole after each."""
    said = calls_of(run_of(tmp_path, 'rw = "write", bs = "512", size = "64k"'))
    counts = ("ecryptfs_write_begin", "cbc_encrypt_128", "cbc_decrypt_128", "filemap_read")
    assert [128, 128, 16, 16 + 1] == [said[symbol] for symbol in counts]  # the open reads the header


@pytest.mark.parametrize(
    ("job", "syncs"), [('fsync = "16"', 15), ('fdatasync = "16"', 15), ('sync = "sync"', 256)]
)
def test_syncs_go_through(tmp_path: Path, job: str, syncs: int) -> None:
    """ecryptfs_fsync() has nothing of its own to write: each syncs the lower file, whatever asks for it."""
    said = calls_of(run_of(tmp_path, f'rw = "write", bs = "4k", {job}'))
    assert [syncs, syncs] == [said[symbol] for symbol in ("ecryptfs_fsync", "ext4_sync_file")]


def test_what_is_encrypted_is_cached_twice(tmp_path: Path) -> None:
    """Upper pages, and lower ones with buffer heads; no upper page is dirty: reclaim may take all of them."""
    cell, image = cell_of(text_of('rw = "write", bs = "4k"'), tmp_path)
    result, machine = played_cell(cell, image)
    assert 2 * PAGES < result.metrics["pages_cached"] < 2 * PAGES + 8
    (lower,) = machine._lower_mappings
    assert lower.dirty_pages == PAGES + 1
    assert lower.buffered is not None
    assert lower.buffered.count(1) == PAGES + 1


def test_one_writes_at_a_time() -> None:
    """inode_lock(): the second write begins when the first is over, though that sleeps below in between."""
    rig, order = WriteRig(), list[tuple[str, int]]()
    machine, lower = rig.machine, rig.file(5 * PAGE, [(0, 100, 5, False)])

    def write_lower(
        task: Task, inode: LiveInode, offset: int, length: int, data: bytes
    ) -> Generator[Any, Any, None]:
        del inode, length, data
        order.append((task.name, offset // PAGE))
        yield from task.wait(machine.clock.timeout(1000))

    parts = machine.clock, machine.ledger, machine.cache, machine.filemap
    upper = EcryptfsUpper(*parts, write_lower, rig.writer.sync.fsync, rig.writer.sb.locks, "aes-128")
    opened = machine.open(lower.mapping, FsInode(lower.tree.snapshot(), 5 * PAGE, PAGE))
    file = UpperFile(EcryptfsInode(3 * PAGE, opened, None), Mapping(3, False), lower)
    for name in ("one", "other"):
        task = machine.cpu.task(0, name)
        rig.start(upper.write(task, file, 0, 2 * PAGE), task=task)
    machine.clock.run()
    pages = [2, 0, 3, 0]  # a page, and the header with the size
    assert [(name, page) for name in ("one", "other") for page in pages] == order
    assert file.rwsem.writer is None


def test_jobs_on_one_file(tmp_path: Path) -> None:
    """Three that write it at once, and sleep below: what is there is what each wrote last."""
    job = 'numjobs = 3, rw = "randwrite", bsrange = "512-64k", blockalign = "512", io_size = "512k"'
    run = played(text_of(f"{job}, randrepeat = 0", mount="delalloc = false", data="real"), tmp_path)
    assert run.result.metrics["digest_ok"] == 1


def test_data_off_changes_no_count_and_no_time(tmp_path: Path) -> None:
    """What is encrypted for real costs what the table says, no more."""
    job = 'rw = "randrw", bsrange = "512-16k", blockalign = "512", fsync = "8", io_size = "256k"'
    off, real = (run_of(tmp_path, job, data=data) for data in ("off", "real"))
    assert calls_of(off) == calls_of(real)
    assert off.metrics["elapsed_ns"] == real.metrics["elapsed_ns"]


@pytest.mark.parametrize(
    ("more", "volume", "message"),
    [
        ('cipher = "aes-256"', VOLUME, "cipher 'aes-256' with jobs that write; allowed: aes-128"),
        (
            "",
            VOLUME.replace("1MiB", '1MiB", layout = { kind = "hole" }, x = "'),
            "eCryptfs writes every page",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, more: str, volume: str, message: str) -> None:
    """One line with the value and what is allowed."""
    volume = volume.replace(', x = ""', "")
    with pytest.raises(ConfigError) as caught:
        run_of(tmp_path, 'rw = "write", bs = "4k"', more=more, volume=volume)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_iomap_below_is_refused(tmp_path: Path) -> None:
    """Its write(2) has stacks of its own."""
    text = text_of('rw = "write", bs = "4k"').replace("title", 'write_path = "iomap"\ntitle', 1)
    with pytest.raises(
        ConfigError, match="path 'iomap' below eCryptfs is not modelled; allowed: page_io, buffer"
    ):
        cell_of(text, tmp_path)
