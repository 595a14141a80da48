"""What a release says of its engine reaches it, by kind; what belongs to another kind is refused."""

from __future__ import annotations

import pytest
from test_composing import composed

from flyball.errors import ConfigError
from flyball.registry.config import EngineConfig, ReleaseConfig


def test_settings_of_an_engine_are_in_the_release_and_an_unset_one_changes_no_name() -> None:
    assert composed(ReleaseConfig(engine=EngineConfig(batch=2048))).engine.flags == {"batch": 2048}
    assert composed(ReleaseConfig()).engine.flags == {}
    vllm = composed(ReleaseConfig(engine=EngineConfig(kind="vllm", flags={"quantization": "fp8"}, slots=64)))
    assert (vllm.engine.kind, vllm.engine.slots, vllm.engine.flags) == ("vllm", 64, {"quantization": "fp8"})
    assert composed(ReleaseConfig(adapter="b" * 64)).adapter == "b" * 64


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        (EngineConfig(flags={"quantization": "fp8"}), "flags are vLLM's"),
        (EngineConfig(kind="vllm", batch=2048), "max-num-batched-tokens"),
        (EngineConfig(kind="openai"), "there is no url"),
    ],
)
def test_what_belongs_to_another_kind_is_refused(engine: EngineConfig, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(ReleaseConfig(engine=engine))
    assert said in str(caught.value)
