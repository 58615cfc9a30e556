"""Costs: the shipped profile is what the records give, and predicts what it was not fitted to."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.calibrate.constants import MODEL, SYMBOLS
from sim.calibrate.features import attach_features, read_features, simulate_features
from sim.calibrate.fit import Fitted, fit_costs, predict
from sim.calibrate.judge import Verdict, judge, ns_noise, verdicts
from sim.calibrate.least_squares import fit
from sim.calibrate.measured import Measured
from sim.calibrate.records import CostRecords, load_records
from sim.calibrate.times import load_times
from sim.cli.calibrate import profile_text
from sim.engine.costs import DRAWS_SUFFIX, load_costs
from sim.errors import ConfigError

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
MACHINES = Path(sim.__file__).parent / "profiles" / "machines"
TIMES = {"linux-6.1-epyc-7001": "native-ns.jsonl", "linux-6.1-epyc": "uml-ns.jsonl"}


@cache
def records(times: str = "native-ns.jsonl") -> CostRecords:
    """The committed records with their committed features."""
    found = load_records(DATA, DATA / times)
    attach_features(found.whole, read_features(DATA / "features.jsonl"), DATA / "layouts")
    return found


@cache
def fitted() -> Fitted:
    """The fit to all of them."""
    return fit_costs(records())


@cache
def judged(times: str = "native-ns.jsonl") -> dict[tuple[str, str], Verdict]:
    """The verdicts on left-out cases, by currency and device."""
    return {(verdict.currency, verdict.name): verdict for verdict in verdicts(judge(records(times)))}


def case(cases: list[Measured], *words: object) -> Measured:
    """Return the one case of these path, layout, block size, access and status."""
    (found,) = (c for c in cases if (c.path, c.layout, c.block_size, c.access, c.status, c.device) == words)
    return found


@pytest.mark.parametrize("machine", TIMES)
def test_a_shipped_profile_is_what_the_records_give(machine: str) -> None:
    """`readpath calibrate costs` writes the committed profile and its draws again, byte for byte."""
    committed = tuple((MACHINES / f"{machine}{suffix}").read_text() for suffix in (".toml", DRAWS_SUFFIX))
    assert committed == profile_text(records(TIMES[machine]), machine)


def test_the_features_kept_are_the_simulators() -> None:
    """A few cases simulated again charge what features.jsonl says; else: calibrate costs --simulate."""
    few = load_records(DATA)
    few.instructions = [
        case(few.instructions, "ext4", "frag1", 4096, "seq128k", "warm", "ram+copy"),
        case(few.instructions, "buffer", "sparse", 1024, "rand4k_advrandom", "warm", "ram+copy"),
        case(few.instructions, "nop", "contig", 4096, "rand4k", "warm", "ram+copy"),
    ]
    dm_crypt = [
        case for case in few.stacked if case.record["case"].startswith("dm-aes-cbc-essiv-sha256-512/")
    ]
    few.held_out, few.symbols, few.stacked = [], [], dm_crypt[:1]
    few.times.cases[:] = [case(few.times.cases, "mpage", "frag4", 4096, "seq128k", "es_cold", "ram")]
    earlier = load_times(
        DATA / "uml-ns.jsonl", DATA
    ).cases  # whole files in random order, a layout of their own
    few.times.cases.append(case(earlier, "ext4", "frag4", 1024, "rand4k", "warm", "ram+copy"))
    kept = read_features(DATA / "features.jsonl")
    for key, counts in simulate_features(few.whole, DATA / "layouts", 1, {}).items():
        assert {c: float(f"{n:.10g}") for c, n in counts.items()} == kept[key], key


@pytest.mark.parametrize("device", ["ram+copy", "ram+copy by symbol", "ram+copy, not fitted to"])
def test_instructions_of_left_out_cases(device: str) -> None:
    """The bars are held: median 1 %, 95th percentile 3 %, and every pair of paths in the kernel's order."""
    verdict = judged()["instructions", device]
    assert INSTRUCTIONS[device] == (*_percent(verdict), verdict.orders)
    assert verdict.held


def test_instructions_of_cases_with_encryption() -> None:
    """Golden: sums through dm-crypt, eCryptfs and fscrypt; the worst have an item a block."""
    verdict = judged()["instructions", "encrypted, by symbol"]
    assert (*_percent(verdict), verdict.held) == ENCRYPTED
    worst = sorted(verdict.predicted, key=lambda one: -abs(one.error))[:3]
    ways = [(case.case.layout, case.case.access) for case in worst]
    assert ways == [("frag1", "seq128k"), ("contig", "rand4k"), ("frag1", "seq128k")]


@pytest.mark.parametrize("driver", ["nvme", "virtio-blk", "virtio-scsi", "ahci"])
def test_instructions_of_drivers_on_a_path_left_out(driver: str) -> None:
    """
    The bars are held, but for virtio-scsi's median.

    In one of its two boots a request took more in three functions of the block layer, by 30 to 76
    instructions each, which no count of calls tells.
    """
    verdict = judged()["instructions", f"{driver}'s driver"]
    assert (*_percent(verdict), len(verdict.predicted), verdict.held) == DRIVEN[driver]


@pytest.mark.parametrize("device", ["ram", "ram+copy", "null_blk"])
def test_ns_of_left_out_cases(device: str) -> None:
    """The bars are held: median 5 %, 95th percentile 15 %, and every pair of paths in the kernel's order."""
    verdict = judged()["ns", device]
    assert NS[device] == (*_percent(verdict), verdict.orders, len(verdict.wrong))
    assert verdict.held


@pytest.mark.parametrize("device", ["ram", "ram+copy", "null_blk"])
def test_ns_of_left_out_cases_of_the_earlier_recording(device: str) -> None:
    """Golden: the bars are not held, and one pair of paths is in the wrong order."""
    verdict = judged("uml-ns.jsonl")["ns", device]
    assert EARLIER_NS[device] == (*_percent(verdict), verdict.orders, len(verdict.wrong))
    assert not verdict.held


@pytest.mark.parametrize(("times", "apart"), [("native-ns.jsonl", [2, 3]), ("uml-ns.jsonl", [4, 21])])
def test_how_far_ns_records_of_the_same_work_lie_apart(times: str, apart: list[int]) -> None:
    """Reading without I/O is the same in every layout: median and 95th percentile, per cent."""
    assert apart == [round(100 * part) for part in ns_noise(records(times))]


def _percent(verdict: Verdict) -> tuple[float, float]:
    return round(100 * verdict.median, 2), round(100 * verdict.p95, 1)


def test_mapping_is_the_recorded_share_of_what_buffer_heads_cost_more() -> None:
    """Contiguous, 4 KiB blocks, instructions: a sixth of the difference, in the record and here."""
    mapping = [entry for entry in SYMBOLS if entry.group == "mapping"]
    recorded, simulated = [], []
    for path in ("buffer", "ext4"):
        one = next(
            c
            for c in records().symbols
            if (c.path, c.layout, c.block_size, c.access, c.status)
            == (path, "contig", 4096, "seq128k", "warm")
            and c.device == "ram+copy by symbol"
            and not c.record.get("encryption")
        )
        recorded.append((sum(one.symbols.get(e.within, 0.0) for e in mapping), sum(one.symbols.values())))
        of_mapping = {c: n for c, n in one.features.items() if MODEL[c[0]].group == "mapping"}
        simulated.append(
            (predict(of_mapping, fitted().instructions), predict(one.features, fitted().instructions))
        )
    share = [(a - b) / (whole_a - whole_b) for (a, whole_a), (b, whole_b) in (recorded, simulated)]
    assert [0.17, 0.17] == [round(part, 2) for part in share]


@pytest.mark.parametrize("currency", ["instructions", "ns"])
def test_the_extent_path_is_the_slower_on_one_block_fragments(currency: str) -> None:
    """Blocks of 1 KiB, each on its own: the fall-back costs, in either currency, here and in the record."""
    cases, values = (
        (records().instructions, fitted().instructions)
        if currency == "instructions"
        else (records().times.cases, fitted().ns)
    )
    device = "ram+copy" if currency == "instructions" else "ram"
    ext4, buffer = (
        case(cases, path, "frag1", 1024, "seq128k", "warm", device) for path in ("ext4", "buffer")
    )
    assert ext4.value > buffer.value
    assert predict(ext4.features, values) > predict(buffer.features, values)


def test_the_2014_profile_knows_the_same_symbols() -> None:
    """What runs with one profile runs with the other."""
    assert load_costs("linux-6.1-epyc-7001").costs.keys() == load_costs("linux-6.1-epyc").costs.keys()
    assert load_costs("linux-6.1-epyc").costs.keys() == load_costs("linux-3.16-2014").costs.keys()


def test_a_case_without_features_is_named() -> None:
    """Records that were not simulated are refused, with what to do."""
    with pytest.raises(
        ConfigError, match=r"has no case 'ram/1024/contig/seq128k/warm/4096p/ra128/plain/buffer'"
    ):
        attach_features(load_records(DATA).whole, {}, DATA / "layouts")


def test_a_folder_without_records_is_an_error(tmp_path: Path) -> None:
    """The file that is missing is named."""
    with pytest.raises(ConfigError, match=r"instructions.jsonl: cannot be read"):
        load_records(tmp_path)


@pytest.mark.parametrize("seed", range(20))
def test_least_squares_finds_the_minimum(seed: int) -> None:
    """No better point: for every set of zeros, the best of the others (4 unknowns, all 16 sets)."""
    rng = np.random.default_rng(seed)
    matrix, values = rng.normal(size=(6, 4)), rng.normal(size=6)
    sigma, prior, width = np.ones(6), rng.uniform(0, 1, 4), rng.uniform(0.5, 2, 4)

    def misfit(x: np.ndarray) -> float:
        return float((((matrix @ x - values) / sigma) ** 2).sum() + (((x - prior) / width) ** 2).sum())

    best = np.inf
    for free in itertools.product([False, True], repeat=4):
        at = np.flatnonzero(free)
        rows = np.vstack([matrix[:, at], np.diag(1 / width)[:, at]])
        x = np.zeros(4)
        if len(at):
            x[at] = np.linalg.lstsq(rows, np.concatenate([values, prior / width]), rcond=None)[0]
        if (x >= 0).all():
            best = min(best, misfit(x))
    x = fit(matrix, values, sigma, prior, width)
    assert (x >= 0).all()
    assert misfit(x) == pytest.approx(best, rel=1e-9)


INSTRUCTIONS = {
    "ram+copy": (0.27, 0.7, 282),
    "ram+copy by symbol": (0.28, 1.1, 560),
    "ram+copy, not fitted to": (0.35, 2.9, 548),
}
DRIVEN = {
    "nvme": (0.23, 0.4, 7, True),
    "virtio-blk": (0.85, 1.3, 7, True),
    "virtio-scsi": (1.35, 2.6, 7, False),
    "ahci": (0.28, 2.4, 7, True),
}
"""Median and 95th percentile of the error in per cent, cases, whether the bars are held."""
ENCRYPTED = (0.61, 3.8, False)
NS = {
    "ram": (2.42, 10.0, 1192, 0),
    "ram+copy": (4.31, 12.2, 1172, 0),
    "null_blk": (3.3, 9.5, 1152, 0),
}
EARLIER_NS = {
    "ram": (4.75, 19.5, 230, 1),
    "ram+copy": (11.96, 27.9, 228, 0),
    "null_blk": (9.58, 39.3, 88, 0),
}
"""Median and 95th percentile of the error in per cent, pairs of paths, those in the wrong order."""
