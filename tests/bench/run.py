"""
Speed, beside the bars it is held to: `make bench`.

Every figure is the best of a few repetitions, for the machine may be shared; ratios are of repetitions that
alternate in one process. Exit code 0 whatever comes out: a bar that is not met is shown, not asserted.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import checksums
import exports
import schemes
import sweeps
import writes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.queue.limits import QueueLimits
from sim.config.cell import Experiment
from sim.crypto.ciphers.xts import XtsUnits
from sim.crypto.keys.file_keys import FORMATS, FileKey, UserKey, unwrap, wrap
from sim.crypto.streams import NamedStream
from sim.engine.costs import load_costs
from sim.engine.mode import compiled, make_clock
from sim.experiment.loading import load_experiment
from sim.experiment.runner import execute
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.ext4.store import MemoryStore
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.run_cell import run_cell
from sim.machine.spec import MachineSpec
from sim.paths.registry import DESIGNS, PATHS
from sim.units import GIB, KIB, MIB, PAGE_BYTES
from sim.volume.images import ensure_image

KEY = bytes(range(64))
MAIN = Path(__file__).parents[2] / "experiments" / "per_block_vs_per_extent.toml"
COSTS = load_costs("linux-6.1-epyc")
LEAST_GIB_S, LEAST_READS_S, LEAST_OF_BARE = (20, 250_000, 0.9) if compiled() else (4, 50_000, 0.8)
"""The bars of sequential and random reads, and of real AES, compiled and in plain Python."""
OF_61 = [path for path in PATHS if "6.1" in (DESIGNS[path].kernels or ("6.1",))]
"""Paths of the kernel that all of this is run on."""
DEVICE = "sata-ssd"
"""Its queue takes 168 segments: 128 KiB in blocks of 1 KiB are one request. On nvme (127) they are two, so
two commands and two interrupts a window; that is shown apart."""


class Reader:
    """A machine with one contiguous file; `run` gives the wall seconds of reading it."""

    def __init__(
        self,
        path: str,
        block_size: int,
        size_bytes: int,
        reads: Iterable[tuple[int, int]],
        store: MemoryStore | None = None,
        device: str = DEVICE,
        **spec: Any,
    ) -> None:
        profile = load_device_profile(device)
        has = profile.limits
        limits = QueueLimits(has.max_sectors, has.max_segments, has.queue_depth, driver=has.driver)
        self.machine = Machine(
            MachineSpec(path, block_size, limits, COSTS, store=store, **spec),
            lambda clock: make_device(clock, profile),
        )
        plan = plan_tree(normalise([Extent(0, 1024, size_bytes // block_size, False)]), block_size)
        tree = plan.tree(range(64, 64 + plan.blocks_needed))
        decrypt = None
        if store is not None:
            units = XtsUnits(KEY)
            decrypt = lambda data, lblk, out: units.decrypt_into(data, lblk, block_size, out)  # noqa: E731
        inode = FsInode(tree, size_bytes, block_size, store is not None, decrypt)
        inode.map.status.fill()
        file = self.machine.open(self.machine.mapping(inode), inode)
        task = self.machine.cpu.task(0, "reader")

        def reader() -> Any:
            read = self.machine.filemap.read
            for offset, length in reads:
                yield from read(task, file, offset, length)
            yield from task.settle()

        self.machine.clock.process(reader())

    def run(self) -> float:
        """Run to the end; return wall seconds."""
        start = time.perf_counter()
        self.machine.clock.run()
        seconds = time.perf_counter() - start
        self.machine.check_quiet()
        return seconds


def sequential(size_bytes: int) -> list[tuple[int, int]]:
    """Return the reads of a pass in 128 KiB."""
    return [(offset, 128 * KIB) for offset in range(0, size_bytes, 128 * KIB)]


def best(repetitions: int, *runs: Callable[[], float]) -> list[float]:
    """Return the least seconds of each of `runs`, repeated in turn."""
    seconds = [float("inf")] * len(runs)
    for _ in range(repetitions):
        for i, run in enumerate(runs):
            seconds[i] = min(seconds[i], run())
    return seconds


def line(what: str, measured: str, bar: str, held: bool) -> None:
    """Print one row."""
    print(f"{what:<62} {measured:>18}   {bar:<26} {'held' if held else 'NOT HELD'}", flush=True)


def bench_sequential(repetitions: int) -> None:
    """1 GiB, data off, each path, 1 and 4 KiB blocks."""
    reads = sequential(GIB)
    cases = [(path, block_size, DEVICE) for block_size in (KIB, 4 * KIB) for path in OF_61]
    cases += [(path, KIB, "nvme") for path in ("buffer_head", "page_io")]
    times = best(repetitions, *(partial(read_once, *case, reads) for case in cases))
    seconds = dict(zip(cases, times, strict=True))
    for (path, block_size, device), wall in seconds.items():
        rate = 1 / wall
        what = f"sequential 1 GiB, {block_size // KIB} KiB blocks, {device}, {path}"
        line(what, f"{rate:.2f} GiB/s", f">= {LEAST_GIB_S} GiB/s", rate >= LEAST_GIB_S)
    for block_size, device in ((KIB, DEVICE), (4 * KIB, DEVICE), (KIB, "nvme")):
        ratio = seconds["buffer_head", block_size, device] / seconds["page_io", block_size, device]
        what = f"time of buffer_head / page_io, {block_size // KIB} KiB blocks, {device}"
        line(what, f"{ratio:.2f}", "<= 1.5", ratio <= 1.5)


def read_once(path: str, block_size: int, device: str, reads: list[tuple[int, int]]) -> float:
    """Return the wall seconds of reading 1 GiB."""
    return Reader(path, block_size, GIB, reads, device=device).run()


def bench_writes(repetitions: int) -> None:
    """1 GiB written and synced, data off, beside the read of it."""
    for block_size in ("4KiB", "1KiB"):
        found = writes.speeds(repetitions, block_size)
        read = found.pop("read")
        for mode, rate in found.items():
            what = f"{mode}, 1 GiB and fsync, {block_size} blocks: {rate:.2f} GiB/s of {read:.2f}"
            least = writes.LEAST_OF_READ[mode]
            line(what, f"{rate / read:.2f}", f">= {least}", rate / read >= least)


def bench_checksums(repetitions: int) -> None:
    """64 MiB of real data with checksums, beside the same without."""
    for block_size in ("4KiB", "1KiB"):
        for layout, share in checksums.shares(repetitions, block_size).items():
            bar = checksums.LEAST_OF_PLAIN
            line(f"checksums, {layout}, {block_size} blocks", f"{share:.2f}", f">= {bar}", share >= bar)


def bench_cluster() -> None:
    """A sweep of 2,000 cells on Dask; a worker is killed when a third is done."""
    dispatch, alone, killed, same = sweeps.measured()
    bar = sweeps.MOST_DISPATCH_MS
    line("dispatch over Dask, ms a cell", f"{dispatch:.2f}", f"< {bar}", dispatch < bar)
    what = f"{sweeps.CELLS:,} cells, {sweeps.WORKERS} workers, one killed: {killed:.0f} s; one: {alone:.0f}"
    line(what, "the same bytes" if same else "other bytes", "the same bytes", same)


def bench_random(repetitions: int) -> None:
    """Random 4 KiB psync reads, data off."""
    rng = random.Random(1)
    count = 50_000
    reads = [(rng.randrange(GIB // PAGE_BYTES) * PAGE_BYTES, PAGE_BYTES) for _ in range(count)]
    for path in ("page_io", "buffer_head"):
        (seconds,) = best(repetitions, partial(read_once, path, 4096, DEVICE, reads))
        rate = count / seconds
        what = f"random 4 KiB reads, {path}"
        line(what, f"{rate:,.0f} /s", f">= {LEAST_READS_S:,} /s", rate >= LEAST_READS_S)


def bare_loop(data: bytes, block_size: int) -> float:
    """Decrypt block by block with `cryptography` and nothing else; return seconds."""
    algorithm = algorithms.AES(KEY)
    view = memoryview(data)
    start = time.perf_counter()
    for block in range(len(data) // block_size):
        decryptor = Cipher(algorithm, modes.XTS(block.to_bytes(16, "little"))).decryptor()
        decryptor.update(view[block * block_size : (block + 1) * block_size])
        decryptor.finalize()
    return time.perf_counter() - start


def bench_real(repetitions: int) -> None:
    """Real AES in the simulator against the bare loop over the same blocks."""
    for block_size in (KIB, 4 * KIB):
        size = 16 * MIB if block_size == KIB else 64 * MIB
        data = random.Random(2).randbytes(size + 1024 * block_size)
        store = MemoryStore(data)
        for path in ("page_io", "buffer_head"):
            ours, bare = best(
                repetitions,
                partial(read_real, path, block_size, size, store),
                partial(bare_loop, data[:size], block_size),
            )
            what = f"real AES, {block_size // KIB} KiB blocks, {path}: speed / bare loop"
            line(what, f"{bare / ours:.2f}", f">= {LEAST_OF_BARE}", bare / ours >= LEAST_OF_BARE)


def read_real(path: str, block_size: int, size_bytes: int, store: MemoryStore) -> float:
    """Return the wall seconds of reading and decrypting a file."""
    return Reader(path, block_size, size_bytes, sequential(size_bytes), store).run()


def bench_schemes(repetitions: int) -> None:
    """Real AES of dm-crypt and eCryptfs against their bare loops."""
    for name, (read, loop) in schemes.cases().items():
        ours, bare = best(repetitions, read, loop)
        what = f"real AES, {name}: speed / bare loop"
        line(what, f"{bare / ours:.2f}", f">= {LEAST_OF_BARE}", bare / ours >= LEAST_OF_BARE)


def bench_keys(repetitions: int) -> None:
    """Find the last user's key among a thousand wrapped ones, and unwrap it."""
    random = NamedStream(7, "bench")
    users = [UserKey(f"user{number}", random(64)) for number in range(1000)]
    key = FileKey.generate(random)
    for form in FORMATS:
        raw = wrap(form, key, users, random)

        def once(raw: bytes = raw) -> float:
            start = time.perf_counter()
            unwrap(raw, users[-1])
            return time.perf_counter() - start

        (seconds,) = best(20 * repetitions, once)
        line(f"one of 1,000 wrapped keys, {form}", f"{seconds * 1e3:.2f} ms", "< 1 ms", seconds < 1e-3)


def peak_kib() -> int:
    """Return the most memory this process has had, in KiB; getrusage() would count its parent's as well."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)
    return int(line.split()[1])


def bench_large(gib: int) -> None:
    """A long sequential read with 1 GiB of page cache: memory, and time per GiB against a short one."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import run\n"
        "size = int(sys.argv[2]) * run.GIB\n"
        "reads = ((o, 128 * run.KIB) for o in range(0, size, 128 * run.KIB))\n"
        "reader = run.Reader('page_io', 4096, size, reads, memory_pages=run.GIB // 4096)\n"
        "print(reader.run(), run.peak_kib())"
    )

    def child(size_gib: int) -> tuple[float, float]:
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", script, here, str(size_gib)], check=True, capture_output=True, text=True
        )
        seconds, rss_kib = map(float, done.stdout.split())
        return seconds / size_gib, rss_kib / 1024

    short, _ = child(max(gib // 10, 1))
    long, rss = child(gib)
    line(f"sequential {gib} GiB, 1 GiB of page cache: memory", f"{rss:.0f} MiB", "< 400 MiB", rss < 400)
    what = f"time per GiB, {gib} GiB / {max(gib // 10, 1)} GiB"
    line(what, f"{long / short:.2f}", "linear: about 1", long / short < 1.25)


def bench_trace(repetitions: int) -> None:
    """
    Cells of the main experiment with --trace and without, run directory included, figures not.

    Medians of CPU seconds of runs that alternate in one process, as a ratio.
    """
    with tempfile.TemporaryDirectory() as scratch:
        make_image = partial(ensure_image, root=Path(scratch) / "images")
        for layout in ("contiguous", "1-block extents"):
            for path in ("page_io", "buffer_head"):
                sets = [f"path={path}", f"volume.files.layout={layout}", "volume.block_size=1KiB"]
                experiment = load_experiment(MAIN, [*sets, "encryption.scheme=none"])

                def once(trace: bool, experiment: Experiment = experiment) -> float:
                    began = time.process_time()
                    execute(
                        experiment,
                        Path(scratch) / "run",
                        run_cell,
                        make_image,
                        draw=lambda *_run, **_each: None,
                        trace=trace,
                    )
                    return time.process_time() - began

                once(True)  # the image is made
                times = [(once(False), once(True)) for _ in range(repetitions)]
                plain, traced = (statistics.median(column) for column in zip(*times, strict=True))
                what = f"main experiment, {layout}, 1 KiB, {path}: --trace / without"
                line(what, f"{traced / plain:.2f}", "stated, no bar", True)


def bench_exports(reads: int) -> None:
    """A traced cell of random reads, in each format: CPU seconds and peak memory of a process."""
    with tempfile.TemporaryDirectory() as scratch:
        run = exports.traced_run(Path(scratch), reads)
        for form in exports.FORMATS:
            took = exports.export(run, form)
            held = took.seconds <= exports.MOST_SECONDS and took.peak_mib <= exports.MOST_MIB
            bar = f"<= {exports.MOST_SECONDS} s and {exports.MOST_MIB} MiB"
            what = f"export of {reads:,} random reads, {form}: {took.written_mib:,.0f} MiB written"
            line(what, f"{took.seconds:.1f} s, {took.peak_mib:.0f} MiB", bar, held)


def bench_start(repetitions: int) -> None:
    """readpath --help."""

    def run() -> float:
        start = time.perf_counter()
        command = Path(sys.executable).with_name("readpath")
        subprocess.run([command, "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    (seconds,) = best(repetitions, run)
    line("readpath --help", f"{seconds:.2f} s", "< 0.3 s", seconds < 0.3)


def event_cost() -> float:
    """Return the ns that one bare event of the clock takes: what kind of machine this is, and how busy."""
    clock = make_clock()
    left = [200_000]

    def step(_: Any) -> None:
        left[0] -= 1
        if left[0]:
            clock.call(1, step)

    clock.call(1, step)
    start = time.perf_counter()
    clock.run()
    return (time.perf_counter() - start) / 200_000 * 1e9


def main() -> None:
    """Run all, or what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--gib", type=int, default=100, help="size of the long read")
    parser.add_argument("--reads", type=int, default=exports.READS, help="of the exported run")
    parser.add_argument(
        "only",
        nargs="*",
        help="sequential writes checksums random real schemes keys large trace exports start cluster",
    )
    arguments = parser.parse_args()
    benches: dict[str, Callable[[], None]] = {
        "sequential": lambda: bench_sequential(arguments.repetitions),
        "writes": lambda: bench_writes(arguments.repetitions),
        "checksums": lambda: bench_checksums(arguments.repetitions),
        "random": lambda: bench_random(arguments.repetitions),
        "real": lambda: bench_real(arguments.repetitions),
        "schemes": lambda: bench_schemes(arguments.repetitions),
        "keys": lambda: bench_keys(arguments.repetitions),
        "large": lambda: bench_large(arguments.gib),
        "trace": lambda: bench_trace(arguments.repetitions),
        "exports": lambda: bench_exports(arguments.reads),
        "start": lambda: bench_start(arguments.repetitions),
        "cluster": bench_cluster,
    }
    load = os.getloadavg()[0]
    print(f"one bare event: {event_cost():.0f} ns; load before: {load:.2f} on {os.cpu_count()} cores\n")
    for name, bench in benches.items():
        if not arguments.only or name in arguments.only:
            bench()


if __name__ == "__main__":
    main()

__all__ = ["GIB", "KIB", "Reader"]
