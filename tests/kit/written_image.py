"""
The image behind a run whose jobs write, held against e2fsck and against what was written.
"""

from __future__ import annotations

from pathlib import Path

from crash_cells import Played
from tools import e2fsck, tool

from sim.ext4.read.reader import Image
from sim.machine.crash.e2fsck import E2fsck


def check_written(run: Played, folder: Path) -> Image:
    """
    Have e2fsck replay the log and look at the rest; read the files again, with their keys; return the image.
    """
    assert run.result.metrics["digest_ok"] == 1
    with E2fsck(tool("e2fsck")) as fsck:
        after = fsck.replayed(run.disk())
    path = folder / "after"
    path.write_bytes(after)
    e2fsck(path)
    image = Image.open(path)
    for name, (_, inode) in run.mounted.files.items():
        assert inode.bytes is not None
        assert run.mounted.read_back(image, name) == inode.bytes.expected
    return image
