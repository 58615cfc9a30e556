"""
What strace(1) writes with -ttt -T (and -f for several processes): reads of files, by system call.

Files are known by the open(2) that the trace has, or by -y; dup, fork and threads share them as a kernel
does. lseek(2) moves, pread64(2) does not. What reads no file of a disk is skipped by its reason: failed
calls, pipes and sockets, /proc, /sys and /dev, descriptors opened before the trace began. Pages that are
read by mmap(2), and sendfile(2), splice(2), io_submit(2) and io_uring are skipped, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sim.units import NS_PER_S
from sim.workload.traces.numbers import time_ns
from sim.workload.traces.trace import UNKNOWN, Builder, OpenPath

HEAD = re.compile(
    r"(?:\[pid +(?P<pid>[0-9]+)\] |(?P<bare>[0-9]+) +)?(?P<time>[0-9]{9,12}\.[0-9]{1,9}) (?P<call>.*)"
)
WITHOUT_DATE = re.compile(r"(?:\[pid +[0-9]+\] |[0-9]+ +)?[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)? ")
_CALL = re.compile(r"(?P<name>\w+)\((?P<args>.*)\) += (?P<result>-?[0-9]+|\?|0x[0-9a-f]+)(?P<rest>.*)", re.S)
_TOOK = re.compile(r".*<([0-9]+\.[0-9]+)>\s*")
_UNFINISHED = re.compile(r"(?P<head>.*?) *<unfinished \.\.\.>\s*")
_RESUMED = re.compile(r"<\.\.\. (?P<name>\w+) resumed> ?(?P<tail>.*)")
_FD = re.compile(r"(?P<fd>[0-9]+|AT_FDCWD)(?:<(?P<path>(?:[^<>\\]|\\.)*)>)?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(rb"\\([0-7]{1,3}|x[0-9a-f]{2}|.)", re.S)
_LETTERS = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}
_SIZE = re.compile(r"st(?:x)?_size=([0-9]+)")
_VECTOR = re.compile(r"iov_len=([0-9]+)")
_NO_DISK = re.compile(r"/(proc|sys|dev)(/|$)|[a-z]+:|<")


@dataclass(slots=True)
class _Call:
    """One call that came back, and the number it gave. open: makes an open file of a path."""

    name: str
    args: str
    result: int
    open: Callable[..., OpenPath]

    def numbers(self) -> list[int]:
        """Return the last arguments, as far as they are numbers, in order; without preadv2's flags."""
        words = self.args.split(",")
        found: list[int] = []
        for word in reversed(words[:-1] if self.name == "preadv2" else words):
            if not re.fullmatch(r"\s*[0-9]+", word):
                break
            found.insert(0, int(word))
        return found


@dataclass(slots=True)
class _Processes:
    """Open files by process: a table of its own, or shared with those that clone(2) gave it to."""

    tables: dict[str, dict[int, OpenPath]] = field(default_factory=dict)
    born: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def of(self, pid: str) -> dict[int, OpenPath]:
        """Return the table of a process; on first sight that which its parent has now."""
        table = self.tables.get(pid)
        if table is None:
            parent, shares = self.born.get(pid, ("", False))
            before = self.tables.get(parent, {})
            table = self.tables[pid] = before if shares and parent else dict(before)
        return table


def read(lines: Sequence[str], builder: Builder) -> None:
    """Read an strace into `builder`; raise ConfigError where its times have no date, so no order."""
    processes = _Processes(born=_births(lines))
    pending: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        head = HEAD.fullmatch(line.rstrip("\n"))
        if head is None:
            if WITHOUT_DATE.match(line):
                raise builder.refuse(number, "a time of the day, without unit or date", "strace -ttt -T")
            builder.skip("no call of strace -ttt")
            continue
        pid = head["pid"] or head["bare"] or ""
        at_ns = time_ns(head["time"], NS_PER_S)
        assert at_ns is not None
        text, count = head["call"], 1
        unfinished = _UNFINISHED.fullmatch(text)
        if unfinished is not None:
            pending[pid] = (at_ns, unfinished["head"])
            continue
        resumed = _RESUMED.fullmatch(text)
        if resumed is not None:
            if pid not in pending:
                builder.skip("resumed, and begun before the trace")
                continue
            at_ns, begun = pending.pop(pid)
            text, count = begun + resumed["tail"], 2
        _line(text, pid, at_ns, count, processes, builder)
    if pending:
        builder.skip("unfinished at the end", len(pending))


def _births(lines: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return child -> (parent, whether they share their table), whichever of their lines comes first."""
    found: dict[str, tuple[str, bool]] = {}
    begun: dict[str, str] = {}
    for line in lines:
        if not re.search(r"\b(clone3?|v?fork)\b", line):
            continue
        head = HEAD.fullmatch(line.rstrip("\n"))
        if head is None:
            continue
        pid = head["pid"] or head["bare"] or ""
        text = head["call"]
        if "<unfinished" in text:
            begun[pid] = text
        child = re.search(r"\) += ([0-9]+)", text)
        if child is not None:
            found[child[1]] = (pid, "CLONE_FILES" in begun.pop(pid, "") + text)
    return found


def _line(text: str, pid: str, at_ns: int, lines: int, processes: _Processes, builder: Builder) -> None:
    """Take one call that is whole."""
    match = _CALL.fullmatch(text)
    if match is None:
        what = "signal or exit" if text.startswith(("---", "+++")) else "a call that is not understood"
        builder.skip(what, lines)
        return
    name, result = match["name"], match["result"]
    act = _ACTS.get(name)
    if act is None:
        builder.skip(f"{name}: {_UNSEEN.get(name, 'reads no file')}", lines)
        return
    if result == "?" or result.startswith(("-", "0x")):
        builder.skip(f"failed: {(match['rest'].split() or ['no result'])[0]}", lines)
        return
    took = _TOOK.fullmatch(match["rest"])
    took_ns = time_ns(took[1], NS_PER_S) if took is not None else None
    told = act(_Call(name, match["args"], int(result), builder.open), processes.of(pid))
    if isinstance(told, str):
        builder.skip(told, lines)
        return
    builder.used(name, lines)
    if told is not None:
        opened, offset, length = told
        who = f"pid {pid}" if pid else "process"
        took_ns = UNKNOWN if took_ns is None else took_ns
        builder.access(who, opened, offset, length, int(result), at_ns, took_ns)


_Told = str | tuple[OpenPath, int, int] | None
"""Why a call is skipped, or the read that it is, or neither."""


def _opened(call: _Call, table: dict[int, OpenPath]) -> OpenPath | str:
    """Return the open file that a call's first argument names, or why there is none."""
    match = _FD.match(call.args)
    if match is None or match["fd"] == "AT_FDCWD":
        return "a call that is not understood"
    fd, path = int(match["fd"]), match["path"]
    if fd not in table:
        if path is None:
            return "of a file that was opened before the trace (strace -y names it)"
        table[fd] = call.open(path)
    opened = table[fd]
    if _NO_DISK.match(opened.path):
        return "no file of a disk"
    return "O_DIRECT: goes round the page cache" if opened.direct else opened


def _unescaped(text: str) -> str:
    """Return a string as strace writes it in C's escapes; bytes that are no UTF-8 as escapes of ours."""

    def one(match: re.Match[bytes]) -> bytes:
        word = match[1]
        if word[:1] in b"01234567":
            return bytes([int(word, 8) & 0xFF])
        if word[:1] == b"x":
            return bytes([int(word[1:], 16)])
        return _LETTERS.get(word, word)

    return _ESCAPE.sub(one, text.encode()).decode(errors="backslashreplace")


def _open(call: _Call, table: dict[int, OpenPath]) -> _Told:
    quoted = _QUOTED.search(call.args)
    if quoted is None:
        return "a call that is not understood"
    path = _unescaped(quoted[1])
    folder = _FD.match(call.args) if call.name == "openat" else None
    if folder is not None and folder["fd"] != "AT_FDCWD" and not path.startswith("/"):
        at = folder["path"] or getattr(table.get(int(folder["fd"])), "path", "")
        path = f"{at}/{path}" if at else path
    table[call.result] = call.open(path, direct="O_DIRECT" in call.args[quoted.end() :])
    return None


def _close(call: _Call, table: dict[int, OpenPath]) -> _Told:
    match = _FD.match(call.args)
    if match is not None and match["fd"].isdigit():
        table.pop(int(match["fd"]), None)
    return None


def _duplicate(call: _Call, table: dict[int, OpenPath]) -> _Told:
    if call.name == "fcntl" and "F_DUPFD" not in call.args:
        return "fcntl: reads no file"
    opened = _opened(call, table)
    if isinstance(opened, str):
        return opened
    table[call.result] = opened
    return None


def _seek(call: _Call, table: dict[int, OpenPath]) -> _Told:
    opened = _opened(call, table)
    if isinstance(opened, str):
        return opened
    opened.position = call.result
    if "SEEK_END" in call.args and re.search(r",\s*0,\s*SEEK_END", call.args):
        opened.size = max(opened.size, call.result)
    return None


def _size(call: _Call, table: dict[int, OpenPath]) -> _Told:
    if call.name != "fstat" and ("AT_EMPTY_PATH" not in call.args or call.args.startswith("AT_FDCWD")):
        return f"{call.name}: reads no file"
    opened = _opened(call, table)
    if isinstance(opened, str):
        return opened
    size = _SIZE.search(call.args)
    if size is not None and "S_IFREG" in call.args:
        opened.size = max(opened.size, int(size[1]))
    return None


def _read(call: _Call, table: dict[int, OpenPath]) -> _Told:
    opened = _opened(call, table)
    if isinstance(opened, str):
        return opened
    numbers = call.numbers()
    vector = call.name in ("readv", "preadv", "preadv2")
    positioned = call.name in ("pread64", "preadv", "preadv2")
    least = 2 if positioned else 1
    lengths = [int(word) for word in _VECTOR.findall(call.args)] if vector else numbers[-least:][:1]
    if not lengths or len(numbers) < least:
        return "a call that is not understood"
    if not positioned:
        opened.position += call.result
        return opened, opened.position - call.result, sum(lengths)
    return opened, numbers[-1], sum(lengths)


_UNSEEN = {
    "mmap": "the trace does not tell which of its pages are read",
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev", "pwritev2"), "only reads are replayed"),
    **dict.fromkeys(
        ("sendfile", "splice", "copy_file_range", "io_submit", "io_uring_enter", "readahead"),
        "reads that are not replayed",
    ),
}
"""Calls that do read or write files, and why they are skipped."""

_ACTS: dict[str, Callable[[_Call, dict[int, OpenPath]], _Told]] = {
    "open": _open,
    "openat": _open,
    "creat": _open,
    "close": _close,
    "dup": _duplicate,
    "dup2": _duplicate,
    "dup3": _duplicate,
    "fcntl": _duplicate,
    "lseek": _seek,
    "fstat": _size,
    "newfstatat": _size,
    "statx": _size,
    "read": _read,
    "pread64": _read,
    "readv": _read,
    "preadv": _read,
    "preadv2": _read,
}
"""Calls that are read, and how."""
