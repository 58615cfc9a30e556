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
VolumeKey = Annotated[
    Path | None,
    typer.Option("--volume-key", metavar="FILE", help="The volume's key of tags: 32 bytes; mode 0600."),
]
FileKeys = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="Users' keys, for files under file-keys.")
]
KeyUsers = Annotated[
    list[str] | None, typer.Option("--as", metavar="USER", help="A user in --keys. Repeatable.")
]
