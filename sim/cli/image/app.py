"""
readpath image: make, list, check and change ext4 images, and the keys of files in them.

Thin wrappers over the plain functions of this package, loaded when one runs; those that only read are in
sim.cli.image.reading.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sim.cli.image.reading import cat, check, extents, inspect, ls
from sim.cli.image.words import AsJson, FileKeys, ImagePath, InnerPath, KeyUsers, Moved, VolumeKey
from sim.cli.usage import Verbs

app = typer.Typer(
    name="image",
    cls=Verbs,
    help="Make, list, check and change ext4 images.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

KeyFile = Annotated[Path, typer.Option("--keys", metavar="FILE", help="Users' keys; mode 0600.")]
Users = Annotated[list[str], typer.Option("--user", metavar="USER", help="Who may read it. Repeatable.")]
Opener = Annotated[str, typer.Option("--as", metavar="USER", help="A user who can read it.")]
Seed = Annotated[
    int | None, typer.Option("--seed", help="For images that can be made again; protects nothing.")
]
Form = Annotated[str, typer.Option("--format", help="Of wrapped keys: aes-kw, rfc2014.")]
Scrub = Annotated[bool, typer.Option("--scrub", help="Zero the image's free blocks and its journal, too.")]


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
    block_size: Annotated[str | None, typer.Option("--block-size", help="1KiB to 64KiB [4KiB].")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Of contents, layouts, times and uuid [0].")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Make it, however long that takes.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an image, from a TOML file or from options; a manifest with every file's SHA-256 with --json."""
    from sim.cli.image.verbs import run_make, spec_of

    run_make(paths[-1], spec_of(paths, files or [], size, block_size, seed), as_json, force)


for verb in (ls, extents, cat, check):
    app.command(verb.__name__)(verb)


@app.command("protect")
def protect(
    image: ImagePath,
    layout: Annotated[
        str, typer.Option("--layout", help="table_all, table_data, per_extent, per_extent_place, merkle.")
    ],
    algorithm: Annotated[
        str,
        typer.Option("--algorithm", help="crc32c, xxh64, sha256, blake2b; hmac-sha256, aes-cmac, ..."),
    ],
    scheme: Annotated[
        str,
        typer.Option("--scheme", help="checksum, mac, encrypt-then-mac, checksum-then-encrypt."),
    ] = "checksum",
    extent_blocks: Annotated[
        int, typer.Option("--extent-blocks", help="With per_extent: blocks of a tag at most [0, any].")
    ] = 0,
    volume_key: VolumeKey = None,
    keys: FileKeys = None,
    users: KeyUsers = None,
    as_json: AsJson = False,
) -> None:
    """Give an image tags of its data, or bring them up to date; `check --data` checks the data by them."""
    from sim.cli.image.data import Known, run_protect
    from sim.integrity.plan import Plan

    plan = Plan.of(layout, scheme, algorithm, extent_blocks)
    run_protect(image, plan, Known(volume_key, keys, users or []), as_json)


@app.command("attack")
def attack(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ATTACK]...", help="Which [all].")] = None,
    schemes: Annotated[
        list[str] | None, typer.Option("--scheme", help="On tags of this scheme alone. Repeatable [all].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run attacks on images with tags, made for that, and print who notices: tables in Markdown."""
    from sim.cli.image.attack import run_attack

    run_attack(names or [], schemes or [], as_json)


@app.command("clone")
def clone(
    image: ImagePath,
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A file in the image.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="The clone's name.")],
    as_json: AsJson = False,
) -> None:
    """Clone a file: a second one that shares its blocks until either is written."""
    from sim.cli.image.sharing import run_clone

    run_clone(image, source, target, as_json)


@app.command("sharing")
def sharing(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[ENCRYPTION]...", help="Of which kind [all].")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run clones under each kind of encryption and of tags, print what came of it: a table in Markdown."""
    from sim.cli.image.sharing import run_sharing

    run_sharing(names or [], as_json)


@app.command("reads")
def reads(as_json: AsJson = False) -> None:
    """Count what verifying makes a reader read, under each layout of tags: a table in Markdown."""
    from sim.cli.image.reads import run_image_reads

    run_image_reads(as_json)


@app.command("encrypt")
def encrypt(
    image: ImagePath,
    path: InnerPath,
    keys: KeyFile,
    users: Users,
    members: Annotated[
        list[str] | None,
        typer.Option("--as", metavar="USER", help="A member of a group in --user, to open it. Repeatable."),
    ] = None,
    needed: Annotated[int | None, typer.Option("--needed", help="That many of the users together.")] = None,
    escrow: Annotated[str | None, typer.Option("--escrow", help="An authority that can open it too.")] = None,
    form: Form = "aes-kw",
    mode: Annotated[str, typer.Option("--mode", help="xts, or gcm with stored tags.")] = "xts",
    seed: Seed = None,
    scrub: Scrub = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt a plain file under a key of its own, wrapped for users (@name for a group)."""
    from sim.cli.image.keys import run_encrypt

    run_encrypt(
        image,
        path,
        keys,
        users,
        members=members or [],
        needed=needed,
        escrow=escrow,
        form=form,
        mode=mode,
        seed=seed,
        scrub=scrub,
        as_json=as_json,
    )


@app.command("rekey")
def rekey(
    image: ImagePath,
    path: InnerPath,
    keys: KeyFile,
    openers: Annotated[list[str], typer.Option("--as", metavar="USER", help="Who can read it. Repeatable.")],
    keep: Annotated[
        list[str] | None, typer.Option("--keep", metavar="USER", help="Who gets a new key too. Repeatable.")
    ] = None,
    escrow: Annotated[
        list[str] | None,
        typer.Option("--escrow", metavar="USER", help="Who gets all of it where others have shares."),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option("--without", metavar="USER", help="Who gets no new key. Repeatable.")
    ] = None,
    form: Annotated[str | None, typer.Option("--format", help="Of wrapped keys [as it is].")] = None,
    mode: Annotated[str | None, typer.Option("--mode", help="xts or gcm [as it is].")] = None,
    moved: Moved = False,
    seed: Seed = None,
    scrub: Scrub = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt a file anew under a new key, for --as and --keep; --keys has a key of each."""
    from sim.cli.image.keys import run_rekey

    run_rekey(
        image,
        path,
        keys,
        openers,
        keep=keep or [],
        escrow=escrow or [],
        without=without or [],
        form=form,
        mode=mode,
        moved=moved,
        seed=seed,
        scrub=scrub,
        as_json=as_json,
    )


@app.command("scrub")
def scrub(image: ImagePath, as_json: AsJson = False) -> None:
    """Zero an image's free blocks and the log of its journal; needs no key."""
    from sim.cli.image.keys import run_scrub

    run_scrub(image, as_json)


@app.command("group")
def group(
    image: ImagePath,
    name: Annotated[str, typer.Argument(metavar="@GROUP", help="The group's name.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="Users' keys; mode 0600.")
    ] = None,
    users: Annotated[
        list[str] | None, typer.Option("--user", metavar="USER", help="A member. Repeatable.")
    ] = None,
    opener: Annotated[
        str | None, typer.Option("--as", metavar="USER", help="A member who lets these into the group.")
    ] = None,
    without: Annotated[
        str | None, typer.Option("--without", metavar="USER", help="Who leaves; needs no key.")
    ] = None,
    form: Form = "aes-kw",
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Make a group: a key wrapped for its members, kept in the image; let members in (--as) and out."""
    from sim.cli.image.keys import run_group

    run_group(image, name, keys, users or [], form, seed, opener=opener, without=without, as_json=as_json)


@app.command("adduser")
def adduser(
    image: ImagePath,
    user: Annotated[str, typer.Argument(metavar="USER", help="The new user.")],
    keys: KeyFile,
    opener: Opener,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Share every file that one user can read with another; no data is encrypted anew."""
    from sim.cli.image.keys import run_adduser

    run_adduser(image, user, keys, opener, seed, as_json=as_json)


@app.command("share")
def share(
    image: ImagePath,
    path: InnerPath,
    user: Annotated[str, typer.Argument(metavar="USER", help="The new user.")],
    keys: KeyFile,
    opener: Opener,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Wrap a file's key for one user more."""
    from sim.cli.image.keys import run_share

    run_share(image, path, user, keys, opener, seed, as_json=as_json)


@app.command("unshare")
def unshare(
    image: ImagePath,
    path: InnerPath,
    user: Annotated[str, typer.Argument(metavar="USER", help="A user's id, or the signature of a key.")],
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="FILE", help="To find a user's signature (rfc2014).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take a user's wrapped key from a file; needs no key."""
    from sim.cli.image.keys import run_unshare

    run_unshare(image, path, user, keys, as_json=as_json)


@app.command("shred")
def shred(
    image: ImagePath,
    path: InnerPath,
    scan: Annotated[bool, typer.Option("--scan", help="Look for old copies in free blocks too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a file unreadable for ever by clobbering its wrapped keys; needs no key."""
    from sim.cli.image.keys import run_shred

    run_shred(image, path, scan, as_json=as_json)


@app.command("rm")
def rm(image: ImagePath, path: InnerPath, as_json: AsJson = False) -> None:
    """Delete a file; needs no key."""
    from sim.cli.image.keys import run_rm

    run_rm(image, path, as_json=as_json)


app.command("inspect")(inspect)


@app.command("userkey")
def userkey(
    keys: Annotated[Path, typer.Argument(metavar="FILE", help="A user key file; made with mode 0600.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="The new user's id.")],
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="A passphrase, asked for twice, in place of a key.")
    ] = False,
    public: Annotated[
        str | None, typer.Option("--public", metavar="HEX", help="Somebody else's public key.")
    ] = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Add a user to a user key file: with a new key, a passphrase, or a public key."""
    from sim.cli.image.userkeys import run_userkey

    run_userkey(keys, user, passphrase, seed, public, as_json)


@app.command("pubkey")
def pubkey(
    keys: Annotated[Path, typer.Argument(metavar="FILE", help="A user key file.")],
    user: Annotated[str, typer.Argument(metavar="USER", help="A user in it, with a key or a passphrase.")],
    as_json: AsJson = False,
) -> None:
    """Print a user's public key: with it in their key file, others share with the user."""
    from sim.cli.image.userkeys import run_pubkey

    run_pubkey(keys, user, as_json)
