"""Kernels: the few loops that a language model spends its time in, compiled and in NumPy.

The backend is picked once, here:

    BACKEND  "compiled" or "numpy"
    ISA      the instruction set in use: "avx512", "avx2", "baseline"; None on NumPy
    ISAS     those that this processor runs
    OPENMP   whether kernels can use several threads

Without the compiled core everything works on NumPy, after one warning.  RLSCRATCH_PURE=1 chooses
NumPy, RLSCRATCH_REQUIRE_C=1 makes a missing core an error, RLSCRATCH_ISA forces an instruction
set.  Read reference/ for what a kernel computes, csrc/ for how.
"""
import importlib
import os
import warnings

from rlscratch.kernels import arguments, reference

NAMES = ("softmax", "softmax_backward", "log_softmax", "log_softmax_backward",
         "chosen_logp", "chosen_logp_backward", "draw", "sample",
         "matmul", "attention", "attention_backward", "attention_cached", "layer_norm", "layer_norm_backward",
         "bias_gelu", "bias_gelu_backward", "embedding", "embedding_backward", "adamw", "squared_norm")

_pure, _required = (os.environ.get(f"RLSCRATCH_{name}") == "1" for name in ("PURE", "REQUIRE_C"))
if _pure and _required:
    raise ImportError("RLSCRATCH_PURE=1 and RLSCRATCH_REQUIRE_C=1 contradict each other; expected at most one of them")

_compiled = None
if not _pure:
    try:
        _compiled = importlib.import_module("rlscratch.kernels._compiled")
    except ModuleNotFoundError as missing:
        if missing.name != "rlscratch.kernels._compiled":
            raise
        if _required:
            raise ImportError("the compiled core is not installed, and RLSCRATCH_REQUIRE_C=1 asks for it; "
                              "install a C compiler and reinstall rlscratch") from missing
        warnings.warn("rlscratch runs on NumPy: its compiled core is not installed.  For speed install a C "
                      "compiler and reinstall rlscratch; RLSCRATCH_PURE=1 chooses NumPy and silences this.",
                      RuntimeWarning, stacklevel=2)

if _compiled is None:
    BACKEND, ISA, ISAS, OPENMP = "numpy", None, (), False
    globals().update({name: arguments.guarded(getattr(reference, name)) for name in NAMES})

    def threads() -> int:
        """How many threads a kernel may use."""
        return 1

    def set_threads(count: int) -> None:
        """Let kernels use `count` threads; NumPy's own kernels here use one."""
        arguments.check.integer(1, 1024, count=count)
else:
    BACKEND, ISA, ISAS, OPENMP = "compiled", _compiled.ISA, _compiled.ISAS, _compiled.OPENMP
    globals().update({name: getattr(_compiled, name) for name in NAMES})
    threads, set_threads = _compiled.threads, _compiled.set_threads

__all__ = [*NAMES, "BACKEND", "ISA", "ISAS", "OPENMP", "reference", "set_threads", "threads"]
