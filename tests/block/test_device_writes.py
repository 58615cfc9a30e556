"""Writes and flushes of the device models: exact times, limits, and what no drive can be faster than."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.device.constants import HddModel, HddWrite, Model, SsdModel, SsdWrite, WriteModel
from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile, parse_device_profile, varied
from sim.engine.mode import make_clock
from sim.errors import ConfigError

PROFILES = Path(__file__).parents[2] / "sim" / "profiles" / "devices"
SSD_WRITE = SsdWrite(
    volatile_cache=True,
    fua=True,
    acknowledge_ns=5_000,
    sustained_rate=512_000_000,  # 8 us a page of 4 KiB: half as fast as the interface
    least_ns=2_000,
    cache_bytes=4 * 4096,
    flush_ns=100_000,
)
HDD_WRITE = HddWrite(
    volatile_cache=True, fua=False, settle_ns=500_000, cache_bytes=16 * 512, flush_ns=200_000
)


class Writes:
    """A device that is written to; `log` holds (time in ns, token) of each completion."""

    def __init__(self, model: Model, write: WriteModel | None) -> None:
        kind, base = ("hdd", "hdd") if isinstance(model, HddModel) else ("ssd", "nvme")
        profile = replace(load_device_profile(base), name="bench", kind=kind, model=model, write=write)
        self.clock = make_clock()
        self.device = make_device(self.clock, profile, 0)
        self.log: list[tuple[int, str]] = []

    def note(self, token: object) -> None:
        """A command has completed."""
        self.log.append((self.clock.now, str(token)))

    def at(self, time_ns: int, sector: int, sectors: int, token: str) -> None:
        """Write at a time to come; a flush if there are no sectors."""

        def begin() -> None:
            if sectors:
                self.device.write(sector, sectors, token, self.note)
            else:
                self.device.flush(token, self.note)

        self.clock.call_after(time_ns - self.clock.now, begin)

    def run(self) -> list[tuple[int, str]]:
        """Run until nothing is pending; return the log."""
        self.clock.run()
        return self.log


@pytest.fixture
def drive(ssd: SsdModel) -> SsdModel:
    """The small SSD with an interface of 4 us a page."""
    return replace(ssd, bandwidth=1_024_000_000)


SLOWER = {"buffer_bytes": 3 * 4096, "rate_behind_buffer": 128_000_000}  # 32 us a page, four times as long


def test_a_full_buffer_slows_the_flash(drive: Any) -> None:
    """Three pages of one bit a cell at 8 us, two behind at 32 us: the flush tells when all is done."""
    flushed = []
    for said in ({}, SLOWER):
        run = Writes(drive, replace(SSD_WRITE, cache_bytes=1 << 20, **said))
        for number in range(5):
            run.at(0, 8 * number, 8, f"w{number}")
        run.at(0, 0, 0, "flush")
        flushed.append({token: at for at, token in run.run()}["flush"])
    assert flushed[1] - flushed[0] == 2 * (32_000 - 8_000)


def test_the_buffer_is_emptied_meanwhile(drive: Any) -> None:
    """After 96 us three pages have gone from it: three more are as fast as the first, and none waits."""
    run = Writes(drive, replace(SSD_WRITE, cache_bytes=4096, **SLOWER))
    for number in range(6):
        run.at(0 if number < 3 else 200_000, 8 * number, 8, f"w{number}")
    at = {token: time for time, token in run.run()}
    assert [at[f"w{number + 3}"] - 200_000 for number in range(3)] == [
        at[f"w{number}"] for number in range(3)
    ]


def test_what_waits_waits_for_the_slower_rate(drive: Any) -> None:
    """A cache of a page: behind a full buffer it goes at 32 us a page."""
    run = Writes(drive, replace(SSD_WRITE, cache_bytes=4096, **SLOWER))
    for number in range(6):
        run.at(0, 8 * number, 8, f"w{number}")
    at = {token: time for time, token in run.run()}
    # on the flash until 13, 21 and 29 us, then until 61, 93 and 125: the last is taken when it alone is left
    assert (at["w4"], at["w5"]) == (61_000, 93_000)


@pytest.mark.parametrize(("longer_ns", "later_ns"), [(0, 0), (70_000, 0), (0, 30_000), (70_000, 30_000)])
def test_reads_and_writes_meet_at_the_flash(drive: Any, longer_ns: int, later_ns: int) -> None:
    """A read while a page is on its way to the flash takes longer, and delays it; one behind it neither."""
    write = replace(SSD_WRITE, read_behind_write_ns=longer_ns, write_behind_read_ns=later_ns)
    alone = Writes(drive, write)
    alone.device.submit(0, 8, "r", alone.note)
    ((read_ns, _),) = alone.run()
    run = Writes(drive, write)
    run.at(0, 0, 8, "w")  # on the flash from 5 to 13 us
    run.clock.call_after(6_000, lambda: run.device.submit(80, 8, "r", run.note))
    run.at(7_000, 0, 0, "flush")
    run.clock.call_after(500_000, lambda: run.device.submit(160, 8, "late", run.note))
    at = {token: time for time, token in run.run()}
    assert at["r"] - 6_000 == read_ns + longer_ns
    assert at["late"] - 500_000 == read_ns
    assert at["flush"] == 13_000 + later_ns + SSD_WRITE.flush_ns


BUFFER = """buffer_bytes = { value = 1, unit = "GiB", source = "x" }
rate_behind_buffer = { value = 9, unit = "GB/s", source = "x" }
"""


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("", None),
        (BUFFER.replace("9", "1"), None),
        (BUFFER, "both, and a rate of up to sustained_rate"),
        (BUFFER.partition("\n")[0], "both, and a rate of up to sustained_rate"),
        (BUFFER.partition("\n")[2], "both, and a rate of up to sustained_rate"),
        ('read_behind_write_ns = { value = 1, unit = "s", source = "" }', "source ''"),
        ('write_behind_read_ns = { value = 0, unit = "us", source = "x" }', "is 0"),
        ('write_behind_reads_ns = { value = 1, unit = "us", source = "x" }', "is not known"),
    ],
)
def test_what_a_profile_may_say_besides(said: str, message: str | None) -> None:
    """A buffer has both of its constants, or none; a delay is said or left out; each has a source."""
    text = (PROFILES / "nvme.toml").read_text(encoding="utf-8") + said + "\n"
    if message is None:
        profile = parse_device_profile("x.toml", "x", text)
        assert isinstance(profile.write, SsdWrite)
        assert bool(profile.write.buffer_bytes) == bool(said)
        return
    with pytest.raises(ConfigError) as caught:
        parse_device_profile("x.toml", "x", text)
    assert message in str(caught.value)


def test_whole_log_of_writes_and_a_flush(drive: Any) -> None:
    """A write is answered from the cache; the flush waits for the flash, and a second has nothing to do."""
    run = Writes(drive, SSD_WRITE)
    run.at(0, 0, 8, "a")  # command 0-1, transfer 1-5, answered at 10; flash 5-13 us
    run.at(0, 800, 8, "b")  # command 1-2, transfer 5-9, answered at 14; flash 13-21 us
    run.at(10_000, 0, 0, "flush")  # command 10-11, flash done at 21, answered at 121 us
    run.at(200_000, 0, 0, "again")  # nothing new: the command alone
    assert [(10_000, "a"), (14_000, "b"), (121_000, "flush"), (201_000, "again")] == run.run()


def test_a_full_cache_makes_writes_wait_for_the_flash(drive: Any) -> None:
    """Four pages fit: from the fifth on each is answered when as many bytes have left as it brings."""
    run = Writes(drive, SSD_WRITE)
    for number in range(8):
        run.at(0, number * 8, 8, str(number))
    # The n-th is in the cache at 5 + 4n us and on the flash at 13 + 8n; the cache is 32 us of flash.
    taken = [(max(10 + 4 * number, 13 + 8 * number - 32) * 1000, str(number)) for number in range(8)]
    assert taken == run.run()
    assert taken[7][0] == 38_000
    deep = Writes(drive, SSD_WRITE)
    for number in range(1000):
        deep.at(0, number * 8, 8, str(number))
    assert (13 + 8 * 999 - 32) * 1000 == deep.run()[-1][0]


def test_small_writes_run_at_the_rate_of_the_flash_for_small_ones(drive: Any) -> None:
    """Sector-sized writes take `least_ns` of the flash each, not their share of its rate."""
    run = Writes(drive, replace(SSD_WRITE, cache_bytes=512))
    for number in range(500):
        run.at(0, number, 1, str(number))
    # A cache of 512 bytes is 1 us of flash: 1 us command, 0.5 us transfer, then 2 us each, less that.
    assert 1_500 + 2_000 * 500 - 1_000 == run.run()[-1][0]


@pytest.mark.parametrize(
    ("name", "iops"),
    [("nvme", 60_000), ("nvme-gen3", 60_000), ("sata-ssd", 40_000), ("sata-ssd-2021", 36_000)],
)
def test_profiles_at_queue_depth_1(name: str, iops: int) -> None:
    """The shipped drives take 4 KiB at QD1 in the data sheet's 1/IOPS, less some 4 to 5 us for the host."""
    clock, finished = make_clock(), []
    device = make_device(clock, load_device_profile(name), 0)
    device.write(0, 8, None, lambda _: finished.append(clock.now))
    clock.run()
    assert 4_000 < 10**9 / iops - finished[0] < 5_500


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("nvme", 5e9),
        ("nvme-gen3", 3.3e9),
        ("nvme-gen4", 6.9e9),
        ("nvme-gen5", 11.8e9),
        ("sata-ssd", 520e6),
        ("sata-ssd-2021", 530e6),
        ("emmc", 125e6),
        ("ufs", 1.2e9),
    ],
)
def test_profiles_write_in_sequence_at_the_data_sheet_rate(name: str, rate: float) -> None:
    """256 MiB and a flush take what the data sheet's sequential rate says, and the flush."""
    clock, finished = make_clock(), []
    profile = load_device_profile(name)
    device = make_device(clock, profile, 0)
    assert isinstance(profile.write, SsdWrite)
    for number in range(1024):
        device.write(number * 512, 512, None, lambda _: None)
    device.flush(None, lambda _: finished.append(clock.now))
    clock.run()
    expected = (256 << 20) / rate * 1e9
    assert abs((finished[0] - profile.write.flush_ns) / expected - 1) < 0.01


writes = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 3_000), st.integers(0, 40)), min_size=1, max_size=20
)


@given(requests=writes, cache=st.sampled_from([512, 8192, 1 << 20]))
@settings(deadline=None)
def test_no_ssd_is_faster_than_its_parts(ssd: Any, requests: list[tuple[int, int, int]], cache: int) -> None:
    """
    Whatever is written and flushed when: all complete once; no write before its command, transfer and answer;
    no flush before all that was taken is on the flash, which has one rate.
    """
    run = Writes(ssd, replace(SSD_WRITE, cache_bytes=cache))
    for number, (time_ns, sector, sectors) in enumerate(requests):
        run.at(time_ns, sector, sectors, str(number))
    end = {int(token): time for time, token in run.run()}
    assert set(range(len(requests))) == set(end)
    first = min(time_ns for time_ns, _, _ in requests)
    for number, (time_ns, _, sectors) in enumerate(requests):
        if sectors:
            assert end[number] - time_ns >= 1_000 + 125 * sectors + 5_000
        else:
            # Those of one instant come in the order of the list.
            before = [r for n, r in enumerate(requests) if (r[0], n) < (time_ns, number)]
            if any(s for _, _, s in before) and all(s for _, _, s in before):
                assert end[number] >= first + 1_000 * sum(s for _, _, s in before) + 100_000


def test_a_disk_answers_from_its_buffer_and_flushes_to_the_disc(hdd: Any) -> None:
    """A write is answered when it is in the buffer; the flush when the head has come round and written it."""
    run = Writes(hdd, HDD_WRITE)
    # Command until 0.1 ms, 8 us on the wire. Sector 8 begins at 1 ms and 8 sectors end at 2 ms: no seek.
    run.at(0, 8, 8, "a")
    # In the buffer too: sectors 16-23 pass until 3 ms.
    run.at(200_000, 16, 8, "b")
    run.at(400_000, 0, 0, "flush")
    assert [(108_000, "a"), (308_000, "b"), (3_200_000, "flush")] == run.run()


def test_a_full_buffer_makes_the_host_wait_for_the_disc(hdd: Any) -> None:
    """16 sectors fit: the third write of 8 is answered when the first is on the disc."""
    run = Writes(hdd, HDD_WRITE)
    for number in range(3):
        run.at(0, 8 + 8 * number, 8, str(number))
    assert [(108_000, "0"), (116_000, "1"), (2_000_000, "2")] == run.run()


def test_without_a_cache_a_write_takes_its_rotation(hdd: Any) -> None:
    """The same write through: answered when it is on the disc; then a flush is a command."""
    run = Writes(hdd, replace(HDD_WRITE, volatile_cache=False))
    run.at(0, 8, 8, "a")
    # Cylinder 1, sector 128: seek 1 ms and 0.5 ms of settling from 2.1 ms on, at 3.6; it begins at 9.5 ms.
    run.at(2_000_000, 128, 8, "far")
    assert [(2_000_000, "a"), (10_500_000, "far")] == run.run()


def test_a_disk_writes_in_sequence_at_the_rate_it_reads(hdd: Any) -> None:
    """1,000 sectors in a row and a flush: as long as reading them with a head that is there."""
    run = Writes(hdd, HDD_WRITE)
    for number in range(125):
        run.at(0, 8 * number, 8, str(number))
    run.at(0, 0, 0, "flush")
    device: Any = run.device
    on_disc_ns = device.geometry.read(0, 1000, 100_000)
    assert (on_disc_ns + 200_000, "flush") == run.run()[-1]


@given(requests=writes)
@settings(deadline=None, max_examples=60)
def test_no_disk_is_faster_than_its_platter(hdd: Any, requests: list[tuple[int, int, int]]) -> None:
    """A flush that ends all comes no sooner than the sectors can pass under the head."""
    run = Writes(hdd, HDD_WRITE)
    for number, (time_ns, sector, sectors) in enumerate(requests):
        run.at(time_ns, sector, max(sectors, 1), str(number))
    run.at(60_001, 0, 0, "flush")
    log = run.run()
    assert len(requests) + 1 == len(log)
    written = sum(max(sectors, 1) for _, _, sectors in requests)
    start = min(time_ns for time_ns, _, _ in requests)
    assert {token: time for time, token in log}["flush"] >= start + 125_000 * written + 200_000


def test_what_cannot_be_written_to_says_so(hdd: Any, ssd: Any) -> None:
    """A profile without [write], sectors beyond its end; memory can be written."""
    for model in (ssd, hdd):
        run = Writes(model, None)
        run.at(0, 0, 8, "a")
        with pytest.raises(ConfigError, match="cannot be written to"):
            run.run()
    run = Writes(hdd, HDD_WRITE)
    run.at(0, 64 * 200 - 4, 8, "a")
    with pytest.raises(ConfigError, match=r"write of sectors 12796 \.\. 12804"):
        run.run()
    assert load_device_profile("ramdisk").can_write


def test_a_disk_that_sorts_reads_writes_in_order(hdd: Any) -> None:
    """With sptf a write is taken as with fifo, and goes to the disc before reads that wait."""
    logs = {}
    for ncq in ("fifo", "sptf"):
        run = Writes(replace(hdd, ncq=ncq, drive_read_ahead_bytes=0), HDD_WRITE)
        run.clock.call_after(0, lambda run=run: run.device.submit(0, 8, "read", run.note))
        run.at(100_000, 128, 8, "write")
        run.clock.call_after(200_000, lambda run=run: run.device.submit(8, 8, "later", run.note))
        run.at(300_000, 0, 0, "flush")
        logs[ncq] = run.run()
    # The first read ends at 9 ms (sector 0 was just gone); after it the write crosses in 8 us. It is
    # on the disc at 18.5 ms: seek 1 ms, settle 0.5 ms, sector 128 comes round at 17.5 ms. Flush 0.2 ms. Then
    # back: seek 1 ms, sector 8 comes round at 25 ms.
    expected = [(9_001_000, "read"), (9_009_000, "write"), (18_700_000, "flush"), (26_001_000, "later")]
    assert {"fifo": expected, "sptf": expected} == logs


def test_a_constant_of_writing_can_be_varied() -> None:
    """For sensitivity: the one named changes, in either group, and nothing else."""
    profile = load_device_profile("sata-ssd")
    assert isinstance(profile.write, SsdWrite)
    slower = varied(profile, "write.flush_ns", 1.5)
    assert replace(profile.write, flush_ns=1_350_000) == slower.write
    assert profile.model == slower.model
    assert profile.write == varied(profile, "model.command_ns", 2).write
    for name in ("write.fua", "write.units", "limits.max_sectors"):
        with pytest.raises(ConfigError, match="cannot be varied; allowed: a number of its"):
            varied(profile, name, 2)


def test_write_constants_are_checked() -> None:
    """[write] may be left out; in it, a constant that is missing or has a wrong unit is told."""
    folder = resources.files("sim") / "profiles" / "devices"
    text = (folder / "nvme.toml").read_text(encoding="utf-8")
    only_read = text[: text.index("[write]")]
    assert not parse_device_profile("p", "p", only_read).can_write
    with pytest.raises(ConfigError, match=r"write\.sustained_rate: unit 'us'; allowed: B/s"):
        parse_device_profile("p", "p", text.replace('value = 5, unit = "GB/s"', 'value = 5, unit = "us"'))
    with pytest.raises(ConfigError, match="write: constant 'fue' is not known; allowed: fua"):
        parse_device_profile("p", "p", text.replace("\nfua = ", "\nfue = "))
    ram = (folder / "ramdisk.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match="'write' is not known"):
        parse_device_profile("p", "p", ram + "[write]\n")
