# SPDX-License-Identifier: MIT
"""
The virtual machine: what goes into its first file system, and one boot.

QEMU emulates in software (TCG): no KVM is needed, and counts do not depend on it. A second serial port
carries the results out line by line, so that what is recorded is safe however a boot ends.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from kernels import Kernel, RigError, run

HERE = Path(__file__).parent
APPLETS = [
    "sh",
    "mount",
    "umount",
    "mkdir",
    "cat",
    "echo",
    "ls",
    "insmod",
    "sleep",
    "dmesg",
    "sync",
    "sed",
    "cut",
    "stty",
    "uname",
    "ln",
    "sha256sum",
    "date",
    "test",
    "[",
]
MODULES = [
    "crc32c-intel",
    "virtio_pci",
    "virtio_blk",
    "ext4",
    "null_blk",
    "xfs",
    "xts",
    "aesni-intel",
    "cts",
    "cbc",
    "ecb",
    "essiv",
    "hmac",
    "sha512_generic",
    "sha256_generic",
    "mq-deadline",
]
SILENCE_S = 180
"""A boot that says nothing for so long is taken for dead."""


def build_module(kernel: Kernel, work: Path) -> Path:
    """Compile the module against the kernel's build tree."""
    folder = work / "module"
    shutil.copytree(HERE / "module", folder, dirs_exist_ok=True)
    run("make", "-s", "-C", kernel.build, f"M={folder.resolve()}", "modules")
    return folder / "readpath_truth.ko"


def make_initramfs(kernel: Kernel, work: Path) -> Path:
    """Return the first file system: busybox, the static program, modules in load order, init."""
    root = work / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "modules", "proc", "sys", "dev", "mnt", "tmp", "plan"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    run("gcc", "-O2", "-Wall", "-static", "-o", root / "bin" / "truth", HERE / "guest" / "truth.c")
    order: dict[str, None] = {}
    for name in MODULES if kernel.modules else ():
        asked = subprocess.run(
            ["modprobe", "-d", str(kernel.modules), "-S", kernel.release, "--show-depends", name],
            capture_output=True,
            text=True,
            check=False,
        )
        order |= dict.fromkeys(
            line.split()[1] for line in asked.stdout.splitlines() if line.startswith("insmod")
        )
    if kernel.modules and not order:
        raise RigError(f"{kernel.modules}: modprobe finds none of the modules of {kernel.release}")
    for file in order:
        shutil.copy(file, root / "modules")
    (root / "modules" / "order").write_text("\n".join(f"/modules/{Path(file).name}" for file in order))
    shutil.copy(build_module(kernel, work), root / "modules")
    shutil.copy(HERE / "guest" / "init", root / "init")
    (root / "init").chmod(0o755)
    return _pack(root, work / "initramfs")


def _pack(root: Path, to: Path) -> Path:
    names = "\n".join(str(path.relative_to(root)) for path in sorted(root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        input=names.encode(),
        capture_output=True,
        cwd=root,
        check=True,
    )
    to.write_bytes(packed.stdout)
    return to


def boot(
    kernel: Kernel,
    initramfs: Path,
    plan: dict[str, str],
    drives: list[Path],
    work: Path,
    on_line: Callable[[dict[str, object]], None],
    icount: bool = False,
    writable: bool = False,
) -> None:
    """
    Boot with `plan` (files below /plan by name) and hand every result line to `on_line` as it comes.

    icount: one CPU whose time stamp counter counts instructions. Raises RigError if the machine dies.
    """
    shutil.rmtree(work, ignore_errors=True)
    for name, text in plan.items():
        file = work / "plan" / "plan" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    # The kernel unpacks archives one after the other.
    initrd = work / "initrd"
    initrd.write_bytes(initramfs.read_bytes() + _pack(work / "plan", work / "plan.cpio").read_bytes())
    console, results = work / "console.log", work / "results.jsonl"
    results.touch()
    accel = ["-accel", "tcg", "-icount", "shift=0,sleep=off"] if icount else ["-accel", "tcg,thread=multi"]
    words = ["qemu-system-x86_64", *accel, "-cpu", "max,-la57", "-smp", "1" if icount else "2", "-m", "2560"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-serial", f"file:{console}", "-serial", f"file:{results}"]
    words += ["-kernel", str(kernel.image), "-initrd", str(initrd), "-append"]
    words += ["console=ttyS0 panic=-1 nokaslr mitigations=off quiet"]
    for drive in drives:
        access = "cache=unsafe" if writable else "readonly=on"
        words += ["-drive", f"file={drive},if=virtio,format=raw,{access}"]
    machine = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _follow(machine, results, console, on_line)
    finally:
        if machine.poll() is None:
            machine.kill()
        machine.wait()


def _follow(
    machine: subprocess.Popen[bytes],
    results: Path,
    console: Path,
    on_line: Callable[[dict[str, object]], None],
) -> None:
    ended = None
    rest = b""
    heard = time.monotonic()
    with results.open("rb") as stream:
        while ended is None:
            over = machine.poll() is not None
            read = stream.read()
            if read:
                heard = time.monotonic()
            *lines, rest = (rest + read).split(b"\n")
            for line in lines:
                if not line.strip():
                    continue
                document = json.loads(line)
                if "end" in document:
                    ended = document["end"]
                else:
                    on_line(document)
            if over and ended is None:
                raise RigError(f"the machine stopped before the end: {_tail(console)}")
            if time.monotonic() - heard > SILENCE_S:
                raise RigError(f"no result for {SILENCE_S} s: {_tail(console)}")
            time.sleep(0.2)
    if ended:
        raise RigError(f"a command inside failed with {ended}: {_tail(console)}")


def _tail(console: Path) -> str:
    text = console.read_text(errors="replace") if console.exists() else ""
    return " / ".join(line.strip() for line in text.splitlines()[-4:])
