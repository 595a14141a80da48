"""Ports of this machine: one that was asked for, or any that is free. I/O: binds a socket for a moment."""

from __future__ import annotations

import socket

from flyball.errors import EnvironmentMissing

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def free_port(host: str, port: int, setting: str) -> int:
    """The port itself when nothing listens there, a free one for 0; EnvironmentMissing names the port otherwise."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise EnvironmentMissing(
                f"{host}:{port} cannot be used: {error.strerror}",
                cure=f"end what listens there, or choose another {setting} in flyball.yaml (or give the option)",
            ) from error
        return int(probe.getsockname()[1])


def any_port() -> int:
    """A port of 127.0.0.1 that is free now; a process that takes it before its user does makes that user fail."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK[0], 0))
        return int(probe.getsockname()[1])
