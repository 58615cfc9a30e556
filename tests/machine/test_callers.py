"""Stacks of calls reach from the system call, the interrupt or the worker thread to the symbol."""

from __future__ import annotations

import pytest

from sim.engine.ledger import CallRow
from sim.experiment.loading import load_experiment
from sim.machine.callers import ROOTS, whole_charges, whole_stacks
from sim.machine.run_cell import played_cell, run_cell
from sim.volume.images import ensure_image

TEXT = """\
title = "t"
data = "off"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "128KiB", layout = { kind = "fragmented", extent_blocks = 3 } }]
[workload]
job = { bs = "16k" }
[cache]
status = "all_cold"
[matrix]
"""
PATHS = '"volume.block_size" = ["1KiB", "4KiB"]\n' + (
    'path = ["buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block"]\n'
)
SCHEMES = 'path = ["buffer_head", "page_io"]\n' + (
    '"encryption.scheme" = ["fscrypt-v2", "file-keys", "rfc2014", "dm-crypt", "ecryptfs", "inline"]\n'
)
DEVICES = '"device.profile" = ["ramdisk", "null_blk", "hdd", "sata-ssd", "emmc", "ufs", "nvme-gen5"]\n'
KERNELS = '"machine.kernel" = ["3.16", "6.1", "6.12", "7.3"]\npath = ["buffer_head", "page_io"]\n'
INTEGRITY = '"integrity.mode" = ["direct", "journal", "bitmap"]\n' + (
    '"device.profile" = ["ramdisk", "hdd", "nvme"]\n"encryption.scheme" = ["none", "dm-crypt"]\n'
)
LATER = 'path = ["ext4_iomap"]\n"machine.kernel" = ["7.3"]\n"volume.block_size" = ["1KiB", "4KiB"]\n'


def _cells(folder, matrix):
    (folder / "e.toml").write_text(TEXT + matrix, encoding="utf-8")
    return load_experiment(folder / "e.toml").cells


@pytest.mark.parametrize(
    "matrix",
    [PATHS, SCHEMES, DEVICES, KERNELS, INTEGRITY, LATER],
    ids=["paths", "schemes", "devices", "kernels", "integrity", "later"],
)
def test_every_stack_has_a_root(tmp_path, matrix):
    """On every path, under every scheme, from every device, with every kernel; each symbol stands last."""
    for cell in _cells(tmp_path, matrix):
        result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
        for row in result.calls:
            names = row.stack.split(";")
            assert names[0] in ROOTS[row.context], (cell.labels, row)
            assert names[-1] == row.symbol
        assert len({(row.stack, row.context) for row in result.calls}) == len(result.calls)


def test_a_read_and_a_completion_are_told_from_the_top(tmp_path):
    """Copying to the reader is below pread64's entry; the end of a bio below the drive's interrupt."""
    (cell,) = _cells(tmp_path, 'path = ["page_io"]\n')
    stacks = {row.stack for row in run_cell(cell, ensure_image(cell, root=tmp_path), False).calls}
    assert "entry_SYSCALL_64;vfs_read;ext4_file_read_iter;filemap_read;copy_page_to_iter" in stacks
    handled = "asm_common_interrupt;__common_interrupt;handle_edge_irq;nvme_irq;nvme_pci_complete_batch"
    assert f"{handled};blk_mq_end_request_batch;bio_endio;ext4_mpage_end_io" in stacks


def test_nothing_is_lost_and_prices_still_find_their_calls(tmp_path):
    """Calls and ps per symbol and context are the ledger's; charges have the stacks that rows have."""
    for cell in _cells(tmp_path, SCHEMES):
        _, machine = played_cell(cell, ensure_image(cell, root=tmp_path / "images"))
        rows, whole = machine.ledger.rows(), whole_stacks(machine, machine.ledger.rows())
        assert _sums(rows) == _sums(whole)
        charged = {(c.stack, c.context) for c in whole_charges(machine, machine.ledger.charges()) if c.calls}
        assert {(row.stack, row.context) for row in whole if row.calls} == charged


def _sums(rows: list[CallRow]) -> dict[tuple[str, str], tuple[int, ...]]:
    found: dict[tuple[str, str], tuple[int, ...]] = {}
    for row in rows:
        had = found.get((row.symbol, row.context), (0, 0, 0, 0))
        new = (row.calls, row.ps, row.units, row.mi)
        found[row.symbol, row.context] = tuple(a + b for a, b in zip(had, new, strict=True))
    return found
