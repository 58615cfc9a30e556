"""
A run's answer: the sentences that its claims allow, with the numbers of this run, before any table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.claims.claims import Claim, load_claims
from sim.claims.verdicts import Cells, Finding, evaluate
from sim.errors import ConfigError
from sim.experiment.results import Run


def claims_on(experiment: str, folder: Path) -> list[Claim]:
    """
    Return the claims of `folder` on an experiment, by its stem; none where the folder has none at all.

    Raises ConfigError for claims that cannot be read.
    """
    return load_claims(folder).get(experiment, []) if any(folder.glob("*.toml")) else []


def answers(run: Run, claims: Sequence[Claim]) -> list[str]:
    """
    Return a line for each claim that this run can decide.

    What held comes first, then what did not, marked so, with what is known of why; last, how many claims the
    run cannot tell (of an axis, a label, or seeds that it has not), and why. Definitions answer nothing.
    """
    cells, told, untold = Cells(run), [], []
    for claim in claims:
        if claim.definition:
            continue
        try:
            finding = evaluate(claim, cells)
        except ConfigError as error:  # an axis that --set has taken out of the matrix
            untold.append(str(error))
            continue
        if finding.verdict == "cannot tell" or finding.worst is None:
            untold.append("; ".join(finding.notes) or f"{claim.name}: the seeds lie too far apart")
        else:
            told.append(finding)
    lines = [f"- {said(finding)}" for finding in told if finding.verdict == "held"]
    lines += [f"- not so: {said(finding)}" for finding in told if finding.verdict != "held"]
    if untold:
        why = " / ".join(dict.fromkeys(untold))
        lines.append(f"{len(untold)} of {len(told) + len(untold)} claims cannot be told from this run: {why}")
    return lines


def said(finding: Finding) -> str:
    """Return a sentence, least and largest mean of its own cells, where it holds or why it does not."""
    claim, points = finding.claim, finding.parts[0].points
    means = [point.interval.mean for point in points]
    first, last = _figures(min(means)), _figures(max(means))
    found = first if first == last else f"{first} to {last}"
    more = [claim.holds] if finding.verdict == "held" else [claim.learnt, *finding.notes]
    if finding.recorded is not None and finding.verdict == "held":
        more = [finding.recorded.note, *more]
    tail = "; ".join(text for text in more if text)
    return f"{claim.said}: {found}" + (f" ({tail})" if tail else "")


def _figures(number: float) -> str:
    """Return a number as readers want it: three figures, no exponent."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"
