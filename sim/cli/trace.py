"""
readpath trace: what is in a trace, and what became of each of its lines.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from sim.cli.render import console, print_table
from sim.errors import ConfigError
from sim.report.table import Column
from sim.report.table import Table as Shown
from sim.text import printable
from sim.units import format_size, format_time
from sim.volume.traces import read_traces
from sim.workload.traces.csv_table import COLUMNS, Table
from sim.workload.traces.formats import FORMATS
from sim.workload.traces.numbers import TIME_UNITS
from sim.workload.traces.summary import Summary, summary
from sim.workload.traces.trace import Trace

_SIZES_SHOWN = 12


def show_trace(
    files: list[Path],
    form: str | None,
    columns: list[str],
    header: str,
    time_unit: str | None,
    block: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Print what is in a trace of one file or several; raise ConfigError for what cannot be read as one.

    columns: "offset=Offset", of a CSV. header: its columns, joined by commas, if its first line has none.
    """
    if form is not None and form not in FORMATS:
        raise ConfigError("--format", f"{form!r} is not known", ", ".join(FORMATS))
    trace = read_traces(files, form, _table(columns, header, time_unit, block))
    found = summary(trace)
    if as_json:
        document = {
            "format": trace.format,
            "kind": trace.kind,
            "lines": trace.lines,
            "read": dict(trace.calls),
            "skipped": dict(trace.skipped),
            **asdict(found),
            "sizes": {str(size): count for size, count in found.sizes.items()},
            "reuse": found.reuse,
        }
        print(json.dumps(document, indent=2))
    elif not quiet:
        _print(trace, found)


def _table(columns: list[str], header: str, time_unit: str | None, block: bool) -> Table | None:
    """Return how a CSV is read, None if nothing is said of one."""
    if time_unit is not None and time_unit not in TIME_UNITS:
        raise ConfigError("--time-unit", f"{time_unit!r} is not known", ", ".join(TIME_UNITS))
    named: dict[str, str] = {}
    for word in columns:
        key, equals, column = word.partition("=")
        if not equals or key not in COLUMNS:
            raise ConfigError("--column", f"{word!r} is not understood", f"{'|'.join(COLUMNS)}=NAME")
        named[key] = column
    if not (named or header or time_unit or block):
        return None
    return Table(named, time_unit, tuple(header.split(",")) if header else (), "block" if block else "file")


def _print(trace: Trace, found: Summary) -> None:
    out = console()
    rows = [
        ("format", f"{trace.format}, of {'files' if trace.kind == 'file' else 'a block device'}"),
        ("lines", f"{trace.lines:,}: {trace.calls.total():,} read, {trace.skipped.total():,} skipped"),
        ("reads", f"{found.reads:,}" + (f", {found.writes:,} writes" if found.writes else "")),
        ("bytes", f"{found.bytes:,}"),
        ("files", f"{found.files:,}, of which {found.files_accessed:,} are accessed"),
        ("processes", f"{found.streams:,}"),
        ("time", format_time(found.duration_ns) if trace.timed else "not told"),
        ("order", f"{found.sequential:,} go on, {found.forward:,} jump ahead, {found.backward:,} back"),
        ("working set", f"{found.working_set_bytes:,} bytes in pages of 4 KiB"),
        ("re-use", f"each of these pages {found.reuse:.2f} times"),
    ]
    facts = tuple({"what": what, "said": said} for what, said in rows)
    print_table(Shown((Column("", "what"), Column("", "said")), facts), out)
    _counts(Counter(trace.calls), "read", "lines read")
    _counts(Counter(trace.skipped), "skipped, because", "lines skipped")
    sizes = Counter({format_size(size): count for size, count in found.sizes.items()})
    shown = Counter(dict(sizes.most_common(_SIZES_SHOWN)))
    rest = sizes.total() - shown.total()
    if rest:
        shown[f"{len(sizes) - len(shown)} other sizes"] = rest
    _counts(shown, "size", "accesses")


def _counts(counts: Counter[str], what: str, how_many: str) -> None:
    if counts:
        rows = tuple({"what": printable(name), "count": count} for name, count in counts.most_common())
        print_table(Shown((Column(what, "what"), Column(how_many, "count", ",d")), rows), console())
