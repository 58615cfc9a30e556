"""The figure of overwrites: a row per cell, a marker per policy."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from run_kit import made_up

from sim.report.overwrites import overwrites
from sim.report.style import RC

AXES = {"checksums.algorithm": ["crc32c", "xxh64"], "checksums.overwrite": ["read", "split"]}


def metrics(labels: dict[str, str]) -> dict[str, Any]:
    """Return counts: who cuts reads as much, hashes half, and has a list four times as long."""
    splits = labels["checksums.overwrite"] == "split"
    return {
        "bytes_streamed": 1000,
        "checksum_more_bytes": 20_000,
        "checksum_bytes_hashed": 30_000 if splits else 60_000,
        "checksum_list_bytes": 4096 if splits else 1024,
    }


def test_three_panels_two_markers() -> None:
    """Ratios to what was written, and KiB."""
    with mpl.rc_context(RC):
        (figure,) = overwrites(made_up(AXES, metrics))
    assert 3 == len(figure.axes)
    found = [sorted({float(x) for line in axes.lines for x in line.get_xdata()}) for axes in figure.axes]
    assert [[20], [30, 60], [1, 4]] == found


def test_nothing_to_compare() -> None:
    """One policy, or no list: no figure."""
    one = {"checksums.algorithm": ["crc32c"], "checksums.overwrite": ["read"]}
    assert [] == overwrites(made_up(one, metrics))
    assert [] == overwrites(made_up(AXES, lambda labels: {**metrics(labels), "checksum_list_bytes": None}))
