"""The figure of schemes side by side: what it shows of which run."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from run_kit import made_up

from sim.report.encryption import CPU, HIT_TIME, MEMORY, OPEN, encryption, measures
from sim.report.style import RC

AXES = {
    "device.profile": ["nvme", "hdd"],
    "path": ["buffer_head", "page_io"],
    "encryption": ["none", "x", "y"],
}


def run(**more):
    """Return a run whose CPU time is 1000 ns on none, 2000 on x, 3000 on y."""
    cpu = {"none": 1000.0, "x": 2000.0, "y": 3000.0}

    def metrics(labels):
        return {
            "cpu_ns_per_4k": cpu[labels.get("encryption", "none")],
            "latency_mean_ns": 5000.0,
            "peak_pages": 4,
            "bytes_read": 8192,
            "open_ns": 0.0,
            **more,
        }

    return metrics


def test_a_panel_per_measure_and_a_row_per_device():
    """Two devices, three measures: six panels, the paths as marks, values in us."""
    with mpl.rc_context(RC):
        (figure,) = encryption(made_up(AXES, run()))
    assert 6 == len(figure.axes)
    heads, extents = figure.axes[0].get_lines()
    assert [1.0, 2.0, 3.0] == list(heads.get_xdata()) == list(extents.get_xdata())
    assert [2.0] * 3 == list(figure.axes[2].get_lines()[0].get_xdata())
    assert ["none", "x", "y"] == [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, (CPU, MEMORY)),
        ({"open_ns": 7.0}, (OPEN, CPU)),
        ({"hit_rate": 0.5, "hit_mean_ns": 3.0}, (HIT_TIME,)),
    ],
)
def test_the_measures_follow_the_run(more, expected):
    """Opens where they are charged, hits of a browser cache, else CPU, latency and memory."""
    shown = measures(made_up(AXES, run(**more)))
    assert all(measure in shown for measure in expected)


def test_a_run_without_schemes_has_no_such_figure():
    """One scheme, or none, is nothing to compare."""
    assert [] == encryption(made_up({"path": ["page_io"]}, run()))
    assert [] == encryption(made_up({"encryption": ["none"]}, run()))
