"""
The secret keys in a user key file, as a test takes them.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sim.crypto.keys.user_keys import KeyFile, Passphrase, UserKey


def secret_keys(
    path: Path, passphrase: Passphrase | None = None, only: Collection[str] | None = None
) -> list[UserKey]:
    """Return the users' secret keys in a file, in order; errors and the rest as KeyFile."""
    return [key for key in KeyFile(path).read_keys(passphrase, only) if isinstance(key, UserKey)]
