"""Builds the compiled core.  Three modes, chosen by the environment:

    (nothing set)              try to compile; without a compiler the install succeeds on NumPy
    RLSCRATCH_REQUIRE_C=1      a failure to compile is an error
    RLSCRATCH_PURE=1           do not compile

RLSCRATCH_OPENMP=0 leaves threads out; otherwise they are used where the compiler has OpenMP (gcc
from version 9 on).
Everything else about the package stands in pyproject.toml.
"""
import os
import subprocess
import sys
import tempfile
from glob import glob
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

REQUIRE, PURE = (os.environ.get(f"RLSCRATCH_{name}") == "1" for name in ("REQUIRE_C", "PURE"))
if REQUIRE and PURE:
    sys.exit("RLSCRATCH_REQUIRE_C=1 and RLSCRATCH_PURE=1 contradict each other; expected at most one of them")

# No -march=native and no -ffast-math: csrc/level.h compiles the kernels once for each instruction set.
# -ffp-contract=fast rounds a * b + c once where the processor can, as a matrix product wants.
FLAGS = ["-std=c99", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-fopenmp-simd"]


class build_kernels(build_ext):
    """build_ext that uses OpenMP where a two-line program with it compiles and links."""

    def build_extension(self, ext: Extension) -> None:
        if os.environ.get("RLSCRATCH_OPENMP") != "0" and self.links_openmp():
            ext.extra_compile_args.append("-fopenmp")
            ext.extra_link_args.append("-fopenmp")
        super().build_extension(ext)

    def links_openmp(self) -> bool:
        command = getattr(self.compiler, "compiler", None)
        if not command:
            return False
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "openmp.c")
            program.write_text("#include <omp.h>\nint main(void) { return omp_pause_resource_all(omp_pause_hard); }\n")
            try:
                result = subprocess.run([*command, "-fopenmp", str(program), "-o", str(program.with_suffix(""))],
                                        capture_output=True, check=False)
            except OSError:
                return False
            return result.returncode == 0


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
        ["rlscratch/kernels/_compiled.pyx", "csrc/dispatch.c", *sorted(glob("csrc/level_*.c"))],
        include_dirs=["csrc", numpy.get_include()],
        depends=glob("csrc/*.[ch]"),     # the level files include the kernels
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=FLAGS,
    )
    built = cythonize([core], build_dir="build/cython")
    for ext in built:
        ext.optional = not REQUIRE      # cythonize() drops the argument of Extension()
    return built


setup(ext_modules=extensions(), cmdclass={"build_ext": build_kernels})
