"""
The verbs of `readpath image` that only read, four of them also through dm-crypt.

Exit codes: 0 done; 1 `check` or `ls` has found damage, 4 `check --data` bad data; 2 something cannot be read,
as ReadpathError tells.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from sim.cli.image.words import AsJson, FileKeys, ImagePath, InnerPath, KeyUsers, Moved, VolumeKey
from sim.errors import ConfigError

Cipher = Annotated[
    str | None,
    typer.Option(
        "--dm-crypt", metavar="CIPHER", help="Read through dm-crypt: aes-xts-plain64, aes-cbc-essiv:sha256."
    ),
]
DeviceKey = Annotated[
    Path | None, typer.Option("--keyfile", metavar="FILE", help="dm-crypt's key: its bytes; mode 0600.")
]
SectorSize = Annotated[
    int | None, typer.Option("--sector-size", metavar="BYTES", help="dm-crypt's sectors [512].")
]
LargeSectors = Annotated[
    bool, typer.Option("--iv-large-sectors", help="dm-crypt numbers sectors by their own size.")
]


def ls(
    image: ImagePath,
    path: InnerPath = "/",
    recursive: Annotated[bool, typer.Option("--recursive", "-R", help="All directories below too.")] = False,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="fscrypt master keys: decrypt names.")
    ] = None,
    cipher: Cipher = None,
    keyfile: DeviceKey = None,
    sector_size: SectorSize = None,
    iv_large_sectors: LargeSectors = False,
    as_json: AsJson = False,
) -> None:
    """List a directory: inode, type, mode, links, bytes, extents/depth, time of change, path."""
    from sim.cli.image.listing import run_ls
    from sim.cli.image.opening import Around

    around = Around(cipher, keyfile, sector_size, iv_large_sectors)
    code = run_ls(image, path, as_json, recursive, keys, around)
    if code:
        raise typer.Exit(code)


def extents(
    image: ImagePath,
    path: InnerPath,
    cipher: Cipher = None,
    keyfile: DeviceKey = None,
    sector_size: SectorSize = None,
    iv_large_sectors: LargeSectors = False,
    as_json: AsJson = False,
) -> None:
    """Show a file's extent tree, with its index and leaf blocks."""
    from sim.cli.image.opening import Around
    from sim.cli.image.verbs import run_extents

    run_extents(image, path, as_json, Around(cipher, keyfile, sector_size, iv_large_sectors))


def cat(
    image: ImagePath,
    path: InnerPath,
    keys: Annotated[
        Path | None,
        typer.Option(
            "--keys", metavar="FILE", help="Master keys: decrypt. Without: ciphertext in whole blocks."
        ),
    ] = None,
    users: Annotated[
        list[str] | None,
        typer.Option(
            "--as", metavar="USER", help="Read as a user in --keys; repeat it where shares are needed."
        ),
    ] = None,
    moved: Moved = False,
    cipher: Cipher = None,
    keyfile: DeviceKey = None,
    sector_size: SectorSize = None,
    iv_large_sectors: LargeSectors = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print length and SHA-256 as JSON, not the contents.")
    ] = False,
) -> None:
    """Write a file's contents, or a symlink's target, to standard output; holes as holes, into a file."""
    from sim.cli.image.contents import run_cat, run_digest
    from sim.cli.image.opening import Around

    write: Callable[[BinaryIO], None]
    around = Around(cipher, keyfile, sector_size, iv_large_sectors)
    if users:
        from sim.cli.image.keys import run_cat_as

        if keys is None:
            raise ConfigError("image cat", "--as without --keys", "--keys FILE")
        if cipher is not None:
            raise ConfigError("image cat", "--as with --dm-crypt", "one of them")
        write = partial(run_cat_as, image, path, keys=keys, users=users, moved=moved)
    else:
        write = partial(run_cat, image, path, keys=keys, around=around)
    if as_json:
        run_digest(path, write)
        return
    write(sys.stdout.buffer)
    sys.stdout.buffer.flush()


def check(
    image: ImagePath,
    data: Annotated[
        bool, typer.Option("--data", help="Hold the data against its tags too; exit code 4 if any is bad.")
    ] = False,
    volume_key: VolumeKey = None,
    keys: FileKeys = None,
    users: KeyUsers = None,
    cipher: Cipher = None,
    keyfile: DeviceKey = None,
    sector_size: SectorSize = None,
    iv_large_sectors: LargeSectors = False,
    as_json: AsJson = False,
) -> None:
    """Walk everything in an image and tell what is wrong; exit code 1 if anything is."""
    from sim.cli.image.data import Known
    from sim.cli.image.opening import Around
    from sim.cli.image.verbs import run_check

    known = Known(volume_key, keys, users or [])
    if not data and known != Known(users=[]):
        raise ConfigError("image check", "keys without --data", "--data")
    around = Around(cipher, keyfile, sector_size, iv_large_sectors)
    code = run_check(image, as_json, around, known if data else None)
    if code:
        raise typer.Exit(code)


def inspect(image: ImagePath, as_json: AsJson = False) -> None:
    """Show what an image tells without a key: names, sizes, times, extents, who shares what."""
    from sim.cli.image.inspect import run_inspect

    run_inspect(image, as_json)
