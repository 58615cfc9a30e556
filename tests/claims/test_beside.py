"""Claims beside a kernel's recordings: both have to keep the margin, and lie as near as is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from claims_kit import claim
from run_kit import made_up

from sim.claims.answers import said
from sim.claims.beside import beside
from sim.claims.claims import Claim, load_claims
from sim.claims.verdicts import Cells, evaluate
from sim.errors import ConfigError

ROOT = Path(__file__).parents[2]
CASE = "linux-7.3.4/icount_bs1024/bs1024/ext4/frag1/seq128k/warm"
OVER = "linux-7.3.4/icount_bs1024/bs1024/ext4/frag16/seq128k/warm/small"


def recorded_claim(within: float = 0.2, **keys: object) -> Claim:
    """Return a claim on instructions that names two cases; `keys` replaced."""
    recorded = {"case": CASE, "over": OVER, "within": within, "within_source": "planted"}
    measure = {"metric": "instructions_per_4k"}
    return claim(**{"measure": measure, "margin": 1.2, "recorded": recorded} | keys)


def cells(buffer_head: float) -> Cells:
    """Return a run in which page_io takes 1,000 instructions."""
    instructions = {"buffer_head": buffer_head, "page_io": 1000.0}
    run = made_up(
        {"path": list(instructions)},
        lambda labels: {"instructions_per_4k": instructions[labels["path"]], "bytes_read": 4096},
    )
    for cell in run.manifest["cells"]:
        cell["config"]["workload"] = {"jobs": []}
    return Cells(run)


def ratio() -> float:
    """Return the recorded ratio, read here."""
    found = {}
    file = ROOT / "results" / "kernel" / "linux-7.3.4" / "matrix-instructions.jsonl"
    for line in file.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        found[f"linux-7.3.4/{record['case']}"] = record["t_median"] / record["pages_read"]
    return found[CASE] / found[OVER]


def test_the_recorded_ratio_is_said_beside_the_simulated() -> None:
    """10 % above the recording: held, with both numbers in the note and in the answer."""
    finding = evaluate(recorded_claim(), cells(1100 * ratio()))
    assert finding.recorded is not None
    assert ratio() == finding.recorded.ratio
    assert ("held", f"recorded {ratio():.3g}; simulated +10 % of that") == (finding.verdict, *finding.notes)
    assert finding.recorded.note in said(finding)


@pytest.mark.parametrize(
    ("keys", "buffer_head"),
    [
        ({}, 1700.0),  # 24 % above the recording
        ({"margin": 1.4}, 1500.0),  # the recording does not keep the margin
        ({}, 1190.0),  # the simulation does not
    ],
)
def test_either_can_fail_it(keys: dict[str, object], buffer_head: float) -> None:
    """Too far from the recording, or one of the two outside the margin."""
    assert "failed" == evaluate(recorded_claim(**keys), cells(buffer_head)).verdict


def test_a_case_that_is_not_recorded_is_told() -> None:
    """A slip in a name, of the case or of the kernel, is an error with the claim's name."""
    for case in (f"{CASE}x", CASE.replace("7.3.4", "9.9")):
        recorded = {"case": case, "over": OVER, "within": 0.2, "within_source": "planted"}
        with pytest.raises(
            ConfigError, match=r"^claim c: recorded: there is no 'linux-.*'; allowed: VERSION"
        ):
            beside(recorded_claim(recorded=recorded), [1.0])


@pytest.mark.parametrize("keys", [{"measure": {"metric": "cpu_ns"}}, {"over": {}}])
def test_only_ratios_of_instructions_can_be_recorded(keys: dict[str, object]) -> None:
    """Nothing else is in the recordings."""
    with pytest.raises(ValueError, match="recorded with such a claim"):
        recorded_claim(**keys)


def test_what_is_recorded_is_part_of_the_state() -> None:
    """Another case is another claim in HISTORY.md; another reason for the distance is not."""
    base = recorded_claim()
    assert base.recorded is not None
    other = base.model_copy(update={"recorded": base.recorded.model_copy(update={"case": OVER})})
    reworded = base.model_copy(update={"recorded": base.recorded.model_copy(update={"within_source": "y"})})
    states = [one.digest for one in (base, other, reworded, recorded_claim(recorded=None))]
    assert 3 == len(set(states))
    assert states[0] == states[2]
    assert claim().digest == "4aedb45c1479"  # as before there were recordings in claims


def test_every_case_that_a_claim_names_is_there() -> None:
    """Of the claims that come with readpath."""
    named = [one for claims in load_claims(ROOT / "experiments" / "claims").values() for one in claims]
    found = [beside(one, [1.0]) for one in named if one.recorded is not None]
    assert found
    assert None not in found
