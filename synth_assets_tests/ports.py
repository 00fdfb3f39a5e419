"""Ports for servers that tests start."""

from __future__ import annotations

import secrets
import socket


def free_port() -> int:
    """Return a port that nobody listens on, outside the range (32768 up) from which Linux gives ports to outgoing
    connections: until the server binds it, no connection of another test can take it."""
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
