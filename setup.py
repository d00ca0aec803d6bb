"""Builds the compiled core.  Three modes, chosen by the environment:

    (nothing set)              try to compile; without a compiler the install succeeds on NumPy
    RLSCRATCH_REQUIRE_C=1      a failure to compile is an error
    RLSCRATCH_PURE=1           do not compile

Everything else about the package stands in pyproject.toml.
"""
import os
import sys
from glob import glob

from setuptools import Extension, setup

REQUIRE, PURE = (os.environ.get(f"RLSCRATCH_{name}") == "1" for name in ("REQUIRE_C", "PURE"))
if REQUIRE and PURE:
    sys.exit("RLSCRATCH_REQUIRE_C=1 and RLSCRATCH_PURE=1 contradict each other; expected at most one of them")

# No -march=native and no -ffast-math: csrc/level.h compiles the kernels once for each instruction set.
# -ffp-contract=fast rounds a * b + c once where the processor can, as a matrix product wants.
FLAGS = ["-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fopenmp-simd", "-pthread"]


def extensions() -> list[Extension]:
    if PURE:
        return []
    try:
        import numpy
        from Cython.Build import cythonize
    except ImportError:
        if REQUIRE:
            raise
        return []
    core = Extension(
        "rlscratch.kernels._compiled",
        ["rlscratch/kernels/_compiled.pyx", "csrc/dispatch.c", "csrc/team.c", *sorted(glob("csrc/level_*.c"))],
        include_dirs=["csrc", numpy.get_include()],
        depends=glob("csrc/*.[ch]"),     # the level files include the kernels
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
    )
    built = cythonize([core], build_dir="build/cython")
    for ext in built:
        ext.optional = not REQUIRE      # cythonize() drops the argument of Extension()
    return built


setup(ext_modules=extensions())
