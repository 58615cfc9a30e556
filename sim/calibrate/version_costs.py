"""
What reads cost on a later kernel than 6.1, in instructions: only what differs.

A kernel's `symbols.jsonl` says what each of its functions took on some cases, `matrix-instructions.jsonl`
what whole cases took in other boots. Constants go by the model's symbols, which are 6.1's: a function of the
later kernel is paid by those symbols that its record stands for (kernels.py, `renamed`), beginning from what
they cost on 6.1. What comes out as on 6.1, to SAME, keeps that cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sim.cache.page_cache import SPARE_HEADS
from sim.calibrate.constants import SELF, Constant, counting_table
from sim.calibrate.measured import Features
from sim.calibrate.profile import number, text_of
from sim.calibrate.stretches import Stretch, Values, Window, fit_stretches
from sim.engine.costs import DEFAULT_MACHINE, load_costs
from sim.engine.pace import MILLI
from sim.errors import ConfigError
from sim.records.json_lines import read_lines
from sim.records.kernel_case import Case, load_cases, run_case
from sim.records.versions import kernel_name

SYMBOLS, INSTRUCTIONS = "symbols.jsonl", "matrix-instructions.jsonl"
READS_OF_61: Final = "instructions.jsonl"
"""What 6.1 has besides, and constants of all symbols are fitted from."""
HEADER: Final = """\
# Written by `readpath calibrate costs --records results/kernel/linux-{kernel}`; not by hand.
#
# Instructions of 6.1's symbols on this kernel, where its recordings give others: a call's, and a unit's. All
# else costs as on 6.1. ns are derived: a symbol's ns on the machine, which are 6.1's, in proportion to its
# instructions; no recording times this kernel.
"""
SAME, FEW = 0.02, 1.0
"""How far a constant may be from 6.1's, relative and in instructions, and still be taken for the same."""
LOOSE = 3.0
"""How far a constant may well be from 6.1's, in units of it: the width of its prior, and at least LEAST."""
LEAST = 30.0
FRESH: Final[Constant] = ("alloc_buffer_head", "fresh")
"""
A head's share of a page that its slab takes: as on 6.1, for a page is cleared alike. A case finds the slab
pages of the one that was recorded before it (SPARE_HEADS).
"""
DEVICE: Final = frozenset({"brd_submit_bio", "memcpy_page"})
"""The rig's RAM disk."""
FITTED: Final = "fitted: symbols.jsonl"
COPIED: Final = (
    f"{FITTED}; its ns stay: memcpy() is no `rep movs` here on a CPU without FSRM, as the recorded one is"
)
TOGETHER: Final = (
    ("rtram_submit", "brd_submit_bio", "memcpy_page"),
    ("copy_page_to_iter", "_copy_to_iter", "copy_folio_to_iter"),
    (
        *("filemap_alloc_folio_noprof", "folio_alloc_noprof", "__folio_alloc_noprof", "clear_page_erms"),
        *("clear_page", "alloc_buffer_head"),  # a slab's pages are cleared in either
    ),
    ("__filemap_add_folio", "xas_store"),
    ("folio_add_lru", "release_pages"),
    ("vfs_read", "ext4_file_read_iter"),
    ("entry_SYSCALL_64", "user"),
    ("page_cache_sync_ra", "page_cache_prev_miss"),
    ("page_cache_async_ra", "page_cache_next_miss"),
    ("page_cache_ra_unbounded", "do_page_cache_ra"),
    ("ext4_readahead", "ext4_mpage_readpages", "ext4_readpage_loop", "ext4_block_loop", "zero_user_segments"),
    ("do_mpage_readpage", "mpage_block_loop", "folio_zero_segment"),
    ("block_read_full_folio", "folio_zero_range"),
    ("create_empty_buffers", "folio_alloc_buffers", "alloc_page_buffers"),  # each goes through the buffers
    ("bio_alloc_bioset", "bvec_alloc"),
    (
        "bio_add_page",
        "bio_add_folio",
        "__bh_submit",
        "submit_bh_wbc",
    ),  # a buffer's bio is filled by its caller
    ("bio_free", "bio_put", "bvec_free"),
    (
        "mpage_read_end_io",
        "mpage_end_io",
        "ext4_mpage_end_io",
        "__read_end_io",
        "folio_end_read",
        "page_endio",
        "folio_unlock",
        "unlock_page",
    ),
)
"""
Recorded and modelled names, of any of the kernels, that are taken as one stretch: what one of these kernels
has melted into its caller, and its caller. Wider ones would mix what is done once a window, a folio and a
page, which come in few proportions.
"""
MOVED: Final = {"page_cache_sync_ra": "ondemand_readahead", "page_cache_async_ra": "ondemand_readahead"}
"""Symbols that have taken over what another one did on 6.1: their priors are the sums."""
LARGE: Final = frozenset({"xas_store", "mpage_block_loop", "ext4_block_loop"})
"""What only large folios do. Their costs on 6.1 are assumed from these recordings, so they have no prior."""


@dataclass(frozen=True, slots=True)
class VersionRecords:
    """cases: with features per 4 KiB read. windows: those recorded by symbol. shown: constants by name."""

    kernel: str
    cases: list[tuple[Case, Features]]
    windows: list[Window]
    shown: dict[str, frozenset[Constant]]


def costs_of_61() -> Values:
    """Return the instructions of every constant of the default machine."""
    found: Values = {}
    for symbol, cost in load_costs(DEFAULT_MACHINE).costs.items():
        found[symbol, SELF] = cost.self_mi / MILLI
        if cost.unit:
            found[symbol, cost.unit] = cost.unit_mi / MILLI
    return found


def is_version(folder: Path) -> bool:
    """Tell whether a folder has the recordings of a later kernel than 6.1."""
    return (folder / SYMBOLS).is_file() and not (folder / READS_OF_61).is_file()


def load_version_records(folder: Path) -> VersionRecords:
    """Return the records of a later kernel's folder, simulated. ConfigError for a file that is missing."""
    shown: dict[str, set[Constant]] = {}
    cases = [(case, _features(case, shown)) for case in load_cases(folder / INSTRUCTIONS, folder / "layouts")]
    by_name = {case.name: (case, features) for case, features in cases}
    windows = []
    for record in read_lines(folder / SYMBOLS):
        if record["case"] not in by_name:
            raise ConfigError(f"{folder / SYMBOLS}", f"case {record['case']!r}", f"a case of {INSTRUCTIONS}")
        case, features = by_name[record["case"]]
        pages = record["pages_read"]
        taken = {symbol: pair[1] / pages for symbol, pair in record["symbols"].items()}
        taken["user"] = record["user"] / pages
        windows.append(Window(case.name, kind_of(case.record), features, taken))
    frozen = {name: frozenset(constants) for name, constants in shown.items()}
    return VersionRecords(folder.resolve().name.removeprefix("linux-"), cases, windows, frozen)


def kind_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what a case may be left out by."""
    return {
        "block size": str(record["block_size"]),
        "layout": str(record["layout"]),
        "path": str(record["path"]),
        "access": str(record["access"]),
    }


def _features(case: Case, shown: dict[str, set[Constant]]) -> Features:
    """Return how often constants are charged per 4 KiB read; add to `shown` under which name each is."""
    table = counting_table()
    machine = run_case(case, table, device="ram+copy")
    pages = int(case.record["pages_read"])
    features: Features = {}
    for charge in machine.ledger.charges():
        for what, count in ((SELF, charge.calls), (table[charge.symbol].unit, charge.units)):
            if count and what:
                constant = (charge.symbol, what)
                features[constant] = features.get(constant, 0.0) + count / pages
                shown.setdefault(charge.name, set()).add(constant)
    if FRESH in features:
        features[FRESH] = max(features[FRESH] - SPARE_HEADS / pages, 0.0)
    return features


def stretches_of(records: VersionRecords) -> list[Stretch]:
    """Return the stretches: TOGETHER, and each other name by itself; driven by what shows as one of it."""
    named = {name for names in TOGETHER for name in names}
    groups = [*TOGETHER, *((name,) for name in sorted(records.shown) if name not in named)]
    paid: set[Constant] = set()
    found = []
    for group in groups:
        drivers = sorted({c for name in group for c in records.shown.get(name, ())} - paid - {FRESH})
        paid.update(drivers)
        found.append(Stretch(group, tuple(drivers)))
    return found


def fit_version(records: VersionRecords, windows: list[Window]) -> Values:
    """Return the constants that windows charge, as on this kernel; all others are 6.1's."""
    first = costs_of_61()
    expected = {
        (symbol, what): value + first.get((MOVED.get(symbol, ""), what), 0.0)
        for (symbol, what), value in first.items()
        if symbol not in LARGE
    }
    prior = {constant: (value, LOOSE * max(value, LEAST)) for constant, value in expected.items()}
    known = {FRESH: first[FRESH]}
    return fit_stretches(windows, stretches_of(records), known, prior) | known


def fitted_kernel(records: VersionRecords) -> str:
    """Return what differs from 6.1 as TOML (sim/profiles/kernels), figures to four digits."""
    found = differing(fit_version(records, records.windows))
    name = kernel_name({"kernel": records.kernel}, records.kernel)
    lines = [HEADER.format(kernel=records.kernel), f'name = "linux-{name}"']
    for symbol in sorted({constant[0] for constant in found}):
        lines += ["", f"[cost.{symbol}]"]
        for (of, what), value in sorted(found.items()):
            if of == symbol:
                key = "instructions" if what == SELF else "unit_instructions"
                lines.append(f"{key} = {number(value)}")
        lines += (
            [f"same_time = true\nsource = {text_of(COPIED)}"]
            if symbol in DEVICE
            else [f"source = {text_of(FITTED)}"]
        )
    return "\n".join(lines) + "\n"


def differing(values: Values) -> Values:
    """Return the constants that are not as on 6.1, without what only the rig has."""
    first = costs_of_61()
    return {
        constant: value
        for constant, value in values.items()
        if not _as_on_61(constant, value, first.get(constant, 0.0))
    }


def _as_on_61(constant: Constant, value: float, before: float) -> bool:
    """Tell whether a constant is the same, to SAME; a call's, to FEW instructions."""
    return abs(value - before) <= max(SAME * before, FEW if constant[1] == SELF else 0.0)
