"""Perplexity, bits per byte and CrowS-Pairs: from a folder, from a server that echoes, and refused by llama.cpp."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flyball.errors import InputError, UpstreamError
from flyball.evaluation.url_evaluation import evaluate_url
from flyball.inference.folder_likelihood import FolderLikelihood
from flyball.inference.likelihood import parse_likelihood
from real_models import smollm2
from small_models import engine

TEXTS = ("the ferry left the harbour late", "café ☕ is open", "a dog, a dog and a dog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers with a byte-level tokenizer, saved by transformers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    target = tmp_path_factory.mktemp("model")
    LlamaForCausalLM(config).save_pretrained(target)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(target)
    return target


def by_hand(folder: Path, text: str) -> tuple[float, list[str], list[float]]:
    """(nats, tokens, log-probabilities after the first), one token after another."""
    import torch
    from transformers import AutoTokenizer, LlamaForCausalLM

    tokenizer, model = AutoTokenizer.from_pretrained(folder), LlamaForCausalLM.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    with torch.inference_mode():
        steps = [
            math.log(float(torch.softmax(model(torch.tensor([ids[:at]])).logits[0, -1].double(), -1)[ids[at]]))
            for at in range(1, len(ids))
        ]
    return -sum(steps), [tokenizer.decode([one]) for one in ids], steps


def write_texts(tmp_path: Path) -> str:
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return "texts:texts.jsonl"


def found(report: Any) -> dict[str, tuple[float, float, float]]:
    return {m.name: (m.value, m.lower, m.upper) for m in report.measures if m.slice is None}


def test_a_folder_gives_the_perplexity_and_bits_that_steps_by_hand_give(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report, _ = evaluate_url(str(folder), model="m", suite_paths=[write_texts(tmp_path)], out=tmp_path / "out")
    counts = [by_hand(folder, text) for text in TEXTS]
    nats, tokens = sum(one[0] for one in counts), sum(len(one[2]) for one in counts)
    size = sum(len(text.encode()) - len(one[1][0].encode()) for text, one in zip(TEXTS, counts, strict=True))
    measured = found(report)
    assert measured["perplexity"][0] == pytest.approx(math.exp(nats / tokens), rel=1e-4)
    assert measured["bits_per_byte"][0] == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    for value, lower, upper in (measured["perplexity"], measured["bits_per_byte"]):
        assert lower < value < upper
    assert report.engine == "transformers"


class Echo(BaseHTTPRequestHandler):
    """/v1/completions as vLLM answers it with echo, over log-probabilities that were computed by hand."""

    known: dict[str, tuple[list[str], list[float]]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, body["echo"]) == ("/v1/completions", True)
        tokens, steps = self.known[body["prompt"]]
        answer = {
            "choices": [
                {
                    "text": body["prompt"] + "!",
                    "logprobs": {"tokens": [*tokens, "!"], "token_logprobs": [None, *steps, -1.0]},
                }
            ],
            "usage": {"prompt_tokens": len(tokens)},
        }
        raw = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def echo(folder: Path) -> Iterator[str]:
    Echo.known = {text: by_hand(folder, text)[1:] for text in TEXTS}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    server.server_close()


def test_a_server_that_echoes_gives_the_same_as_the_folder(
    folder: Path, echo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    suite = write_texts(tmp_path)
    one, _ = evaluate_url(str(folder), model="m", suite_paths=[suite], out=tmp_path / "one")
    other, _ = evaluate_url(echo, model="m", suite_paths=[suite], out=tmp_path / "other")
    for name in ("perplexity", "bits_per_byte"):
        assert found(other)[name] == pytest.approx(found(one)[name], rel=1e-4)


def test_pairs_count_the_likelier_sentence_by_kind_of_bias(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    nats = [by_hand(folder, text)[0] for text in TEXTS]
    likely, _, unlikely = (text for _, text in sorted(zip(nats, TEXTS, strict=True)))
    pairs = [(likely, unlikely, "age"), (unlikely, likely, "age"), (likely, unlikely + ".", "gender")]
    lines = [f'{at},"{more}","{less}",stereo,{kind}' for at, (more, less, kind) in enumerate(pairs)]
    (tmp_path / "crows.csv").write_text(
        "\n".join([",sent_more,sent_less,stereo_antistereo,bias_type", *lines]) + "\n", encoding="utf-8"
    )
    report, _ = evaluate_url(str(folder), model="m", suite_paths=["crows_pairs:crows.csv"], out=tmp_path / "out")
    parts = {m.slice: (m.value, m.n) for m in report.measures if m.name == "stereotype_preferred"}
    assert parts["bias_type=age"] == (0.5, 2) and parts["bias_type=gender"] == (1.0, 1)
    assert parts[None] == (pytest.approx(2 / 3), 3)


def test_llama_cpp_gives_no_likelihood_and_so_no_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with engine(smollm2(), context=64, slots=1) as url:
        report, items = evaluate_url(f"{url}/v1", model="m", suite_paths=[write_texts(tmp_path)], out=tmp_path / "out")
    assert set(found(report)) == {"errors"} and report.failures == 3
    assert all("likelihood is not available" in (item.error or "") for item in items)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"choices": []}',
        b'{"choices": [{"text": "!", "logprobs": {"tokens": ["!"], "token_logprobs": [-1.0]}}]}',
        b'{"choices": [{"text": "ab!", "logprobs": null}]}',
        b'{"choices": [{"text": "ab!", "logprobs": {"tokens": ["a","b","!"], "token_logprobs": [null,0.5,-1]}}]}',
        b'{"choices": [{"text": "ab!", "logprobs": {"tokens": ["a","b","!"], "token_logprobs": [null,null,-1]}}]}',
    ],
)
def test_an_answer_that_tells_no_likelihood_is_refused(answer: bytes) -> None:
    with pytest.raises(UpstreamError, match="likelihood is not available"):
        parse_likelihood(answer, "ab")


def test_a_folder_names_texts_that_it_cannot_score(folder: Path, tmp_path: Path) -> None:
    completer = FolderLikelihood(folder)
    for text, why in (("a", "one token"), ("dog " * 100, "the model takes 64")):
        with pytest.raises(InputError, match=why):
            completer.complete({"messages": [{"role": "user", "content": text}], "likelihood": True})
    with pytest.raises(InputError, match="answers no questions"):
        completer.complete({"messages": [{"role": "user", "content": "hello"}]})
    with pytest.raises(InputError, match="does not load"):
        FolderLikelihood(tmp_path)
