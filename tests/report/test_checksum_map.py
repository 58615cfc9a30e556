"""The map of checksums: ratios to a reader without, and the least of each column."""

from __future__ import annotations

from typing import Any

import pytest
from run_kit import made_up

from sim.report.checksums import AXIS, MEASURES, checksums, ratios
from sim.report.integrity import JOBS, integrity
from sim.report.integrity import MEASURES as BELOW
from sim.report.style import own_style

LAYOUTS = "volume.files.layout"
WAYS = {"none": 1.0, "table": 1.5, "extent, whole": 4.0}


def row(labels: dict[str, str]) -> dict[str, Any]:
    """Return metrics: a way's factor, ten times as much on fragments."""
    factor = WAYS[labels[AXIS]] * (10 if labels[LAYOUTS] == "4 KiB" else 1)
    found = {"latency_mean_ns": 1000 * factor, "cpu_ns": 500 * factor, "pages_read": 8}
    return found | {"checksum_bytes_read": None if labels[AXIS] == "none" else 4096}


AXES = {AXIS: list(WAYS), LAYOUTS: ["contiguous", "4 KiB"], "cache.status": ["warm", "all_cold"]}


def test_a_ratio_is_to_the_same_layout_without() -> None:
    """1.5 and 4 times on either layout; bytes of checksums count with those of the data."""
    run = made_up(AXES, row)
    at = {"cache.status": "warm"}
    assert [[1.5, 1.5], [4.0, 4.0]] == ratios(run, LAYOUTS, at, MEASURES["time of a read"])
    assert [[9 / 8, 9 / 8]] * 2 == ratios(run, LAYOUTS, at, MEASURES["bytes from the device"])


def test_the_map_has_a_panel_per_measure_and_other_axis() -> None:
    """Three measures, warm and cold: six panels, each with its 2 x 2 numbers, the table's outlined."""
    with own_style():
        pages = checksums(made_up(AXES, row))
    panels = [axes for page in pages for axes in page.axes if axes.images]
    assert 6 == len(panels)
    for panel in panels:
        assert 4 == len([text for text in panel.texts if text.get_text()])
    boxes = [patch for patch in panels[0].patches if patch.get_linewidth() == 1.4]
    assert [(0, 0), (1, 0)] == sorted((round(box.get_x()), round(box.get_y())) for box in boxes)


@pytest.mark.parametrize("axes", [{AXIS: ["table"], LAYOUTS: ["a", "4 KiB"]}, {AXIS: list(WAYS)}])
def test_a_run_that_does_not_vary_it_has_none(axes: dict[str, list[str]]) -> None:
    """Without a cell that has no checksums, or without layouts, there is nothing to draw."""
    assert [] == checksums(made_up(axes, lambda labels: row({LAYOUTS: "a"} | labels)))


def below(labels: dict[str, str]) -> dict[str, Any]:
    """Return metrics of a job over a device: 8 pages read or written, tags of as much for who has any."""
    has = labels["integrity"] != "none"
    found: dict[str, Any] = {"elapsed_ns": 3000 if has else 2000, "cpu_ns": 500, "pages_read": 99}
    if labels[JOBS] == "read":
        return found | {"pages_read": 8, "checksum_bytes_read": 32768 if has else None}
    return found | {"bytes_written": 65536 if has else 32768}


def test_the_map_of_integrity_is_over_jobs() -> None:
    """What is read, or what is written and not pages that came to be: twice the bytes; 1.5 times as long."""
    run = made_up({"integrity": ["none", "direct"], JOBS: ["read", "write"]}, below)
    assert [[2.0, 2.0]] == ratios(run, JOBS, {}, BELOW["bytes at the device"], "integrity")
    assert [[1.5, 1.5]] == ratios(run, JOBS, {}, BELOW["time"], "integrity")
    with own_style():
        (page,) = integrity(run)
        assert [] == integrity(
            made_up({"integrity": ["none", "direct"]}, lambda at: below({JOBS: "read"} | at))
        )
    assert 3 == len([axes for axes in page.axes if axes.images])


def test_tags_alone_have_the_map_of_jobs() -> None:
    """Where tags vary and no layout does; with layouts, `checksums` is the figure."""

    def tagged(labels: dict[str, str]) -> dict[str, Any]:
        return below({"integrity": labels[AXIS]} | labels)

    axes = {AXIS: ["none", "table"], JOBS: ["read", "write"]}
    with own_style():
        assert 1 == len(integrity(made_up(axes, tagged)))
        assert [] == integrity(made_up(axes | {LAYOUTS: ["contiguous", "4 KiB"]}, tagged))
