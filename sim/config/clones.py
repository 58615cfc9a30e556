"""
Files of a volume that are clones of others, held against the rest of an experiment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sim.config.layouts import GROWING
from sim.config.table import custom

if TYPE_CHECKING:
    from sim.config.cell import CellConfig
    from sim.config.volume import VolumeFile

WRITES_SHARED = ("page_io", "page_io_unzeroed", "page_io_one_scan")
"""Designs of write-back that copy shared blocks."""


def with_sizes(files: Sequence[Any]) -> list[Any]:
    """Return what is said of files, clones with the size of what they are clones of, if that is known."""
    sizes: dict[Any, Any] = {}
    found: list[Any] = []
    for file in files:
        said = file
        if isinstance(file, dict):
            if "clone_of" in file and "size" not in file and file["clone_of"] in sizes:
                said = {**file, "size": sizes[file["clone_of"]]}
            sizes[said.get("name")] = said.get("size")
        found.append(said)
    return found


def check_sources(files: Sequence[VolumeFile]) -> None:
    """Raise for a clone of what is not there, or has nothing to share."""
    known: dict[str, VolumeFile] = {}
    for file in files:
        source = known.get(file.clone_of or "")
        if file.clone_of is not None:
            what = f"file {file.name!r}: clone_of {file.clone_of!r}"
            if source is None:
                raise custom(f"{what}, no file above it", ", ".join(known) or "a file that stands above it")
            if source.layout.kind in GROWING:
                raise custom(f"{what}, a file of layout {source.layout.kind!r}", "a file with bytes")
            if file.size_bytes != source.size_bytes:
                raise custom(f"{what}, and a size of its own", "no size: a clone is as long as its source")
            if "layout" in file.model_fields_set and file.layout.kind != "absent":
                problem = f"{what}, and layout {file.layout.kind!r}"
                raise custom(problem, "no layout, as its blocks are the source's; or absent: a job clones it")
        known[file.name] = file


def check_clones(config: CellConfig) -> None:
    """Raise for clones where they are not modelled; where they are not written, reading them is as ever."""
    clones = [file for file in config.volume.files if file.clone_of is not None]
    if not clones:
        return
    what = f"clone_of of file {clones[0].name!r}"
    if config.encryption.scheme not in ("none", "dm-crypt"):
        problem = f"{what} with encryption.scheme {config.encryption.scheme!r}"
        raise custom(
            f"{problem}: see docs/integrity.md for what a key per file does to clones", "none, dm-crypt"
        )
    if config.volume.verity:
        raise custom(f"{what} with volume.verity", "files without a Merkle tree")
    if config.checksums.layout != "none":
        raise custom(f"{what} with checksums.layout {config.checksums.layout!r}", '"none"')
    if config.workload.writes:
        _check_written(config, what)


def _check_written(config: CellConfig, what: str) -> None:
    allowed: Mapping[str, bool] = {
        "jobs: workload.secure_delete, stream_write write in place": bool(config.workload.jobs),
        f"write_path {' or '.join(WRITES_SHARED)}": config.writes_through in WRITES_SHARED,
        'mount.data = "ordered", mount.delalloc = true': config.mount.data == "ordered"
        and config.mount.delalloc,
        'volume.journal, as "16MiB"': config.volume.journal_bytes is not None,
        "no [crash]": config.crash is None,
    }
    for need, given in allowed.items():
        if not given:
            raise custom(f"{what} and a workload that writes", need)
