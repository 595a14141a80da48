"""The reference is complete: each setting, command, option, record field and metric says what it is for."""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated

import click
import msgspec
import pytest
from msgspec import Meta

from flyball.cli.main import COMMANDS, EXIT_CODES
from flyball.errors import FlyballError
from flyball.records import KINDS
from flyball.settings import Settings, json_schema

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def _generation() -> None:
    sys.path.insert(0, str(ROOT / "docs"))


def module(name: str) -> ModuleType:
    return __import__(f"generation.{name}", fromlist=["pages"])


def silent_settings(root: type[msgspec.Struct]) -> list[str]:
    sections = list(module("settings").sections(root))
    return [one.path for section in sections for one in (section, *section.settings) if not one.description]


def test_each_setting_is_described() -> None:
    from flyball.rollout.config import GateConfig
    from flyball.standalone.config import StandaloneConfig

    assert sum(len(section.settings) for section in module("settings").sections(Settings)) > 150
    for root in (Settings, StandaloneConfig, GateConfig):
        assert not silent_settings(root)


class _Inner(msgspec.Struct):
    """A section."""

    quiet: Annotated[int, Meta(ge=1)] = 1


class _Outer(msgspec.Struct):
    """A file."""

    inner: _Inner
    many: Annotated[tuple[_Inner, ...], Meta(description="Said.")] = ()
    silent: str | None = None


def test_a_setting_without_a_word_is_found() -> None:
    assert silent_settings(_Outer) == ["silent", "inner.quiet"]


def test_the_json_schema_carries_the_same_descriptions() -> None:
    schema = json_schema()
    structs = {name: part for name, part in schema["$defs"].items() if "properties" in part}
    silent = [
        f"{name}.{key}"
        for name, part in structs.items()
        for key, value in part["properties"].items()
        if "description" not in str(value) and "$ref" not in str(value)
    ]
    assert not silent and all(part.get("description") for part in structs.values())


def silent_options(command: click.Command) -> list[str]:
    return [option.name or "" for option in module("commands").options(command) if not option.help]


def test_each_command_and_each_option_is_described() -> None:
    found = list(module("commands").commands())
    assert {one.path.split()[1] for one in found} == set(COMMANDS)
    assert "flyball deploy history" in {one.path for one in found}
    for one in found:
        assert one.command.help, one.path
        assert not silent_options(one.command), one.path


def test_an_option_without_a_word_is_found() -> None:
    assert silent_options(
        click.Command("x", params=[click.Option(["--quiet"]), click.Option(["--said"], help="Yes.")])
    ) == ["quiet"]


def test_each_error_ends_with_an_exit_code_that_is_described() -> None:
    families = [FlyballError]
    for family in families:
        families += family.__subclasses__()
    assert {family.exit_code for family in families} <= EXIT_CODES.keys()


def silent_fields(kind: type) -> list[str]:
    return [field.name for field in module("records").fields(kind) if not field.description]


def test_each_field_of_each_record_is_described() -> None:
    kinds = list(module("records").record_types())
    assert set(KINDS.values()) < set(kinds)
    for kind in kinds:
        assert kind.__doc__, kind
        assert not silent_fields(kind), kind


@dataclasses.dataclass
class _Record:
    """A record."""

    said: int
    """Yes."""
    silent: str = ""


def test_a_field_without_a_word_is_found() -> None:
    assert silent_fields(_Record) == ["silent"]


def test_each_metric_in_the_code_is_listed_and_described() -> None:
    listed = (*module("metrics").metrics(), *module("metrics").FAMILIES)
    found = {one.name: one for one in listed}
    page = module("metrics").metrics_page()
    named = {
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'"(flyball_[a-z]+_[a-z_]+)"', path.read_text(encoding="utf-8"))
    }
    assert named and named == found.keys() and all(f"`{name}`" in page for name in named)
    assert not [one.name for one in found.values() if len(one.text) < 15]


def test_each_page_is_made_from_the_code_and_git_ignores_it() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    for name, page in module("pages").PAGES.items():
        assert page().startswith("# "), name
        assert f"/docs/reference/{name}" in ignored


@pytest.mark.parametrize("name", ["openapi.yaml", "openapi-console.yaml"])
def test_each_part_of_the_http_api_is_described(name: str) -> None:
    assert not list(module("http_api").undescribed(module("http_api").load(name)))


def documented(name: str) -> dict[str, str]:
    api = module("http_api")
    return {path: method for path, method, _ in api.operations(api.load(name))}


def test_the_gateways_openapi_file_has_its_routes() -> None:
    from flyball.gateway.worker import ROUTES

    assert documented("openapi.yaml") == ROUTES


def test_the_consoles_openapi_file_has_its_routes(tmp_path: Path) -> None:
    from starlette.routing import Route

    from flyball.console.app import build_app
    from flyball.console.context import ConsoleContext
    from flyball.wiring import Project

    settings = msgspec.convert(
        {"version": 1, "project": "shop", "data": {"sources": [{"path": "rows.jsonl"}]}}, Settings
    )
    project = Project(root=tmp_path, settings=settings)
    app = build_app(ConsoleContext(project=project))
    routes = [route for route in app.routes if isinstance(route, Route)]
    project.ledger.close()
    assert set(documented("openapi-console.yaml")) == {route.path for route in routes}
    posts = {route.path for route in routes if route.methods != {"GET", "HEAD"}}
    assert posts == {"/playground"}


def test_the_feedback_schema_is_that_of_the_code() -> None:
    from flyball.gateway.feedback import FeedbackBody

    (described,) = (module("http_api").load("openapi.yaml")["components"]["schemas"][one] for one in ["FeedbackBody"])
    (real,) = msgspec.json.schema(FeedbackBody)["$defs"].values()
    bounds = ("minLength", "maxLength", "minimum", "maximum")
    assert described["properties"].keys() == real["properties"].keys()
    for name, field in real["properties"].items():
        asked = next(one for one in field["anyOf"] if one["type"] != "null")
        said = described["properties"][name]
        assert said["type"] == [asked["type"], "null"], name
        assert {key: said.get(key) for key in bounds} == {key: asked.get(key) for key in bounds}, name
