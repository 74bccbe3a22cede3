"""What a reader raises becomes an error of ours that names the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from medssl.errors import InputError, MedsslError, ResourceError, from_os_error
from medssl.io.dicom.files import quiet

T = TypeVar("T")


def guarded(work: Callable[[], T], path: Path) -> T:
    """Run a reader; whatever it raises becomes an error that names the file (promise P54)."""
    try:
        with quiet():
            return work()
    except MedsslError as error:
        if error.path is not None:
            # a header's data or a pair's other half is at fault: say what was asked for, too
            if path.name not in f"{error.path} {error.reason}":
                error.reason = f"{error.reason}, of {path.name}"
            raise
        raise InputError(error.reason, path=path, code=error.code, hint=error.hint) from error
    except MemoryError as error:
        raise ResourceError("not enough memory to read it", path=path, code="memory") from error
    except OSError as error:
        raise from_os_error(error, path) from error
    except RecursionError as error:
        raise InputError("corrupt: nested too deep", path=path, code="corrupt") from error
    except Exception as error:
        raise MedsslError(f"unexpected {type(error).__name__} while reading", path=path, code="internal") from error
