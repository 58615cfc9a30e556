"""
readpath validate: recorded kernel cases against the simulator.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatch
from itertools import count
from pathlib import Path
from typing import Any

from sim.cli.outcomes import SHOWN, document, print_not_compared
from sim.cli.render import console, print_table, progress
from sim.cli.validate_peers import PEER_GROUPS, print_peers
from sim.cli.validate_writes import WRITE_GROUPS, print_writes
from sim.engine.costs import DEFAULT_MACHINE, load_costs
from sim.errors import ConfigError
from sim.experiment.runner import Progress
from sim.records.counters import AT_LEAST, NOT_COMPARED, RENAMED
from sim.records.kernel_case import PATH_NAMES, Case, load_cases
from sim.records.kernel_compare import Difference, Outcome, validate
from sim.records.peer_case import PeerCase, is_of_peers, load_peer_cases
from sim.records.peer_compare import validate_peers
from sim.records.verity_case import VerityCase, compare_verity_case, is_verity_file, load_verity_cases
from sim.records.versions import FIRST, VERSIONS, kernel_name
from sim.records.write_case import WriteCase
from sim.records.write_compare import VOLUMES, load_write_cases, validate_writes
from sim.report.kernel_figure import PANELS, Point, draw_kernel_figure
from sim.report.panels import check_formats
from sim.report.table import Column, Table
from sim.shipped import here_or_shipped

RECORDED = Path("results/kernel")
COUNTS_FILES = {
    "linux-6.1.192": ("counts", "matrix", "matrix-xfs"),
    "linux-6.12.107": ("matrix", "matrix-fscrypt", "matrix-xfs"),
    "linux-7.3.4": ("matrix", "matrix-blocks", "matrix-fscrypt", "matrix-verity", "matrix-xfs"),
}
"""Files of calls, by the folder of the kernel."""
WRITE_FILES = tuple(f"linux-6.1.192/writes/{name}.jsonl" for name in WRITE_GROUPS)
PEER_FILES = tuple(f"linux-6.1.192/peers/{name}.jsonl" for name in PEER_GROUPS)
VERITY_FILE = "linux-6.1.192/peers/fs-verity.jsonl"
"""Of peers, and read by the simulator's own path besides."""
DIFFERS = 1


def validate_cases(
    files: list[Path],
    layouts: Path | None,
    glob: str,
    as_json: bool,
    quiet: bool = False,
    figure: Path | None = None,
) -> int:
    """
    Compare the cases of counts files whose name matches `glob`; return 1 if any counter differs.

    layouts: folder of the layout files; None: `layouts` beside each counts file. figure: an SVG or PNG to
    draw. Raises ReadpathError for files that are no recordings, and when no case matches.
    """
    if figure is not None:
        check_formats([figure.suffix.lstrip(".")])
    cases, writes, verity, peers = _chosen(files or recorded_files(), layouts, glob)
    with progress(wanted=not quiet) as watch:
        numbers, total = count(1), len(cases) + len(writes) + len(verity) + len(peers)
        outcomes = validate(
            cases,
            load_costs(DEFAULT_MACHINE),
            lambda case: watch(Progress("cases", next(numbers), total, case.name)),
        )
        written = validate_writes(
            writes, lambda case: watch(Progress("cases", next(numbers), total, case.name))
        )
        for case in verity:
            watch(Progress("cases", next(numbers), total, case.name))
            written.append(compare_verity_case(case))
        of_peers = validate_peers(
            peers, lambda case: watch(Progress("cases", next(numbers), total, case.name))
        )
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    others = any(outcome.differences for outcome in written) or any(
        outcome.differences for outcome in of_peers
    )
    if as_json:
        documents = [*map(_document, outcomes), *map(document, written), *map(document, of_peers)]
        print(json.dumps(documents, indent=2))
    elif not quiet:
        out = console()
        if outcomes:
            print_table(_summary(outcomes), out, "recorded kernel cases against the simulator")
            _print_differences(differences)
        for (counters, why), number in _left_out(outcomes).items():
            print_not_compared(number, counters, why, out)
        for line in _never(outcomes):
            out.print(line, markup=False, highlight=False, soft_wrap=True)
        if written:
            print_writes(written, out)
        if of_peers:
            print_peers(of_peers, out)
    if figure is not None:
        draw_kernel_figure(_points(outcomes), figure, "readpath validate")
    return DIFFERS if differences or others else 0


def _chosen(
    files: list[Path], layouts: Path | None, glob: str
) -> tuple[list[Case], list[WriteCase], list[VerityCase], list[PeerCase]]:
    """Return the cases of some files whose name matches `glob`, by kind; ConfigError if none does."""
    cases: list[Case] = []
    writes: list[WriteCase] = []
    verity: list[VerityCase] = []
    peers: list[PeerCase] = []
    for file in map(here_or_shipped, files):
        if is_verity_file(file):
            verity += load_verity_cases(file)
        if is_of_peers(file):
            peers += load_peer_cases(file)
        elif (file.parent / VOLUMES).exists():
            writes += load_write_cases(file)
        else:
            cases += load_cases(file, layouts or file.parent / "layouts", glob)
    cases = [case for case in cases if "counts" in case.record]
    writes = [case for case in writes if fnmatch(case.name, glob)]
    verity = [case for case in verity if fnmatch(case.name, glob)]
    peers = [case for case in peers if fnmatch(case.name, glob)]
    if not (cases or writes or verity or peers):
        raise ConfigError(
            "--case", f"{glob!r} matches no recorded case", "a shell pattern, such as '*frag1*'"
        )
    return cases, writes, verity, peers


def recorded_files() -> list[Path]:
    """Return all files that are compared unless others are named."""
    counts = [f"{kernel}/{name}.jsonl" for kernel, names in COUNTS_FILES.items() for name in names]
    return [RECORDED / name for name in (*counts, *WRITE_FILES, *PEER_FILES)]


def _document(outcome: Outcome) -> dict[str, Any]:
    """Return what --json says of a case."""
    return {
        "case": outcome.case.name,
        "verdict": outcome.verdict,
        "exact": outcome.exact,
        "compared": len(outcome.compared),
        "nulls": outcome.nulls,
        "differences": [asdict(difference) for difference in outcome.differences],
        "left_out": dict(outcome.left_out),
    }


def _print_differences(differences: list[Difference]) -> None:
    """Print differences by what they are about, the first of each kind whole."""
    out = console()
    for kind in sorted({difference.kind for difference in differences}):
        of_kind = [difference for difference in differences if difference.kind == kind]
        about = "the record contradicts itself" if kind == "record" else f"about {kind}"
        number = len({difference.case for difference in of_kind})
        line = f"{len(of_kind)} {about}, in {number} case{'s' if number > 1 else ''}:"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
        for one in of_kind[:SHOWN]:
            other = "its other word" if kind == "record" else "simulator"
            said = f"  {one.case}: {one.counter}: kernel {one.kernel}, {other} {one.simulator}"
            out.print(said, markup=False, highlight=False, soft_wrap=True)
        if len(of_kind) > SHOWN:
            out.print(f"  {len(of_kind) - SHOWN} more: --json", highlight=False)


def _left_out(outcomes: list[Outcome]) -> Counter[tuple[str, str]]:
    """Return how many cases leave out which counters, and why."""
    found: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        for why in dict.fromkeys(reason for _, reason in outcome.left_out):
            found[", ".join(name for name, reason in outcome.left_out if reason == why), why] += 1
    return found


def _never(outcomes: list[Outcome]) -> Iterator[str]:
    """Yield what is compared in no case of a version, or one way only, though its records have it."""
    for name, version in VERSIONS.items():
        recorded = {
            counter
            for outcome in outcomes
            if kernel_name(outcome.case.record, outcome.case.name) == name
            for counter in outcome.case.record["counts"]
        }
        for said, reasons in (
            ("not compared", NOT_COMPARED | dict(version.not_compared)),
            ("never fewer recorded than here", AT_LEAST | dict(version.at_least)),
        ):
            compared = version.compared if said == "not compared" else {}
            for why in dict.fromkeys(reasons.values()):
                counters = [c for c, r in reasons.items() if r == why and c in recorded and c not in compared]
                if counters:
                    yield f"{said} on {name}: {', '.join(sorted(counters))} ({why})"


def _points(outcomes: list[Outcome]) -> list[Point]:
    """Return the counters that the figure shows."""
    return [
        Point(PATH_NAMES[record["path"]], counter, kernel, ours, int(record["pages_read"]))
        for outcome in outcomes
        for record in (outcome.case.record,)
        for name, kernel, ours in outcome.compared
        for counter in (RENAMED.get(name, name),)
        if counter in PANELS
    ]


def _summary(outcomes: list[Outcome]) -> Table:
    """Return a row per kernel, path and block size: how many cases, and how they came out."""
    numbers: Counter[tuple[str, str, int, str]] = Counter()
    for outcome in outcomes:
        record = outcome.case.record
        kernel = str(record.get("kernel", FIRST))
        of = (kernel, str(record["path"]), int(record["block_size"]))
        numbers[(*of, "cases")] += 1
        numbers[(*of, outcome.verdict)] += 1
        numbers[(*of, "exact")] += outcome.exact and outcome.verdict == "equal"
        numbers[(*of, "compared")] += len(outcome.compared)
        numbers[(*of, "nulls")] += outcome.nulls
        numbers[(*of, "counters")] += len(outcome.differences)
    columns = (
        Column("kernel", "kernel"),
        Column("path", "path"),
        Column("block size", "block_size", ",d"),
        Column("cases", "cases", ",d"),
        Column("equal", "equal", ",d"),
        Column("of these every counter exact", "exact", ",d"),
        Column("differ", "differs", ",d"),
        Column("counters compared", "compared", ",d"),
        Column("of these 0 = 0", "nulls", ",d"),
        Column("counters that differ", "counters", ",d"),
    )
    keys = [column.key for column in columns[3:]]
    groups = sorted(
        {group[:3] for group in numbers},
        key=lambda group: (_release(group[0]), _PATHS.index(group[1]), group[2]),
    )
    rows = tuple(
        {"kernel": kernel, "path": path, "block_size": size}
        | {key: numbers[kernel, path, size, key] for key in keys}
        for kernel, path, size in groups
    )
    return Table(columns, rows, ("kernel",), ("kernel", "path", "block_size"))


def _release(kernel: str) -> tuple[int, ...]:
    """Return a kernel's version as numbers, for the order of rows."""
    return tuple(map(int, kernel.split(".")))


_PATHS = list(PATH_NAMES)
