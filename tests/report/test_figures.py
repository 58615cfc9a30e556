"""Figures: the numbers in them, that they repeat to the byte, and that they can be read."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib as mpl
import pytest
from fabricated import fabricated_cell, no_image

from sim.config.cell_result import GROUPS
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import Progress, execute
from sim.report.cpu_bars import cpu_bars, cpu_per_4k
from sim.report.figures import FIGURES, draw
from sim.report.style import GROUP_COLOURS, RC

TEXT = """\
title = "t"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
"encryption.scheme" = ["none", "fscrypt-v2"]
"volume.block_size" = ["1KiB", "2KiB", "4KiB"]
path = ["buffer_head", "page_io"]
[run]
seeds = [0, 256]
"""


def _run(tmp_path: Path, text: str = TEXT) -> Run:
    (tmp_path / "e.toml").write_text(text)
    experiment = load_experiment(tmp_path / "e.toml")
    return execute(experiment, tmp_path / "out", fabricated_cell, no_image, draw=lambda *_run, **_each: None)


def test_bars_are_means_by_group(tmp_path):
    """A bar holds ns per 4 KiB by group, averaged over seeds, and the range of its totals."""
    bar = cpu_bars(_run(tmp_path))["none", "1KiB", "buffer_head"]
    assert bar.groups == {**dict.fromkeys(GROUPS, 0.0), "copy": 100.0, "mapping": 200.0, "other": 0.5}
    assert (bar.total, bar.least, bar.most) == (300.5, 300, 301)


def test_panels_labels_and_colours(tmp_path):
    """One panel per pair of labels, a bar per path, axes with units, a colour per group, a footer."""
    with mpl.rc_context(RC):
        (figure,) = cpu_per_4k(_run(tmp_path))
    assert len(figure.axes) == 6
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["buffer_head", "page_io"]
    texts = [text.get_text() for text in figure.texts]
    assert "CPU time, µs per 4 KiB read (each column has its scale)" in texts
    footer = texts[-1]
    assert re.fullmatch(r"e   seeds 0, 256   config [0-9a-f]{12}   readpath [0-9.]+", footer)
    for patch in figure.axes[0].patches[:2]:
        assert mpl.colors.to_hex(patch.get_facecolor()) == GROUP_COLOURS["copy"].lower()
    assert len(set(GROUP_COLOURS.values())) == len(GROUPS)


def test_columns_share_a_scale_unless_one_would_vanish(tmp_path):
    """Bars of like length are drawn to one scale; where they differ much each column has its own."""
    with mpl.rc_context(RC):
        (like,) = cpu_per_4k(_run(tmp_path, TEXT.replace('"1KiB", "2KiB", "4KiB"', '"2KiB", "2048"')))
        (unlike,) = cpu_per_4k(_run(tmp_path))
    assert len({panel.get_xlim() for panel in like.axes}) == 1
    assert len({panel.get_xlim() for panel in unlike.axes}) == 3
    assert "CPU time, µs per 4 KiB read" in [text.get_text() for text in like.texts]


def test_fonts_are_legible():
    """At column width nothing but the footer is smaller than 7 pt."""
    sizes = [
        value
        for key, value in RC.items()
        if key == "font.size" or key.endswith(("titlesize", "labelsize", "fontsize"))
    ]
    assert sizes
    assert min(sizes) >= 7


def test_figures_repeat_to_the_byte(tmp_path):
    """Drawing twice gives the same SVG and PNG, without a date."""
    run = _run(tmp_path)
    once, again = tmp_path / "once", tmp_path / "again"
    once.mkdir()
    again.mkdir()
    names = [path.name for path in draw(run, once)]
    draw(run, again)
    assert names == ["cpu_per_4k.svg", "cpu_per_4k.png"]
    for name in names:
        assert (once / name).read_bytes() == (again / name).read_bytes()
    assert b"<dc:date>" not in (once / "cpu_per_4k.svg").read_bytes()


def test_progress_is_told_figure_by_figure(tmp_path):
    """Each figure is told when it is drawn, of how many; of those that were asked for, if they were."""
    run, steps = _run(tmp_path), []
    draw(run, tmp_path, ["svg"], watch=steps.append)
    assert [Progress("figures", n, len(FIGURES), name) for n, name in enumerate(FIGURES, start=1)] == steps
    steps.clear()
    draw(run, tmp_path, ["svg"], ["cpu_per_4k"], steps.append)
    assert [Progress("figures", 1, 1, "cpu_per_4k")] == steps
    assert [] == draw(run, tmp_path, names=[])


def test_a_large_matrix_takes_more_pages(tmp_path):
    """What does not fit a page goes on the next one; nothing is left out."""
    sizes = ", ".join(f'"{n}MiB"' for n in range(1, 7))
    caches = '"cache.status" = ["warm", "es_cold", "all_cold"]\n'
    text = TEXT.replace("[matrix]\n", f'[matrix]\n"machine.memory" = [{sizes}]\n{caches}')
    text = text.replace("seeds = [0, 256]", "seeds = 1")
    run = _run(tmp_path, text)
    with mpl.rc_context(RC):
        figures = cpu_per_4k(run)
    assert sum(len(figure.axes) for figure in figures) * 2 == len(run.metrics)
    assert len(figures) > 1


def test_one_cell_has_a_figure(tmp_path):
    """Without a matrix there is one panel with one bar, called by its path."""
    text = TEXT[: TEXT.index("[matrix]")]
    with mpl.rc_context(RC):
        (figure,) = cpu_per_4k(_run(tmp_path, text))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["page_io"]


def test_unknown_format(tmp_path):
    """A format we do not write is an error that names those we do."""
    with pytest.raises(ConfigError, match="--format: 'gif' is not known; allowed: svg, png"):
        draw(_run(tmp_path), tmp_path, ["gif"])
