"""The figures over a run's axes: which runs have them, and the numbers in them."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure
from run_kit import made_up

from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.report.curves import concurrency, file_size, points, readahead
from sim.report.device_bound import cpu_share, device_bound, elapsed_us
from sim.report.figures import FIGURES, draw
from sim.report.map_calls import calls_per_block, map_calls
from sim.report.memory import bytes_per_page, memory
from sim.report.overhead_map import overhead_map, ratios
from sim.report.panels import phrase, run_footer
from sim.report.style import PATH_COLOURS, RC, TALLEST_INCHES

CPU_NS = {"buffer_head": 900.0, "page_io": 600.0, "iomap": 1000.0}
PATHS = list(CPU_NS)


def _metrics(labels: dict[str, str]) -> dict[str, float]:
    cpu = CPU_NS[labels.get("path", "page_io")]
    return {
        "cpu_ns_per_4k": cpu,
        "cpu_ns": cpu,
        "elapsed_ns": 2000,
        "bytes_read": 8192,
        "pages_read": 2,
        "throughput_mib_s": 3906.25,
        "buffer_heads": 8 if labels.get("path") == "buffer_head" else 0,
    }


def _run(**axes: list[str]) -> Run:
    keys = {
        "layout": "volume.files.layout",
        "block_size": "volume.block_size",
        "device": "device.profile",
        "window": "device.read_ahead_kb",
        "readers": "workload.job.numjobs",
        "size": "volume.files.size",
        "cores": "machine.cpus",
    }
    return made_up({keys.get(name, name): labels for name, labels in axes.items()}, _metrics)


RUNS = {
    "overhead_map": _run(layout=["contiguous", "sparse"], block_size=["1KiB", "4KiB"], path=PATHS),
    "device_bound": _run(device=["nvme", "hdd"], path=PATHS),
    "readahead": _run(window=["4", "128"], path=PATHS),
    "concurrency": _run(readers=["1", "8"], cores=["1", "2"], path=PATHS),
    "file_size": _run(size=["1KiB", "64KiB"], path=PATHS),
    "memory": _run(block_size=["1KiB", "4KiB"], path=PATHS),
}


def _texts(figure: Figure) -> list[str]:
    found = [text.get_text() for text in figure.texts]
    for panel in figure.axes:
        found += [panel.get_title(), panel.get_xlabel(), panel.get_ylabel()]
        found += [text.get_text() for text in panel.texts]
    return found


@pytest.mark.parametrize("name", RUNS)
def test_a_run_has_the_figures_its_axes_vary(name):
    """Each figure is drawn for the run that varies what it shows, beside the bars that every run has."""
    with mpl.rc_context(RC):
        has = [figure for figure, function in FIGURES.items() if function(RUNS[name])]
    also = ["memory"] if name == "overhead_map" else []
    assert ["cpu_per_4k", name, *also] == has


@pytest.mark.parametrize("name", RUNS)
def test_no_path_no_comparison(name):
    """A run of one path has nothing to compare: only the bars."""
    axes = {key: labels for key, labels in RUNS[name].axes.items() if key != "path"}
    with mpl.rc_context(RC):
        has = [figure for figure, function in FIGURES.items() if function(made_up(axes, _metrics))]
    assert ["cpu_per_4k"] == has


@pytest.mark.parametrize("name", RUNS)
def test_where_the_numbers_come_from(name):
    """Every figure has the footer with seeds and configuration."""
    with mpl.rc_context(RC):
        for figure in FIGURES[name](RUNS[name]):
            assert "made-up   seeds 0   config 0123456789ab   readpath 9.9" in _texts(figure)


def test_overhead_is_buffer_head_over_the_extent_path():
    """A cell of the map is CPU time of buffer_head over the other path's; below 1 it is outlined."""
    run = RUNS["overhead_map"]
    assert [[1.5, 1.5], [1.5, 1.5]] == ratios(run, "page_io", "volume.files.layout", {})
    assert [[0.9, 0.9], [0.9, 0.9]] == ratios(run, "iomap", "volume.files.layout", {})
    with mpl.rc_context(RC):
        (figure,) = overhead_map(run)
    wins, loses = figure.axes
    assert (0, 4) == (len(wins.patches), len(loses.patches))


@pytest.mark.parametrize(("ratio", "drawn"), [(0.994, 1), (0.996, 0), (1.0, 0), (1.004, 0)])
def test_a_cell_is_drawn_as_its_number_reads(ratio, drawn):
    """0.99 is outlined as a loss; what reads 1.00 is not, on whichever side of 1 it lies."""

    def metrics(labels):
        slower = labels["path"] == "page_io"
        return _metrics(labels) | {"cpu_ns_per_4k": 1000.0 if slower else 1000.0 * ratio}

    with mpl.rc_context(RC):
        (figure,) = overhead_map(made_up(RUNS["overhead_map"].axes | {"path": PATHS[:2]}, metrics))
    (panel,) = figure.axes
    assert {"0.99" if drawn else "1.00"} == {text.get_text() for text in panel.texts}
    assert 4 * drawn == len(panel.patches)


def test_bars_name_what_their_columns_are():
    """A number above a column of panels says what it counts; a layout's label speaks for itself."""
    with mpl.rc_context(RC):
        (readers,) = FIGURES["cpu_per_4k"](RUNS["concurrency"])
        (layouts,) = FIGURES["cpu_per_4k"](_run(layout=["contiguous", "sparse"], path=PATHS))
    assert ["1 reader", "8 readers"] == [panel.get_title() for panel in readers.axes[:2]]
    assert ["contiguous", "sparse"] == [panel.get_title() for panel in layouts.axes]


@pytest.mark.parametrize(
    ("axis", "label", "said"),
    [
        ("machine.large_folios", "true", "large folios"),
        ("machine.large_folios", "false", "no large folios"),
        ("workload.browser_cache.shared", "false", "no shared cache"),
        ("workload.browser_cache.shared", "private", "private cache"),
        ("machine.cpus", "1", "1 core"),
        ("volume.files.layout.extent_blocks", "16", "extents of 16 blocks"),
        ("volume.block_size", "1KiB", "1 KiB blocks"),
        ("cache.status", "warm", "status warm"),
    ],
)
def test_labels_in_words(axis, label, said):
    """What a label is called where its axis is not to be seen."""
    assert said == phrase([axis], axis, label)


def test_nothing_is_said_twice():
    """A label that is a word of its own stands alone; the one cache is not a "shared shared"."""
    axes = {
        "workload.browser_cache.shared": ["shared", "private"],
        "encryption": ["none", "x"],
        "path": PATHS,
    }
    with mpl.rc_context(RC):
        (figure,) = FIGURES["cpu_per_4k"](made_up(axes, _metrics))
    assert ["shared cache", "private cache"] == [panel.get_title() for panel in figure.axes[:2]]
    assert ["not encrypted", "x"] == [text.get_text() for text in figure.texts[:2]]


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ((0,), "0"),
        ((0, 1), "0, 1"),
        (tuple(range(10)), "0 to 9"),
        ((3, 4, 5, 256), "3 to 5, 256"),
        ((5, 4), "5, 4"),
    ],
)
def test_seeds_are_said_shortly(seeds, said):
    """Ranges of three and more are said by their ends."""
    assert f"   seeds {said}   " in run_footer(made_up({}, _metrics, seeds))


def test_a_long_map_goes_on_another_page():
    """Panels beyond the height of a page go on the next one; none is left out."""
    run = _run(
        layout=["a", "b"],
        block_size=["1KiB", "4KiB"],
        cores=[str(number) for number in range(1, 21)],
        path=["buffer_head", "page_io"],
    )
    with mpl.rc_context(RC):
        figures = overhead_map(run)
    assert 20 == sum(len(figure.axes) for figure in figures)
    assert len(figures) > 1
    assert all(figure.get_figheight() <= TALLEST_INCHES for figure in figures)


def test_device_bound_numbers():
    """Elapsed time is per 4 KiB read, the CPU share is of one core, the ratio is of elapsed times."""
    row = {"elapsed_ns": 2000, "bytes_read": 8192, "cpu_ns": 500}
    assert (1.0, 25.0) == (elapsed_us(row), cpu_share(row))
    with mpl.rc_context(RC):
        (figure,) = device_bound(RUNS["device_bound"])
    assert ["1.00", "1.00"] == [text.get_text() for text in figure.axes[2].texts]


def test_curves_are_means_in_the_colour_of_their_path():
    """A line per path, in its colour, through the means over seeds."""
    axes = {"device.read_ahead_kb": ["4", "128"], "path": PATHS}
    run = made_up(axes, _metrics, seeds=(0, 1))
    run.metrics[0]["cpu_ns_per_4k"] = 1100.0  # buffer_head at 4 KiB, seed 0; seed 1 has 900
    assert [1000.0, 900.0] == points(
        run, "device.read_ahead_kb", {"path": "buffer_head"}, lambda row: row["cpu_ns_per_4k"]
    )
    with mpl.rc_context(RC):
        (figure,) = readahead(run)
    line = figure.axes[0].lines[0]
    assert [4.0, 128.0] == list(line.get_xdata())
    assert [1.0, 0.9] == list(line.get_ydata())
    assert [PATH_COLOURS[path] for path in PATHS] == [line.get_color() for line in figure.axes[0].lines]


def test_no_curve_leaves_its_panel():
    """Panels of a row share a scale that holds the highest of all of them."""

    def metrics(labels):
        return _metrics(labels) | {"throughput_mib_s": 1000.0 * int(labels["machine.cpus"])}

    axes = {"workload.job.numjobs": ["1", "8"], "machine.cpus": ["1", "4"], "path": PATHS}
    with mpl.rc_context(RC):
        (figure,) = concurrency(made_up(axes, metrics))
    for panel in figure.axes:
        assert max(max(line.get_ydata()) for line in panel.lines) < panel.get_ylim()[1]


def test_file_sizes_are_in_kib():
    """Labels such as 64KiB become places on an axis in KiB."""
    with mpl.rc_context(RC):
        (figure,) = file_size(RUNS["file_size"])
    assert [1.0, 64.0] == list(figure.axes[0].lines[0].get_xdata())


def test_memory_is_104_bytes_a_buffer_head():
    """Four buffer heads on a page are 416 bytes, a tenth of it; a path without any says 0."""
    assert 416.0 == bytes_per_page({"buffer_heads": 8, "pages_read": 2})
    with mpl.rc_context(RC):
        (figure,) = memory(RUNS["memory"])
    assert ["416 B  (10.2 %)", "0", "0"] == [text.get_text() for text in figure.axes[0].texts][:3]


def test_calls_per_block():
    """Four calls a page are one a block of 1 KiB and four a block of 4 KiB; one a block is outlined."""
    axes = {"volume.files.layout": ["contiguous", "sparse"], "path": ["buffer_head", "page_io"]}
    calls = {("buffer_head", "contiguous"): 8, ("buffer_head", "sparse"): 8, ("page_io", "contiguous"): 1}

    def metrics(labels):
        made = calls.get((labels["path"], labels["volume.files.layout"]), 5)
        return _metrics(labels) | {"map_calls": made}

    run = made_up(axes, metrics)
    for cell in run.manifest["cells"]:
        cell["config"]["volume"] = {"block_size_bytes": 1024}
    assert [[1.0, 1.0], [0.125, 0.625]] == calls_per_block(run, "volume.files.layout", {})
    with mpl.rc_context(RC):
        (figure,) = map_calls(run)
    (panel,) = figure.axes
    assert ["1.00", "1.00", "0.12", "0.62"] == [text.get_text() for text in panel.texts]
    assert 2 == len(panel.patches)
    run.metrics[0]["pages_read"] = 0  # all was cached
    assert [] == map_calls(run)
    run.metrics[0]["pages_read"] = 1
    run.manifest["cells"][0]["config"]["volume"] = {"block_size_bytes": None}
    assert [] == map_calls(run)


def test_figures_by_name(tmp_path):
    """Only what was asked for is drawn; an unknown name and one that does not apply are told apart."""
    run = RUNS["memory"]
    assert [tmp_path / "memory.svg"] == draw(run, tmp_path, ["svg"], ["memory"])
    with pytest.raises(ConfigError, match="--figure: 'pie' is not known; allowed: cpu_per_4k, overhead_map"):
        draw(run, tmp_path, ["svg"], ["pie"])
    with pytest.raises(ConfigError, match="does not have what it shows; allowed: cpu_per_4k, memory"):
        draw(run, tmp_path, ["svg"], ["readahead"])


@pytest.mark.parametrize("name", RUNS)
def test_every_figure_repeats_to_the_byte(name, tmp_path):
    """Drawing twice gives the same SVG and PNG."""
    folders = [tmp_path / "once", tmp_path / "again"]
    for folder in folders:
        folder.mkdir()
        draw(RUNS[name], folder, names=[name])
    once, again = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert {f"{name}.svg", f"{name}.png"} <= set(once)
    assert once == again
