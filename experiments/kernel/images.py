# SPDX-License-Identifier: MIT
"""
Images whose files the recorded kernel makes: all that are missing are made in one boot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Boot = Callable[[dict[str, str], list[Path], Callable[[dict[str, Any]], None]], None]
"""Run a plan on drives that can be written to; the last argument sees each line of the results."""


@dataclass(frozen=True)
class Making:
    """
    An image to make.

    drive: the image on the host, a file system without files. operations: lines for `truth allocate`.
    script: shell that makes the files, {drive} and {operations} in it. take: sees what it prints. finish:
    checks the image, and gives it its name.
    """

    drive: Path
    operations: str
    script: str
    take: Callable[[dict[str, Any]], None]
    finish: Callable[[], None]


def make_images(wanted: Sequence[Making], boot: Boot) -> None:
    """Make images in one boot; none is finished before all are made."""
    plan, script = {"ram_mb": "16"}, ["set -e"]
    for number, image in enumerate(wanted):
        plan[f"operations{number}"] = image.operations
        script += [f"echo '{{\"image\":{number}}}'"]
        script += [image.script.format(drive=drive_node(number), operations=f"/plan/operations{number}")]
    made: list[Making] = []

    def take(document: dict[str, Any]) -> None:
        if "image" in document:
            made.append(wanted[document["image"]])
        elif made:
            made[-1].take(document)

    boot(plan | {"run": "\n".join(script)}, [image.drive for image in wanted], take)
    for image in wanted:
        image.finish()


def drive_node(number: int) -> str:
    """Return the node that a machine's drive of that number has inside."""
    return f"/dev/vd{chr(ord('a') + number)}"
