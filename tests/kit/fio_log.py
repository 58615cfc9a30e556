"""
fio, asked by tests: what it takes, and where its jobs read, by its own I/O logs.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

needs_fio = pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")

Options = Mapping[str, object]


def reads_of_fio(
    folder: Path, cases: Sequence[Options], files: Mapping[str, int]
) -> list[list[tuple[str, int, int]]]:
    """
    Return (file, offset, length) of each read that fio makes, for each case of options, in order.

    folder: an empty one for its files. files: name -> bytes, which are zeros.
    """
    for name, size in files.items():
        with (folder / name).open("wb") as file:
            file.truncate(size)
    text = "[global]\nioengine=psync\nthread\n"
    for number, options in enumerate(cases):
        lines = "".join(f"{name}={value}\n" for name, value in options.items())
        text += f"[job{number}]\nwrite_iolog=log{number}\n{lines}"
    (folder / "all.fio").write_text(text)
    subprocess.run(["fio", "all.fio"], cwd=folder, check=True, capture_output=True)
    logs = []
    for number in range(len(cases)):
        words = [line.split() for line in (folder / f"log{number}").read_text().splitlines()]
        logs.append([(w[-4], int(w[-2]), int(w[-1])) for w in words if "read" in w])
    return logs


def fio_takes(folder: Path, text: str) -> bool:
    """Return whether fio can parse a job file of this text."""
    (folder / "parsed.fio").write_text(text, encoding="utf-8", errors="surrogateescape")
    run = ["fio", "--parse-only", "parsed.fio"]
    return subprocess.run(run, cwd=folder, capture_output=True, check=False, timeout=60).returncode == 0
