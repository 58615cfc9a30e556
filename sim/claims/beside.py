"""
What a kernel was recorded to spend, beside what a run says: what no model has a hand in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sim.claims.claims import Claim
from sim.claims.intervals import Verdict, judge
from sim.errors import ConfigError
from sim.records.instructions import FILE, KERNEL, per_page


@dataclass(frozen=True, slots=True)
class Beside:
    """
    A recorded ratio. verdict: whether it keeps the claim's margin, and the simulated ones keep to it.

    off: how far the simulated ratios are from it, least and most, as shares of it.
    """

    ratio: float
    off: tuple[float, float]
    verdict: Verdict

    @property
    def note(self) -> str:
        """Both in words."""
        low, high = (f"{100 * share:+.0f} %" for share in self.off)
        return f"recorded {self.ratio:.3g}; simulated {low if low == high else f'{low} to {high}'} of that"


def beside(claim: Claim, simulated: Sequence[float]) -> Beside | None:
    """
    Return the recorded ratio of a claim beside what was simulated; None for a claim without.

    Raises ConfigError for a case that is not recorded.
    """
    said = claim.recorded
    if said is None or not simulated:
        return None
    ratio = _instructions(claim, said.case) / _instructions(claim, said.over)
    off = [value / ratio - 1 for value in simulated]
    kept, _ = judge(claim.kind, claim.margin, [ratio])
    near = all(abs(share) <= said.within for share in off)
    return Beside(ratio, (min(off), max(off)), "held" if kept == "held" and near else "failed")


def _instructions(claim: Claim, name: str) -> float:
    """Return instructions per page of VERSION/CASE."""
    found = per_page(name)
    if found is None:
        allowed = f"VERSION/CASE, a case of {KERNEL}/VERSION/{FILE}"
        raise ConfigError(f"claim {claim.name}", f"recorded: there is no {name!r}", allowed)
    return found
