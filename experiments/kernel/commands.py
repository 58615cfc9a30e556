# SPDX-License-Identifier: MIT
"""Commands of the host, and the error of the rig."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any


class RigError(Exception):
    """Something outside this program is missing or failed; the message is one line."""


def run(*words: str | Path, **options: Any) -> str:
    """Run a command and return its output; RigError with its last lines if it fails."""
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **options
    )
    if done.returncode:
        tail = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RigError(f"{' '.join(map(str, words[:6]))}: exit code {done.returncode}: {tail}")
    output: str = done.stdout
    return output
