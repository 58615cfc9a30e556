"""
Keys, passphrases and randomness for the verbs of `readpath image`; what they print.
"""

from __future__ import annotations

import getpass
import hmac
import json
import secrets
import sys
import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sim.crypto.keys.file_keys import KeyRing
from sim.crypto.keys.user_keys import KeyFile, PublicKey, UserKey
from sim.crypto.streams import NamedStream, Random
from sim.errors import CryptoError, ImageError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.format.inode import ROOT_INODE
from sim.ext4.read.reader import Image
from sim.files import locked, remove_abandoned_files
from sim.integrity.plan import PLAN_KEY
from sim.text import printable
from sim.volume import keyed_groups


def randomness(seed: int | None, what: str) -> Random:
    """Return the operating system's randomness, or a stream that anyone can make again."""
    return secrets.token_bytes if seed is None else NamedStream(seed, what)


def tell(as_json: bool, *lines: str, **document: Any) -> None:
    """Print what was done, in words or as JSON."""
    print(json.dumps(document, indent=1) if as_json else "\n".join(map(printable, lines)))


def note(text: str) -> None:
    """Print something to know on standard error."""
    print(f"readpath: note: {printable(text)}", file=sys.stderr)


Editor = TypeVar("Editor", bound=ImageEditor)


@contextmanager
def changing(image: Path, kind: Callable[[Path], Editor], *, stale: bool = True) -> Iterator[Editor]:
    """
    Yield an editor of an image that no other verb changes meanwhile; a second one waits and says so.

    stale: what is changed leaves tags of the data behind, and a note says so if there are any.

    Raises ImageError for an image that cannot be opened to be changed.
    """
    file = image.resolve()
    with ExitStack() as stack:
        try:
            stack.enter_context(
                locked(file, lambda: note(f"{image}: waits for another verb that changes it"))
            )
        except OSError as error:
            raise ImageError(
                str(image), f"cannot be read and changed ({error.strerror or error})", "an image file"
            ) from None
        remove_abandoned_files(file)
        editor = kind(image)
        tagged = PLAN_KEY in editor.image.inode(ROOT_INODE).xattrs
        yield editor
        if tagged and stale:
            note(
                f"{image}: has tags of its data, which this verb does not keep up: run `image protect` again"
            )


def ask(user: str, what: str = "passphrase of") -> bytes:
    """Return a passphrase from the terminal; CryptoError without one, where it would be seen."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)
            said = getpass.getpass(f"{what} {printable(user)}: ").encode()
    except (getpass.GetPassWarning, EOFError):
        raise CryptoError(f"passphrase of {user}", "cannot be asked for", "a terminal") from None
    except UnicodeError:
        raise CryptoError(f"passphrase of {user}", "has bytes that are no UTF-8", "UTF-8") from None
    if not said:
        raise CryptoError(f"passphrase of {user}", "is empty", "one byte and more")
    return said


def ask_twice(user: str) -> bytes:
    """Return a passphrase that something is set to; CryptoError as `ask`, and if the two are not the same."""
    said = ask(user, "new passphrase of")
    if not hmac.compare_digest(said, ask(user, "once more, passphrase of")):
        raise CryptoError(f"passphrase of {user}", "was typed in two ways", "the same twice")
    return said


def ring_of(keys: KeyFile, openers: Collection[str], recipients: Collection[str] = ()) -> KeyRing:
    """
    Return the keys of these users from a user key file; a passphrase is asked for where one is needed.

    openers: whose secret key is wanted; recipients: for whom keys are to be wrapped, a public key will do.
    What is wrapped under a passphrase that nothing can be checked against is asked for twice. Raises
    CryptoError, before anything is asked, if a user is not in the file or an opener's secret key is not.
    """
    wanted = [*openers, *recipients]
    for user in wanted:
        if user not in keys.users:
            raise CryptoError(str(keys.path), f"ENOKEY: has no user {user}", "a [[user]] with that id")
    for key in keys.read_keys(only=openers):
        if isinstance(key, PublicKey):
            raise CryptoError(
                str(keys.path), f"ENOKEY: has only the public key of {key.user}", "their secret key"
            )

    def passphrase(user: str) -> bytes:
        return ask_twice(user) if keys.is_unchecked(user) and user not in openers else ask(user)

    return KeyRing(keys.read_keys(passphrase, only=wanted))


def openers_of(image: Image, ring: KeyRing, user: str, *, moved: bool = False) -> list[UserKey]:
    """Return the keys with which a user opens files of an image: their own, and those of their groups."""
    own = KeyRing([ring.key(user)])
    keyed_groups.open_groups(image, own, user, moved=moved)
    return list(own)
