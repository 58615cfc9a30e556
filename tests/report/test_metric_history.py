"""A metric over runs: steps in a series, lines of a history, runs in their order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from drawn import legible
from hypothesis import given
from hypothesis import strategies as st
from run_kit import made_up

from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.report.history import history, history_figure, runs_in
from sim.report.steps import steps
from sim.report.style import own_style


def test_a_level_that_changes_is_a_step():
    """Up by a fifth and down by a quarter: two steps, at the first value of the new level."""
    found = steps([100, 100.1, 100, 120, 121, 120, 90], 1.05)
    assert [(3, 100, 120), (6, 120, 90)] == [
        (step.at, round(step.before), round(step.after)) for step in found
    ]
    assert [1.2, 0.75] == [round(step.ratio, 3) for step in found]


def test_what_is_small_is_no_step_and_the_last_run_can_be_one():
    """4 % is none, 6 % is one, also if only the last value has it; one value has none."""
    assert [] == steps([100, 104, 104, 104], 1.05)
    assert [3] == [step.at for step in steps([100, 100, 100, 106], 1.05)]
    assert [] == steps([100], 1.05)
    assert [1] == [step.at for step in steps([100, 106], 1.05)]


def test_noise_is_no_step():
    """Values that go up and down by 10 % all the time have no level to leave; one that doubles them has."""
    noise = [100, 110, 100, 110, 100, 110, 100, 110]
    assert [] == steps(noise, 1.05)
    assert [8] == [step.at for step in steps(noise + [2 * value for value in noise], 1.05)]


@given(
    st.lists(st.tuples(st.integers(3, 6), st.sampled_from([10, 20, 40, 80])), min_size=1, max_size=4),
)
def test_levels_that_are_long_enough_are_found(levels):
    """A series of exact levels, each held for three values or more: a step where two neighbours differ."""
    values = [float(level) for length, level in levels for _ in range(length)]
    expected = [at for at in range(1, len(values)) if values[at] != values[at - 1]]
    assert expected == [step.at for step in steps(values, 1.05)]


def run(name: str, cost: float, labels=("buffer_head", "page_io")) -> Run:
    """Return a run of two paths, of which page_io costs half."""
    made = made_up(
        {"volume.block_size": ["1KiB", "4KiB"], "path": list(labels)},
        lambda of: {"cpu_ns_per_4k": cost / (2 if of["path"] == "page_io" else 1)},
    )
    return replace(made, path=Path(name))


def test_a_line_a_path():
    """The geometric mean over cells, a value a run; steps of each line."""
    found = history([run("a", 100.0), run("b", 100.0), run("c", 150.0)], "cpu_ns_per_4k", 1.05)
    assert ["buffer_head", "page_io"] == [line.label for line in found.lines]
    assert [pytest.approx((100, 100, 150)), pytest.approx((50, 50, 75))] == [
        line.values for line in found.lines
    ]
    assert [[2], [2]] == [[step.at for step in line.steps] for line in found.lines]
    assert (4, 0) == (found.cells, found.left_out)


def test_cells_that_a_run_lacks_are_counted():
    """A path that only one run has is in no line, and told."""
    found = history([run("a", 100.0), run("b", 100.0, ("buffer_head", "iomap"))], "cpu_ns_per_4k", 1.05)
    assert ["all cells"] != [line.label for line in found.lines]
    assert (2, 4) == (found.cells, found.left_out)
    with own_style():
        assert "4 that some runs lack are left out" in history_figure(found).axes[0].get_title()


def test_the_figure_is_legible():
    """Every line, a mark and a ratio at each step, no text in another's way."""
    found = history(
        [run(str(at), cost) for at, cost in enumerate((100.0, 100.0, 150.0, 150.0))], "cpu_ns_per_4k", 1.05
    )
    with own_style():
        figure = history_figure(found)
        assert [] == legible([figure])
        texts = [text.get_text() for text in figure.axes[0].texts]
    assert ["1.50 x", "1.50 x"] == texts


def test_what_cannot_be_shown_is_a_mistake(tmp_path):
    """No runs, a metric that none has, a threshold of 1."""
    with pytest.raises(ConfigError, match="has 0 runs"):
        runs_in(tmp_path, "")
    with pytest.raises(ConfigError, match="no cell that all runs have has it"):
        history([run("a", 1.0), run("b", 1.0)], "nosuch", 1.05)
    with pytest.raises(ConfigError, match="more than 1"):
        history([run("a", 1.0), run("b", 1.0)], "cpu_ns_per_4k", 1.0)
