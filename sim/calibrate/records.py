"""
The records that costs are fitted to and judged with.

Files (results/kernel/README.md): `instructions.jsonl`, instructions of a whole case; `symbols.jsonl`,
`symbols-encryption.jsonl` and `symbols-drivers.jsonl`, instructions and calls per recorded symbol; and one of
times, ns per 4 KiB and ns of primitives in hot loops: `native-ns.jsonl`, which `make truth-ns` records, or
`uml-ns.jsonl`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.calibrate.constants import DRIVEN, READS, STACKED
from sim.calibrate.measured import Measured, device_of, measured_case
from sim.calibrate.symbols import by_symbol, driven_case, opening, stacked_case
from sim.calibrate.times import Times, load_times
from sim.records.json_lines import read_lines

TIMES = "native-ns.jsonl"
"""The times that the default profile is fitted to."""


@dataclass(slots=True)
class CostRecords:
    """
    All records.

    instructions, symbols: of whole cases; held_out: instructions of cases of another rig and other images, to
    judge with; drops: symbols of dropping cached pages; stacked: symbols of reading through encryption below,
    in and above ext4; driven: symbols of drivers of hardware; opens: symbols of opening a file, per file;
    times: ns of cases, of hot loops, of ciphers. kernel: the name of the folder.
    """

    instructions: list[Measured]
    held_out: list[Measured]
    symbols: list[Measured]
    drops: list[Measured]
    stacked: list[Measured]
    driven: list[Measured]
    opens: list[Measured]
    times: Times
    kernel: str

    @property
    def whole(self) -> list[Measured]:
        """All records that are of whole cases of reading."""
        return [
            *self.instructions,
            *self.held_out,
            *self.symbols,
            *self.stacked,
            *self.driven,
            *self.times.cases,
        ]


def load_records(folder: Path, times: Path | None = None) -> CostRecords:
    """
    Return the records of a folder (results/kernel/<version>), without features; times: the file of the ns.

    Raises ConfigError for a file that is missing or not of this form.
    """
    instructions = [_instructions(record) for record in read_lines(folder / "instructions.jsonl")]
    held_out = [_instructions(record) for record in read_lines(folder / "instructions-held-out.jsonl")]
    for measured in held_out:
        measured.device, measured.name = "ram+copy, not fitted to", str(measured.record["case"])
    symbols: list[Measured] = []
    drops: list[Measured] = []
    for record in read_lines(folder / READS):
        (symbols if record["what"] == "read" else drops).append(by_symbol(record))
    stacked, opens = [], []
    for record in read_lines(folder / STACKED):
        if record["what"] in ("open", "getxattr"):
            opens.append(opening(record))
        elif record["what"] == "read" and "aes-generic" not in record.get("encryption", ""):
            stacked.append(stacked_case(record))
    driven = [driven_case(record) for record in read_lines(folder / DRIVEN)]
    of_time = load_times(times or folder / TIMES, folder)
    kernel = folder.resolve().name
    return CostRecords(instructions, held_out, symbols, drops, stacked, driven, opens, of_time, kernel)


def _instructions(record: dict[str, Any]) -> Measured:
    measured = measured_case(record, device_of(record))
    measured.value = record["t_median"] / record["pages_read"]
    return measured
