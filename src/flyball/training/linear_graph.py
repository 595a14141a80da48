"""A linear model as an ONNX graph: Gather → Mul → ReduceSum → Add → Softmax over sparse features. Pure.

Its inputs are the columns that are not zero (int64, k) and their values (float32, k × 1), so that a request costs its
own n-grams and not the whole vocabulary. `probabilities` has one number for each label.
"""

from __future__ import annotations

from typing import Any

OPSET, IR = 17, 8
"""Read by every onnxruntime since 1.12."""


def linear_graph(weights: Any, intercepts: Any) -> bytes:
    """The graph of `weights` (features × labels) and `intercepts` (labels), as the bytes of its file."""
    import numpy
    from onnx import TensorProto, checker, helper, numpy_helper  # in the `train` extra only

    labels = int(intercepts.shape[0])
    kept = {
        "weights": numpy.ascontiguousarray(weights, dtype="float32"),
        "intercepts": numpy.asarray(intercepts, dtype="float32"),
        "first": numpy.array([0], dtype="int64"),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["weights", "columns"], ["rows"], axis=0),
            helper.make_node("Mul", ["rows", "values"], ["weighted"]),
            helper.make_node("ReduceSum", ["weighted", "first"], ["summed"], keepdims=0),
            helper.make_node("Add", ["summed", "intercepts"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1),
        ],
        "linear",
        [
            helper.make_tensor_value_info("columns", TensorProto.INT64, ["k"]),
            helper.make_tensor_value_info("values", TensorProto.FLOAT, ["k", 1]),
        ],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [labels])],
        [numpy_helper.from_array(array, name) for name, array in kept.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    model.producer_name = "flyball"
    checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
