"""
The table of docs/file-keys.md that says which claim or test holds each sentence of the founding mail.
"""

from __future__ import annotations

import re
from pathlib import Path

from sim.claims.claims import load_claims

TOP = Path(__file__).parents[2]


def test_every_sentence_has_a_claim_or_a_test_that_exists() -> None:
    """Each row names tests or claims, and each of these is there under that name."""
    text = (TOP / "docs" / "file-keys.md").read_text()
    rows = text.partition("| it says |")[2].splitlines()[2:]
    claims = {claim.name for found in load_claims(TOP / "experiments" / "claims").values() for claim in found}
    tests = set()
    for path in (TOP / "tests").rglob("test_*.py"):
        tests |= {path.name, *re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    assert 10 == len(rows)
    for row in rows:
        names = re.findall(r"`([\w.-]+)`", row.split("|")[2])
        named = [name for name in names if name.startswith("test_") or "-" in name]
        assert named, row
        assert not set(named) - claims - tests, row
