"""
What AES takes: ns of the kernel's assembler code, run natively, per call and per byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.documents import read_json
from sim.errors import ConfigError
from sim.units import PAGE_BYTES

XTS, CBC = "aes-xts-ns.json", "aes-cbc-ns.json"
"""The files of the earlier recording: XTS in ns, CBC as a share of it."""
KEY_BITS = {"cbc_decrypt": 256, "cbc_decrypt_128": 128}


@dataclass(frozen=True, slots=True)
class CipherTime:
    """ns a call and a byte of a cipher's assembler code, with half the width of their intervals."""

    call_ns: float
    byte_ns: float
    call_half: float
    byte_half: float
    source: str


def straight_line(took: dict[int, float], file: str) -> CipherTime:
    """Return the line through ns by the bytes of a data unit; the interval is its residuals."""
    sizes = np.array(sorted(took), dtype=float)
    times = np.array([took[int(size)] for size in sizes])
    slope, start = (float(x) for x in np.polyfit(sizes, times, 1))
    off = float(np.abs(slope * sizes + start - times).max())
    source = f"{file}: {len(took)} sizes from {min(took)} to {max(took)} bytes"
    return CipherTime(start, slope, off + 0.05 * start, 0.03 * slope, source)


def earlier_ciphers(folder: Path) -> dict[str, CipherTime]:
    """Return the ciphers that lie in files of their own. Raises ConfigError for one that is missing."""
    xts = {int(row["unit_bytes"]): float(row["ns_per_unit_min"]) for row in _rows(folder / XTS)}
    found = {"xts_decrypt": straight_line(xts, XTS)}
    byte_ns = xts[PAGE_BYTES] / PAGE_BYTES
    shares = {int(row["key_bits"]): row for row in _rows(folder / CBC)}
    for symbol, bits in KEY_BITS.items():
        least, most = (float(shares[bits][key]) * byte_ns for key in ("of_xts_min", "of_xts_max"))
        half = max(most - least, 0.03 * least)
        found[symbol] = CipherTime(0.0, least, 0.0, half, f"{CBC}: a share of XTS")
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = read_json(path, str(path), "see the README")["rows"]
    except (KeyError, TypeError) as error:
        raise ConfigError(str(path), f"is no record ({error!r})", "see the README") from error
    return rows
