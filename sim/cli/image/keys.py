"""
What `readpath image` does with keys of files: one plain function for each verb.

One verb at a time changes an image, and is checked as a whole before a byte is written. `encrypt`, `rekey`,
`share`, `adduser` and `group` write a new image and rename it; `unshare`, `shred`, `rm` and `scrub` write
into the image, so that what they take away is overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

from sim.cli.image.asking import changing, note, openers_of, randomness, ring_of, tell
from sim.cli.image.contents import refuse_zeros
from sim.crypto.keys.file_keys import FORMATS, MODE_GROUP_KEY, REMOVAL_NOTE, FileKey, KeyRing, format_of, wrap
from sim.crypto.keys.policies import AnyOf, Escrow, KOfN, OwnerOnly, Policy
from sim.crypto.keys.user_keys import GROUP_MARK, KeyFile
from sim.errors import ConfigError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.reflink import ReflinkEditor
from sim.ext4.read.reader import Image
from sim.units import format_size
from sim.volume import keyed_groups, keyed_image
from sim.volume.bound_keys import new_group_binding
from sim.volume.rekey import rekey

PLAINTEXT_NOTE = (
    "the plaintext was overwritten in this image alone: the host's free blocks, snapshots and copies of the "
    "image may still have it"
)
UNSCRUBBED_NOTE = ", and so may the image's own journal and free blocks (--scrub zeroes those)"


def policy_of(users: Sequence[str], needed: int | None, escrow: str | None) -> Policy:
    """Return the policy that options say; ConfigError if they contradict each other."""
    if not users:
        raise ConfigError("--user", "nobody", "one user or more")
    policy: Policy = OwnerOnly(users[0]) if len(users) == 1 else AnyOf(users)
    if needed is not None:
        policy = KOfN(needed, users)
    return policy if escrow is None else Escrow(policy, escrow)


def run_encrypt(
    image: Path,
    path: str,
    keys: Path,
    users: Sequence[str],
    *,
    members: Sequence[str] = (),
    needed: int | None = None,
    escrow: str | None = None,
    form: str = "aes-kw",
    mode: str = "xts",
    seed: int | None = None,
    scrub: bool = False,
    as_json: bool = False,
) -> None:
    """
    Encrypt a plain file in an image under a key of its own, wrapped for users and groups.

    A group is opened by a member of it: one of `members`, of the users, or of those in the key file who have
    no passphrase.
    """
    _check_words(form, mode)
    policy = policy_of(users, needed, escrow)
    named = [*users, *filter(None, [escrow])]
    groups = [name for name in named if name.startswith(GROUP_MARK)]
    with changing(image, ImageEditor) as editor:
        file = KeyFile(keys)
        ring = ring_of(file, members, [name for name in named if not name.startswith(GROUP_MARK)])
        openers = list(KeyRing([*ring, *file.read_keys()]))
        for group in groups:
            ring.add(keyed_groups.trusted_group_key(editor.image, group, openers))
        names = editor.image.lookup(path).raw.links
        stream, cipher = randomness(seed, f"encrypt {path}"), keyed_image.MODES[mode]
        keyed_image.encrypt_file(editor, path, policy, ring, stream, form=form, mode=cipher)
        remains = PLAINTEXT_NOTE + ("" if scrub else UNSCRUBBED_NOTE)
        scrubbed = editor.scrub() if scrub else 0
        editor.commit()
    opened_by = f"any {needed} of " if needed is not None else ""
    opened_by += ", ".join(users) + (f", and for {escrow} alone" if escrow is not None else "")
    tell(
        as_json,
        f"{path}: AES-256-{mode.upper()}, key wrapped ({form}) for {opened_by}",
        path=path,
        mode=mode,
        format=form,
        users=list(users),
        needed=needed,
        escrow=escrow,
        remains=remains,
        scrubbed_bytes=scrubbed,
    )
    if not as_json:
        note(f"{path}: {remains}")
        if names > 1:
            note(f"{path}: has {names} names, its wrapped keys are bound to none of them")


def _check_words(form: str | None, mode: str | None) -> None:
    if mode is not None and mode not in keyed_image.MODES:
        raise ConfigError("--mode", repr(mode), ", ".join(keyed_image.MODES))
    if form is not None and form not in FORMATS:
        raise ConfigError("--format", repr(form), ", ".join(FORMATS))


def run_rekey(
    image: Path,
    path: str,
    keys: Path,
    openers: Sequence[str],
    *,
    keep: Sequence[str] = (),
    escrow: Sequence[str] = (),
    without: Sequence[str] = (),
    form: str | None = None,
    mode: str | None = None,
    moved: bool = False,
    seed: int | None = None,
    scrub: bool = False,
    as_json: bool = False,
) -> None:
    """Encrypt a file anew under a new key, wrapped for the openers and for those who are kept."""
    _check_words(form, mode)
    for user in {*without} & {*keep, *escrow}:
        raise ConfigError("image rekey", f"{user} is kept and left out", "one of them")
    with changing(image, ImageEditor) as editor:
        keyed_image.require_file(editor.image, path)
        file = KeyFile(keys)
        kept = [user for user in (*keep, *escrow) if not user.startswith(GROUP_MARK)]
        ring = KeyRing([*ring_of(file, openers, kept), *file.read_keys()])
        for user in openers:
            for key in openers_of(editor.image, ring, user, moved=moved):
                ring.add(key)
        users = rekey(
            editor,
            path,
            ring,
            openers,
            randomness(seed, f"rekey {path}"),
            keep=keep,
            escrow=escrow,
            without=without,
            form=form,
            mode=None if mode is None else keyed_image.MODES[mode],
            moved=moved,
        )
        scrubbed = editor.scrub() if scrub else 0
        editor.commit()
    remains = "who has kept the old key reads what older copies of the image hold" + (
        "" if scrub else UNSCRUBBED_NOTE
    )
    said = f"{path}: encrypted anew for {', '.join(users)}. But {remains}."
    tell(as_json, said, path=path, users=users, remains=remains, scrubbed_bytes=scrubbed)


def run_scrub(image: Path, as_json: bool = False) -> None:
    """Zero an image's free blocks and the log of its journal; needs no key."""
    with changing(image, ImageEditor) as editor:
        count = editor.scrub()
        editor.commit(in_place=True)
    said = f"{image}: {format_size(count)} of free blocks and journal are zeros"
    tell(as_json, said, image=str(image), scrubbed_bytes=count)


def run_group(
    image: Path,
    group: str,
    keys: Path | None,
    members: Sequence[str],
    form: str,
    seed: int | None,
    *,
    opener: str | None = None,
    without: str | None = None,
    as_json: bool = False,
) -> None:
    """
    Make a group: a new key, wrapped for its members, in the root directory.

    opener: a member, who wraps the key of a group that is there for `members` too. without: a member whose
    packet is taken away instead, which needs no key.
    """
    _check_words(form, None)
    if bool(members) == (without is not None) or (opener and without):
        raise ConfigError("image group", "who joins, or who leaves", "--user [--as], or --without")
    if without is not None:
        _leave(image, group, without, keys, as_json)
        return
    if keys is None:
        raise ConfigError("image group", "--user without --keys", "--keys FILE")
    random = randomness(seed, f"group {group}")
    ring = ring_of(KeyFile(keys), [] if opener is None else [opener], members)
    with changing(image, ImageEditor) as editor:
        if opener is None:
            key = FileKey.generate(random, MODE_GROUP_KEY)
            binding = new_group_binding(editor.image, group, random)
            people = [ring.recipient(user) for user in members]
            keyed_groups.make_group(editor, group, wrap(form, key, people, random, binding))
        else:
            people = [ring.recipient(user) for user in members]
            keyed_groups.join_group(editor, group, ring.key(opener), people, random)
        editor.commit()
    tell(as_json, f"{group}: {', '.join(members)}", group=group, users=list(members))


def _leave(image: Path, group: str, user: str, keys: Path | None, as_json: bool) -> None:
    with changing(image, ImageEditor) as editor:
        wrapped = keyed_groups.group_format(editor.image, group)
        label = user if keys is None else wrapped.label(ring_of(KeyFile(keys), [], [user]).recipient(user))
        keyed_groups.leave_group(editor, group, label)
        editor.commit(in_place=True)
    said = f"{group}: {user} is no member any more. But {REMOVAL_NOTE}."
    tell(as_json, said, group=group, user=user, remains=REMOVAL_NOTE)


def run_share(
    image: Path, path: str, user: str, keys: Path, opener: str, seed: int | None, as_json: bool = False
) -> None:
    """Wrap a file's key for one user more; `opener` can read it."""
    ring = ring_of(KeyFile(keys), [opener], [user])
    with changing(image, ImageEditor) as editor:
        random = randomness(seed, f"share {path} {user}")
        keyed_image.require_file(editor.image, path)
        openers = openers_of(editor.image, ring, opener)
        keyed_image.share(editor, path, openers, ring.recipient(user), random)
        editor.commit()
    tell(as_json, f"{path}: shared with {user}", path=path, user=user)


def run_adduser(
    image: Path, user: str, keys: Path, opener: str, seed: int | None, as_json: bool = False
) -> None:
    """Share every file that `opener` can read with another user."""
    ring = ring_of(KeyFile(keys), [opener], [user])
    with changing(image, ImageEditor) as editor:
        random = randomness(seed, f"adduser {user}")
        openers = openers_of(editor.image, ring, opener)
        done = keyed_image.share_all(editor, openers, ring.recipient(user), random)
        editor.commit()
    files = "1 file" if len(done.paths) == 1 else f"{len(done.paths)} files"
    said = [*done.paths, f"{files} shared with {user}; no data was encrypted anew"]
    tell(as_json, *said, paths=done.paths, user=user, left=done.left)
    for path, reason in done.left.items():
        note(f"{path}: not shared: {reason}")


def run_unshare(image: Path, path: str, user: str, keys: Path | None, as_json: bool = False) -> None:
    """Take a user's wrapped key from a file, and tell what that cannot undo."""
    with changing(image, ImageEditor) as editor:
        inode = keyed_image.require_file(editor.image, path)
        form = format_of(keyed_image.wrapped_keys(inode), inode.place)
        label = user if keys is None else form.label(ring_of(KeyFile(keys), [], [user]).recipient(user))
        keyed_image.unshare(editor, path, label)
        editor.commit(in_place=True)
    said = f"{path}: no longer shared with {user}. But {REMOVAL_NOTE}."
    tell(as_json, said, path=path, user=user, remains=REMOVAL_NOTE)


def run_shred(image: Path, path: str, scan: bool = False, as_json: bool = False) -> None:
    """Make a file unreadable for ever by clobbering its wrapped keys; needs no key."""
    with changing(image, ImageEditor) as editor:
        keyed_image.require_file(editor.image, path)
        done = keyed_image.shred(editor, path, scan)
        editor.commit(in_place=True)
    tell(
        as_json,
        f"{path}: {format_size(done.keys_bytes)} of wrapped keys clobbered, "
        f"{format_size(done.copies_bytes)} of copies; overwriting the contents would have written "
        f"{format_size(done.contents_bytes)}",
        path=path,
        **asdict(done),
    )


def run_rm(image: Path, path: str, as_json: bool = False) -> None:
    """Delete a file; needs no key. What a clone shares with it stays."""
    with changing(image, ReflinkEditor) as editor:
        freed = editor.remove(path)
        editor.commit(in_place=True)
    tell(as_json, f"{path}: removed, {freed} blocks freed", path=path, freed_blocks=freed)


def run_cat_as(
    image_path: Path, path: str, out: BinaryIO, keys: Path, users: Sequence[str], moved: bool = False
) -> None:
    """Write a file's plaintext, read as a user, or as several who put shares together; holes are zeros."""
    image = Image.open(image_path)
    inode = keyed_image.require_file(image, path)
    refuse_zeros(image, inode)
    ring = ring_of(KeyFile(keys), users)
    for user in users:
        keyed_groups.open_groups(image, ring, user, moved=moved)
    opened = keyed_image.open_file(image, inode, ring, users, path, moved=moved)
    for block in keyed_image.read_contents(image, inode, opened.contents):
        out.write(block)
