"""Which form each tensor of a package has, and the tensor in that form. Calls the quantiser of llama.cpp's library.

Mixture `q4_k_m`: llama.cpp's `llama_tensor_get_type` (q6_k for the output matrix and for some layers of attn_v and
ffn_down; q4_k elsewhere; rows that 256 does not divide take the next form of blocks of 32).
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from flyball.errors import EnvironmentMissing

if TYPE_CHECKING:
    import numpy

Quantization = Literal["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k_m", "q4_k", "q4_0"]
FILE_TYPES: Mapping[str, str] = {
    "f32": "ALL_F32",
    "f16": "MOSTLY_F16",
    "bf16": "MOSTLY_BF16",
    "q8_0": "MOSTLY_Q8_0",
    "q6_k": "MOSTLY_Q6_K",
    "q5_k": "MOSTLY_Q5_K_S",
    "q4_k_m": "MOSTLY_Q4_K_M",
    "q4_k": "MOSTLY_Q4_K_S",
    "q4_0": "MOSTLY_Q4_0",
}
"""The name of gguf's LlamaFileType for each."""
_COARSER = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""For rows that 256 does not divide, as llama.cpp does."""


def form_of(name: str, quantization: str, *, dimensions: int, columns: int, layers: int) -> str:
    """The form of one tensor, as gguf names it: F32 for vectors, F16 where no block fits its rows."""
    if dimensions == 1 or quantization == "f32":
        return "F32"
    wanted = _mixed(name, layers) if quantization == "q4_k_m" else quantization.upper()
    if wanted in _COARSER and columns % 256:
        wanted = _COARSER[wanted]
    if wanted in ("F16", "BF16"):
        return wanted
    return wanted if columns % 32 == 0 else "F16"


def _mixed(name: str, layers: int) -> str:
    if name in ("output.weight", "token_embd.weight"):  # tied: the embedding is the output matrix
        return "Q6_K"
    found = re.fullmatch(r"blk\.(\d+)\.(attn_v|ffn_down)\.weight", name)
    if not found:
        return "Q4_K"
    layer, eighth = int(found[1]), layers // 8
    finer = layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2
    return "Q6_K" if finer else "Q4_K"


def quantized(weight: numpy.ndarray[Any, Any], form: str) -> numpy.ndarray[Any, Any]:
    """A float32 matrix as the bytes of its blocks, a row of bytes a row of weights."""
    import numpy
    from gguf import GGMLQuantizationType, quant_shape_to_byte_shape

    kind = GGMLQuantizationType[form]
    weight = numpy.ascontiguousarray(weight, dtype=numpy.float32)
    blocks = numpy.empty(quant_shape_to_byte_shape(weight.shape, kind), dtype=numpy.uint8)
    columns = weight.shape[-1]
    written = _quantizer()(int(kind), weight.ctypes.data, blocks.ctypes.data, 0, weight.size // columns, columns, None)
    if written != blocks.nbytes:
        raise EnvironmentMissing(
            f"the quantiser wrote {written} bytes of {form} instead of {blocks.nbytes}",
            cure="install the xllamacpp that constraints.txt names",
        )
    return blocks


@cache
def _quantizer() -> Any:
    """`ggml_quantize_chunk(type, source, target, start, rows, columns, importance)` of the library that serves."""
    import xllamacpp.xllamacpp  # its library exports ggml's own functions

    try:
        function = ctypes.CDLL(xllamacpp.xllamacpp.__file__).ggml_quantize_chunk
    except (OSError, AttributeError) as error:
        raise EnvironmentMissing(
            f"this xllamacpp has no quantiser: {error}", cure="set package.quantization to f16, or update xllamacpp"
        ) from error
    whole, address = ctypes.c_int64, ctypes.c_void_p
    function.restype, function.argtypes = (
        ctypes.c_size_t,
        (ctypes.c_int, address, address, whole, whole, whole, address),
    )
    return function
