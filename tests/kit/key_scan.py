"""
Looking for keys where none may be: in any bytes, in every encoding in which a program may show one.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from sim.crypto.keys.aes_kw import _kek
from sim.crypto.keys.rfc2014 import _derive
from sim.crypto.keys.user_keys import UserKey

_CHUNK_BYTES = 8
"""A key is looked for in pieces of this size, so that a part of it is found as well."""
_HEAD_BYTES = 8


def encodings(key: bytes) -> dict[str, set[bytes]]:
    """Return what a key, or a piece of 8 bytes of it, looks like by the name of the encoding."""
    backwards = key[::-1]
    chunks = [
        side[at : at + _CHUNK_BYTES]
        for side in (key, backwards)
        for at in range(0, len(key) - _CHUNK_BYTES + 1, _CHUNK_BYTES)
    ]
    numbers = [int.from_bytes(key, order) for order in ("big", "little")]
    return {
        "raw": set(chunks),
        "hex": {word for chunk in chunks for word in (chunk.hex().encode(), chunk.hex().upper().encode())},
        "hex in groups": {chunk.hex(mark).encode() for chunk in chunks for mark in " :"},
        # 9 bytes at each of the three places at which base64 may cut, less what the neighbours decide.
        "base64": {
            encode(side[at : at + 9])
            for side in (key, backwards)
            for at in range(len(key) - 8)
            for encode in (base64.b64encode, base64.urlsafe_b64encode)
        },
        "repr": {repr(chunk)[2:-1].encode() for chunk in chunks if not set(chunk) & set(b"'\"")},
        "JSON": {json.dumps(chunk.decode("latin-1"))[1:-1].encode() for chunk in chunks},
        "UTF-8": {chunk.decode("latin-1").encode() for chunk in chunks},
        "list": {", ".join(map(str, chunk)).encode() for chunk in chunks},
        "int": {form(number)[:24].encode() for number in numbers for form in (str, hex, "{:x}".format)},
    }


class KeyScan:
    """Secrets, and where they are found. A secret has 16 bytes or more that look random."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._needles: dict[bytes, list[tuple[bytes, str]]] = {}
        for key in secrets:
            assert len(key) >= 16
            for name, forms in encodings(key).items():
                for form in forms:
                    self._needles.setdefault(form[:_HEAD_BYTES], []).append((form, name))
        self._heads = np.sort(np.frombuffer(b"".join(self._needles), dtype=np.uint64))

    def found(self, data: bytes) -> list[str]:
        """Return the encodings in which a secret is in `data`; Parquet is read as such too."""
        names = self._found(data)
        if data[:4] == b"PAR1":
            table = pq.read_table(io.BytesIO(data))
            metadata = pq.read_metadata(io.BytesIO(data)).metadata
            names |= self._found(f"{table.to_pydict()} {metadata}".encode())
        return sorted(names)

    def _found(self, data: bytes) -> set[str]:
        names: set[str] = set()
        for shift in range(min(_HEAD_BYTES, len(data))):
            view = np.frombuffer(data, np.uint64, (len(data) - shift) // _HEAD_BYTES, shift)
            at = np.minimum(np.searchsorted(self._heads, view), len(self._heads) - 1)
            for start in (np.flatnonzero(self._heads[at] == view) * _HEAD_BYTES + shift).tolist():
                for form, name in self._needles[data[start : start + _HEAD_BYTES]]:
                    if data.startswith(form, start):
                        names.add(name)
        return names

    def files(self, folder: Path) -> dict[str, list[str]]:
        """Return the encodings found in each file below a folder, by name; files without any are left out."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        found = {str(path.relative_to(folder)): self.found(path.read_bytes()) for path in paths}
        return {name: names for name, names in found.items() if names}


def kek(raw: bytes, key: UserKey) -> bytes:
    """Return the key under which a set of packets holds a user's packet."""
    if raw[0]:
        return _kek(key, raw[12:24], raw[24:80] if raw[0] == 0x12 else b"")
    bound = raw[10:66] if raw[5:10] == bytes((0, 0, 0, 61, 2)) else b""
    return _derive(key, raw[5 + (5 + 56 if bound else 0) + 22 :][:12], b"e", 32, bound)
