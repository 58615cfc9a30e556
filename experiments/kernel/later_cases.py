# SPDX-License-Identifier: MIT
"""
Which cases are recorded on later kernels: 7.3, and fewer on 6.12.

A case is as in cases.py; `large_folios` says what the file's mapping may have. 6.12 has no large folios on
ext4, and no kernel has any for encrypted files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cases import INSTRUCTIONS, NULL_BLK, NULL_BLK_XFS, PATHS, RAM_DISK, STATUS, Record, cached, case
from made_volumes import BLOCKS, FILES, VERITY
from volumes import ENCRYPTED, OTHER_SIZES, TAIL, layouts

SETTINGS = {"read_ahead_kb": 128, "max_sectors_kb": 640, "scheduler": "none"}
WAYS = (
    *("seq4k", "rand4k", "stride12k", "rand4k_advrandom", "stride64k", "backward64k"),
    *("streams16k", "seq10000", "streams4k_2fd", "backward4k", "seq128k_advseq"),
)
BLOCK_SIZES = (1024, 2048, 4096)
LARGE_BLOCK_SIZES = (8192, 16384, 65536)
XFS_FILES = (
    *("contig", "frag1", "frag2", "frag4", "frag16", "frag64"),
    *("unwritten", "aged", "aged4", "sparse", "tail", "odd"),
)


def _make(group: str, *words: Any, small: bool = False, suffix: str = "", **more: Any) -> Record:
    """Return a case of a group; small: large folios are taken away, which is part of its name."""
    suffix = "-".join(part for part in (suffix, "small" if small else "") if part)
    record = case(group, *words, suffix=suffix, encrypted=group == "enc", large_folios=not small)  # type: ignore[misc]
    if group in (BLOCKS, VERITY):
        record["layout_file"] = f"{group}_bs{record['block_size']}_{record['layout']}.json"
    return record | more


def _listed(records: Iterable[Record], more: Record) -> list[Record]:
    """Return the cases with what they share, each name once: its last case."""
    return list({record["case"]: more | record for record in records}.values())


def plain(old: bool) -> list[Record]:
    """Return ext4's cases without encryption; old: those of 6.12."""
    if old:
        return _listed((record | {"large_folios": False} for record in _plain_old()), _ON_NULL)
    return _listed(_plain(), _ON_NULL)


_ON_NULL = {"device": NULL_BLK} | SETTINGS
_ON_NULL_XFS = {"device": NULL_BLK_XFS} | SETTINGS
_ON_RAM = {"device": RAM_DISK, "unit": INSTRUCTIONS, "read_ahead_kb": 128}


def _plain() -> Iterator[Record]:
    name = "plain"
    for number, bs in enumerate(BLOCK_SIZES):
        for at, layout in enumerate(layouts(bs)):
            yield from (_make(name, bs, path, layout, "seq128k", "warm") for path in PATHS)
            for step in range(2):
                way = (at + 4 * number + 3 * step) % len(WAYS)
                es = STATUS[(way + at) % 3]
                yield from (_make(name, bs, path, layout, WAYS[way], es) for path in PATHS)
        for path in PATHS:
            for layout in ("contig", "frag4", "frag64"):
                yield _make(name, bs, path, layout, "rand4k", "warm")
                yield _make(name, bs, path, layout, "seq4k", "warm")
            for layout in OTHER_SIZES:
                yield _make(name, bs, path, layout, "seq128k", "es_cold")
                yield _make(name, bs, path, layout, "seq4k", "warm")
    for bs in (1024, 4096):
        yield from _settings(name, bs)
        for path in PATHS:
            for record in cached(name, bs, path, ("warm", "warm")):
                yield record | {"large_folios": True}
    for kib in (16, 64):
        for layout in ("contig", "frag16"):
            more: Record = {"read_ahead_kb": 1024, "max_sectors_kb": kib}
            yield _make(name, 4096, "ext4", layout, "seq128k", "warm", suffix=f"ra1024-max{kib}", **more)
    for layout in ("contig", "frag1"):
        more = {"scheduler": "mq-deadline"}
        yield _make(name, 4096, "ext4", layout, "seq128k", "warm", suffix="deadline", **more)


def _settings(name: str, bs: int) -> Iterator[Record]:
    """Without large folios; readahead from none to 4 MiB."""
    for layout, access in (
        *(("contig", "seq128k"), ("frag2", "seq128k"), ("aged4", "seq4k")),
        *(("frag16", "rand4k"), ("sparse", "seq128k"), ("tail", "seq4k")),
    ):
        yield from (_make(name, bs, path, layout, access, "warm", small=True) for path in PATHS)
    for kib in (0, 16, 64, 1024, 4096):
        for layout, access in (
            *(("contig", "seq128k"), ("frag64", "seq4k"), ("frag16", "seq128k"), ("aged", "seq4k")),
        ):
            for path in PATHS if kib == 1024 or layout == "contig" else ("ext4",):
                yield _make(name, bs, path, layout, access, "warm", suffix=f"ra{kib}", read_ahead_kb=kib)


def _plain_old() -> Iterator[Record]:
    name = "plain"
    for bs in (1024, 4096):
        for path in PATHS:
            for layout in ("contig", "frag1", "frag2", "frag16", "sparse", "aged"):
                yield _make(name, bs, path, layout, "seq128k", "warm", small=True)
                yield _make(name, bs, path, layout, "rand4k", "es_cold", small=True)
            for layout, access in (
                *(("contig", "seq4k"), ("frag64", "stride12k"), ("aged4", "streams16k"), ("tail", "seq4k")),
            ):
                yield _make(name, bs, path, layout, access, "all_cold", small=True)
            more: Record = {"read_ahead_kb": 1024}
            yield _make(name, bs, path, "contig", "seq128k", "warm", small=True, suffix="ra1024", **more)


def encrypted(old: bool) -> list[Record]:
    """Return the cases of fscrypt v2."""
    sizes = (4096,) if old else (1024, 4096)
    return _listed((record | {"large_folios": False} for record in _encrypted(sizes)), _ON_NULL)


def _encrypted(sizes: tuple[int, ...]) -> Iterator[Record]:
    for number, bs in enumerate(sizes):
        for at, layout in enumerate(ENCRYPTED):
            other = ("rand4k", "seq4k", "stride64k", "rand4k_advrandom")[(at + number) % 4]
            for access in ("seq128k", other):
                for path in ("buffer", "ext4"):
                    yield _make("enc", bs, path, layout, access, STATUS[(at + number) % 2])
        more: Record = {"read_ahead_kb": 1024}
        yield _make("enc", bs, "ext4", "contig", "seq128k", "warm", suffix="ra1024", **more)


def blocks(old: bool) -> list[Record]:
    """Return the cases with blocks larger than a page; 6.12 cannot mount such."""
    return [] if old else _listed(_blocks(), _ON_NULL)


def _blocks() -> Iterator[Record]:
    others = ("seq4k", "rand4k", "rand4k_advrandom", "stride64k", "stride12k")
    for bs in LARGE_BLOCK_SIZES:
        for at, layout in enumerate(FILES[BLOCKS]):
            way = others[at % len(others)]
            for path in PATHS:
                yield _make(BLOCKS, bs, path, layout, "seq128k", "warm")
                if layout != TAIL or way == "seq4k":
                    yield _make(BLOCKS, bs, path, layout, way, ("warm", "all_cold")[at % 2])
        for path in PATHS:
            more: Record = {"read_ahead_kb": 1024}
            yield _make(BLOCKS, bs, path, "contig", "seq128k", "warm", small=True)
            yield _make(BLOCKS, bs, path, "frag16", "seq4k", "warm", suffix="ra1024", **more)


def verity(old: bool) -> list[Record]:
    """Return the cases of fs-verity, on 7.3 only; with es all_cold no hash is in memory."""
    ways = (("seq128k", "all_cold"), ("seq128k", "warm"), ("rand4k", "all_cold"), ("seq4k", "all_cold"))
    records = [
        _make(VERITY, bs, "ext4", layout, access, es, verity="SHA-256")
        for bs in (1024, 4096)
        for layout in FILES[VERITY]
        for access, es in ways
    ]
    return [] if old else _listed(records, _ON_NULL)


def iomap(old: bool) -> list[Record]:
    """Return the cases of iomap on XFS."""
    return _listed(_iomap(old), _ON_NULL_XFS)


def _iomap(old: bool) -> Iterator[Record]:
    name, path, es = "xfs", "iomap", "warm"
    for number, bs in enumerate((1024, 4096)):
        for at, layout in enumerate(XFS_FILES[::2] if old else XFS_FILES):
            yield _make(name, bs, path, layout, "seq128k", es)
            way = WAYS[(at + 5 * number) % len(WAYS)]
            if layout == TAIL and way.startswith(("backward", "streams")):
                way = "seq4k"  # these begin in the middle of a page there
            yield _make(name, bs, path, layout, way, es)
            if not old:
                yield _make(name, bs, path, layout, "seq128k", es, small=True)
        for layout in ("contig", "frag4", "frag16"):
            if not old:
                yield _make(name, bs, path, layout, "seq4k", es)
                yield _make(name, bs, path, layout, "rand4k", es)
            yield _make(name, bs, path, layout, "seq128k", es, suffix="ra1024", read_ahead_kb=1024)


def instructions(old: bool) -> list[Record]:
    """Return the cases whose instructions are counted."""
    return _listed(_instructions(old), _ON_RAM)


def _instructions(old: bool) -> Iterator[Record]:
    name = "icount"
    for bs in (4096, 1024):
        for layout in ("contig", "frag1", "frag4", "frag16", "sparse"):
            for access in ("seq128k", "rand4k"):
                for path in ("nop", *PATHS):
                    if path != "nop" or layout == "contig" or not old:
                        yield _make(name, bs, path, layout, access, "warm", small=old)
        for path in () if old else PATHS:
            for layout in ("contig", "frag1", "frag4", "frag16"):
                yield _make(name, bs, path, layout, "seq128k", "warm", small=True)
            yield _make(name, bs, path, "contig", "seq4k", "warm")
            more: Record = {"read_ahead_kb": 1024}
            yield _make(name, bs, path, "contig", "seq128k", "warm", suffix="ra1024", **more)


GROUPS: dict[str, tuple[str, Callable[[bool], list[Record]]]] = {
    "counts": ("matrix.jsonl", plain),
    "blocks": ("matrix-blocks.jsonl", blocks),
    "fscrypt": ("matrix-fscrypt.jsonl", encrypted),
    "verity": ("matrix-verity.jsonl", verity),
    "xfs": ("matrix-xfs.jsonl", iomap),
    "instructions": ("matrix-instructions.jsonl", instructions),
}
"""Recording: its file, and its cases by whether the kernel is the old one, 6.12."""

SMOKE = (
    "plain_bs4096/*/contig/seq128k/warm",
    "plain_bs*/*/contig/seq128k/warm/small",
    "plain_bs1024/*/frag2/*",
    "enc_fscrypt_bs4096/*/contig/*",
    "big_bs16384/*/contig/seq128k/warm",
    "verity_bs4096/*/contig/seq128k/*",
    "xfs_bs4096/*/frag1/seq128k/*",
    "xfs_bs4096/*/contig/seq128k/*",
    "icount_bs4096/*/contig/seq128k/warm*",
)
"""Patterns of the cases of CASES=smoke: a few of each kind."""
