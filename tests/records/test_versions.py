"""Which kernel a record is of, which counters its version has, and every case of 6.12 and 7.3."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim.cli.validate import COUNTS_FILES, recorded_files
from sim.engine.costs import load_costs
from sim.errors import ConfigError
from sim.kernels import KERNELS
from sim.records.counters import AT_LEAST, NOT_COMPARED
from sim.records.folio_log import LEAVES
from sim.records.kernel_case import Case, load_cases
from sim.records.kernel_compare import Outcome, validate
from sim.records.measures import names_of
from sim.records.versions import VERSIONS, kernel_name

KERNEL = Path(__file__).parents[2] / "results" / "kernel"
COSTS = load_costs("linux-6.1-epyc-7001")
FILES = [
    (f"{folder}/{name}.jsonl", cases)
    for folder, files in {
        "linux-6.12.107": {"matrix": 34, "matrix-fscrypt": 8, "matrix-xfs": 10},
        "linux-7.3.4": {
            "matrix": 192,
            "matrix-blocks": 57,
            "matrix-fscrypt": 17,
            "matrix-verity": 5,
            "matrix-xfs": 30,
        },
    }.items()
    for name, cases in files.items()
]


@cache
def cases_of(file: str) -> list[Case]:
    """Return the cases of a file of the recordings."""
    path = KERNEL / file
    return load_cases(path, path.parent / "layouts")


@cache
def outcomes_of(file: str) -> list[Outcome]:
    """Return the verdicts on these cases."""
    return validate(cases_of(file), COSTS, workers=1)


@pytest.mark.parametrize(("file", "cases"), FILES, ids=[file for file, _ in FILES])
def test_every_recorded_case_is_exact(file: str, cases: int) -> None:
    """Calls, bios, requests, folios and windows of every case are the simulator's."""
    outcomes = outcomes_of(file)
    assert cases == len(outcomes)
    assert [] == [difference for outcome in outcomes for difference in outcome.differences]


def test_all_versions_are_compared() -> None:
    """What is compared unless files are named: of every version that is modelled and recorded."""
    versions = {folder.removeprefix("linux-").rpartition(".")[0] for folder in COUNTS_FILES}
    assert set(VERSIONS) == versions
    assert all((KERNEL.parents[1] / file).exists() for file in recorded_files())
    assert set(VERSIONS) < set(KERNELS)


def test_a_kernel_that_is_not_known_is_told() -> None:
    """A record of 6.16 cannot be compared; one that names none is of 6.1.192."""
    assert ("6.1", "6.12", "7.3") == tuple(
        kernel_name(said, "x") for said in ({}, {"kernel": "6.12.107"}, {"kernel": "7.3.4"})
    )
    with pytest.raises(
        ConfigError, match=r"x: kernel: '6\.16\.1' is not known; allowed: 6\.1\.n, 6\.12\.n, 7\.3\.n"
    ):
        kernel_name({"kernel": "6.16.1"}, "x")


@pytest.mark.parametrize("version", ["6.12", "7.3"])
def test_every_recorded_counter_is_compared_or_named(version: str) -> None:
    """No symbol of a record is passed over in silence: it is compared, at least that, or has its reason."""
    file = next(file for file, _ in FILES if file.startswith(f"linux-{version}"))
    case = cases_of(file)[0]
    of_version = VERSIONS[version]
    named = {*names_of(case), *of_version.at_least, *of_version.not_compared, *AT_LEAST, *NOT_COMPARED}
    assert set() == case.record["counts"].keys() - named
    assert all(of_version.not_compared.values())


def changed(field: str, value: Any) -> list[str]:
    """Return which counters differ if a record of 7.3 said something else."""
    case = cases_of("linux-7.3.4/matrix.jsonl")[0]
    (outcome,) = validate([replace(case, record=case.record | {field: value})], COSTS, workers=1)
    return [difference.counter for difference in outcome.differences]


def test_folios_and_windows_are_compared() -> None:
    """A folio more of one order, another first folio, another window, or one more of them: told."""
    record = cases_of("linux-7.3.4/matrix.jsonl")[0].record
    assert ["folio_orders"] == changed("folio_orders", record["folio_orders"] | {"0": 33})
    assert ["first_folios"] == changed("first_folios", [[0, 1], *record["first_folios"][1:]])
    first, *others = record["first_windows"]
    assert ["first_windows"] == changed("first_windows", [[*first[:3], 1], *others])
    assert ["windows"] == changed("windows", 65)
    assert ["bare_runs"] == changed("bare_runs", 1)


def test_another_kernel_is_another_result() -> None:
    """The recording of 7.3.4 said to be of 6.12: large folios are not there, and the counters say so."""
    case = cases_of("linux-7.3.4/matrix.jsonl")[0]
    with pytest.raises(ConfigError, match=r"kernel 6\.12 has none on buffer_head"):
        validate([replace(case, record=case.record | {"kernel": "6.12.107"})], COSTS, workers=1)


def test_the_folder_says_the_kernel_where_a_record_does_not(tmp_path: Path) -> None:
    """A record without `kernel` in linux-7.3.4 is of 7.3, elsewhere of 6.1, which has no such folios."""
    case = cases_of("linux-7.3.4/matrix.jsonl")[0]
    record = {field: value for field, value in case.record.items() if field != "kernel"}
    for folder, kernel in (("linux-7.3.4", "7.3"), ("linux-7.3.4-mine", "6.1"), ("other", "6.1")):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "counts.jsonl"
        file.write_text(json.dumps(record) + "\n")
        (loaded,) = load_cases(file, KERNEL / "linux-7.3.4" / "layouts")
        assert kernel == kernel_name(loaded.record, "x")


def test_what_is_left_out_of_large_blocks() -> None:
    """Nine of the 57 read tree blocks, of leaves that nobody knows; all are exact."""
    outcomes = outcomes_of("linux-7.3.4/matrix-blocks.jsonl")
    assert all(outcome.exact for outcome in outcomes)
    assert 9 == sum(LEAVES in dict(outcome.left_out).values() for outcome in outcomes)
