"""The gateways that bench/gateway.py compares: how each is started in front of the mock upstream.

A system is one function (folder, upstream port) → Plan. Peers live in environments of their own (`make bench-peers`);
`Absent` says why one cannot be measured. I/O: writes configurations into its own folder.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"
MANY = 1_000_000_000


class Absent(Exception):
    """A system that is not installed."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One process of a system; `role` ingester has a column of its own."""

    line: list[str]
    role: str = "gateway"
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to start, where it then answers, and how clients speak to it."""

    commands: list[Command]
    port: int
    port_file: Path | None = None  # where a system writes the port that it chose itself
    model: str
    path: str = "/v1/chat/completions"
    headers: dict[str, str] = field(default_factory=dict)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# nginx -----------------------------------------------------------------------------------------------------------

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 100000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream engine {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def nginx(folder: Path, upstream: int) -> Plan:
    """nginx as a reverse proxy with kept-alive upstream connections, one worker: the ruler."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    if not Path(program).is_file():
        raise Absent("nginx is not installed (Debian: apt-get install nginx-light)")
    port = free_port()
    (folder / "nginx.conf").write_text(_NGINX.format(folder=folder, upstream=upstream, port=port))
    user = None
    if os.getuid() == 0:  # it runs as nobody, who must be able to reach and write its folder
        user = "nobody"
        folder.parent.chmod(0o755)
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    line = [program, "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    return Plan(commands=[Command(line=line, user=user)], port=port, model="engine-model")


def floor(folder: Path, upstream: int) -> Plan:
    """The event loop and the parser that Flyball uses, and nothing of a gateway: the least that Python costs."""
    port = free_port()
    line = [sys.executable, str(ROOT / "bench/gateway_floor.py"), str(port), str(upstream)]
    return Plan(commands=[Command(line=line)], port=port, model="engine-model")


def asgi(folder: Path, upstream: int) -> Plan:
    """uvicorn and httpx passing bytes on: what the edge and the client would cost if they were not Flyball's own."""
    port = free_port()
    line = [sys.executable, str(ROOT / "bench/gateway_asgi.py"), str(port), str(upstream)]
    return Plan(commands=[Command(line=line)], port=port, model="engine-model")


# Flyball ---------------------------------------------------------------------------------------------------------


def flyball(folder: Path, upstream: int, *, code: Path = ROOT / "src") -> Plan:
    """A project's own gateway worker and ingester, everything on: key, limits, budget, sticky canary, recording."""
    project, source = folder / "shop", {"PYTHONPATH": str(code)}
    environment = {**os.environ, **source}
    subprocess.run(
        [sys.executable, "-m", "flyball", "init", str(project)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env=environment,
    )
    secret = subprocess.run(
        [sys.executable, __file__, "prepare", str(project), str(upstream)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ).stdout.strip()
    port = free_port()
    process = [sys.executable, "-m", "flyball", "process"]
    place = ["-C", str(project)]
    return Plan(
        commands=[
            Command(line=[*process, "ingester", *place], role="ingester", environment=source),
            Command(line=[*process, "gateway", "--worker", "0", "--port", str(port), *place], environment=source),
        ],
        port=port,
        model="shop",
        headers={"authorization": f"Bearer {secret}"},
    )


def compiled(folder: Path, upstream: int) -> Plan:
    """The same, the way of a request compiled."""
    code = ROOT / "build/compiled"
    made = code / ".made"
    if not made.is_file() or any(path.stat().st_mtime > made.stat().st_mtime for path in (ROOT / "src").rglob("*.py")):
        raise Absent("it is not compiled, or not from the source as it is now (make compiled)")
    return flyball(folder, upstream, code=code)


def prepare(root: Path, upstream: int) -> str:
    """The key and the routes of the measured project; in a process of its own, so that bench stays small."""
    from flyball.security.principals import create_key
    from flyball.settings import load_settings
    from flyball.storage.routing import Arm, Endpoint, Route, RoutingTable, publish
    from flyball.wiring import Project

    project = Project(root=root, settings=load_settings(root))
    _, secret = create_key(
        project.ledger,
        name="bench",
        team="bench",
        requests_per_minute=MANY,
        tokens_per_minute=MANY,
        concurrency=100_000,
        budget_usd=1e6,
    )
    arms = tuple(
        Arm(
            release=digit * 64,
            variant=variant,
            weight=weight,
            endpoints=(Endpoint(id=f"{variant}-0", url=f"http://127.0.0.1:{upstream}", slots=512),),
            deployment=f"0190a0b0-0000-7000-8000-00000000000{digit}",
        )
        for digit, variant, weight in (("1", "live", 0.9), ("2", "canary", 0.1))
    )
    route = Route(name="shop", arms=arms, default=True, salt="bench")
    publish(project.places.routes, RoutingTable(version=1, project="shop", routes=(route,)))
    project.ledger.close()
    return secret


# peers -----------------------------------------------------------------------------------------------------------


def litellm(folder: Path, upstream: int) -> Plan:
    """LiteLLM's proxy, one worker, no database: one master key, no budget, no recording."""
    program = PEERS / "litellm/bin/litellm"
    if not program.is_file():
        raise Absent("no .peers/litellm (make bench-peers)")
    model = {"model": "openai/engine-model", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "none"}
    config = {"model_list": [{"model_name": "shop", "litellm_params": model}], "litellm_settings": {"telemetry": False}}
    (folder / "config.yaml").write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    line = [str(program), "--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {"LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment |= {"LITELLM_MASTER_KEY": "sk-bench-0123456789abcdef0123456789abcdef"}
    return Plan(
        commands=[Command(line=[*line, "--telemetry", "False"], environment=environment)],
        port=port,
        model="shop",
        headers={"authorization": f"Bearer {environment['LITELLM_MASTER_KEY']}"},
    )


_TENSORZERO = """
[gateway]
observability.enabled = false
[models.shop]
routing = ["mock"]
[models.shop.providers.mock]
type = "openai"
model_name = "engine-model"
api_base = "http://127.0.0.1:{upstream}/v1/"
api_key_location = "none"
"""
_TENSORZERO_PROCESS = """
import pathlib, sys, time
from urllib.parse import urlsplit
from tensorzero import _start_http_gateway
away = dict(clickhouse_url=None, postgres_url=None, valkey_url=None)
gateway = _start_http_gateway(config_file=sys.argv[1], async_setup=False, **away)
pathlib.Path(sys.argv[2]).write_text(str(urlsplit(gateway.base_url).port))
while True:
    time.sleep(3600)
"""


def tensorzero(folder: Path, upstream: int) -> Plan:
    """TensorZero's own HTTP gateway (Rust) as its Python package starts it; no recording, which needs ClickHouse."""
    python = PEERS / "tensorzero/bin/python"
    if not python.is_file():
        raise Absent("no .peers/tensorzero (make bench-peers)")
    config, port_file = folder / "tensorzero.toml", folder / "port"
    config.write_text(_TENSORZERO.format(upstream=upstream))
    return Plan(
        commands=[Command(line=[str(python), "-c", _TENSORZERO_PROCESS, str(config), str(port_file)])],
        port=0,
        port_file=port_file,
        model="tensorzero::model_name::shop",
        path="/openai/v1/chat/completions",
    )


SYSTEMS: dict[str, Callable[[Path, int], Plan]] = {
    "nginx": nginx,
    "floor": floor,
    "asgi": asgi,
    "flyball": flyball,
    "compiled": compiled,
    "litellm": litellm,
    "tensorzero": tensorzero,
}

if __name__ == "__main__" and sys.argv[1:2] == ["prepare"]:
    print(prepare(Path(sys.argv[2]), int(sys.argv[3])))
