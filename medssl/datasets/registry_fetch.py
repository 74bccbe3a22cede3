"""Packages from the package registry, pinned by version and sha256, without running any code of theirs.

``pip download`` asks the build backend of a source distribution for its metadata, which would run the package's
``setup.py``. A small inert backend, first on the path and answering from ``PKG-INFO``, takes its place.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medssl.datasets.cache import sha256_of
from medssl.datasets.progress import Progress, silent
from medssl.errors import IntegrityError, MedsslError, ResourceError, from_os_error

TIME_LIMIT_S = 900
"""After this long a download is given up."""

INERT_BACKEND = '''\
"""A build backend that builds nothing: it answers the question for metadata from PKG-INFO."""
import os
import sys
from email.parser import HeaderParser


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    with open("PKG-INFO", encoding="utf-8", errors="replace") as stream:
        head = HeaderParser().parse(stream)
    name, version = head["Name"], head["Version"]
    folder = f"{name.replace('-', '_')}-{version}.dist-info"
    os.makedirs(os.path.join(metadata_directory, folder))
    texts = {
        "METADATA": f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n",
        "WHEEL": "Wheel-Version: 1.0\\nGenerator: inert\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    for file, text in texts.items():
        with open(os.path.join(metadata_directory, folder, file), "w", encoding="utf-8") as stream:
            stream.write(text)
    return folder


def build_wheel(*args, **kwargs):
    raise SystemExit("this backend builds nothing")


build_sdist = build_wheel
__legacy__ = sys.modules[__name__]
'''


@dataclass(frozen=True)
class Pin:
    """A package file that is meant and no other.

    Args:
        name: the project's name in the registry.
        version: exact.
        sha256: of the file.
        wheel: whether the file is a wheel, else a source distribution.
    """

    name: str
    version: str
    sha256: str
    wheel: bool = False


def download(
    pins: Sequence[Pin], folder: Path, *, find_links: Path | None = None, progress: Progress = silent
) -> dict[str, Path]:
    """Download pinned package files with pip.

    Args:
        pins: what to get.
        folder: where the files go; it may exist.
        find_links: a local folder to take the files from instead of the registry.
        progress: told before and after.

    Returns:
        Path of the file by the name of its pin.

    Raises:
        ResourceError: no network, or ``MEDSSL_OFFLINE=1`` (``network``); pip is missing or fails (``tool``).
        IntegrityError: a file's checksum is not the pinned one (``hash``).
    """
    if find_links is None and os.environ.get("MEDSSL_OFFLINE", "0") not in ("", "0"):
        raise _no_network("MEDSSL_OFFLINE is set, nothing is fetched")
    if importlib.util.find_spec("pip") is None:
        raise ResourceError("pip is not installed for this Python", code="tool", hint="python -m ensurepip")
    what = "downloading " + ", ".join(f"{pin.name} {pin.version}" for pin in pins)
    progress(0, 1, what)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="medssl-") as room:
            result = _run_pip(pins, folder, Path(room).resolve(), find_links)
    except subprocess.TimeoutExpired as error:
        raise _no_network(f"the download took more than {TIME_LIMIT_S} s") from error
    except OSError as error:
        raise from_os_error(error, folder) from error
    if result.returncode != 0:
        raise _explain(result.stdout + result.stderr, pins)
    progress(1, 1, what)
    return _match(pins, folder)


def _run_pip(
    pins: Sequence[Pin], folder: Path, room: Path, find_links: Path | None
) -> subprocess.CompletedProcess[str]:
    """One ``pip download`` with the inert backend in place of setuptools."""
    backend = room / "backend" / "setuptools"
    backend.mkdir(parents=True)
    (backend / "__init__.py").write_text("", encoding="utf-8")
    (backend / "build_meta.py").write_text(INERT_BACKEND, encoding="utf-8")
    lines = [f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}" for pin in pins]
    requirements = room / "requirements.txt"
    requirements.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sources = [pin.name for pin in pins if not pin.wheel]
    wheels = [pin.name for pin in pins if pin.wheel]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--no-build-isolation", "--use-pep517", "--progress-bar", "off", "--timeout", "20", "--retries", "2"]
    command += ["--no-binary", ",".join(sources)] if sources else []
    command += ["--only-binary", ",".join(wheels)] if wheels else []
    command += ["--no-index", "--find-links", str(find_links.resolve())] if find_links is not None else []
    command += ["-r", str(requirements), "-d", str(folder.resolve())]
    paths = [str(backend.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "LC_ALL": "C.UTF-8",
    }
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment, cwd=room, timeout=TIME_LIMIT_S
    )


def _match(pins: Sequence[Pin], folder: Path) -> dict[str, Path]:
    """The file of each pin, found by its checksum, whatever pip called it."""
    by_hash = {sha256_of(path): path for path in sorted(folder.iterdir()) if path.is_file()}
    for pin in pins:
        if pin.sha256 not in by_hash:
            raise IntegrityError(f"no file of {pin.name} {pin.version} has the pinned sha256", path=folder, code="hash")
    return {pin.name: by_hash[pin.sha256] for pin in pins}


def _explain(output: str, pins: Sequence[Pin]) -> MedsslError:
    """A failure of pip as one of ours."""
    names = ", ".join(f"{pin.name} {pin.version}" for pin in pins)
    if "DO NOT MATCH THE HASHES" in output:
        return IntegrityError(
            f"a file of {names} has another sha256 than the one pinned", code="hash", hint="it was not kept"
        )
    if "No module named pip" in output:
        return ResourceError("pip is not installed for this Python", code="tool", hint="python -m ensurepip")
    if "No space left" in output:
        return ResourceError("the disk is full", code="disk")
    network = r"No matching distribution|Could not find a version|[Cc]onnection|[Tt]imed? ?out|Retrying|HTTP error|SSL"
    if re.search(network, output):
        return _no_network(f"the package registry did not give {names}")
    errors = [line for line in output.splitlines() if line.lstrip().lower().startswith("error")]
    last = mask_addresses(errors[-1].strip()) if errors else "no reason given"
    return ResourceError(f"pip failed: {last}", code="tool")


def _no_network(reason: str) -> ResourceError:
    return ResourceError(reason, code="network", hint="without a network: medssl demo --phantoms")


def mask_addresses(text: str) -> str:
    """Text without web addresses and host names, which may be private.

    Example:
        >>> mask_addresses("ERROR: see https://user:key@index.example.org/simple or host='mirror.example.org'")
        "ERROR: see <address> or host='<address>'"
    """
    text = re.sub(r"\b[A-Za-z][A-Za-z0-9+.-]*://[^\s'\",)]+", "<address>", text)
    text = re.sub(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b", "<address>", text)
    return re.sub(r"(host=['\"]?|host |resolve )[\w.-]+\.[\w.-]+", r"\1<address>", text)
