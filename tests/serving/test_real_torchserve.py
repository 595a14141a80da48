"""A real TorchServe: registered, scaled, made the default, asked as a release, unregistered, with keys of its file."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flyball.engines.torchserve import KIND
from flyball.errors import UpstreamError
from flyball.inference.completions import HttpCompleter
from flyball.inference.http_client import ServerAccess
from flyball.inference.model_list import ServedModel
from flyball.references import secret
from flyball.registry.config import ReleaseConfig
from flyball.registry.release_composition import compose
from flyball.registry.remote_model import model_elsewhere
from flyball.serving.classic_client import ClassicClient
from flyball.serving.engine_processes import engine_process
from real_torchserve import archive, is_installed, torchserve

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not is_installed(), reason="no TorchServe or no Java here: make model-servers"),
]
HANDLER = '''
class Handler:
    """Labels by one word; version 2 is surer."""

    def initialize(self, context):
        self.initialized = True
        self.sure = 0.9 if context.manifest["model"]["modelVersion"] == "2.0" else 0.7

    def handle(self, data, context):
        return [self.label(row.get("body") or row.get("data")) for row in data]

    def label(self, text):
        text = text if isinstance(text, str) else bytes(text).decode()
        share = self.sure if "refund" in text else 1 - self.sure
        return {"billing": 1 - share, "refund": share}
'''


def test_two_versions_are_brought_in_asked_and_let_go_of(tmp_path: Path) -> None:
    handler = tmp_path / "labelling.py"
    handler.write_text(HANDLER)
    names = {version: archive(tmp_path / "store", "desk", version, handler) for version in ("1.0", "2.0")}
    with torchserve(tmp_path / "store", tmp_path) as server:
        way = ServerAccess(api_key="file:key_file.json", home=str(tmp_path))

        def settings(version: str) -> dict[str, Any]:
            more = {"archive": names[version], "make_default": version == "2.0"}
            return {"url": server.url, "management_url": server.management_url, "model": "desk", **more}

        def asked(version: str) -> ClassicClient:
            config = KIND.settings({**settings(version), "version": version})
            return ClassicClient(KIND, config, replace(way, secrets=lambda name: secret(name, tmp_path, {})))

        without = ClassicClient(KIND, KIND.settings(settings("1.0")), ServerAccess())
        assert "Token Authorization failed" in without.unready()

        first = asked("1.0")
        with pytest.raises(UpstreamError, match="Model not found"):
            first.require_label()
        first.bring_in()
        assert first.label("a refünd refund").probabilities == pytest.approx((0.3, 0.7))

        model = model_elsewhere(ServedModel(name="desk:2.0", context=0), project="shop")
        engine = KIND.settings({**settings("2.0"), "version": "2.0"})
        config = ReleaseConfig(engine=engine, constraint="none", request_fields=("logprobs", "top_logprobs"))
        made = compose(config, project="shop", task="classification", model=model, labels=(), redaction="none")
        with engine_process(
            made, tmp_path, timeout_s=60, behind=way, log_dir=tmp_path
        ) as url:  # it registers it itself
            body = {"messages": [{"role": "user", "content": "I want a refund"}]}
            answer = HttpCompleter(url, release=made, probabilities=True).complete(body)
            assert answer.text == "refund" and answer.log_probability == pytest.approx(math.log(0.9), abs=1e-4)

        assert first.label("refund").probabilities == pytest.approx((0.3, 0.7))  # both are there
        first.let_go()
        assert "Model version: 1.0 does not exist" in first.unready() and not asked("2.0").unready()
        first.bring_in()
        with pytest.raises(UpstreamError, match="default"):  # which it keeps while there is another
            asked("2.0").let_go()
