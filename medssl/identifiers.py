"""Keyed hashes of patient, study and series ids: stable for one user, meaningless to everyone else (promise P50)."""

from __future__ import annotations

import hashlib
import os
import secrets
from functools import lru_cache
from pathlib import Path

from medssl.errors import InputError, from_os_error

SALT_BYTES = 32


def hashed(identifier: str, salt: bytes | None = None) -> str:
    """The keyed hash of an id, 16 hex digits; an empty id stays empty.

    Args:
        identifier: as it stands in the data.
        salt: the key; the user's own by default, made at first use.

    Example:
        >>> hashed("patient-1", b"salt") == hashed("patient-1", b"salt"), hashed("patient-1", b"other")[:4]
        (True, '4e7a')
    """
    if not identifier:
        return ""
    key = user_salt() if salt is None else salt
    return hashlib.blake2b(identifier.encode("utf-8", "surrogateescape"), key=key, digest_size=8).hexdigest()


def home() -> Path:
    """The folder of the user's own settings: ``$MEDSSL_HOME``, else ``~/.config/medssl``."""
    given = os.environ.get("MEDSSL_HOME")
    return Path(given) if given else Path.home() / ".config" / "medssl"


def user_salt() -> bytes:
    """The user's secret key, made at first use, readable by the user alone."""
    return _salt_at(home() / "salt")


@lru_cache(maxsize=8)
def _salt_at(path: Path) -> bytes:
    try:
        if not path.exists():
            _make(path)
        salt = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, path) from error
    if len(salt) < SALT_BYTES:
        raise InputError(f"the salt has {len(salt)} bytes, expected {SALT_BYTES}", path=path, code="corrupt")
    return salt[:64]


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(SALT_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # a link, not a rename: of two processes that start together the first one's key stays
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
