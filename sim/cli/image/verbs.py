"""
What `readpath image` does: one plain function for each verb.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

from sim.cli.exits import DONE, FOUND
from sim.cli.image.data import Known, data_check
from sim.cli.image.opening import Around, open_image
from sim.errors import ConfigError
from sim.ext4.check.run import check_store
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import ImageSpec, Manifest
from sim.ext4.make.table import parse_spec, read_spec
from sim.text import printable
from sim.units import MIB, format_size

CONTENTS_A_HOUR = 3600 * 200 * MIB
"""200 MiB a second, holes included: 64 MiB of random contents and their SHA-256 were made in 0.3 s."""
MOST_CONTENTS_BYTES = CONTENTS_A_HOUR


def run_make(image: Path, spec: ImageSpec, as_json: bool = False, force: bool = False) -> Manifest:
    """Make an image and print what it holds. force: however long that takes."""
    if image.is_dir():
        raise ConfigError(str(image), "is a directory", "the name of an image file")
    contents = sum(file.size_bytes or 0 for file in spec.files)
    if contents > MOST_CONTENTS_BYTES and not force:
        problem = f"{format_size(contents)} of contents would take about {contents // CONTENTS_A_HOUR} h"
        raise ConfigError(str(image), problem, "less, or --force to make it all the same")
    manifest = make_image(image, spec)
    if as_json:
        sys.stdout.write(manifest.to_json())
        return manifest
    print(f"{image}: {manifest.blocks_count} blocks of {manifest.block_size} bytes, uuid {manifest.uuid}")
    for file in manifest.files:
        print(
            f"{file.inode:>8} {file.size_bytes:>14}  {file.extents:>7} extents, depth {file.depth}  "
            f"{printable(file.path)}  {file.layout}"
        )
    return manifest


def spec_of(
    paths: list[Path], files: list[str], size: str | None, block_size: str | None, seed: int | None
) -> ImageSpec:
    """Return what `make` is to make: from the TOML file before the image, or from options."""
    options = {"size": size, "block_size": block_size, "seed": seed}
    table: dict[str, object] = {name: value for name, value in options.items() if value is not None}
    if files:
        table["files"] = [parse_file_word(word) for word in files]
    if len(paths) > 2:
        raise ConfigError("image make", f"{len(paths)} arguments", "[SPEC.toml] IMAGE")
    if len(paths) == 1:
        return parse_spec("image make", table, Path())
    if table:
        given = "--file" if "files" in table else "--" + next(iter(table)).replace("_", "-")
        raise ConfigError("image make", f"{paths[0]} and {given}", "one of them")
    return read_spec(paths[0])


def parse_file_word(word: str) -> dict[str, object]:
    """
    Return the [[files]] table in NAME:SIZE[:KIND[:OPTION=VALUE,...]]: "data:64MiB:fragmented:extent=64KiB".
    """
    name, size, kind, options = [*word.split(":", 3), "", "", ""][:4]
    layout: dict[str, object] = {"kind": kind or "contiguous"}
    for option in filter(None, options.split(",")):
        key, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(f"--file {word}", f"{option!r}", "OPTION=VALUE")
        layout[key] = _number(value)
    table: dict[str, object] = {"path" if name.startswith("/") else "name": name, "layout": layout}
    return {**table, "size": size} if size else table


def _number(value: str) -> object:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def run_extents(image_path: Path, path: str, as_json: bool = False, around: Around | None = None) -> None:
    """Print the extent tree of a file: its depth, index and leaf blocks, and extents in blocks."""
    image = open_image(image_path, around or Around())
    inode = image.lookup(path)
    tree = inode.tree
    bounds = list(pairwise([*tree.leaf_first, len(tree.extents)]))
    if as_json:
        document = {
            "inode": inode.number,
            "block_size": image.block_size,
            "size_bytes": inode.size_bytes,
            "depth": tree.depth,
            "tree_blocks": tree.blocks,
            "leaves": [
                {"key": key, "chain": list(chain), "extents": [list(e) for e in tree.extents[first:end]]}
                for key, chain, (first, end) in zip(tree.leaf_key, tree.leaf_chain, bounds, strict=True)
            ],
        }
        print(json.dumps(document))
        return
    print(
        f"inode {inode.number}, {inode.size_bytes} bytes, {inode.blocks} blocks of {image.block_size} bytes, "
        f"{len(tree.extents)} extents, depth {tree.depth}, {len(tree.blocks)} tree blocks"
    )
    print(f"{'logical':>21} {'physical':>21} {'length':>8}")
    shown: tuple[int, ...] = ()
    for key, chain, (first, end) in zip(tree.leaf_key, tree.leaf_chain, bounds, strict=True):
        for level, block in enumerate(chain):
            if block not in shown:
                word = "leaf" if level == tree.depth - 1 else "index"
                print(f"{'  ' * level}{word} block {block}, from logical block {key}")
        shown = chain
        for logical, physical, length, unwritten in tree.extents[first:end]:
            mark = " unwritten" if unwritten else ""
            print(
                f"{logical:>10}-{logical + length - 1:<10} {physical:>10}-{physical + length - 1:<10} "
                f"{length:>8}{mark}"
            )


def run_check(
    image_path: Path, as_json: bool = False, around: Around | None = None, known: Known | None = None
) -> int:
    """
    Print every problem of an image; return the exit code, 1 if there is any.

    known: check the data too, with these keys; 4 if any of it is bad.
    """
    findings = check_store((around or Around()).store(image_path), str(image_path))
    problems = findings.problems
    data = None if known is None else data_check(image_path, around or Around(), known)
    if as_json:
        document = {
            "image": str(image_path),
            "problems": problems,
            "notes": findings.notes + findings.unclean,
            "unchecked": findings.unchecked,
        }
        print(json.dumps(document if data is None else {**document, "data": data.document}, indent=1))
    else:
        for problem in problems:
            print(printable(problem))
        for note in findings.notes + findings.unclean:
            print(printable(f"note: {note}"))
        for left in findings.unchecked:
            print(f"not checked: {left}")
        print(f"{image_path}: {len(problems) or 'no'} problem{'s' if len(problems) != 1 else ''}")
        for line in data.lines if data is not None else ():
            print(line)
    if data is not None and data.code:
        return data.code
    return FOUND if problems else DONE
