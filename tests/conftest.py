"""What every test shares: no network, one thread, fixed seeds, and the real volumes where they lie beside the clone."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MEDSSL_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

SHARED = Path(__file__).parents[2] / "shared"

_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


class NetworkError(RuntimeError):
    """A test reached for the network (promise P51)."""


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        host = address[0] if isinstance(address, tuple) else None
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise NetworkError(f"no test may open a connection, got {address!r}")
        return original(self, address)

    return connect


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """A name for bytes: written out they would hold the hour of their packing, and differ between processes."""
    return f"{len(val)} bytes" if isinstance(val, bytes) and len(val) > 16 else None


def pytest_configure() -> None:
    """Shut the network for the whole run: loopback only."""
    socket.socket.connect = _guarded(_connect)  # type: ignore[method-assign]
    socket.socket.connect_ex = _guarded(_connect_ex)  # type: ignore[method-assign]
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Salt and caches of a test never touch the user's own."""
    home = tmp_path_factory.getbasetemp() / "home"
    home.mkdir(exist_ok=True)
    monkeypatch.setenv("MEDSSL_HOME", str(home))
    monkeypatch.setenv("MEDSSL_CACHE", str(home / "cache"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Every test starts from the same place."""
    import torch

    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real volumes beside the clone; tests that need it are skipped where there is none."""
    if not SHARED.is_dir():
        pytest.skip("needs the folder `shared` with real volumes beside the clone")
    return SHARED
