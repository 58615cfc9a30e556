"""
The rig that records kernels (experiments/kernel), as far as it goes without a machine: its case lists and
plans against the records that are there, its images against what is said of them, where it fetches kernels.
"""

from __future__ import annotations

import importlib
import json
from fnmatch import fnmatch
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sim.records.record_schema import check_record
from sim.records.write_case import jobs_of

ROOT = Path(__file__).parents[2]
RIG = ROOT / "experiments" / "kernel"
RECORDED = ROOT / "results" / "kernel"
FIRST, MIDDLE, LAST = "linux-6.1.192", "linux-6.12.107", "linux-7.3.4"
WRITES = RECORDED / FIRST / "writes"
NAMES = {FIRST: 1_676, MIDDLE: 221, LAST: 1_018}
"""Cases of reads that the rig knows, by kernel; 6.1's without those by symbol."""
WRITE_CASES = 1_147


@cache
def module(name: str) -> ModuleType:
    """Return a module of the rig: they import each other by their bare names."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(RIG)
        return importlib.import_module(name)


@cache
def listed(kernel: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the cases of reads that the rig knows: file of records -> name -> case."""
    version = tuple(int(part) for part in kernel.removeprefix("linux-").split(".")[:2])
    jobs = [job for job in module("truth").jobs_of(version) if job.file.startswith("matrix")]
    return {job.file: {case["case"]: case for case in job.cases} for job in jobs}


@cache
def write_cases() -> dict[str, dict[str, Any]]:
    """Return the write cases that the rig knows, by name."""
    return {case["case"]: case for case in module("write_cases").all_cases()}


def records(file: Path) -> list[dict[str, Any]]:
    """Return the records of a file."""
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("kernel", NAMES)
def test_what_is_recorded_is_what_the_rig_would_record(kernel: str) -> None:
    """Every record of a matrix is of a case of its file's list, and every field of the case is in it."""
    compared = 0
    for file in sorted((RECORDED / kernel).glob("matrix*.jsonl")):
        cases = listed(kernel)[file.name]
        for record in records(file):
            case = cases[record["case"]]
            assert {key: record.get(key) for key in case} == case
            compared += 1
    assert compared > 50


@pytest.mark.parametrize("kernel", NAMES)
def test_a_case_has_a_name_of_its_own(kernel: str) -> None:
    """No two files of records have a case of the same name; and none went missing."""
    names = [name for cases in listed(kernel).values() for name in cases]
    assert (len(names), len(set(names))) == (NAMES[kernel], NAMES[kernel])


def test_what_is_recorded_of_writes_is_what_the_rig_would_record() -> None:
    """Scripts and all else, of all records; the first were made without noinit_itable."""
    compared = 0
    for file in sorted(WRITES.glob("*.jsonl")):
        for record in records(file) if file.stem not in ("instructions", "symbols", "native-ns") else ():
            case = dict(write_cases()[record["case"]])
            if "noinit_itable" not in (record["mount"] or "noinit_itable"):
                case["mount"] = case["mount"].replace(",noinit_itable", "")
                case["script"] = [line.replace(",noinit_itable", "") for line in case["script"]]
            assert {key: record[key] for key in case} == case
            compared += 1
    assert (compared, len(write_cases())) == (344, WRITE_CASES)


def test_what_is_timed_of_writes_is_what_the_rig_would_time() -> None:
    """Each case once on a RAM disk and once on null_blk; the plan has all writes of a pass."""
    plan = module("native_plan")
    listed = {case["case"]: case for case in plan.write_cases()}
    timed = records(WRITES / "native-ns.jsonl")
    assert all(
        {key: record[key] for key in case} == case for record in timed for case in [listed[record["case"]]]
    )
    assert sorted(record["device"] for record in timed) == ["null_blk"] * len(listed) + ["ram"] * len(listed)
    lines = plan.WritePlan(
        Path("images"), [listed["native_bs4096/od/own/contig/seq4k-64k"]], 3
    ).text.splitlines()
    image = Path("images").resolve() / "w4096.img"
    assert lines[0] == f"volume w4096od {image} data=ordered,commit=600,no_prefetch_block_bitmaps"
    assert lines[1:4] == ["copies 0", "rounds 3", "pattern seq4k-64k 16"]
    assert lines[4:20] == [f"{4096 * number} 4096 0" for number in range(16)]
    assert lines[20:] == ["write 0 w4096od/contig own seq4k-64k warm"]


def test_smoke_has_some_of_each_kind() -> None:
    """Every pattern of CASES=smoke is of some case, and every file of records gets one."""
    truth = module("truth")
    symbols = [case["case"] for job in truth.jobs_of((6, 1)) for case in job.cases]
    names = {*symbols, *(name for kernel in NAMES for cases in listed(kernel).values() for name in cases)}
    for pattern in truth.SMOKE:
        assert any(fnmatch(name, pattern) for name in names), pattern
    for kernel in NAMES:
        for file, cases in listed(kernel).items():
            if cases and "xfs-instructions" not in file:
                assert truth.chosen(list(cases.values()), "smoke"), (kernel, file)
    groups = {case["group"] for case in truth.chosen(list(write_cases().values()), "smoke")}
    assert groups == {"over", "append", "hole", "path", "crypt", "csum", "bdev"}


def test_which_recordings_a_kernel_gets() -> None:
    """Writes are recorded on 6.1, blocks beyond a page where ext4 has large folios."""
    jobs = module("truth").jobs_of
    kinds = {
        version: {job.kind for job in jobs(version) if job.cases} for version in ((6, 1), (6, 12), (7, 3))
    }
    assert kinds[6, 1] == {
        *("counts", "xfs", "instructions", "symbols", "drivers", "xfs-instructions", "writes"),
    }
    assert kinds[6, 12] == {"counts", "fscrypt", "xfs", "instructions"}
    assert kinds[7, 3] == kinds[6, 12] | {"blocks", "verity"}


@pytest.mark.parametrize("kernel", [MIDDLE, LAST])
def test_a_record_of_any_case_has_the_schema(kernel: str) -> None:
    """A case of the list, every 25th, with what was measured of another is a record."""
    for file, cases in listed(kernel).items():
        if not cases:
            continue
        one = records(RECORDED / kernel / file)[0]
        measured = {key: value for key, value in one.items() if key not in cases[one["case"]]}
        for case in list(cases.values())[::25]:
            check_record(case | measured, case["case"])


def test_the_plan_of_a_case() -> None:
    """What takes large folios away, and that readahead is set after what would lift it."""
    cases = listed(LAST)["matrix.jsonl"]
    names = [f"plain_bs4096/bs4096/{path}/contig/seq128k/warm" for path in ("ext4", "buffer")]
    chosen = [cases[name] for name in (*names, *(f"{name}/small" for name in names))]
    plan = module("plan").guest_plan(chosen, 0)
    lines = plan.pop("cases0").splitlines()
    assert [line.split()[2] for line in lines] == ["ops=own", "ops=buffer", "ops=small", "ops=buffer-small"]
    assert lines[3] == (
        "name=plain_bs4096/bs4096/buffer/contig/seq128k/warm/small file=contig ops=buffer-small es=warm "
        "reads=/plan/reads0/0 advice=normal set=/plan/set0/1"
    )
    assert plan["reads0/0"].splitlines()[:2] == ["0 131072 0", "131072 131072 0"]
    assert plan["set0/1"].splitlines() == [
        "/queue/max_sectors_kb 640",
        "/queue/scheduler none",
        "/queue/read_ahead_kb 128",
    ]


def test_the_plan_of_writes() -> None:
    """A case is its name and script; a device is made for each."""
    case = write_cases()["over_bs4096/od/own/contig/seq4k-64k/cold/fsync"]
    plan = module("write_recordings").write_plan([case, case | {"device": "virtio"}], "probe\n", [0, 5])
    assert plan["pieces"] == "0\n5\n"
    assert plan["case0"].splitlines()[:2] == [f"case {case['case']}", case["script"][0]]
    run = plan["run"].splitlines()
    assert run[-1] == "exit 0"
    assert run[-3] == (
        "wtruth nullb nullb0 160 96 1 && wtruth copypieces /dev/vda /dev/nullb0 /plan/pieces; "
        "wtruth run /plan/case0 /plan/probes || { umount /mnt; umount -l /mnt; }"
    )
    assert run[-2].startswith("wtruth copyall /dev/vda /dev/vdb; wtruth run /plan/case1 ")


@pytest.mark.parametrize("group", ["csum", "hole", "bdev", "many", "crypt"])
def test_a_record_of_writes_comes_of_what_the_guest_prints(group: str) -> None:
    """What the guest must have printed, put together from a record, gives the record: classes, sums, runs."""
    finished, volumes = module("write_places").finished, json.loads((WRITES / "volumes.json").read_text())
    for record in records(WRITES / f"{group}.jsonl"):
        bios = [
            [phase, sector + at * sectors, sectors, flags, who, 0]
            for phase, sector, sectors, flags, who, _, *more in record["bios"]
            for at in range(more[0] if more else 1)
        ]
        if len(bios) != record["bio_count"]:
            continue  # more than the guest prints
        requests = [
            [number, 0, int(key[1:]), 4 if key[0] == "w" else 0, 0, 0]
            for number, phase in enumerate(record["phases"])
            for key, count in phase["request_sizes"].items()
            for _ in range(count)
        ]
        raw = {
            "phases": [{"name": phase["name"], "counts": phase["counts"]} for phase in record["phases"]],
            "blk": [phase["blk"] for phase in record["phases"]],
            "bios": bios,
            "bios_all": len(bios),
            "requests": requests,
            "requests_all": len(requests) + any("requests_truncated" in one for one in record["phases"]),
            "files": [file | {"path": f"/mnt{file['path']}"} for file in record["files"]],
        }
        case = {key: record[key] for key in write_cases()[record["case"]]}
        assert finished(case, raw, volumes) == record


def test_write_images_are_those_of_the_records(tmp_path: Path) -> None:
    """The images of a block size, made anew, are as volumes.json says: free blocks, journal, files, trees."""
    made = module("write_images").make_write_images(tmp_path, (4096,))
    said = json.loads((WRITES / "volumes.json").read_text())
    assert made == {name: said[name] for name in ("mke2fs4096", "w4096", "w4096-csum", "w4096-nojournal")}


class Seen:
    """A rig that boots nothing: what it was asked to boot."""

    probes, words = "p __submit_bio\n", "folios"

    def boot(self, name: str, plan: dict[str, str], drives: list[Path], recording: Any) -> None:
        """Keep a boot."""
        self.name, self.plan, self.drives, self.recording = name, plan, drives, recording


def test_recordings_share_a_boot(tmp_path: Path) -> None:
    """Two of them: all images are copied, then each has its cases; what comes out goes to its own file."""
    rig, recordings, rigs = Seen(), module("recordings"), module("rig")
    cases = [next(iter(listed(LAST)[f"matrix{kind}.jsonl"].values())) for kind in ("", "-fscrypt")]
    parts = []
    for number, case in enumerate(cases):
        recording = rigs.Recording(tmp_path / f"{number}.jsonl", [case])
        volume = module("xfs").KernelVolume(case["block_size"], tmp_path / f"{number}.img", {})
        parts.append(recordings.Part(recording, [volume], 256, f"ext4 {number}", ("", "echo first")[number]))
    recordings.record_calls(rig, "two", parts)
    lines = [line.partition(" /plan")[0] for line in rig.plan["run"].splitlines()]
    steps = [line for line in lines if line.startswith(("truth", "echo first"))]
    assert steps == [
        "truth copy /dev/vda $device; device0=$device",
        "truth copy /dev/vdb $device; device1=$device",
        "truth cases",
        "echo first",
        "truth cases",
    ]
    assert [f"name={case['case']}" in rig.plan[f"cases{n}"] for n, case in enumerate(cases)] == [True, True]
    assert (rig.recording.total, list(rig.recording.open)) == (2, [case["case"] for case in cases])
    rig.recording.take({"case": cases[1]["case"], "ok": 1})
    assert list(rig.recording.open) == [cases[0]["case"]]
    assert not (tmp_path / "0.jsonl").exists()
    assert records(tmp_path / "1.jsonl") == [cases[1] | {"ok": 1}]


def test_images_that_are_missing_are_made_in_one_boot(tmp_path: Path) -> None:
    """Each sees what its own files print, on its own drive; none is finished before the boot is over."""
    images, told, done = module("images"), {}, []

    def making(name: str) -> Any:
        told[name] = []
        script = "allocate {operations} on {drive}"
        finish = partial(done.append, name)
        return images.Making(tmp_path / name, f"write {name}\n", script, told[name].append, finish)

    def boot(plan: dict[str, str], drives: list[Path], take: Any) -> None:
        assert [drive.name for drive in drives] == ["a", "b"]
        assert "allocate /plan/operations1 on /dev/vdb" in plan["run"].splitlines()
        assert (plan["operations0"], plan["operations1"]) == ("write a\n", "write b\n")
        take({"kernel": "7.3.4"})
        for line in plan["run"].splitlines():
            if line.startswith("echo"):
                take(json.loads(line.split("'")[1]))
                take({"fiemap": line})
        assert not done

    images.make_images([making("a"), making("b")], boot)
    assert done == ["a", "b"]
    assert [len(told["a"]), len(told["b"])] == [1, 1]
    assert told["a"] != told["b"]


def test_which_images_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """mke2fs makes the file system; with the kernel's extents the image has its name, and is made once."""
    made = module("made_volumes")
    calls: list[str] = []
    monkeypatch.setattr(made, "run", lambda *words: calls.append(str(words[0])))
    image = made.making(made.VERITY, 4096, tmp_path)
    image.drive.write_bytes(b"")
    for number, _ in enumerate(made.FILES[made.VERITY]):
        image.take({"fiemap": "f", "extents": [[0, 4096 * number, 4096, 1]]})
    image.finish()
    assert calls == ["mke2fs", "e2fsck"]
    assert made.making(made.VERITY, 4096, tmp_path) is None
    volume = made.made_volume(made.VERITY, 4096, tmp_path)
    assert volume.extents == {"contig": [[0, 0, 4096, 0]], "tail": [[0, 4096, 4096, 0]]}
    assert volume.image.exists()


@pytest.mark.parametrize("block_size", [8192, 16384, 65536])
def test_files_that_the_kernel_makes_lie_in_pieces(block_size: int) -> None:
    """The operations, on a list of blocks in place of a file: pieces of n blocks, and the size asked for."""
    made = module("made_volumes")
    files: dict[str, list[int | None]] = {}
    sizes: dict[str, int] = {}
    for line in made.operations(made.BLOCKS, block_size):
        verb, name, offset, length = line.split()
        first, count = int(offset) // block_size, -(-int(length) // block_size)
        blocks = files.setdefault(name, [])
        if verb in ("write", "allocate"):
            blocks += range(count)
            sizes[name] = int(length)
        elif verb == "collapse":
            del blocks[first : first + count]
        elif verb == "punch":
            blocks[first : first + count] = [None] * count
        else:
            assert verb == "size"
            sizes[name] = int(length)
            del blocks[count:]
    for name, blocks in files.items():
        assert sizes[name] == made.file_bytes(name)
        assert len(blocks) == -(-sizes[name] // block_size)
        if name.startswith("frag"):
            piece = int(name.removeprefix("frag"))
            ends = [at for at in range(1, len(blocks)) if blocks[at] != (blocks[at - 1] or 0) + 1]
            assert ends == list(range(piece, len(blocks), piece))
    assert files["sparse"] == [None if at % 2 else at for at in range(len(files["sparse"]))]


def test_the_newest_kernel_of_a_series_is_taken() -> None:
    """By numbers, not by letters; other series and flavours are passed over."""
    suites = module("suites")
    names = [
        *("linux-image-6.12.9+deb12-amd64", "linux-image-6.12.107+deb12-amd64"),
        *(
            "linux-image-6.12.200+deb12-rt-amd64",
            "linux-image-6.1.0-99-amd64",
            "linux-binary-7.3.4+deb13-amd64",
        ),
        "linux-image-6.12.300+deb12-amd64-unsigned",
    ]
    assert suites.newest(names, suites.SUITES["6.12"]) == "6.12.107+deb12"
    assert suites.newest(names, suites.SUITES["7.3"]) == "7.3.4+deb13"
    assert suites.newest([], suites.SUITES["7.3"]) is None


def test_apt_is_asked_in_private(tmp_path: Path) -> None:
    """Sources, lists and cache are below the folder; what is fetched is signed with Debian's keys."""
    suites = module("suites")
    apt = suites.PrivateApt(tmp_path, suites.SUITES["7.3"])
    assert apt.sources() == "".join(
        "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
        f"http://deb.debian.org/debian {suite} main\n"
        for suite in ("trixie", "trixie-backports")
    )
    words = dict(option.split("=", 1) for option in apt.options() if option != "-o")
    for name in ("Etc::SourceList", "Etc::SourceParts", "Etc::PreferencesParts", "State::Lists", "Cache"):
        assert Path(words[f"Dir::{name}"]).is_relative_to(tmp_path)
    assert words["Dir::Etc::Preferences"] == "/dev/null"


def test_programs_of_another_suite_start_with_their_own_library(tmp_path: Path) -> None:
    """The wrapper hands its words on, spaces and all, through the loader that came with the program."""
    suites = module("suites")
    loader, program = tmp_path / "lib64" / "ld-linux-x86-64.so.2", tmp_path / "bin" / "cc"
    for file in (loader, program):
        file.parent.mkdir()
        file.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
        file.chmod(0o755)
    suites._wrap(tmp_path / "wrapper", tmp_path, program, "-Bhere")
    said = module("commands").run(tmp_path / "wrapper", "a b", "c")
    assert said == f"--library-path|{tmp_path}/lib/x86_64-linux-gnu|{program}|-Bhere|a b|c|"
    with pytest.raises(module("commands").RigError, match="not in the packages"):
        suites._wrap(tmp_path / "wrapper", tmp_path, tmp_path / "missing")


@pytest.mark.parametrize("seed", [1, 2])
def test_random_writes_are_the_same_for_a_seed(seed: int) -> None:
    """As many as it says, no name twice; other operations stay within files that have no holes."""
    drawn = module("random_writes")
    cases = drawn.random_cases(seed)
    assert cases == drawn.random_cases(seed) != drawn.random_cases(seed + 2)
    assert drawn.CASES == len({case["case"] for case in cases})
    for case in cases:
        lines = [line.split() for line in case["script"] if line.split()[0] in ("wseq", "wv", "wl")]
        jobs = [job for words in lines for job in jobs_of(words)[0]]
        assert sum(length for _, length in jobs) == case["total"] > 0
        if case["path"] != "own":
            assert max(offset + length for offset, length in jobs) <= drawn.WHOLE[case["file"]]
    assert {"nullb"} == {case["device"] for case in cases}
    assert {"own", "bwfp", "mpage"} == {case["path"] for case in cases}


def test_a_seed_is_a_number() -> None:
    """make truth CASES=random:SEED."""
    jobs = module("truth").jobs_of((6, 1), "7")
    assert [("writes", 120)] == [(job.kind, len(job.cases)) for job in jobs]
    with pytest.raises(module("commands").RigError, match=r"--cases random:x: a seed is a number"):
        module("truth").seed_of("random:x")
