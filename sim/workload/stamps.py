"""
What a job writes where bytes are kept: every sector says which file it is of, where in it, and which write it
is of.

A sector of 512 bytes is 16 times the same 32 bytes, four little-endian integers of 64 bits: `MAGIC`, the
file's number, the sector's number in the file, the number of the write (from 1). So a reader can tell old
from new, and both from what was never written there: fio's verify=meta has the same purpose.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from sim.units import SECTOR_BYTES

MAGIC: Final = int.from_bytes(b"readpath", "little")
_FIELDS: Final = 4
_TIMES: Final = SECTOR_BYTES // (8 * _FIELDS)


def stamped(number: int, offset: int, length: int, write: int) -> bytes:
    """Return `length` bytes from byte `offset` on of file `number`, as write `write` has them."""
    first, end = offset // SECTOR_BYTES, -(-(offset + length) // SECTOR_BYTES)
    sectors = np.empty((end - first, _TIMES, _FIELDS), "<u8")
    sectors[:, :, 0], sectors[:, :, 1], sectors[:, :, 3] = MAGIC, number, write
    sectors[:, :, 2] = np.arange(first, end, dtype="<u8")[:, None]
    skip = offset - first * SECTOR_BYTES
    return sectors.tobytes()[skip : skip + length]


def writes_found(data: bytes | memoryview, number: int) -> npt.NDArray[np.int64]:
    """
    Return for each sector of a file's contents the number of the write that it is of, -1 for what is no stamp
    of this file and place, or not one as a whole.

    data: whole sectors, from the start of the file.
    """
    sectors = np.frombuffer(data, "<u8").reshape(-1, _TIMES, _FIELDS)
    head = sectors[:, :1, :]
    whole = (sectors == head).all(axis=(1, 2))
    own = (head[:, 0, 0] == MAGIC) & (head[:, 0, 1] == number)
    own &= head[:, 0, 2] == np.arange(len(sectors), dtype="<u8")
    return np.where(whole & own, head[:, 0, 3].astype(np.int64), -1)
