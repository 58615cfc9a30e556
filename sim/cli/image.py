"""
readpath image: make, list and check ext4 images.

Thin wrappers over the plain functions of sim.cli.image_verbs, loaded when one runs. Exit codes: 0 done;
1 `check` has found problems; 2 something cannot be read, as ReadpathError tells.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="image",
    help="Make, list and check ext4 images.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ImagePath = Annotated[Path, typer.Argument(metavar="IMAGE", help="An ext4 image.")]
InnerPath = Annotated[str, typer.Argument(metavar="PATH", help="A path in the image.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("make")
def make(
    paths: Annotated[
        list[Path], typer.Argument(metavar="[SPEC.toml] IMAGE", help="What to make, and where to.")
    ],
    files: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            metavar="NAME:SIZE[:LAYOUT[:OPTION=VALUE,..]]",
            help="A file, as data:64MiB:fragmented:extent=64KiB. Repeatable.",
        ),
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="Of the device [what the files need].")] = None,
    block_size: Annotated[str | None, typer.Option("--block-size", help="1KiB, 2KiB or 4KiB [4KiB].")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of contents, layouts, times and uuid [0].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an image, from a TOML file or from options; a manifest with every file's SHA-256 with --json."""
    from sim.cli.image_verbs import run_make, spec_of

    run_make(paths[-1], spec_of(paths, files or [], size, block_size, seed), as_json)


@app.command("ls")
def ls(
    image: ImagePath,
    path: InnerPath = "/",
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All directories below too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List a directory: inode, type, mode, links, bytes, extents/depth, time of change, path."""
    from sim.cli.image_verbs import run_ls

    run_ls(image, path, as_json, recursive)


@app.command("extents")
def extents(image: ImagePath, path: InnerPath, as_json: AsJson = False) -> None:
    """Show a file's extent tree, with its index and leaf blocks."""
    from sim.cli.image_verbs import run_extents

    run_extents(image, path, as_json)


@app.command("cat")
def cat(
    image: ImagePath,
    path: InnerPath,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="FILE", help="Master keys: decrypt. Without: ciphertext in whole blocks."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print length and SHA-256 as JSON, not the contents.")
    ] = False,
) -> None:
    """Write a file's contents to standard output."""
    from sim.cli.image_verbs import fscrypt_decryptor, run_cat, run_digest

    decryptor = None if keys is None else fscrypt_decryptor(keys)
    if as_json:
        run_digest(image, path, decryptor)
        return
    run_cat(image, path, sys.stdout.buffer, decryptor)
    sys.stdout.buffer.flush()


@app.command("check")
def check(image: ImagePath, as_json: AsJson = False) -> None:
    """Walk everything in an image and tell what is wrong; exit code 1 if anything is."""
    from sim.cli.image_verbs import run_check

    code = run_check(image, as_json)
    if code:
        raise typer.Exit(code)
