"""Our Llama is transformers' Llama: same weights, same numbers."""

from __future__ import annotations

import json

import pytest
import torch

from flyball.training.config import SizeConfig
from flyball.training.llama import Llama, hugging_face_config
from flyball.training.model_writer import save_json, save_weights


@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_logits_equal_those_of_transformers_at_every_chosen_position(tmp_path, kv_heads):
    from transformers import AutoModelForCausalLM

    torch.manual_seed(5)
    size = SizeConfig(layers=3, hidden=64, heads=4, kv_heads=kv_heads, feed_forward=96, context=32)
    ours = Llama(size, vocabulary=300, dropout=0.2).eval()
    save_weights(tmp_path, ours)
    save_json(tmp_path / "config.json", hugging_face_config(size, vocabulary=300, end=1, padding=0))
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    ids = torch.randint(5, 300, (3, 12))
    ids[1, 8:] = 0  # padding on the right changes nothing before it
    positions = torch.tensor([0, 5, 11, 12, 19, 24, 35])
    with torch.inference_mode():
        expected = theirs(ids).logits.flatten(0, 1)[positions]
        torch.testing.assert_close(ours(ids, positions), expected, rtol=1e-4, atol=1e-4)
        alone = ours(ids[1:2, :8], torch.tensor([7]))
        torch.testing.assert_close(alone[0], ours(ids, torch.tensor([19]))[0], rtol=1e-4, atol=1e-4)
    assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == 300


def test_weights_are_drawn_by_width_and_deep_branches_start_small():
    torch.manual_seed(5)
    model = Llama(SizeConfig(layers=8, hidden=256, feed_forward=512), vocabulary=2000, dropout=0.0)
    layer = model.model.layers[0]
    assert layer.self_attn.q_proj.weight.std().item() == pytest.approx(256**-0.5, rel=0.05)
    assert layer.mlp.down_proj.weight.std().item() == pytest.approx(512**-0.5 / 4, rel=0.05)
