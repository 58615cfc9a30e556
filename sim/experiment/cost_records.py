"""
The records that costs are fitted to, and what the simulator does on the same cases.

Three files (results/kernel/README.md): `instructions.jsonl`, instructions of a whole case; `symbols.jsonl`,
instructions and calls per recorded symbol; and one of times, ns per 4 KiB and ns of primitives in hot loops:
what `make truth-ns` has recorded on a machine (`native-ns.jsonl`, `uml-ns.jsonl`).
A case's *features* are how often the simulator charges each constant on it; they are kept beside the records
(`features.jsonl`), for simulating all cases takes a minute and fitting them a second.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import ConfigError
from sim.experiment.cost_measured import Features, Measured, measured_case
from sim.experiment.cost_model import MODEL, NULL_COPY, SELF, counting_table
from sim.experiment.cost_times import Times, load_times
from sim.experiment.kernel_case import Case, load_case, read_lines, run_case

TIMES = "native-ns.jsonl"
"""The times that the shipped default profile is fitted to."""


@dataclass(slots=True)
class CostRecords:
    """
    All records. instructions, symbols: of whole cases; held_out: instructions of cases of another rig and
    other images, to judge with; drops: symbols of dropping cached pages; times: ns of cases and of hot loops.
    """

    instructions: list[Measured]
    held_out: list[Measured]
    symbols: list[Measured]
    drops: list[Measured]
    times: Times

    @property
    def whole(self) -> list[Measured]:
        """All records that are of whole cases of reading."""
        return [*self.instructions, *self.held_out, *self.symbols, *self.times.cases]


def load_records(folder: Path, times: Path | None = None) -> CostRecords:
    """
    Return the records of a folder (results/kernel/<version>), without features; times: the file of the ns.

    Raises ConfigError for a file that is missing or not of this form.
    """
    times = times or folder / TIMES
    instructions = [_instructions(record) for record in read_lines(folder / "instructions.jsonl")]
    held_out = [_instructions(record) for record in read_lines(folder / "instructions-held-out.jsonl")]
    for measured in held_out:
        measured.device, measured.name = "ram+copy, not fitted to", str(measured.record["case"])
    symbols: list[Measured] = []
    drops: list[Measured] = []
    for record in read_lines(folder / "symbols.jsonl"):
        (symbols if record["what"] == "read" else drops).append(_symbols(record))
    return CostRecords(instructions, held_out, symbols, drops, load_times(times, folder))


def _device(record: dict[str, Any]) -> str:
    if "null" in record["device"]:
        return "null_blk"
    return "ram+copy"


def _instructions(record: dict[str, Any]) -> Measured:
    measured = measured_case(record, _device(record))
    measured.value = record["t_median"] / record["pages_read"]
    return measured


def _symbols(record: dict[str, Any]) -> Measured:
    """A recorded symbol that is counted as part of another adds to it."""
    whole = {part: entry.within for entry in MODEL.values() for part in entry.parts}
    measured = measured_case(record, f"{_device(record)} by symbol")
    pages = record["pages_read"]
    for symbol, (calls, instructions) in record["symbols"].items():
        of = whole.get(symbol, symbol)
        measured.symbols[of] = measured.symbols.get(of, 0.0) + instructions / pages
        measured.calls[symbol] = calls / pages
    _move_slab_pages(measured)
    entry = "entry_SYSCALL_64"  # the few instructions of the reader's own loop go with its system call
    measured.symbols[entry] = measured.symbols.get(entry, 0.0) + record["user"] / pages
    measured.value = sum(measured.symbols.values())
    return measured


def _move_slab_pages(measured: Measured) -> None:
    """
    Count the clearing of slab pages to what fills them: on these cases, buffer heads.

    clear_page_erms runs for each page of the file, and for a page of 39 buffer heads when a slab grows.
    """
    cleared, inserted = (measured.calls.get(s, 0.0) for s in ("clear_page_erms", "filemap_alloc_folio"))
    if cleared > inserted > 0 and measured.symbols.get("alloc_buffer_head"):
        of_slab = measured.symbols["clear_page_erms"] * (1 - inserted / cleared)
        measured.symbols["clear_page_erms"] -= of_slab
        measured.symbols["alloc_buffer_head"] += of_slab
        measured.calls["clear_page_erms"] = inserted


def _simulate(task: tuple[str, dict[str, Any], str, str]) -> tuple[str, Features]:
    """Simulate one case; return its key and features."""
    key, record, layouts, device = task
    case: Case = load_case(record | {"case": key}, Path(layouts), key)
    machine = run_case(case, counting_table(), device=device)
    features: Features = {}
    pages = int(record["pages_read"])
    for row in machine.ledger.rows():
        if device == "null_blk" and row.symbol == "memcpy_page":
            features[NULL_COPY] = row.units / pages
            continue
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


def attach_features(records: CostRecords, features: dict[str, Features]) -> None:
    """
    Give each case its features. Raises ConfigError naming a case that has none.

    A reader inside the kernel makes no system calls, and a device that copies nothing does not copy: all else
    is the same, and simulated once.
    """
    for measured in records.whole:
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
