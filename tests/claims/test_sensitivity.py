"""Sensitivity: computed equals run, constants turn the claims that hang on them, the command's output."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from claims_kit import claim
from typer.testing import CliRunner

from sim.claims.claims import Claim
from sim.claims.constants import Constant, constants_of, moved_costs, repriced, tally
from sim.claims.sensitivity import Sensitivity, sensitivity
from sim.cli.main import app
from sim.config.cell import Experiment
from sim.config.cell_result import CellResult
from sim.engine.costs import DEFAULT_MACHINE, load_costs
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.volume.images import ensure_image

MACHINE = DEFAULT_MACHINE

TEXT = """
title = "two paths"
data = "off"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "256KiB", layout = { kind = "fragmented", extent = "16KiB" } }]
[workload]
job = { rw = "read", bs = "128k" }
[cache]
status = "all_cold"
[matrix]
path = ["buffer_head", "page_io"]
"""


QUIET = ("device.profile=null_blk",)
"""A device that does not interrupt: how many interrupts there are hangs on how long each takes."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of images for all tests here."""
    return tmp_path_factory.mktemp("images")


def experiment(folder: Path, *sets: str) -> Experiment:
    """Return the experiment of TEXT."""
    (folder / "e.toml").write_text(TEXT)
    return load_experiment(folder / "e.toml", sets)


def found(folder: Path, images: Path, one: Claim, *sets: str) -> Sensitivity:
    """Return what one claim hangs on."""
    study = sensitivity(experiment(folder, *sets), [one], partial(ensure_image, root=images))
    return study.claims[0]


def shown(result: CellResult) -> list[Any]:
    """Return all that a claim on CPU time may ask of a result."""
    cpu = {name: value for name, value in result.metrics.items() if name.startswith("cpu_")}
    return [cpu, sorted(result.calls, key=lambda row: (row.stack, row.symbol, row.context))]


@pytest.mark.parametrize("device", ["nvme", "ramdisk"])
@pytest.mark.parametrize(
    ("symbol", "part"),
    [
        ("ext4_map_blocks", "self"),
        ("ext4_es_lookup_extent", "unit"),
        ("filemap_read", "unit"),
        ("__filemap_add_folio", "self"),
        ("copy_page_to_iter", "unit"),
        ("end_buffer_async_read", "self"),
    ],
)
def test_computed_is_what_a_run_gives_to_the_integer(
    tmp_path: Path, images: Path, symbol: str, part: str, device: str
) -> None:
    """CPU time of every context and symbol at another constant: computed from the calls, and run."""
    costs = load_costs(MACHINE)
    unit = "ns" if part == "self" else "ns/x"
    constant = Constant("machine", MACHINE, symbol, part, 1.0, unit, 0.37)
    for cell in experiment(tmp_path, f"device.profile={device}").cells:
        image = ensure_image(cell, images)
        base = tally(cell, image, {})
        for end in (-1, 1):
            computed = repriced(base, moved_costs(costs, MACHINE, {constant: end}))
            assert shown(tally(cell, image, {constant: end}).result) == shown(computed)
            if device == "nvme" and (cell.config.path == "buffer_head" or symbol != "end_buffer_async_read"):
                assert base.result.metrics["cpu_ns"] != computed.metrics["cpu_ns"]


def test_constants_are_those_that_the_runs_charge(tmp_path: Path, images: Path) -> None:
    """No constant of the cipher on a plain file, none without spread, each end within its interval."""
    cells = experiment(tmp_path).cells
    constants = constants_of((cell, tally(cell, ensure_image(cell, images), {})) for cell in cells)
    titles = [constant.title for constant in constants]
    assert "xts_decrypt" not in titles
    assert "copy_page_to_iter per byte" in titles
    assert ["nvme: bandwidth", "nvme: command_ns", "nvme: flash_read_ns"] == titles[:3]
    assert all(0 <= constant.at(-1) < constant.value < constant.at(1) for constant in constants)


def test_a_tight_margin_turns_on_a_constant_and_a_loose_one_does_not(tmp_path: Path, images: Path) -> None:
    """A margin just below the ratio fails with some constant alone; one far below never does."""
    ratio = found(tmp_path, images, claim(margin=1.0), *QUIET).base.value
    assert ratio is not None
    tight = found(tmp_path, images, claim(margin=ratio * 0.999), *QUIET)
    assert "computed" == tight.how
    assert "alloc_buffer_head" in [effect.constant.title for effect in tight.turning]
    assert ("held", "failed", "held") == (tight.base.verdict, tight.lowest.verdict, tight.highest.verdict)
    loose = found(tmp_path, images, claim(margin=0.5), *QUIET)
    assert loose.robust
    assert [] == loose.turning
    swings = [effect.swing for effect in tight.effects]
    assert sorted(swings, reverse=True) == swings


def test_elapsed_time_is_run_and_hangs_on_the_device(tmp_path: Path, images: Path) -> None:
    """The latency of the flash moves elapsed time, as much as any constant but one; CPU time not at all."""
    elapsed = claim(
        measure={"metric": "elapsed_ns"}, of={"path": "page_io"}, over={}, kind="at most", margin=1e9
    )
    one = found(tmp_path, images, elapsed, "path=page_io")
    assert "run" == one.how
    assert "nvme: flash_read_ns" in [effect.constant.title for effect in one.effects[:2]]
    cpu = claim(of={"path": "page_io"}, over={}, kind="at most", margin=1e9)
    named = [effect.constant.where for effect in found(tmp_path, images, cpu).effects]
    assert {"machine"} == set(named)


def test_counts_hang_on_nothing(tmp_path: Path, images: Path) -> None:
    """A claim on calls has no effects at all."""
    one = found(
        tmp_path, images, claim(measure={"calls": ["ext4_map_blocks"]}, kind="equal", margin=4, over={})
    )
    assert ("counts", (), True) == (one.how, one.effects, one.robust)


CLAIMS = """
experiment = "e"
[[claim]]
name = "half-as-much-again"
sentence = "Buffer heads cost half as much again"
source = "a test"
measure = { metric = "cpu_ns" }
of = { path = "buffer_head" }
over = { path = "page_io" }
kind = "at least"
margin = 1.2
margin_source = "planted"
"""


def test_the_command_writes_the_same_bytes_with_any_number_of_workers(tmp_path: Path, images: Path) -> None:
    """manifest.json and both figures, from one worker and from two."""
    experiment(tmp_path)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "c.toml").write_text(CLAIMS)
    written = []
    for jobs in ("1", "2"):
        words = [
            "sensitivity",
            str(tmp_path / "e.toml"),
            "--claims",
            str(tmp_path / "claims"),
            "--set",
            *QUIET,
        ]
        words += ["--images", str(images), "-o", str(tmp_path / jobs), "-j", jobs, "--json"]
        result = CliRunner().invoke(app, words)
        assert 0 == result.exit_code, result.output
        files = sorted(path for path in (tmp_path / jobs).rglob("*") if path.is_file())
        written.append({path.relative_to(tmp_path / jobs).as_posix(): path.read_bytes() for path in files})
    assert written[0] == written[1]
    names = [f"figures/tornado_half-as-much-again.{form}" for form in ("png", "svg")]
    assert [*names, "manifest.json"] == sorted(written[0])
    said = json.loads(written[0]["manifest.json"])["claims"][0]
    assert ("computed", ["buffer_head"]) == (said["how"], said["at"])
    assert said["lowest"]["value"] < said["value"] < said["highest"]["value"]


def test_an_unknown_claim_is_a_mistake(tmp_path: Path) -> None:
    """Exit code 2 and the names there are; so for an experiment without claims."""
    experiment(tmp_path)
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "c.toml").write_text(CLAIMS)
    words = ["sensitivity", str(tmp_path / "e.toml"), "--claims", str(tmp_path / "claims")]
    result = CliRunner().invoke(app, [*words, "--claim", "no"])
    assert (2, True) == (result.exit_code, "allowed: half-as-much-again" in result.output)
    result = CliRunner().invoke(app, ["sensitivity", str(tmp_path / "e.toml")])
    assert (2, True) == (result.exit_code, "has no claims on 'e'" in result.output)


def test_a_spread_that_is_none_is_refused() -> None:
    """A device constant's spread is a relative half-width below 1."""
    from sim.block.device.profile import parse_device_profile

    text = (Path(__file__).parents[2] / "sim/profiles/devices/nvme.toml").read_text()
    with pytest.raises(ConfigError, match="is no relative half-width"):
        parse_device_profile("mine.toml", "mine", text.replace("spread = 0.1", "spread = 1.5"))
