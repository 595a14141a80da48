"""The main job on data nobody here wrote: examples/banking77, end to end, in the engine that serves."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from raw_rows import raw_test_rows, shares_right
from small_shop import eventually, ok, serving

EXAMPLE = Path(__file__).parents[2] / "examples/banking77"


@pytest.mark.realdata
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_banking77_reaches_its_mark_in_its_engine_and_raw_rows_through_the_gateway_do_too(tmp_path: Path) -> None:
    if not (Path(os.environ.get("FLYBALL_DATA", "")) / "banking77").is_dir() or "FLYBALL_DATA" not in os.environ:
        pytest.skip("FLYBALL_DATA names no folder with banking77")
    root = tmp_path / "banking77"
    root.mkdir()
    shutil.copy2(EXAMPLE / "flyball.yaml", root)
    began = time.monotonic()
    made = ok("run", cwd=root, timeout_s=1200)  # two to three minutes; more where others keep the cores busy
    seconds = time.monotonic() - began
    match = made["evaluation"]["metrics"]["test.exact_match"]
    print(f"banking77: {match['value']:.4f} [{match['lower']:.4f}, {match['upper']:.4f}] in {seconds:.0f} s")
    assert match["value"] >= 0.86
    assert made["gate"]["content"]["verdict"] == "pass"
    assert made["model"]["content"]["formats"][0].startswith("gguf:q8_0")

    rows = raw_test_rows(root, {"test": Path(os.environ["FLYBALL_DATA"]) / "banking77/test.jsonl"}, label="category")
    with serving(root) as urls:
        eventually(lambda: ok("status", cwd=root)["live"]["banking77"], timeout_s=120)
        share, _ = shares_right(urls["gateway"], rows, model="banking77")
    print(f"banking77: {len(rows)} raw test rows through the gateway: {share:.4f}")
    assert match["lower"] <= share <= match["upper"]
