"""HISTORY.md has the state of every claim, and claims say no number that a run should say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sim.claims.claims import Claim, load_claims

FOLDER = Path(__file__).parents[2] / "experiments" / "claims"
ALL = {claim.name: claim for claims in load_claims(FOLDER).values() for claim in claims}
ROW = re.compile(r"^\| (\S+) \| [^|]+ \| `([0-9a-f]{12})` \|$", re.MULTILINE)
KERNELS = ("3.16", "6.1", "6.12", "7.3")
DECIMAL = re.compile(r"\d+\.\d+")


def stale(history: str) -> dict[str, str]:
    """Return the claims whose state is not in the last table of a history, and those that are gone."""
    kept = dict(ROW.findall(history.split("\n## States\n")[1]))
    states = {name: claim.digest for name, claim in ALL.items()}
    return {
        name: states.get(name, "withdrawn")
        for name in kept.keys() | states
        if kept.get(name) != states.get(name)
    }


def test_every_state_is_in_the_history() -> None:
    """A claim that says something new has an entry that says why; see HISTORY.md."""
    assert stale((FOLDER / "HISTORY.md").read_text(encoding="utf-8")) == {}


def test_a_moved_margin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a verdict hangs on, here and elsewhere, is another state; a new wording is not."""
    history = (FOLDER / "HISTORY.md").read_text(encoding="utf-8")
    claim = ALL["cpu-saved-4k-contiguous"]
    turned = claim.elsewhere[0].model_copy(update={"expect": "held"})
    narrowed = claim.elsewhere[0].model_copy(update={"of": {"layout": ("sparse",)}})
    changes = (
        {"margin": 1.39},
        {"of": {"path": ("mpage",)}},
        {"kind": "at most"},
        {"seeds": 2},
        {"expect": "failed"},
        {"definition": True},
        {"elsewhere": (turned,)},
        {"elsewhere": (narrowed,)},
        {"elsewhere": ()},
    )
    for change in changes:
        monkeypatch.setitem(ALL, claim.name, claim.model_copy(update=change))
        assert list(stale(history)) == [claim.name]
    reworded = claim.elsewhere[0].model_copy(update={"because": "other words"})
    words = {"sentence": "other words", "holds": "other words", "elsewhere": (reworded,)}
    monkeypatch.setitem(ALL, claim.name, claim.model_copy(update=words))
    assert stale(history) == {}
    monkeypatch.delitem(ALL, claim.name)
    assert stale(history) == {claim.name: "withdrawn"}


@pytest.mark.parametrize("claim", ALL.values(), ids=ALL.keys())
def test_no_result_is_typed(claim: Claim) -> None:
    """A ratio in a claim's words is {margin}, or what the kernel's source gives; the run says the others."""
    texts = [claim.sentence, claim.holds, claim.learnt, *(part.because for part in claim.elsewhere)]
    typed = {number for text in texts for number in DECIMAL.findall(text)} - set(KERNELS)
    assert typed <= {f"{claim.margin:g}"} if "counted" in claim.margin_source else not typed
