"""Automatic differentiation: from the parameters of a network to its outputs and back.

    tensor.py     Tensor, backward, no_grad: the walk back through a graph, and what it promises
    row.py        what a primitive is, and what calling it records
    ops.py        the table of derivatives
    functions.py  the table under the names that users call; operators and methods
    gradcheck.py  the table against numerical derivatives

The objectives of this project are no part of a graph: their derivatives are formulas, and training hands them
over as seeds, logp.backward(dlogp).

>>> import numpy as np
>>> logits = Tensor(np.log([[0.5, 0.3, 0.2]]), requires_grad=True)
>>> logp = chosen_logp(logits, np.array([2]))
>>> logp.backward([-1.0])                                  # cross-entropy: dL/dlogp = -1
>>> logits.grad.round(6).tolist()                          # p - onehot
[[0.5, 0.3, -0.8]]
"""
from rlscratch.autograd.functions import (
    absolute,
    attention,
    bias_gelu,
    chosen_logp,
    concatenate,
    embedding,
    exp,
    gather,
    layer_norm,
    linear,
    log,
    log_softmax,
    matmul,
    max,
    maximum,
    mean,
    minimum,
    power,
    relu,
    reshape,
    rms_norm,
    rotary,
    sigmoid,
    softmax,
    sqrt,
    sum,
    swiglu,
    tanh,
    transpose,
    where,
)
from rlscratch.autograd.tensor import GraphError, Tensor, backward, no_grad

__all__ = [
    "GraphError", "Tensor", "absolute", "attention", "backward", "bias_gelu", "chosen_logp", "concatenate", "embedding",
    "exp", "gather", "layer_norm", "linear", "log", "log_softmax", "matmul", "max", "maximum", "mean", "minimum",
    "no_grad", "power", "relu", "reshape", "rms_norm", "rotary", "sigmoid", "softmax", "sqrt", "sum", "swiglu", "tanh",
    "transpose", "where",
]
