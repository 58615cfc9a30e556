"""
The numbers of README.md that come from experiments, of the committed results.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from quote import ROOT, Quote

from sim.api import cell, load
from sim.claims.claims import load_claims
from sim.experiment.results import Run
from sim.report.tables import difference

REFERENCE = ROOT / "results" / "reference"


@cache
def _run(name: str) -> Run:
    return load(REFERENCE / name)


def _of(run: str, metric: str, **labels: str) -> float:
    """Return a metric of one cell, the mean over its seeds."""
    return float(cell(_run(run), **labels)[metric])


def _ns(run: str, **labels: str) -> float:
    return _of(run, "cpu_ns_per_4k", **labels)


def _times(run: str, over: str = "page_io", metric: str = "cpu_ns_per_4k", **labels: str) -> float:
    """Return how much buffer heads are over another path."""
    first = _of(run, metric, path="buffer_head", **labels)
    return first / _of(run, metric, path=over, **labels)


MAIN = "per_block_vs_per_extent"
DEVICES = ("ramdisk", "null_blk", "nvme", "sata-ssd", "hdd")


def _main(path: str, layout: str = "contiguous", block_size: str = "4KiB", scheme: str = "none") -> float:
    return _ns(MAIN, path=path, layout=layout, block_size=block_size, scheme=scheme) / 1000


PARTS = ("bio", "buffer heads", "mapping", "block layer")


def _saved(group: str) -> tuple[Sequence[float], float]:
    """Return the interval of a group's share in what buffer heads cost more, in ns, and its share counted."""
    where = {"scheme": "none", "block_size": "4KiB", "layout": "contiguous"}
    found = difference(_run(MAIN), where, {"path": "buffer_head"}, {"path": "page_io"})
    rows = [row for row in found.rows if row["group"] == group]
    return rows[0]["group_interval"], sum(row["share_instructions"] for row in rows)


def _both(*numbers: float) -> tuple[float, ...]:
    """Return two numbers and how many times the first is the second."""
    first, second = numbers
    return first, second, first / second


def _fragments() -> list[float]:
    """Return the least and the most that the extent path takes, of buffer heads' CPU, where it loses."""
    places = [("1KiB", "1"), ("1KiB", "2"), ("1KiB", "3"), ("2KiB", "1")]
    found = [_times("fragmentation", block_size=size, extent_blocks=blocks) for size, blocks in places]
    return [min(found), max(found)]


def _hits(encryption: str) -> float:
    return _of("browser_cache", "hit_mean_ns", shared="shared", encryption=encryption)


def _hit_rate(shared: str) -> float:
    return 100 * _of("browser_cache", "hit_rate", shared=shared, encryption="none")


def _mib_s(device: str, path: str) -> float:
    return _of("device_bound", "throughput_mib_s", profile=device, path=path)


def _reader_sees(device: str) -> float:
    return _mib_s(device, "page_io") / _mib_s(device, "buffer_head")


def _random_mib_s(cpus: str, path: str) -> float:
    return _of("concurrency", "throughput_mib_s", cpus=cpus, numjobs="64", path=path)


def _gain(readers: str) -> float:
    """Return the most that so few readers gain, on any number of cores."""
    metric = "throughput_mib_s"
    return max(
        1 / _times("concurrency", metric=metric, cpus=cpus, numjobs=readers) for cpus in ("1", "2", "4")
    )


def _heads(block_size: str) -> float:
    """Return the per cent of the full memory that buffer heads take."""
    row = cell(_run("memory"), block_size=block_size, layout="contiguous", path="buffer_head")
    heads = float(row["buffer_head_pages"])
    return 100 * heads / (heads + float(row["pages_cached"]))


def _opening(encryption: str) -> float:
    return _of("key_policies", "open_ns", encryption=encryption) / _of(
        "key_policies", "open_ns", encryption="owner"
    )


def _deleting(how: str, size: str, metric: str = "delete_ns") -> float:
    labels = {"profile": "nvme", "layout": "contiguous", "size": size, "secure_delete": how}
    return _of("secure_delete", metric, **labels)


def _placed(encryption: str, path: str = "page_io") -> float:
    labels = {"profile": "nvme", "workload": "sequential 128 KiB", "encryption": encryption, "path": path}
    return _ns("encryption_placement", **labels)


def _queue(kind: str, metric: str, job: str = "one random reader") -> float:
    return _of("work_queues", metric, work_queue=kind, job=job, path="page_io")


def _writing(path: str, layout: str, block_size: str, metric: str = "instructions_per_4k") -> float:
    return _of("write_per_block_vs_per_extent", metric, path=path, layout=layout, block_size=block_size)


def _written_times(layout: str, block_size: str) -> float:
    """Return how many times page_io's instructions block_write_full_page takes."""
    return _writing("buffer_head", layout, block_size) / _writing("page_io", layout, block_size)


def _modes(metric: str, profile: str, workload: str, over: str = "ordered") -> float:
    """Return how many times data=ordered's, or another mode's, data=journal has."""
    labels = {"profile": profile, "workload": workload}
    journal = _of("journal_modes", metric, data="journal", **labels)
    return journal / _of("journal_modes", metric, data=over, **labels)


def _undelayed(space: str) -> float:
    """Return how many times delalloc's CPU time nodelalloc takes, free space lying so."""
    labels = {"files": f"free {space}" if "pieces" in space else f"free space {space}", "path": "page_io"}
    undelayed = _of("allocation", "cpu_ns_per_4k", delalloc="false", **labels)
    return undelayed / _of("allocation", "cpu_ns_per_4k", delalloc="true", **labels)


def _storm(profile: str) -> float:
    """Return how many times the time of a lone writer's sync that of one of 16 is, data=ordered."""
    labels = {"profile": profile, "data": "ordered"}
    many = _of("fsync_storm", "sync_latency_mean_ns", numjobs="16", **labels)
    return many / _of("fsync_storm", "sync_latency_mean_ns", numjobs="1", **labels)


FLUSHED = ("ordered", "ordered, nodelalloc", "writeback", "writeback, nodelalloc", "journal")
UNFLUSHED = ("ordered, nobarrier", "journal, nobarrier")


def _cuts(metric: str, *mounts: str) -> float:
    """Return the sum of a count of power cuts over ways of mounting, encrypted and not."""
    both = ("none", "fscrypt-v2")
    return sum(_of("crash", metric, mount=mount, scheme=scheme) for mount in mounts for scheme in both)


def _claims() -> list[float]:
    found = load_claims(ROOT / "experiments" / "claims")
    return [sum(map(len, found.values())), len(found)]


RESULTS: tuple[Quote, ...] = (
    Quote(
        "Contiguous, 4 KiB blocks: buffer heads cost {:.2f} us, the extent path {:.2f} us: {:.2f} times as"
        " much.",
        lambda: _both(_main("buffer_head"), _main("page_io")),
    ),
    Quote(
        "With 1 KiB blocks {:.2f} against {:.2f} us, {:.1f} times.",
        lambda: _both(_main("buffer_head", block_size="1KiB"), _main("page_io", block_size="1KiB")),
    ),
    Quote(
        "Which part of those {:.0f} ns is whose",
        lambda: [1000 * (_main("buffer_head") - _main("page_io"))],
    ),
    Quote(
        "bios {:.0f} to {:.0f} %, buffer heads {:.0f} to {:.0f} %, mapping {:.0f} to {:.0f} %, the block"
        " layer {:.0f} to {:.0f} % (90 % intervals",
        lambda: [end for group in PARTS for end in _saved(group)[0]],
    ),
    Quote(
        "counted symbol by symbol: {:.0f}, {:.0f}, {:.0f} and {:.0f} %;",
        lambda: [_saved(group)[1] for group in PARTS],
    ),
    Quote(
        "the extent path loses, {:.2f} against {:.2f} us",
        lambda: [_main(path, "1-block extents", "1KiB") for path in ("page_io", "buffer_head")],
    ),
    Quote(
        "adds {:.2f} us per 4 KiB to the extent path, and {:.2f} us to buffer heads",
        lambda: [_main(path, scheme="fscrypt-v2") - _main(path) for path in ("page_io", "buffer_head")],
    ),
    Quote(
        "the ratios stay ({:.2f}, {:.2f}, {:.2f})",
        lambda: [
            _times("machines", profile=profile, block_size="4KiB", layout="contiguous")
            for profile in ("linux-6.1-epyc-7001", "linux-6.1-epyc", "linux-3.16-2014")
        ],
    ),
    Quote("({} on {} experiments; the founding remark's", _claims),
    Quote(
        "On mpage and page_io {:.2f} a page when contiguous and sequential, {:.1f} on alternating holes"
        " (one per hole block), {:.0f} on one-block extents",
        lambda: [
            _of("founding_claim", "map_calls", path="page_io", layout=layout, job="sequential")
            / _of("founding_claim", "pages_read", path="page_io", layout=layout, job="sequential")
            for layout in ("contiguous", "holes", "1-block extents")
        ],
    ),
    Quote(
        "{:.1f} x at one page, {:.1f} x at 128 KiB, {:.1f} x at 2 MiB.",
        lambda: [_times("readahead", read_ahead_kb=kb) for kb in ("4", "128", "2048")],
    ),
    Quote(
        "{:.1f} to {:.1f} x CPU everywhere; the reader sees {:.1f} x on a RAM disk, {:.1f} x on NVMe,"
        " nothing on a SATA SSD ({:.0f} against {:.0f} MiB/s) or a disk ({:.0f} and {:.0f}).",
        lambda: [
            *(most(_times("device_bound", profile=profile) for profile in DEVICES) for most in (min, max)),
            *map(_reader_sees, ("ramdisk", "nvme")),
            *(_mib_s(device, path) for device in ("sata-ssd", "hdd") for path in ("page_io", "buffer_head")),
        ],
    ),
    Quote(
        "{:.2f} x for a file of one block, {:.1f} x at 4 KiB, {:.1f} x at 64 KiB.",
        lambda: [_times("small_files", size=size) for size in ("1KiB", "4KiB", "64KiB")],
    ),
    Quote(
        "64 random readers on one core get {:,.0f} against {:,.0f} MiB/s, on four {:,.0f} against {:,.0f};"
        " up to four readers gain {:.0f} %.",
        lambda: [
            *(_random_mib_s(cpus, path) for cpus in ("1", "4") for path in ("page_io", "buffer_head")),
            100 * (max(_gain(readers) for readers in ("1", "2", "4")) - 1),
        ],
    ),
    Quote("{:.2f} to {:.2f} x with 1 to 3 blocks of 1 KiB or 1 of 2 KiB", _fragments),
    Quote(
        "{:.1f}, {:.1f} and {:.1f} % of a full memory with 1, 2 and 4 KiB blocks",
        lambda: [_heads(size) for size in ("1KiB", "2KiB", "4KiB")],
    ),
    Quote(
        "for fscrypt: {:.1f} us per 4 KiB with blocks of 1 KiB, {:.1f} with 4 KiB",
        lambda: [
            _ns("encryption_blocks", block_size=size, encryption="fscrypt v2", path="page_io") / 1000
            for size in ("1KiB", "4KiB")
        ],
    ),
    Quote(
        "an unbound queue gives {:,.0f} MiB/s, a bound one {:,.0f}. A tasklet saves a random read {:.1f} us",
        lambda: [
            *(_queue(kind, "throughput_mib_s", "one sequential reader") for kind in ("unbound", "bound")),
            (_queue("unbound", "cpu_ns_per_4k") - _queue("tasklet", "cpu_ns_per_4k")) / 1000,
        ],
    ),
    Quote(
        "16 users hit {:.0f} % of requests with one cache, {:.0f} % with one each in the same space; keys of"
        " files make a hit {:.1f} times as long as fscrypt's, {:.1f} times eCryptfs'.",
        lambda: [
            _hit_rate("shared"),
            _hit_rate("private"),
            *(_hits("wrapped for 16") / _hits(other) for other in ("fscrypt v2", "eCryptfs")),
        ],
    ),
    Quote(
        "{:.1f} times the owner's time with 1,000 packets, {:.2f} times with a group key",
        lambda: [_opening("any of 1000"), _opening("group of 1000")],
    ),
    Quote(
        "Clobbering its wrapped keys: {:.0f} blocks and {:.1f} ms on NVMe, whatever its size, and nothing in"
        " the image opens it; overwriting 16 MiB takes {:.1f} ms, 4 KiB {:.1f} ms",
        lambda: [
            _deleting("clobber", "16MiB", "bytes_written") / 4096,
            *(
                _deleting(how, size) / 1e6
                for how, size in (("clobber", "16MiB"), ("overwrite", "16MiB"), ("overwrite", "4KiB"))
            ),
        ],
    ),
    Quote(
        "block by block {:.2f} times the instructions with 4 KiB blocks, {:.2f} times with 1 KiB; on"
        " one-block extents {:.2f} and {:.2f} times: the extent path loses.",
        lambda: [
            _written_times(layout, size)
            for layout in ("contiguous", "1-block extents")
            for size in ("4KiB", "1KiB")
        ],
    ),
    Quote(
        "{:.2f} times the bytes of ordered on a sequential write, {:.1f} times on NVMe for an fsync behind"
        " each 4 KiB; the syncs then take {:.2f} times as long on NVMe, {:.2f} times on a disk.",
        lambda: [
            _modes("bytes_written", "nvme", "sequential, one fsync"),
            _modes("bytes_written", "nvme", "random 4 KiB, fsync each"),
            _modes("sync_latency_mean_ns", "nvme", "random 4 KiB, fsync each"),
            _modes("sync_latency_mean_ns", "hdd", "random 4 KiB, fsync each"),
        ],
    ),
    Quote(
        "nodelalloc takes {:.2f} times its CPU time where free space is whole, {:.2f} in pieces of 4 KiB,",
        lambda: [_undelayed(space) for space in ("whole", "in 4 KiB pieces")],
    ),
    Quote(
        "with 16 writers a sync takes {:.2f} times as long as alone on NVMe, {:.2f} times on a disk.",
        lambda: [_storm(profile) for profile in ("nvme", "hdd")],
    ),
    Quote(
        "of {:.0f} states of the disk that five ways of mounting leave none is unsound and none loses what"
        " fsync(2) promised; writeback with nodelalloc shows what was deleted in {:.0f}, and without flushes"
        " {:.0f} of {:.0f} lose what was promised.",
        lambda: [
            _cuts("crash_states", *FLUSHED),
            _cuts("crash_stale", "writeback, nodelalloc"),
            _cuts("crash_losing", *UNFLUSHED),
            _cuts("crash_states", *UNFLUSHED),
        ],
    ),
    Quote(
        "none {:,.0f}, in the device (inline) {:,.0f}, fscrypt and keys of files {:,.0f}, dm-crypt with"
        " sectors of 4096 bytes {:,.0f} and of 512 (its default) {:,.0f}, eCryptfs {:,.0f}.",
        lambda: [
            _placed(name)
            for name in ("none", "inline", "fscrypt v2", "dm-crypt 4096", "dm-crypt 512", "eCryptfs")
        ],
    ),
    Quote(
        "On buffer heads a work item per buffer head makes fscrypt cost {:,.0f}.",
        lambda: [_placed("fscrypt v2", "buffer_head")],
    ),
)
"""What experiments say, of results/reference."""
