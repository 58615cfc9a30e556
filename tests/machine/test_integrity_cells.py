"""Cells over dm-integrity: what reaches the device, what is verified, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from integrity_bench import Counted, Noted, Sent
from shared_images import shared_image

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine import machine as of_machine
from sim.machine.machine import Machine
from sim.machine.run_cell import played_cell
from sim.stack.dm_integrity import IntegrityTarget
from sim.units import KIB

TEXT = """\
title = "t"
data = "{data}"
[machine]
kernel = "{kernel}"
[device]
profile = "{device}"
[cache]
status = "warm"
[volume]
block_size = "{size}KiB"
journal = "4MiB"
files = [{{ name = "data", size = "1MiB", layout = {{ kind = "{kind}" }} }}]
[encryption]
scheme = "{scheme}"
[checksums]
layout = "{layout}"
[workload]
{workload}
[mount]
barrier = {barrier}
[integrity]
{said}
"""
SYNCED = 'rw = "randwrite", bs = "4k", number_ios = 16, fdatasync = 1'
READ = 'rw = "read", bs = "128k"'


def cell_of(folder: Path, said: str, **more: object) -> Cell:
    """Return a cell with this table."""
    if "job" in more:
        more["workload"] = f"job = {{ {more.pop('job')} }}"
    words: dict[str, object] = {
        "data": "off",
        "kernel": "6.1",
        "device": "nvme",
        "size": 4,
        "scheme": "none",
        "layout": "none",
    }
    words |= {"workload": f"job = {{ {READ} }}", "kind": "contiguous", "barrier": "true"}
    (folder / "e.toml").write_text(TEXT.format(said=said, **words | more))
    (cell,) = load_experiment(folder / "e.toml").cells
    return cell


def ran(folder: Path, said: str, trace: bool = False, **more: object) -> tuple[CellResult, Machine]:
    """Return the result of a cell, and its machine."""
    cell = cell_of(folder, said, **more)
    return played_cell(cell, shared_image(cell), trace)


@pytest.mark.parametrize("mode", ["direct", "journal", "bitmap"])
@pytest.mark.parametrize("block", [512, 4096])
def test_all_that_is_read_is_verified(tmp_path: Path, mode: str, block: int) -> None:
    """1 MiB, block by block, and one buffer of tags; a machine without a target reads as many pages."""
    metrics = ran(tmp_path, f'mode = "{mode}"\nblock_size = {block}')[0].metrics
    plain = ran(tmp_path, 'mode = "none"')[0].metrics
    assert metrics["checksums_verified"] == 1024 * KIB // block
    assert metrics["checksum_bytes_hashed"] == 1024 * KIB // block * (block + 8)
    assert metrics["checksum_bytes_read"] == 64 * KIB
    assert plain["pages_read"] == metrics["pages_read"] == 256
    assert "checksums_verified" not in plain
    assert metrics["checksum_ns"] > 0
    assert metrics["cpu_ns"] > plain["cpu_ns"]


@pytest.mark.parametrize(
    ("said", "blocks"),
    [
        ('mode = "none"', 15),
        ('mode = "direct"\nblock_size = 4096', 15 * 2),
        ('mode = "bitmap"\nblock_size = 4096', 15 * 2 + 1),
        ('mode = "journal"\nblock_size = 4096', 15 * 49),
        ('mode = "journal"', 15 * 22),
    ],
)
def test_what_a_synced_overwrite_brings_to_the_device(tmp_path: Path, said: str, blocks: int) -> None:
    """
    Of 4 KiB, 15 times: a block; a block and one of tags; the bitmap's once; a section of the journal, of 49
    blocks of 4 KiB, or 22 with blocks of 512 bytes. What is written and not synced stays in memory.
    """
    metrics = ran(tmp_path, said, job=SYNCED)[0].metrics
    assert metrics["bytes_written"] == blocks * 4 * KIB
    assert metrics["flushes"] == (0 if "journal" in said else 15)
    if "none" not in said:
        each = 8 if said == 'mode = "journal"' else 1
        assert (0, 15 * each) == (metrics["checksums_verified"], metrics["checksums_computed"])


def test_a_journal_writes_data_twice(tmp_path: Path) -> None:
    """
    1 MiB in a journal of 5 sections of 48 blocks: 160 blocks are copied, with 8 KiB of tags at most; the
    others are committed and stay. All 256 are journalled in 6 sections or more.
    """
    job = 'rw = "write", bs = "1m", end_fsync = 1'
    said = 'mode = "journal"\nblock_size = 4096\njournal_sectors = 2048'
    result, machine = ran(tmp_path, said, job=job)
    assert machine.integrity is not None
    copied = machine.ledger.calls()["dm_integrity_rw_tag"]
    sections = (result.metrics["bytes_written"] - copied * 4096) / (392 * 512)
    assert copied in (160, 240)
    assert 6 <= sections <= 7.1


def test_a_stream_has_the_columns_too(tmp_path: Path) -> None:
    """1 MiB in writes of 64 KiB: each block of 512 bytes is hashed once, the metadata's besides."""
    metrics = ran(tmp_path, 'mode = "direct"', workload='stream_write = { bs = "64KiB" }')[0].metrics
    assert metrics["checksums_computed"] >= 2048
    assert metrics["checksum_bytes_hashed"] == metrics["checksums_computed"] * 520
    assert metrics["checksum_ns"] > 0


def test_metadata_goes_through_it_as_well(tmp_path: Path) -> None:
    """A new file: its blocks, and the log's with its flushes, come to an end, on a device without FUA too."""
    for device in ("nvme", "hdd"):
        for mode in ("direct", "journal", "bitmap"):
            job = 'rw = "write", bs = "64k", size = "1m", fsync = 4, end_fsync = 1'
            result, machine = ran(tmp_path, f'mode = "{mode}"', job=job, device=device, kind="absent")
            assert machine.integrity is not None
            assert result.metrics["bytes_written"] > 1024 * KIB
            assert machine.integrity.pending == 0


MIXED = 'rw = "randrw", bs = "4k", number_ios = 300, norandommap = 1, fsync = 20, numjobs = 2, size = "512k"'
APPENDED = 'rw = "write", bs = "20k", size = "1m", fsync = 7'


@pytest.mark.parametrize(("size", "scheme"), [(1, "none"), (4, "none"), (4, "dm-crypt")])
@pytest.mark.parametrize("mode", ["direct", "journal", "bitmap"])
@pytest.mark.parametrize(("job", "kind"), [(READ, "contiguous"), (MIXED, "contiguous"), (APPENDED, "absent")])
def test_below_ext4_too_the_disk_gets_what_the_rules_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, job: str, kind: str, size: int, scheme: str
) -> None:
    """
    Readahead, write-back, the log: whatever bios ext4 submits, and however they overlap, those at the device
    are those of the rules, and as many blocks are hashed. Without barriers: a flush behind data comes later.
    """
    above: list[Noted] = []
    below: list[Noted] = []

    def made(clock: Any, cpu: Any, ledger: Any, queue: Any, *more: Any) -> Above:
        target = IntegrityTarget(clock, cpu, ledger, queue, *more)
        below.append(Noted(queue))
        target._below = below[0]
        above.append(Above(target))
        return above[0]

    monkeypatch.setattr(of_machine, "IntegrityTarget", made)
    said = f'mode = "{mode}"\njournal_sectors = 2048'
    cell = cell_of(tmp_path, said, job=job, kind=kind, size=size, scheme=scheme, barrier="false")
    _, machine = played_cell(cell, shared_image(cell))
    counted, wanted = Counted(cell.config.integrity.layout, machine.spec.limits.max_sectors), Counter[Sent]()
    for bio in above[0].bios:
        wanted += counted.run(*bio)
    assert above[0].bios
    assert wanted == Counter(below[0].bios)
    hashed = counted.tally.calls["integrity_sector_checksum"]
    assert hashed == machine.ledger.calls()["integrity_sector_checksum"]


class Above(Noted):
    """A target, before which its bios are noted."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)


@pytest.mark.parametrize("scheme", ["none", "dm-crypt"])
@pytest.mark.parametrize("job", [READ, SYNCED])
@pytest.mark.parametrize("mode", ["direct", "journal"])
def test_a_trace_has_all_bios_with_all_times(tmp_path: Path, mode: str, job: str, scheme: str) -> None:
    """Those of buffers and of the journal among them."""
    _, machine = ran(tmp_path, f'mode = "{mode}"', trace=True, job=job, scheme=scheme)
    assert machine.records
    for record in machine.records:
        assert record.queued_ns <= record.issued_ns <= record.interrupted_ns <= record.ready_ns


@pytest.mark.parametrize(
    ("said", "more", "told"),
    [
        (
            'mode = "direct"',
            {"data": "real"},
            'data "real": its tags have no bytes here; allowed: data = "off"',
        ),
        ('mode = "direct"', {"kernel": "6.12"}, "with kernel 6.12; allowed: kernel 6.1"),
        ('mode = "direct"', {"scheme": "inline"}, "with encryption.scheme 'inline'; allowed: none, or where"),
        ('mode = "direct"', {"scheme": 'dm-crypt"\nno_read_workqueue = true #'}, "with no_read_workqueue"),
        (
            'mode = "direct"',
            {"layout": "table_all"},
            "with checksums.layout 'table_all'; allowed: one of them",
        ),
        ('mode = "direct"\nblock_size = "4KiB"', {"size": 1}, "block_size 4096 with blocks of 1024 bytes"),
        (
            'mode = "direct"',
            {"workload": 'secure_delete = { method = "unlink" }'},
            "with workload.secure_delete",
        ),
        ('mode = "recovery"', {}, "recovery"),
        ('mode = "direct"\nblock_size = 8192', {}, "block_size 8192; allowed: 512, 1024, 2048, 4096"),
        (
            'mode = "direct"\ninterleave_sectors = 1000',
            {},
            "interleave_sectors 1000; allowed: a power of two",
        ),
        ('mode = "direct"\nbuffer_sectors = 96', {}, "buffer_sectors 96; allowed: a power of two"),
        ('mode = "journal"\njournal_sectors = 100', {}, "a section or more: from 176"),
        (
            'mode = "journal"\ncommit_time = 1000',
            {},
            "commit_time is not modelled: a journal is committed at",
        ),
        ('internal_hash = "sha256"', {}, 'internal_hash with mode "none"; allowed: mode direct, journal'),
        ('mode = "direct"\ninternal_hash = "md5"', {}, "md5"),
    ],
)
def test_what_is_refused(tmp_path: Path, said: str, more: dict[str, object], told: str) -> None:
    """One line, with what is allowed."""
    with pytest.raises(ConfigError) as error:
        cell_of(tmp_path, said, **more)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_image_of_small_blocks_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    """Which blocks it has is not known before."""
    made = cell_of(tmp_path, 'mode = "none"', size=1)
    image = shared_image(made)
    text = (tmp_path / "e.toml").read_text().replace('mode = "none"', 'mode = "direct"\nblock_size = 4096')
    start, end = text.index("block_size"), text.index("[encryption]")
    (tmp_path / "e.toml").write_text(f'{text[:start]}image = "{image}"\n{text[end:]}')
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    with pytest.raises(
        ConfigError, match=r"integrity.block_size: 4096, and the image has blocks of 1024 bytes"
    ):
        played_cell(cell, image)


def test_a_cell_without_it_has_the_hash_that_it_had(tmp_path: Path) -> None:
    """The table is no part of a configuration that does not set it."""
    said = cell_of(tmp_path, 'mode = "none"').config.canonical()
    assert "integrity" not in said
    assert "bitmap" == cell_of(tmp_path, 'mode = "bitmap"').config.canonical()["integrity"]["mode"]


def test_dm_crypt_lies_above(tmp_path: Path) -> None:
    """
    What is hashed is ciphertext: a block a page, behind data and tags; then each sector is decrypted. A bio
    passes three devices, and submit_bio() once.
    """
    over, machine = ran(tmp_path, 'mode = "direct"\nblock_size = 4096', scheme="dm-crypt")
    alone = ran(tmp_path, 'mode = "none"', scheme="dm-crypt")[1]
    calls, of_crypt = machine.ledger.calls(), alone.ledger.calls()
    assert 256 == over.metrics["checksums_verified"]
    assert 2048 == calls["xts_decrypt"] == of_crypt["xts_decrypt"]
    bios = calls["crypt_map"]
    assert bios == of_crypt["crypt_map"] == calls["dm_integrity_map"]
    assert of_crypt["submit_bio"] == bios
    assert calls["submit_bio"] == bios + 1  # a buffer's
    assert calls["dm_submit_bio"] == 2 * bios
    assert calls["submit_bio_noacct_nocheck"] == 3 * bios + 1
    assert machine.clock.now > alone.clock.now
