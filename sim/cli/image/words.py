"""
Arguments and options that several verbs of `readpath image` take.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ImagePath = Annotated[Path, typer.Argument(metavar="IMAGE", help="An ext4 image.")]
InnerPath = Annotated[str, typer.Argument(metavar="PATH", help="A path in the image.")]
Moved = Annotated[
    bool, typer.Option("--moved", help="The file has another name, or the image another UUID, than it had.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
