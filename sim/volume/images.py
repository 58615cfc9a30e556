"""
The images an experiment needs: made once, kept under a name that says what made them.

    <root>/<hash>/volume.img      the device
    <root>/<hash>/manifest.json   its files, with the digests of their plaintext
    <root>/<hash>/keys.toml       the master key of encrypted ones
    <root>/<hash>/digests.json    SHA-256 of each of these files, written last

Other schemes' keys follow from the volume's seed too and are not written down (see scheme_image).

The hash is over the volume's configuration and over the code that makes images, so an old image is never
taken for a new one. A directory is written aside and renamed when whole; before one is used again its
files are held against their digests, and made anew if one was changed, cut or lost. The keys are test keys,
derived from the volume's seed: whoever knows the experiment knows them.
"""

from __future__ import annotations

import errno
import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sim.config import layouts
from sim.config.cell import Cell, digest
from sim.config.volume import Volume, VolumeFile
from sim.documents import read_text
from sim.errors import ReadpathError
from sim.ext4.edit.reflink import ReflinkEditor
from sim.ext4.make import layout as ext4_layout
from sim.ext4.make.content import named_generator, random_contents
from sim.ext4.make.fiemap import parse_fiemap
from sim.ext4.make.filefrag import parse_filefrag
from sim.ext4.make.layout import Layout, Pattern, Plan
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.files import code_digest, directory_beside
from sim.units import MIB
from sim.volume.image_digests import IMAGE, KEYS, MANIFEST, is_whole, record_digests
from sim.volume.protected_image import protect_image
from sim.volume.scheme_image import encrypted_file, finished
from sim.volume.verity_image import enable_verity, tree_room


def image_hash(cell: Cell) -> str:
    """Return SHA-256 (hex) over all that decides the bytes of a made image."""
    said = cell.config.canonical()
    maker = code_digest("sim.ext4", "sim.crypto", "sim.volume")
    made_of = [said["volume"], cell.config.encryption.of_the_image(), maker]
    sums = cell.config.checksums
    if cell.config.volume.verity or sums.layout != "none":
        made_of.append(code_digest("sim.integrity"))
    if sums.layout != "none":
        made_of.append(sums.of_the_image())
    return digest(made_of)


def ensure_image(cell: Cell, root: Path) -> Path:
    """
    Return the image that `cell` reads: the given one, or one below `root`, made if it is not there.

    Raises ConfigError if the volume cannot be laid out as asked.
    """
    given = cell.config.volume.image
    if given is not None:
        return cell.file(given)
    target = root / image_hash(cell)[:16]
    if not is_whole(target):
        with directory_beside(target, "another --images DIR") as aside:
            try:
                _make(cell, aside)
            except ReadpathError as error:
                raise _said_where(error, cell, aside) from None
            record_digests(aside)
            _put(aside, target)
    return target / IMAGE


def _said_where(error: ReadpathError, cell: Cell, folder: Path) -> ReadpathError:
    """Return an error of an image, at the line of the experiment instead of at a file that is gone."""
    made = str(folder / IMAGE)
    if error.place.startswith(made):
        return type(error)(f"{cell.place}{error.place.removeprefix(made)}", error.problem, error.allowed)
    if error.place.startswith("layout"):
        return type(error)(f"{cell.place}: {error.place}", error.problem, error.allowed)
    return error


def _put(new: Path, target: Path) -> None:
    """Put a directory of an image in its place; what is damaged there is moved away first."""
    while True:
        try:
            new.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
            if is_whole(target):  # another worker was faster, with the same bytes
                return
        with directory_beside(target, "another --images DIR") as old, suppress(FileNotFoundError):
            target.rename(old / "damaged")


def keys_of(cell: Cell, image: Path) -> Path | None:
    """Return the key file of the image that `ensure_image` returned, None if it has none."""
    volume = cell.config.volume
    if volume.image is not None:
        return cell.file(volume.keys) if volume.keys is not None else None
    keys = image.with_name(KEYS)
    return keys if keys.is_file() else None


def plaintext_digests(cell: Cell, image: Path) -> dict[str, str]:
    """Return SHA-256 (hex) of each file's plaintext, by absolute path; empty for a given image."""
    if cell.config.volume.image is not None:
        return {}
    said = json.loads(image.with_name(MANIFEST).read_text(encoding="utf-8"))
    return {record["path"]: record["sha256"] for record in said["files"]}


def _make(cell: Cell, folder: Path) -> None:
    volume, said = cell.config.volume, cell.config.encryption
    block_size = volume.block_size_bytes or 0
    plain = [
        FileSpec(
            path=f"/{file.name}",
            size_bytes=0 if file.layout.kind == "empty" else file.size_bytes,
            layout=_layout(cell, file, block_size),
            filled=volume.contents == "random",
        )
        for file in volume.all_files
        if file.layout.kind != "absent" and file.clone_of is None
    ]
    clones = [file for file in volume.files if file.clone_of is not None]
    growing = [file for file in volume.files if file.layout.kind in layouts.GROWING and not file.clone_of]
    sealed = cell.config.checksums.order == "aead"
    files = tuple(encrypted_file(said, volume.seed, block_size, file, sealed) for file in plain)
    log_blocks = (volume.journal_bytes or 0) // block_size
    trees = sum(2 * tree_room(file.size_bytes, block_size) for file in volume.all_files) * volume.verity
    spec = ImageSpec(
        files,
        block_size,
        seed=volume.seed,
        journal_blocks=log_blocks,
        spare_blocks=trees,
        metadata_csum=volume.metadata_csum,
        new_files=len(growing) + len(clones) + bool(clones),
        new_bytes=sum(file.size_bytes for file in growing) + sum(map(_room_for_copies, clones)),
    )
    made = make_image(folder / IMAGE, spec)
    if volume.verity:
        enable_verity(folder / IMAGE)
    if clones:
        _clone(folder / IMAGE, clones, volume)
    manifest = finished(said, volume.seed, folder / IMAGE, made, plain)
    if cell.config.checksums.layout != "none":
        protect_image(folder / IMAGE, cell.config.checksums, said, volume.seed)
    if said.scheme in ("fscrypt-v2", "inline"):
        raw_key = hashlib.sha512(f"readpath test key\0{volume.seed}".encode()).digest()
        (folder / KEYS).write_text(f'[[key]]\nraw = "{raw_key.hex()}"\n', encoding="utf-8")
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")


def _room_for_copies(clone: VolumeFile) -> int:
    """
    Return the bytes that are free for a clone to be written over, all of it at once: ext4 delays nothing
    where less is free than half as much again and some blocks for each CPU (EXT4_FREECLUSTERS_WATERMARK).
    """
    return 2 * clone.size_bytes + 4 * MIB


def _clone(image: Path, clones: list[VolumeFile], volume: Volume) -> None:
    """Make the files that share blocks with others, but those that jobs make; and the counts, for both."""
    editor = ReflinkEditor(image)
    editor.prepare()
    for file in clones:
        if file.layout.kind != "absent":
            editor.clone(f"/{file.clone_of}", f"/{file.name}")
            if volume.rewritten:
                editor.write_shared(f"/{file.name}", _new_blocks(editor.image, file, volume))
    editor.commit()


def _new_blocks(image: Image, file: VolumeFile, volume: Volume) -> dict[int, bytes]:
    """Return what is written over a clone before the run, by logical block, in random order."""
    size, name = image.block_size, f"rewritten\0{file.name}"
    extents = image.lookup(f"/{file.name}").tree.extents
    blocks = [extent.logical + at for extent in extents for at in range(extent.length)]
    drawn = named_generator(volume.seed, name).permutation(blocks)[: round(volume.rewritten * len(blocks))]
    if volume.contents == "none":
        return dict.fromkeys(drawn.tolist(), bytes(size))
    return {
        block: random_contents(volume.seed, name, block * size, size).tobytes() for block in drawn.tolist()
    }


@dataclass(frozen=True, slots=True)
class _Seeded:
    """A layout with a seed of its own instead of the image's."""

    layout: Layout
    seed: int

    def plan(self, blocks: int, _seed: int, name: str) -> Plan:
        return self.layout.plan(blocks, self.seed, name)


def _layout(cell: Cell, file: VolumeFile, block_size: int) -> Layout:
    """Return the layout of a file as the image maker takes it: bytes turned into blocks."""
    said = file.layout
    if isinstance(said, layouts.Contiguous | layouts.Empty | layouts.Absent):
        return ext4_layout.Contiguous()
    if isinstance(said, layouts.Fragmented):
        return ext4_layout.Fragmented(said.blocks(block_size))
    if isinstance(said, layouts.Sparse):
        return Pattern(f"{said.data_bytes // block_size}d{said.hole_bytes // block_size}h")
    if isinstance(said, layouts.Hole):
        return Pattern("1h")
    if isinstance(said, layouts.Unwritten):
        return ext4_layout.unwritten()
    if isinstance(said, layouts.Aged):
        aged = ext4_layout.Aged(
            said.extent_bytes // block_size, said.hole_share, said.unwritten_share, said.window
        )
        return _Seeded(aged, said.seed)
    if isinstance(said, layouts.Scattered):
        return ext4_layout.Scattered((said.extent_bytes or block_size) // block_size, said.seed)
    path = cell.file(said.path)
    text = read_text(path, str(path), "a recorded layout")
    if said.kind == "fiemap":
        return parse_fiemap(str(path), text, block_size)
    return parse_filefrag(str(path), text, block_size)
