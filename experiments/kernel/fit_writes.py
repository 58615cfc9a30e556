"""
Fits what writing costs, in instructions, to recordings of a kernel
(results/kernel/*/writes/instructions.jsonl).

    python experiments/kernel/fit_writes.py            prints the constants, and how well each case is met
    python experiments/kernel/fit_writes.py --leave-out  each case by a fit to all the others

null_blk copies what it is given: a byte an instruction, as `rep movs` counts, taken off; so are the bytes
that write(2) copies. Each recorded phase is simulated; what the machine profile knows already is taken off,
and the rest is shared out over the quantities of `QUANTITIES` by least squares, none below zero. A quantity
stands for a stretch of code: its symbol carries the cost of what it calls.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.block.opf import REQ_OP_WRITE
from sim.engine.costs import DEFAULT_MACHINE, UNMEASURED, Cost, CostTable, load_costs
from sim.records.counted_machine import WRITTEN
from sim.records.json_lines import read_lines
from sim.records.write_case import WriteCase
from sim.records.write_script import ScriptRun
from sim.records.write_volumes import load_volumes
from sim.units import PAGE_SECTORS, SECTOR_BYTES

FOLDER: Final = Path("results/kernel/linux-6.1.192/writes")
ALLOCATED: Final = "pages that null_blk allocates"
QUANTITIES: Final = {
    "ext4_file_write_iter": "a write(2), its system call and lock included",
    "ext4_da_write_begin": "a page of it, delalloc: begin, end and made dirty",
    "ext4_write_end": "a page of it, nodelalloc: begin, end, handle and made dirty",
    "ext4_journalled_write_end": "a page of it, journalled: begin, end and handle",
    "block_write_begin": "a page of it, as ext2 does: begin, end and made dirty",
    "ext4_da_get_block_prep": "a block of it, delalloc: looked for and made dirty",
    "_ext4_get_block": "a block of it, in a handle: looked for",
    "write_end_fn": "a block of it given to the journal: access, and made dirty",
    "ext4_da_reserve_space": "a block promised",
    "ext4_mb_new_blocks": "an allocation, its extent inserted",
    "mb_find_extent": "an extent looked at in a buddy",
    "jbd2_journal_commit_transaction": "an fsync(2) with its commit, the blocks logged apart",
    "__folio_start_writeback": "a page under write-back, from lock to end",
    "mpage_process_page_bufs": "a page looked at by ext4_writepages()",
    "ext4_bio_write_page": "a page written by ext4_bio_write_page()",
    "io_submit_add_bh": "a block added to a bio",
    "ext4_end_bio": "a bio of ext4_bio_write_page(), its io_end included",
    "__block_write_full_page": "a page written by block_write_full_page()",
    "end_buffer_async_write": "a block written by submit_bh_wbc(), its end included",
    "__mpage_writepage": "a page looked at by __mpage_writepage()",
    "jbd2_journal_write_metadata_buffer": "a block logged, in place dirty again",
    "fscrypt_encrypt_pagecache_blocks": "a bounce page",
    ALLOCATED: "of null_blk's memory, no part of a profile",
}


AS_READ: Final = {"xts_encrypt": "xts_decrypt", "crypto_skcipher_encrypt": "crypto_skcipher_decrypt"}
"""What costs as much as its counterpart on reads."""


class Counting(CostTable):
    """A profile in which what is unknown costs nothing."""

    def __init__(self, known: dict[str, Cost]) -> None:
        super().__init__("counting", {})
        self._known = known

    def __getitem__(self, symbol: str) -> Cost:
        """Return the known cost of a symbol, or none."""
        if symbol not in self._known:
            return Cost(symbol, 1000, 0, "", "writes", 0.0, "")
        return self._known[symbol]

    def extended(self, *_: object) -> CostTable:
        """Return itself: no path has costs of its own here."""
        return self


def new_pages(run: ScriptRun, number: int) -> int:
    """Return how many pages of the device a phase was the first to write."""
    seen: set[int] = set()
    found = 0
    for bio in run.bios:
        if not bio.opf & REQ_OP_WRITE or not bio.sectors:
            continue
        pages = range(bio.sector // PAGE_SECTORS, -(-(bio.sector + bio.sectors) // PAGE_SECTORS))
        fresh = [page for page in pages if page not in seen]
        seen.update(fresh)
        found += len(fresh) if bio.phase == number else 0
    return found


def least_squares(
    matrix: NDArray[np.float64], values: NDArray[np.float64], sigma: NDArray[np.float64]
) -> NDArray[np.float64]:
    """
    Return the x >= 0 that minimises the misfit relative to sigma: coordinate by coordinate, until it rests.
    """
    rows, right = matrix / sigma[:, None], values / sigma
    normal, pull = rows.T @ rows, rows.T @ right
    x = np.zeros(matrix.shape[1])
    for _ in range(50_000):
        before = x.copy()
        for at in np.flatnonzero(np.diag(normal)):
            x[at] = max(0.0, x[at] + (pull[at] - normal[at] @ x) / normal[at, at])
        if np.abs(x - before).max() < 1e-6:
            break
    return x


def taken_off(run: ScriptRun, name: str, known: dict[str, Cost]) -> tuple[list[float], float, float]:
    """
    Return how often each quantity was, the instructions that are left for them, and all that were measured.

    name: of the phase; its two rounds are averaged.
    """
    record, rounds = run.case.record, (f"{name}1", f"{name}2")
    phases = [phase for phase in run.phases if phase.name in rounds]
    measured = [phase["instructions"] for phase in record["phases"] if phase["name"] in rounds]
    fresh = [new_pages(run, number) for number, phase in enumerate(run.phases) if phase in phases]
    symbols = set().union(*(phase.counts for phase in phases))
    mean = {symbol: sum(phase.counts.get(symbol, 0) for phase in phases) / 2 for symbol in symbols}
    mean[ALLOCATED] = sum(fresh) / 2
    rest = float(np.mean(measured)) - (record["total"] if name == "write" else 0)
    for symbol, calls in mean.items():
        if symbol in known:
            units = sum(phase.units.get(symbol, 0) for phase in phases) / 2
            rest -= (known[symbol].self_mi * calls + known[symbol].unit_mi * units) / 1000
    rest -= mean.get(WRITTEN, 0) * SECTOR_BYTES
    return [mean.get(symbol, 0.0) for symbol in QUANTITIES], rest, float(np.mean(measured))


def main() -> None:
    """Simulate, fit, print."""
    assumed = load_costs(UNMEASURED).costs
    known = {
        symbol: cost
        for symbol, cost in load_costs(DEFAULT_MACHINE).costs.items()
        if symbol not in QUANTITIES and symbol not in assumed
    }
    known |= {symbol: known[other] for symbol, other in AS_READ.items()}
    costs = Counting(known)
    volumes = load_volumes(FOLDER / "volumes.json")
    rows, values, names = [], [], []
    for record in read_lines(FOLDER / "instructions.jsonl"):
        record |= {
            "mount": record["script"][0].split()[-1],
            "device": "nullb-nocache",
            "bios": [],
            "sync": "fsync",
            "group": "instructions",
        }
        for phase in record["phases"]:
            phase.setdefault("counts", {})
        case = WriteCase(record, volumes[record["image"]], record["case"])
        run = ScriptRun(case, costs)
        run.run()
        for name in ("write", "sync"):
            row, rest, measured = taken_off(run, name, known)
            rows.append(row)
            values.append(rest)
            names.append((record["case"], name, measured))
    matrix, target = np.array(rows), np.array(values)
    total = np.array([whole for *_, whole in names])
    sigma = 0.01 * total
    x = least_squares(matrix, target, sigma)
    off = (matrix @ x - target) / total
    for (symbol, what), cost in zip(QUANTITIES.items(), x, strict=True):
        print(f"{symbol:38} {cost:10.1f}  {what}")
    print(
        f"median {np.median(abs(off)):.2%}, p95 {np.percentile(abs(off), 95):.2%},"
        f" largest {abs(off).max():.2%}"
    )
    if "--leave-out" in sys.argv:
        out = []
        for at in range(0, len(target), 2):
            keep = np.ones(len(target), bool)
            keep[at : at + 2] = False
            other = least_squares(matrix[keep], target[keep], sigma[keep])
            out += list((matrix[at : at + 2] @ other - target[at : at + 2]) / total[at : at + 2])
        off = np.array(out)
        print(f"left out: median {np.median(abs(off)):.2%}, p95 {np.percentile(abs(off), 95):.2%}")
    for at in np.argsort(-abs(off))[:12]:
        print(f"  {names[at][0]} {names[at][1]}: {off[at]:+.2%} of {names[at][2]:,.0f}")


if __name__ == "__main__":
    main()
