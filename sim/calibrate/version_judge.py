"""
The judge of a later kernel's costs: whole cases, recorded in boots of their own, by fits without their kind.

A block size, a layout, a path and an access pattern is left out each, as for 6.1. The rig's RAM disk is no
part of a profile: its constants are always those of all windows. What only the kind does (zeroing a hole's
buffers, say) no other tells: where that is more than UNSEEN of a case, the case is not judged without it.
"""

from __future__ import annotations

import numpy as np

from sim.calibrate.fit import predict
from sim.calibrate.judge import Predicted
from sim.calibrate.measured import Measured
from sim.calibrate.stretches import Values
from sim.calibrate.version_costs import DEVICE, VersionRecords, costs_of_61, fit_version, kind_of
from sim.records.kernel_case import Case

UNSEEN = 0.005
IN_SAMPLE = "nothing: no other kind does this"


def judge_version(records: VersionRecords) -> list[Predicted]:
    """Return the prediction of every case, for every kind that it is left out with."""
    everything = fit_version(records, records.windows)
    device = {constant: value for constant, value in everything.items() if constant[0] in DEVICE}
    predicted, seen = [], set()
    for word in kind_of(records.cases[0][0].record):
        for value in sorted({kind_of(case.record)[word] for case, _ in records.cases}):
            kept = [window for window in records.windows if window.kind[word] != value]
            told = fit_version(records, kept) | device
            for case, features in records.cases:
                unknown = sum(n * everything.get(c, 0.0) for c, n in features.items() if c not in told)
                left_out = kind_of(case.record)[word] == value
                if left_out and unknown <= UNSEEN * predict(features, everything):
                    seen.add(case.name)
                    values = costs_of_61() | told
                    predicted.append(_predicted(records, case, predict(features, values), f"{word} {value}"))
    rest = [(case, features) for case, features in records.cases if case.name not in seen]
    return predicted + [
        _predicted(records, case, predict(features, everything), IN_SAMPLE) for case, features in rest
    ]


def _predicted(records: VersionRecords, case: Case, expected: float, left_out: str) -> Predicted:
    record, kind = case.record, kind_of(case.record)
    measured = Measured(
        case.name,
        f"reads, {records.kernel}",
        int(kind["block size"]),
        f"{kind['layout']}{'' if record.get('large_folios') else ', small folios'}",
        kind["path"],
        kind["access"],
        str(record["es"]),
        record,
        record["t_median"] / record["pages_read"],
    )
    return Predicted(measured, "instructions", left_out, measured.value, expected)


def with_costs_of_61(records: VersionRecords) -> list[Predicted]:
    """Return the prediction of every case by 6.1's costs: what there is without a fit."""
    values: Values = costs_of_61()
    return [_predicted(records, case, predict(features, values), "") for case, features in records.cases]


def noise_of_version(records: VersionRecords) -> tuple[float, float]:
    """Return median and 95th percentile of how far a case's three runs lie apart, half of it, relative."""
    apart = [
        (case.record["t_max"] - case.record["t_min"]) / 2 / case.record["t_median"]
        for case, _ in records.cases
    ]
    return float(np.median(apart)), float(np.percentile(apart, 95))
