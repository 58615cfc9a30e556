"""
What `readpath image` does with keys of files: one plain function for each verb.

Changes are checked as a whole before a byte is written. `encrypt`, `share`, `adduser` and `group` write a
new image and rename it; `unshare`, `shred` and `rm` write into the image, so that what they take away is
overwritten.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from sim.crypto.keys.file_keys import (
    FORMATS,
    MODE_GROUP_KEY,
    REMOVAL_NOTE,
    FileKey,
    KeyRing,
    format_of,
    wrap,
)
from sim.crypto.keys.policies import AnyOf, Escrow, KOfN, OwnerOnly, Policy
from sim.crypto.keys.user_keys import (
    GROUP_MARK,
    SCRYPT_N,
    SCRYPT_P,
    SCRYPT_R,
    USER_KEY_BYTES,
    UserKey,
    read_user_keys,
)
from sim.crypto.streams import NamedStream, Random
from sim.errors import ConfigError, CryptoError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.read.reader import Image
from sim.units import format_size
from sim.volume import keyed_groups, keyed_image


def randomness(seed: int | None, what: str) -> Random:
    """Return the operating system's randomness, or a stream that anyone can make again."""
    return secrets.token_bytes if seed is None else NamedStream(seed, what)


def _tell(as_json: bool, text: str, **document: Any) -> None:
    """Print what was done, in words or as JSON."""
    print(json.dumps(document, indent=1) if as_json else text)


def _ask(user: str) -> bytes:
    """Return a passphrase from the terminal; CryptoError without one, where it would be seen."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            return getpass.getpass(f"passphrase of {user}: ").encode()
    except (getpass.GetPassWarning, EOFError):
        raise CryptoError(f"passphrase of {user}", "cannot be asked for", "a terminal") from None


def ring_of(keys: Path, users: Sequence[str]) -> KeyRing:
    """
    Return the keys of these users from a user key file; a passphrase is asked for where one is needed.

    Raises CryptoError if a user is not in the file.
    """
    ring = KeyRing(read_user_keys(keys, _ask, only=users) if users else ())
    held = {key.user for key in ring}
    for user in users:
        if user not in held:
            raise CryptoError(str(keys), f"ENOKEY: has no user {user}", "a [[user]] with that id")
    return ring


def _openers(image: Image, ring: KeyRing, user: str) -> list[UserKey]:
    """Return the keys with which a user opens files of an image: their own, and those of their groups."""
    own = KeyRing([ring.key(user)])
    keyed_groups.open_groups(image, own, user)
    return list(own)


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
    needed: int | None = None,
    escrow: str | None = None,
    form: str = "aes-kw",
    mode: str = "xts",
    seed: int | None = None,
    as_json: bool = False,
) -> None:
    """
    Encrypt a plain file in an image under a key of its own, wrapped for users; groups are opened by them.
    """
    if mode not in keyed_image.MODES:
        raise ConfigError("--mode", repr(mode), ", ".join(keyed_image.MODES))
    if form not in FORMATS:
        raise ConfigError("--format", repr(form), ", ".join(FORMATS))
    policy = policy_of(users, needed, escrow)
    people = [user for user in [*users, *filter(None, [escrow])] if not user.startswith("@")]
    editor = ImageEditor(image)
    ring = ring_of(keys, people)
    if groups := [name for name in [*users, *filter(None, [escrow])] if name.startswith("@")]:
        ring = _with_groups(editor.image, ring, read_user_keys(keys), groups)
    keyed_image.encrypt_file(
        editor,
        path,
        policy,
        ring,
        randomness(seed, f"encrypt {path}"),
        form=form,
        mode=keyed_image.MODES[mode],
    )
    editor.commit()
    _tell(
        as_json,
        f"{path}: AES-256-{mode.upper()}, key wrapped ({form}) for "
        + (f"any {needed} of " if needed is not None else "")
        + ", ".join(users)
        + (f", and for {escrow} alone" if escrow is not None else ""),
        path=path,
        mode=mode,
        format=form,
        users=list(users),
        needed=needed,
        escrow=escrow,
    )


def _with_groups(image: Image, ring: KeyRing, members: Sequence[UserKey], groups: Sequence[str]) -> KeyRing:
    """Return the ring with the keys of groups, each opened by a member whose key is in the file."""
    for member in members:
        own = KeyRing([member])
        for group in keyed_groups.open_groups(image, own, member.user):
            if group in groups:
                ring.add(own.key(group))
    return ring


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
    if form not in FORMATS:
        raise ConfigError("--format", repr(form), ", ".join(FORMATS))
    if bool(members) == (without is not None) or (opener and without):
        raise ConfigError("image group", "who joins, or who leaves", "--user [--as], or --without")
    editor = ImageEditor(image)
    if without is not None:
        wrapped = keyed_groups.group_format(editor.image, group)
        label = without if keys is None else wrapped.label(ring_of(keys, [without]).key(without))
        keyed_groups.leave_group(editor, group, label)
        editor.commit(in_place=True)
        said = f"{group}: {without} is no member any more. But {REMOVAL_NOTE}."
        _tell(as_json, said, group=group, user=without, remains=REMOVAL_NOTE)
        return
    if keys is None:
        raise ConfigError("image group", "--user without --keys", "--keys FILE")
    random = randomness(seed, f"group {group}")
    if opener is None:
        key = FileKey.generate(random, MODE_GROUP_KEY)
        keyed_groups.make_group(editor, group, wrap(form, key, ring_of(keys, members), random))
    else:
        ring = ring_of(keys, [opener, *members])
        keyed_groups.join_group(editor, group, ring.key(opener), [ring.key(user) for user in members], random)
    editor.commit()
    _tell(as_json, f"{group}: {', '.join(members)}", group=group, users=list(members))


def run_share(
    image: Path, path: str, user: str, keys: Path, opener: str, seed: int | None, as_json: bool = False
) -> None:
    """Wrap a file's key for one user more; `opener` can read it."""
    ring = ring_of(keys, [opener, user])
    editor = ImageEditor(image)
    random = randomness(seed, f"share {path} {user}")
    keyed_image.require_file(editor.image, path)
    keyed_image.share(editor, path, _openers(editor.image, ring, opener), ring.key(user), random)
    editor.commit()
    _tell(as_json, f"{path}: shared with {user}", path=path, user=user)


def run_adduser(
    image: Path, user: str, keys: Path, opener: str, seed: int | None, as_json: bool = False
) -> None:
    """Share every file that `opener` can read with another user."""
    ring = ring_of(keys, [opener, user])
    editor = ImageEditor(image)
    random = randomness(seed, f"adduser {user}")
    openers = _openers(editor.image, ring, opener)
    paths = keyed_image.share_all(editor, openers, ring.key(user), random)
    editor.commit()
    files = "1 file" if len(paths) == 1 else f"{len(paths)} files"
    said = [*paths, f"{files} shared with {user}; no data was encrypted anew"]
    _tell(as_json, "\n".join(said), paths=paths, user=user)


def run_unshare(image: Path, path: str, user: str, keys: Path | None, as_json: bool = False) -> None:
    """Take a user's wrapped key from a file, and tell what that cannot undo."""
    editor = ImageEditor(image)
    inode = keyed_image.require_file(editor.image, path)
    form = format_of(keyed_image.wrapped_keys(inode), inode.place)
    label = user if keys is None else form.label(ring_of(keys, [user]).key(user))
    keyed_image.unshare(editor, path, label)
    editor.commit(in_place=True)
    said = f"{path}: no longer shared with {user}. But {REMOVAL_NOTE}."
    _tell(as_json, said, path=path, user=user, remains=REMOVAL_NOTE)


def run_shred(image: Path, path: str, scan: bool = False, as_json: bool = False) -> None:
    """Make a file unreadable for ever by clobbering its wrapped keys; needs no key."""
    editor = ImageEditor(image)
    keyed_image.require_file(editor.image, path)
    done = keyed_image.shred(editor, path, scan)
    editor.commit(in_place=True)
    _tell(
        as_json,
        f"{path}: {format_size(done.keys_bytes)} of wrapped keys clobbered, "
        f"{format_size(done.copies_bytes)} of copies; overwriting the contents would have written "
        f"{format_size(done.contents_bytes)}",
        path=path,
        **asdict(done),
    )


def run_rm(image: Path, path: str, as_json: bool = False) -> None:
    """Delete a file; needs no key."""
    editor = ImageEditor(image)
    freed = editor.remove(path)
    editor.commit(in_place=True)
    _tell(as_json, f"{path}: removed, {freed} blocks freed", path=path, freed_blocks=freed)


def run_cat_as(image_path: Path, path: str, out: BinaryIO, keys: Path, users: Sequence[str]) -> None:
    """Write a file's plaintext, read as a user, or as several who put shares together."""
    image = Image.open(image_path)
    inode = keyed_image.require_file(image, path)
    ring = ring_of(keys, users)
    for user in users:
        keyed_groups.open_groups(image, ring, user)
    contents = keyed_image.open_contents(image, inode, ring, users)
    for block in keyed_image.read_contents(image, inode, contents):
        out.write(block)


def run_userkey(keys: Path, user: str, passphrase: bool, seed: int | None, as_json: bool = False) -> None:
    """Add a user with a new key, or with a passphrase's salt, to a key file that only its owner can read."""
    random = randomness(seed, f"user {user}")
    UserKey(user, bytes(USER_KEY_BYTES))  # judges the id
    if user.startswith(GROUP_MARK):
        raise CryptoError("user key", f"user {user!r}", f"an id without {GROUP_MARK}, which is for groups")
    if keys.exists() and user in {key.user for key in read_user_keys(keys, lambda _user: b"", only=[user])}:
        raise CryptoError(str(keys), f"has a user {user} already", "a new user")
    text = f"[[user]]\nid = {json.dumps(user)}\n"
    if keys.exists() and not (b"\n" + keys.read_bytes()).endswith(b"\n"):
        text = f"\n{text}"
    if passphrase:
        salt = random(16).hex()
        text += f'scrypt = {{ salt = "{salt}", n = {SCRYPT_N}, r = {SCRYPT_R}, p = {SCRYPT_P} }}\n'
    else:
        text += f'raw = "{random(USER_KEY_BYTES).hex()}"\n'
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(keys, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    _tell(as_json, f"{keys}: user {user}", file=str(keys), user=user)
