# SPDX-License-Identifier: MIT
"""
Which cases are recorded: a covering selection of the product of block size, layout, path, access pattern,
state of the extent status cache, encryption, readahead, queue limits and initial page cache.

A case is the record that results/kernel keeps, without its counts; see results/kernel/README.md. Within a
block size and layout all paths read alike, so that they can be held against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from volumes import ENCRYPTED, ENCRYPTED_BYTES, FILE_BYTES, layouts
from xfs import TAIL, file_bytes, names

from sim.units import KIB, PAGE_BYTES

Record = dict[str, Any]

BLOCK_SIZES = (1024, 2048, 4096)
PATHS = ("buffer", "mpage", "ext4")
FOLIOS = (
    ("contig", "seq128k"),
    ("frag1", "seq128k"),
    ("frag16", "seq128k"),
    ("aged", "seq128k"),
    ("sparse", "seq128k"),
    ("contig", "seq4k"),
    ("tail", "seq4k"),
    ("contig", "rand4k"),
    ("contig", "backward64k"),
    ("frag64", "stride12k"),
    ("contig", "streams16k"),
    ("contig", "seq128k_advseq"),
)
"""Layouts and accesses of the cases with large folios."""
STATUS = ("warm", "es_cold", "all_cold")
NULL_BLK = "null_blk mq memory_backed irqmode=softirq, journal off, read-only, noatime"
NULL_BLK_XFS = "null_blk mq memory_backed irqmode=softirq, read-only, noatime"
RAM_DISK = "rtram, the rig's bio-based RAM disk: copies, completes inline"
ENCRYPTION = "fscrypt v2 AES-256-XTS"
INSTRUCTIONS = "guest instructions (QEMU -icount shift=0, 1 vCPU, TSC = 1 per instruction)"


def accesses(file_bytes: int) -> dict[str, Record]:
    """Return the access patterns by a name for the case; what a record says of them."""
    pages = -(-file_bytes // PAGE_BYTES)
    half = file_bytes // 2
    return {
        "seq128k": {"access": "seq128k", "pages_read": pages},
        "rand4k": {"access": "rand4k", "pages_read": pages // 4},
        "backward4k": _steps("backward", PAGE_BYTES, pages // 4),
        "streams16k": _steps("two_streams", 16 * KIB, pages // 4, second_offset_bytes=half, open_files=1),
        "seq4k": {"access": "seq4k", "pages_read": pages},
        "stride12k": _steps("stride", 8 * KIB, file_bytes // (12 * KIB) // 2, step_bytes=12 * KIB),
        "seq10000": _steps("stride", 10000, file_bytes // 10000, step_bytes=10000),
        "rand4k_advrandom": {"access": "rand4k_advrandom", "pages_read": pages // 4},
        "streams4k_2fd": _steps("two_streams", 4 * KIB, pages, second_offset_bytes=half, open_files=2),
        "stride64k": _steps("stride", 4 * KIB, file_bytes // (64 * KIB), step_bytes=64 * KIB),
        "backward64k": _steps("backward", 64 * KIB, file_bytes // (64 * KIB)),
        "seq128k_advseq": {"access": "seq128k", "pages_read": pages, "fadvise": "sequential"},
    }


def _steps(access: str, read_bytes: int, reads: int, **more: int) -> Record:
    pages = -(-read_bytes // PAGE_BYTES)
    return {"access": access, "read_bytes": read_bytes, "reads": reads, "pages_read": pages * reads, **more}


def case(
    recording: str,
    block_size: int,
    path: str,
    layout: str,
    access: str,
    es: str,
    suffix: str = "",
    encrypted: bool = False,
    **more: Any,
) -> Record:
    """Return one case; `more` goes into its record and `suffix` into its name. Path iomap is on XFS."""
    size = ENCRYPTED_BYTES if encrypted else file_bytes(layout)
    tag = f"{recording}{'_fscrypt' if encrypted else ''}_bs{block_size}"
    file = f"enc_{layout}" if encrypted else layout
    record: Record = {
        "case": f"{tag}/bs{block_size}/{path}/{layout}/{access}/{es}{'/' if suffix else ''}{suffix}",
        "tag": tag,
        "block_size": block_size,
        "path": path,
        "layout": layout,
        **accesses(size)[access],
        "es": es,
        "file_bytes": size,
        "layout_file": f"image_bs{block_size}_{file}.json",
    }
    if encrypted:
        record["encryption"] = ENCRYPTION
    if path == "iomap":
        file = f"xfs_bs{block_size}_{layout}.json"
        record |= {"filesystem": "xfs", "layout_file": file, "pages_apart": True}
    return record | more


def counts() -> list[Record]:
    """Return the cases whose calls and block events are recorded."""
    null_blk = {"device": NULL_BLK, "read_ahead_kb": 128, "max_sectors_kb": 640, "scheduler": "none"}
    return [null_blk | record for record in _counts()]


def _counts() -> Iterator[Record]:
    name = "matrix"
    names = list(accesses(FILE_BYTES))
    for number, block_size in enumerate(BLOCK_SIZES):
        for at, layout in enumerate(layouts(block_size)):
            # Four of twelve accesses per block size, all twelve per layout; each with one status cache.
            for step in range(4):
                way = (at + 4 * number + step) % len(names)
                for path in PATHS:
                    yield case(name, block_size, path, layout, names[way], STATUS[way % len(STATUS)])
    # Each access so far came with one state of the status cache; here are the others.
    for way, access in enumerate(names):
        for more in (1, 2):
            block_size = BLOCK_SIZES[(way + more) % len(BLOCK_SIZES)]
            layout = list(layouts(block_size))[(5 * way + 7 * more) % 12]
            es = STATUS[(way + more) % len(STATUS)]
            for path in PATHS:
                yield case(name, block_size, path, layout, access, es, "other")
    for block_size in BLOCK_SIZES:
        for at, layout in enumerate(ENCRYPTED):
            for step in range(2):
                access = names[(2 * at + step + block_size // 1024) % len(names)]
                es = STATUS[(at + step) % len(STATUS)]
                for path in ("buffer", "ext4"):
                    yield case(name, block_size, path, layout, access, es, encrypted=True)
    for block_size in (1024, 4096):
        for path in PATHS:
            yield from _settings(name, block_size, path)
            yield from _cached(name, block_size, path)
    for block_size in (1024, 2048):
        for path in PATHS:
            yield from _rewritten(name, block_size, path)


def _settings(name: str, block_size: int, path: str) -> Iterator[Record]:
    """Readahead of 0, 16 KiB and 1 MiB; commands of at most 16 and 64 KiB; an elevator."""
    for kib in (0, 16, 1024):
        for layout, access in (("contig", "seq128k"), ("frag64", "seq4k"), ("frag3", "rand4k")):
            yield case(name, block_size, path, layout, access, "warm", f"ra{kib}", read_ahead_kb=kib)
    for kib in (16, 64):
        for layout in ("contig", "frag16"):
            suffix = f"ra1024-max{kib}"
            more = {"read_ahead_kb": 1024, "max_sectors_kb": kib}
            yield case(name, block_size, path, layout, "seq128k", "warm", suffix, **more)
    for layout in ("contig", "frag1"):
        yield case(name, block_size, path, layout, "seq128k", "warm", "deadline", scheduler="mq-deadline")


def _cached(
    name: str, block_size: int, path: str, status: tuple[str, str] = ("warm", "es_cold")
) -> Iterator[Record]:
    """A page cache that holds part of the file: every eighth page, bursts, the first half but one."""
    pages = FILE_BYTES // PAGE_BYTES
    states = {
        "every8": [[page, page + 1] for page in range(5, pages, 8)],
        "bursts": [[page, page + 7] for page in range(20, pages - 7, 50)],
        "front": [[1, pages // 2]],
    }
    for label, ranges in states.items():
        for layout, access in (("contig", "seq128k"), ("frag4", "seq4k")):
            es = status[label == "bursts"]
            yield case(name, block_size, path, layout, access, es, f"cached-{label}", cached_pages=ranges)


def _rewritten(name: str, block_size: int, path: str) -> Iterator[Record]:
    """Pages that already have buffers: their first blocks were written before and are up to date."""
    per_page = PAGE_BYTES // block_size
    pages = FILE_BYTES // PAGE_BYTES
    for label, every, count in (("one9", 9, 1), ("most4", 4, per_page - 1)):
        blocks = [page * per_page + at for page in range(3, pages, every) for at in range(count)]
        for layout, access in (("contig", "seq128k"), ("frag2", "seq4k")):
            suffix = f"rewritten-{label}"
            yield case(name, block_size, path, layout, access, "warm", suffix, rewritten_blocks=blocks)


def iomap() -> list[Record]:
    """Return the cases of the iomap path on XFS whose calls and block events are recorded."""
    null_blk = {"device": NULL_BLK_XFS, "read_ahead_kb": 128, "max_sectors_kb": 640, "scheduler": "none"}
    return list({record["case"]: null_blk | record for record in _iomap()}.values())


def _iomap() -> Iterator[Record]:
    """Each layout in two ways at each block size, some in the plain one too; then what is special."""
    name, path, es = "xfs", "iomap", "warm"
    ways = list(accesses(FILE_BYTES))
    for number, block_size in enumerate(BLOCK_SIZES):
        for at, layout in enumerate(names(block_size)):
            for step in (0, 7):
                access = ways[(at + 4 * number + step) % len(ways)]
                if layout == TAIL and access.startswith(("backward", "streams")):
                    access = "seq4k"  # these begin in the middle of a page there
                yield case(name, block_size, path, layout, access, es)
        for layout in ("contig", "frag1", "frag3", "aged4", "odd"):
            yield case(name, block_size, path, layout, "seq128k", es)
    for block_size in (1024, 4096):
        yield from _settings(name, block_size, path)
        yield from _cached(name, block_size, path, (es, es))
        for layout, access in FOLIOS:
            yield case(name, block_size, path, layout, access, es, "folios", large_folios=True)
    for block_size in (1024, 2048):
        yield from _rewritten(name, block_size, path)


def instructions() -> list[Record]:
    """Return the cases whose instructions are counted, the most asked-for first."""
    return [_ON_RAM | record for record in _instructions()]


def iomap_instructions() -> list[Record]:
    """Return the cases of the iomap path on XFS whose instructions are counted."""
    return [_ON_RAM | record for record in _iomap_instructions()]


_ON_RAM = {"device": RAM_DISK, "unit": INSTRUCTIONS, "read_ahead_kb": 128}


def _iomap_instructions() -> Iterator[Record]:
    name, path, es = "xfs_icount", "iomap", "warm"
    for block_size in BLOCK_SIZES:
        for layout in ("contig", "frag1", "frag2", "frag4", "frag16", "sparse", "unwritten"):
            for access in ("seq128k", "seq4k", "rand4k"):
                yield case(name, block_size, path, layout, access, es)
        for layout in ("contig", "frag16"):
            yield case(name, block_size, path, layout, "seq128k", es, "folios", large_folios=True)


def _instructions() -> Iterator[Record]:
    name = "icount2"
    paths = ("nop", *PATHS)
    chosen = ("contig", "frag1", "frag2", "frag4", "frag16", "sparse", "unwritten")
    for es in ("warm", "es_cold"):
        for access in ("seq128k", "rand4k", "seq4k", "rand4k_advrandom"):
            for block_size in BLOCK_SIZES:
                for layout in chosen:
                    for path in paths:
                        if es == "warm" or path != "nop":
                            yield case(name, block_size, path, layout, access, es)
        if es == "warm":
            yield from _separating(name)


def _separating(name: str) -> Iterator[Record]:
    """What tells a buffer head from a bio, a map from a page, a bio from its vectors."""
    for block_size in BLOCK_SIZES:
        for path in PATHS:
            for layout in ("odd", "aged4", "frag3"):
                yield case(name, block_size, path, layout, "seq128k", "warm")
            for kib in (16, 32, 256, 1024):  # the size of a bio and the number of readahead calls
                for layout in ("contig", "frag4"):
                    more = {"read_ahead_kb": kib}
                    yield case(name, block_size, path, layout, "seq128k", "warm", f"ra{kib}", **more)
        pages = FILE_BYTES // PAGE_BYTES
        for access in ("seq128k", "seq4k"):  # cached: what a read costs without any of it
            more = {"cached_pages": [[0, pages]]}
            yield case(name, block_size, "ext4", "contig", access, "warm", "cached-all", **more)
    for block_size in (1024, 2048):
        for path in PATHS:
            yield from _rewritten(name, block_size, path)


SMOKE = (
    "matrix_bs4096/bs4096/*/contig/seq128k/warm",
    "icount2_bs4096/bs4096/*/contig/seq128k/warm",
    "matrix_bs4096/bs4096/*/contig/seq128k/warm/*",
    "matrix_bs4096/bs4096/*/frag1/*",
    "matrix_bs1024/bs1024/*/frag2/*",
    "matrix_fscrypt_bs4096/*/contig/*",
    "xfs_bs4096/*/frag1/seq128k/*",
    "xfs_bs4096/*/contig/seq128k/*",
)
"""Patterns of the cases of `make truth CASES=smoke`: a few of each kind."""
