"""Whether one more engine fits is asked before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.errors import EnvironmentMissing
from flyball.serving.placement import needed_bytes, require_memory
from tiny_gguf import tiny_release, write_tiny_gguf


def test_a_release_that_does_not_fit_is_refused_with_the_choices(tmp_path: Path) -> None:
    write_tiny_gguf(tmp_path / "model.gguf")
    needed = needed_bytes(tiny_release(), tmp_path, replicas=2)
    require_memory(tiny_release(), tmp_path, replicas=2, available=needed)
    with pytest.raises(EnvironmentMissing, match=r"needs about [\d,]+ MB beside the live one") as caught:
        require_memory(tiny_release(), tmp_path, replicas=2, available=needed - 1)
    for choice in ("replicas", "quantization", "another host", "downtime"):
        assert choice in caught.value.cure


def test_a_server_elsewhere_needs_no_memory_here(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"0" * 1000)
    require_memory(tiny_release(kind="openai"), tmp_path, available=0)
    with pytest.raises(EnvironmentMissing):
        require_memory(tiny_release(), tmp_path, available=0)
