"""What a ledger costs as it grows: taking requests in, the newest ones, a look of retention. One JSON object last.

    python bench/growth.py [--sizes 1000,100000,400000] [--ledger URL]

One project, which at each size is filled with requests of the last twenty days by 20,000 people, their originals
forgotten as retention leaves them. Then: CPU of an ingester per request, in batches of 50 as they come at 200 requests
a second (four rounds, 1,000 requests each: medians, lowest and highest), and the time of a page of the console's
requests, of the requests after a place in the order (monitoring's question), and of a look of retention (medians of
nine). `--ledger`: an empty PostgreSQL database in place of a SQLite file; the ingester's CPU is then that of the client
alone, and ANALYZE is asked for after each filling, which autovacuum does in its own time. I/O: a folder of its own,
removed at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from flyball.compliance.retention import expire
from flyball.console.request_list import read_answers
from flyball.gateway.config import RecordingConfig
from flyball.gateway.context import IngestContext
from flyball.gateway.recording.ingester import ingest_pass
from flyball.gateway.recording.ledger_writer import LedgerWriter
from flyball.gateway.recording.segment_format import RequestEntry
from flyball.gateway.recording.segment_writer import SegmentWriter
from flyball.records import RequestRecord
from flyball.records.identity import uuid7
from flyball.security.keys import ProjectKey
from flyball.storage import traffic
from flyball.storage.ledger import Ledger, now_ms, open_ledger

PROJECT = "growth"
PEOPLE = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(20_000)]
KEY = ProjectKey(bytes(range(32)))
PROMPT = [{"role": "user", "content": ("my parcel has not come yet and nobody can tell me where it is " * 17)[:1024]}]
ANSWER = ("it is on its way and will be with you tomorrow between nine and noon " * 15)[:1024]
DAYS, MS_PER_DAY = 20, 86_400_000
BATCH, BATCHES, ROUNDS, LOOKS = 50, 20, 4, 9
CHUNK = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000,100000,400000", help="requests in the ledger, growing")
    parser.add_argument("--ledger", help="an empty database; default: a SQLite file")
    options = parser.parse_args()
    figures: dict[str, dict[str, float | list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="flyball-growth-") as folder:
        ledger = open_ledger(options.ledger or f"sqlite:///{folder}/ledger.db", project=PROJECT)
        chance, there = random.Random(1), 0
        for size in map(int, options.sizes.split(",")):
            fill(ledger, size - there, chance)
            there = size + ROUNDS * BATCH * BATCHES
            figures[str(size)] = measured(ledger, Path(folder) / str(size), chance)
            print(size, figures[str(size)], file=sys.stderr)
        ledger.close()
    print(json.dumps(figures))


def fill(ledger: Ledger, count: int, chance: random.Random) -> None:
    """Add requests, evenly over the last days, whose originals have been forgotten."""
    end = now_ms()
    for begin in range(0, count, CHUNK):
        ages = [DAYS * MS_PER_DAY * (1 - number / count) for number in range(begin, min(begin + CHUNK, count))]
        records = [one(chance, end - int(age)) for age in ages]
        text = json.dumps({"messages": PROMPT, "answer": ANSWER})
        payloads = [
            {
                "id": record.id,
                "project": PROJECT,
                "subject": record.subject,
                "sealed": None,
                "redacted": text,
                "expires_ms": record.started_ms,
            }
            for record in records
        ]
        with ledger.begin() as connection:
            traffic.add_requests(connection, PROJECT, records)
            traffic.add_payloads(connection, payloads)
    if ledger.engine.dialect.name == "postgresql":
        with ledger.begin() as connection:
            connection.exec_driver_sql("ANALYZE")  # as autovacuum does a minute or two after so many rows


def measured(ledger: Ledger, segments: Path, chance: random.Random) -> dict[str, float | list[float]]:
    """All figures at the ledger's present size."""
    taking_in = [ingested_us(ledger, segments / str(number), chance) for number in range(ROUNDS)]
    newest = read_answers(ledger).answers[0].seq
    return {
        "ingester_cpu_us_per_request": round(statistics.median(taking_in), 1),
        "ingester_spread": [round(min(taking_in), 1), round(max(taking_in), 1)],
        "page_ms": milliseconds(lambda: read_answers(ledger)),
        "since_ms": milliseconds(lambda: traffic.requests_since(ledger, after_seq=newest - 50)),
        "retention_ms": milliseconds(lambda: expire(ledger, now_ms())),
    }


def ingested_us(ledger: Ledger, segments: Path, chance: random.Random) -> float:
    """CPU per request of an ingester that is given batch after batch."""
    context = IngestContext(
        recording=RecordingConfig(), project=PROJECT, segments_dir=segments, project_key=KEY, ledger=ledger
    )
    writer = SegmentWriter(segments, worker=0, project=PROJECT, seal_key=KEY.seal_key)
    filing, used = LedgerWriter(context), 0.0
    for _ in range(BATCHES):
        for _ in range(BATCH):
            writer.append(RequestEntry(record=one(chance, now_ms()), messages=PROMPT, answer=ANSWER))
        began = time.process_time()
        taken = ingest_pass(context, filing).entries
        used += time.process_time() - began
        assert taken == BATCH
    writer.close()
    return used / (BATCH * BATCHES) * 1e6


def milliseconds(look: Callable[[], object]) -> float:
    """The median time of a look."""
    took = []
    for _ in range(LOOKS):
        began = time.perf_counter()
        look()
        took.append((time.perf_counter() - began) * 1e3)
    return round(statistics.median(took), 2)


def one(chance: random.Random, at_ms: int) -> RequestRecord:
    """A request of anybody at this time."""
    person = chance.choice(PEOPLE)
    return replace(
        SAMPLE,
        id=uuid7(now_ms=at_ms),
        subject=person,
        unit=person,
        started_ms=at_ms,
        total_ms=chance.lognormvariate(3, 0.5),
    )


SAMPLE = RequestRecord(
    id="",
    project=PROJECT,
    route="shop",
    release="1" * 64,
    deployment=None,
    variant="live",
    endpoint="engine",
    key_id="local",
    team=None,
    subject=None,
    conversation=None,
    client_id=None,
    unit="",
    started_ms=0,
    queue_ms=0.1,
    first_token_ms=12.0,
    total_ms=20.0,
    longest_gap_ms=3.0,
    attempts=1,
    status=200,
    outcome="ok",
    error=None,
    finish_reason="stop",
    stream=False,
    prompt_tokens=260,
    completion_tokens=260,
    cost_usd=1e-5,
)


if __name__ == "__main__":
    main()
