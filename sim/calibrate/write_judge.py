"""
The judge of what writing costs: whole phases, recorded in boots of their own, by fits without their kind.

A kind is a block size together with a mode, a path, a file or an access pattern: all of its windows are left
out of the fit, and its phases predicted: the mean of two rounds. What only that kind does (encryption in one
block size, say) no other tells: where a phase has more than UNSEEN of its instructions of such functions, it
is predicted by the fit to all, and its name says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

import numpy as np

from sim.calibrate.fit import predict
from sim.calibrate.judge import Predicted
from sim.calibrate.measured import Measured
from sim.calibrate.stretches import Values
from sim.calibrate.write_costs import Phase, WriteRecords, fit_writes, known_of_reads
from sim.calibrate.write_times import fit_times

UNSEEN = 0.005
WITH = ("mode", "path", "file", "kind")
SIDES = {"write": "write(2)", "sync": "fsync(2)"}
WRITES_AS = {"bwfp": "own", "mpage": "own", "mpage2": "bwfp2"}
"""Designs of write-back whose write(2) is the same code as another's: no order between these can be told."""
IN_SAMPLE = "nothing: no other kind does this"


def judge_writes(records: WriteRecords) -> list[Predicted]:
    """Return the prediction of each case's sides, for every kind that they are left out with."""
    known = known_of_reads()
    everything = fit_writes(records.windows, known)
    sides = _sides(records.phases)
    predicted, seen = [], set()
    for word, size, value in _kinds(records.phases):
        kept = [window for window in records.windows if not _is_of(window.kind, word, size, value)]
        values = fit_writes(kept, known)
        for key, rounds in sides.items():
            if _is_of(rounds[0].kind, word, size, value) and _can_be_told(rounds, known | values, everything):
                seen.add(key)
                predicted.append(_predicted(rounds, known | values, f"{word} {value} of {size}-byte blocks"))
    rest = [rounds for key, rounds in sides.items() if key not in seen]
    return predicted + [_predicted(rounds, known | everything, IN_SAMPLE) for rounds in rest]


def _sides(phases: list[Phase]) -> dict[tuple[str, str], list[Phase]]:
    """Return the rounds of each (case, side)."""
    found: dict[tuple[str, str], list[Phase]] = {}
    for phase in phases:
        found.setdefault((phase.case, phase.kind["side"]), []).append(phase)
    return found


def _can_be_told(rounds: list[Phase], values: Values, everything: Values) -> bool:
    """Tell whether nearly all that a side does has a cost in `values`."""
    return all(
        sum(n * everything.get(c, 0.0) for c, n in phase.features.items() if c not in values)
        <= UNSEEN * phase.taken
        for phase in rounds
    )


def _kinds(phases: list[Phase]) -> Iterator[tuple[str, str, str]]:
    """Yield what is left out together: (word of the kind, block size, value)."""
    for word in WITH:
        yield from ((word, *pair) for pair in sorted({(p.kind["block size"], p.kind[word]) for p in phases}))


def _is_of(kind: dict[str, str], word: str, size: str, value: str) -> bool:
    return (kind["block size"], kind[word]) == (size, value)


def _predicted(rounds: list[Phase], values: Values, left_out: str) -> Predicted:
    """Return a side of a case beside its record, per 4 KiB written."""
    measured = _measured(rounds)
    expected = fmean(predict(each.features, values) for each in rounds) / rounds[0].pages
    return Predicted(measured, "instructions", left_out, measured.value, expected)


def _measured(rounds: list[Phase]) -> Measured:
    """Return what the rounds of a side of a case took per 4 KiB written."""
    phase, kind = rounds[0], rounds[0].kind
    return Measured(
        f"{phase.case} {kind['side']}",
        ", ".join(filter(None, (SIDES[kind["side"]], kind.get("device"), "6.1"))),
        int(kind["block size"]),
        kind["file"],
        WRITES_AS.get(kind["path"], kind["path"]) if kind["side"] == "write" else kind["path"],
        kind["kind"],
        f"{kind['mode']} {kind['side']}",
        {"pages_read": round(phase.pages)},
        fmean(each.taken for each in rounds) / phase.pages,
        boots=phase.boots,
    )


def judge_write_times(phases: list[Phase], instructions: Values) -> list[Predicted]:
    """
    Return the prediction of each timed phase, for every kind that it is left out with, by device.

    instructions: of constants, by recordings that are no times.
    """
    predicted = []
    for device in sorted({phase.kind["device"] for phase in phases}):
        on = [phase for phase in phases if phase.kind["device"] == device]
        for word, size, value in _kinds(on):
            values = fit_times([p for p in on if not _is_of(p.kind, word, size, value)], instructions)
            for phase in on:
                if _is_of(phase.kind, word, size, value):
                    expected = predict(phase.features, values) / phase.pages
                    measured = _measured([phase])
                    named = f"{word} {value} of {size}-byte blocks"
                    predicted.append(Predicted(measured, "ns", named, measured.value, expected))
    return predicted


def noise_of_write_times(phases: list[Phase]) -> dict[str, tuple[float, float]]:
    """Return, by side and device, median and 95th percentile of how far boots lie from their mean."""
    away: dict[str, list[float]] = {}
    for phase in phases:
        of = f"{SIDES[phase.kind['side']]} on {phase.kind['device']}"
        away.setdefault(of, []).extend(abs(boot / phase.taken - 1) for boot in phase.boots)
    return {of: (float(np.median(found)), float(np.percentile(found, 95))) for of, found in away.items()}


def noise_of_writes(phases: list[Phase]) -> dict[str, tuple[float, float]]:
    """
    Return, by side, median and 95th percentile of how far the two rounds of a case lie from their mean.

    They do the same work, where the file is not new each time. No fit predicts closer than that.
    """
    away: dict[str, list[float]] = {}
    for (_, side), rounds in _sides(phases).items():
        if rounds[0].kind["file"] != "new":
            mean = fmean(each.taken for each in rounds)
            away.setdefault(side, []).extend(abs(each.taken / mean - 1) for each in rounds)
    return {
        SIDES[side]: (float(np.median(found)), float(np.percentile(found, 95)))
        for side, found in away.items()
    }
