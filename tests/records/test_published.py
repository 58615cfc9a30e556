"""Published numbers: the table is what it was, a factor is one factor, wrong files are told apart."""

from __future__ import annotations

import json
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sim.cli import published as verb
from sim.cli.main import app
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.records.published import (
    MEASURED,
    SIMULATED,
    Compared,
    Comparison,
    PublishedNumber,
    PublishedRow,
    compare,
    kept,
    read_simulated,
)
from sim.volume.images import ensure_image

FOLDER = Path(__file__).parents[2] / "experiments" / "published"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The whole comparison, run once."""
    return compare(FOLDER, partial(ensure_image, root=tmp_path_factory.mktemp("images")))


def test_the_simulated_values_are_the_recorded_ones(found: Comparison) -> None:
    """Every value of simulated.json, digit by digit; `readpath validate --published --update` renews it."""
    assert read_simulated(FOLDER) == found.values()


def test_what_is_kept_has_the_score_of_a_run(found: Comparison) -> None:
    """README's score is of simulated.json, without a run."""
    assert (found.score, found.rows) == (kept(FOLDER).score, kept(FOLDER).rows)


def test_every_number_is_there_with_rows_or_a_reason(found: Comparison) -> None:
    """N1 to N12, and those of 2026, each with a source; those out of reach say why."""
    reached = {row.number.id.split()[0] for row in found.rows}
    beyond = {number.id for number in found.beyond}
    others = {"P11", "P13", "P15", "P22, P23", "P25", "W1 to W19"}
    assert {"N9", "N11"} | others == beyond
    numbers = {f"N{n}" for n in (1, 2, "2a", "2b", 3, 4, 5, 6, 7, 8, 10, 12)}
    assert numbers | {f"P{n}" for n in (4, 5, 7, 9, 18, "24b", 26)} == reached
    assert all(row.number.source and row.number.stands_for for row in found.rows)


def test_a_machine_is_fitted_on_two_cells_at_most(found: Comparison) -> None:
    """Fitted rows agree but for the rounding of constants to picoseconds; the others are predictions."""
    fitted = [row for row in found.rows if row.fitted]
    expected = [
        "N2 bs 4k",
        "N2 bs 64k",
        "N5 abs bs 1k",
        "N5 abs bs 64k",
        "N7 kcryptd",
        "N8 tmpfs",
        "P24b write write",
    ]
    assert expected == [row.key for row in fitted]
    assert all(abs(row.error) < 0.005 for row in fitted if row.key != "N7 kcryptd")


def test_the_score_counts_predictions_against_answering_one(found: Comparison) -> None:
    """Ratios that nothing was fitted to: how many within 10 %, and how many the null model has."""
    predicted = [row for row in found.rows if row.row.ratio is not None and not row.fitted]
    score = found.score
    assert len(predicted) == score.ratios
    assert sum(abs(row.simulated / row.measured - 1) <= 0.1 for row in predicted) == score.within
    assert sum(abs(1 / row.measured - 1) <= 0.1 for row in predicted) == score.null_within
    assert all(row.number.repeats == 0.17 for row in found.rows if "Zhang" in row.number.source)


def test_a_system_call_is_fitted_on_small_reads(tmp_path: Path) -> None:
    """A machine that takes 500 ns more a read, known by two cells of it: factor 1 and 500 ns come out."""
    make = partial(ensure_image, root=tmp_path / "images")
    (tmp_path / "e.toml").write_text(
        EXPERIMENT.replace("[matrix]", '[matrix]\n"workload.job.bs" = ["4k", "64k"]')
    )
    rates = {}
    for bs in ("4k", "64k"):
        sets = ["machine.syscall=500ns", f"workload.job.bs={bs}", "path=page_io"]
        (cell,) = load_experiment(tmp_path / "e.toml", sets).cells
        rates[bs] = run_cell(cell, make(cell), False).metrics["throughput_mib_s"]
    text = GOOD.replace(
        'cell = { path = "buffer_head" }\nmetric', 'cell = { path = "page_io", bs = "64k" }\nmetric'
    )
    text = text.replace("measured = 1000\nabout", f"measured = {rates['64k']}\nabout")
    small = f'small_cell = {{ path = "page_io", bs = "4k" }}\nsmall_measured = {rates["4k"]}\nabout'
    text = text.replace("about", small, 1).replace(
        '{ path = "buffer_head" }, ', '{ path = "buffer_head", bs = "4k" }, '
    )
    text = text.replace('cell = { path = "page_io" }, over', 'cell = { path = "page_io", bs = "4k" }, over')
    (tmp_path / MEASURED).write_text(text)
    scale = compare(tmp_path, make).scales["m"]
    assert 500 == pytest.approx(scale.syscall_ns, abs=2)
    assert 1 == pytest.approx(scale.factor, rel=1e-3)


def test_what_the_published_numbers_say_the_simulator_says_too(found: Comparison) -> None:
    """
    Large folios win on RAM and on holes, most where reads are large; iomap against ext4's own path on large
    folios wins nothing to speak of; a slow device hides all.
    """
    simulated = {row.key: row.simulated for row in found.rows}
    for number in ("N2a", "N2b", "N3"):
        assert (
            1.1 < simulated[f"{number} bs 4k"] < simulated[f"{number} bs 64k"] < simulated[f"{number} bs 1M"]
        )
    assert all(abs(value - 1) < 0.1 for key, value in simulated.items() if key.startswith("N5 b"))
    assert 1.0 == pytest.approx(simulated["N12 throughput"], abs=0.001)
    assert simulated["N2b cached bs 64k"] > simulated["N2b bs 64k"]
    assert simulated["N8 HDD"] < simulated["N8 SSD"] < 1  # the device's time comes on top of the cipher's


EXPERIMENT = """
title = "t"
data = "off"
[device]
profile = "ramdisk"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "256KiB" }]
[workload]
job = { rw = "read", bs = "64k" }
[matrix]
path = ["buffer_head", "page_io"]
"""
GOOD = """
[[machine]]
name = "m"
experiment = "e"
cell = { path = "buffer_head" }
metric = "throughput_mib_s"
measured = 1000
about = "a"
[[number]]
id = "X"
what = "w"
source = "s"
experiment = "e"
machine = "m"
metric = "throughput_mib_s"
rows = [
    { label = "ratio", cell = { path = "page_io" }, over = { path = "buffer_head" }, ratio = [2, 1] },
    { label = "value", cell = { path = "buffer_head" }, measured = 1000 },
]
"""


def folder(at: Path, text: str = GOOD) -> Path:
    """Write a small folder of published numbers."""
    (at / "e.toml").write_text(EXPERIMENT)
    (at / MEASURED).write_text(text)
    return at


def test_one_factor_moves_no_ratio(tmp_path: Path) -> None:
    """A machine twice as slow has half the throughput in both cells, and the same ratio."""
    make = partial(ensure_image, root=tmp_path / "images")
    once = compare(folder(tmp_path), make)
    twice = compare(folder(tmp_path, GOOD.replace("1000", "500")), make)
    assert 2.0 == pytest.approx(twice.scales["m"].factor / once.scales["m"].factor, abs=1e-9)
    assert once.rows[0].simulated == pytest.approx(twice.rows[0].simulated, rel=0.002)
    assert 1000 == pytest.approx(once.rows[1].simulated, rel=0.005)
    assert 500 == pytest.approx(twice.rows[1].simulated, rel=0.005)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{ path = "page_io" }', '{ path = "mpage" }', "is 0 cells of it"),
        ('machine = "m"', 'machine = "n"', "no machine 'n'"),
        ("ratio = [2, 1]", "measured = 2", "a row is a value or a ratio"),
        ('metric = "throughput_mib_s"\nrows', 'metric = "speed"\nrows', "no metric 'speed'"),
        ('experiment = "e"\nmachine', 'reason = "r"\nmachine', "X has rows, or a reason why not"),
        ('about = "a"', 'about = "a"\nsmall_cell = { path = "page_io" }', "both, or neither"),
        ('about = "a"', 'about = "a"\nsmall_measured = 10', "m has one of small_cell and small_measured"),
        (
            'about = "a"',
            'about = "a"\nsmall_cell = { path = "buffer_head" }\nsmall_measured = 10',
            "m: cell and small_cell read alike",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """Cells that are not there, machines, metrics, rows of both kinds."""
    assert old in GOOD
    with pytest.raises(ConfigError, match=message):
        compare(folder(tmp_path, GOOD.replace(old, new, 1)), partial(ensure_image, root=tmp_path / "images"))


def _ratios(*errors: float) -> Comparison:
    """Return a comparison of measured ratios of 2, simulated so far off."""
    row = PublishedRow(label="r", cell={}, over={"path": "mpage"}, ratio=(2.0, 1.0))
    number = PublishedNumber(id="X", what="w", source="s", experiment="e", rows=(row,))
    rows = tuple(Compared(number, row, 2.0, 2.0 * (1 + error), False) for error in errors)
    return Comparison(rows, {}, (), ())


def test_a_score_has_the_median_of_its_errors() -> None:
    """Of two errors their mean, of three the middle one; of none there is no score, and that is said."""
    assert [0.15, 0.2, None] == [
        found.score.median_error and round(found.score.median_error, 9)
        for found in (_ratios(0.1, -0.2), _ratios(0.3, -0.1, 0.2), _ratios())
    ]
    assert "median error 15.0 %" in verb.score_line(_ratios(0.1, -0.2))
    assert "no ratio is predicted" == verb.score_line(_ratios())


def test_the_command_shows_errors_and_fails_on_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad error is shown and no failure; a value other than the recorded one is; --update records it."""
    monkeypatch.setattr(verb, "FOLDER", folder(tmp_path))

    def run(*words: str) -> tuple[int, str]:
        code = verb.validate_published("--update" in words, True, tmp_path, tmp_path / "images")
        return code, (tmp_path / SIMULATED).read_text()

    assert 0 == run("--update")[0]
    recorded: dict[str, Any] = json.loads((tmp_path / SIMULATED).read_text())
    assert {"factor of m", "system call of m, ns", "X ratio", "X value"} == set(recorded)
    assert abs(recorded["X ratio"] / 2 - 1) > 0.1  # far off, and yet the exit code was 0
    (tmp_path / SIMULATED).write_text(json.dumps(recorded | {"X ratio": 3.0}))
    assert 1 == run()[0]


def test_update_alone_is_no_verb() -> None:
    """--update without --published is a mistake, not ignored."""
    result = CliRunner().invoke(app, ["validate", "--update"])
    assert (2, True) == (result.exit_code, "--published" in result.output)


def test_a_profile_may_build_on_another(tmp_path: Path) -> None:
    """What a profile does not say is its base's; a base is a name, not a file."""
    from sim.engine.costs import load_costs

    text = tomllib.loads((FOLDER / "profiles" / "cold_memory.toml").read_text())
    cold, base = load_costs(str(FOLDER / "profiles" / "cold_memory.toml")), load_costs(text["base"])
    changed = {symbol for symbol in base.costs if cold.costs[symbol] != base.costs[symbol]}
    assert set(text["cost"]) == changed
    assert set(base.costs) == set(cold.costs)
    (tmp_path / "mine.toml").write_text('base = "other.toml"\n')
    with pytest.raises(ConfigError, match="is a file"):
        load_costs(str(tmp_path / "mine.toml"))
