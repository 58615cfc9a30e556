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
    "sha512-ssse3",
    "dm-crypt",
    "ecryptfs",
    "nvme",
    "virtio_scsi",
    "ahci",
    "sd_mod",
]
SILENCE_S = 180
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
    for program in ("truth", "windows"):
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
    counter: SymbolCounter | None = None,
    devices: Sequence[str] = (),
) -> None:
    """
    Boot with `plan` (files below /plan by name) and hand every result line to `on_line` as it comes.

    icount: one CPU whose time stamp counter counts instructions. counter: one CPU watched by the plugin.
    devices: more options for QEMU, before the drives.
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
    cpu, cpus = (counter.cpu if counter else "max,-la57"), "1" if icount or counter else "2"
    words = ["qemu-system-x86_64", *accel, "-cpu", cpu, "-smp", cpus, "-m", "2560"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-serial", f"file:{console}", "-serial", f"file:{results}"]
    words += ["-kernel", str(kernel.image), "-initrd", str(initrd), "-append"]
    words += ["console=ttyS0 panic=-1 nokaslr mitigations=off quiet"]
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
