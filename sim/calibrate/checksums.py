"""
What checksums of data take a byte: the slope of a record of experiments/kernel/checksum_times.py, by size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.calibrate.ciphers import CipherTime, straight_line
from sim.documents import read_json
from sim.errors import ConfigError

CHECKSUMS = "checksum-ns.json"
"""The record, beside those of the ciphers."""


def checksum_times(folder: Path) -> dict[str, CipherTime]:
    """
    Return the time of each algorithm, by name. Raises ConfigError for a record that is missing or none.

    What it says of a call is of the library that was measured.
    """
    path = folder / CHECKSUMS
    took: dict[str, dict[int, float]] = {}
    try:
        rows: list[dict[str, Any]] = read_json(path, str(path), "see the README")["rows"]
        for row in rows:
            took.setdefault(row["algorithm"], {})[int(row["bytes"])] = float(row["ns_min"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(str(path), f"is no record ({error!r})", "see the README") from error
    return {name: straight_line(sizes, CHECKSUMS) for name, sizes in took.items()}
