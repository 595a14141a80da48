"""A person asks what is held about them: everything, readable, and nothing of anybody else."""

from __future__ import annotations

import json

import pytest

from flyball.compliance.erasure import erase
from flyball.compliance.export import export_subject
from flyball.compliance.retention import expire
from flyball.compliance.subjects import open_payload
from flyball.errors import CorruptionError
from flyball.security.keys import ProjectKey
from flyball.storage.ledger import Ledger
from flyball.storage.traffic import payload_of
from traffic_samples import START_MS, WEEK_MS, Traffic

MAIL = "ada@example.com"


def test_requests_and_feedback_come_with_their_original_texts(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    request = traffic.ask(f"my mail is {MAIL}", user="C0042")
    traffic.say(request, correction=f"answer {MAIL}", user="C0042")
    traffic.ask("somebody else's secret", user="C0001")
    document = export_subject(
        ledger,
        project_key=traffic.key,
        subject="C0042",
        others={"sources": lambda person: [{"file": "tickets.jsonl", "of": person.subject}]},
    )
    (found,) = document["requests"]
    assert found["texts"]["messages"][0]["content"] == f"my mail is {MAIL}"
    assert found["feedback"][0]["texts"]["correction"] == f"answer {MAIL}"
    assert document["others"] == {"sources": [{"file": "tickets.jsonl", "of": "C0042"}]}
    assert "somebody else" not in json.dumps(document)


def test_when_the_originals_time_is_over_the_redacted_text_is_what_is_held(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask(f"my mail is {MAIL}", user="C0042")
    expire(ledger, START_MS + WEEK_MS + 1000)
    text = json.dumps(export_subject(ledger, project_key=traffic.key, subject="C0042")["requests"])
    assert MAIL not in text and "<EMAIL>" in text


def test_after_an_erasure_the_export_shows_no_text_but_the_numbers(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    traffic.ask(user="C0042")
    erase(ledger, project_key=traffic.key, subject="C0042")
    document = export_subject(ledger, project_key=traffic.key, subject="C0042")
    assert [one["texts"] for one in document["requests"]] == [{}]


def test_another_project_key_opens_nothing(ledger: Ledger) -> None:
    traffic = Traffic(ledger)
    payload = payload_of(ledger, traffic.ask(user="C0042"))
    assert payload is not None
    with pytest.raises(CorruptionError):
        open_payload(ledger, ProjectKey(b"x" * 32), payload)
