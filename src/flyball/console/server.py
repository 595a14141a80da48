"""Runs the console on this machine's loopback address until it is told to stop. I/O: listens on 127.0.0.1."""

from __future__ import annotations

import errno
import socket

import uvicorn

from flyball.console.app import build_app
from flyball.console.context import ConsoleContext
from flyball.console.process_memory import economise
from flyball.errors import EnvironmentMissing
from flyball.telemetry import log

HOST = "127.0.0.1"


def run_console(context: ConsoleContext, *, port: int) -> None:
    """Serve until SIGTERM or ctrl-c; port 0 takes a free one. EnvironmentMissing when the port is taken.

    The address is not a setting: pages show what customers wrote, and the console knows no users.
    """
    listener = listen(port)
    economise(context.ledger)
    log.info("console at http://%s:%d", HOST, listener.getsockname()[1])
    with listener:
        make_server(context).run(sockets=[listener])


def make_server(context: ConsoleContext) -> uvicorn.Server:
    """One worker that says no more about itself than it must."""
    config = uvicorn.Config(
        build_app(context),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return uvicorn.Server(config)


def listen(port: int) -> socket.socket:
    """A listening socket on the loopback address."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise EnvironmentMissing(
                f"port {port} for the console: {error.strerror}", cure="set console.port in flyball.yaml to a free one"
            ) from error
        raise
    listener.listen(128)
    return listener
