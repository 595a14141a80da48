"""Every error a user can meet, as one tree; its family decides the exit code and the HTTP status.

    FlyballError
    ├── InputError          bad usage or input: a file, a key in flyball.yaml, a request body
    │   ├── ConfigError     flyball.yaml itself
    │   └── UnsupportedField      a field of a request that the release does not let through
    ├── NotFoundError       a record, route, file or subject that does not exist
    ├── EnvironmentMissing  a package, program, port, disk or permission that the machine lacks
    ├── LockedError         another process holds what this one needs
    ├── RefusedError        allowed by nobody: no passing gate, erased release
    ├── GateFailed          the gate said no
    ├── GateInconclusive    the gate could not tell
    ├── UpstreamError       an engine that failed, stalled or answered with nonsense
    └── CorruptionError     bytes that do not match their hash, seal or signature

A message says what happened, with the value; the cure says what to do, with the command.
"""

from __future__ import annotations


class FlyballError(Exception):
    """Base of all expected errors: `message` is the cause with its value, `cure` what to do about it."""

    exit_code = 1
    http_status = 500
    code = "internal_error"

    def __init__(self, message: str, *, cure: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.cure}" if self.cure else self.message


class InputError(FlyballError):
    exit_code, http_status, code = 2, 400, "invalid_request"


class ConfigError(InputError):
    code = "invalid_configuration"


class UnsupportedField(InputError):
    code = "unsupported_parameter"

    def __init__(self, message: str, *, param: str, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.param = param


class NotFoundError(FlyballError):
    exit_code, http_status, code = 4, 404, "not_found"


class EnvironmentMissing(FlyballError):
    exit_code, http_status, code = 5, 503, "environment_missing"


class LockedError(FlyballError):
    exit_code, http_status, code = 5, 503, "locked"


class RefusedError(FlyballError):
    exit_code, http_status, code = 3, 403, "refused"


class GateFailed(FlyballError):
    exit_code, http_status, code = 3, 403, "gate_failed"


class GateInconclusive(FlyballError):
    exit_code, http_status, code = 6, 403, "gate_inconclusive"


class UpstreamError(FlyballError):
    exit_code, http_status, code = 5, 502, "engine_error"

    def __init__(self, message: str, *, cure: str = "", status: int | None = None) -> None:
        super().__init__(message, cure=cure)
        self.status = status  # of its answer, where it gave one


class CorruptionError(FlyballError):
    exit_code, http_status, code = 5, 500, "corrupt"


def nearest(word: str, known: list[str]) -> str:
    """The known word closest to `word`, or an empty string when none is near."""
    from difflib import get_close_matches  # only on the error path

    found = get_close_matches(word, known, n=1, cutoff=0.5)
    return found[0] if found else ""
