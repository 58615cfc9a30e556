"""
What e2fsck and our check say of the images in a folder, side by side.

    python tests/kit/e2fsck_verdicts.py FOLDER     # e2fsprogs' tests/, unpacked, or any folder of images

Taken are files named *.img, image, image.gz, image.bz2 and the like, and all that hold an ext superblock;
nothing is written to them. e2fsck's verdict is the exit code of `e2fsck -fn`: 0 clean, anything else damaged.
Where it is 0 and e2fsck went on from a copy because the superblock or the descriptors looked bad, the image
is damaged too.
"""

from __future__ import annotations

import bz2
import gzip
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from sim.errors import ImageError
from sim.ext4.check.run import check_store
from sim.ext4.store import MemoryStore

_SUPERBLOCK, _MAGIC_AT = 1024, 0x38
_FROM_A_COPY = "trying backup blocks"


class Verdict(NamedTuple):
    """What both say: e2fsck's exit code and first line; whether ours tells damage (None: refused), what."""

    name: str
    e2fsck: int
    said: str
    from_a_copy: bool
    ours: bool | None
    told: str

    @property
    def damaged(self) -> bool:
        """Whether e2fsck calls it damaged."""
        return self.e2fsck != 0 or self.from_a_copy


def images(folder: Path) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of the images in a folder."""
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix in (".gz", ".bz2") and ".tar" not in path.suffixes and "image" in path.name:
            data = (gzip if path.suffix == ".gz" else bz2).decompress(path.read_bytes())
        elif path.suffix in ("", ".img"):
            data = path.read_bytes()
        else:
            continue
        magic = data[_SUPERBLOCK + _MAGIC_AT : _SUPERBLOCK + _MAGIC_AT + 2]
        if "image" in path.name or path.suffix == ".img" or magic == b"\x53\xef":
            found.append((str(path.relative_to(folder)), data))
    return found


def judge(name: str, data: bytes, scratch: Path) -> Verdict:
    """Return what both say of an image."""
    (scratch / "image").write_bytes(data)
    command = [shutil.which("e2fsck", path="/usr/sbin:/sbin:/usr/bin:/bin") or "e2fsck", "-fn"]
    try:
        done = subprocess.run(
            [*command, str(scratch / "image")], capture_output=True, timeout=60, check=False
        )
        code, text = done.returncode, (done.stdout + done.stderr).decode("latin-1")
    except subprocess.TimeoutExpired:
        code, text = 8, "e2fsck does not come to an end"
    lines = [line for line in text.splitlines() if line and not line.startswith(("Pass ", "e2fsck 1"))]
    try:
        problems = check_store(MemoryStore(data), "image").problems
        ours, told = bool(problems), problems[0] if problems else ""
    except ImageError as error:
        ours, told = None, str(error)
    return Verdict(name, code, lines[0] if lines else "", _FROM_A_COPY in text, ours, told)


def verdicts(folder: Path) -> list[Verdict]:
    """Return what both say of every image in a folder."""
    with tempfile.TemporaryDirectory() as scratch:
        return [judge(name, data, Path(scratch)) for name, data in images(folder)]


def main() -> None:
    """Print the table, and every image on which the two differ."""
    found = verdicts(Path(sys.argv[1]))
    words = {True: "told", False: "not told", None: "refused"}
    counts = Counter(("damaged" if v.damaged else "clean", words[v.ours]) for v in found)
    for (theirs, ours), count in sorted(counts.items()):
        print(f"{theirs:<8} {ours:<9} {count:>5}")
    for verdict in found:
        if verdict.ours != verdict.damaged:
            print(
                f"{verdict.name}: e2fsck {verdict.e2fsck} ({verdict.said}); ours: {verdict.told or 'nothing'}"
            )


if __name__ == "__main__":
    main()
