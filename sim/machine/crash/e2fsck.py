"""
The real e2fsck as an oracle: what it replays of a log, and whether it finds the rest sound.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

STAMPED = (range(0x30, 0x34), range(0x178, 0x180), range(0x3FC, 0x400))
"""
Bytes of the superblock that e2fsck sets with every run: the time of writing, kilobytes written, its checksum.
"""


class E2fsck:
    """Runs e2fsck on images in a folder of its own; a context manager."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._folder = Path(tempfile.mkdtemp(prefix="readpath-crash-"))
        self._image = self._folder / "image"

    def __enter__(self) -> E2fsck:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def replayed(self, image: bytes | bytearray) -> bytes:
        """Return an image as `e2fsck -y -E journal_only` leaves it."""
        self._image.write_bytes(image)
        self._run("-y", "-E", "journal_only")
        return self._image.read_bytes()

    def finds(self, image: bytes | bytearray) -> str:
        """Return what `e2fsck -fn` says of an image, "" if it finds nothing."""
        self._image.write_bytes(image)
        done = self._run("-f", "-n")
        return "" if not done.returncode else done.stdout + done.stderr

    def _run(self, *options: str) -> subprocess.CompletedProcess[str]:
        words = [self._program, *options, str(self._image)]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
