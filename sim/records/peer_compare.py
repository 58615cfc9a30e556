"""
Recorded cases of peers against their models: every counter and every bio of every phase.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.block.opf import rwbs
from sim.errors import ConfigError
from sim.peers.tally import Queued, Tally
from sim.records.peer_btrfs import predict_btrfs
from sim.records.peer_case import ALL, BIOS, PeerCase, Prediction
from sim.records.peer_devices import predict_device
from sim.records.peer_verity import predict_verity
from sim.records.peer_xfs import predict_xfs
from sim.records.write_counters import NOT_COMPARED

MODELS: Final[Mapping[str, Callable[[PeerCase], Prediction]]] = {
    "dm-integrity": predict_device,
    "dm-crypt-aead": predict_device,
    "btrfs": predict_btrfs,
    "xfs-reflink": predict_xfs,
    "fs-verity": predict_verity,
}
"""A record's group -> who predicts it."""
REQUESTS: Final = ("block events of requests", "these are the block layer's: the other recordings hold it")


@dataclass(frozen=True, slots=True)
class PeerDifference:
    """A counter, or the bios, of one phase."""

    case: str
    phase: str
    counter: str
    kernel: Any
    simulator: Any


@dataclass(frozen=True, slots=True)
class PeerOutcome:
    """How a case came out. compared: how many numbers and lists of bios; left_out: counter -> why."""

    case: PeerCase
    differences: tuple[PeerDifference, ...]
    compared: int
    left_out: dict[str, str]


def compare_peer_case(case: PeerCase) -> PeerOutcome:
    """Run a case's model and hold it against the record. Raises ConfigError for a group without a model."""
    if case.group not in MODELS:
        raise ConfigError(f"{case.at}: group", repr(case.group), ", ".join(MODELS))
    prediction = MODELS[case.group](case)
    differences: list[PeerDifference] = []
    compared = 0
    out = dict((REQUESTS,))
    for entry in case.record["phases"]:
        name = str(entry["name"])
        recorded, reasons = case.counts(name), _reasons(prediction, name)
        named = {counter for counter in reasons if counter in recorded or counter not in NOT_COMPARED}
        out |= {_label(prediction, name, counter): reasons[counter] for counter in named}
        if ALL in reasons:
            continue
        mine = prediction.phases.get(name, Tally())
        for counter in sorted((recorded.keys() | mine.calls.keys()) - reasons.keys()):
            compared += 1
            kernel, ours = recorded.get(counter, 0), mine.calls[counter]
            if kernel != ours:
                differences.append(PeerDifference(case.name, name, counter, kernel, ours))
        if BIOS in reasons:
            continue
        compared += 1
        wrote, written = _seen(case.bios(name), prediction), _seen(mine.bios, prediction)
        if wrote != written:
            differences.append(
                PeerDifference(case.name, name, BIOS, _first(wrote, written), _first(written, wrote))
            )
    return PeerOutcome(case, tuple(differences), compared, out)


def validate_peers(cases: Sequence[PeerCase], watch: Callable[[PeerCase], None]) -> list[PeerOutcome]:
    """Run all cases; `watch` is told of each."""
    outcomes = []
    for case in cases:
        watch(case)
        outcomes.append(compare_peer_case(case))
    return outcomes


def _reasons(prediction: Prediction, phase: str) -> dict[str, str]:
    """Return the counters of a phase that are not compared, each with why."""
    mine = {c: why for (of, c), why in prediction.left_out.items() if of in (ALL, phase)}
    return {"queue_work_on": NOT_COMPARED["queue_work_on"]} | mine


def _label(prediction: Prediction, phase: str, counter: str) -> str:
    """Return how a counter that is left out is named: with its phase, if that decides."""
    if counter == ALL:
        return f"phase {phase}"
    return f"{phase}: {counter}" if (phase, counter) in prediction.left_out else counter


def _seen(bios: Sequence[Queued], prediction: Prediction) -> list[Queued]:
    """Return what of the bios is compared, sorted."""
    kept = (prediction.comparable(bio) for bio in bios)
    return sorted(bio for bio in kept if bio is not None)


def _first(bios: Sequence[Queued], others: Sequence[Queued]) -> str:
    """Return how many bios there are, and the first that the others have not."""
    rest = Counter(bios) - Counter(others)
    if not rest:
        return f"{len(bios)} bios"
    odd = min(rest)
    where = f"{odd.sectors} sectors at {odd.sector} of {odd.device}"
    return f"{len(bios)} bios, one of {where}, {rwbs(odd.opf)} ({odd.opf})"
