"""
The numbers of README's "How we know": what is recorded, what the judge and the published measurements say.

The published measurements are simulated.json's, which a test of its own runs. Recorded cases that are run as
experiments take a quarter of a minute: `make readme` runs them, and their errors are kept, with the model's
digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from quote import ROOT, Quote

from sim.calibrate.constants import HARDWARE
from sim.calibrate.judge import Verdict, judge, verdicts
from sim.calibrate.records import load_records
from sim.calibrate.runs import covering, run_cases
from sim.cli.calibrate import load_fitted_records
from sim.experiment.results import write_json
from sim.experiment.versions import model_digest
from sim.records.published import Compared, Score, kept

KERNEL = ROOT / "results" / "kernel" / "linux-6.1.192"
COUNTS = ("matrix.jsonl", "matrix-xfs.jsonl", "counts.jsonl")
FASTER = "uml-ns.jsonl"
RAN = ROOT / "results" / "reference" / "recorded-cases-run.json"
DRIVERS = ("nvme's driver", "virtio-blk's driver", "virtio-scsi's driver", "ahci's driver")


def _lines(*names: str) -> int:
    return sum(len((KERNEL / name).read_text(encoding="utf-8").splitlines()) for name in names)


def _files() -> list[float]:
    """Return how many files of our images a kernel read, and how many of them encrypted; all were right."""
    files: list[dict[str, Any]] = json.loads((KERNEL / "digests.json").read_text(encoding="utf-8"))
    if not all(file["same_digest"] and file["same_extents"] for file in files):
        raise ValueError(f"{KERNEL / 'digests.json'}: a file differs, and README says none does")
    return [len(files), sum(file["encrypted"] for file in files)]


@cache
def _judged(times: str = "") -> tuple[Verdict, ...]:
    found = load_fitted_records(KERNEL, KERNEL / times if times else None, simulate=False)
    return tuple(verdicts(judge(found)))


def _errors(judged: Iterable[Verdict], currency: str, names: Sequence[str] = ()) -> list[float]:
    """Return the least and the largest median error, and 95th percentile, in per cent."""
    of = [v for v in judged if v.currency == currency and (v.name in names if names else True)]
    medians, p95 = [100 * v.median for v in of], [100 * v.p95 for v in of]
    return [min(medians), max(medians), min(p95), max(p95)]


PLAIN = ("ram+copy, not fitted to", "ram+copy", "ram+copy by symbol")


def _judge() -> list[float]:
    stacked = next(verdict for verdict in _judged() if verdict.name == "encrypted, by symbol")
    return [
        *_errors(_judged(), "instructions", PLAIN),
        100 * stacked.median,
        100 * stacked.p95,
        *_errors(_judged(), "ns"),
    ]


def _orders() -> list[float]:
    """Return how many predictions there are of two paths' order; all were right."""
    if any(verdict.wrong for verdict in _judged()):
        raise ValueError("two paths are in the wrong order, and README says none are")
    return [sum(verdict.orders for verdict in _judged())]


@cache
def _published() -> tuple[Compared, ...]:
    return kept(ROOT / "experiments" / "published").rows


def _score() -> list[float]:
    score: Score = kept(ROOT / "experiments" / "published").score
    if score.median_error is None:
        raise ValueError("no ratio is predicted, and README says how many are")
    return [score.within, score.ratios, score.null_within, score.nearer, 100 * score.median_error]


def _off(*ids: str, ratio: bool) -> list[float]:
    """Return the least and the largest error of the rows of some numbers, in per cent, sign left out."""
    errors = [
        100 * abs(row.error)
        for row in _published()
        if row.number.id in ids and (row.row.ratio is not None) == ratio and not row.fitted
    ]
    return [min(errors), max(errors)]


def _of(key: str) -> float:
    """Return the error of a row in per cent."""
    return 100 * next(row.error for row in _published() if row.key == key)


def _hardware() -> list[float]:
    """Return the assumed ns of hardware, each with its interval."""
    return [float(value) for stated in HARDWARE for value in (stated.ns, *stated.interval)]


def run_the_records() -> None:
    """Run recorded cases as experiments, and keep their errors, in ns: least and most, as _errors()."""
    records = load_records(KERNEL)
    chosen = covering(records.times.cases)
    ran = run_cases(chosen, "ns", KERNEL / "layouts", records.times.machine)
    write_json(RAN, {"model": model_digest(), "errors": _errors(verdicts(list(ran)), "ns")})


def _runs() -> list[float]:
    """Return the errors that are kept; ValueError if another model's are."""
    kept_runs: dict[str, Any] = json.loads(RAN.read_text(encoding="utf-8"))
    if kept_runs["model"] != model_digest():
        raise ValueError(f"{RAN}: of another model; make readme")
    return list(kept_runs["errors"])


RECORDS: tuple[Quote, ...] = (
    Quote("holds {:,d} recorded cases of Linux 6.1.192", lambda: [_lines(*COUNTS)]),
    Quote("iomap on XFS ({:d}, with large folios too)", lambda: [_lines("matrix-xfs.jsonl")]),
    Quote(
        "instructions per 4 KiB are off by {:.1f} to {:.1f} % in the median and {:.1f} to {:.1f} % at the"
        " 95th percentile (through dm-crypt, eCryptfs and fscrypt, partly fitted to, {:.1f} and {:.1f} %:"
        " beyond our bar of 3 %), ns by {:.1f} to {:.1f} % and {:.1f} to {:.1f} %",
        _judge,
    ),
    Quote("The order of the paths is right in all {:,d} predictions", _orders),
    Quote(
        "is noisier: ns are off by {:.0f} to {:.0f} % and {:.0f} to {:.0f} % there",
        lambda: _errors(_judged(FASTER), "ns"),
    ),
    Quote(
        "{:d} of {:d} predicted ratios within 10 % (a model that answers 1 to all: {:d}), {:d} nearer than"
        " it; median error {:.1f} %.",
        _score,
    ),
    Quote(
        "drive of N4 and P7 ({:.0f} to {:.0f} % too high, the null model is nearer) and its MiB/s ({:.0f} to"
        " {:.0f} %: another drive than ours)",
        lambda: [*_off("N4", "P7 nvme", ratio=True), *_off("N4 abs", ratio=False)],
    ),
    Quote(
        "large folios on a RAM disk in a VM (P5, {:.0f} %)",
        lambda: _off("P5", "P5 holes", ratio=True)[1:],
    ),
    Quote(
        "with all bytes in the caches (N2b, {:.0f} %; from memory {:.0f} to {:.0f} %)",
        lambda: [_of("N2b cached bs 64k"), *_off("N2a", "N2b", ratio=True)],
    ),
    Quote(
        "over a hole (P7, {:.0f} and {:.0f} %)",
        lambda: [abs(_of(f"P7 holes bs {size}")) for size in ("64k", "1M")],
    ),
    Quote("MiB/s from the page cache (P4, {:.0f} % at 1 MiB)", lambda: [_of("P4 abs bs 1M")]),
    Quote(
        "dm-crypt (N7, {:.0f} and {:.0f} %; P18, {:.0f} %: a rate hides it here and did not there)",
        lambda: [_of("N7 inline"), _of("N7 kcryptd"), _of("P18 kcryptd")],
    ),
    Quote(
        "eCryptfs (N8, {:.0f} %; P24b, {:.0f} %)",
        lambda: [_of("N8 SSD"), abs(_of("P24b read read"))],
    ),
    Quote("exFAT's mapping (P9, {:.0f} %)", lambda: [abs(_of("P9 CPU time"))]),
    Quote("UDF (N6, {:.1f} times, the null model alike)", lambda: [1 + _of("N6 system time") / 100]),
    Quote("recorded by symbol ({:d} cases of QEMU's devices)", lambda: [_lines("symbols-drivers.jsonl")]),
    Quote(
        "their instructions are off by {:.1f} to {:.1f} % in the median on a path left out",
        lambda: _errors(_judged(), "instructions", DRIVERS)[:2],
    ),
    Quote(
        "an interrupt's entry and return ({:.0f} ns, {:.0f} to {:,.0f}) and a doorbell ({:.0f} ns, {:.0f} to"
        " {:.0f})",
        _hardware,
    ),
    Quote("read {:d} files of our images, {:d} of them encrypted", _files),
    Quote(
        "cases run as experiments (`--runs`) by {:.1f} to {:.1f} % and {:.1f} to {:.1f} %",
        _runs,
    ),
)
"""What the recordings, the judge and the published measurements say."""
