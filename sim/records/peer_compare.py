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
    for names in _groups(case, prediction):
        name = "+".join(names)
        if len(names) > 1:
            out[f"border of {name}"] = prediction.why_together
        recorded, mine = _sums(case, prediction, names)
        reasons = _reasons(prediction, names)
        named = {counter for counter in reasons if counter in recorded.calls or counter not in NOT_COMPARED}
        out |= {_label(prediction, name, counter): reasons[counter] for counter in named}
        if ALL in reasons:
            continue
        for counter in sorted((recorded.calls.keys() | mine.calls.keys()) - reasons.keys()):
            compared += 1
            kernel, ours = recorded.calls[counter], mine.calls[counter]
            if kernel != ours:
                differences.append(PeerDifference(case.name, name, counter, kernel, ours))
        if BIOS in reasons:
            continue
        compared += 1
        wrote, written = _seen(recorded.bios, prediction), _seen(mine.bios, prediction)
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


def _groups(case: PeerCase, prediction: Prediction) -> list[tuple[str, ...]]:
    """Return the phases that are compared: each alone, or those whose border is time's together."""
    groups: list[tuple[str, ...]] = []
    for name in dict.fromkeys(str(entry["name"]) for entry in case.record["phases"]):
        if name not in prediction.together:
            groups.append((name,))
        elif groups and groups[-1][0] in prediction.together:
            groups[-1] += (name,)
        else:
            groups.append((name,))
    return groups


def _sums(case: PeerCase, prediction: Prediction, names: tuple[str, ...]) -> tuple[Tally, Tally]:
    """Return what phases were recorded to do, and what the model does in them."""
    recorded, mine = Tally(), Tally()
    for name in names:
        recorded.calls.update(case.counts(name))
        recorded.bios += case.bios(name)
        ours = prediction.phases.get(name, Tally())
        mine.calls.update(ours.calls)
        mine.bios += ours.bios
    return recorded, mine


def _reasons(prediction: Prediction, phases: tuple[str, ...]) -> dict[str, str]:
    """Return the counters of phases that are not compared, each with why."""
    mine = {c: why for (of, c), why in prediction.left_out.items() if of in (ALL, *phases)}
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
