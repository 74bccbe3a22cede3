"""Keyed hashes of patient, study and series ids: stable for one user, meaningless to everyone else (promise P50)."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
import unicodedata
from functools import lru_cache
from pathlib import Path

from medssl.errors import InputError, from_os_error

SALT_BYTES = 32

_PRIVATE = frozenset(
    [
        "name",
        "patientname",
        "fullname",
        "firstname",
        "lastname",
        "surname",
        "givenname",
        "familyname",
        "birthdate",
        "birthday",
        "dateofbirth",
        "dob",
        "patientbirthdate",
        "mrn",
        "medicalrecordnumber",
        "ssn",
        "socialsecuritynumber",
        "insurance",
        "insurancenumber",
        "address",
        "patientaddress",
        "phone",
        "phonenumber",
        "telephone",
        "email",
        "institution",
        "institutionname",
        "institutionaddress",
        "hospital",
        "hospitalname",
        "physician",
        "referringphysician",
        "referringphysicianname",
        "radiologist",
        "operator",
        "operatorname",
        "operatorsname",
        "accession",
        "accessionnumber",
        "comment",
        "comments",
        "patientcomments",
        "remark",
        "remarks",
        "note",
        "notes",
        "freetext",
        "studydescription",
        "seriesdescription",
        "studydate",
        "seriesdate",
        "acquisitiondate",
        "scandate",
        "otherpatientids",
    ]
)
"""Names of columns with names, dates, numbers or free text of people; small letters, no marks between them."""


def is_private(column: str) -> bool:
    """Whether a column's name says that it holds what may name a person.

    Example:
        >>> is_private("Patient_Name"), is_private("dob"), is_private("age"), is_private("site")
        (True, True, False, False)
    """
    return "".join(letter for letter in column.casefold() if letter.isalnum()) in _PRIVATE


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


def plain_id(identifier: str) -> str:
    """An id without what differs between spellings: case, blanks around and within, wide letters.

    Example:
        >>> plain_id(" P-001") == plain_id("p-001 ")
        True
    """
    return " ".join(unicodedata.normalize("NFKC", identifier).casefold().split())


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
        state = path.stat()
        if not stat.S_ISREG(state.st_mode):
            raise InputError("the salt is not a regular file", path=path, code="not-regular")
        if stat.S_IMODE(state.st_mode) & 0o077:
            # a copy or an unpacked backup may have come with wider rights: the key is the user's alone
            path.chmod(0o600)
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
        _settle(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _settle(temporary: Path, path: Path) -> None:
    """Give the key its name; of two processes that start together the first one's key stays."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError:
        # a file system without hard links: a rename, which is atomic too, unless another was quicker
        if not path.exists():
            os.replace(temporary, path)
