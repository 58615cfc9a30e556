"""
fio's I/O logs, as write_iolog makes them: versions 2 and 3 (fio 3.33, "Trace file format").

A line is a file and what is done to it, in version 3 behind the microseconds since the job's start (3.33
writes microseconds, its manual does not say). `wait` of version 2 counts microseconds from the wait before
it. A log is of one job, so it is one stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.units import NS_PER_US
from sim.workload.traces.numbers import whole
from sim.workload.traces.trace import UNKNOWN, Builder, OpenPath

HEADERS = {"fio version 2 iolog": 2, "fio version 3 iolog": 3}
_FILE_ACTIONS = ("add", "open", "close")
_SKIPPED = {
    "write": "write: only reads are replayed",
    "trim": "trim: discards are not modelled",
    "sync": "sync: only reads are replayed",
    "datasync": "datasync: only reads are replayed",
    "sync_file_range": "sync_file_range: only reads are replayed",
}


def read(lines: Sequence[str], builder: Builder) -> None:
    """Read a log into `builder`; raise ConfigError that names the line which is none."""
    version = HEADERS[lines[0].strip()]
    builder.used("header")
    opened: dict[str, OpenPath] = {}
    waited_ns = 0
    timed = version == 3 or any(line.split()[1:2] == ["wait"] for line in lines)
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        if not words:
            continue
        at_ns = waited_ns if timed else UNKNOWN
        if version == 3:
            moment = whole(words.pop(0))
            if moment is None or not words:
                raise builder.refuse(number, f"{line.strip()!r} has no time", "TIMESTAMP FILE ACTION ...")
            at_ns = moment * NS_PER_US
        action = words[1] if len(words) > 1 else ""
        numbers = [whole(word) for word in words[2:]]
        if action in _FILE_ACTIONS and not numbers:
            _file_action(action, words[0], opened, builder)
        elif action == "wait" and version == 2 and numbers and numbers[0] is not None:
            waited_ns += numbers[0] * NS_PER_US
            builder.used("wait")
        elif action in _SKIPPED and len(numbers) == 2 and None not in numbers:
            builder.skip(_SKIPPED[action])
        elif action == "read" and len(numbers) == 2 and numbers[0] is not None and numbers[1] is not None:
            builder.used("read")
            file = opened.get(words[0])
            if file is None:
                raise builder.refuse(number, f"{words[0]} is read and not open", f"{words[0]} open before it")
            builder.access("job", file, numbers[0], numbers[1], at_ns=at_ns)
        else:
            allowed = "FILE add|open|close, or FILE read|write|sync|datasync|trim|wait OFFSET LENGTH"
            raise builder.refuse(number, f"{line.strip()!r} is not understood", allowed)


def _file_action(action: str, path: str, opened: dict[str, OpenPath], builder: Builder) -> None:
    builder.used(action)
    if action == "open":
        opened[path] = builder.open(path)
    elif action == "close":
        opened.pop(path, None)
