"""Promise P51: the suite runs behind a guard that lets nothing out."""

from __future__ import annotations

import socket

import pytest


def test_p51_the_guard_can_fail() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as outside,
        pytest.raises(RuntimeError, match="no test may open a connection"),
    ):
        outside.connect(("192.0.2.1", 80))


def test_p51_loopback_is_open_for_servers_that_a_test_makes() -> None:
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        client.connect(server.getsockname())
