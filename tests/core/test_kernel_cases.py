"""The simulator against a real kernel: calls per symbol, bios and requests, case by case."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.engine.costs import load_costs
from sim.experiment.kernel_case import Case, compare, infer_tree_pages, load_cases, noise_bound, run_case

DATA = Path(__file__).parents[1] / "data" / "kernel"
COSTS = load_costs("linux-6.1-epyc")
ALL = load_cases(DATA / "counts.jsonl", DATA / "layouts")
# dm-crypt and eCryptfs are not modelled yet
CASES = [case for case in ALL if case.record["tag"].startswith(("nullmq", "fscrypt"))]


@pytest.fixture(scope="module")
def tree_pages() -> dict[str, int]:
    """In how many pages of the device's cache the tree blocks of a layout lie; see kernel_case."""
    return infer_tree_pages(CASES, COSTS)


def test_all_plain_and_fscrypt_cases_are_there() -> None:
    """The recordings hold 288 plain and 48 fscrypt cases; none is left out."""
    assert 336 == len(CASES)
    assert 39 == len(ALL) - len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_counts_equal_the_kernels(case: Case, tree_pages: dict[str, int]) -> None:
    """Every counter of the case is the kernel's number, without tolerance."""
    machine = run_case(case, COSTS, tree_pages.get(case.record["layout_file"]))
    assert [] == compare(case, machine)


@pytest.mark.parametrize("case", [case for case in CASES if not case.quiet], ids=lambda case: case.name)
def test_noisy_counters_differ_by_no_more_than_the_writes_seen(
    case: Case, tree_pages: dict[str, int]
) -> None:
    """Where write-back ran during a recording, its bios bound what system-wide counters may hold more."""
    machine = run_case(case, COSTS, tree_pages.get(case.record["layout_file"]))
    simulated = machine.ledger.calls()
    for symbol, most in noise_bound(case).items():
        assert 0 <= case.record["counts"][symbol] - simulated.get(symbol, 0) <= most, symbol


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
    assert 56 == checked
