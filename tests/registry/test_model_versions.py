"""One model through its commands: packaged in another form."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_shop import flyball, ok
from tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="module")
def desk(packaged, tmp_path_factory) -> tuple[Path, dict]:
    """A project around a tiny GGUF file, and what importing a Hugging Face folder there said."""
    root = tmp_path_factory.mktemp("versions") / "desk"
    tiny = write_tiny_gguf(root.parent / "tiny.gguf", printable=True)
    ok("init", str(root), "--model", str(tiny), cwd=root.parent)
    settings = root / "flyball.yaml"
    settings.write_text(settings.read_text().replace("max_tokens: 128", "max_tokens: 8").replace("context: 256", ""))
    return root, ok("import", str(packaged.training), cwd=root)


def test_a_model_is_packaged_in_another_form_with_a_release_that_differs_in_nothing_else(desk):
    root, taken = desk
    made = ok("package", taken["model"]["id"][:12], "--as", "gguf:q4_k_m", cwd=root)
    assert made["model"]["content"]["formats"] == ["gguf:q4_k_m", "safetensors"]
    before, after = taken["release"]["content"], made["release"]["content"]
    assert {key for key in after if before[key] != after[key]} == {"model", "artifact"}
    stores = [root / ".flyball/artifacts" / one["model"]["id"] for one in (taken, made)]
    assert (stores[1] / "model.gguf").stat().st_size < (stores[0] / "model.gguf").stat().st_size
    assert ok("package", taken["model"]["id"][:12], "--as", "gguf:q4_k_m", cwd=root)["model"] == made["model"]
    refused = flyball("package", taken["model"]["id"], "--as", "gguf:q1", cwd=root)
    assert refused.code == 2 and "gguf:q4_k_m" in refused.err
    assert flyball("package", taken["model"]["id"], cwd=root).code == 2
