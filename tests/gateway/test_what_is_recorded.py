"""All that an answer says is sealed, redacted, shown, exported and erased: not its plain text alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flyball.compliance.erasure import erase
from flyball.compliance.export import export_subject
from flyball.console.conversation import turns
from flyball.gateway.recording.ingester import ingest_once
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import payload_of
from running_gateway import KEY, RunningGateway, chat, in_front_of
from upstream_behaviours import ENDED, OddEngine, answer, calls, event, plain, stream, tool

MAIL = "ada@example.com"
BERN, MAILED = '{"city": "Bern"}', json.dumps({"to": MAIL})
MESSAGE = {
    "content": [{"type": "text", "text": "Shown."}, {"type": "hologram", "of": MAIL}],
    "reasoning_content": f"They wrote from {MAIL}.",
    "refusal": "Not that.",
    "tool_calls": [tool("a", "weather", BERN), tool("b", "mail", MAILED)],
    "function_call": {"name": "old", "arguments": MAILED},
    "audio": {"id": "au", "data": "AAAA", "transcript": f"Spoken to {MAIL}."},
}
BEHAVIOURS = [
    plain("whole", answer(MESSAGE)),
    stream(
        "in pieces",
        event({"reasoning": "They wrote from ada"}),
        event({"reasoning": "@example.com."}),
        event({"content": MESSAGE["content"]}),
        event({"refusal": "Not "}),
        event({"refusal": "that."}),
        event(calls((0, "a", "weather", ""))),
        event(calls((0, None, None, BERN))),
        event(calls((0, "b", "mail", MAILED[:5]))),
        event(calls((0, None, None, MAILED[5:]))),
        event({"function_call": MESSAGE["function_call"]}),
        event({"audio": {"id": "au", "transcript": "Spoken to "}}),
        event({"audio": {"data": "AAAA", "transcript": f"{MAIL}."}}),
        ENDED,
    ),
]


@pytest.mark.parametrize("case", BEHAVIOURS, ids=str)
def test_all_that_is_said_is_kept_redacted_shown_exported_and_erased(
    case: Any, tmp_path: Path, sqlite_ledger: Ledger
) -> None:
    ledger, user = sqlite_ledger, f"ada {case}"
    with OddEngine(case) as engine, RunningGateway(tmp_path, in_front_of(engine), ledger=ledger) as gateway:
        status, _, _ = gateway.post("/v1/chat/completions", chat(user=user, stream=case.kind == "stream"))
        assert status == 200
        context = gateway.ingest_context(ledger)
    ingest_once(context)
    (found,) = export_subject(ledger, project_key=KEY, subject=user)["requests"]  # type: ignore[misc, union-attr]
    (said,) = found["texts"]["choices"]  # type: ignore[index, call-overload]
    assert said == {
        "content": "Shown.",
        "tool_calls": [
            {"id": "a", "name": "weather", "arguments": BERN},
            {"id": "b", "name": "mail", "arguments": MAILED},
        ],
        "reasoning": f"They wrote from {MAIL}.",
        "refusal": "Not that.",
        "function_call": {"name": "old", "arguments": MAILED},
        "audio": {"id": "au", "transcript": f"Spoken to {MAIL}.", "base64_size": 4},
        "parts": [{"type": "hologram", "of": MAIL}],
    }
    name = found["record"]["id"]  # type: ignore[index, call-overload]
    payload = payload_of(ledger, str(name))
    assert payload is not None and payload.redacted is not None
    assert MAIL not in payload.redacted and payload.redacted.count("<EMAIL>") == 5
    shown = "\n".join(turn.text for turn in turns(payload.redacted))
    for words in ("They wrote from <EMAIL>.", "Shown.", "Not that.", "weather", "mail", "old", "Spoken to", "hologram"):
        assert words in shown
    erase(ledger, project_key=KEY, subject=user)
    (left,) = export_subject(ledger, project_key=KEY, subject=user)["requests"]  # type: ignore[misc, union-attr]
    assert left["texts"] == {}  # type: ignore[index, call-overload]
