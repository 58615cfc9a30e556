"""
The images that are attacked: two files of 12 blocks, before and after some blocks of theirs were written.

    old     as it was made, with its tags
    new     blocks 3 and 9 of /a and 2 of /b were written, the tags with them
    alone   blocks 3 and 9 of /a were written, and nothing else

/a and /b lie side by side, so that one block of a table has the tags of both. Where a scheme is of files' own
keys, both are under file-keys, in XTS; where the cipher makes the tags ("aead") their contents are in GCM as
sim.integrity.tagger has it, which no verb makes: the keys are those that were wrapped.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from sim.crypto.keys.data_units import Contents
from sim.crypto.keys.file_keys import KeyRing
from sim.crypto.keys.policies import OwnerOnly
from sim.crypto.keys.user_keys import USER_KEY_BYTES, UserKey
from sim.crypto.streams import NamedStream
from sim.ext4.edit.files import FileEditor
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.algorithms import KEY_BYTES
from sim.integrity.plan import Plan
from sim.integrity.protect import protect
from sim.integrity.tables import TABLE_PATH, Geometry, geometry
from sim.integrity.tagger import Secrets
from sim.integrity.update import WriteCost, update_block
from sim.volume.file_secrets import secrets_of
from sim.volume.keyed_image import encrypt_file, open_file

BLOCK_BYTES = 4096
FILE_BLOCKS = 12
DEVICE_BLOCKS = 128
WRITTEN = (("/a", 3), ("/a", 9), ("/b", 2))
USER = "alice"
Said = tuple[str, str, str, int]
"""(layout, scheme, algorithm, blocks of an extent at most)"""


@dataclass(frozen=True)
class Lab:
    """The images of one plan as bytes, the keys, and what writing one block cost."""

    plan: Plan
    secrets: Secrets
    old: bytes
    new: bytes
    alone: bytes
    write_cost: WriteCost

    @cached_property
    def image(self) -> Image:
        """The image after the writes."""
        return image_of(self.new)

    @cached_property
    def shape(self) -> Geometry:
        """The geometry of the table, the same in all three."""
        plan = replace(self.plan, table_inode=self.image.lookup(TABLE_PATH).number)
        return geometry(self.image, plan)

    def physical(self, path: str, logical: int) -> int:
        """Return where a block of a file lies: the same place in all three."""
        extent = self.image.lookup(path).tree.find(logical)
        assert extent is not None
        return extent.physical + logical - extent.logical

    def block(self, raw: bytes, path: str, logical: int) -> bytes:
        """Return a block of a file as it is stored in one of the images."""
        at = self.physical(path, logical) * BLOCK_BYTES
        return raw[at : at + BLOCK_BYTES]


def image_of(raw: bytes) -> Image:
    """Return the image in some bytes."""
    return Image(MemoryStore(raw))


def edited(raw: bytes, change: Callable[[FileEditor], object]) -> bytes:
    """Return an image's bytes after a change with an editor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attack.img"
        path.write_bytes(raw)
        editor = FileEditor(path)
        change(editor)
        made = bytearray(raw)
        for at, data in editor.changes():
            made[at : at + len(data)] = data
        return bytes(made)


def plain_image() -> bytes:
    """Return the image without tags and keys."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plain.img"
        files = tuple(FileSpec(name, FILE_BLOCKS * BLOCK_BYTES) for name in ("/a", "/b"))
        make_image(path, ImageSpec(files, BLOCK_BYTES, size_bytes=DEVICE_BLOCKS * BLOCK_BYTES, seed=15))
        return path.read_bytes()


@cache
def make_lab(said: Said) -> Lab:
    """Return the images of a plan, made once."""
    plan = Plan.of(*said)
    ring = KeyRing([UserKey(USER, NamedStream(15, "alice")(USER_KEY_BYTES))])
    volume_key = NamedStream(15, "volume")(KEY_BYTES) if plan.scheme.volume_key else b""
    raw = plain_image()
    if plan.scheme.file_keys:
        raw = edited(raw, lambda editor: _encrypt(editor, ring))
    image = image_of(raw)
    secrets = secrets_of(image, volume_key, ring if plan.scheme.file_keys else None, (USER,))
    ciphers = {path: _cipher(image, path, ring) for path in ("/a", "/b")} if plan.scheme.file_keys else {}

    def to_store(path: str, logical: int) -> bytes:
        fresh = NamedStream(15, f"{path} {logical}")(BLOCK_BYTES)
        if plan.scheme.aead or not ciphers:
            return fresh
        return ciphers[path].encrypt_blocks(fresh, logical)

    if plan.scheme.aead:
        raw = edited(raw, lambda editor: _decrypt(editor, ciphers))
    old = edited(raw, lambda editor: protect(editor, plan, secrets))
    costs: list[WriteCost] = []

    def write(editor: FileEditor, places: tuple[tuple[str, int], ...]) -> None:
        for path, logical in places:
            costs.append(update_block(editor, secrets, path, logical, to_store(path, logical)))

    new = edited(old, lambda editor: write(editor, WRITTEN))
    alone = edited(old, lambda editor: write(editor, WRITTEN[:2]))
    return Lab(plan, secrets, old, new, alone, costs[0])


def _encrypt(editor: FileEditor, ring: KeyRing) -> None:
    for path in ("/a", "/b"):
        encrypt_file(editor, path, OwnerOnly(USER), ring, NamedStream(15, path))


def _cipher(image: Image, path: str, ring: KeyRing) -> Contents:
    return open_file(image, image.lookup(path), ring, USER, path).contents


def _decrypt(editor: FileEditor, ciphers: dict[str, Contents]) -> None:
    for path, cipher in ciphers.items():
        number = editor.image.lookup(path).number
        editor.rewrite_contents(number, lambda block, data, cipher=cipher: cipher.decrypt_blocks(data, block))  # type: ignore[misc]
