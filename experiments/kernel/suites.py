# SPDX-License-Identifier: MIT
"""
Kernels of other suites of Debian than the machine's: fetched through an apt configuration of their own.

Nothing is installed: packages are unpacked below a folder. Their signatures are checked with the keys of the
package debian-archive-keyring, which Debian 12 and later have. A kernel built with a newer compiler and C
library than the machine's comes with these, unpacked too; wrappers start them with their own loader.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from commands import RigError, run

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
MIRROR = "http://deb.debian.org"
MAIN, SECURITY = f"{MIRROR}/debian", f"{MIRROR}/debian-security"


@dataclass(frozen=True)
class Suite:
    """
    Where a kernel is.

    archives: "URI suite". named: how its package is named, the group is the version. packages: to unpack,
    {v} is the version. usr: whether lib/modules, and the bzImage in it, lie below usr. compiler: gcc's
    name. tools: packages of the compiler and of what it and the kernel's own tools need; none: the
    machine's are right.
    """

    archives: tuple[str, ...]
    named: str
    packages: tuple[str, ...]
    usr: bool
    compiler: str
    tools: tuple[str, ...] = ()


HEADERS = ("linux-headers-{v}-amd64", "linux-headers-{v}-common", "linux-kbuild-{v}")
COMPILER_14 = (
    *("gcc-14-x86-64-linux-gnu", "cpp-14-x86-64-linux-gnu", "libisl23", "libmpc3", "libmpfr6", "libgmp10"),
    *("libc6", "libelf1t64", "libssl3t64", "zlib1g", "libzstd1"),
)
SUITES = {
    "6.12": Suite(
        (f"{MAIN} bookworm", f"{SECURITY} bookworm-security"),
        r"linux-image-(6\.12\.\d+\+deb12)-amd64",
        ("linux-image-{v}-amd64", *HEADERS),
        usr=False,
        compiler="gcc-12",
    ),
    "7.3": Suite(
        (f"{MAIN} trixie", f"{MAIN} trixie-backports"),
        r"linux-binary-(7\.3\.\d+\+deb13)-amd64",
        ("linux-binary-{v}-amd64", "linux-modules-{v}-amd64", *HEADERS),
        usr=True,
        compiler="x86_64-linux-gnu-gcc-14",
        tools=COMPILER_14,
    ),
}
"""Short name of a kernel: where it is."""


@dataclass(frozen=True)
class Fetched:
    """
    A kernel of another suite, unpacked.

    release: what uname -r says. root: where lib/modules lies. image: bzImage. build: the folder for
    `make -C`. headers: of this flavour. compiler: gcc.
    """

    release: str
    root: Path
    image: Path
    build: Path
    headers: Path
    compiler: str

    @property
    def words(self) -> tuple[str, ...]:
        """Return what make is told besides."""
        return f"O={self.headers}", f"KERNELRELEASE={self.release}", "ARCH=x86", f"CC={self.compiler}"


class PrivateApt:
    """apt with sources, lists and cache of its own below a folder."""

    def __init__(self, folder: Path, suite: Suite) -> None:
        self._folder = folder.resolve()
        self._suite = suite

    def update(self) -> None:
        """Fetch the lists of packages."""
        if not KEYRING.is_file():
            raise RigError(f"{KEYRING}: not there; install the package debian-archive-keyring")
        for name in ("lists/partial", "cache/archives/partial", "parts"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        (self._folder / "sources.list").write_text(self.sources())
        run("apt-get", *self.options(), "-o", "APT::Update::Error-Mode=any", "update", "-q")

    def sources(self) -> str:
        """Return the text of its sources.list."""
        lines = [f"deb [arch=amd64 signed-by={KEYRING}] {archive} main" for archive in self._suite.archives]
        return "\n".join(lines) + "\n"

    def options(self) -> list[str]:
        """Return the options of every call of apt: no file of the machine's configuration names a source."""
        settings = {
            "Dir::Etc::SourceList": self._folder / "sources.list",
            "Dir::Etc::SourceParts": self._folder / "parts",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": self._folder / "parts",
            "Dir::State::Lists": self._folder / "lists",
            "Dir::Cache": self._folder / "cache",
            "APT::Sandbox::User": "root",
        }
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def names(self) -> list[str]:
        """Return the packages there are."""
        return run("apt-cache", *self.options(), "pkgnames", "linux-").splitlines()

    def unpack(self, packages: list[str], root: Path) -> None:
        """Download packages and unpack them into `root`."""
        loading = self._folder / "debs"
        shutil.rmtree(loading, ignore_errors=True)
        loading.mkdir()
        run("apt-get", *self.options(), "download", "-q", *packages, cwd=loading)
        for deb in sorted(loading.glob("*.deb")):
            run("dpkg-deb", "-x", deb, root)
        shutil.rmtree(loading)


def newest(names: list[str], suite: Suite) -> str | None:
    """Return the newest version of a suite's kernel among names of packages."""
    found = [match[1] for name in names if (match := re.fullmatch(suite.named, name))]
    return max(found, key=lambda version: [int(part) for part in re.findall(r"\d+", version)], default=None)


def fetch(word: str, folder: Path) -> Fetched:
    """Return the kernel of a short name, fetched into `folder` if it is not there."""
    suite, marker = SUITES[word], folder / "unpacked"
    if not marker.exists():
        print(f"fetching Linux {word} of {', '.join(suite.archives)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        apt = PrivateApt(folder / "apt", suite)
        apt.update()
        version = newest(apt.names(), suite)
        if version is None:
            raise RigError(f"{word}: {', '.join(suite.archives)} have no such kernel (any more)")
        apt.unpack([name.format(v=version) for name in suite.packages], folder / "k")
        if suite.tools:
            apt.unpack(list(suite.tools), folder / "tools")
        _settle(folder, version, suite)
        marker.write_text(version)
    return _described(folder, marker.read_text(), suite)


def _described(folder: Path, version: str, suite: Suite) -> Fetched:
    folder = folder.resolve()
    release, sources = f"{version}-amd64", folder / "k" / "usr" / "src"
    root = folder / "k" / "usr" if suite.usr else folder / "k"
    image = (
        root / "lib" / "modules" / release / "vmlinuz" if suite.usr else root / "boot" / f"vmlinuz-{release}"
    )
    compiler = str(folder / "cc" / suite.compiler) if suite.tools else suite.compiler
    common, headers = sources / f"linux-headers-{version}-common", sources / f"linux-headers-{release}"
    return Fetched(release, root, image, common, headers, compiler)


def _settle(folder: Path, version: str, suite: Suite) -> None:
    """Make what was unpacked usable: modules.dep, and tools that start with their own C library."""
    fetched = _described(folder, version, suite)
    run("depmod", "-b", fetched.root, fetched.release)
    # There for BTF, which a module can do without.
    (fetched.headers / "vmlinux").unlink(missing_ok=True)
    if not suite.tools:
        return
    cc = folder / "cc"
    cc.mkdir()
    for name in ("as", "ld"):
        (cc / name).symlink_to(shutil.which(name) or f"/usr/bin/{name}")
    tools = (folder / "tools" / "usr").resolve()
    _wrap(cc / "cc1", tools, tools / "libexec" / "gcc" / "x86_64-linux-gnu" / "14" / "cc1")
    _wrap(cc / suite.compiler, tools, tools / "bin" / suite.compiler, f"-B{cc.resolve()}")
    kbuild = (folder / "k" / "usr" / "lib" / f"linux-kbuild-{version}").resolve()
    for name, real in (("tools/objtool/objtool", "real-x86"), ("scripts/mod/modpost", "real-lsb-64")):
        _wrap(kbuild / name, tools, (kbuild / name).with_name(f"{Path(name).name}.{real}"))


def _wrap(wrapper: Path, tools: Path, program: Path, *more: str) -> None:
    """Write a script that starts a program with the loader and the libraries of `tools`."""
    if not program.is_file():
        raise RigError(f"{program}: not in the packages")
    start = f"{tools}/lib64/ld-linux-x86-64.so.2 --library-path {tools}/lib/x86_64-linux-gnu"
    wrapper.unlink(missing_ok=True)
    wrapper.write_text(f"#!/bin/sh\nexec {start} {program} {' '.join((*more, chr(34) + '$@' + chr(34)))}\n")
    wrapper.chmod(0o755)
