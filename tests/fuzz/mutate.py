"""
Mutations of documents: of the tree that a document says, and of its bytes. Where to, chance decides.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 7, 1e-9, 1e-300, 0.5, 1e300, -1e300, 1e9, 10**9, 10**10),
    *((1 << 31) - 1, 1 << 31, 1 << 32, (1 << 53) + 1, (1 << 62), (1 << 63) - 1, 1 << 63, -(1 << 63), 10**30),
    *(float("nan"), float("inf"), "", " ", ".", "..", "/", "/dev/zero", "a/b", "a\0b", "\x1b[2J", "é" * 100),
    *(
        "9" * 5000,
        "1e999",
        "0x10",
        "-1",
        "1KiB",
        "1P",
        "100000000GiB",
        "7s",
        "1e3",
        "0.0000001ns",
        "%s%n",
        "$x",
    ),
    *("nvme", "hdd", "ramdisk", "null_blk", "page_io", "iomap", "mpage", "read", "randread", "warm", "7.3"),
    *("fscrypt-v2", "dm-crypt", "ecryptfs", "file-keys", "inline", "contiguous", "sparse", "aged", "random"),
    *([], {}, [[]], [0], [0, 0], [1, 2, 3], ["a", "a"], {"kind": "aged"}, {"label": "x"}, {"value": 1}, [{}]),
    *([[[[[[]]]]]], list(range(300)), "x" * 300, {"a": {"b": {"c": 1}}}, "\ud800"),
]
"""Values that somebody might write: wrong types, edges of numbers, names of other things, nesting."""

INTERESTING: list[bytes] = [
    *(
        b"",
        b"\0",
        b"\xff",
        b"\xff\xfe",
        b"\r",
        b"\t",
        b"\n\n",
        b"=",
        b"[",
        b"]",
        b"[[",
        b"{",
        b"}",
        b'"',
        b"'",
    ),
    *(b"-", b"0", b"9" * 30, b"9" * 5000, b"1e999", b"nan", b"inf", b"-1", b"[" * 2000, b"{a=" * 2000, b"#"),
    *(
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"..",
        b"/",
        b"%",
        b"$",
        b"$pagesize",
        b"*",
        b"\x1b[2J",
        b"\x7f",
        b" " * 99,
    ),
    *(b"k", b"g", b"p", b"kib", b"100%", b"101%", b"0%", b":", b",", b"/0:", b"4294967296", b"-0"),
]


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value within a document, of long lists of the first few."""
    if at:
        yield at
    inner = (
        value.items() if isinstance(value, dict) else enumerate(value[:4]) if isinstance(value, list) else ()
    )
    for key, one in inner:
        yield from places(one, (*at, key))


def tree(rng: random.Random, document: Any) -> Any:
    """Return a copy of a document with one to three changes: a value, a name, more or less of them."""
    document = deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        known = list(places(document))
        if not known:
            return rng.choice(STRANGE)
        *way, key = rng.choice(known)
        holder = document
        for step in way:
            holder = holder[step]
        _change(rng, document, holder, key)
    return document


def _change(rng: random.Random, document: Any, holder: Any, key: Any) -> None:
    value = holder[key]
    match rng.choice(("strange", "strange", "number", "number", "remove", "rename", "add", "copy", "double")):
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            factor = rng.choice((-1, 0, 0.5, 2, 1000, 1e6, 1e12))
            changed = value * factor if rng.random() < 0.6 else value + rng.choice((-1, 1, 0.5))
            holder[key] = int(changed) if isinstance(value, int) and rng.random() < 0.9 else changed
        case "number" if isinstance(value, str) and any(map(str.isdigit, value)):
            digits = "".join(filter(str.isdigit, value))[:18]
            other = str(int(digits) * rng.choice((0, 2, 1000, 10**6)) + rng.choice((-1, 0, 1)))
            holder[key] = value.replace(digits, other, 1)
        case "remove":
            del holder[key]
        case "rename" if isinstance(holder, dict):
            holder[rng.choice(("x", "", "kind", "label", "path", "size", f"{key}x"))] = holder.pop(key)
        case "add" if isinstance(holder, dict):
            holder[rng.choice(("x", "kind", "label", "extent", "size", "seed"))] = deepcopy(
                rng.choice(STRANGE)
            )
        case "add":
            holder.append(deepcopy(rng.choice(STRANGE)))
        case "copy":
            source: Any = document
            for step in rng.choice(list(places(document))):
                source = source[step]
            holder[key] = deepcopy(source)
        case "double" if isinstance(value, list):
            holder[key] = value + deepcopy(value)
        case _:
            holder[key] = deepcopy(rng.choice(STRANGE))


def raw(rng: random.Random, content: bytes) -> bytes:
    """Return bytes with one to four changes: other bytes, less of them, a piece twice, a word put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, end = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
        end = min(end, at + rng.choice((1, 1, 4, 40)))
        match rng.randrange(6):
            case 0:
                data[at:end] = rng.randbytes(rng.randrange(4))
            case 1:
                data[at:end] = b""
            case 2:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 3 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 4:
                del data[at:]
            case _:
                data[at:end] = rng.choice(INTERESTING)
    return bytes(data)


def lines(rng: random.Random, content: bytes) -> bytes:
    """Return a text of which lines are gone, doubled, exchanged, or have another value behind their `=`."""
    rows = content.split(b"\n")
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(rows))
        match rng.randrange(5):
            case 0:
                rows[at : at + 1] = []
            case 1:
                rows[at:at] = [rows[at]]
            case 2:
                other = rng.randrange(len(rows))
                rows[at], rows[other] = rows[other], rows[at]
            case 3 if b"=" in rows[at]:
                strange = rng.choice(STRANGE)
                text = str(strange).encode("utf-8", errors="surrogatepass")
                rows[at] = rows[at].partition(b"=")[0] + b"=" + text.replace(b"\n", b" ")
            case _:
                rows[at] = raw(rng, rows[at])
        rows = rows or [b""]
    return b"\n".join(rows)


def in_json(rng: random.Random, content: bytes) -> bytes:
    """Return a JSON document with its tree changed."""
    return json.dumps(tree(rng, json.loads(content))).encode()


def in_toml(read: Callable[[str], Any]) -> Callable[[random.Random, bytes], bytes]:
    """Return what changes the tree of a TOML document, which `read` parses."""
    return lambda rng, content: as_toml(tree(rng, read(content.decode()))).encode("utf-8", "surrogatepass")


def as_toml(value: Any, inline: bool = False) -> str:
    """Return a tree as TOML: one key a line at the top, inline tables below."""
    if isinstance(value, dict) and not inline:
        return "".join(f"{json.dumps(str(key))} = {as_toml(one, True)}\n" for key, one in value.items())
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(str(key))} = {as_toml(one, True)}" for key, one in value.items())
            + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(one, True) for one in value) + "]"
    if value is None:
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
