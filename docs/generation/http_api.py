"""The HTTP APIs of gateway and console, from their OpenAPI files. I/O: reads those."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from generation.markdown import cell, code, table

REFERENCE = Path(__file__).parents[1] / "reference"
FILES = ("openapi.yaml", "openapi-console.yaml")
Node = Mapping[str, Any]


def load(name: str) -> Node:
    """One of the files."""
    found: Node = yaml.safe_load((REFERENCE / name).read_text(encoding="utf-8"))
    return found


def resolved(document: Node, node: Node) -> Node:
    """The node itself, or what it refers to within its document."""
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def operations(document: Node) -> Iterator[tuple[str, str, Node]]:
    """Each (path, method, operation)."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def undescribed(document: Node) -> Iterator[str]:
    """What says nothing of itself: operations, parameters, answers, fields of bodies."""
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        if not operation.get("summary"):
            yield where
        for parameter in _parameters(document, operation):
            if not parameter.get("description"):
                yield f"{where} {parameter['name']}"
        for status, answer in _answers(document, operation):
            if not answer.get("description"):
                yield f"{where} {status}"
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        for field, one in schema.get("properties", {}).items():
            if not resolved(document, one).get("description") and "properties" not in one:
                yield f"{name}.{field}"


def _parameters(document: Node, operation: Node) -> list[Node]:
    return [resolved(document, one) for one in operation.get("parameters", ())]


def _answers(document: Node, operation: Node) -> list[tuple[str, Node]]:
    return [(status, resolved(document, one)) for status, one in operation["responses"].items()]


def _fields(document: Node, operation: Node) -> Iterator[tuple[str, str, str]]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    schema = resolved(document, body) if body else {}
    for name, field in schema.get("properties", {}).items():
        needed = " (required)" if name in schema.get("required", ()) else ""
        yield code(name), f"body{needed}", cell(resolved(document, field).get("description", ""))


def _part(name: str) -> Iterator[str]:
    document = load(name)
    info = document["info"]
    yield f"## {info['title']}\n\n{info['summary']} {info['description']} [OpenAPI file]({name}).\n"
    for path, method, operation in operations(document):
        yield f"### {method} {path}\n\n{operation['summary']}. {operation.get('description', '')}".rstrip() + "\n"
        asked = [
            (code(one["name"]), one["in"], cell(one["description"])) for one in _parameters(document, operation)
        ] + list(_fields(document, operation))
        if asked:
            yield table(("name", "where", "what"), asked)
        told = [(status, cell(one["description"])) for status, one in _answers(document, operation)]
        yield table(("status", "meaning"), told)


def http_api_page() -> str:
    """The page of both APIs."""
    head = "# HTTP API\n\n[For callers](clients.md) explains headers, fields and errors with their reasons.\n"
    return "\n".join([head, *(part for name in FILES for part in _part(name))])
