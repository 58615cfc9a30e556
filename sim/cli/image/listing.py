"""
What `readpath image ls` prints. One damaged inode or directory is a row that says so, and hides no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sim.cli.exits import DONE, FOUND
from sim.cli.image.opening import Around, open_image
from sim.crypto.keys.keyfile import read_keys
from sim.errors import ImageError, ReadpathError
from sim.ext4.format.inode import FLAG_EXTENTS
from sim.ext4.read.reader import Image, Inode
from sim.text import printable

Row = dict[str, object]


def describe(image: Image, path: str, inode: Inode) -> Row:
    """Return what `ls` tells about an inode; extents and depth are None if it has no tree."""
    tree, wrong = None, image.readable_entries(inode)[1] if inode.is_directory else []
    try:
        tree = inode.tree if inode.has_contents else None
    except ImageError as error:
        wrong = [error]
    if not inode.flags & FLAG_EXTENTS:
        tree = None
    return {
        "path": path,
        "inode": inode.number,
        "type": inode.type_word,
        "mode": f"{inode.mode & 0o7777:04o}",
        "links": inode.raw.links,
        "size_bytes": inode.size_bytes,
        "mtime": datetime.fromtimestamp(inode.mtime_ns // 1_000_000_000, UTC).isoformat(),
        "encrypted": inode.is_encrypted,
        "extents": None if tree is None else len(tree.extents),
        "depth": None if tree is None else tree.depth,
        "damage": _damage(wrong[0]) if wrong else None,
    }


def _damage(error: ReadpathError) -> str:
    return f"{error.place}: {error.problem}"


def _unreadable(path: str, number: int, error: ReadpathError) -> Row:
    """Return the row of an inode of which only name and number are known."""
    unknown = dict.fromkeys(("mode", "links", "size_bytes", "mtime", "encrypted", "extents", "depth"))
    return {"path": path, "inode": number, "type": "?", **unknown, "damage": _damage(error)}


def rows_below(image: Image, base: str, directory: Inode, recursive: bool) -> Iterator[Row]:
    """Yield a row for each name in a directory, and with `recursive` for all below, parents first."""
    stack = [iter(_named(image, base, directory))]
    met = {directory.number}
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
            continue
        path, number = step
        try:
            inode = image.inode(number)
        except ReadpathError as error:
            yield _unreadable(path, number, error)
            continue
        row = describe(image, path, inode)
        if recursive and inode.is_directory:
            if inode.number in met:
                row["damage"] = "a directory that was met before"
            else:
                met.add(inode.number)
                stack.append(iter(_named(image, path, inode)))
        yield row


def _named(image: Image, base: str, directory: Inode) -> list[tuple[str, int]]:
    """Return (path, inode number) of what a directory holds; of a damaged one what can be read."""
    found = []
    for number, name, _type in image.readable_entries(directory)[0]:
        if name not in (b".", b".."):
            try:
                shown = image.shown(directory, name)
            except ReadpathError:  # a name that decrypts to none
                shown = Image.shown(image, directory, name)
            found.append((f"{base.rstrip('/')}/{shown}", number))
    return found


def run_ls(
    image_path: Path,
    path: str = "/",
    as_json: bool = False,
    recursive: bool = False,
    keys: Path | None = None,
    around: Around | None = None,
) -> int:
    """
    List a directory, or show one file; return the exit code: 1 if anything shown is damaged.

    recursive: everything below; keys: to decrypt names.
    """
    image = open_image(image_path, around or Around(), None if keys is None else read_keys(keys))
    found = image.lookup(path)
    base = "/" + path.strip("/")
    own = describe(image, base, found)
    rows = [own] if own["damage"] or not found.is_directory else []
    if found.is_directory:
        rows += rows_below(image, base, found, recursive)
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(_line(row))
    return FOUND if any(row["damage"] for row in rows) else DONE


def _line(row: Row) -> str:
    tree = f"{row['extents']}/{row['depth']}" if row["extents"] is not None else "-"
    marks = " (encrypted)" if row["encrypted"] else ""
    marks += f" (damaged: {row['damage']})" if row["damage"] else ""
    mode, links, size, mtime = (
        "?" if row[name] is None else row[name] for name in ("mode", "links", "size_bytes", "mtime")
    )
    return (
        f"{row['inode']:>8} {row['type']:<9} {mode:>4} {links:>3} {size:>14} "
        f"{tree:>10} {mtime} {printable(str(row['path']) + marks)}"
    )
