"""
The numbers of README.md on large folios: of committed results, and of recordings that claims name.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from quote import ROOT, Quote

from sim.api import cell, load
from sim.claims.beside import beside
from sim.claims.claims import Claim, load_claims
from sim.experiment.results import Run
from sim.units import PAGE_BYTES

REFERENCE = ROOT / "results" / "reference"
COUNTS = ("map_calls", "bios", "buffer_heads")


@cache
def _run(name: str) -> Run:
    return load(REFERENCE / name)


def _per_page(run: str, *metrics: str, **labels: str) -> list[float]:
    """Return metrics of one cell per page read."""
    row = cell(_run(run), **labels)
    return [float(row[metric]) * PAGE_BYTES / float(row["bytes_read"]) for metric in metrics]


def _folios(machine: str) -> list[float]:
    """Return map calls, bios and buffer heads a page, 1 KiB blocks in extents of 16."""
    labels = {"block_size": "1KiB", "layout": "16 blocks", "path": "page_io", "machine": machine}
    return _per_page("large_folios", *COUNTS, **labels)


def _asked(kernel: str) -> float:
    """Return the calls of ext4_map_blocks a page, 1 KiB blocks in extents of 16 KiB."""
    labels = {"block_size": "1KiB", "layout": "16 KiB extents", "path": "page_io", "machine.kernel": kernel}
    return _per_page("kernels", "map_calls", **labels)[0]


def _iomap_bios() -> float:
    """Return how many times page_io's bios iomap takes on extents of 4 blocks, 1 KiB blocks."""
    labels = {"block_size": "1KiB", "layout": "4 blocks", "machine": "7.3"}
    first, second = (_per_page("large_folios", "bios", path=path, **labels) for path in ("iomap", "page_io"))
    return first[0] / second[0]


def _predicted(block_size: str) -> float:
    """Return how many times page_io's instructions ext4 through iomap takes on extents of 16 blocks."""
    labels = {"block_size": block_size, "layout": "16 blocks"}
    taken = [
        float(cell(_run("ext4_iomap"), path=path, **labels)["instructions_per_4k"])
        for path in ("ext4_iomap", "page_io")
    ]
    return taken[0] / taken[1]


@cache
def _claims() -> dict[str, Claim]:
    return {claim.name: claim for claim in load_claims(ROOT / "experiments" / "claims")["large_folios"]}


def _recorded(*names: str) -> Sequence[float]:
    """Return the recorded ratios that claims name."""
    found = [beside(_claims()[name], [1.0]) for name in names]
    return [one.ratio for one in found if one is not None]


FOLIOS: tuple[Quote, ...] = (
    Quote(
        "in extents of 16 a page takes {:.2f} calls of `ext4_map_blocks`, {:.2f} bios and {:.2f} buffer"
        " heads, where 6.1 takes {:.2f}, {:.2f} and {:.2f}",
        lambda: [*_folios("7.3"), *_folios("6.1")],
    ),
    Quote(
        "Such folios were recorded to take {:.2f} times the instructions of those extents page by page, and"
        " {:.2f} times 6.1's; a contiguous file takes {:.2f} of 6.1's, one-block extents {:.2f} (of 4 KiB,"
        " {:.2f}).",
        lambda: _recorded(
            "block-by-block-costs-more-than-pages",
            "block-by-block-costs-more-than-6.1",
            "contiguous-files-cost-less-than-on-6.1",
            "one-block-extents-cost-less-than-on-6.1",
            "one-block-extents-of-4k-cost-less-than-on-6.1",
        ),
    ),
    Quote(
        "by prediction `ext4_iomap` takes {:.2f} times page_io's instructions there",
        lambda: [_predicted("1KiB")],
    ),
    Quote(
        "1 KiB blocks in extents of 16 KiB take {:.2f} calls of `ext4_map_blocks` a page on 6.12, {:.2f} on"
        " 7.3",
        lambda: [_asked("6.12"), _asked("7.3")],
    ),
    Quote("iomap takes {:.2f} of page_io's bios on extents of 4 blocks", lambda: [_iomap_bios()]),
    Quote(
        "on extents of 16 blocks {:.2f} times page_io's instructions with 1 KiB blocks, {:.2f} with 4 KiB",
        lambda: [_predicted("1KiB"), _predicted("4KiB")],
    ),
)
"""What large folios do, of results/reference and results/kernel."""
