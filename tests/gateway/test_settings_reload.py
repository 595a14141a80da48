"""Settings change while the gateway serves: no connection is touched, wrong ones are refused, some wait for a start."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from flyball.cost.config import CostConfig
from flyball.errors import ConfigError
from flyball.gateway.config import GatewayConfig
from flyball.gateway.settings_reload import SettingsFile, Source, merged, waiting
from mock_engine import MockEngine
from running_gateway import RunningGateway, arm, chat, table


class _File(msgspec.Struct, forbid_unknown_fields=True):
    gateway: GatewayConfig
    cost: CostConfig = msgspec.field(default_factory=CostConfig)


def source_at(path: Path) -> Source:
    def read() -> tuple[GatewayConfig, CostConfig]:
        try:
            found = msgspec.json.decode(path.read_bytes(), type=_File)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{path}: {error}", cure="mend it") from error
        return found.gateway, found.cost

    return Source(path=path, read=read)


def write(path: Path, **gateway: object) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode({"gateway": gateway, "cost": {"completion_usd_per_million": 5.0}}))
    new.replace(path)


def eventually(true: Callable[[], bool], within_s: float = 5.0) -> None:
    end = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_new_settings_are_used_on_the_connections_that_are_open(tmp_path: Path) -> None:
    file = tmp_path / "flyball.yaml"
    write(file, total_timeout_s=300.0)
    with MockEngine() as engine:
        running = RunningGateway(tmp_path, table(arm(engine)))
        running.context = replace(running.context, settings=source_at(file))
        with running, socket.create_connection(("127.0.0.1", running.port), timeout=5) as connection:
            assert _answered(connection) == b"200"
            write(file, total_timeout_s=7.0, retries=0)
            eventually(lambda: running.gateway is not None and running.gateway.state.context.config.retries == 0)
            assert running.gateway is not None
            context = running.gateway.state.context
            assert context.config.total_timeout_s == 7.0
            assert context.cost.completion_usd_per_million == 5.0
            assert context.config.port == 0, "the port it listens on stays"
            assert _answered(connection) == b"200", "the connection from before the change still answers"


def test_wrong_settings_are_refused_and_the_last_ones_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "flyball.yaml"
    write(file, retries=3)
    settings = SettingsFile(source_at(file), config=GatewayConfig(retries=3))
    file.write_text('{"gateway": {"retries": -1}}')
    with caplog.at_level(logging.ERROR):
        assert settings.changed(GatewayConfig(retries=3)) is None
    assert settings.failed and "retries" in caplog.text
    write(file, retries=4)
    found = settings.changed(GatewayConfig(retries=3))
    assert found is not None and found[0].retries == 4 and not settings.failed


def test_a_file_that_did_not_change_or_is_gone_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "flyball.yaml"
    write(file)
    settings = SettingsFile(source_at(file), config=GatewayConfig())
    assert settings.changed(GatewayConfig()) is None
    file.unlink()
    assert settings.changed(GatewayConfig()) is None


def test_what_shapes_the_socket_and_the_segments_waits_for_the_next_start() -> None:
    before = GatewayConfig(port=8080, workers=2)
    wanted = msgspec.structs.replace(
        before,
        port=9090,
        retries=9,
        recording=msgspec.structs.replace(before.recording, max_disk_mb=1, sealed_days=1.0),
    )
    assert waiting(before, wanted) == ["port", "recording.max_disk_mb", "recording.sealed_days"]
    now = merged(before, wanted)
    assert (now.port, now.recording.max_disk_mb, now.retries) == (8080, before.recording.max_disk_mb, 9)


def _answered(connection: socket.socket) -> bytes:
    body = msgspec.json.encode(chat())
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    return connection.recv(65536).split(b" ", 2)[1]


def test_pages_that_may_call_are_followed(tmp_path: Path) -> None:
    file, page = tmp_path / "flyball.yaml", "https://app.example"
    write(file)
    with MockEngine() as engine:
        running = RunningGateway(tmp_path, table(arm(engine)))
        running.context = replace(running.context, settings=source_at(file))
        with running:
            assert running.get("/v1/models", origin=page)[0] == 403
            write(file, cors_origins=[page])
            eventually(lambda: running.get("/v1/models", origin=page)[0] == 200)
