"""
The records of times: ns per 4 KiB of whole cases, ns of hot loops, ns of the cipher.

Two forms: `uml-ns.jsonl`, an earlier recording, whose cipher stands in a file of its own; and what
`make truth-ns` writes (`native-ns.jsonl`), whose cases are records like those of the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from sim.calibrate.ciphers import KEY_BITS, CipherTime, earlier_ciphers, straight_line
from sim.calibrate.measured import Measured, Primitive, measured_case
from sim.engine.costs import DEFAULT_MACHINE
from sim.errors import ConfigError
from sim.records.json_lines import read_lines
from sim.records.kernel_case import load_case
from sim.records.layouts import LayoutFolder
from sim.units import PAGE_BYTES

READS = {"seq131072": "seq128k", "seq4096": "seq4k", "rand4k": "rand4k"}
"""The names of access patterns in the earlier records."""
STATUS = {"warm": "warm", "cold": "es_cold"}
EARLIER_CPU = "AMD EPYC (family 26)"
MACHINES = {"AMD EPYC, family 23 model 1": DEFAULT_MACHINE, EARLIER_CPU: "linux-6.1-epyc"}
"""CPU of a recording -> the shipped machine profile that is fitted to it."""


@dataclass(frozen=True, slots=True)
class Times:
    """
    What a file of times holds.

    ciphers: by the symbol of their cost; cpu: what all was recorded on.
    """

    name: str
    cases: list[Measured]
    loops: list[Primitive]
    ciphers: dict[str, CipherTime]
    cpu: str

    @property
    def machine(self) -> str:
        """The shipped profile that is fitted to this CPU's times. Raises ConfigError if there is none."""
        if self.cpu not in MACHINES:
            problem = f"was recorded on {self.cpu!r}, which no shipped machine profile is of"
            raise ConfigError(self.name, problem, " or ".join(MACHINES))
        return MACHINES[self.cpu]


def load_times(path: Path, folder: Path) -> Times:
    """
    Return the times of a file; folder: where the layouts are, and the cipher's times if the file has none.

    Raises ConfigError for a file that is missing or not of one of the two forms.
    """
    lines = read_lines(path)
    layouts = LayoutFolder(folder / "layouts")
    cases, loops = [], []
    ciphers: dict[str, dict[int, float]] = {}
    cpu = EARLIER_CPU
    for number, line in enumerate(lines, start=1):
        try:
            if "symbol" in line:
                of = ciphers.setdefault(line["symbol"], {})
                of[int(line["arg"])] = float(line["ns_per_unit_median"])
            elif "case" in line:
                cases.append(_case(line))
                cpu = line["cpu"]
            elif "dev" in line:
                record = _as_case(line)
                if line["what"] not in READS:
                    loops.append(_loop(record, line, layouts))
                elif record["device"] != "null_blk" or line["what"] == "seq131072":
                    cases.append(_case(record))
            else:
                record = line | {
                    "path": "own",
                    "layout_file": f"image_bs{line['block_size']}_{line['layout']}.json",
                }
                loops.append(_loop(record, line, layouts))
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path}:{number}", f"is no time ({error!r})", "see results/kernel/README.md"
            ) from error
    if not ciphers and not any("cpu" in line for line in lines):
        return Times(path.name, cases, loops, earlier_ciphers(folder), cpu)
    if missing := [symbol for symbol in ("xts_decrypt", *KEY_BITS) if symbol not in ciphers]:
        raise ConfigError(str(path), f"has no times of {', '.join(missing)}", "what make truth-ns writes")
    found = {symbol: straight_line(took, path.name) for symbol, took in ciphers.items()}
    return Times(path.name, cases, loops, found, cpu)


def _as_case(line: dict[str, Any]) -> dict[str, Any]:
    """Return an earlier line in the words of a case."""
    copies = "ram+copy" if line["dev_copies_data"] else "ram"
    block_size, layout = line["block_size"], line["layout"]
    return {
        "device": "null_blk" if line["dev"] == "null_blk_mq" else copies,
        "block_size": block_size,
        "layout": layout,
        "path": line["path"],
        "access": READS.get(line["what"], ""),
        "es": STATUS[line["es"]],
        "file_bytes": line["units"] * PAGE_BYTES,
        "pages_read": line["units"],
        "layout_file": f"layout_umlimg_bs{block_size}_{layout}.json",
        "ns_per_unit_min": line["ns_per_unit_min"],
        "ns_per_unit_median_of_boots": line["ns_per_unit_median_of_boots"],
    }


def _case(record: dict[str, Any]) -> Measured:
    measured = measured_case(record, record["device"])
    measured.in_kernel = True
    measured.value = _ns(record)
    measured.boots = tuple(record["ns_per_unit_median_of_boots"])
    return measured


def _ns(line: dict[str, Any]) -> float:
    """
    Return the ns of a line: the least of all repetitions, of the newer form the mean of the boots' medians.

    The latter is chosen by how far reads without I/O lie apart (judge.ns_noise), the same work in every
    layout and block size: 1.6 % in the median and 3.0 % at the 95th percentile; their least times 2.3 and
    7.5 %. A CPU whose clock rises for a while makes some minima and not others.
    """
    if "cpu" in line:
        return fmean(line["ns_per_unit_median_of_boots"])
    return float(line["ns_per_unit_min"])


def _loop(record: dict[str, Any], line: dict[str, Any], layouts: LayoutFolder) -> Primitive:
    what, arg, path = str(line["what"]), int(line["arg"]), str(record["path"])
    if what == "inval" and "dev" not in line:
        path = "buffer" if arg else "mpage"
    device, block_size, layout = record["device"], int(record["block_size"]), record["layout"]
    extents, known = _extents(record, layouts)
    name = f"{device}/{block_size}/{layout}/{path}/{what} {arg}/{record['es']}"
    return Primitive(
        name,
        what,
        arg,
        block_size,
        layout,
        path,
        record["es"],
        _ns(line),
        device,
        extents,
        known,
    )


def _extents(record: dict[str, Any], layouts: LayoutFolder) -> tuple[int, int]:
    """Return how many extents a file has, and how many entries the status cache when all of it is known."""
    found = load_case(record, layouts, "a loop's layout").layout.extents
    ends = 0
    holes = 0
    for extent in found:
        holes += extent.logical > ends
        ends = extent.logical + extent.length
    return len(found), len(found) + holes
