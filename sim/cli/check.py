"""
readpath check: claims against a run, and a run against its baseline.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich.box
import rich.markup
import rich.table
from rich.console import Console

from sim.claims.baseline import (
    FILE,
    Key,
    against_baseline,
    against_model,
    difference,
    key_of,
    read_baseline,
    recorded,
    write_baseline,
)
from sim.claims.beside import Beside
from sim.claims.claims import Claim, load_claims, refuse_unknown_experiments
from sim.claims.intervals import AS_SAID
from sim.claims.verdicts import Cells, Finding, evaluate
from sim.cli.render import console
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run, load_run
from sim.experiment.versions import digest_with, model_digest, own_code
from sim.report.junit import write_junit
from sim.shipped import here_or_shipped
from sim.text import printable

REFERENCE, EXPERIMENTS = Path("results/reference"), Path("experiments")
HELD, FAILED, UNDECIDED = 0, 1, 2
SHOWN = 40
NARROW = 150
"""Columns of a terminal below which a table of claims would be all folds."""
_ABSENT: dict[str, Any] = {"run": None, "experiment": None, "baseline": None, "seeds": [], "claims": []}
"""What --json says of an experiment that has claims and no committed run."""
_COLOURS = {
    "held": "green",
    "definition": "cyan",
    "refuted": "blue",
    "failed": "bold red",
    "cannot tell": "yellow",
    "stale": "magenta",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """A run, its baseline if it has one, what its claims came to, and what an update would change there."""

    run: Run
    baseline: Path | None
    findings: list[Finding]
    changes: list[dict[str, Any]]


def check_claims(
    folder: Path | None,
    baseline: Path | None,
    claims: Path,
    update: bool,
    as_json: bool,
    junit: Path | None,
    quiet: bool = False,
) -> int:
    """
    Check the claims on a run, or on every committed run; print verdicts and return the exit code.

    folder: a run directory; None: those in results/reference, each its own baseline. baseline: what to hold
    it against; None with a folder: nothing. update: show what changes, write the baseline, then judge by it.
    quiet: print only, to standard error, a line for each run on which not every claim held.

    0: all held, or fail as they are marked to (refuted). 1: one failed. 2: none failed, but one cannot be
    told or is stale, or an experiment there are claims on has no committed run. Raises ReadpathError.
    """
    asked, claims = claims, here_or_shipped(claims)
    by_experiment = load_claims(claims)
    reference = REFERENCE if claims == asked else here_or_shipped(REFERENCE)  # those of the claims' own house
    runs = _runs(folder, baseline, update, reference)
    refuse_unknown_experiments(claims, [str(run.manifest["experiment"]) for run, _base in runs])
    done = [_check(run, base, by_experiment, claims, update) for run, base in runs]
    if junit is not None:
        write_junit(junit, {checked.run.manifest["experiment"]: checked.findings for checked in done})
    there = {checked.run.manifest["experiment"] for checked in done}
    absent = [] if folder or baseline else [name for name in by_experiment if name not in there]
    if as_json:
        documents = [_document(checked, update) for checked in done]
        print(json.dumps([*documents, *(_ABSENT | {"experiment": name} for name in absent)], indent=2))
    elif not quiet:
        for checked in done:
            _print(checked, update, console())
    for name in () if as_json else absent:
        words = f"{name}: {len(by_experiment[name])} claims and no run in {REFERENCE}: make baselines"
        _tell(words, quiet)
    for checked in done if quiet else ():
        if not {finding.verdict for finding in checked.findings} <= set(AS_SAID):
            _tell(f"{checked.run.path}: {_counted(checked)}", quiet)
    for checked in done if update else ():  # only now: the difference has been shown
        assert checked.baseline is not None
        write_baseline(checked.baseline, checked.run, checked.findings)
    verdicts = {finding.verdict for checked in done for finding in checked.findings}
    if "failed" in verdicts:
        return FAILED
    return HELD if verdicts and verdicts <= set(AS_SAID) and not absent else UNDECIDED


def _tell(words: str, quiet: bool) -> None:
    """Print a line; to standard error, as an error is, if nothing else is printed."""
    if quiet:
        print(printable(f"readpath: {words}"), file=sys.stderr)
    else:
        console().print(words, markup=False, highlight=False, soft_wrap=True)


def _name(run: Run) -> str:
    """Return the name of a run's experiment; ConfigError for one that would lead elsewhere, as ".." does."""
    name = str(run.manifest["experiment"])
    if name in ("", ".", "..") or set(name) & set("/\\\0"):
        raise ConfigError(str(run.path / "manifest.json"), f"experiment: {name!r}", "a name without slashes")
    return name


def _runs(
    folder: Path | None, baseline: Path | None, update: bool, reference: Path
) -> list[tuple[Run, Path | None]]:
    """Return the runs to check, each with the folder of its baseline, if it has one."""
    if folder is not None:
        run = load_run(here_or_shipped(folder))
        default = REFERENCE / _name(run) if update else None
        if baseline is not None and not update:
            baseline = here_or_shipped(baseline)
        return [(run, baseline or default)]
    if baseline is not None:
        baseline = baseline if update else here_or_shipped(baseline)
        return [(load_run(baseline), baseline)]
    committed = sorted(path.parent for path in reference.glob("*/manifest.json"))
    if not committed:
        raise ConfigError(str(REFERENCE), "has no committed run", "readpath check RUN")
    return [(load_run(path), path) for path in committed]


def _check(
    run: Run, baseline: Path | None, by_experiment: dict[str, list[Claim]], place: Path, update: bool
) -> Checked:
    experiment = str(run.manifest["experiment"])
    if experiment not in by_experiment:
        raise ConfigError(str(place), f"has no claims on {experiment!r}", ", ".join(by_experiment))
    cells, key = Cells(run), key_of(run)
    today = Key(_config_today(run, baseline, update), digest_with(model_digest(), own_code(run.manifest)))
    findings = [evaluate(claim, cells) for claim in by_experiment[experiment]]
    findings = [against_model(finding, key, today) for finding in findings]
    changes: list[dict[str, Any]] = []
    if baseline is not None:
        there = (baseline / FILE).is_file()
        if update:
            if key != today:
                problem = f"cannot become a baseline: {'; '.join(key.unlike(today))}"
                raise ConfigError(str(run.path), problem, "a run made now: readpath run")
            changes = difference(read_baseline(baseline).values if there else {}, recorded(findings))
        else:
            held = read_baseline(baseline)
            findings = [against_baseline(finding, key, held) for finding in findings]
    return Checked(run, baseline, findings, changes)


def _config_today(run: Run, baseline: Path | None, update: bool) -> str:
    """
    Return the hash that the experiment file has now, for a run that is, or shall be, the committed one.

    Any other run may well have been made with --set: its own hash will do.
    """
    file = here_or_shipped(EXPERIMENTS / f"{_name(run)}.toml")
    reference = here_or_shipped(REFERENCE).resolve()
    committed = baseline is not None and baseline.resolve().parent == reference
    if committed and (update or run.path == baseline) and file.is_file():
        return load_experiment(file).config_hash
    return str(run.manifest["config_hash"])


def _document(checked: Checked, update: bool) -> dict[str, Any]:
    run = checked.run
    document: dict[str, Any] = {
        "run": str(run.path),
        "experiment": run.manifest["experiment"],
        "baseline": None if checked.baseline is None else str(checked.baseline),
        "seeds": list(run.manifest["seeds"]),
        "claims": [_finding(finding, list(run.axes)) for finding in checked.findings],
    }
    return document | {"changes": checked.changes} if update else document


def _finding(finding: Finding, axes: list[str]) -> dict[str, Any]:
    claim = finding.claim
    return {
        "name": claim.name,
        "verdict": finding.verdict,
        "learnt": claim.learnt or None,
        "sentence": claim.said,
        "source": claim.source,
        "measure": claim.describe(),
        "kind": claim.kind,
        "margin": claim.margin,
        "margin_source": claim.margin_source,
        "holds": claim.holds,
        "figure": claim.figure or None,
        "recorded": _recorded(finding.recorded),
        "notes": list(finding.notes),
        "parts": [
            {
                "of": {name: list(labels) for name, labels in part.of.items()},
                "expect": part.expect,
                "because": part.because,
                "verdict": part.verdict,
                "points": [
                    {
                        "labels": dict(zip(axes, point.labels, strict=True)),
                        "verdict": point.verdict,
                        "values": list(point.values),
                        "mean": point.interval.mean,
                        "interval": [_finite(point.interval.low), _finite(point.interval.high)],
                    }
                    for point in part.points
                ],
            }
            for part in finding.parts
        ],
    }


def _recorded(found: Beside | None) -> dict[str, Any] | None:
    return None if found is None else {"ratio": found.ratio, "simulated_off": list(found.off)}


def _finite(value: float) -> float | None:
    """JSON has no infinity: null is an end that the seeds do not bound."""
    return value if abs(value) < float("inf") else None


def _print(checked: Checked, update: bool, out: Console) -> None:
    if out.width < NARROW:
        _print_in_lines(checked, out)
    else:
        _print_table(checked, out)
    for line in _explained(checked.findings):
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if update:
        _print_changes(checked, out)
    out.print(_counted(checked), markup=False, highlight=False, soft_wrap=True)


def _counted(checked: Checked) -> str:
    """Return how many claims came to what, in a line."""
    verdicts = [finding.verdict for finding in checked.findings]
    seeds = len(checked.run.manifest["seeds"])
    words = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _COLOURS if verdict in verdicts)
    return f"{words}; {seeds} {'seed' if seeds == 1 else 'seeds'}"


def _print_in_lines(checked: Checked, out: Console) -> None:
    """Print each claim's verdict and sentence, and below it what was found and what is claimed."""
    out.print(f"{checked.run.manifest['title']}: {checked.run.path}\n", markup=False, highlight=False)
    drawn = rich.table.Table.grid(padding=(0, 1))
    for finding in checked.findings:
        claim, worst, verdict = finding.claim, finding.worst, finding.verdict
        value = "-" if worst is None else f"{worst.interval.mean:.4g}"
        drawn.add_row(f"[{_COLOURS[verdict]}]{verdict:11}[/]", rich.markup.escape(claim.said))
        lines = (claim.describe(), f"{value} ({_ends(finding)}), claimed: {claim.rule()}; {claim.source}")
        for line in lines:
            drawn.add_row("", rich.markup.escape(line))
    out.print(drawn, highlight=False)


def _print_table(checked: Checked, out: Console) -> None:
    run = checked.run
    drawn = rich.table.Table(
        title=f"{run.manifest['title']}: {run.path}", title_justify="left", box=rich.box.SIMPLE_HEAD
    )
    headings = ("verdict", "claim", "measure", "worst value", "95 % interval", "margin", "source", "figure")
    for heading in headings:
        number = heading in ("worst value", "95 % interval")
        drawn.add_column(heading, justify="right" if number else "left", no_wrap=heading == "verdict")
    for finding in checked.findings:
        claim, worst = finding.claim, finding.worst
        value = "-" if worst is None else f"{worst.interval.mean:.4g}"
        texts = [claim.said, claim.describe(), value, _ends(finding), claim.rule(), claim.source]
        texts.append(claim.figure)
        verdict = f"[{_COLOURS[finding.verdict]}]{finding.verdict}[/]"
        drawn.add_row(verdict, *(rich.markup.escape(text) for text in texts))
    out.print(drawn)


def _ends(finding: Finding) -> str:
    worst = finding.worst
    if worst is None or finding.claim.measure.counts:
        return "exact" if worst is not None else "-"
    low, high = worst.interval.low, worst.interval.high
    return "a point" if low == high else f"{low:.4g} to {high:.4g}"


def _explained(findings: list[Finding]) -> list[str]:
    """Return the lines that say why claims did not hold; what is said of several is said once."""
    lines, of = [], defaultdict[str, list[str]](list)
    for finding in findings:
        worst = finding.worst
        if finding.verdict not in AS_SAID and worst is not None and worst.verdict != "held":
            found = f"{worst.interval.mean:.6g} at {', '.join(worst.labels)}"
            lines.append(f"{finding.claim.name}: {found}, should be {finding.claim.rule()}")
        for note in finding.notes:
            of[note].append(finding.claim.name)
    for note, names in of.items():
        who = f"all {len(names)} claims" if len(names) == len(findings) > 1 else ", ".join(names)
        lines.append(f"{who}: {note}")
    return lines


def _print_changes(checked: Checked, out: Console) -> None:
    for row in checked.changes[:SHOWN]:
        old, new = ("nothing" if value is None else f"{value:.6g}" for value in (row["old"], row["new"]))
        line = f"{row['claim']}: {row['cell']}: {old} -> {new}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(checked.changes) > SHOWN:
        out.print(f"{len(checked.changes) - SHOWN} more changes: --json", highlight=False)
    words = f"baseline {checked.baseline}: {len(checked.changes)} values change"
    out.print(words, markup=False, highlight=False, soft_wrap=True)
