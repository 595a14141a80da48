"""Recorded traffic is read in both public layouts, and replayed with its times, lengths and shared prefixes."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from flyball.errors import InputError
from flyball.evaluation.load.planned_requests import Shape, replayed
from flyball.evaluation.load.traces import read_trace

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,9\n"
)
SHAPE = Shape(fields={"model": "m"}, max_tokens=100)


def test_azures_csv_is_read_with_seconds_since_its_first_request(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(AZURE.encode()))
    first, second = read_trace(tmp_path / "t.csv.gz")
    assert (first.at_s, first.prompt_tokens, first.answer_tokens) == (0.0, 374, 44)
    assert second.at_s == pytest.approx(4.314579, abs=1e-4)


def test_equal_blocks_of_mooncake_are_equal_texts(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 0, "input_length": 1100, "output_length": 500, "hash_ids": [0, 1, 2]},
        {"timestamp": 1000, "input_length": 1030, "output_length": 5, "hash_ids": [0, 1, 3]},
        {"timestamp": 9000, "input_length": 512, "output_length": 5, "hash_ids": [7]},
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sent = list(replayed(read_trace(tmp_path / "t.jsonl"), SHAPE, speed=10.0, seconds=0.5))
    assert [one.at_s for one in sent] == [0.0, 0.1], "ten times as fast, and no longer than the run"
    texts = [json.loads(one.body)["messages"][0]["content"].split() for one in sent]
    assert [len(text) for text in texts] == [1100, 1030]
    assert texts[0][:1024] == texts[1][:1024]
    assert [one.max_tokens for one in sent] == [100, 5]


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", '{"timestamp": "soon"}\n', AZURE + "yesterday,1,2\n", AZURE.replace("374", "-1")]
)
def test_a_file_that_is_no_trace_is_refused_with_both_layouts(tmp_path: Path, text: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(InputError, match=r"no trace|no request|-1 tokens"):
        read_trace(tmp_path / "t")


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "requests"),
    [("azure_llm_trace_2023/conv.csv.gz", 12_588), ("mooncake_traces/conversation.jsonl.gz", 7_820)],
)
def test_the_public_traces_are_read_whole(name: str, requests: int) -> None:
    data = os.environ.get("FLYBALL_DATA")
    if not data:
        pytest.skip("FLYBALL_DATA is not set")
    trace = read_trace(Path(data) / name)
    assert len(trace) == requests and trace[-1].at_s > 1000
