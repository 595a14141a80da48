"""Values are written into flyball.yaml, and comments and all else stay as they were."""

from __future__ import annotations

import pytest

from flyball.errors import ConfigError
from flyball.records.yaml_documents import load_yaml
from flyball.workflows.settings_edit import with_edits

TEXT = """\
version: 1   # of the format
train:
  method: scratch     # from nothing
  size: {layers: 2, hidden: 64}   # small

  lora:
    rank: 8
    targets:
    - q_proj
# the end
gate: {}
"""


def test_values_are_replaced_and_added_and_comments_stay() -> None:
    values = {
        "train.method": "lora",
        "train.size.hidden": 128,
        "train.size.heads": 4,
        "train.learning_rate": 1e-05,
        "train.lora.rank": 16,
        "train.linear.strengths": [1.0, 5.0],
        "gate.alpha": 0.1,
        "package.quantization": "f16",
    }
    made = with_edits(TEXT, values)
    document = load_yaml(made)
    assert document["train"]["lora"] == {"rank": 16, "targets": ["q_proj"]}
    assert document["train"]["size"] == {"layers": 2, "hidden": 128, "heads": 4}
    assert (document["train"]["learning_rate"], document["gate"]["alpha"]) == (1e-05, 0.1)
    for comment in ("# of the format", "# from nothing", "# small", "# the end"):
        assert made.count(comment) == 1
    untouched = [line for line in TEXT.splitlines() if line.startswith(("version", "    -", "# the"))]
    assert all(line in made.splitlines() for line in untouched)


@pytest.mark.parametrize("tail", ["\n", "", "   # said\n"])
def test_a_key_is_added_where_the_file_ends(tail: str) -> None:
    made = with_edits("train:\n  steps: 5" + tail, {"train.seed": 3, "package.quantization": "no"})
    assert load_yaml(made) == {"train": {"steps": 5, "seed": 3}, "package": {"quantization": "no"}}
    assert tail.strip() in made


def test_a_layout_that_cannot_be_edited_is_refused_with_the_values() -> None:
    text = "one: &a {steps: 5}\ntrain: *a\n"
    with pytest.raises(ConfigError) as caught:
        with_edits(text, {"train.steps": 9})
    assert "train.steps: 9" in caught.value.cure
