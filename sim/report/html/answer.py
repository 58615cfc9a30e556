"""
What a page says first: the answer that the claims allow, then each claim with its verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sim.claims.answers import said
from sim.claims.baseline import Key, against_model, key_of
from sim.claims.claims import Claim
from sim.claims.intervals import AS_SAID
from sim.claims.verdicts import Cells, Finding, evaluate
from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.experiment.versions import digest_with, model_digest, own_code
from sim.report.html.elements import Html, joined, table, tag
from sim.report.table import Column, Table
from sim.report.tables import PER_4K

_COLUMNS = (
    Column("verdict", "verdict"),
    Column("claim", "claim"),
    Column("measure", "measure"),
    Column("worst value", "value", ",.4g"),
    Column("from", "low", ",.4g"),
    Column("to (95 %)", "high", ",.4g"),
    Column("margin", "margin"),
    Column("source", "source"),
    Column("notes", "notes"),
)


def answer(run: Run, claims: Sequence[Claim]) -> Html:
    """Return the answer of a run in a sentence, how many claims hold, and all of them in a table."""
    findings, untold = _evaluated(run, claims)
    key = key_of(run)
    today = Key(key.config, digest_with(model_digest(), own_code(run.manifest)))
    judged = [against_model(finding, key, today) for finding in findings]  # as `readpath check RUN` has them
    is_stale = any(finding.verdict == "stale" for finding in judged)
    parts = [tag("p", _lead(run, findings), class_="lead")]
    if claims:
        parts.append(tag("p", _counted(findings, untold)))
    if is_stale:
        notes = dict.fromkeys(note for finding in judged for note in finding.notes if "run it again" in note)
        parts.append(tag("p", f"All of this is stale: {'; '.join(notes)}.", class_="warning"))
    failed = [finding for finding in findings if finding.verdict == "failed"]
    if failed:
        parts.append(tag("p", "What does not hold:"))
        parts.append(tag("ul", [tag("li", f"{said(finding)}.") for finding in failed]))
    if judged:
        rows = tuple(_row(finding, now.verdict) for finding, now in zip(findings, judged, strict=True))
        parts.append(
            table(Table(_COLUMNS, rows, labels=("claim",)), "Claims on this experiment", ["verdict"])
        )
    return joined(parts)


def _evaluated(run: Run, claims: Sequence[Claim]) -> tuple[list[Finding], list[str]]:
    """Return what the claims come to, and why the others cannot be asked of this run."""
    cells, findings, untold = Cells(run), [], []
    for claim in claims:
        try:
            findings.append(evaluate(claim, cells))
        except ConfigError as error:  # an axis that --set has taken out of the matrix
            untold.append(str(error))
    return findings, untold


def _lead(run: Run, findings: Sequence[Finding]) -> str:
    """
    Return the first claim that holds, with this run's numbers; without one, between what the cells lie.

    One that says of a cost how many times another it is comes before the others: it is what is asked first.
    """
    held = [finding for finding in findings if finding.verdict == "held"]
    for finding in sorted(held, key=lambda finding: not _tells_a_ratio(finding.claim)):
        return f"{said(finding)}."
    metric, unit = (
        PER_4K[run.currency],
        {"ns": "ns of CPU time", "instructions": "instructions"}[run.currency],
    )
    rows = [row for row in run.metrics if row.get(metric) is not None]
    if not rows:
        return "No cell of this run has a result."
    least, most = (choose(rows, key=lambda row: row[metric]) for choose in (min, max))
    if len(run.manifest["cells"]) == 1:
        return f"4 KiB cost {least[metric]:,.0f} {unit}."
    words = ((row, ", ".join(row[axis] for axis in run.axes)) for row in (least, most))
    (low, low_words), (high, high_words) = ((row[metric], cell) for row, cell in words)
    return f"4 KiB cost {low:,.0f} {unit} at least ({low_words}) and {high:,.0f} at most ({high_words})."


def _tells_a_ratio(claim: Claim) -> bool:
    return bool(claim.over) and claim.kind == "at least" and not claim.measure.counts


def _counted(findings: Sequence[Finding], untold: Sequence[str]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    counts.update(["cannot tell"] * len(untold))
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    why = f" ({'; '.join(dict.fromkeys(untold))})" if untold else ""
    many = len(findings) + len(untold)
    return f"{many} {'claim' if many == 1 else 'claims'} on this experiment: {words}{why}."


def _row(finding: Finding, now: str) -> dict[str, object]:
    claim, worst = finding.claim, finding.worst
    exact = claim.measure.counts
    notes = [claim.holds] if finding.verdict in AS_SAID else []
    notes += [claim.learnt, *finding.notes]
    return {
        "verdict": finding.verdict if now == finding.verdict else f"{finding.verdict} ({now})",
        "claim": claim.said,
        "measure": claim.describe(),
        "value": None if worst is None else worst.interval.mean,
        "low": None if worst is None or exact else worst.interval.low,
        "high": None if worst is None or exact else worst.interval.high,
        "margin": claim.rule(),
        "source": claim.source,
        "notes": "; ".join(filter(None, notes)),
    }
