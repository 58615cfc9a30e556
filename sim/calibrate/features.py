"""
A case's features: how often the simulator charges each constant on it, per 4 KiB.

They are kept beside the records (`features.jsonl`), for simulating all cases takes a minute or two and
fitting them a second. Each goes by what is simulated and by a digest of the file's layout: another layout
file, if of the same name, has other features.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from sim.block.drivers.modules import DRIVERS
from sim.calibrate.constants import MODEL, SELF, counting_table
from sim.calibrate.measured import Features, Measured
from sim.errors import ConfigError
from sim.records.devices import EMULATED
from sim.records.json_lines import read_lines
from sim.records.kernel_case import load_case, run_case
from sim.records.layouts import LayoutFolder


class FeatureKey(NamedTuple):
    """What features depend on: what is simulated (Measured.key), and of which file (Case.digest)."""

    case: str
    layout: str


Known = dict[FeatureKey, Features]


def keys_of(cases: list[Measured], layouts: Path) -> list[FeatureKey]:
    """
    Return the key of each case; layouts: the folder of the recorded layouts.

    Raises ConfigError for a layout that is not there or not of the form.
    """
    folder = LayoutFolder(layouts)
    digests: dict[tuple[Any, ...], str] = {}
    keys = []
    for measured in cases:
        record = measured.record
        file = record["layout_file"], record["block_size"], record["file_bytes"]
        if file not in digests:
            digests[file] = load_case(record, folder, measured.key).digest
        keys.append(FeatureKey(measured.key, digests[file]))
    return keys


def require_current(keys: list[FeatureKey], known: Known) -> None:
    """Raise ConfigError naming the first case that is known, but of another file than the one at hand."""
    others: dict[str, list[str]] = {}
    for key in known:
        others.setdefault(key.case, []).append(key.layout)
    for key in keys:
        if key not in known and key.case in others:
            raise ConfigError(
                f"features.jsonl: {key.case!r}",
                f"is of a file laid out as {', '.join(others[key.case])}, the case's as {key.layout}",
                "readpath calibrate costs --simulate",
            )


def _simulate(task: tuple[FeatureKey, dict[str, Any], str, str]) -> tuple[FeatureKey, Features]:
    """Simulate one case; return its key and features."""
    key, record, layouts, device = task
    case = load_case(record | {"case": key.case}, LayoutFolder(Path(layouts)), key.case)
    machine = run_case(case, counting_table(), device=device)
    features: Features = {}
    pages = int(record["pages_read"])
    for row in machine.ledger.rows():
        for what, count in ((SELF, row.calls), (MODEL[row.symbol].unit, row.units)):
            if count and what:
                features[row.symbol, what] = features.get((row.symbol, what), 0.0) + count / pages
    return key, features


def simulate_features(cases: list[Measured], layouts: Path, jobs: int, known: Known) -> Known:
    """Return the features of cases, by key; those not `known` are simulated, in `jobs` processes."""
    keys = keys_of(cases, layouts)
    tasks: dict[FeatureKey, tuple[FeatureKey, dict[str, Any], str, str]] = {}
    for key, measured in zip(keys, cases, strict=True):
        device = {"": "ram+copy", "null_blk": "null_blk"}.get(measured.runs_on, "")
        if key not in known:
            tasks.setdefault(key, (key, measured.record, str(layouts), device))
    features = {key: known[key] for key in set(keys) & known.keys()}
    with ProcessPoolExecutor(jobs) as pool:
        features |= pool.map(_simulate, tasks.values())
    return features


def attach_features(cases: list[Measured], known: Known, layouts: Path) -> None:
    """
    Give each case its features. Raises ConfigError naming a case that has none, or another file's.

    How often a device interrupts, and is rung, is its own matter: as often as recorded.
    """
    keys = keys_of(cases, layouts)
    require_current(keys, known)
    for key, measured in zip(keys, cases, strict=True):
        if key not in known:
            raise ConfigError("features.jsonl", f"has no case {key.case!r}", "readpath calibrate costs")
        measured.features = {
            constant: count for constant, count in known[key].items() if measured.charges(constant[0])
        }
        if measured.runs_on in EMULATED:
            _as_the_device_had_it(measured)


def _as_the_device_had_it(measured: Measured) -> None:
    """Keep a driver's features alone, those that the device decides from the record."""
    driver = DRIVERS[EMULATED[measured.runs_on].driver]
    features = measured.features
    measured.features = {constant: n for constant, n in features.items() if constant[0] in driver.symbols}
    for symbol in driver.of_the_device & measured.calls.keys():
        measured.features[symbol, SELF] = measured.calls[symbol]


def write_features(path: Path, features: Known) -> None:
    """Write features as JSON lines, counts to ten digits."""
    lines = []
    for key, counts in sorted(features.items()):
        flat = {
            f"{symbol}:{what}": float(f"{count:.10g}") for (symbol, what), count in sorted(counts.items())
        }
        line = {"case": key.case, "layout": key.layout, "counts": flat}
        lines.append(json.dumps(line, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_features(path: Path) -> Known:
    """Return what write_features() wrote. Raises ConfigError for a line that it did not."""
    features: Known = {}
    for number, line in enumerate(read_lines(path), start=1):
        try:
            features[FeatureKey(line["case"], line["layout"])] = {
                (symbol, what): float(count)
                for word, count in line["counts"].items()
                for symbol, _, what in [word.rpartition(":")]
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"is no case's features ({error!r})"
            raise ConfigError(f"{path}:{number}", problem, "readpath calibrate costs --simulate") from error
    return features
