"""
Small images with tags: every layout and scheme, files of which some are encrypted under keys of their own.
"""

from __future__ import annotations

from pathlib import Path

from sim.crypto.ciphers.xts import XtsUnits
from sim.crypto.keys.file_keys import MODE_AES_256_XTS, context
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.features import Incompat
from sim.ext4.format.inode import FLAG_ENCRYPTED
from sim.ext4.make.layout import Fragmented, Pattern
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore
from sim.integrity.findings import Checked
from sim.integrity.plan import Plan
from sim.integrity.protect import check_data, protect
from sim.integrity.tagger import FileSecret, Secrets
from sim.volume.keyed_image import CONTEXT_KEY

VOLUME_KEY = bytes(range(32))
FILE_KEY = bytes(range(64, 128))
BLOCK = 1024
PLANS = [
    *(
        (layout, "checksum", name, 0)
        for layout in ("table_all", "table_data")
        for name in ("crc32c", "sha256")
    ),
    *(("per_extent", "checksum", "crc32c", most) for most in (0, 1, 2, 8)),
    ("per_extent", "checksum", "blake2b", 1),
    ("per_extent_place", "checksum", "crc32c", 2),
    ("per_extent_place", "encrypt-then-mac", "aes-cmac", 0),
    ("table_data", "checksum", "xxh64", 0),
    ("merkle", "checksum", "sha256", 0),
    ("merkle", "mac", "sha256", 0),
    *(
        (layout, "mac", name, 0)
        for layout in ("table_data", "per_extent")
        for name in ("hmac-sha256", "aes-cmac", "aes-256-gcm")
    ),
    *(
        (layout, scheme, name, 0)
        for layout in ("table_all", "table_data", "per_extent")
        for scheme, name in (
            ("encrypt-then-mac", "aes-cmac"),
            ("checksum-then-encrypt", "crc32c"),
            ("aead", "aes-256-gcm"),
        )
    ),
]
"""(layout, scheme, algorithm, blocks of an extent): all that the matrix has, and each algorithm somewhere."""


def ids(plan: tuple[str, str, str, int]) -> str:
    """Return a name for a test."""
    return "-".join(map(str, plan))


def make_plain(path: Path) -> None:
    """Make an image of three files: in pieces, with holes and unwritten blocks, and small."""
    files = (
        FileSpec("/a", 40 * BLOCK - 100, Fragmented(5)),
        FileSpec("/b", 20 * BLOCK, Pattern("3d1h1u")),
        FileSpec("/c", 700),
    )
    make_image(path, ImageSpec(files, BLOCK, size_bytes=300 * BLOCK, seed=9))


def secrets_of(image: Image, plan: Plan) -> Secrets:
    """Return the keys that a plan needs; /a and /c have keys of their own where the scheme wants them."""
    files = {}
    if plan.scheme.file_keys:
        cipher = XtsUnits(FILE_KEY)
        for path in ("/a", "/c"):
            secret = FileSecret(FILE_KEY, lambda data, block: cipher.decrypt(data, block, BLOCK))
            files[image.lookup(path).number] = secret
    return Secrets(VOLUME_KEY if plan.scheme.volume_key else b"", files)


def protected(path: Path, said: tuple[str, str, str, int]) -> tuple[Plan, Secrets]:
    """Make the image at `path` with tags."""
    make_plain(path)
    editor, plan = FileEditor(path), Plan.of(*said)
    secrets = secrets_of(editor.image, plan)
    if secrets.files:
        editor.add_features(int(Incompat.ENCRYPT))
    for number in secrets.files:  # what is in them passes for ciphertext
        editor.set_xattrs(number, {CONTEXT_KEY: context(MODE_AES_256_XTS)})
        editor.set_flags(number, FLAG_ENCRYPTED)
    protect(editor, plan, secrets)
    editor.commit()
    return plan, secrets


def checked(raw: bytes | bytearray, secrets: Secrets) -> Checked:
    """Return what a check of an image's bytes finds."""
    found = check_data(Image(MemoryStore(raw)), secrets)
    assert found is not None
    return found
