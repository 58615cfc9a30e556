"""A Darshan log with extended traces as darshan-dxt-parser(1) would print it, read by Darshan's library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

HEADING = "# Module    Rank  Wt/Rd  Segment          Offset       Length    Start(s)      End(s)"


def example_log(name: str) -> Path:
    """Return a log that comes with the darshan package; skip the test without it."""
    import pytest

    darshan: Any = pytest.importorskip("darshan", reason="the darshan package is not installed")
    return Path(darshan.__file__).parent / "examples" / "example_logs" / name


def dxt_text(log: Path) -> str:
    """Return the POSIX reads and writes of a log in the text form."""
    import darshan  # type: ignore[import-untyped]

    report = darshan.DarshanReport(str(log), read_all=False)
    report.mod_read_all_dxt_records("DXT_POSIX", dtype="dict")
    lines = []
    for record in report.records["DXT_POSIX"]:
        reads, writes = record["read_segments"], record["write_segments"]
        lines += [
            "",
            f"# DXT, file_id: {record['id']}, file_name: {report.name_records[record['id']]}",
            f"# DXT, rank: {record['rank']}, hostname: {record['hostname']}",
            f"# DXT, write_count: {record['write_count']}, read_count: {record['read_count']}",
            HEADING,
        ]
        for what, segments in (("write", writes), ("read", reads)):
            lines += [
                f"{'X_POSIX':>8}{record['rank']:8d}{what:>7}{number:9d}{each['offset']:16d}"
                f"{each['length']:13d}{each['start_time']:12.4f}{each['end_time']:12.4f}"
                for number, each in enumerate(segments)
            ]
    return "\n".join(lines) + "\n"
