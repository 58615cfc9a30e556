"""
Files of a volume that are clones of others, held against the rest of an experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sim.config.checksums import LISTS
from sim.config.layouts import GROWING
from sim.config.table import custom

if TYPE_CHECKING:
    from sim.config.cell import CellConfig
    from sim.config.volume import VolumeFile

WRITES_SHARED = ("page_io", "page_io_unzeroed", "page_io_one_scan")
"""Designs of write-back that copy shared blocks."""


def with_sizes(files: Sequence[Any]) -> list[Any]:
    """Return what is said of files, clones with the size of their source; raise where that is not there."""
    sizes: dict[Any, Any] = {}
    found: list[Any] = []
    for file in files:
        said = file
        if isinstance(file, dict):
            source = file.get("clone_of")
            if source is not None and source not in sizes:
                problem = f"file {file.get('name')!r}: clone_of {source!r}, no file above it"
                raise custom(problem, ", ".join(map(str, sizes)) or "a file that stands above it")
            if source is not None and "size" not in file:
                said = {**file, "size": sizes[source]}
            sizes[said.get("name")] = said.get("size")
        found.append(said)
    return found


def check_sources(files: Sequence[VolumeFile]) -> None:
    """Raise for a clone of what has nothing to share, and for one that is not as its source is."""
    known: dict[str | None, VolumeFile] = {}
    for file in files:
        source = known.get(file.clone_of)
        if source is not None:
            what = f"file {file.name!r}: clone_of {file.clone_of!r}"
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
    scheme, sums = config.encryption.scheme, config.checksums.layout
    if scheme not in ("none", "dm-crypt"):
        problem = f"{what} with encryption.scheme {scheme!r}: see readpath image sharing"
        raise custom(problem, "none, dm-crypt")
    if config.volume.verity:
        raise custom(f"{what} with volume.verity", "files without a Merkle tree")
    if sums in LISTS:
        problem = f"{what} with checksums.layout {sums!r}, a list for each file: see readpath image sharing"
        raise custom(problem, "a table, which serves every file that has a block")
    if sums != "none" and any(file.layout.kind == "absent" for file in clones):
        problem = f"{what} with layout 'absent' and checksums.layout {sums!r}"
        raise custom(f"{problem}: those of new files are not kept", "clones that are there before the run")
    if config.workload.writes:
        _check_written(config, f"{what} and a workload that writes")


def _check_written(config: CellConfig, what: str) -> None:
    mount, writes = config.mount, config.writes_through
    if not config.workload.jobs:
        raise custom(f"{what}, workload.{config.workload.kind}", "fio jobs")
    if writes not in WRITES_SHARED:
        name = writes if isinstance(writes, str) else writes.word
        raise custom(f"{what} through {name!r}", f"write_path, one of {', '.join(WRITES_SHARED)}")
    if mount.data != "ordered" or not mount.delalloc:
        problem = f"{what} on mount.data {mount.data!r}, delalloc {str(mount.delalloc).lower()}"
        raise custom(problem, 'data = "ordered", delalloc = true')
    if config.volume.journal_bytes is None:
        raise custom(f"{what} on a volume without journal", 'volume.journal = "16MiB"')
