# SPDX-License-Identifier: MIT
"""
User-mode Linux with our timing in it, and the kernel's AES as a program of its own: fetched and built.

What is changed in the source: atomic operations keep their lock prefix on one CPU, as on a kernel for
several; a list of exported symbols loses names that glibc 2.33 and later no longer have; ext4 gets one more
file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import RigError, run
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from kernels import install
from machine import HERE

SOURCE = "linux-source-6.1"
NEEDS = {"flex": "flex", "bison": "bison", "bc": "bc", "xz": "xz-utils", "gcc": "gcc", "make": "make"}
AES_BATCHES = 2000
SHIMS = {
    "linux/linkage.h": "\n".join(
        [
            "#define SYM_FUNC_START(name) .globl name; .balign 16; name:",
            "#define SYM_FUNC_START_LOCAL(name) .balign 16; name:",
            "#define SYM_FUNC_END(name) .type name, @function; .size name, . - name",
            "#define SYM_FUNC_ALIAS(alias, name) .globl alias; .set alias, name",
            "#define SYM_FUNC_ALIAS_LOCAL(alias, name) .set alias, name",
            "#define RET ret",
            '.section .note.GNU-stack,"",@progbits',
            ".text",
            "",
        ]
    ),
    "asm/frame.h": "#define FRAME_BEGIN\n#define FRAME_END\n#define FRAME_OFFSET 0\n",
    "asm/nospec-branch.h": "#define JMP_NOSPEC jmp *\n",
}
"""What stands for the headers that the kernel's assembly includes, outside a kernel."""


def prepare(work: Path, say: Callable[[str], None]) -> Path:
    """Return the source tree, changed and configured; RigError where a change does not apply."""
    install([package for command, package in NEEDS.items() if not shutil.which(command)])
    if not Path("/usr/include/libelf.h").exists():
        install(["libelf-dev"])
    archive = Path(f"/usr/src/{SOURCE}.tar.xz")
    if not archive.exists():
        install([SOURCE])
    tree = work / SOURCE
    made_of = hashlib.sha256((HERE / "native" / "config").read_bytes() + archive.read_bytes()).hexdigest()
    mark = tree / ".readpath"
    if not mark.exists() or mark.read_text() != made_of:
        say(f"unpacking {archive}")
        shutil.rmtree(tree, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        run("tar", "-xf", archive, "-C", work)
        _change(tree)
        mark.write_text(made_of)
    for file in (*HERE.glob("native/*.[ch]"), *HERE.glob("module/*.h")):
        if file.name != "aes.c":
            _copy_if_new(file, tree / "fs" / "ext4" / file.name)
    say("compiling (about 6 minutes the first time)")
    return tree


def _change(tree: Path) -> None:
    _replace(
        tree / "arch/x86/include/asm/alternative.h",
        r'#define LOCK_PREFIX_HERE ""\n#define LOCK_PREFIX ""\n',
        r'#define LOCK_PREFIX_HERE ""\n#define LOCK_PREFIX "\\n\\tlock; "\n',
    )
    gone = r"EXPORT_SYMBOL_PROTO\(__(?:x|lx|fx)(?:stat|stat64|mknod)\);\n|EXPORT_SYMBOL_PROTO\(__xmknod\);\n"
    _replace(tree / "arch/um/os-Linux/user_syms.c", gone, "", count=0)
    with (tree / "fs/ext4/Makefile").open("a") as makefile:
        makefile.write("obj-y += readpath_native.o\n")
    make = ("make", "-s", "-C", tree, "ARCH=um")
    run(*make, "x86_64_defconfig")
    run("scripts/kconfig/merge_config.sh", "-m", "-O", ".", ".config", HERE / "native" / "config", cwd=tree)
    run(*make, "olddefconfig")


def _replace(file: Path, pattern: str, by: str, count: int = 1) -> None:
    text, times = re.subn(pattern, by, file.read_text(), count=count)
    if not times:
        raise RigError(f"{file}: not as expected, {pattern!r} is not in it")
    file.write_text(text)


def _copy_if_new(file: Path, to: Path) -> None:
    """Copy a file whose bytes have changed, so that make compiles only what it must."""
    if not to.exists() or to.read_bytes() != file.read_bytes():
        shutil.copy(file, to)


def build_linux(tree: Path) -> Path:
    """Compile; return the kernel, a program."""
    run("make", "-s", "-C", tree, "ARCH=um", "-j2", "linux")
    return tree / "linux"


def version(tree: Path) -> str:
    """Return VERSION.PATCHLEVEL.SUBLEVEL of the tree."""
    fields = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)$", (tree / "Makefile").read_text(), re.M)
    )
    return ".".join(fields[key] for key in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))


def time_aes(tree: Path, work: Path, pinned: list[str]) -> list[dict[str, Any]]:
    """Time the kernel's AES with AES instructions, per unit size; RigError if it decrypts wrongly."""
    for name, text in SHIMS.items():
        file = work / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    program = work / "aes"
    run(
        "gcc", "-O2", "-no-pie", f"-I{work}", "-o", program, HERE / "native" / "aes.c",
        tree / "arch/x86/crypto/aesni-intel_asm.S",
    )  # fmt: skip
    iv = (1).to_bytes(16, "little")
    plain = bytes(i * 7 % 251 for i in range(4096))
    for symbol, key, mode in (
        ("xts_decrypt", bytes(range(64)), modes.XTS(iv)),
        ("cbc_decrypt", bytes(range(32)), modes.CBC(iv)),
        ("cbc_decrypt_128", bytes(range(16)), modes.CBC(iv)),
    ):
        text = Cipher(algorithms.AES(key), mode).encryptor().update(plain)
        done = subprocess.run([program, symbol, "4096"], input=text, capture_output=True, check=False)
        if done.stdout != plain:
            raise RigError(f"{symbol}: the kernel's AES decrypts wrongly here")
    return [json.loads(line) for line in run(*pinned, program, str(AES_BATCHES)).splitlines()]
