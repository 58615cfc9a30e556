"""
Key files: raw fscrypt master keys in TOML or JSON.

TOML holds one table per key:

    [[key]]
    raw = "0d141b..."                       # hexadecimal, 16 to 64 bytes
    v1_descriptor = "1122334455667788"      # only for files with a v1 context

JSON holds one key as {"raw_key": "0d14...", "v1_descriptor": "..."}, or a list of such objects. A
"v2_identifier" may be given in both and must then be that of the key. No error shows a key.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path

from sim.crypto.fscrypt.contexts import DESCRIPTOR_BYTES, MasterKey
from sim.crypto.keys.user_keys import read_secret
from sim.errors import CryptoError

_OPTIONAL = ("v1_descriptor", "v2_identifier")


def read_keys(path: str | Path, *, public: bool = False) -> dict[bytes, MasterKey]:
    """
    Return the master keys of a file by the bytes with which a context names them.

    That is the 16-byte identifier (v2) and, where one is given, the 8-byte descriptor (v1). The suffix
    `.json` means JSON, any other TOML. public: the keys are no secret, as test keys from a seed are; else a
    file that others than its owner may read or write is refused. Raises CryptoError, which names the file
    and the number of the key but never shows a value, for a file that cannot be read or a key that cannot
    be used.
    """
    path = Path(path)
    raw_name = "raw_key" if path.suffix == ".json" else "raw"
    keys: dict[bytes, MasterKey] = {}
    for number, entry in enumerate(_entries(path, public)):
        place = f"{path}: key {number}"
        for reference, key in _key(place, entry, raw_name).items():
            if reference in keys:
                raise CryptoError(place, f"{reference.hex()} is there twice", "every key once")
            keys[reference] = key
    return keys


def _entries(path: Path, public: bool) -> list[object]:
    try:
        text = read_secret(path, public=public)
        # A parser's message may quote the text around the error, hence a key: it is not passed on.
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError):
        raise CryptoError(str(path), "is neither UTF-8 TOML nor, with suffix .json, JSON") from None
    if path.suffix == ".json":
        return document if isinstance(document, list) else [document]
    if document.keys() == {"user"}:
        raise CryptoError(
            str(path), "holds users' keys, for --as USER", "fscrypt's master keys, [[key]] tables"
        )
    if not isinstance(entries := document.get("key"), list) or len(document) != 1:
        raise CryptoError(str(path), "has other entries than keys", "[[key]] tables alone")
    return list(entries)


def _key(place: str, entry: object, raw_name: str) -> dict[bytes, MasterKey]:
    if not isinstance(entry, dict):
        raise CryptoError(place, f"is a {type(entry).__name__}", "a table")
    names = (raw_name, *_OPTIONAL)
    for name in entry:
        if name not in names:
            # A name is shown only if it is nearly right: a misplaced key could stand in its place.
            nearest = difflib.get_close_matches(name, names, n=1)
            raise CryptoError(
                place, "has an unknown entry" + (f" like {nearest[0]!r}" if nearest else ""), ", ".join(names)
            )
    if raw_name not in entry:
        raise CryptoError(place, f"has no {raw_name!r}", "hexadecimal digits")
    try:
        key = MasterKey(_hex(place, raw_name, entry[raw_name]))
    except CryptoError as error:
        raise CryptoError(f"{place}: {raw_name}", error.problem, error.allowed) from None
    references = {key.identifier: key}
    if "v2_identifier" in entry and _hex(place, "v2_identifier", entry["v2_identifier"]) != key.identifier:
        raise CryptoError(f"{place}: v2_identifier", "is not that of the key", key.identifier.hex())
    if "v1_descriptor" in entry:
        descriptor = _hex(place, "v1_descriptor", entry["v1_descriptor"])
        if len(descriptor) != DESCRIPTOR_BYTES:
            raise CryptoError(
                f"{place}: v1_descriptor", f"{len(descriptor)} bytes", f"{DESCRIPTOR_BYTES} bytes"
            )
        references[descriptor] = key
    return references


def _hex(place: str, name: str, text: object) -> bytes:
    if isinstance(text, str):
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise CryptoError(f"{place}: {name}", "is not hexadecimal", "a string of hexadecimal digits")
