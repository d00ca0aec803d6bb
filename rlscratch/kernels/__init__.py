"""Kernels: the few loops that a language model spends its time in, compiled and in NumPy.

The backend is picked once, here:

    BACKEND  "compiled" or "numpy"
    ISA      the instruction set in use: "avx512", "avx2", "baseline"; None on NumPy
    ISAS     those that this processor runs
    OPENMP   whether kernels can use several threads, as the compiled ones can; its name is older than csrc/team.c

Kernels share one team of threads, as many as the process may really use (cores.py); threads() says how
many, set_threads() changes it, OMP_NUM_THREADS before the start.  A helper without work sleeps, and a
kernel never waits for one that other programs keep from running.  A process may fork at any time.

Without the compiled core everything works on NumPy, after one warning.  RLSCRATCH_PURE=1 chooses
NumPy, RLSCRATCH_REQUIRE_C=1 makes a missing core an error, RLSCRATCH_ISA forces an instruction
set.  Read reference/ for what a kernel computes, csrc/ for how.
"""
import os
import warnings

from rlscratch.kernels import reference

_pure, _required = (os.environ.get(f"RLSCRATCH_{name}") == "1" for name in ("PURE", "REQUIRE_C"))
if _pure and _required:
    raise ImportError("RLSCRATCH_PURE=1 and RLSCRATCH_REQUIRE_C=1 contradict each other; expected at most one of them")

BACKEND = "numpy" if _pure else "compiled"
if BACKEND == "compiled":
    try:
        import rlscratch.kernels._compiled as _backend
    except ModuleNotFoundError as missing:
        if missing.name != "rlscratch.kernels._compiled":
            raise
        if _required:
            raise ImportError("the compiled core is not installed, and RLSCRATCH_REQUIRE_C=1 asks for it; "
                              "install a C compiler and reinstall rlscratch") from missing
        warnings.warn("rlscratch runs on NumPy: its compiled core is not installed.  For speed install a C "
                      "compiler and reinstall rlscratch; RLSCRATCH_PURE=1 chooses NumPy and silences this.",
                      RuntimeWarning, stacklevel=2)
        BACKEND = "numpy"
if BACKEND == "numpy":
    import rlscratch.kernels._numpy as _backend  # type: ignore[no-redef]

ISA, ISAS, OPENMP = _backend.ISA, _backend.ISAS, BACKEND == "compiled"
threads, set_threads = _backend.threads, _backend.set_threads

softmax, softmax_backward = _backend.softmax, _backend.softmax_backward
log_softmax, log_softmax_backward = _backend.log_softmax, _backend.log_softmax_backward
chosen_logp, chosen_logp_backward = _backend.chosen_logp, _backend.chosen_logp_backward
draw, sample = _backend.draw, _backend.sample
matmul = _backend.matmul
attention, attention_backward = _backend.attention, _backend.attention_backward
rotary = _backend.rotary
layer_norm, layer_norm_backward = _backend.layer_norm, _backend.layer_norm_backward
rms_norm, rms_norm_backward = _backend.rms_norm, _backend.rms_norm_backward
bias_gelu, bias_gelu_backward = _backend.bias_gelu, _backend.bias_gelu_backward
swiglu, swiglu_backward = _backend.swiglu, _backend.swiglu_backward
embedding, embedding_backward = _backend.embedding, _backend.embedding_backward
adamw, squared_norm = _backend.adamw, _backend.squared_norm
decode, answer = _backend.decode, _backend.answer

__all__ = [
    "BACKEND", "ISA", "ISAS", "OPENMP", "adamw", "answer", "attention", "attention_backward", "bias_gelu",
    "bias_gelu_backward", "chosen_logp", "chosen_logp_backward", "decode", "draw", "embedding", "embedding_backward",
    "layer_norm", "layer_norm_backward", "log_softmax", "log_softmax_backward", "matmul", "reference", "rms_norm",
    "rms_norm_backward", "rotary", "sample", "set_threads", "softmax", "softmax_backward", "squared_norm", "swiglu",
    "swiglu_backward", "threads",
]
