"""
Made images with checksums of their data, and what a reader has to know of them.
"""

from __future__ import annotations

from pathlib import Path

from sim.config.checksums import Checksums
from sim.errors import ConfigError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.features import RoCompat
from sim.ext4.read.reader import Image
from sim.integrity.plan import Plan, plan_of
from sim.integrity.protect import keyed_files, protect
from sim.integrity.tagger import Secrets, Tagger
from sim.volume.scheme_image import secret

KEY_BYTES = 32


def volume_key(said: Checksums, seed: int) -> bytes:
    """Return the volume's key for tags, a test key; b"" where checksums have none."""
    return secret(seed, "checksums", KEY_BYTES) if said.scheme == "mac" else b""


def protect_image(path: Path, said: Checksums, seed: int) -> None:
    """Give a made image the checksums that an experiment asks for, in place."""
    plan = Plan.of(said.layout, said.scheme, said.algorithm, said.extent_blocks)
    editor = FileEditor(path, int(RoCompat.SHARED_BLOCKS))  # no block moves, nor its count
    protect(editor, plan, Secrets(volume_key(said, seed)))
    editor.commit()


def tags_of(image: Image, said: Checksums, seed: int) -> tuple[Plan, Tagger]:
    """Return the plan of an image's tags, and what judges them; ConfigError if they are not as said."""
    secrets = Secrets(volume_key(said, seed))
    plan = plan_of(image, secrets.volume)
    asked = Plan.of(said.layout, said.scheme, said.algorithm, said.extent_blocks)
    if plan is None:
        raise ConfigError("checksums.layout", f"{said.layout!r}, but {image.name} has no tags", "none")
    words = [(one.layout, one.scheme.name, one.algorithm.name, one.extent_blocks) for one in (plan, asked)]
    if words[0] != words[1]:
        has, wanted = (", ".join(map(str, word)) for word in words)
        raise ConfigError("checksums", f"{wanted}, but {image.name} has {has}", has)
    return plan, Tagger(plan, image.uuid, secrets, keyed_files(image, secrets))
