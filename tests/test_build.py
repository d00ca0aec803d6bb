"""The package as it is built: our own C is free of warnings, and each mode does what it says."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rlscratch import kernels

ROOT = Path(__file__).resolve().parent.parent
# All levels compile one core.  It is optimised once, for the largest: some warnings come late.
LEVELS = {path.name: "-fsyntax-only" for path in (ROOT / "csrc").glob("level_*.c")} | {"level_avx512.c": "-O2"}
SOURCES = LEVELS | {"dispatch.c": "-O2", "team.c": "-O2"}


def run(code, **environment):
    kept = {k: v for k, v in os.environ.items() if not k.startswith("RLSCRATCH_")}
    return subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, env=kept | environment,
                          capture_output=True, text=True, check=False)


@pytest.mark.compiled_only("the run with the compiled core compiles it")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_our_c_compiles_without_a_warning(compiler, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed here")
    assert len(LEVELS) == 3
    for source, optimised in SOURCES.items():
        result = subprocess.run(
            [compiler, "-std=c99", optimised, "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-Wall",
             "-Wextra", "-Werror", "-c", str(ROOT / "csrc" / source), "-o", str(tmp_path / "out.o")],
            capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""


def test_pure_chooses_numpy_without_a_warning():
    result = run("from rlscratch import kernels; print(kernels.BACKEND, kernels.ISA)", RLSCRATCH_PURE="1")
    assert (result.returncode, result.stdout) == (0, "numpy None\n"), result.stderr


def test_pure_and_required_contradict_each_other():
    result = run("import rlscratch.kernels", RLSCRATCH_PURE="1", RLSCRATCH_REQUIRE_C="1")
    assert result.returncode == 1
    assert "contradict each other" in result.stderr


WITHOUT_THE_CORE = """
import sys, warnings
sys.modules["rlscratch.kernels._compiled"] = None      # what an absent module looks like to import
warnings.simplefilter("always")
with warnings.catch_warnings(record=True) as caught:
    from rlscratch import kernels
    import rlscratch.formulas.distribution
print(kernels.BACKEND, len(caught), caught[0].message)
"""


def test_without_the_core_there_is_one_clear_warning_and_numpy():
    said = run(WITHOUT_THE_CORE).stdout
    assert said.startswith("numpy 1 rlscratch runs on NumPy: its compiled core is not installed")


def test_without_the_core_required_is_an_error():
    result = run(WITHOUT_THE_CORE, RLSCRATCH_REQUIRE_C="1")
    assert result.returncode == 1
    assert "RLSCRATCH_REQUIRE_C=1 asks for it; install a C compiler" in result.stderr


@pytest.mark.compiled_only("instruction sets belong to the compiled core")
@pytest.mark.parametrize("isa", kernels.ISAS)
def test_an_instruction_set_can_be_forced(isa):
    assert run("from rlscratch import kernels; print(kernels.ISA)", RLSCRATCH_ISA=isa).stdout.strip() == isa


@pytest.mark.compiled_only("instruction sets belong to the compiled core")
def test_an_unknown_instruction_set_is_an_error_that_lists_the_known_ones():
    result = run("import rlscratch.kernels", RLSCRATCH_ISA="mmx")
    assert result.returncode == 1
    assert "RLSCRATCH_ISA is 'mmx'; expected one of 'baseline'" in result.stderr
