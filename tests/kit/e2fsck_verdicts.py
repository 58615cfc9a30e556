"""
What e2fsck and our check say of the images in a folder, side by side.

    python tests/kit/e2fsck_verdicts.py FOLDER     # e2fsprogs' tests/, unpacked, or any folder of images

Taken are files named *.img, image, image.gz, image.bz2 and the like, and all that hold an ext superblock;
nothing is written to them. e2fsck's verdict is the exit code of `e2fsck -fn`: 0 clean, anything else damaged.
Where it is 0 and e2fsck went on from a copy because the superblock or the descriptors looked bad, or found
the image cut short, the image is damaged too.
"""

from __future__ import annotations

import bz2
import gzip
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools import e2fsck_says

from sim.errors import ImageError
from sim.ext4.check.run import check_store
from sim.ext4.store import MmapStore

_MAGIC_AT = 1024 + 0x38
_GONE_ON = ("trying backup blocks", "is likely to be corrupt!")


class Verdict(NamedTuple):
    """What both say. damaged: as e2fsck has it. ours: whether we tell damage; None: it is no file system."""

    name: str
    damaged: bool
    said: str
    ours: bool | None
    told: str


def images(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the images in a folder."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix in (".gz", ".bz2") and ".tar" not in path.suffixes and "image" in path.name:
            data = (gzip if path.suffix == ".gz" else bz2).decompress(path.read_bytes())
        elif path.suffix in ("", ".img"):
            data = path.read_bytes()
        else:
            continue
        has_magic = data[_MAGIC_AT : _MAGIC_AT + 2] == b"\x53\xef"
        if "image" in path.name or path.suffix == ".img" or has_magic:
            yield str(path.relative_to(folder)), data


def judge(name: str, image: Path) -> Verdict:
    """Return what both say of an image."""
    try:
        code, text = e2fsck_says(image)
    except subprocess.TimeoutExpired:
        code, text = 8, "e2fsck does not come to an end"
    lines = [line for line in text.splitlines() if line and not line.startswith(("Pass ", "e2fsck 1"))]
    try:
        problems = check_store(MmapStore(image), "image").problems
        ours, told = bool(problems), problems[0] if problems else ""
    except ImageError as error:
        ours, told = None, str(error)
    damaged = code != 0 or any(words in text for words in _GONE_ON)
    return Verdict(name, damaged, f"{code}: {lines[0] if lines else ''}", ours, told)


def verdicts(folder: Path) -> list[Verdict]:
    """Return what both say of every image in a folder."""
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in images(folder):
            (Path(scratch) / "image").write_bytes(data)
            found.append(judge(name, Path(scratch) / "image"))
    return found


def main() -> None:
    """Print the table, and every image on which the two differ."""
    found = verdicts(Path(sys.argv[1]))
    words = {True: "told", False: "not told", None: "no file system"}
    counts = Counter(("damaged" if v.damaged else "clean", words[v.ours]) for v in found)
    for (theirs, ours), count in sorted(counts.items()):
        print(f"{theirs:<8} {ours:<14} {count:>5}")
    for verdict in found:
        if verdict.ours != verdict.damaged:
            print(f"{verdict.name}: e2fsck {verdict.said}; ours: {verdict.told or 'nothing'}")


if __name__ == "__main__":
    main()
