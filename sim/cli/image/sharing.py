"""
What `readpath image clone` and `readpath image sharing` do.

The page docs/integrity.md has the tables of `sharing` as they are printed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sim.cli.image.asking import changing, note, tell
from sim.errors import ConfigError
from sim.ext4.edit.reflink import ReflinkEditor, space
from sim.volume.reflink.matrix import LAYOUTS, Cell, run_cell
from sim.volume.reflink.subjects import SUBJECTS

READ_ONLY_NOTE = (
    "the image has shared blocks now (shared_blocks): a kernel mounts it read-only; "
    "`e2fsck -fy -E unshare_blocks` gives every file blocks of its own"
)


def run_clone(image: Path, source: str, target: str, as_json: bool = False) -> None:
    """Clone a file in an image; ConfigError for an encrypted one, whose keys a clone would not have."""
    with changing(image, ReflinkEditor) as editor:
        if editor.image.lookup(source).is_encrypted:
            raise ConfigError("image clone", f"{source} is encrypted", "a file in clear (see image sharing)")
        done = editor.clone(source, target)
        editor.commit()
        blocks = space(editor.image)
    tell(
        as_json,
        f"{target}: shares {done.extents} extents of {source}; "
        f"{blocks.used} blocks of data for {blocks.files}",
        source=source,
        target=target,
        extents=done.extents,
        records=done.records_after,
        blocks_of_files=blocks.files,
        blocks_used=blocks.used,
        blocks_shared=blocks.shared,
    )
    if not as_json:
        note(f"{image}: {READ_ONLY_NOTE}")


def run_sharing(names: Sequence[str], as_json: bool = False) -> None:
    """Run clones under kinds of encryption (nothing named: all) and print what came of each."""
    unknown = [name for name in names if name not in SUBJECTS]
    if unknown:
        raise ConfigError("image sharing", repr(unknown[0]), ", ".join(SUBJECTS))
    subjects = [SUBJECTS[name] for name in names or SUBJECTS]
    cells = [run_cell(subject, layout) for subject in subjects for layout in LAYOUTS]
    if as_json:
        print(json.dumps([_row(cell) for cell in cells], indent=1))
    else:
        print(sharing_table(cells))


def sharing_table(cells: Sequence[Cell]) -> str:
    """Return the table in Markdown: encryption by layouts, with numbers for what it took, told below."""
    notes = list(dict.fromkeys(cost for cell in cells for cost in cell.costs))
    layouts = list(dict.fromkeys(cell.layout for cell in cells))
    by_place = {(cell.encryption, cell.layout): _word(cell, notes) for cell in cells}
    lines = [f"| encryption | {' | '.join(layouts)} |", "|---" * (len(layouts) + 1) + "|"]
    names = dict.fromkeys(cell.encryption for cell in cells)
    lines += [f"| {name} | {' | '.join(by_place[name, layout] for layout in layouts)} |" for name in names]
    told = [f"{number}. {text}" for number, text in enumerate(notes, start=1)]
    return "\n".join([*lines, "", *told])


def _word(cell: Cell, notes: Sequence[str]) -> str:
    numbers = ", ".join(str(notes.index(cost) + 1) for cost in cell.costs)
    return f"{cell.outcome} ({numbers})" if numbers else cell.outcome


def _row(cell: Cell) -> dict[str, object]:
    return {
        "encryption": cell.encryption,
        "layout": cell.layout,
        "outcome": cell.outcome,
        "costs": cell.costs,
        "hashed_bytes": cell.hashed_bytes,
        "saved_blocks": cell.saved_blocks,
    }
