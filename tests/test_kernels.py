"""The kernels as a whole: each stands in three places, and no result depends on the number of threads.

The families have a file each, test_kernels_*.py.  What is wanted of each kernel: it equals its twin to
rounding, in both dtypes and on every instruction set; its backward is the derivative of its forward;
and a row of its result is the same bit for bit whatever the other rows are.  Under RLSCRATCH_PURE=1
the same tests see the NumPy backend: the loop over `isa` then has one entry.
"""
import ast
import inspect
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kernel_cases import DTYPES, compiled, normal, random_logits, these_kernels_alone
from rlscratch import kernels
from rlscratch.kernels import arguments, reference

NAMES = [name for name in reference.__all__ if name != "MARGIN"]


# ---------------------------------------------------------------- one kernel, three places

@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_and_its_twin_share_name_signature_and_docstring(name):
    kernel, twin = getattr(kernels, name), getattr(reference, name)
    assert kernel.__name__ == name
    assert kernel.__doc__ == twin.__doc__
    described = inspect.signature(twin)
    assert str(inspect.signature(kernel).replace(return_annotation=inspect.Signature.empty)).replace("'", "") in (
        _bare(described), str(described.replace(return_annotation=inspect.Signature.empty)).replace("'", ""))
    assert list(inspect.signature(getattr(arguments, name)).parameters) == list(described.parameters)


def _bare(signature):
    """The signature without its annotations, as Cython shows it."""
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))


def test_the_package_and_its_twins_have_the_same_kernels():
    about_the_backend = {"BACKEND", "ISA", "ISAS", "OPENMP", "reference", "set_threads", "threads"}
    assert set(kernels.__all__) - about_the_backend == set(NAMES)
    assert all(inspect.isfunction(getattr(reference, name)) for name in NAMES)


def test_a_mark_that_names_kernels_would_notice_another_one():
    with these_kernels_alone(("softmax",)):
        half = kernels.softmax(np.zeros((1, 2)))
        with pytest.raises(pytest.fail.Exception, match="the kernel draw was called"):
            kernels.draw(half, np.array([0.7]))
    assert kernels.draw(half, np.array([0.7])) == [1]


# ---------------------------------------------------------------- the addresses in csrc/

CSRC = Path(__file__).resolve().parent.parent / "csrc"
SOURCES = {path.name: path.read_text("utf-8") for path in sorted(CSRC.glob("*.c"))}


def twins_of(name, text):
    """The kernels of a C file: what its comment "Twins: kernels/reference/x.py, f() and g()." names, and is there."""
    text = re.sub(r"\n \*\s*", " ", text)
    addresses = re.findall(r"Twins?: kernels/(\S+\.py), ((?:\w+\(\)(?:, | and )?)+)\.", text)
    assert len(addresses) == text.count("Twin"), f"an address in {name} cannot be read"
    kernels_of_the_file = []
    for file, named in addresses:
        functions = re.findall(r"(\w+)\(\)", named)
        twin = Path(kernels.__file__).parent / file
        assert twin.is_file() and twin.stem == Path(name).stem, f"{name} names {file}"
        defined = {node.name for node in ast.parse(twin.read_text("utf-8")).body if isinstance(node, ast.FunctionDef)}
        assert set(functions) <= defined, f"{name} names {functions}, {file} has {sorted(defined)}"
        assert all(f"FN({function})(" in text for function in functions), f"{name} names {functions} and lacks one"
        kernels_of_the_file += functions
    return kernels_of_the_file


def test_every_c_file_names_its_twins_and_every_kernel_is_named_once():
    assert sorted(kernel for name, text in SOURCES.items() for kernel in twins_of(name, text)) == sorted(NAMES)


@pytest.mark.parametrize(("right", "wrong"), [
    ("reference/softmax.py", "reference.py"), ("reference/softmax.py", "reference/sample.py"),
    ("softmax.py, softmax()", "softmax.py, softmaxes()"), ("log_softmax(),", "draw(),"), ("softmax.py,", "softmax.py:"),
    ("softmax(), ", "")])
def test_a_wrong_address_is_noticed(right, wrong):
    planted = SOURCES["softmax.c"].replace(right, wrong, 1)
    assert planted != SOURCES["softmax.c"]
    with pytest.raises(AssertionError):
        assert twins_of("softmax.c", planted) == twins_of("softmax.c", SOURCES["softmax.c"])


# ---------------------------------------------------------------- threads

@pytest.mark.compiled_only("the NumPy backend has no threads of its own")
def test_the_number_of_threads_is_one_number_for_the_process(on_threads):
    seen = []

    def elsewhere():
        seen.append(kernels.threads())
        kernels.set_threads(5)

    def here():
        thread = Thread(target=elsewhere)
        thread.start()
        thread.join()
        return kernels.threads()

    assert on_threads(3, here) == 5
    assert seen == [3]


@pytest.mark.compiled_only("the NumPy backend has no threads of its own")
def test_many_python_threads_at_once_get_the_answers_of_one(on_threads):
    x = [random_logits((400, 300), np.float32, seed) for seed in range(8)]
    alone = [(kernels.softmax(a), kernels.matmul(a, a, transpose_b=True)) for a in x]

    def together():
        with ThreadPoolExecutor(8) as pool:
            return list(pool.map(lambda a: (kernels.softmax(a), kernels.matmul(a, a, transpose_b=True)), x * 20))

    for n, (p, y) in enumerate(on_threads(3, together)):
        assert_array_equal(p, alone[n % 8][0])
        assert_array_equal(y, alone[n % 8][1])


@pytest.mark.compiled_only("a promise of the compiled core")
def test_other_python_threads_run_while_a_kernel_works():
    a = random_logits((1500, 1500), np.float64)
    thread, count = Thread(target=lambda: kernels.matmul(a, a)), 0
    thread.start()
    while thread.is_alive():
        count += 1                  # with the interpreter's lock held there, we would come by once or twice
    thread.join()
    assert count > 1000


@pytest.mark.compiled_only("the NumPy backend has no threads of its own")
@pytest.mark.parametrize("dtype", DTYPES)
def test_results_do_not_depend_on_the_number_of_threads(isa, dtype):
    x = random_logits((300, 257), dtype)
    target, u = np.argmax(x, axis=1), np.random.default_rng(1).random(300)
    before, results = kernels.threads(), []
    for count in (1, 2, 3):
        kernels.set_threads(count)
        results.append([kernels.softmax(x), *kernels.chosen_logp(x, target), *kernels.sample(x, u, 0.9, 50, 0.9, 0.01)])
    kernels.set_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert_array_equal(a, b)


FORK = """
import multiprocessing, os, signal
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from rlscratch import kernels

signal.alarm(60)                                           # a child that waits for ever is ended, and so are we
x = np.random.default_rng(0).normal(size=(400, 400)).astype(np.float32)
kernels.set_threads(2)
want = kernels.softmax(x)

def child(threads):
    signal.alarm(30)
    kernels.set_threads(threads)
    assert np.array_equal(kernels.softmax(x), want)

def fork():
    for threads in (1, 2, 3):
        if (pid := os.fork()) == 0:
            child(threads)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0, threads
        assert np.array_equal(kernels.softmax(x), want)

def thread_that_computes_and_forks():
    child(3)
    fork()

fork()
with ThreadPoolExecutor(1) as other:
    other.submit(thread_that_computes_and_forks).result()
with multiprocessing.get_context("fork").Pool(2) as pool:
    pool.map(child, [1, 2, 3])
print("all came back")
"""


@pytest.mark.compiled_only("the NumPy backend has no threads of its own")
def test_a_process_may_fork_after_a_kernel_ran_on_several_threads():
    result = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "all came back\n"), result.stderr


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_network_kernel_depends_on_the_number_of_threads(isa, on_threads, dtype):
    qkv, x, bias = normal(4, 97, 3, 3, 17, dtype=dtype), normal(700, 65, dtype=dtype), normal(65, dtype=dtype)
    shared, halves = normal(4, 97, 8, 16, dtype=dtype), normal(700, 130, dtype=dtype)
    ids = np.random.default_rng(0).integers(0, 301, 700)

    def everything():
        out, lse = kernels.attention(qkv)
        y, stats = kernels.layer_norm(x, bias, bias)
        p, m, v = x.copy(), x * 0, x * 0
        kernels.adamw(p, x, m, v, lr=.1, beta1=.9, beta2=.99, eps=1e-8, weight_decay=.1, step=1)
        z, rstd = kernels.rms_norm(x, bias)
        few, lses = kernels.attention(shared, 2)
        return [out, lse, kernels.attention_backward(out, qkv, out, lse), y, stats, p, m, v, z, rstd, few, lses,
                kernels.attention_backward(few, shared, few, lses, 2), *kernels.rms_norm_backward(x, x, bias, rstd),
                kernels.swiglu(halves), kernels.swiglu_backward(x, halves),
                kernels.rotary(halves.reshape(700, 13, 10), normal(301, 10, dtype=dtype), ids, 7),
                *kernels.layer_norm_backward(x, x, bias, stats), kernels.bias_gelu(x, bias),
                *kernels.bias_gelu_backward(x, x, bias), kernels.embedding(x, ids),
                kernels.embedding_backward(x, ids, 301), np.array(kernels.squared_norm(x))]

    one, *more = (on_threads(count, everything) for count in (1, 2, 3))
    for other in more:
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)
