"""Kubernetes' published schemas, strict; custom resources by those of $FLYBALL_DATA, or by ours for what that lacks.

A kind that neither knows is an error, never a warning. Ours hold exactly the fields that the chart uses.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest

VERSIONS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
TEXT: dict[str, Any] = {"type": "string"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def _list(items: dict[str, Any], *, least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def _fields(required: tuple[str, ...] = (), **fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": fields}


_SELECTOR = _fields(matchLabels=TEXTS)
_RULE = _fields(
    ("expr",),
    alert=TEXT,
    record=TEXT,
    expr=TEXT,
    labels=TEXTS,
    annotations=TEXTS,
    **{"for": {"pattern": "^[0-9]+[smhd]$"}},
)
OURS: dict[tuple[str, str], dict[str, Any]] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _fields(
        ("endpoints", "selector"),
        jobLabel=TEXT,
        selector=_SELECTOR,
        endpoints=_list(
            _fields(
                port=TEXT,
                path=TEXT,
                interval={"pattern": "^[0-9]+(ms|s|m|h)$"},
                authorization=_fields(type=TEXT, credentials=_fields(("key",), name=TEXT, key=TEXT)),
            ),
            least=1,
        ),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _fields(
        groups=_list(_fields(("name", "rules"), name=TEXT, interval=TEXT, rules=_list(_RULE, least=1)), least=1)
    ),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _fields(
        parentRefs=_list(_fields(("name",), name=TEXT, namespace=TEXT, sectionName=TEXT)),
        hostnames=_list(TEXT),
        rules=_list(
            _fields(
                matches=_list(_fields(path=_fields(type={"enum": ["Exact", "PathPrefix"]}, value=TEXT))),
                backendRefs=_list(_fields(("name",), name=TEXT, port=PORT)),
            )
        ),
    ),
}
"""Of `spec`; written from the projects' own API references."""


def check(document: dict[str, Any], version: str) -> None:
    """jsonschema.ValidationError for an object that this version of Kubernetes would not take."""
    utils = pytest.importorskip("kubernetes_validate.utils", reason="pip install kubernetes-validate")
    if not hasattr(utils.schema_contents, "cache_info"):  # it reads megabytes for every object
        utils.schema_contents = functools.cache(utils.schema_contents)
    try:
        utils.validate(document, version, strict=True)
    except utils.SchemaNotFoundError:
        check_custom(document)


def check_custom(document: dict[str, Any]) -> None:
    """The same for a custom resource; LookupError for one without a schema."""
    where = (document["apiVersion"], document["kind"])
    assert document.keys() <= {"apiVersion", "kind", "metadata", "spec"}
    if where in OURS:
        jsonschema.validate(document["spec"], OURS[where])
        return
    schema = published(*where)
    if schema is None:
        raise LookupError(f"no schema for {' '.join(where)}")
    jsonschema.validate(document, schema)


@functools.cache
def published(api_version: str, kind: str) -> dict[str, Any] | None:
    """A schema under $FLYBALL_DATA, closed against unknown fields; the test is skipped without that folder."""
    data = os.environ.get("FLYBALL_DATA")
    if not data:
        pytest.skip("FLYBALL_DATA is not set: no schemas of custom resources")
    group, _, version = api_version.partition("/")
    path = Path(data) / "kubernetes_crds" / f"{kind}.{group}.{version}.json.gz"
    if not path.is_file():
        return None
    schema: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))["schema"]
    _close(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    return schema


def _close(schema: Any) -> None:
    """An API server prunes unknown fields; here they are typing errors."""
    if isinstance(schema, dict):
        if (
            schema.get("type") == "object"
            and "properties" in schema
            and not schema.get("x-kubernetes-preserve-unknown-fields")
        ):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            _close(value)
    elif isinstance(schema, list):
        for value in schema:
            _close(value)
