"""The blocks of docs/own-path.md as files, and small experiments on them."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "own-path.md"
_BLOCK = re.compile(r"```(?:python|toml)\n# (\S+)\n(.*?)```", re.DOTALL)


def blocks() -> dict[str, str]:
    """Return the document's blocks of code by the name of their file, the name left off."""
    return dict(_BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")))


def written(folder: Path) -> Path:
    """Write the document's files into a folder; return the experiment."""
    for name, text in blocks().items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "experiment.toml"
