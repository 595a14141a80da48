"""dvc.yaml and dvc.lock of others are read within the bounds of flyball.yaml."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from flyball.dvc.pipeline import read_pipeline, round_trip_yaml, stages_in
from flyball.errors import ConfigError

BOMB = "\n".join(
    [
        "a0: &a0 [x, x, x, x, x, x, x, x, x]",
        *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)),
        "stages: {one: {cmd: *a8}}",
    ]
)


@pytest.mark.parametrize(
    "text", [BOMB, "stages: " + "[" * 20_000, "a: " + "x" * 11_000_000, "a: 2026-02-30", "a: \xff\x00"]
)
def test_a_pipeline_that_fills_the_memory_is_refused_by_name_and_soon(tmp_path: Path, text: str) -> None:
    path = tmp_path / "dvc.yaml"
    path.write_text(text)
    began = time.process_time()
    with pytest.raises(ConfigError, match=r"dvc\.yaml"):
        stages_in(path)
    with pytest.raises(ConfigError, match=r"dvc\.yaml"):
        read_pipeline(path, round_trip_yaml())
    assert time.process_time() - began < 5


def test_a_lock_of_many_stages_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    entry = "    cmd: x\n    deps:\n" + "".join(f"    - path: p{n}\n      md5: {'a' * 32}\n" for n in range(20))
    path.write_text("schema: '2.0'\nstages:\n" + "".join(f"  s{n}:\n{entry}" for n in range(1500)))
    assert path.stat().st_size > 1_000_000 and len(stages_in(path)) == 1500
