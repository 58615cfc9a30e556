"""
A case's features: how often the simulator charges each constant on it, per 4 KiB.

They are kept beside the records (`features.jsonl`), for simulating all cases takes a minute or two and
fitting them a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from sim.calibrate.constants import MODEL, SELF, counting_table
from sim.calibrate.measured import Features, Measured
from sim.errors import ConfigError
from sim.records.json_lines import read_lines
from sim.records.kernel_case import Case, load_case, run_case
from sim.records.layouts import LayoutFolder


def _simulate(task: tuple[str, dict[str, Any], str, str]) -> tuple[str, Features]:
    """Simulate one case; return its key and features."""
    key, record, layouts, device = task
    case: Case = load_case(record | {"case": key}, LayoutFolder(Path(layouts)), key)
    machine = run_case(case, counting_table(), device=device)
    features: Features = {}
    pages = int(record["pages_read"])
    for row in machine.ledger.rows():
        for what, count in ((SELF, row.calls), (MODEL[row.symbol].unit, row.units)):
            if count and what:
                features[row.symbol, what] = features.get((row.symbol, what), 0.0) + count / pages
    return key, features


def simulate_features(
    cases: list[Measured],
    layouts: Path,
    jobs: int,
    known: dict[str, Features],
    watch: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Features]:
    """Return the features of cases, by key; those not `known` are simulated, in `jobs` processes."""
    tasks: dict[str, tuple[str, dict[str, Any], str, str]] = {}
    for measured in cases:
        if measured.key in known:
            continue
        device = "null_blk" if measured.device.startswith("null_blk") else "ram+copy"
        tasks.setdefault(measured.key, (measured.key, measured.record, str(layouts), device))
    features = {key: known[key] for key in {m.key for m in cases} & known.keys()}
    with ProcessPoolExecutor(jobs) as pool:
        for key, counts in pool.map(_simulate, tasks.values()):
            features[key] = counts
            watch(len(features), len(tasks))
    return features


def attach_features(cases: list[Measured], features: dict[str, Features]) -> None:
    """
    Give each case its features. Raises ConfigError naming a case that has none.

    A reader inside the kernel makes no system calls, and a device that copies nothing does not copy: all else
    is the same, and simulated once.
    """
    for measured in cases:
        if measured.key not in features:
            raise ConfigError("features.jsonl", f"has no case {measured.key!r}", "readpath calibrate costs")
        measured.features = {
            constant: count
            for constant, count in features[measured.key].items()
            if (measured.device != "ram" or constant[0] != "memcpy_page")
            and (not measured.in_kernel or constant[0] != "entry_SYSCALL_64")
        }


def write_features(path: Path, features: dict[str, Features]) -> None:
    """Write features as JSON lines, counts to ten digits."""
    lines = []
    for key, counts in sorted(features.items()):
        flat = {
            f"{symbol}:{what}": float(f"{count:.10g}") for (symbol, what), count in sorted(counts.items())
        }
        lines.append(json.dumps({"case": key, "counts": flat}, separators=(",", ":")))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_features(path: Path) -> dict[str, Features]:
    """Return what write_features() wrote."""
    features: dict[str, Features] = {}
    for line in read_lines(path):
        features[line["case"]] = {
            (symbol, what): float(count)
            for word, count in line["counts"].items()
            for symbol, _, what in [word.rpartition(":")]
        }
    return features
