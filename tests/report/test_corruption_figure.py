"""The figure of a broken device: a row per cell, refused and wrong reads, and faults nobody noticed."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from run_kit import made_up

from sim.report.corruption import PANELS, UNNOTICED, corruption
from sim.report.style import RC

AXES = {"scheme": ["none", "fs-verity"]}


def metrics(labels: dict[str, str]) -> dict[str, int]:
    """Return counts: without a scheme a quarter of the reads is wrong, with one it is refused."""
    told = labels["scheme"] == "fs-verity"
    return {
        "faults_injected": 20,
        "faults_undetected": 0 if told else 10,
        "reads_right": 30,
        "reads_eio": 10 if told else 0,
        "reads_wrong": 0 if told else 10,
    }


def widths(figure: Any) -> list[list[float]]:
    """Return the lengths of a page's bars, a list for each panel."""
    return [[bar.get_width() for bar in axes.patches] for axes in figure.axes]


def test_shares_of_reads_and_of_faults() -> None:
    """Of 40 reads 10 are refused or wrong; of 20 faults 10 were not noticed."""
    with mpl.rc_context(RC):
        (figure,) = corruption(made_up(AXES, metrics))
    assert [axes.get_title() for axes in figure.axes] == [*PANELS.values(), UNNOTICED]
    assert widths(figure) == [[0, 25], [25, 0], [50, 0]]
    assert [text.get_text() for text in figure.axes[1].texts] == ["25 %", "none"]


def test_none_without_faults() -> None:
    """A run without a [faults] table has no page."""
    assert corruption(made_up(AXES, lambda _labels: {})) == []


def test_a_cell_in_which_no_fault_was_drawn_has_none_unnoticed() -> None:
    """A rate may hit nothing: the page is drawn all the same."""
    none = {**metrics({"scheme": "none"}), "faults_injected": 0, "faults_undetected": 0}
    with mpl.rc_context(RC):
        (figure,) = corruption(
            made_up(AXES, lambda labels: none if labels["scheme"] == "none" else metrics(labels))
        )
    assert [0, 0] == widths(figure)[2]


def test_cells_that_differ_in_nothing_share_a_row() -> None:
    """Two paths with the same counts: one row for each scheme, and the axis says of whom."""
    with mpl.rc_context(RC):
        (figure,) = corruption(made_up({"path": ["page_io", "mpage"], **AXES}, metrics))
    assert [[0, 25], [25, 0], [50, 0]] == widths(figure)
    assert "the same for page_io, mpage" in "".join(text.get_text() for text in figure.texts)
