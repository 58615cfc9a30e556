"""The simulator against a real kernel: calls per symbol, bios and requests, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.engine.costs import load_costs
from sim.experiment.kernel_case import Case, load_cases, run_case
from sim.experiment.kernel_compare import beyond_noise, compare, infer_tree_pages, modelled, validate

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
COSTS = load_costs("linux-6.1-epyc")
ALL = load_cases(DATA / "counts.jsonl", DATA / "layouts")
CASES = [case for case in ALL if modelled(case)]


@pytest.fixture(scope="module")
def tree_pages() -> dict[str, int]:
    """In how many pages of the device's cache the tree blocks of a layout lie; see kernel_case."""
    return infer_tree_pages(CASES, COSTS)


def test_all_cases_are_there() -> None:
    """The recordings hold 288 plain, 48 fscrypt, 36 dm-crypt and 3 eCryptfs cases; none is left out."""
    assert 375 == len(CASES)
    assert ALL == CASES


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_counts_equal_the_kernels(case: Case, tree_pages: dict[str, int]) -> None:
    """Every counter is the kernel's number; system-wide ones may exceed ours by what write-back explains."""
    machine = run_case(case, COSTS, tree_pages.get(case.record["layout_file"]))
    assert [] == compare(case, machine) + beyond_noise(case, machine)


def test_a_wrong_count_is_found() -> None:
    """A record with one call more of one symbol differs in that symbol, and only there."""
    record = CASES[0].record
    counts = record["counts"] | {"ext4_map_blocks": record["counts"]["ext4_map_blocks"] + 1}
    case = Case(record | {"counts": counts}, CASES[0].extents)
    (outcome,) = validate([case], COSTS)
    assert "differs" == outcome.verdict
    assert ["ext4_map_blocks"] == [difference.counter for difference in outcome.differences]


def test_first_bios_are_the_kernels() -> None:
    """The first 16 bios of quiet warm cases with 4 KiB reads go to the kernel's sectors, in its order."""
    checked = 0
    for case in CASES:
        if not case.quiet or case.record["es"] != "warm" or case.record["access"] not in ("seq4k", "rand4k"):
            continue
        queued: list[list[int]] = []
        run_case(
            case,
            COSTS,
            tracer=lambda letter, _ns, sector, sectors, to=queued: (
                to.append([sector, sectors]) if letter == "Q" else None
            ),
        )
        assert [bio[:2] for bio in case.record["blk"]["first_bios"]] == queued[:16], case.name
        checked += 1
    assert 75 == checked
