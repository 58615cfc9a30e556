"""The figure of large folios: a line per kernel, what a page costs and why, over how blocks lie."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from run_kit import made_up

from sim.experiment.results import Run, load_run
from sim.records.instructions import per_page
from sim.report.folios import MOST_LAYOUTS, folios
from sim.report.style import RC

LAYOUTS = ["contiguous", "16 blocks"]
BIOS = {("6.1", "contiguous"): 2, ("6.1", "16 blocks"): 4, ("7.3", "contiguous"): 2, ("7.3", "16 blocks"): 64}


def run(**axes: list[str]) -> Run:
    """Return a run of 16 pages a cell, its bios as in BIOS, twice as many maps, no buffer heads on 6.1."""

    def metrics(labels: dict[str, str]) -> dict[str, float]:
        kernel = labels["machine.kernel"]
        bios = BIOS.get((kernel, labels["volume.files.layout"]), 1)
        heads = bios if kernel == "7.3" else 0
        return {
            "bytes_read": 65536,
            "cpu_ns_per_4k": 1000.0 * bios,
            "bios": bios,
            "map_calls": 2 * bios,
            "buffer_heads": heads,
        }

    said = {"layout": "volume.files.layout", "kernel": "machine.kernel", "size": "volume.block_size"}
    return made_up({said.get(name, name): labels for name, labels in axes.items()}, metrics)


def test_lines_are_per_page_read() -> None:
    """16 pages: cost in us, then maps, bios and heads a page, a line per kernel in each of four panels."""
    with mpl.rc_context(RC):
        (figure,) = folios(run(layout=LAYOUTS, kernel=["6.1", "7.3"]))
    shown = [[list(line.get_ydata()) for line in panel.lines] for panel in figure.axes]
    assert [
        [[2, 4], [2, 64]],
        [[0.25, 0.5], [0.25, 8]],
        [[0.125, 0.25], [0.125, 4]],
        [[0, 0], [0.125, 4]],
    ] == shown
    titles = ["CPU time, µs", "calls of ext4_map_blocks", "bios", "buffer heads"]
    assert titles == [panel.get_title() for panel in figure.axes]
    (legend,) = figure.legends
    assert ["Linux 6.1", "Linux 7.3"] == [text.get_text() for text in legend.get_texts()]


def test_a_row_per_block_size_and_a_page_per_path() -> None:
    """Two sizes of four panels on each of two pages; a predicted path is called so."""
    many = run(layout=LAYOUTS, kernel=["6.1", "7.3"], size=["1KiB", "4KiB"], path=["page_io", "ext4_iomap"])
    with mpl.rc_context(RC):
        pages = folios(many)
    assert [8, 8] == [len(page.axes) for page in pages]
    first = [text.get_text() for page in pages for text in page.texts[:1]]
    assert ["page_io: per 4 KiB read", "ext4_iomap (predicted): per 4 KiB read"] == first


@pytest.mark.parametrize(
    "axes",
    [
        {"layout": LAYOUTS, "kernel": ["3.16", "6.1"]},
        {"layout": LAYOUTS[:1], "kernel": ["6.1", "7.3"]},
        {"layout": [str(n) for n in range(MOST_LAYOUTS + 1)], "kernel": ["6.1", "7.3"]},
    ],
    ids=["no large folios", "one layout", "too many layouts"],
)
def test_other_runs_have_none(axes: dict[str, list[str]]) -> None:
    """Without a kernel with large folios, or where layouts do not vary or have no room for their names."""
    assert [] == folios(run(**axes))


def test_stars_are_what_was_recorded() -> None:
    """The committed run of large_folios, page_io with 1 KiB blocks: the recorded cells, and no others."""
    committed = load_run(Path(__file__).parents[2] / "results" / "reference" / "large_folios")
    with mpl.rc_context(RC):
        figure = folios(committed)[0]
    stars = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    frag = "icount_bs1024/bs1024/ext4/{}/seq128k/warm{}"
    cases = {
        "6.1": {
            at: f"linux-6.1.192/icount2_bs1024/bs1024/ext4/{layout}/seq128k/warm"
            for at, layout in ((0, "contig"), (2, "frag16"), (3, "frag4"), (4, "frag1"))
        },
        "7.3, large folios off": {2: f"linux-7.3.4/{frag.format('frag16', '/small')}"},
        "7.3": {at: f"linux-7.3.4/{frag.format(layout, '')}" for at, layout in ((0, "contig"), (4, "frag1"))},
    }
    expected = [
        [(at, spent / 1000) for at, case in line.items() if (spent := per_page(case)) is not None]
        for line in cases.values()
    ]
    assert expected == [list(zip(line.get_xdata(), line.get_ydata(), strict=True)) for line in stars]
    assert [4, 1, 2] == [len(points) for points in expected]
