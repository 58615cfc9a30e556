"""
Test doubles: a core that simulates nothing, for tests of what stands above it.
"""

from __future__ import annotations

from pathlib import Path

from sim.config.cell import Cell
from sim.config.cell_result import CallRow, CellResult, Context
from sim.errors import ImageError


def no_image(_cell: Cell) -> None:
    """Make no image."""


def fabricated_cell(cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """
    Return round numbers that differ by path, block size and seed, and mean nothing.

    Per page: one copy of 100 ns, and one mapping of 50 ns (per block on the per-block paths); the seed adds
    that many ns of "other"; ten instructions a ns. A cell whose file is called "broken" raises ImageError,
    "wrong" has a digest that does not match.
    """
    assert image is None
    assert not trace
    file = cell.config.volume.files[0]
    if file.name == "broken":
        raise ImageError("volume.img", "is damaged")
    pages = file.size_bytes // 4096
    per_block = cell.config.path in ("buffer_head", "per_block")
    maps = pages * (4096 // (cell.config.volume.block_size_bytes or 4096)) if per_block else pages // 32
    calls = [
        _row("copy_page_to_iter", "task", pages, 100 * pages, "copy"),
        _row("ext4_map_blocks", "task", maps, 50 * maps, "mapping"),
        _row("bio_endio", "irq", maps, cell.seed, "other"),
    ]
    cpu_ns = sum(row.ns for row in calls)
    metrics: dict[str, int | float | str] = {
        "elapsed_ns": 1000 * pages,
        "bytes_read": file.size_bytes,
        "pages_read": pages,
        "cpu_ns": cpu_ns,
        "cpu_ns_per_4k": cpu_ns / pages,
        "instructions_per_4k": 10 * cpu_ns / pages,
        "bios": maps,
        "requests": pages // 32,
        "map_calls": maps,
        "throughput_mib_s": 4096 / 1000 * 1e9 / (1 << 20),
        "digest_ok": -1 if cell.config.data == "off" else int(file.name != "wrong"),
    }
    return CellResult(metrics, calls, {"bio_sectors": {8: maps}})


def _row(symbol: str, context: Context, calls: int, ns: int, group: str) -> CallRow:
    return CallRow(symbol, f"read;{symbol}", context, calls, ns, group, 10 * ns)
