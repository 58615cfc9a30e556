"""
readpath: the command. Each verb loads what it needs when it runs, so that --help answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sim.cli import complete
from sim.cli.calibrate_app import app as calibrate
from sim.cli.exchange import add_verbs
from sim.cli.exits import INTERRUPTED, epilog
from sim.cli.guard import flushed, guarded, prepare_streams
from sim.cli.image.app import app as image_verbs
from sim.cli.options import AsJson, CurrencyWord, Diff, Formats, RunFolder, Where, formats_of
from sim.cli.quiet import Quiet, with_quiet
from sim.cli.usage import Verbs
from sim.errors import ConfigError


class _Group(Verbs):
    """The verbs, with what can go wrong told in one line."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the command line; --help and --version print here."""
        with guarded():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb."""
        with guarded():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Group,
    help="Simulate the Linux file read path: per-block against per-extent, on real ext4 images.",
    epilog=epilog(),
    no_args_is_help=True,
    rich_markup_mode=None,  # rich alone would take half of the time that --help may take
    pretty_exceptions_enable=False,
)

Force = Annotated[
    bool, typer.Option("--force", help="Run it, however long or however much memory it would take.")
]


def _version(wanted: bool) -> None:
    if wanted:
        from sim import __version__
        from sim.engine.mode import compiled

        typer.echo(f"readpath {__version__} ({'compiled' if compiled() else 'plain Python'})")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command("run")
def run(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="An experiment, by its file (.toml) or by a name as `readpath list` shows them;"
            " or a fio job file (.fio).",
            autocompletion=complete.experiments,
        ),
    ] = None,
    fio: Annotated[
        str | None,
        typer.Option("--fio", metavar="COMMAND", help="A fio command line, in place of the file's jobs."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Replace a value: volume.block_size=1KiB, workload.job.bs=64k. Repeatable.",
            autocompletion=complete.axis_values,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The run directory [results/runs/NAME-HASH]."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=0, help="Worker processes; 0 = one per core, or none for what is soon done."
        ),
    ] = 0,
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Where the images made are kept.")
    ] = Path("results/images"),
    trace: Annotated[
        bool, typer.Option("--trace", help="Keep every bio, call and stretch of CPU work; `export` reads it.")
    ] = False,
    no_figures: Annotated[
        bool, typer.Option("--no-figures", help="Draw nothing; `readpath plot` does it later.")
    ] = False,
    force: Force = False,
    scheduler: Annotated[
        str,
        typer.Option(
            "--scheduler", metavar="ADDRESS|local", help="Run the cells on a Dask cluster (docs/cluster.md)."
        ),
    ] = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run an experiment: a table, a figure, a run directory."""
    from sim.cli.run import run_experiment

    figures = not no_figures
    options = file, fio, sets or [], output, jobs, images, trace, figures, as_json, quiet, force, scheduler
    raise typer.Exit(run_experiment(*options))


@app.command("plot")
def plot(
    folder: RunFolder,
    formats: Formats = None,
    names: Annotated[
        list[str] | None,
        typer.Option("--figure", metavar="NAME", help="Only this one [all that the run has]. Repeatable."),
    ] = None,
    where: Where = None,
    diff: Diff = None,
    currency: CurrencyWord = "",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Draw the figures of a run again; flame and flame_diff, of cells chosen as for `show`, if asked for."""
    from sim.cli.plot import plot_run

    plot_run(folder, formats_of(formats), as_json, quiet, names, where, diff, currency)


@app.command("timeline")
def timeline(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the figure goes.")
    ] = Path("results/timeline"),
    formats: Formats = None,
    paths: Annotated[
        list[str] | None,
        typer.Option(
            "--path",
            help="buffer_head, mpage, page_io, iomap [these], ... Repeatable.",
            autocompletion=complete.paths,
        ),
    ] = None,
    block_size: Annotated[
        str, typer.Option("--block-size", help="1KiB, 2KiB, 4KiB; with kernel 7.3 up to 64KiB.")
    ] = "1KiB",
    pages: Annotated[int, typer.Option("--pages", help="Pages of the window.")] = 8,
    latency: Annotated[str, typer.Option("--latency", help="Of each command of the device.")] = "25us",
    as_json: AsJson = False,
) -> None:
    """Draw the timeline of one read window on each path, side by side."""
    from sim.cli.timeline import PATHS, draw_timelines

    draw_timelines(output, formats_of(formats), list(paths or PATHS), block_size, pages, latency, as_json)


@app.command("list")
def list_verb(
    experiments: Annotated[
        Path, typer.Option("--experiments", metavar="DIR", help="The folder of experiment files.")
    ] = Path("experiments"),
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="The folder of run directories.")
    ] = Path("results/runs"),
    as_json: AsJson = False,
) -> None:
    """List experiments, with what they ask, run directories and devices."""
    from sim.cli.listing import list_all

    list_all(experiments, runs, as_json)


@app.command("init")
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new experiment file (.toml).")],
    as_json: AsJson = False,
) -> None:
    """Write a commented example experiment that runs as it is."""
    from sim.cli.init import write_example

    write_example(file, as_json)


@app.command("show")
def show(
    folder: RunFolder,
    where: Where = None,
    diff: Diff = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many rows.")] = 30,
    stacks: Annotated[bool, typer.Option("--stacks", help="Per call stack instead of per symbol.")] = False,
    currency: CurrencyWord = "",
    as_json: AsJson = False,
) -> None:
    """Show where the CPU time of a run went, or its instructions, by kernel symbol."""
    from sim.cli.show import show_run

    show_run(folder, where or [], diff, top, stacks, as_json, currency)


@app.command("check")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN",
            help="A run directory; those committed in results/reference if none.",
            autocompletion=complete.runs,
        ),
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="DIR", help="Hold the values against this baseline.")
    ] = None,
    claims: Annotated[Path, typer.Option("--claims", metavar="DIR", help="The folder of claims.")] = Path(
        "experiments/claims"
    ),
    update: Annotated[
        bool,
        typer.Option(
            "--update-baseline",
            help="Show what differs, then record it [results/reference/EXPERIMENT if no --baseline].",
        ),
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Also write the verdicts as JUnit XML.")
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors, and verdicts that are not held.")
    ] = False,
) -> None:
    """Check claims on a run: exit 0 all held, 1 one failed, 2 one cannot be told or is stale."""
    from sim.cli.check import check_claims

    raise typer.Exit(check_claims(folder, baseline, claims, update, as_json, junit, quiet))


@app.command("sensitivity")
def sensitivity(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An experiment that has claims: a file, or a name.",
            autocompletion=complete.experiments,
        ),
    ],
    names: Annotated[
        list[str] | None, typer.Option("--claim", metavar="NAME", help="Only this claim. Repeatable.")
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, as for run. Repeatable."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where it goes [results/sensitivity/NAME-HASH]."),
    ] = None,
    claims: Annotated[Path, typer.Option("--claims", metavar="DIR", help="The folder of claims.")] = Path(
        "experiments/claims"
    ),
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Worker processes; 0 = one per core.")] = 0,
    images: Annotated[
        Path, typer.Option("--images", metavar="DIR", help="Where the images made are kept.")
    ] = Path("results/images"),
    top: Annotated[int, typer.Option("--top", min=1, help="Constants per figure.")] = 10,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show which constants the claims of an experiment hang on: each moved within its interval."""
    from sim.cli.sensitivity import sensitivity_of

    sensitivity_of(file, names or [], sets or [], output, claims, jobs, images, top, as_json, force)


@app.command("validate")
def validate(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="COUNTS", help="Counts files (JSON lines); the recorded ones if none."),
    ] = None,
    layouts: Annotated[
        Path | None,
        typer.Option("--layouts", help="Folder of layout files; `layouts` beside COUNTS if none."),
    ] = None,
    case: Annotated[str, typer.Option("--case", metavar="GLOB", help="Only cases of these names.")] = "*",
    published: Annotated[
        bool, typer.Option("--published", help="What others measured instead, beside the simulator.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="With --published: record what the simulator gives now.")
    ] = False,
    as_json: AsJson = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", metavar="FILE", help="Draw kernel against simulator: SVG or PNG."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Hold recorded kernel cases against the simulator, call for call; exit 1 if any differs."""
    if published or update:
        if not published:
            raise ConfigError("--update", "is for published numbers", "with --published")
        from sim.cli.published import validate_published

        raise typer.Exit(validate_published(update, as_json))
    from sim.cli.validate import validate_cases

    raise typer.Exit(validate_cases(files or [], layouts, case, as_json, quiet, figure))


add_verbs(app)
app.add_typer(calibrate, name="calibrate")
for _verbs in (app, image_verbs, calibrate):
    with_quiet(_verbs)
app.add_typer(image_verbs, name="image")


def main() -> None:
    """Run the command line and exit."""
    try:
        prepare_streams()
        app(prog_name="readpath")
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as done:
        raise SystemExit(flushed(int(done.code or 0))) from None


if __name__ == "__main__":
    main()
