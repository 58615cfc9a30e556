# SPDX-License-Identifier: MIT
"""
Which writes are recorded on 6.1: overwrites, new and growing files, holes, encrypted files, the same work by
other operations, journal checksums, devices, a block device's own pages.

A case is what is around its script: image, mount, device, mode, path, file, kind of writes. Its script is the
lines that guest/wtruth.c runs (its head says the language); `mark NAME` begins a phase that is counted:
"write" (the writes, and their fsync where each has one), "sync" (the one sync), "umount".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from cases import Record
from volumes import RAW_KEY

from sim.units import KIB, MIB

MODES = {
    "od": "data=ordered,delalloc",
    "on": "data=ordered,nodelalloc",
    "wd": "data=writeback,delalloc",
    "wn": "data=writeback,nodelalloc",
    "j": "data=journal",
    "xd": "delalloc",
    "xn": "nodelalloc",
}
"""Mount options by the mode's short name; x: without a journal."""
SIZES = (1024, 2048, 4096)
KINDS = {"seq4k": 4 * KIB, "seq16k": 16 * KIB, "seq128k": 128 * KIB, "seq1m": MIB, "seq8m": 8 * MIB}
NODES = {
    "nullb": "/dev/nullb0",
    "nullb-nocache": "/dev/nullb0",
    "virtio": "/dev/vdb",
    "loop": "/dev/loop0",
    "wtram": "/dev/wtram",
}
NO_KUPDATE = (
    "set /proc/sys/vm/dirty_expire_centisecs 3000",
    "set /proc/sys/vm/dirty_background_bytes 402653184",
    "set /proc/sys/vm/dirty_bytes 805306368",
)
"""Nothing is written back because of its age or its amount."""
SETTLE = ("sync", "sleep 30", "sync", "sleep 30")
SYNCS = {
    "end": ["fsync {fd}"],
    "fdatasync": ["fdatasync {fd}"],
    "sfr": ["sfr {fd} 0 0 7"],
    "sfrw": ["sfr {fd} 0 0 2"],
    "syncfs": ["syncfs {fd}"],
    "bg": [
        "set /proc/sys/vm/dirty_expire_centisecs 10",
        "set /proc/sys/vm/dirty_writeback_centisecs 20",
        "sleep 1200",
    ],
}
"""Lines of the phase "sync"; sfr, sfrw: sync_file_range(2), bg: wait for the flusher."""
SYNC_NAMES = {"end": "fsync", "each": "fsync_each", "each2": "fdatasync_each"}
HOW = {"each": 1, "each2": 2}
"""What wtruth does after each write: 1 fsync, 2 fdatasync."""


def writes(fd: int, kind: str, start: int, total: int, how: int, seed: str) -> list[str]:
    """Return the lines that write `total` bytes from `start`."""
    if kind in KINDS:
        return [f"wseq {fd} {start} {KINDS[kind]} {total} {how}"]
    if kind == "once":
        sync = [f"{'fsync' if how == 1 else 'fdatasync'} {fd}"] if how else []
        return [f"w {fd} {start} {total}", *sync]
    if kind.startswith("part"):  # 1000 bytes, one after the other
        return [f"wseq {fd} {start} 1000 {total} {how}"]
    if kind == "stride1000":  # 1000 bytes in every second page, 100 bytes into it
        return [f"wv {fd} {start + 100} 1000 8192 {total // 8192} {how}"]
    if kind == "straddle":  # 6000 bytes from the middle of a page
        return [f"wv {fd} {start + 2000} 6000 16384 {total // 16384} {how}"]
    pages = range((2 * MIB if total <= MIB else total) // 4096)
    picked = random.Random(seed).sample(pages, total // 4096)
    return [f"wl {fd} 4096 {how} " + " ".join(str(start + 4096 * page) for page in picked)]


def case(
    group: str,
    tag: str,
    bs: int,
    mode: str,
    before: list[str],
    body: list[str],
    *,
    path: str = "own",
    image: str = "",
    device: str = "nullb",
    options: str = "",
    sync: str = "end",
    after: tuple[str, ...] = (),
    key: tuple[str, ...] = (),
    **more: Any,
) -> Record:
    """
    Return a case on descriptor 0.

    tag: of its name. before: lines ahead of all that is counted. key: those that add an encryption key.
    """
    image = image or f"w{bs}{'-nojournal' if mode[0] == 'x' else ''}"
    commit = "" if mode[0] == "x" else "commit=600"
    words = (MODES[mode], commit, "no_prefetch_block_bitmaps", "noinit_itable", options)
    mount = ",".join(word for word in words if word)
    lines = [f"mount {NODES[device]} ext4 {mount}", *key, *NO_KUPDATE, *before, *SETTLE]
    lines += [f"swap 0 {path}"] if path != "own" else []
    lines += ["mark write", *body]
    if sync in SYNCS:
        lines += ["mark sync", *(line.format(fd=0) for line in SYNCS[sync])]
    lines += ["mark -", *after]
    if sync == "bg":
        lines += ["set /proc/sys/vm/dirty_writeback_centisecs 100000", "sleep 100"]
    lines += ["swap 0 own"] if path != "own" else []
    lines += ["mark umount", "close 0", "umount", "mark -"]
    name = SYNC_NAMES.get(sync, sync)
    said = "" if image in (f"w{bs}", f"w{bs}-nojournal") else image
    parts = (f"{group}_bs{bs}", mode, path, tag, name, device if device != "nullb" else "", options, said)
    return {
        "case": "/".join(part for part in parts if part),
        "group": group,
        "block_size": bs,
        "mode": mode,
        "path": path,
        "image": image,
        "device": device,
        "mount": mount,
        "sync": name,
        "script": lines,
        **more,
    }


def opened(file: str, cache: str, es: str, reach: int) -> list[str]:
    """Return the lines that open a file that is there. cache: `reach` bytes are in memory (warm), or none."""
    lines = [f"open 0 /mnt/{file} rw"]
    lines += [f"fiemap /mnt/{file} before"] if es == "warm" else ["precache 0", "esclear 0"]
    return lines + ([f"rseq 0 0 131072 {reach}"] if cache == "warm" else [])


def over(
    bs: int,
    mode: str,
    file: str,
    kind: str,
    total: int,
    *,
    group: str = "over",
    cache: str = "cold",
    es: str = "warm",
    sync: str = "end",
    **more: Any,
) -> Record:
    """Return a case that writes to a file that is there. cache: its pages are in memory (warm) or not."""
    before = opened(file, cache, es, max(total * 2, 2 * MIB) if kind == "rand4k" else total + 65536)
    tag = f"{file}/{kind}-{total // KIB}k/{cache}" + ("" if es == "warm" else "/es_cold")
    body = writes(0, kind, 0, total, HOW.get(sync, 0), f"{file}{kind}{total}")
    after = (f"fiemap /mnt/{file} after",)
    more |= {"file": file, "kind": kind, "total": total, "cache": cache, "es": es}
    return case(group, tag, bs, mode, before, body, sync=sync, after=after, **more)


def append(
    bs: int,
    mode: str,
    kind: str,
    total: int,
    *,
    group: str = "append",
    sync: str = "end",
    start: int = 0,
    before: tuple[str, ...] = (),
    tag: str = "",
    file: str = "new",
    **more: Any,
) -> Record:
    """Return a case that writes to a new file, or from its end on."""
    bytes_ = total if total < KIB else f"{total // KIB}k"
    name = f"{file}/{kind}-{bytes_}{f'/at{start}' if start else ''}{f'/{tag}' if tag else ''}"
    body = writes(0, kind, start, total, HOW.get(sync, 0), name)
    after = (f"fiemap /mnt/{file} after",)
    more |= {"file": file, "kind": kind, "total": total}
    return case(
        group, name, bs, mode, [*before, f"open 0 /mnt/{file} c"], body, sync=sync, after=after, **more
    )


def many(bs: int, mode: str, number: int, size: int, how: int) -> Record:
    """Return a case that makes many small files in a directory."""
    after = ("fiemap /mnt/d/f0000 after", f"fiemap /mnt/d/f{number - 1:04d} after", "fiemap /mnt/d dir")
    more: Record = {"number": number, "size": size, "kind": "many", "total": number * size}
    before, body = ["mkdir /mnt/d", "open 0 /mnt r"], [f"many /mnt/d {number} {size} {how}"]
    sync, image = "each" if how else "syncfs", f"mke2fs{bs}"
    return case(
        "many", f"{number}x{size}", bs, mode, before, body, image=image, sync=sync, after=after, **more
    )


def all_cases() -> list[Record]:
    """Return all cases, each name once: its first case."""
    named: dict[str, Record] = {}
    for made in (_over(), _syncs(), _append(), _more_append(), _holes(), _short_of_space(), _options()):
        for record in made:
            named.setdefault(record["case"], record)
    for made in (_crypt(), _paths(), _checksums(), _devices(), _block_device()):
        for record in made:
            named.setdefault(record["case"], record)
    return list(named.values())


def _over() -> Iterator[Record]:
    for bs in SIZES:
        for mode in MODES:
            for kind, total in (("seq4k", 64 * KIB), ("seq128k", MIB), ("rand4k", 128 * KIB)):
                yield over(bs, mode, "contig", kind, total)
        for mode in ("od", "on", "j"):
            for cache in ("cold", "warm"):
                yield over(bs, mode, "contig", "part1000", 64000, cache=cache)
                yield over(bs, mode, "contig", "stride1000", 256 * KIB, cache=cache)
            yield over(bs, mode, "contig", "straddle", 256 * KIB)
            for file in ("frag1", "frag2", "frag3", "frag4", "frag16", "frag64", "aged"):
                yield over(bs, mode, file, "seq128k", 512 * KIB)
        for mode in ("od", "on"):
            for file in ("frag1", "frag4"):
                yield over(bs, mode, file, "rand4k", 128 * KIB)
                yield over(bs, mode, file, "seq128k", 512 * KIB, es="cold")
            yield over(bs, mode, "frag1", "seq4k", 64 * KIB, es="cold")
            yield over(bs, mode, "frag1", "seq128k", 2 * MIB)


def _syncs() -> Iterator[Record]:
    """Sizes, every kind of sync, and a file written twice."""
    for bs in (1024, 4096):
        for mode in ("od", "on", "j"):
            for total in (4 * KIB, 16 * KIB, 256 * KIB, 2 * MIB, 4 * MIB, 8 * MIB):
                yield over(bs, mode, "contig", "seq128k", total)
            yield over(bs, mode, "contig", "seq1m", 8 * MIB)
            yield over(bs, mode, "contig", "seq8m", 8 * MIB)
        for mode in ("od", "on", "j", "wd"):
            for sync in ("each", "each2", "fdatasync", "sfr", "sfrw", "bg", "none", "syncfs"):
                if mode != "wd" or sync in ("each", "bg", "none"):
                    yield over(bs, mode, "contig", "seq4k", 64 * KIB, sync=sync)
            yield over(bs, mode, "contig", "seq128k", 8 * MIB, sync="bg")
            yield over(bs, mode, "contig", "rand4k", 128 * KIB, sync="each")
            yield over(bs, mode, "contig", "part1000", 16000, sync="each")
        for mode in ("od", "on"):
            again = over(bs, mode, "contig", "seq4k", 64 * KIB, group="again")
            again["script"].insert(again["script"].index("mark write"), "wseq 0 0 4096 65536 0")
            yield again


def _append() -> Iterator[Record]:
    for bs in SIZES:
        for mode in MODES:
            for kind, total in (("seq4k", 64 * KIB), ("seq128k", MIB), ("seq1m", 8 * MIB)):
                yield append(bs, mode, kind, total)
        for mode in ("od", "on", "j", "xd"):
            yield append(bs, mode, "seq4k", 64 * KIB, sync="each")
            yield append(bs, mode, "part1000", 16000, sync="each")
            yield append(bs, mode, "part1000", 64000)
        for mode in ("od", "on", "j"):
            for total in (1000, 4 * KIB, 12 * KIB, 100 * KIB):
                yield append(bs, mode, "once", total)
            yield append(bs, mode, "once", 1000, file="tail", start=MIB + 1234, group="grow")
            yield append(bs, mode, "seq4k", 32 * KIB, file="tail", start=MIB + 1234, group="grow")
            yield append(bs, mode, "seq4k", 16 * KIB, start=3 * MIB, group="grow")
            yield append(bs, mode, "seq128k", MIB, sync="none")
        for mode in ("od", "on", "j", "wd"):
            for sync in ("fdatasync", "bg", "sfr", "each2", "syncfs") if bs != 2048 else ("bg",):
                kind, total = ("seq128k", MIB) if sync == "bg" else ("seq4k", 64 * KIB)
                yield append(bs, mode, kind, total, sync=sync)


def _more_append() -> Iterator[Record]:
    for bs in (1024, 4096):
        for mode in ("od", "on", "j"):
            yield append(bs, mode, "seq128k", 16 * MIB)
            yield append(bs, mode, "seq128k", 16 * MIB, sync="bg")
            for size in (1000, 4096, 10000):
                for how in (0, 1):
                    yield many(bs, mode, 20, size, how)
            yield append(bs, mode, "seq128k", MIB, image=f"mke2fs{bs}")


def _holes() -> Iterator[Record]:
    for bs in SIZES:
        for mode in ("od", "on", "j"):
            for file in ("sparse", "odd", "unwritten"):
                yield over(bs, mode, file, "seq4k", 64 * KIB, group="hole")
                yield over(bs, mode, file, "seq128k", 512 * KIB, group="hole")
            yield over(bs, mode, "unwritten", "rand4k", 128 * KIB, group="hole")
            yield over(bs, mode, "sparse", "rand4k", 128 * KIB, group="hole")
            yield over(bs, mode, "unwritten", "part1000", 16000, group="hole")


def _short_of_space() -> Iterator[Record]:
    """Blocks that fallocate(2) took first; free space in short runs."""
    for bs in SIZES:
        for mode in ("od", "on", "j"):
            for tag, keep, size in (("", 0, MIB), ("keep", 1, 2 * MIB)):
                before = ("open 1 /mnt/new c", f"falloc 1 {keep} 0 {size}", "close 1")
                yield append(bs, mode, "seq128k", MIB, group="falloc", tag=tag, before=before)
            for run in (4, 16):
                chunk = 1024 if bs == 1024 else 4096
                fill = (f"fill /mnt/filler 8388608 {chunk}", "sync", f"unlink /mnt/free{run}")
                full = (*fill, "sync", "sleep 20", "sync")
                more: Record = {"group": "shortfree", "tag": f"free{run}", "before": full}
                yield append(bs, mode, "seq128k", 512 * KIB, **more)
                yield append(bs, mode, "seq4k", 64 * KIB, **more)


def _options() -> Iterator[Record]:
    yield append(4096, "od", "seq128k", MIB, options="dioread_lock")
    yield append(4096, "od", "seq4k", 64 * KIB, options="dioread_lock")
    yield append(1024, "od", "seq128k", MIB, options="dioread_nolock")
    yield append(2048, "od", "seq128k", MIB, options="dioread_nolock")
    yield append(1024, "od", "seq4k", 64 * KIB, options="dioread_nolock")
    for bs, options in ((4096, "dioread_lock"), (1024, "dioread_nolock")):
        for file in ("unwritten", "sparse", "odd"):
            yield over(bs, "od", file, "seq128k", 512 * KIB, group="hole", options=options)


def _crypt() -> Iterator[Record]:
    key = (f"addkey {RAW_KEY.hex()}",)
    for bs in SIZES:
        for mode in ("od", "on", "j"):
            for file, kind, total in (
                *(("enc_contig", "seq128k", 512 * KIB), ("enc_contig", "seq4k", 64 * KIB)),
                *(("enc_frag1", "seq128k", 256 * KIB), ("enc_frag4", "seq128k", 512 * KIB)),
                ("enc_contig", "part1000", 16000),
            ):
                yield over(bs, mode, file, kind, total, group="crypt", key=key)
            before = (*key, "mkdir /mnt/e", "policy /mnt/e")
            for kind, total in (("seq4k", 64 * KIB), ("seq128k", MIB)):
                yield append(bs, mode, kind, total, group="crypt", before=before, file="e/new")


def _paths() -> Iterator[Record]:
    """The same work by the file system's own operations, block_write_full_page() and mpage_writepages()."""
    group = "path"
    for bs in SIZES:
        for mode, paths in (
            ("od", ("own", "bwfp", "mpage")),
            ("wn", ("own", "bwfp", "mpage", "bwfp2", "mpage2")),
        ):
            for path in paths:
                for file in ("contig", "frag1", "frag2", "frag4", "frag16", "aged"):
                    if file == "aged" and (path.endswith("2") or (path != "own" and mode == "od")):
                        continue  # it has holes: these may not allocate without a handle
                    yield over(bs, mode, file, "seq128k", 512 * KIB, group=group, path=path)
                yield over(bs, mode, "contig", "rand4k", 128 * KIB, group=group, path=path)
                yield over(bs, mode, "contig", "stride1000", 256 * KIB, group=group, path=path)
                yield over(bs, mode, "contig", "seq4k", 64 * KIB, group=group, path=path, sync="bg")
        for path in ("own", "bwfp", "mpage"):
            yield append(bs, "on", "seq128k", MIB, group=group, path=path)
            yield append(bs, "on", "seq4k", 64 * KIB, group=group, path=path)
    for bs in (1024, 4096):
        for path in ("own", "bwfp", "mpage", "bwfp2", "mpage2"):
            yield over(bs, "wn", "contig", "seq1m", 8 * MIB, group=group, path=path)


def _checksums() -> Iterator[Record]:
    for bs in SIZES:
        more: Record = {"group": "csum", "image": f"w{bs}-csum"}
        for mode in ("od", "on", "j"):
            yield over(bs, mode, "contig", "seq128k", MIB, **more)
            yield append(bs, mode, "seq128k", MIB, **more)
            yield append(bs, mode, "seq4k", 64 * KIB, sync="each", **more)


def _devices() -> Iterator[Record]:
    group = "dev"
    for device in ("nullb-nocache", "virtio", "loop", "wtram"):
        for mode in ("od", "on", "j"):
            yield over(4096, mode, "contig", "seq128k", MIB, group=group, device=device)
            yield append(4096, mode, "seq128k", MIB, group=group, device=device)
            yield append(4096, mode, "seq4k", 32 * KIB, group=group, device=device, sync="each")
    for mode in ("od", "on", "j"):
        yield over(4096, mode, "contig", "seq128k", MIB, group=group, options="nobarrier")
        yield append(4096, mode, "seq4k", 32 * KIB, group=group, options="nobarrier", sync="each")
    more: Record = {"options": "journal_async_commit", "sync": "each"}
    yield append(4096, "wn", "seq4k", 32 * KIB, group=group, **more)


def _block_device() -> Iterator[Record]:
    """A block device's own pages, no file system."""
    for bs in SIZES:
        for kind, total in (
            *(("seq4k", 64 * KIB), ("seq128k", MIB), ("rand4k", 128 * KIB)),
            *(("part1000", 16000), ("stride1000", 256 * KIB)),
        ):
            for sync in ("fsync", "fsync_each"):
                each = sync == "fsync_each"
                lines = [*NO_KUPDATE, "open 0 /dev/nullb0 rw", f"setbsz 0 {bs}", "sleep 20", "mark write"]
                lines += writes(0, kind, 8 * MIB, total, int(each), f"bdev{kind}")
                lines += [] if each else ["mark sync", "fsync 0"]
                yield {
                    "case": f"bdev_bs{bs}/raw/own/bdev/{kind}-{total // KIB}k/cold/{sync}",
                    "group": "bdev",
                    "block_size": bs,
                    "mode": "raw",
                    "path": "own",
                    "image": f"w{bs}",
                    "device": "nullb",
                    "mount": None,
                    "sync": sync,
                    "script": [*lines, "mark close", "close 0", "mark -"],
                    "file": "bdev",
                    "kind": kind,
                    "total": total,
                    "cache": "cold",
                }


SMOKE = (
    "over_bs4096/o?/own/contig/seq128k-1024k/cold/fsync",
    "over_bs1024/j/own/contig/seq4k-64k/cold/fsync",
    "append_bs4096/o?/own/new/seq4k-64k/fsync",
    "append_bs1024/od/own/new/seq128k-1024k/fsync",
    "hole_bs4096/od/own/sparse/seq4k-64k/cold/fsync",
    "hole_bs1024/on/own/unwritten/seq4k-64k/cold/fsync",
    "path_bs4096/wn/*/frag1/*",
    "crypt_bs4096/od/own/*/seq4k-64k/*",
    "csum_bs4096/od/*",
    "bdev_bs4096/raw/own/bdev/seq4k-64k/*",
)
"""Patterns of the cases of CASES=smoke: a few of each kind."""
