"""The NumPy twin of every kernel: the definition that the compiled core is tested against.

One file a family, under the base name of its file in csrc/: softmax.py is the twin of csrc/softmax.c.
Arguments are taken as they come here; the kernels package checks them before either backend sees them.
`out`, where a function has it, is an array to write the result into instead of a new one.  Complex
arrays pass where a function is analytic, for the complex step.
"""
from rlscratch.kernels.reference.adamw import adamw, squared_norm
from rlscratch.kernels.reference.attention import attention, attention_backward
from rlscratch.kernels.reference.decode import answer, decode
from rlscratch.kernels.reference.embedding import embedding, embedding_backward
from rlscratch.kernels.reference.gelu import bias_gelu, bias_gelu_backward
from rlscratch.kernels.reference.layer_norm import layer_norm, layer_norm_backward
from rlscratch.kernels.reference.matmul import matmul
from rlscratch.kernels.reference.rms_norm import rms_norm, rms_norm_backward
from rlscratch.kernels.reference.rotary import rotary
from rlscratch.kernels.reference.sample import MARGIN, draw, sample
from rlscratch.kernels.reference.softmax import (
    chosen_logp,
    chosen_logp_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from rlscratch.kernels.reference.swiglu import swiglu, swiglu_backward

__all__ = [
    "MARGIN", "adamw", "answer", "attention", "attention_backward", "bias_gelu", "bias_gelu_backward", "chosen_logp",
    "chosen_logp_backward", "decode", "draw", "embedding", "embedding_backward", "layer_norm", "layer_norm_backward",
    "log_softmax", "log_softmax_backward", "matmul", "rms_norm", "rms_norm_backward", "rotary", "sample", "softmax",
    "softmax_backward", "squared_norm", "swiglu", "swiglu_backward",
]
