"""
What `readpath image protect` and `readpath image check --data` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.cli.exits import DONE, UNCORRECTED
from sim.cli.image.asking import changing, ring_of, tell
from sim.cli.image.opening import Around, open_image
from sim.crypto.keys.user_keys import KeyFile, read_secret_bytes
from sim.errors import ConfigError, CryptoError, ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.read.reader import Image
from sim.integrity.algorithms import KEY_BYTES
from sim.integrity.findings import GONE, PLAN, TAGS, Bad, Checked
from sim.integrity.plan import Plan
from sim.integrity.protect import check_data, protect
from sim.integrity.tagger import Secrets
from sim.text import printable
from sim.volume.file_secrets import secrets_of

AEAD_HINT = "checksum, mac, encrypt-then-mac, checksum-then-encrypt (for AES-GCM: image encrypt --mode gcm)"


@dataclass(frozen=True, slots=True)
class Known:
    """The keys that options name: of the volume, and a user key file with those whose keys are to be used."""

    volume_key: Path | None = None
    keys: Path | None = None
    users: Sequence[str] = ()

    def secrets(self, image: Image) -> Secrets:
        """Return them for an image; ConfigError or CryptoError for options that cannot be."""
        if bool(self.users) != (self.keys is not None):
            raise ConfigError("image", "--keys or --as alone", "both")
        raw = b"" if self.volume_key is None else read_secret_bytes(self.volume_key)
        if raw and len(raw) != KEY_BYTES:
            raise CryptoError(str(self.volume_key), f"{len(raw)} bytes", f"the {KEY_BYTES} bytes of a key")
        ring = None if self.keys is None else ring_of(KeyFile(self.keys), self.users)
        return secrets_of(image, raw, ring, self.users)


def run_protect(image: Path, plan: Plan, known: Known, as_json: bool = False) -> None:
    """Give an image the tags of a plan, or bring them up to date; print what was done."""
    if plan.scheme.aead:
        raise ConfigError("--scheme", "'aead'", AEAD_HINT)
    with changing(image, FileEditor, stale=False) as editor:
        tagger = protect(editor, plan, known.secrets(editor.image))
        written = editor.commit()
    words = f"{plan.layout}, {plan.scheme.name}, {plan.algorithm.name}, {plan.tag_bytes} bytes a tag"
    tell(
        as_json,
        f"{image}: {words}; {tagger.hashed_bytes} bytes hashed, {written} written",
        image=str(image),
        layout=plan.layout,
        scheme=plan.scheme.name,
        algorithm=plan.algorithm.name,
        tag_bytes=plan.tag_bytes,
        extent_blocks=plan.extent_blocks,
        hashed_bytes=tagger.hashed_bytes,
        written_bytes=written,
    )


@dataclass(frozen=True, slots=True)
class DataCheck:
    """What a check of the data found, as lines and as a document; code: 0, or 4 as e2fsck's."""

    lines: list[str]
    document: dict[str, object]
    code: int


def data_check(image_path: Path, around: Around, known: Known) -> DataCheck:
    """Check the data of an image by its tags; ImageError if it has none, or cannot be walked."""
    image = open_image(image_path, around)
    found = check_data(image, known.secrets(image))
    if found is None:
        raise ImageError(str(image_path), "has no tags of its data", "an image after `image protect`")
    lines = [printable(line_of(bad)) for bad in found.bad]
    lines.append(summary(str(image_path), found))
    document = {
        "bad": [_row(bad) for bad in found.bad],
        "units": found.units,
        "unjudged": found.unjudged,
        "hashed_bytes": found.hashed_bytes,
        "tag_bytes": found.tag_bytes,
    }
    return DataCheck(lines, document, UNCORRECTED if found.bad else DONE)


def line_of(bad: Bad) -> str:
    """Return the line for something bad: file, logical block, physical block, expected, found."""
    if bad.what == PLAN:
        return f"/: {bad.found.decode(errors='replace')}"
    place = f"{bad.path}: logical block {_number(bad.logical)}, physical block {_number(bad.physical)}"
    if bad.blocks > 1:
        place += f", {bad.blocks} blocks"
    said = {TAGS: " (of the tags)", GONE: " (missing, or not as long as it was)"}.get(bad.what, "")
    return f"{place}: expected {bad.expected.hex() or '-'}, found {bad.found.hex() or '-'}{said}"


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)


def summary(name: str, found: Checked) -> str:
    """Return the last line."""
    left = f", {found.unjudged} not judged for want of a key" if found.unjudged else ""
    return f"{name}: data: {len(found.bad) or 'nothing'} bad in {found.units} tags{left}"


def _row(bad: Bad) -> dict[str, object]:
    row: dict[str, object] = dict(bad._asdict())
    return {**row, "expected": bad.expected.hex(), "found": bad.found.hex()}
