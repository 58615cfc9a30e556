"""strace: calls by hand, and what a real strace tells of a program that knows what it read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tools import found

from sim.errors import ConfigError
from sim.workload.traces.formats import read_trace
from sim.workload.traces.trace import Trace


def traced(*calls: str, pid: str = "10") -> Trace:
    """Return the trace of some calls, a microsecond apart."""
    lines = [f"{pid} 1700000000.{number:06d} {call}" for number, call in enumerate(calls)]
    return read_trace("\n".join(lines), "s.txt", "strace")


def reads(trace: Trace) -> list[tuple[str, int, int, int]]:
    """Return (path, offset, length, got) of each access."""
    return [(trace.handles[each.handle], each.offset, each.length, each.got) for each in trace.accesses]


def test_a_file_is_read_from_where_it_stands():
    """read(2) goes on, lseek(2) moves, pread64(2) does neither; a read at the end gives nothing."""
    trace = traced(
        'openat(AT_FDCWD, "/a b\\"c", O_RDONLY|O_CLOEXEC) = 3 <0.000010>',
        'read(3, "x, 7", 4096) = 4096 <0.000100>',
        'pread64(3, "\\177ELF"..., 832, 64) = 832 <0.000010>',
        "lseek(3, 100, SEEK_SET) = 100 <0.000001>",
        'read(3, ""..., 10) = 10 <0.000002>',
        'readv(3, [{iov_base="", iov_len=5}, {iov_base="", iov_len=7}], 2) = 6 <0.000002>',
        'preadv2(3, [{iov_base="", iov_len=9}], 1, 4096, 0) = 9 <0.000002>',
        'read(3, "", 4096) = 0 <0.000001>',
        "close(3) = 0 <0.000001>",
    )
    path = '/a b"c'
    assert [
        (path, 0, 4096, 4096),
        (path, 64, 832, 832),
        (path, 100, 10, 10),
        (path, 110, 12, 6),
        (path, 4096, 9, 9),
        (path, 116, 4096, 0),
    ] == reads(trace)
    assert {path: 4105} == trace.files
    assert (0, 100_000) == trace.accesses[0][5:7]
    assert (3_000, 2_000) == trace.accesses[2][5:7]
    assert not trace.skipped


def test_sizes_that_are_told():
    """fstat and a seek to the end tell how large a file is, which readahead asks."""
    trace = traced(
        'openat(AT_FDCWD, "/a", O_RDONLY) = 3',
        "fstat(3, {st_mode=S_IFREG|0644, st_size=70000, ...}) = 0",
        'read(3, "", 1) = 1',
        'openat(AT_FDCWD, "/b", O_RDONLY) = 4',
        'newfstatat(4, "", {st_mode=S_IFREG|0644, st_size=50, ...}, AT_EMPTY_PATH) = 0',
        "lseek(4, 0, SEEK_END) = 80000",
        "lseek(4, 0, SEEK_SET) = 0",
        'read(4, "", 1) = 1',
    )
    assert {"/a": 70_000, "/b": 80_000} == trace.files


def test_descriptors_are_shared_as_a_kernel_shares_them():
    """dup(2) shares the position; fork copies the table and not the file; a thread has the same table."""
    lines = [
        '10 1700000000.000001 openat(AT_FDCWD, "/a", O_RDONLY) = 3',
        "10 1700000000.000002 dup2(3, 7) = 7",
        '10 1700000000.000003 read(7, "", 10) = 10',
        '12 1700000000.000004 read(3, "", 10) = 10',  # the child is seen before clone(2) returns
        "10 1700000000.000005 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 12",
        "10 1700000000.000006 close(3) = 0",
        '12 1700000000.000007 read(3, "", 10) = 10',
        "10 1700000000.000008 clone3({flags=CLONE_VM|CLONE_FILES, stack=0x1}, 88) = 13",
        '13 1700000000.000009 openat(AT_FDCWD, "/b", O_RDONLY) = 4',
        '10 1700000000.000010 read(4, "", 5) = 5',
    ]
    trace = read_trace("\n".join(lines), "s.txt")
    assert [("/a", 0, 10, 10), ("/a", 10, 10, 10), ("/a", 20, 10, 10), ("/b", 0, 5, 5)] == reads(trace)
    assert ["pid 10", "pid 12"] == trace.streams


def test_unfinished_calls_are_one():
    """A call that others cut in two is one read, at its first time, and two lines."""
    lines = [
        '[pid 1] 1700000000.000001 openat(AT_FDCWD, "/a", O_RDONLY) = 3',
        "[pid 1] 1700000000.000002 read(3,  <unfinished ...>",
        "[pid 2] 1700000000.000003 getpid() = 2",
        '[pid 1] 1700000000.000900 <... read resumed>"abc", 16) = 3 <0.000898>',
        "[pid 2] 1700000000.001000 read(5,  <unfinished ...>",
        "[pid 3] 1700000000.001001 <... read resumed>, 16) = 3",
    ]
    trace = read_trace("\n".join(lines), "s.txt")
    assert [("/a", 0, 16, 3)] == reads(trace)
    assert {"openat": 1, "read": 2} == dict(trace.calls)
    assert {
        "getpid: reads no file": 1,
        "unfinished at the end": 1,
        "resumed, and begun before the trace": 1,
    } == dict(trace.skipped)


def test_names_are_bytes_in_c_escapes():
    """UTF-8 in octal, letters, hexadecimal (-x), and what is no text at all."""
    opened = [
        'openat(AT_FDCWD, "/ma\\303\\261ana", O_RDONLY) = 3',
        'openat(AT_FDCWD, "/a\\tb\\x20c\\\\", O_RDONLY) = 4',
        'openat(AT_FDCWD, "/\\377", O_RDONLY) = 5',
    ]
    trace = traced(*opened, *(f'read({fd}, "", 1) = 1' for fd in (3, 4, 5)))
    assert ["/ma\u00f1ana", "/a\tb c\\", "/\\xff"] == list(trace.files)


def test_what_is_skipped_has_its_reason():
    """Whatever is not replayed is counted, with why."""
    trace = traced(
        'openat(AT_FDCWD, "/a", O_RDONLY) = 3',
        'read(3, "", 1) = 1',
        'read(9, "", 1) = 1',
        'openat(AT_FDCWD, "/x", O_RDONLY) = -1 ENOENT (No such file or directory)',
        'openat(AT_FDCWD, "/proc/self/maps", O_RDONLY) = 4',
        'read(4, "", 1) = 1',
        'read(5<pipe:[123]>, "", 1) = 1',
        'openat(AT_FDCWD, "/d", O_RDONLY|O_DIRECT) = 6',
        'read(6, "", 1) = 1',
        "mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 3, 0) = 0x7f0000000000",
        "--- SIGCHLD {si_signo=SIGCHLD} ---",
        "+++ exited with 0 +++",
    )
    assert {
        "of a file that was opened before the trace (strace -y names it)": 1,
        "failed: ENOENT": 1,
        "no file of a disk": 2,
        "O_DIRECT: goes round the page cache": 1,
        "mmap: the trace does not tell which of its pages are read": 1,
        "signal or exit": 2,
    } == dict(trace.skipped)
    assert 12 == trace.lines


def test_a_time_of_the_day_is_refused():
    """-t and -tt tell neither unit nor date; -ttt does."""
    with pytest.raises(
        ConfigError, match=r"s\.txt:1: a time of the day, without unit or date; allowed: strace -ttt"
    ):
        read_trace('12:30:01.5 read(3, "", 1) = 1', "s.txt", "strace")


PROGRAM = """
import os, random, sys
rng = random.Random(int(sys.argv[2]))
path, told = sys.argv[1], []
fds = [os.open(path, os.O_RDONLY) for _ in range(3)]
fds.append(os.dup(fds[0]))
for _ in range(60):
    fd, size = rng.choice(fds), rng.randrange(1, 9000)
    what = rng.randrange(4)
    if what == 0:
        os.lseek(fd, rng.randrange(70000), os.SEEK_SET)
    elif what == 1:
        at = rng.randrange(70000)
        told.append((at, size, len(os.pread(fd, size, at))))
    elif what == 2:
        at = os.lseek(fd, 0, os.SEEK_CUR)
        told.append((at, size, len(os.read(fd, size))))
    else:
        at = os.lseek(fd, 0, os.SEEK_CUR)
        told.append((at, size + 100, os.readv(fd, [bytearray(size), bytearray(100)])))
print(told)
"""


@pytest.mark.parametrize("seed", range(3))
def test_a_real_strace_tells_what_the_program_read(tmp_path: Path, seed: int):
    """A program that reads at random and knows where: strace of it, read here, says the same."""
    strace = found("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    data, log = tmp_path / "data", tmp_path / "log"
    data.write_bytes(bytes(65536))
    command = [
        strace,
        "-f",
        "-ttt",
        "-T",
        "-o",
        str(log),
        sys.executable,
        "-c",
        PROGRAM,
        str(data),
        str(seed),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()[:80]}")
    trace = read_trace(log.read_text(errors="backslashreplace"), str(log))
    told = [(offset, length, got) for path, offset, length, got in reads(trace) if path == str(data)]
    assert str(told) == done.stdout.strip()
    assert trace.lines == sum(bool(line.strip()) for line in log.read_text(errors="replace").splitlines())
