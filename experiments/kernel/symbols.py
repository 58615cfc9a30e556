# SPDX-License-Identifier: MIT
"""
Instructions by kernel symbol: boot under the plugin, read what it wrote, make records of it.

Every image is booted once, with one CPU. The kernel's digests of the files must be ours: what is counted is a
decryption that comes out right. A boot's records are kept when it is over, for the plugin writes beside the
guest and the two meet here by the number of the window.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import symbol_cases as plans
from commands import RigError
from kernels import Kernel
from machine import SymbolCounter, boot
from symbol_cases import CRYPTS, ECRYPTFS, GENERIC, Crypt, Record
from symbol_volumes import MIXED, SymbolVolume, device_key, ecryptfs_key, fscrypt_key, symbol_volume

from sim.records.kernel_case import reads

OUTSIDE = ("-", "irq", "run_ksoftirqd", "worker_thread")
"""Labels of what belongs to other tasks or to none of the list."""
BYTE_LOOPS = (
    "memset_erms",
    "memcpy_erms",
    "memmove_erms",
    "clear_page_erms",
    "copy_user_enhanced_fast_string",
)
"""Functions that are one `rep` over bytes, each of which counts as an instruction."""

START = """
set -e
cat /proc/kallsyms > /dev/vdb; sync
truth copy /dev/vda /dev/rtram
"""
MOUNT = "mount -t ext4 -o ro,noatime,no_prefetch_block_bitmaps {device} /mnt\n"
DIGEST = """
for file in {files}; do
  digest=$(sha256sum $file | cut -c1-64); echo "{{\\"file\\":\\"$file\\",\\"sha256\\":\\"$digest\\"}}"
  truth fiemap $file > /tmp/fiemap || true
done
"""
MOUNT_UPPER = (
    "mount -t ecryptfs -o ro,noatime,ecryptfs_sig={signature},ecryptfs_cipher=aes,"
    "ecryptfs_key_bytes={key_bytes},ecryptfs_unlink_sigs /mnt /upper\n"
)


class Sink(Protocol):
    """Where the records go (truth.Recording)."""

    open: dict[str, Record]

    def take(self, measured: dict[str, Any]) -> None:
        """Keep a measured case."""


def symbol_cases() -> list[Record]:
    """Return all cases, each with the name of its volume."""
    cases = [
        record | {"volume": crypt.name}
        for crypt in (*CRYPTS, *GENERIC)
        for inline in ((False,) if crypt.generic else (False, True))
        for record in plans.crypt_cases(crypt, inline)
    ]
    mixed = plans.fscrypt_cases()
    for cipher in ECRYPTFS:
        mixed += plans.ecryptfs_cases(cipher)
    return cases + [record | {"volume": MIXED} for record in (*mixed, *plans.open_cases())]


class Plan:
    """The script of one boot and the files beside it."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {"ram_mb": "96"}
        self.script = START
        self._windows = 0

    def run(self, records: list[Record]) -> None:
        """Have cases run, one after the other."""
        if not records:
            return
        number = len(self.files)
        lines = [self._line(record) for record in records]
        self.files[f"windows{number}"] = "".join(f"{line}\n" for line in lines)
        self.script += f"windows run /plan/windows{number} {self._windows}\n"
        self._windows += len(records)

    def _line(self, record: Record) -> str:
        guest = dict(record["guest"])
        guest["paths"] = self._file("".join(f"{path}\n" for path in guest["paths"]))
        if record["what"] == "read":
            listed = "".join(f"{offset} {length}\n" for offset, length, _ in reads(record))
            guest["reads"] = self._file(listed)
        if guest.get("attribute") == "SIGNATURE":
            guest["attribute"] = ecryptfs_key()[0]
        words = [f"{key}={value}" for key, value in guest.items() if value != ""]
        return " ".join([f"name={record['case'].replace(' ', '~')}", *words])

    def _file(self, text: str) -> str:
        name = next((name for name, known in self.files.items() if known == text), f"list{len(self.files)}")
        self.files[name] = text
        return f"/plan/{name}"


def crypt_plan(volume: SymbolVolume, crypt: Crypt, records: list[Record]) -> Plan:
    """Return the boot of a dm-crypt volume: through kcryptd, then without its queue."""
    plan = Plan()
    sectors = volume.image.stat().st_size // 512
    for inline in (True, False):
        options = [f"sector_size:{crypt.sector_bytes}"] if crypt.sector_bytes != 512 else []
        options += ["no_read_workqueue"] if inline else []
        tail = f" {len(options)} {' '.join(options)}" if options else ""
        table = f"{sectors} crypt {crypt.cipher} {device_key(crypt)} 0 /dev/rtram 0{tail}"
        plan.script += f'windows dm "{table}"\nsleep 1\n' + MOUNT.format(device="/dev/dm-0")
        plan.script += DIGEST.format(files=" ".join(volume.digests))
        plan.run([record for record in records if ("no_read_workqueue" in record["encryption"]) == inline])
        plan.script += "umount /mnt\nwindows undm\n"
    return plan


def mixed_plan(volume: SymbolVolume, records: list[Record]) -> Plan:
    """Return the boot of the volume with fscrypt's and eCryptfs' files."""
    plan = Plan()
    signature, key = ecryptfs_key()
    plan.script += MOUNT.format(device="/dev/rtram")
    plan.script += f"truth addkey /mnt {fscrypt_key()}\nmkdir -p /upper\n"
    plan.script += DIGEST.format(files=" ".join(file for file in volume.digests if file.startswith("/mnt")))
    plan.run([record for record in records if record["what"] == "read" and "eCryptfs" not in _words(record)])
    for cipher in ECRYPTFS:
        mount = MOUNT_UPPER.format(signature=signature, key_bytes=int(cipher.removeprefix("aes-")) // 8)
        mount = f"windows authtok {signature} {key}\n" + mount
        mine = [record for record in records if f"eCryptfs {cipher}" in _words(record)]
        plan.script += mount + DIGEST.format(files=f"/upper/ec_{cipher}")
        plan.run([record for record in mine if record["es"] == "warm"])
        plan.script += "umount /upper\necho 3 > /proc/sys/vm/drop_caches\n"
        plan.script += f"truth fiemap /mnt/ec_{cipher} > /tmp/fiemap\n" + mount
        plan.run([record for record in mine if record["es"] != "warm"])
        if cipher == ECRYPTFS[0]:
            small = " ".join(file for file in volume.digests if file.startswith("/upper/small"))
            plan.script += DIGEST.format(files=small)
            plan.run([record for record in records if record["what"] != "read"])
        plan.script += "umount /upper\n"
    return plan


def _words(record: Record) -> str:
    return str(record.get("encryption", ""))


def record_symbols(
    kernel: Kernel, initramfs: Path, work: Path, results: Path, sink: Sink, say: Callable[[str], None]
) -> None:
    """Record the open cases of `sink`, a boot per volume; `say` what was done, a line each."""
    for name in dict.fromkeys(record["volume"] for record in sink.open.values()):
        volume = symbol_volume(name, work.parent.parent / "images")
        records = [record for record in sink.open.values() if record["volume"] == name]
        plan = crypt_plan(volume, volume.crypt, records) if volume.crypt else mixed_plan(volume, records)
        windows: dict[int, str] = {}
        digests: dict[str, str] = {}

        def take(document: dict[str, Any], windows: Any = windows, digests: Any = digests) -> None:
            if "window" in document:
                windows[document["window"]] = document["case"].replace("~", " ")
            elif "sha256" in document:
                digests[document["file"]] = document["sha256"]

        files = plan.files | {"run": plan.script}
        cpu = "max,-la57,-aes" if volume.crypt and volume.crypt.generic else "max,-la57"
        counter = SymbolCounter.build(work / f"{volume.name}-plugin", cpu)
        boot(kernel, initramfs, files, [volume.image], work / volume.name, take, counter=counter)
        wrong = [file for file, digest in volume.digests.items() if digests.get(file) != digest]
        if wrong:
            raise RigError(f"{volume.name}: the kernel reads other bytes than ours: {', '.join(wrong)}")
        counted = parse_windows(counter.out.read_text())
        if sorted(windows) != list(range(len(counted))):
            raise RigError(f"{volume.name}: {len(counted)} windows for {len(windows)} cases")
        for number, case in sorted(windows.items()):
            record = sink.open[case]
            record.pop("guest"), record.pop("volume")
            if "layout_file" in record:
                _keep_layout(results, volume, record)
            sink.take({"case": case} | counted[number])
        say(f"symbols: {volume.name}: {len(digests)} files as we wrote them, {len(windows)} cases")


def _keep_layout(results: Path, volume: SymbolVolume, record: Record) -> None:
    file = results / "layouts" / record["layout_file"]
    _, name = record["layout_file"].removeprefix(plans.LAYOUTS).removesuffix(".json").split("_", 1)
    file.write_text(json.dumps(volume.layout_document(name), separators=(",", ":")) + "\n")


def parse_windows(text: str) -> list[dict[str, Any]]:
    """
    Return user, symbols and outside of every window that the plugin wrote, in order.

    symbols: {symbol: [calls, instructions, those of them that are bytes of a `rep`]}.
    """
    windows: list[dict[str, Any]] = []
    for line in text.splitlines():
        words = line.split()
        if words[0] == "#dump":
            windows.append({"user": int(words[3]), "symbols": {}, "outside": {}})
        elif words[0] == "T":
            _, label, instructions, calls = words
            known = windows[-1]["outside" if label in OUTSIDE else "symbols"]
            known[label] = [int(calls), int(instructions), *((0,) if label not in OUTSIDE else ())]
        elif words[0] == "L" and words[1] not in OUTSIDE and words[2] in BYTE_LOOPS:
            windows[-1]["symbols"][words[1]][2] += int(words[3])
    for window in windows:
        for part in ("symbols", "outside"):
            window[part] = dict(sorted(window[part].items()))
    return windows
