"""
What `readpath image` does: one plain function for each verb.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

from sim.crypto.fscrypt.contexts import ContentsCipher, Context
from sim.crypto.keys.file_keys import CONTEXT_VERSION
from sim.crypto.keys.keyfile import read_keys
from sim.errors import ConfigError, CryptoError, ImageError
from sim.ext4.format.inode import FLAG_EXTENTS
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import ImageSpec, Manifest
from sim.ext4.make.table import parse_spec, read_spec
from sim.ext4.read.check import check_store
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import MmapStore
from sim.text import printable
from sim.volume.named_image import NamedImage

Decryptor = Callable[[Image, Inode], Callable[[int, bytes], bytes]]
"""(image, encrypted inode) -> (logical block, ciphertext of one block) -> plaintext."""

EXIT_PROBLEMS = 1


def run_make(image: Path, spec: ImageSpec, as_json: bool = False) -> Manifest:
    """Make an image and print what it holds."""
    if image.is_dir():
        raise ConfigError(str(image), "is a directory", "the name of an image file")
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


def describe(path: str, inode: Inode) -> dict[str, object]:
    """Return what `ls` tells about an inode; extents and depth are None if it has no tree."""
    mapped = inode.has_contents and inode.flags & FLAG_EXTENTS
    try:
        tree = inode.tree if mapped else None
        damage = None
    except ImageError as error:
        tree, damage = None, f"{error.place}: {error.problem}"
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
        "damage": damage,
    }


def run_ls(
    image_path: Path,
    path: str = "/",
    as_json: bool = False,
    recursive: bool = False,
    keys: Path | None = None,
) -> None:
    """List a directory, or show one file; recursive: everything in the image; keys: to decrypt names."""
    image = _open(image_path, keys)
    found = image.lookup(path)
    base = "/" + path.strip("/")
    if recursive and found.is_directory:
        prefix = base.rstrip("/")
        rows = [
            describe(name, inode)
            for name, inode in image.walk()
            if not prefix or name == prefix or name.startswith(prefix + "/")
        ]
    elif found.is_directory:
        rows = [describe(f"{base.rstrip('/')}/{name}", inode) for name, inode in image.children(found)]
    else:
        rows = [describe(base, found)]
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    for row in rows:
        tree = f"{row['extents']}/{row['depth']}" if row["extents"] is not None else "-"
        marks = " (encrypted)" if row["encrypted"] else ""
        marks += f" (damaged: {row['damage']})" if row["damage"] else ""
        print(
            f"{row['inode']:>8} {row['type']:<9} {row['mode']} {row['links']:>3} {row['size_bytes']:>14} "
            f"{tree:>10} {row['mtime']} {printable(str(row['path']))}{marks}"
        )


def run_extents(image_path: Path, path: str, as_json: bool = False) -> None:
    """Print the extent tree of a file: its depth, index and leaf blocks, and extents in blocks."""
    image = Image.open(image_path)
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


def _open(path: Path, keys: Path | None) -> Image:
    """Return an image; with keys, one that shows decrypted names in fscrypt's directories."""
    return Image.open(path) if keys is None else NamedImage.open_with_keys(path, read_keys(keys))


def run_cat(
    image_path: Path,
    path: str,
    out: BinaryIO,
    decryptor: Decryptor | None = None,
    keys: Path | None = None,
) -> None:
    """
    Write a file's contents to `out`.

    An encrypted file comes as ciphertext, in whole blocks; with a decryptor as plaintext. keys: to decrypt
    names.
    """
    image = _open(image_path, keys)
    inode = image.lookup(path)
    if not inode.is_encrypted:
        for chunk in image.iter_chunks(inode):
            out.write(chunk)
    elif decryptor is None:
        for chunk in image.iter_chunks(inode, whole_blocks=True):
            out.write(chunk)
    else:
        decrypt = decryptor(image, inode)
        left = inode.size_bytes
        zeros = bytes(image.block_size)
        for logical, length, physical in image.runs(inode):
            for index in range(length):
                if physical is None:
                    block = zeros
                else:
                    block = decrypt(logical + index, bytes(image.read_block(physical + index)))
                out.write(block[: min(left, image.block_size)])
                left -= image.block_size


class _Digest(io.RawIOBase):
    """Counts and hashes what is written to it."""

    def __init__(self) -> None:
        self.bytes, self.sha256 = 0, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.bytes += len(data)
        self.sha256.update(data)
        return len(data)


def run_digest(path: str, write: Callable[[BinaryIO], None]) -> None:
    """Print the length and SHA-256 of what `write` writes of the file `path`, as JSON."""
    digest = _Digest()
    write(cast("BinaryIO", digest))
    print(json.dumps({"path": path, "bytes": digest.bytes, "sha256": digest.sha256.hexdigest()}, indent=1))


def fscrypt_decryptor(keys: Path) -> Decryptor:
    """Return a decryptor with the master keys in a key file."""

    master_keys = read_keys(keys)

    def decryptor(image: Image, inode: Inode) -> Callable[[int, bytes], bytes]:
        raw = inode.encryption_context
        if raw is None:
            raise CryptoError(inode.place, "has no encryption context")
        if raw[:1] == bytes((CONTEXT_VERSION,)):
            raise CryptoError(inode.place, "has a key of its own, wrapped for users", "--as USER")
        context = Context.parse(raw, inode.place)
        key = master_keys.get(context.key_reference)
        if key is None:
            raise CryptoError(inode.place, f"ENOKEY: its key {context.key_reference.hex()} is not in {keys}")
        cipher = ContentsCipher(
            key, context, image.block_size, inode_number=inode.number, filesystem_uuid=image.uuid
        )
        return lambda block, data: cipher.decrypt_blocks(data, block)

    return decryptor


def run_check(image_path: Path, as_json: bool = False) -> int:
    """Print every problem of an image; return the exit code, 1 if there is any."""
    findings = check_store(MmapStore(image_path), str(image_path))
    problems = findings.problems
    if as_json:
        document = {
            "image": str(image_path),
            "problems": problems,
            "notes": findings.notes + findings.unclean,
            "unchecked": findings.unchecked,
        }
        print(json.dumps(document, indent=1))
    else:
        for problem in problems:
            print(printable(problem))
        for note in findings.notes + findings.unclean:
            print(printable(f"note: {note}"))
        for left in findings.unchecked:
            print(f"not checked: {left}")
        print(f"{image_path}: {len(problems) or 'no'} problem{'s' if len(problems) != 1 else ''}")
    return EXIT_PROBLEMS if problems else 0
