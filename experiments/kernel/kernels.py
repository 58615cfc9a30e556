# SPDX-License-Identifier: MIT
"""
The kernel to record: a Debian package by name, the short name of one of another suite, or a bzImage of one's
own with its modules and build tree.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from commands import RigError, run
from suites import SUITES, fetch

TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "gcc": "gcc",
    "make": "make",
    "cpio": "cpio",
    "modprobe": "kmod",
    "e2fsck": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "busybox": "busybox-static",
    "xz": "xz-utils",
}
"""Command: the Debian package that has it."""


@dataclass(frozen=True)
class Kernel:
    """
    A kernel ready to boot.

    release: what uname -r says. version: names the folder of results. image: bzImage. modules: a folder
    that holds lib/modules/RELEASE, None if all is built in. build: the tree to compile a module against.
    words: what make is told besides.
    """

    release: str
    version: str
    image: Path
    modules: Path | None
    build: Path
    words: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, int]:
        """Return the first two numbers of the release. RigError if it begins otherwise."""
        found = re.match(r"(\d+)\.(\d+)", self.release)
        if found is None:
            raise RigError(f"{self.release}: a release begins with a version")
        return int(found[1]), int(found[2])


def install(packages: list[str]) -> None:
    """Install Debian packages; RigError, naming them, where that is not possible."""
    if not packages:
        return
    if os.geteuid() or not shutil.which("apt-get"):
        raise RigError(f"missing packages, and no right to install them: {' '.join(packages)}")
    print(f"installing {' '.join(packages)}", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    words = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]
    try:
        run(*words, env=env)
    except RigError:
        run("apt-get", "update", "-q", env=env)
        run(*words, env=env)


def install_tools() -> None:
    """Install what the rig calls."""
    path = os.environ["PATH"] = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = {package for command, package in TOOLS.items() if not shutil.which(command, path=path)}
    if not Path("/usr/include/x86_64-linux-gnu/asm/types.h").exists():
        missing.add("libc6-dev")
    install(sorted(missing))


def prepare(word: str, work: Path) -> Kernel:
    """
    Return the kernel that `word` names, unpacked below `work`.

    A Debian package (linux-image-amd64 or linux-image-VERSION-amd64), a short name of suites.py, or the path
    of a bzImage; the latter with KERNEL_BUILD (its build tree, modules_prepare done) and KERNEL_MODULES
    (where modules_install put them; unset: all built in) in the environment.
    """
    if "/" in word or Path(word).is_file():
        return _own(Path(word))
    if word in SUITES:
        return _of_another_suite(word, work)
    package = _package(word)
    release = package.removeprefix("linux-image-").removesuffix("-unsigned")
    install([] if Path(f"/usr/src/linux-headers-{release}").is_dir() else [f"linux-headers-{release}"])
    root = work / package
    if not (root / "unpacked").exists():
        print(f"fetching {package}", flush=True)
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        run("apt-get", "download", package, cwd=root)
        (deb,) = root.glob("*.deb")
        run("dpkg-deb", "-x", deb, root / "k")
        run("depmod", "-b", root / "k", release)
        (root / "unpacked").write_text(deb.name.split("_")[1])
        deb.unlink()
    version = (root / "unpacked").read_text().split("-")[0]
    image = root / "k" / "boot" / f"vmlinuz-{release}"
    return Kernel(release, f"linux-{version}", image, root / "k", Path(f"/usr/src/linux-headers-{release}"))


def _package(word: str) -> str:
    """Return the package with the files: a meta package depends on it."""
    if word.removeprefix("linux-image-")[:1].isdigit():
        return word
    for line in run("apt-cache", "depends", word).splitlines():
        name = line.strip().removeprefix("Depends: ")
        if name.removeprefix("linux-image-")[:1].isdigit():
            return name
    raise RigError(f"{word}: no such kernel package")


def _of_another_suite(word: str, work: Path) -> Kernel:
    compiler = SUITES[word].compiler
    if not SUITES[word].tools and not shutil.which(compiler):
        install([compiler])
    it = fetch(word, work / f"linux-{word}")
    return Kernel(it.release, f"linux-{it.release.split('+')[0]}", it.image, it.root, it.build, it.words)


def _own(image: Path) -> Kernel:
    build = os.environ.get("KERNEL_BUILD", "")
    modules = os.environ.get("KERNEL_MODULES", "")
    if not image.is_file() or not (Path(build) / "Makefile").is_file():
        raise RigError(f"{image}: needs a bzImage, and KERNEL_BUILD, the tree it was built in")
    release = image_release(image)
    built = Path(build) / "include" / "generated" / "utsrelease.h"
    if not built.is_file() or f'"{release}"' not in built.read_text():
        raise RigError(f"KERNEL_BUILD={build}: is no built tree of {release}, which {image.name} is")
    if modules and not (Path(modules) / "lib" / "modules" / release / "modules.dep").is_file():
        raise RigError(f"KERNEL_MODULES={modules}: has no lib/modules/{release}/modules.dep")
    folder = Path(modules).resolve() if modules else None
    return Kernel(release, f"linux-{release}", image.resolve(), folder, Path(build).resolve())


def image_release(image: Path) -> str:
    """
    Return what `uname -r` of a bzImage will say: its header points to it.

    Source: Documentation/x86/boot.rst, fields header (0x202) and kernel_version (0x20E).
    """
    start = image.read_bytes()[:65536]
    if start[0x202:0x206] != b"HdrS":
        raise RigError(f"{image}: is not a bzImage")
    at = int.from_bytes(start[0x20E:0x210], "little") + 0x200
    return start[at : start.index(b"\0", at)].decode("ascii", "replace").split(" ")[0]
