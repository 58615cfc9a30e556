"""The figure of power cuts: a row per cell, a panel per promise."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from run_kit import made_up

from sim.report.crash import PROMISES, crash
from sim.report.style import RC

AXES = {"mount": ["ordered", "writeback"]}


def metrics(labels: dict[str, str]) -> dict[str, Any]:
    """Return counts: ordered keeps all, writeback breaks some."""
    breaks = labels["mount"] == "writeback"
    return {
        "crash_states": 400,
        "crash_unsound": 0,
        "crash_losing": 1 if breaks else 0,
        "crash_stale": 100 if breaks else 0,
    }


def test_shares_of_states() -> None:
    """Bars in per cent, "kept" where none is broken; rows from the top."""
    with mpl.rc_context(RC):
        (figure,) = crash(made_up(AXES, metrics))
    assert [axes.get_title() for axes in figure.axes] == list(PROMISES.values())[:3]
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    assert widths == [[0, 0], [0, 0.25], [0, 25]]
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["kept", "kept"], ["kept", "< 1 %"], ["kept", "25 %"]]
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == [
        "mount ordered",
        "mount writeback",
    ]
    assert figure.axes[0].get_ylim() == (1.5, -0.5)


def test_checksums_have_panels_of_their_own() -> None:
    """Where data has checksums, two panels more: good blocks that are refused, and those of them at rest."""
    alarms = {"crash_false_alarms": 200, "crash_alarms_at_rest": 0}
    with mpl.rc_context(RC):
        (figure,) = crash(made_up(AXES, lambda labels: {**metrics(labels), **alarms}))
    assert [axes.get_title().replace("\n", " ") for axes in figure.axes] == list(PROMISES.values())
    assert [[bar.get_width() for bar in axes.patches] for axes in figure.axes][3:] == [[50, 50], [0, 0]]


def test_seeds_are_pooled() -> None:
    """The mean of the shares."""

    def each(labels: dict[str, str]) -> dict[str, Any]:
        return {**metrics(labels), "crash_states": next(states)}

    states = iter([100, 400, 200, 200])
    with mpl.rc_context(RC):
        (figure,) = crash(made_up(AXES, each, seeds=(0, 1)))
    assert [bar.get_width() for bar in figure.axes[2].patches] == [0, 50]


def test_many_rows_go_on_more_strips() -> None:
    """Forty cells: sixteen rows a strip, each row once."""
    axes = {"mount": ["ordered", "writeback"], "device.profile": [f"d{at}" for at in range(20)]}
    with mpl.rc_context(RC):
        pages = crash(made_up(axes, metrics))
    panels = [panel for page in pages for panel in page.axes]
    assert [len(panel.patches) for panel in panels[::3]] == [16, 16, 8]
    assert [len(panel.texts) for panel in panels] == [16] * 6 + [8] * 3
    assert [panel.get_ylim() for panel in panels[::3]] == [(15.5, -0.5), (31.5, 15.5), (39.5, 31.5)]


def test_none_without_power_cuts() -> None:
    """A run without them has no page."""
    assert crash(made_up(AXES, lambda _labels: {"crash_states": 0})) == []
    assert crash(made_up(AXES, lambda _labels: {})) == []
