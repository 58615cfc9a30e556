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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from commands import RigError, run
from kernels import Kernel

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
    "rm",
    "losetup",
    "truncate",
]
MODULES = [
    "crc32c-intel",
    "crc32c",
    "crc32c-generic",
    "libcrc32c",
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
    "sha512-ssse3",
    "dm-crypt",
    "ecryptfs",
    "nvme",
    "virtio_scsi",
    "ahci",
    "sd_mod",
    "loop",
]
SILENCE_S = 420
"""A boot that says nothing for so long is taken for dead."""


@dataclass(frozen=True)
class SymbolCounter:
    """
    The plugin (plugin/symbols.c) that counts instructions by symbol, for a machine with one CPU.

    library: compiled. symbols: its list. out: what it writes. kallsyms: the machine's last drive; the
    guest puts its /proc/kallsyms on it. cpu: QEMU's model.
    """

    library: Path
    symbols: Path
    out: Path
    kallsyms: Path
    cpu: str

    KALLSYMS_BYTES: ClassVar[int] = 32 << 20

    @classmethod
    def build(cls, work: Path, cpu: str) -> SymbolCounter:
        """Compile the plugin into `work`."""
        work.mkdir(parents=True, exist_ok=True)
        library = work / "symbols.so"
        run("gcc", "-O2", "-w", "-shared", "-fPIC", "-o", library, HERE / "plugin" / "symbols.c")
        symbols = HERE / "plugin" / "symbols.txt"
        return cls(library, symbols, work / "windows.txt", work / "kallsyms.img", cpu)

    def with_symbols(self, listed: Path) -> SymbolCounter:
        """Return the same with another list."""
        return replace(self, symbols=listed)

    def words(self) -> list[str]:
        """Return QEMU's options; the drive for kallsyms is made, and empty."""
        self.kallsyms.write_bytes(b"")
        with self.kallsyms.open("r+b") as drive:
            drive.truncate(self.KALLSYMS_BYTES)
        plugin = f"{self.library},out={self.out},kallsyms={self.kallsyms},tops={self.symbols}"
        drive_words = f"file={self.kallsyms},if=virtio,format=raw,cache=unsafe"
        return ["-plugin", plugin, "-drive", drive_words]


def build_modules(kernel: Kernel, work: Path, writes: bool) -> list[Path]:
    """Compile the modules against the kernel's build tree; writes: that of the write recordings too."""
    folder = work / "module"
    shutil.copytree(HERE / "module", folder, dirs_exist_ok=True)
    run(
        "make",
        "-s",
        "-C",
        kernel.build,
        *kernel.words,
        f"M={folder.resolve()}",
        *(["WRITES=m"] if writes else []),
        "modules",
    )
    names = ("readpath_truth", "writepath_truth") if writes else ("readpath_truth",)
    return [folder / f"{name}.ko" for name in names]


def make_initramfs(kernel: Kernel, work: Path, writes: bool = False) -> Path:
    """
    Return the first file system: busybox, the static programs, modules in load order, init.

    writes: with the module of the write recordings.
    """
    root = work / "root"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "sbin", "modules", "proc", "sys", "dev", "mnt", "tmp", "plan"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    for program in ("truth", "windows", "wtruth"):
        source = HERE / "guest" / f"{program}.c"
        run("gcc", "-O2", "-Wall", "-static", "-o", root / "bin" / program, source)
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
        copied = Path(shutil.copy(file, root / "modules"))
        if copied.suffix == ".xz":
            run("xz", "-d", copied)
    names = [Path(file).name.removesuffix(".xz") for file in order]
    (root / "modules" / "order").write_text("\n".join(f"/modules/{name}" for name in names))
    for built in build_modules(kernel, work, writes):
        shutil.copy(built, root / "modules")
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
    counter: SymbolCounter | None = None,
    devices: Sequence[str] = (),
    one_cpu: bool = False,
) -> None:
    """
    Boot with `plan` (files below /plan by name) and hand every result line to `on_line` as it comes.

    icount: one CPU whose time stamp counter counts instructions. counter: one CPU watched by the plugin.
    devices: more options for QEMU, before the drives. one_cpu: and one thread of the host.
    Raises RigError if the machine dies.
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
    if one_cpu:
        accel = ["-accel", "tcg,thread=single"]
    cpu, cpus = (counter.cpu if counter else "max,-la57"), "1" if icount or counter or one_cpu else "2"
    words = ["qemu-system-x86_64", *accel, "-cpu", cpu, "-smp", cpus, "-m", "2560"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-serial", f"file:{console}", "-serial", f"file:{results}"]
    words += ["-kernel", str(kernel.image), "-initrd", str(initrd), "-append"]
    words += ["console=ttyS0 panic=-1 nokaslr mitigations=off no_timer_check quiet"]
    words += devices
    for drive in drives:
        access = "cache=unsafe" if writable else "readonly=on"
        words += ["-drive", f"file={drive},if=virtio,format=raw,{access}"]
    if counter is not None:
        words += counter.words()
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
