"""
Made images with checksums of their data, and what a reader has to know of them.
"""

from __future__ import annotations

from pathlib import Path

from sim.config.checksums import Checksums
from sim.config.encryption import Encryption
from sim.errors import ConfigError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.features import RoCompat
from sim.ext4.read.reader import Image
from sim.integrity.plan import SCHEMES, Plan, plan_of
from sim.integrity.protect import keyed_files, protect
from sim.integrity.tagger import Secrets, Tagger
from sim.volume.file_secrets import secrets_of
from sim.volume.scheme_image import key_ring, openers, secret

KEY_BYTES = 32


def secrets_for(image: Image, said: Checksums, encryption: Encryption, seed: int) -> Secrets:
    """Return the test keys of an image's tags: the volume's, and files' own where they are under these."""
    scheme = SCHEMES[said.scheme]
    volume = secret(seed, "checksums", KEY_BYTES) if scheme.volume_key else b""
    if not scheme.file_keys:
        return Secrets(volume)
    users = openers(encryption)
    return secrets_of(image, volume, key_ring(encryption, seed), [users] if isinstance(users, str) else users)


def protect_image(path: Path, said: Checksums, encryption: Encryption, seed: int) -> None:
    """
    Give a made image the checksums that an experiment asks for, in place.

    Files whose cipher makes the tags are plaintext before, and are encrypted here.
    """
    plan = Plan.of(said.layout, said.scheme, said.algorithm, said.extent_blocks)
    editor = FileEditor(path, int(RoCompat.SHARED_BLOCKS))  # no block moves, nor its count
    protect(editor, plan, secrets_for(editor.image, said, encryption, seed))
    editor.commit()


def tags_of(image: Image, said: Checksums, encryption: Encryption, seed: int) -> tuple[Plan, Tagger]:
    """Return the plan of an image's tags, and what judges them; ConfigError if they are not as said."""
    secrets = secrets_for(image, said, encryption, seed)
    plan = plan_of(image, secrets.volume)
    asked = Plan.of(said.layout, said.scheme, said.algorithm, said.extent_blocks)
    if plan is None:
        raise ConfigError("checksums.layout", f"{said.layout!r}, but {image.name} has no tags", "none")
    words = [(one.layout, one.scheme.name, one.algorithm.name, one.extent_blocks) for one in (plan, asked)]
    if words[0] != words[1]:
        has, wanted = (", ".join(map(str, word)) for word in words)
        raise ConfigError("checksums", f"{wanted}, but {image.name} has {has}", has)
    return plan, Tagger(plan, image.uuid, secrets, keyed_files(image, secrets))
