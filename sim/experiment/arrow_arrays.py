"""
Plain values to Arrow's arrays, through its memory format.

pyarrow's own way, pa.array(), looks whether it was given something of pandas, and so imports pandas wherever
it is installed: longer than a small run takes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

_CODES = {pa.int32(): "i", pa.int64(): "q", pa.float64(): "d"}
"""The letters of the module `array`."""


def arrow_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array[Any]:
    """
    Return pa.array(values, kind): int32, int64, float64, bool or string; None is null.

    Raises TypeError and OverflowError for a value that is not of its kind, where pa.array() might round.
    """
    present = [value is not None for value in values]
    validity = None if all(present) else _bits(present)
    if kind == pa.string():
        words = [b"" if value is None else value.encode() for value in values]
        offsets = array("i", accumulate(map(len, words), initial=0))
        data = [pa.py_buffer(offsets), pa.py_buffer(b"".join(words))]
    elif kind == pa.bool_():
        data = [_bits([bool(value) for value in values])]
    else:
        data = [pa.py_buffer(array(_CODES[kind], [0 if value is None else value for value in values]))]
    return pa.Array.from_buffers(kind, len(values), [validity, *data])


def _bits(flags: Sequence[bool]) -> pa.Buffer:
    return pa.py_buffer(np.packbits(np.array(flags, dtype=bool), bitorder="little").tobytes())
