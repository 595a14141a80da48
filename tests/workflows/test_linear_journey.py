"""The linear baseline goes the whole loop: trained, packaged, evaluated, gated, deployed, and it answers."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

from small_shop import eventually, make_small_shop, ok, serving


def ask(gateway: str, text: str) -> str:
    body = json.dumps({"model": "shop", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{gateway}/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])
    except urllib.error.HTTPError as error:
        assert error.code == 503, error.read()
        return ""


def test_a_linear_model_is_a_release_like_any_other(tmp_path: Path) -> None:
    root = make_small_shop(tmp_path, rows=300)
    settings = (root / "flyball.yaml").read_text()
    linear = "method: linear\n  tracking: file:mlruns  # a database takes seconds to make\n #"
    for old, new in (("method: scratch", linear), ("kind: llama.cpp", "kind: onnx"), (", invariance]", "]")):
        assert settings.count(old) == 1
        settings = settings.replace(old, new)
    (root / "flyball.yaml").write_text(settings)

    made = ok("run", cwd=root)
    assert made["gate"]["content"]["verdict"] == "pass"
    assert made["model"]["content"]["formats"] == ["onnx"]
    assert made["training_run"]["content"]["recipe"].keys() == {"method", "seed", "linear"}
    assert made["evaluation"]["content"]["engine"] == "onnx" and made["evaluation"]["content"]["failures"] == 0
    assert made["evaluation"]["metrics"]["test.exact_match"]["value"] > 0.5
    labels = made["release"]["content"]["constraint"]["labels"]
    with serving(root) as urls:
        assert eventually(lambda: ask(urls["gateway"], "I want my money back")) in labels
