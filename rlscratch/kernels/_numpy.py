"""The NumPy backend: each twin behind the checks of its arguments, under the names of _compiled.pyx."""
from rlscratch import check
from rlscratch.kernels import arguments, reference
from rlscratch.kernels.arguments import guarded

ISA: str | None = None
ISAS: tuple[str, ...] = ()


def threads() -> int:
    """How many threads a kernel may use."""
    return 1


def set_threads(count: int) -> None:
    """Nothing but a check of `count`: the twins use one thread."""
    check.integer(1, 64, count=count)


softmax = guarded(arguments.softmax, reference.softmax)
softmax_backward = guarded(arguments.softmax_backward, reference.softmax_backward)
log_softmax = guarded(arguments.log_softmax, reference.log_softmax)
log_softmax_backward = guarded(arguments.log_softmax_backward, reference.log_softmax_backward)
chosen_logp = guarded(arguments.chosen_logp, reference.chosen_logp)
chosen_logp_backward = guarded(arguments.chosen_logp_backward, reference.chosen_logp_backward)
draw = guarded(arguments.draw, reference.draw)
sample = guarded(arguments.sample, reference.sample)
matmul = guarded(arguments.matmul, reference.matmul)
attention = guarded(arguments.attention, reference.attention)
attention_backward = guarded(arguments.attention_backward, reference.attention_backward)
rotary = guarded(arguments.rotary, reference.rotary)
layer_norm = guarded(arguments.layer_norm, reference.layer_norm)
layer_norm_backward = guarded(arguments.layer_norm_backward, reference.layer_norm_backward)
rms_norm = guarded(arguments.rms_norm, reference.rms_norm)
rms_norm_backward = guarded(arguments.rms_norm_backward, reference.rms_norm_backward)
bias_gelu = guarded(arguments.bias_gelu, reference.bias_gelu)
bias_gelu_backward = guarded(arguments.bias_gelu_backward, reference.bias_gelu_backward)
swiglu = guarded(arguments.swiglu, reference.swiglu)
swiglu_backward = guarded(arguments.swiglu_backward, reference.swiglu_backward)
embedding = guarded(arguments.embedding, reference.embedding)
embedding_backward = guarded(arguments.embedding_backward, reference.embedding_backward)
adamw = guarded(arguments.adamw, reference.adamw)
squared_norm = guarded(arguments.squared_norm, reference.squared_norm)
decode = guarded(arguments.decode, reference.decode)
answer = guarded(arguments.answer, reference.answer)
