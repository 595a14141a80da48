"""A classifier in a real Triton, from flyball.yaml to a canary and back: the loop around a classic model server."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest

from real_triton import add_version, is_installed, triton
from small_shop import eventually, flyball, ok, serving

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not is_installed(), reason="no Triton here: make model-servers"),
]
MODEL = '''
import json
import math
from pathlib import Path

import numpy
import triton_python_backend_utils as triton

WORDS = json.loads(Path("FILE").read_text())
LABELS = sorted(WORDS)


class TritonPythonModel:
    """Counts words of each label; `SHARPNESS` makes it surer."""

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        text = triton.get_input_tensor_by_name(request, "text").as_numpy().ravel()[0].decode()
        found = [SHARPNESS * sum(WORDS[label].get(word, 0.0) for word in text.lower().split()) for label in LABELS]
        powers = [math.exp(one - max(found)) for one in found]
        scores = numpy.array([power / sum(powers) for power in powers], dtype=numpy.float32)
        label = numpy.array([LABELS[int(scores.argmax())].encode()], dtype=object)
        return triton.InferenceResponse([triton.Tensor("label", label), triton.Tensor("scores", scores)])
'''
WORDS = {
    "billing": {"invoice": 2.0, "charged": 2.0, "bill": 2.0},
    "refund": {"refund": 2.0, "money": 2.0, "return": 2.0},
    "shipping": {"parcel": 2.0, "delivery": 2.0, "courier": 2.0},
}
STARTS = ("I ask about", "Please look at", "Something is wrong with", "Where is")
ENDS = ("from last week", "which came twice", "as you promised", "before Friday")
COLOURS = ("black", "blue", "green", "grey", "orange", "red", "white", "yellow")
THINGS = ("bicycle", "chair", "coat", "desk", "kettle", "lamp", "mirror", "radio", "rug", "sofa", "table", "tent")
SETTINGS = """
version: 1
project: desk
task: classification
data: {{sources: [{{path: tickets.csv, fields: {{text: text, label: label}}}}]}}
train: {{method: none}}
release:
  engine: {{kind: open-inference, url: "{url}", model: desk, version: "{version}", load: true, labels: {labels}}}
gate: {{rules: [{{measure: exact_match, at_least: 0.5}}]}}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A project's folder with labelled rows, and a repository of a model in two versions beside it."""
    root, repository = tmp_path / "desk", tmp_path / "repository"
    root.mkdir()
    choose = random.Random(1)
    pairs = [(label, word) for label, words in WORDS.items() for word in words]
    things = [f"{colour} {thing} {end}" for colour in COLOURS for thing in THINGS for end in ENDS]
    lines = (
        f"{choose.choice(STARTS)} the {word} of the {choose.choice(things)},{label}"
        for label, word in choose.choices(pairs, k=400)
    )
    (root / "tickets.csv").write_text("\n".join(("text,label", *lines)))
    words = tmp_path / "words.json"
    words.write_text(json.dumps(WORDS))
    for version, sharpness in ((1, 1), (2, 3)):
        code = MODEL.replace("FILE", str(words)).replace("SHARPNESS", str(sharpness))
        add_version(repository, "desk", version, code, labels=len(WORDS))
    return root


class Clients:
    """Customers who ask through the openai library, each a new user; what failed is kept."""

    def __init__(self, gateway: str) -> None:
        self._client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0)
        self._answers = Counter[str]()
        self.failures = list[str]()

    def ask(self) -> tuple[str, str] | None:
        """The label, and the release that said it."""
        asked = [{"role": "user", "content": "I want my money back"}]
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model="desk",
                messages=asked,
                user=f"u{sum(self._answers.values())}",  # type: ignore[arg-type]
            )
        except openai.OpenAIError as error:
            self.failures.append(str(error))
            return None
        release = raw.headers["x-flyball-release"]
        self._answers[release] += 1
        return str(raw.parse().choices[0].message.content), release

    def answered_by(self, release: str) -> int:
        """How many answers a release gave."""
        return sum(count for name, count in self._answers.items() if release.startswith(name))

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask again and again until the block ends."""
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(0.02):
                self.ask()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def configure(root: Path, url: str, version: int) -> None:
    labels = json.dumps(sorted(WORDS))
    (root / "flyball.yaml").write_text(SETTINGS.format(url=url, version=version, labels=labels))


def test_a_classifier_in_a_real_triton_is_evaluated_gated_canaried_and_rolled_back(desk: Path, tmp_path: Path) -> None:
    with triton(tmp_path / "repository", tmp_path) as url:
        configure(desk, url, 1)
        first = ok("run", cwd=desk)
        assert first["gate"]["content"]["verdict"] == "pass" and first["evaluation"]["content"]["failures"] == 0
        assert first["evaluation"]["metrics"]["test.exact_match"]["value"] > 0.5
        assert first["model"]["content"]["architecture"] == "desk:1"
        ok("deploy", first["release"]["id"], cwd=desk)
        with serving(desk) as urls:
            desk_clients = Clients(urls["gateway"])
            eventually(lambda: desk_clients.ask() or not desk_clients.failures.clear())
            assert desk_clients.ask() == ("refund", first["release"]["id"])
            configure(desk, url, 2)
            second = ok("run", cwd=desk)["release"]["id"]
            with desk_clients.asking():
                ok("deploy", second, "--strategy", "canary", "--steps", "0.5", cwd=desk)
                eventually(lambda: desk_clients.answered_by(second) >= 10)
                ok("rollback", cwd=desk)
                time.sleep(2)  # a rollback takes effect within a second
                before = desk_clients.answered_by(second)
                time.sleep(2)
                assert desk_clients.answered_by(second) == before
            refused = flyball("models", "unload", second, cwd=desk)
            assert refused.code == 3 and "needs the model" in refused.err  # it would take version 1 away too
            assert desk_clients.failures == [] and desk_clients.answered_by(first["release"]["id"]) > 20
