# SPDX-License-Identifier: MIT
"""
make truth-ns: record how long reads and writes take, in the same kernel source at the speed of this CPU.

    experiments/kernel/native.py [--cases all|smoke|GLOB] [--boots N] [--rounds N] [--only reads|writes]

Builds user-mode Linux from Debian's kernel source with native/readpath_native.c in it, boots it on the images
of volumes.py and write_images.py, and writes native-ns.jsonl, and writes/native-ns.jsonl, below
results/kernel/build. An emulated machine has
no times worth keeping; user-mode Linux runs the read path natively, without system calls (the loop is in the
kernel), on one CPU, without mitigations. Let the machine be idle.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import native_build
from cases import Record, native
from commands import RigError
from kernels import install_tools
from native_plan import Plan, WritePlan, write_cases
from truth import WORK, Progress
from volumes import make_volume
from write_images import make_write_images

DEVICES = ("ram", "ram+copy", "null_blk")
WRITE_DEVICES = ("ram", "null_blk")
NULL_BLK = (
    "null_blk.memory_backed=1 null_blk.gb=1 null_blk.max_sectors=1280 null_blk.queue_mode=2"
    " null_blk.completion_nsec=0 null_blk.submit_queues=1 null_blk.nr_devices=12 readpath_null"
)
COMPLETION = {Plan: "null_blk.irqmode=1", WritePlan: "null_blk.irqmode=0 null_blk.no_sched=1"}
"""As where the instructions of each were recorded: by a soft interrupt, or where a request
is queued and without a scheduler."""
SMOKE = ("*_bs4096/*/contig/seq128k/warm", "*_bs1024/*/frag1/seq128k/warm", "*_bs4096/od/*/contig/*")
SILENCE_S = 1800


def boot(
    linux: Path, plan: Plan | WritePlan, null_blk: bool, work: Path
) -> dict[tuple[int, str], dict[str, Any]]:
    """Boot once; return what each numbered job took, by what was timed of it. RigError if the kernel dies."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "plan"
    file.write_text(plan.text)
    words = [str(linux), "mem=2200M", "con=null", "con0=null,fd:1", f"readpath_plan={file.resolve()}"]
    words += [*NULL_BLK.split(), *COMPLETION[type(plan)].split()] if null_blk else []
    words = [*pinned(), *words]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SILENCE_S, check=False,
            env={"TMPDIR": "/dev/shm", "PATH": "/usr/bin:/bin", "HOME": str(work)},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RigError(f"the kernel was not done after {SILENCE_S} s") from None
    lines = [line.partition("readpath {")[2] for line in done.stdout.splitlines() if "readpath {" in line]
    documents = [json.loads("{" + line) for line in lines]
    if not documents or "end" not in documents[-1]:
        tail = " / ".join(line.strip() for line in done.stdout.splitlines()[-4:])
        raise RigError(f"the kernel stopped before the end: {tail}")
    return {(document["job"], document["of"]): document for document in documents if "job" in document}


def pinned() -> list[str]:
    """Return the words that keep a process on the last CPU."""
    cpu = max(int(word) for word in _cpus())
    return ["taskset", "-c", str(cpu)]


def _cpus() -> list[str]:
    text = Path("/proc/self/status").read_text()
    allowed = next(line.split()[1] for line in text.splitlines() if line.startswith("Cpus_allowed_list"))
    return allowed.replace("-", ",").split(",")


def cpu_name() -> str:
    """Return what /proc/cpuinfo calls the CPU, with its family and model."""
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    if "model name" not in fields:
        raise RigError("/proc/cpuinfo has no model name: an x86 CPU is needed")
    return f"{fields['model name']}, family {fields['cpu family']} model {fields['model']}"


Boots = list[dict[tuple[int, str], dict[str, Any]]]


def merged(plan: Plan, boots: Boots, common: Record) -> list[Record]:
    """Return one record per case and loop: ns per unit over all boots."""
    made = []
    for number, record in plan.records.items():
        took = [boot[number, "read"] for boot in boots]
        units = took[0]["units"] if "what" in record else record["pages_read"]
        n = {"units": units, "boots": len(took), "n_per_boot": took[0]["n"]}
        made.append(common | record | n | _quantiles(took, units))
    return made


def merged_writes(plan: WritePlan, boots: Boots, common: Record) -> list[Record]:
    """Return one record per case: ns of a pass of writes, and of the fsync(2) after it, over all boots."""
    made = []
    for number, record in plan.records.items():
        n = {"boots": len(boots), "n_per_boot": boots[0][number, "write"]["n"]}
        of = {side: _quantiles([boot[number, side] for boot in boots], 1) for side in ("write", "sync")}
        made.append(common | record | n | of)
    return made


def _quantiles(took: list[dict[str, Any]], units: int) -> Record:
    """Return the ns per unit: the least of all, and quantiles of each boot."""
    per = {key: [round(one[key] / units, 2) for one in took] for key in ("min", "p10", "p25", "median")}
    return {
        "ns_per_unit_min": min(per["min"]),
        "ns_per_unit_p10_of_boots": per["p10"],
        "ns_per_unit_p25_of_boots": per["p25"],
        "ns_per_unit_median_of_boots": per["median"],
    }


def record_reads(linux: Path, version: str, words: argparse.Namespace, progress: Progress) -> list[Record]:
    """Return a record of every chosen case and loop: a boot per device and repetition, all volumes in it."""
    chosen = _chosen(native(), words)
    volumes = [make_volume(size, WORK / "images") for size in sorted({r["block_size"] for r in chosen})]
    rows: list[Record] = []
    for device in DEVICES if chosen else ():
        plan = Plan(volumes, chosen, device != "ram", words.rounds, loops=device == "ram")
        boots = _boots(linux, plan, device, words.boots, progress)
        rows += merged(plan, boots, {"source": _source(version), "cpu": cpu_name(), "device": device})
    return rows


def record_writes(linux: Path, version: str, words: argparse.Namespace, progress: Progress) -> list[Record]:
    """Return a record of every chosen case of writes: a boot per device and repetition, all volumes in it."""
    chosen = _chosen(list(write_cases()), words)
    images = WORK / "write-images"
    make_write_images(images, tuple(sorted({r["block_size"] for r in chosen})))
    plan = WritePlan(images, chosen, words.rounds)
    rows: list[Record] = []
    for device in WRITE_DEVICES if chosen else ():
        boots = _boots(linux, plan, device, words.boots, progress)
        rows += merged_writes(plan, boots, {"source": _source(version), "cpu": cpu_name(), "device": device})
    return rows


def _chosen(records: list[Record], words: argparse.Namespace) -> list[Record]:
    patterns = {"all": ("*",), "smoke": SMOKE}.get(words.cases, (words.cases,))
    return [r for r in records if any(fnmatch(r["case"], pattern) for pattern in patterns)]


def _boots(linux: Path, plan: Plan | WritePlan, device: str, number: int, progress: Progress) -> Boots:
    boots = []
    for at in range(number):
        boots.append(boot(linux, plan, device == "null_blk", WORK / "native" / "boot"))
        progress.say(f"ns: {device}, boot {at + 1} of {number}, {len(plan.records)} times")
    return boots


def _source(version: str) -> str:
    return f"user-mode Linux {version}, Debian source, native speed"


def _written(file: Path, rows: list[Record]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    return file


def main() -> int:
    """Record; return an exit code."""
    parser = argparse.ArgumentParser(description="record how long reads and writes take at native speed")
    parser.add_argument("--cases", default="all", help="all, smoke, or a shell pattern")
    parser.add_argument("--boots", type=int, default=2)
    parser.add_argument(
        "--rounds", type=int, default=25, help="how often each case is timed in a boot, 1 to 2000"
    )
    parser.add_argument("--only", choices=("reads", "writes"), help="one of the two [both]")
    words = parser.parse_args()
    progress = Progress()
    try:
        if not 1 <= words.rounds <= 2000 or words.boots < 1:
            raise RigError(f"--rounds {words.rounds} --boots {words.boots}: 1 to 2000, at least 1")
        if not _chosen([*native(), *write_cases()], words):
            allowed = "all, smoke or a shell pattern like '*/frag1/*'"
            raise RigError(f"--cases {words.cases!r}: no such case; {allowed}")
        install_tools()
        tree = native_build.prepare(WORK / "native", progress.say)
        linux = native_build.build_linux(tree)
        version = native_build.version(tree)
        to = WORK / ("smoke" if words.cases == "smoke" else "times") / f"linux-{version}"
        progress.say(f"user-mode Linux {version} built")
        if words.only != "writes":
            rows = record_reads(linux, version, words, progress)
            code = f"linux {version}, arch/x86/crypto/aesni-intel_asm.S in a program of its own"
            for aes in native_build.time_aes(tree, WORK / "native" / "aes", pinned()):
                rows.append({"source": code, "cpu": cpu_name(), "what": "cipher", **aes})
            file = _written(to / "native-ns.jsonl", rows)
            progress.say(f"a profile of this machine: readpath calibrate costs --times {file} -o mine.toml")
        if words.only != "reads":
            file = _written(to / "writes" / "native-ns.jsonl", record_writes(linux, version, words, progress))
            progress.say(f"writes: {file}")
    except RigError as error:
        print(f"truth-ns: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
