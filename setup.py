"""
Puts what comes along besides the code (sim/shipped) into a wheel, and compiles the core with mypyc where
READPATH_COMPILE=1 asks for it; without, the package is plain Python. READPATH_OPT: the C compiler's level of
optimisation, 2 unless it is set.

    READPATH_COMPILE=1 python setup.py build_ext --inplace     what `make fast` does
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

LEVEL = os.environ.get("READPATH_OPT", "2")

INTERPRETED = {
    "sim/cache/make_bytes.py",  # asks whether the others are compiled
    "sim/cache/plain_bytes.py",  # extends bytearray
    "sim/engine/costs.py",  # tables, read once
    "sim/engine/pace.py",
    "sim/fs/mballoc/image.py",  # bitmaps of an image, read once
    "sim/engine/garbage.py",  # a context manager, once a run
    "sim/engine/mode.py",  # asks whether the others are compiled
    "sim/engine/simpy_clock.py",  # extends a class of simpy's
    "sim/engine/streams.py",  # numpy
    "sim/block/device/constants.py",  # dataclasses, read once
    "sim/block/device/profile.py",
    "sim/paths/design.py",
    "sim/paths/registry.py",
    "sim/paths/symbols.py",
}
"""What stays as it is: nothing of it runs per read, or mypyc cannot take it."""


def core() -> list[str]:
    """Return the files that are compiled: all that runs per read, per bio, per page."""
    files = ["sim/units.py", "sim/workload/player.py", "sim/machine/timeline.py"]
    for room in ("engine", "block", "cache", "fs", "paths", "stack"):
        files += sorted(path.as_posix() for path in Path("sim", room).rglob("*.py"))
    skipped = INTERPRETED | {path.as_posix() for path in Path("sim/paths/designs").glob("*.py")}
    return [file for file in files if not file.endswith("__init__.py") and file not in skipped]


def extensions() -> list[Any]:
    """Return what is to be built: nothing, unless it is asked for."""
    if os.environ.get("READPATH_COMPILE") != "1":
        return []
    from mypyc.build import mypycify

    made = mypycify(core(), opt_level=LEVEL, debug_level="0", group_name="sim.core", multi_file=True)
    for extension in made:
        extension.include_dirs.append(os.path.join("build", "sim"))  # mypyc's headers of a group with a dot
        if os.name == "posix":
            # The core is one library: nothing replaces what it calls of itself, which it so calls directly.
            extension.extra_compile_args = [*extension.extra_compile_args, "-fvisibility=hidden"]
    return made


class BuildSideBySide(build_ext):
    """Compiles the files of an extension side by side, one a core, and only those that have changed."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.build_temp = f"{self.build_temp}-O{LEVEL}"  # objects of another level are others

    def build_extensions(self) -> None:
        one_by_one = self.compiler.compile

        def side_by_side(sources: list[str], output_dir: str, **kwargs: Any) -> list[str]:
            headers = [path for folder in ("build", "build/sim") for path in Path(folder).glob("*.h")]
            changed = max((path.stat().st_mtime for path in headers), default=0.0)

            def compile_one(source: str) -> str:
                (made,) = self.compiler.object_filenames([source], output_dir=output_dir)
                last = max(changed, Path(source).stat().st_mtime)
                if not os.path.exists(made) or os.path.getmtime(made) < last:
                    one_by_one([source], output_dir=output_dir, **kwargs)
                return made

            with ThreadPoolExecutor(os.cpu_count()) as pool:
                return list(pool.map(compile_one, sources))

        self.compiler.compile = side_by_side
        super().build_extensions()


SHIPPED = ("experiments", "results/reference", "results/kernel", "notebooks")
"""As sim.shipped.FOLDERS, which is not imported: nothing is installed yet (a test holds them together)."""

NOT_SHIPPED = ("__pycache__", "build", "*.png", "*.svg", "kernel", ".ipynb_checkpoints")
"""Of these folders: pictures, and the rig that records a kernel, which needs a checkout and root."""


class BuildWithShipped(build_py):
    """Copies the folders of SHIPPED below sim/shipped, as they lie in the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout itself is used
            return
        for folder in SHIPPED:
            target = Path(self.build_lib, "sim", "shipped", folder)
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*NOT_SHIPPED))


if __name__ == "__main__":
    setup(ext_modules=extensions(), cmdclass={"build_py": BuildWithShipped, "build_ext": BuildSideBySide})
