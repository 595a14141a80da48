"""Validity against a JSON Schema, by jsonschema (`pip install 'flyball[evaluate]'`). Pure: nothing is fetched.

Drafts as the schema's own `$schema` says, else 2020-12. A reference to another document is refused: it would have to
be fetched.
"""

from __future__ import annotations

from typing import Any

from flyball.errors import InputError


def schema_problem(schema: dict[str, Any]) -> str | None:
    """What is wrong with a schema; None for a valid one."""
    validators = _validators()
    if (outside := outside_reference(schema)) is not None:
        return f"it refers to {outside}, which is outside of it"
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except validators.exceptions.SchemaError as error:
        return str(error.message)
    return None


def is_valid(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value is one of the schema's."""
    validators = _validators()
    kind = validators.validator_for(schema, default=validators.Draft202012Validator)
    return bool(kind(schema).is_valid(value))


def outside_reference(schema: Any) -> str | None:
    """The first reference to another document; None where there is none."""
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str) and not reference.startswith("#"):
            return reference
        schema = list(schema.values())
    parts = schema if isinstance(schema, list) else ()
    return next((found for part in parts if (found := outside_reference(part)) is not None), None)


def _validators() -> Any:
    try:
        import jsonschema.validators  # optional, and slow to load
    except ImportError as error:
        raise InputError("schemas are checked by jsonschema", cure="pip install 'flyball[evaluate]'") from error
    return jsonschema.validators
