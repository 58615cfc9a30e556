"""The claims on checksums with a reader that verifies, and with one that leaves it out."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from claims_kit import CLAIMS, EXPERIMENTS

from sim.claims.verdicts import Cells, evaluate
from sim.experiment.loading import load_experiment
from sim.experiment.runner import execute
from sim.machine.run_cell import run_cell
from sim.paths.checksums.verification import Verification
from sim.volume.images import ensure_image

VERIFIED = ("every-block-that-is-read-is-verified", "every-run-that-is-read-is-verified")


def verdicts(folder: Path) -> dict[str, str]:
    """Return the verdicts of the claims about verifying, on a file of 512 KiB read in sequence."""
    sets = [
        'volume.files=[{name="data",size="512KiB"}]',
        'workload.job=[{label="sequential",rw="read",bs="128k",fadvise_hint=0}]',
        'cache.status=["warm"]',
        "run.seeds=1",
    ]
    experiment = load_experiment(EXPERIMENTS / "checksum_layouts.toml", sets)
    make = partial(ensure_image, root=folder / "images")
    run = execute(experiment, folder / "run", run_cell, make, draw=lambda *_run, **_each: None)
    wanted = [claim for claim in CLAIMS["checksum_layouts"] if claim.name in VERIFIED]
    assert len(VERIFIED) == len(wanted)
    return {claim.name: evaluate(claim, Cells(run)).verdict for claim in wanted}


def test_who_verifies_holds_the_claims(tmp_path: Path) -> None:
    """Every block and every run is held against its checksum."""
    assert dict.fromkeys(VERIFIED, "held") == verdicts(tmp_path)


def test_who_leaves_it_out_fails_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held against anything: the bytes are right all the same, and the claims say it."""
    monkeypatch.setattr(Verification, "_bad", lambda *_: [])
    assert dict.fromkeys(VERIFIED, "failed") == verdicts(tmp_path)
