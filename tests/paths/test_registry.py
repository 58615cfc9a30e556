"""The registries: a new path is one file; every name leads to something that is there."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sim.block.device.make import DEVICES, make_device
from sim.block.device.profile import device_profile_names, load_device_profile
from sim.block.hardware import WritableHardware
from sim.config.workload import Workload
from sim.engine.clock import Clock
from sim.errors import ConfigError
from sim.fs.mappers import MAPPERS, mapper_factory
from sim.machine.players import PLAYERS
from sim.paths.registry import DESIGNS, PATHS, design_of
from sim.report.style import OKABE_ITO, PATH_COLOURS, PATH_MARKERS, SPARE_COLOURS, path_looks

TOY = '''
"""`toy`: page_io under another name."""
from sim.paths.design import PathDesign
from sim.paths.designs.page_io import make

DESIGN = PathDesign("toy", make, order=9, colour="yellow", marker="*", per_extent=True)
'''
EXPERIMENT = """
title = "toy"
data = "off"
path = "toy"
device = { profile = "nvme" }
volume = { block_size = "4KiB", files = [{ name = "data", size = "256KiB" }] }
workload = { job = { rw = "read", bs = "128k", fadvise_hint = "0" } }
matrix = { path = ["page_io", "toy"] }
"""
PROGRAM = """
import json, sys
import sim.paths.designs
sim.paths.designs.__path__.append(sys.argv[1])
from sim.api import figure, run
from sim.machine.timeline import watch
from sim.report.overhead_map import EXTENT_PATHS
from sim.report.style import PATH_COLOURS, PATH_MARKERS
result = run(sys.argv[2], images=sys.argv[3])
figure(result, "cpu_per_4k")
first, second = (row["cpu_ns"] for row in result.metrics)
print(json.dumps([PATH_COLOURS["toy"], PATH_MARKERS["toy"], "toy" in EXTENT_PATHS, first == second > 0,
                  watch("toy", "contiguous").count("Q")]))
"""


def test_a_new_path_is_one_file(tmp_path: Path) -> None:
    """A file in the folder of designs is enough: experiments, figures and the timeline know it."""
    folder = tmp_path / "designs"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    (tmp_path / "toy.toml").write_text(EXPERIMENT)
    words = [folder, tmp_path / "toy.toml", tmp_path / "images"]
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert ["#F0E442", "*", True, True, 1] == json.loads(told.stdout or "[]"), told.stderr


def test_every_path_of_ours_has_a_look_of_its_own() -> None:
    """Each listed design has a colour of the palette and a marker, and no two have the same."""
    assert list(PATHS) == list(PATH_COLOURS) == list(PATH_MARKERS)
    assert len(PATHS) == len(set(PATH_COLOURS.values())) == len(set(PATH_MARKERS.values()))
    assert {"nop"} == set(DESIGNS) - set(PATHS)
    assert all(DESIGNS[path].colour in OKABE_ITO for path in PATHS)


def test_paths_of_a_users_own_get_looks_that_none_of_ours_has() -> None:
    """In the order of the axis, the same every time; as many as there are, none twice up to twelve."""
    own = [f"mine.py:P{number}" for number in range(12)]
    looks = dict(zip(["mpage", *own], path_looks(["mpage", *own]), strict=True))
    assert (PATH_COLOURS["mpage"], PATH_MARKERS["mpage"]) == looks["mpage"]
    assert 13 == len(set(looks.values()))
    assert not set(SPARE_COLOURS) & set(PATH_COLOURS.values())
    assert path_looks(own) == path_looks(own)


def test_unknown_names_are_told_with_the_known_ones() -> None:
    """A path and a mapping that are not there."""
    with pytest.raises(ConfigError, match=r"path: 'mpages' is not modelled; allowed: buffer_head, mpage, "):
        design_of("mpages")
    with pytest.raises(ConfigError, match=r"mapping: 'xfs' is not modelled; allowed: extents, indirect, "):
        mapper_factory("xfs")
    assert ["extents", "indirect", "linear", "linear-remembered"] == list(MAPPERS)


def test_every_kind_of_workload_has_a_player() -> None:
    """The tables of [workload] and the registry of players have the same names."""
    assert list(Workload.model_fields) == list(PLAYERS)


def test_every_kind_of_device_has_a_factory() -> None:
    """Each profile that comes with readpath makes a device of its kind; an unknown kind is told."""
    profiles = [load_device_profile(name) for name in device_profile_names()]
    assert set(DEVICES) == {profile.kind for profile in profiles}
    assert all(isinstance(make_device(Clock(), profile), WritableHardware) for profile in profiles)
    with pytest.raises(ConfigError, match="kind 'tape'; allowed: ramdisk, null_blk, ssd, hdd"):
        make_device(Clock(), replace(profiles[0], kind="tape"))
