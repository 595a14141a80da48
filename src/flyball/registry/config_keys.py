"""What each key of a config.json means for the numbers, and which values packaging can keep. Pure.

A key is converted, neutral at certain values, or known to change no number; anything else that is set is refused with
its name: a setting that is dropped without a word makes another model (a yarn scaling under its old key cost 4.5 to
10.2 nats per token).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyball.errors import InputError

_CONVERTED = frozenset(
    {
        *("architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
        *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps"),
        *("rope_theta", "rope_scaling", "rope_parameters", "tie_word_embeddings", "sliding_window"),
        *("use_sliding_window", "max_window_layers", "layer_types", "attention_bias", "mlp_bias"),
    }
)
_NAMES = (
    "bos_token_id eos_token_id pad_token_id unk_token_id sep_token_id decoder_start_token_id torch_dtype "
    "dtype transformers_version _name_or_path name_or_path _model_name_or_path _commit_hash use_cache "
    "initializer_range attention_dropout hidden_dropout resid_pdrop embd_pdrop attn_pdrop return_dict "
    "output_attentions output_hidden_states id2label label2id num_labels tokenizer_class "
    "task_specific_params problem_type finetuning_task prefix torchscript _attn_implementation "
    "_attn_implementation_autoset attn_implementation use_flash_attention_2 chunk_size_feed_forward "
    "transformers.js_config unsloth_fixed unsloth_version pretraining_tp is_llama_config max_sequence_length "
    "model_max_length tokenizer_model_max_length seq_length neftune_noise_alpha use_bfloat16 "
    "gradient_checkpointing keys_to_ignore_at_inference max_length min_length do_sample early_stopping "
    "num_beams num_beam_groups diversity_penalty temperature top_k top_p typical_p repetition_penalty "
    "length_penalty bad_words_ids no_repeat_ngram_size encoder_no_repeat_ngram_size num_return_sequences "
    "output_scores return_dict_in_generate forced_bos_token_id forced_eos_token_id remove_invalid_values "
    "exponential_decay_length_penalty suppress_tokens begin_suppress_tokens"
)
_WITHOUT_EFFECT = frozenset(_NAMES.split())
"""Of training, of loading and of generation: the release has its own sampling."""
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "hidden_act": ("silu", "swish"),
    "hidden_activation": ("silu", "swish"),
    "partial_rotary_factor": (1, 1.0),
    "rope_interleaved": (False,),
    "is_decoder": (True, False),
    "attention_multiplier": (1, 1.0),
    "embedding_multiplier": (1, 1.0),
    "residual_multiplier": (1, 1.0),
    "logits_scaling": (1, 1.0),
}
_UNSET: tuple[Any, ...] = (None, False, [], {}, "")
_BIASED = {"attention_bias": ("LlamaForCausalLM",), "mlp_bias": ("LlamaForCausalLM",)}


def check_keys(config: Mapping[str, Any], architecture: str) -> None:
    """InputError with the key and its value for what the packaged model would not do."""
    for key, value in config.items():
        if key in _WITHOUT_EFFECT or value in _UNSET:
            continue
        if key not in _CONVERTED and value not in _NEUTRAL.get(key, ()):
            raise refused(key, value)
        if key in _BIASED and architecture not in _BIASED[key]:
            raise refused(key, value)
    if any(kind != "full_attention" for kind in config.get("layer_types") or ()):
        raise refused("layer_types", sorted(set(config["layer_types"])))


def refused(key: str, value: object) -> InputError:
    """The error for a key whose effect a packaged model would not have."""
    shown = str(value)
    return InputError(
        f"config.json sets {key} to {shown if len(shown) <= 120 else shown[:119] + '…'}, which cannot be packaged",
        cure=f"use a model without {key}; if it changes no number, take it out of config.json",
    )


def context_length(config: Mapping[str, Any]) -> int:
    """How many tokens the packaged model reads: not more than its attention window, within which nothing differs."""
    reads = int(config["max_position_embeddings"])
    window = config.get("sliding_window")
    if window and config.get("use_sliding_window", True):
        return min(reads, int(window))
    return reads
