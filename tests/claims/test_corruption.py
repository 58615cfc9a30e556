"""The claims about corruption on one cell: they hold, and without a verification they fail."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from claims_kit import CLAIMS, EXPERIMENTS

from sim.claims.verdicts import Cells, evaluate
from sim.experiment.loading import load_experiment
from sim.experiment.runner import execute
from sim.fs.merkle import Verified, VerityState
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

SETS = [
    "scheme=fs-verity",
    "by=page_io of 6.1",
    "faults=flip on the medium",
    "run.seeds=1",
    "volume.files.size=4MiB",
]


def verdicts(folder: Path) -> dict[str, str]:
    """Return what a run of the cell says of the claims about fs-verity, there alone."""
    small = load_experiment(EXPERIMENTS / "corruption.toml", SETS)
    make = partial(ensure_image, root=folder / "images")
    run = execute(small, folder / "run", run_cell, make, draw=lambda *_run, **_each: None)
    claims = [claim for claim in CLAIMS["corruption"] if claim.name.startswith("fs-verity")]
    found = [evaluate(claim.model_copy(update={"elsewhere": ()}), Cells(run)) for claim in claims]
    return {finding.claim.name: finding.verdict for finding in found}


def test_they_hold(tmp_path: Path) -> None:
    """No wrong data, no fault that goes unnoticed."""
    assert {
        "fs-verity-gives-no-wrong-data": "held",
        "fs-verity-notices-every-fault": "held",
    } == verdicts(tmp_path)


def test_without_a_verification_they_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that hashes and does not compare: wrong data, unnoticed."""
    honest = VerityState.verify

    def careless(self: VerityState, block: int, content: memoryview | None = None) -> Verified:
        return honest(self, block, content)._replace(bad=-1)

    monkeypatch.setattr(VerityState, "verify", careless)
    assert {
        "fs-verity-gives-no-wrong-data": "failed",
        "fs-verity-notices-every-fault": "failed",
    } == verdicts(tmp_path)
