"""
readpath sensitivity: which constants the claims of an experiment hang on.
"""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from sim import __version__
from sim.claims.claims import load_claims
from sim.claims.sensitivity import Effect, Outcome, Sensitivity, Study, chosen, sensitivity
from sim.cli.render import console, print_table, progress
from sim.config.cell import Experiment
from sim.errors import ConfigError
from sim.experiment.estimate import refuse_too_much
from sim.experiment.loading import load_experiment
from sim.experiment.results import write_json, written_aside
from sim.report.table import Column, Table
from sim.shipped import experiment_file, here_or_shipped
from sim.volume.images import ensure_image

FOLDER = Path("results/sensitivity")
SHOWN = 5


def sensitivity_of(
    file: Path,
    names: list[str],
    sets: list[str],
    output: Path | None,
    claims: Path,
    jobs: int,
    images: Path,
    top: int,
    as_json: bool,
    force: bool,
) -> None:
    """
    Print what the claims of the experiment `file` hang on, and write it, with figures, to a directory.

    names: only these claims. top: constants per figure. force: however long it would take.
    Raises ReadpathError for what cannot be used.
    """
    from sim.report.tornado import draw_tornados

    experiment = load_experiment(experiment_file(file), [*sets, "data=off"])
    by_experiment = load_claims(here_or_shipped(claims))
    if experiment.stem not in by_experiment:
        raise ConfigError(str(claims), f"has no claims on {experiment.stem!r}", ", ".join(by_experiment))
    wanted = chosen(by_experiment[experiment.stem], names)
    workers = min(jobs or len(os.sched_getaffinity(0)), len(experiment.cells))
    if not force:
        refuse_too_much(experiment, workers, "less, or --force to run it all the same")
    with progress(wanted=not as_json) as watch:
        study = sensitivity(experiment, wanted, partial(ensure_image, root=images), workers, watch)
    target = output or FOLDER / f"{experiment.stem}-{experiment.config_hash[:8]}"
    document = _document(experiment, study)
    with written_aside(target) as folder:
        write_json(folder / "manifest.json", document)
        (folder / "figures").mkdir()
        foot = f"{experiment.stem}   config {experiment.config_hash[:12]}   readpath {__version__}"
        draw_tornados(study.claims, folder / "figures", foot, top)
    if as_json:
        print(json.dumps({"folder": str(target)} | document, indent=2))
        return
    out = console()
    _print(experiment, study, out)
    out.print(f"figures {target / 'figures'}", markup=False, highlight=False, soft_wrap=True)


def _print(experiment: Experiment, study: Study, out: Console) -> None:
    columns = (
        Column("claim", "claim"),
        Column("constant, moved by its spread", "constant"),
        Column("from", "from", ".4g"),
        Column("to", "to", ".4g"),
        Column("unit", "unit"),
        Column("value at the lower end", "low", ".4g"),
        Column("as given", "base", ".4g"),
        Column("at the upper end", "high", ".4g"),
        Column("margin", "margin"),
        Column("verdict", "verdict"),
    )
    rows = [row for one in study.claims if one.effects for row in _rows(one)]
    print_table(Table(columns, tuple(rows), ("name",)), out, f"{experiment.title}: what the claims hang on")
    counts = [one.claim.name for one in study.claims if one.how == "counts"]
    robust = [one.claim.name for one in study.claims if one.how != "counts" and one.robust]
    turned = [one.claim.name for one in study.claims if one.turning]
    for names, words in (
        (counts, "claims are on counts and hang on no constant"),
        (robust, "hold their verdict with all constants at their worse ends at once"),
        (turned, "change their verdict with a single constant"),
    ):
        line = f"{len(names)} {words}{': ' + ', '.join(names) if names else ''}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    line = (
        f"computed from calls; against {study.runs} runs with all constants at one end, CPU time is off by at"
        f" most {100 * study.error:.2g} % ({study.unequal} of them make other calls)"
    )
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def _rows(one: Sensitivity) -> list[dict[str, Any]]:
    """Return a claim's largest effects, those that change its verdict, and all constants together."""
    picked = [effect for effect in one.effects if effect in one.effects[:SHOWN] or effect in one.turning]
    rows = [
        {
            "constant": effect.constant.title,
            "from": effect.constant.at(-1),
            "to": effect.constant.at(1),
            "unit": effect.constant.unit,
            "low": effect.low.value,
            "high": effect.high.value,
            "verdict": _verdicts(one, effect.low, effect.high),
        }
        for effect in picked
    ]
    whole = {"constant": "all, each at its worse end", "from": None, "to": None, "unit": ""}
    rows.append(
        whole
        | {"low": one.lowest.value, "high": one.highest.value}
        | {"verdict": _verdicts(one, one.lowest, one.highest)}
    )
    shared = {"name": one.claim.name, "base": one.base.value, "margin": one.claim.rule()}
    return [row | shared | {"claim": "" if at else one.claim.name} for at, row in enumerate(rows)]


def _verdicts(one: Sensitivity, low: Outcome, high: Outcome) -> str:
    """Return the verdict, and what it becomes at an end that changes it."""
    changed = [
        f"{end}: {outcome.verdict}"
        for end, outcome in (("lower", low), ("upper", high))
        if outcome.verdict != one.base.verdict
    ]
    return ", ".join([one.base.verdict, *changed])


def _document(experiment: Experiment, study: Study) -> dict[str, Any]:
    return {
        "experiment": experiment.stem,
        "config_hash": experiment.config_hash,
        "computed_error": study.error,
        "runs_with_other_calls": study.unequal,
        "runs": study.runs,
        "claims": [
            {
                "name": one.claim.name,
                "measure": one.claim.describe(),
                "kind": one.claim.kind,
                "margin": one.claim.margin,
                "how": one.how,
                "at": list(one.at),
                "value": one.base.value,
                "verdict": one.base.verdict,
                "robust": one.robust,
                "lowest": _ended(one.lowest),
                "highest": _ended(one.highest),
                "constants": [_effect(effect) for effect in one.effects],
            }
            for one in study.claims
        ],
    }


def _effect(effect: Effect) -> dict[str, Any]:
    constant = effect.constant
    return {
        "constant": constant.title,
        "where": constant.where,
        "profile": Path(constant.profile).name,
        "value": constant.value,
        "unit": constant.unit,
        "spread": constant.spread,
        "low": _ended(effect.low),
        "high": _ended(effect.high),
    }


def _ended(outcome: Outcome) -> dict[str, Any]:
    return {"value": outcome.value, "verdict": outcome.verdict}
