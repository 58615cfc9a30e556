"""readpath check: exit codes, baselines and what is printed, on runs of the fabricated core."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from claims_kit import EXPERIMENTS
from fabricated import fabricated_cell, no_image

from sim.claims.baseline import Key, against_baseline, key_of, read_baseline
from sim.claims.claims import load_claims
from sim.claims.verdicts import Cells, evaluate
from sim.cli.check import check_claims
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import load_run, write_json
from sim.experiment.runner import execute

TEXT = """\
title = "Small"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
path = ["buffer_head", "page_io"]
"""
CLAIM = """\
experiment = "e"
[[claim]]
name = "slow"
sentence = "Buffer heads cost more"
source = "the fabricated core: 150 ns a page against 101.5625"
measure = { metric = "cpu_ns_per_4k" }
of = { path = "buffer_head" }
over = { path = "page_io" }
kind = "at least"
margin = 1.3
margin_source = "planted"
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """A working directory with an experiment, a claim on it and a run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "claims").mkdir(parents=True)
    (tmp_path / "experiments" / "e.toml").write_text(TEXT)
    _claims(tmp_path, CLAIM)
    _run(tmp_path)
    return tmp_path


def _claims(here: Path, text: str) -> None:
    (here / "experiments" / "claims" / "a.toml").write_text(text)


def _run(here: Path, *sets: str) -> None:
    experiment = load_experiment(here / "experiments" / "e.toml", sets)
    execute(experiment, Path("run"), fabricated_cell, no_image, draw=lambda *_run, **_each: None)


def _check(folder="run", baseline=None, update=False, as_json=False, junit=None) -> int:
    claims = Path("experiments/claims")
    run = None if folder is None else Path(folder)
    return check_claims(run, baseline and Path(baseline), claims, update, as_json, junit)


def test_exit_codes(here, capsys):
    """0: all held. 1: one failed. 2: none failed, one cannot be told."""
    assert _check() == 0
    assert "1 held; 1 seed" in capsys.readouterr().out
    _claims(here, CLAIM.replace("1.3", "1.5"))
    assert _check() == 1
    assert "slow: 1.47692 at buffer_head, should be at least 1.5" in capsys.readouterr().out
    _claims(here, f"{CLAIM}seeds = 3\n")
    assert _check() == 2
    assert "slow: 1 seeds; this claim needs 3" in capsys.readouterr().out


def test_quiet_tells_only_what_did_not_hold(here, capsys):
    """-q: nothing when all held; else a line with the run and the verdicts, on standard error."""
    run, claims = Path("run"), Path("experiments/claims")

    def quietly() -> tuple[int, str, str]:
        code = check_claims(run, None, claims, False, False, None, quiet=True)
        return code, *capsys.readouterr()

    assert quietly() == (0, "", "")
    _claims(here, CLAIM.replace("1.3", "1.5"))
    assert quietly() == (1, "", "readpath: run: 1 failed; 1 seed\n")
    _claims(here, f"{CLAIM}seeds = 3\n")
    assert quietly() == (2, "", "readpath: run: 1 cannot tell; 1 seed\n")


@pytest.mark.usefixtures("here")
def test_an_update_shows_the_difference_then_writes(capsys):
    """--update-baseline prints what changes and records it; then the committed run is checked by itself."""
    with pytest.raises(ConfigError, match="has no committed run"):
        _check(folder=None)
    assert _check(update=True) == 0
    out = capsys.readouterr().out
    assert "slow: buffer_head: nothing -> 1.47692" in out
    assert "baseline results/reference/e: 1 values change" in out
    names = sorted(path.name for path in Path("results/reference/e").iterdir())
    assert names == ["calls.parquet", "claims.json", "histograms.parquet", "manifest.json", "metrics.parquet"]
    assert (_check(folder=None), _check(baseline="results/reference/e")) == (0, 0)
    assert _check(update=True) == 0
    assert "baseline results/reference/e: 0 values change" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_an_update_keeps_what_it_does_not_know():
    """A note beside a baseline is still there after it was written again."""
    _check(update=True)
    Path("results/reference/e/README.md").write_text("why")
    _check(update=True)
    assert Path("results/reference/e/README.md").read_text() == "why"


def test_another_configuration_is_stale(here, capsys):
    """A changed experiment file makes the committed run stale; a run of it cannot be held against the old."""
    _check(update=True)
    (here / "experiments" / "e.toml").write_text(TEXT.replace("1MiB", "2MiB"))
    assert _check(folder=None) == 2
    assert "1 stale" in capsys.readouterr().out
    _run(here)
    assert _check() == 0
    assert _check(baseline="results/reference/e") == 2
    assert "the baseline is of configuration" in capsys.readouterr().out
    assert _check(update=True) == 0
    assert _check(folder=None) == 0


@pytest.mark.usefixtures("here")
def test_another_model_is_stale(monkeypatch, capsys):
    """A run of an older model is stale, and is refused as a baseline."""
    _check(update=True)
    monkeypatch.setattr("sim.cli.check.model_digest", lambda: "f" * 64)
    assert (_check(folder=None), _check()) == (2, 2)
    assert "slow: the run is of model" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="cannot become a baseline: model"):
        _check(update=True)


def test_a_failure_is_not_hidden_by_staleness(here, monkeypatch):
    """What failed fails, whatever the baseline is of."""
    _check(update=True)
    monkeypatch.setattr("sim.cli.check.model_digest", lambda: "f" * 64)
    _claims(here, CLAIM.replace("1.3", "1.5"))
    assert _check(folder=None) == 1


@pytest.mark.usefixtures("here")
def test_the_same_key_must_give_the_same_value(capsys):
    """Same configuration and model, another value: failed, though the margin holds."""
    _check(update=True)
    path = Path("results/reference/e/claims.json")
    said = json.loads(path.read_text())
    said["claims"]["slow"]["buffer_head"] = [1.5]
    write_json(path, said)
    assert _check(baseline="results/reference/e") == 1
    assert "yet 1.5 became 1.47692 at buffer_head" in capsys.readouterr().out


def test_a_claim_the_baseline_does_not_have_is_stale(here):
    """A new claim that holds is stale until it is recorded."""
    _check(update=True)
    _claims(here, CLAIM + CLAIM.partition("\n")[2].replace('"slow"', '"new"'))
    finding = evaluate(load_claims(Path("experiments/claims"))["e"][1], Cells(load_run(Path("run"))))
    baseline = read_baseline(Path("results/reference/e"))
    key = key_of(load_run(Path("run")))
    assert against_baseline(finding, key, baseline).verdict == "stale"
    assert _check(folder=None) == 2
    other = replace(baseline, key=Key(key.config, "f" * 64))
    assert against_baseline(finding, key, other).verdict == "stale"


def test_an_experiment_without_a_committed_run_is_named(here, capsys):
    """Claims that nothing is there to check are not passed over: they are named, and the exit code is 2."""
    _check(update=True)
    other = CLAIM.replace('"e"', '"other"').replace('"slow"', '"new"')
    (here / "experiments" / "claims" / "b.toml").write_text(other)
    (here / "experiments" / "other.toml").write_text(TEXT)
    capsys.readouterr()
    assert _check(folder=None) == 2
    out = capsys.readouterr().out
    assert "1 held; 1 seed" in out
    assert "other: 1 claims and no run in results/reference: make baselines" in out
    assert _check() == 0  # of one run alone nothing is missing
    capsys.readouterr()
    assert _check(folder=None, as_json=True) == 2
    *_, last = json.loads(capsys.readouterr().out)
    assert ("other", None, []) == (last["experiment"], last["run"], last["claims"])


@pytest.mark.usefixtures("here")
def test_a_baseline_keeps_no_trace():
    """What a check does not need is not committed: only three tables and the manifest are taken."""
    Path("run/io.parquet").write_bytes(b"large")
    _check(update=True)
    assert not Path("results/reference/e/io.parquet").exists()
    assert load_run(Path("run")).manifest == load_run(Path("results/reference/e")).manifest


def test_json_and_junit(here, capsys, tmp_path):
    """--json has every value; JUnit has a test case per claim, a failure where one failed."""
    _claims(here, CLAIM.replace("1.3", "1.5"))
    junit = tmp_path / "out.xml"
    assert _check(as_json=True, junit=junit) == 1
    (document,) = json.loads(capsys.readouterr().out)
    (claim,) = document["claims"]
    (point,) = claim["parts"][0]["points"]
    assert (claim["verdict"], point["labels"], point["values"]) == (
        "failed", {"path": "buffer_head"}, [150 / 101.5625],
    )  # fmt: skip
    suite = ElementTree.parse(junit).getroot()[0]
    assert suite.attrib == {"name": "e", "tests": "1", "failures": "1", "errors": "0"}
    assert [problem.tag for problem in suite[0]] == ["failure"]
    assert "found 1.47692 at buffer_head" in suite[0][0].attrib["message"]


def test_claims_on_other_experiments_are_a_mistake(here):
    """A run nobody claims anything about names the experiments there are claims on."""
    _claims(here, CLAIM.replace('"e"', '"other"'))
    (here / "experiments" / "other.toml").write_text(TEXT)
    with pytest.raises(ConfigError, match="has no claims on 'e'; allowed: other"):
        _check()


def test_claims_on_no_experiment_are_a_mistake(here):
    """A misspelt experiment would never be checked: the file is named, whatever else held."""
    (here / "experiments" / "device_bound.toml").write_text(TEXT)
    misspelt = CLAIM.replace('"e"', '"device_bnd"').replace('"slow"', '"new"')
    (here / "experiments" / "claims" / "b.toml").write_text(misspelt)
    with pytest.raises(ConfigError, match=r"b\.toml: experiment: 'device_bnd' .* mean 'device_bound'\?"):
        _check()
    (here / "experiments" / "claims" / "b.toml").rename(here / "experiments" / "claims" / "device_bnd.toml")
    assert _check(update=True) == 0


def test_the_committed_claims_name_cells_that_are_there():
    """No label of a shipped claim is misspelt: the experiment it is about has each of them."""
    for stem, claims in load_claims(EXPERIMENTS / "claims").items():
        axes = dict(load_experiment(EXPERIMENTS / f"{stem}.toml").axes)
        known = {label for labels in axes.values() for label in labels}
        named = {label for claim in claims for labels in claim.of.values() for label in labels}
        named |= {label for claim in claims for label in (claim.over | claim.less).values()}
        assert named - known == set()
