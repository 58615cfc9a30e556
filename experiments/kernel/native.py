# SPDX-License-Identifier: MIT
"""
make truth-ns: record how long reads take, in the same kernel source at the speed of this machine's CPU.

    experiments/kernel/native.py [--cases all|smoke|GLOB] [--boots N] [--rounds N] [--output FILE]

Builds user-mode Linux from Debian's kernel source with native/readpath_native.c in it, boots it on the
images of volumes.py, and writes native-ns.jsonl below results/kernel/build, or FILE. An emulated machine has
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
from native_plan import Plan
from truth import WORK, Progress
from volumes import make_volume

DEVICES = ("ram", "ram+copy", "null_blk")
NULL_BLK = (
    "null_blk.memory_backed=1 null_blk.gb=1 null_blk.max_sectors=1280 null_blk.queue_mode=2"
    " null_blk.irqmode=1 null_blk.completion_nsec=0 null_blk.submit_queues=1 null_blk.nr_devices=4"
    " readpath_null"
)
SMOKE = ("*_bs4096/*/contig/seq128k/warm", "*_bs1024/*/frag1/seq128k/warm")
SILENCE_S = 1800


def boot(linux: Path, plan: Plan, null_blk: bool, work: Path) -> dict[int, dict[str, Any]]:
    """Boot once; return what each numbered case and loop took. RigError if the kernel dies."""
    work.mkdir(parents=True, exist_ok=True)
    file = work / "plan"
    file.write_text(plan.text)
    words = [str(linux), "mem=2200M", "con=null", "con0=null,fd:1", f"readpath_plan={file.resolve()}"]
    words += NULL_BLK.split() if null_blk else []
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
    return {document["job"]: document for document in documents if "job" in document}


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


def merged(plan: Plan, boots: list[dict[int, dict[str, Any]]], common: Record) -> list[Record]:
    """Return one record per case and loop: ns per unit over all boots."""
    made = []
    for number, record in plan.records.items():
        took = [boot[number] for boot in boots]
        units = took[0]["units"] if "what" in record else record["pages_read"]
        per = {key: [round(one[key] / units, 2) for one in took] for key in ("min", "p10", "p25", "median")}
        made.append(
            common
            | record
            | {
                "units": units,
                "boots": len(took),
                "n_per_boot": took[0]["n"],
                "ns_per_unit_min": min(per["min"]),
                "ns_per_unit_p10_of_boots": per["p10"],
                "ns_per_unit_p25_of_boots": per["p25"],
                "ns_per_unit_median_of_boots": per["median"],
            }
        )
    return made


def record_all(linux: Path, version: str, words: argparse.Namespace, progress: Progress) -> list[Record]:
    """Return a record of every chosen case and loop: a boot per device and repetition, all volumes in it."""
    patterns = {"all": ("*",), "smoke": SMOKE}.get(words.cases, (words.cases,))
    chosen = [r for r in native() if any(fnmatch(r["case"], pattern) for pattern in patterns)]
    if not chosen:
        raise RigError(
            f"--cases {words.cases!r}: no such case; all, smoke or a shell pattern like '*/frag1/*'"
        )
    volumes = [make_volume(size, WORK / "images") for size in sorted({r["block_size"] for r in chosen})]
    rows: list[Record] = []
    for device in DEVICES:
        plan = Plan(volumes, chosen, device != "ram", words.rounds, loops=device == "ram")
        boots = []
        for number in range(words.boots):
            boots.append(boot(linux, plan, device == "null_blk", WORK / "native" / "boot"))
            progress.say(f"ns: {device}, boot {number + 1} of {words.boots}, {len(plan.records)} times")
        source = f"user-mode Linux {version}, Debian source, native speed"
        rows += merged(plan, boots, {"source": source, "cpu": cpu_name(), "device": device})
    return rows


def main() -> int:
    """Record; return an exit code."""
    parser = argparse.ArgumentParser(description="record how long reads take at native speed")
    parser.add_argument("--cases", default="all", help="all, smoke, or a shell pattern")
    parser.add_argument("--boots", type=int, default=2)
    parser.add_argument(
        "--rounds", type=int, default=25, help="how often each case is timed in a boot, 1 to 2000"
    )
    parser.add_argument("--output", type=Path, help="where to [below results/kernel/build]")
    words = parser.parse_args()
    progress = Progress()
    try:
        if not 1 <= words.rounds <= 2000 or words.boots < 1:
            raise RigError(f"--rounds {words.rounds} --boots {words.boots}: 1 to 2000, at least 1")
        install_tools()
        tree = native_build.prepare(WORK / "native", progress.say)
        linux = native_build.build_linux(tree)
        version = native_build.version(tree)
        to = WORK / ("smoke" if words.cases == "smoke" else "times") / f"linux-{version}"
        to.mkdir(parents=True, exist_ok=True)
        file = words.output or to / "native-ns.jsonl"
        progress.say(f"user-mode Linux {version} built")
        rows = record_all(linux, version, words, progress)
        code = f"linux {version}, arch/x86/crypto/aesni-intel_asm.S in a program of its own"
        for aes in native_build.time_aes(tree, WORK / "native" / "aes", pinned()):
            rows.append({"source": code, "cpu": cpu_name(), "what": "cipher", **aes})
        file.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
        progress.say(f"done; a profile of this machine: readpath calibrate costs --times {file} -o mine.toml")
    except RigError as error:
        print(f"truth-ns: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
