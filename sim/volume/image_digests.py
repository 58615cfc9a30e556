"""
What was put in the directory of a made image: a digest a file, by which a changed or cut one is known.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.documents import read_json
from sim.errors import ConfigError
from sim.files import content_digest

IMAGE, MANIFEST, KEYS, DIGESTS = "volume.img", "manifest.json", "keys.toml", "digests.json"


def record_digests(folder: Path) -> None:
    """Write digests.json: SHA-256 of each file of an image's directory (see `content_digest`)."""
    digests = {path.name: content_digest(path) for path in sorted(folder.iterdir())}
    (folder / DIGESTS).write_text(json.dumps(digests, indent=1) + "\n", encoding="utf-8")


def is_whole(folder: Path) -> bool:
    """Return whether a directory holds the files that were put in it, as they were."""
    digests = _recorded(folder)
    try:
        return {IMAGE, MANIFEST} <= digests.keys() and all(
            content_digest(folder / name) == digest for name, digest in digests.items()
        )
    except OSError:
        return False


def recorded_digest(image: Path | None) -> str:
    """Return SHA-256 (hex) of a made image, as it was found or made by `ensure_image`; "" of a given one."""
    if image is None or image.name != IMAGE:
        return ""
    return _recorded(image.parent).get(IMAGE, "")


def _recorded(folder: Path) -> dict[str, str]:
    """Return file -> SHA-256 as digests.json has it; {} if it cannot be used."""
    try:
        said = read_json(folder / DIGESTS, "", "")
    except ConfigError:
        return {}
    known = isinstance(said, dict) and said.keys() <= {IMAGE, MANIFEST, KEYS}
    return {str(name): str(digest) for name, digest in said.items()} if known else {}
