"""All tests of the app run without a network; here, that they do."""

import socket
from typing import Any

import pytest


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("example.org", 80),
        lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9)),
    ],
)
def test_an_attempt_fails_and_is_remembered(attempt: Any, network: Any) -> None:
    with pytest.raises(OSError, match="without a network"):
        attempt()
    assert network.attempts
    network.attempts.clear()
