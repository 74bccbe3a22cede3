"""Fetching with pip, from a local folder: what is pinned, nothing else, and no code is run."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import pytest

from medssl.datasets.cache import sha256_of
from medssl.datasets.registry_fetch import Pin, download, mask_addresses
from medssl.errors import IntegrityError, ResourceError


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


@pytest.fixture
def links(tmp_path: Path, canary: Path) -> Path:
    """A folder with a tiny source distribution whose setup.py would leave a trace."""
    folder = tmp_path / "links"
    folder.mkdir()
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: tinyscan\nVersion: 1.0\n",
        "setup.py": f"open({str(canary)!r}, 'w').write('run')\nfrom setuptools import setup\nsetup(name='tinyscan')\n",
        "pyproject.toml": "[build-system]\nrequires = ['setuptools']\nbuild-backend = 'setuptools.build_meta'\n",
        "data/scan.txt": "a scan",
    }
    with tarfile.open(folder / "tinyscan-1.0.tar.gz", "w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(f"tinyscan-1.0/{name}")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return folder


def test_a_pinned_file_is_fetched_and_no_code_is_run(links, canary, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")  # a local folder is no network
    digest = sha256_of(links / "tinyscan-1.0.tar.gz")
    told: list[tuple[int, int, str]] = []
    got = download(
        [Pin("tinyscan", "1.0", digest)],
        tmp_path / "out",
        find_links=links,
        progress=lambda *args: told.append(args),
    )
    assert sha256_of(got["tinyscan"]) == digest
    assert not canary.exists()
    assert told[0] == (0, 1, "downloading tinyscan 1.0")
    assert told[-1][:2] == (1, 1)


def test_the_canary_can_sing(links, canary, tmp_path):
    """Without the inert backend the package's code would run: the test above can fail."""
    with tarfile.open(links / "tinyscan-1.0.tar.gz") as tar:
        source = tar.extractfile("tinyscan-1.0/setup.py")
        assert source is not None
        text = source.read().decode().splitlines()[0]
    exec(text, {})  # noqa: S102
    assert canary.read_text() == "run"


def test_a_wrong_checksum_is_refused(links, canary, tmp_path):
    with pytest.raises(IntegrityError, match="another sha256") as caught:
        download([Pin("tinyscan", "1.0", "0" * 64)], tmp_path / "out", find_links=links)
    assert (caught.value.code, caught.value.exit_code) == ("hash", 4)
    assert list((tmp_path / "out").iterdir()) == []
    assert not canary.exists()


def test_a_package_that_is_not_there_is_a_network_error(links, tmp_path):
    with pytest.raises(ResourceError, match=r"did not give tinyscan 9\.0") as caught:
        download([Pin("tinyscan", "9.0", "0" * 64)], tmp_path / "out", find_links=links)
    assert (caught.value.code, caught.value.exit_code) == ("network", 5)
    assert "medssl demo --phantoms" in caught.value.line()


def test_offline_refuses_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDSSL_OFFLINE", "1")
    with pytest.raises(ResourceError, match="MEDSSL_OFFLINE is set") as caught:
        download([Pin("tinyscan", "1.0", "0" * 64)], tmp_path / "out")
    assert caught.value.code == "network"
    assert not (tmp_path / "out").exists()


def test_without_pip_it_says_so(links, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ResourceError, match="pip is not installed") as caught:
        download([Pin("tinyscan", "1.0", "0" * 64)], tmp_path / "out", find_links=links)
    assert caught.value.code == "tool"


@pytest.mark.parametrize(
    "text",
    [
        "Looking in indexes: https://user:secret@index.example.org/simple",
        "HTTPSConnectionPool(host='index.example.org', port=443): Max retries",
        "Failed to resolve index.example.org",
        "proxy 10.1.2.3:8080 refused",
    ],
)
def test_addresses_are_masked(text):
    masked = mask_addresses(text)
    assert "<address>" in masked
    assert "example" not in masked
    assert "secret" not in masked
    assert "10.1" not in masked
