"""The kernels against their twins, the twins against the definitions, and the glue against bad calls.

Under RLSCRATCH_PURE=1 the same tests see the NumPy backend.  The loop over `isa` then has one
entry; with the compiled core it visits every instruction set that this processor runs.
"""
import inspect
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch import kernels
from rlscratch.formulas import distribution
from rlscratch.kernels import arguments, reference
from strategies import logits_nv

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}
NAMES = [name for name in reference.__all__ if name != "MARGIN"]
JUST_BELOW_1 = np.nextafter(1.0, 0.0)


@pytest.fixture(params=kernels.ISAS or ["numpy"])
def isa(request):
    """Each instruction set in turn; afterwards the one that was in use."""
    if kernels.BACKEND == "numpy":
        yield request.param
        return
    from rlscratch.kernels import _compiled
    _compiled._choose(request.param)
    yield request.param
    _compiled._choose(kernels.ISA)


def random_logits(shape, dtype, seed=0, scale=3.0):
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(dtype)


def with_hard_rows(x):
    """Rows that break naive code: huge logits, -inf, all equal, one certain token."""
    x = x.copy()
    x[0] += 1000
    x[1, : x.shape[1] // 2] = -np.inf
    x[2] = 0
    x[3, 0] = 500
    return x


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


# ---------------------------------------------------------------- values

@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (4, 2), (5, 31), (5, 32), (5, 33), (6, 65), (4, 1000), (5, 50257)])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_softmax_and_chosen_logp_agree_with_their_twins(isa, shape, dtype, temperature):
    x = random_logits(shape, dtype)
    if shape[0] >= 4 and shape[1] > 1:
        x = with_hard_rows(x)
    tol = TOLERANCE[dtype]
    target = np.argmax(x, axis=1)
    for name, args in (("softmax", (x,)), ("log_softmax", (x,)), ("chosen_logp", (x, target))):
        got, want = (getattr(m, name)(*args, temperature) for m in (kernels, reference))
        if name != "chosen_logp":
            got, want = [got], [want]
        for a, b in zip(got, want, strict=True):
            assert a.dtype == dtype
            assert_allclose(a, b, rtol=10 * tol, atol=10 * tol * max(1, np.abs(b[np.isfinite(b)]).max()))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1, 2, 33, 1000])
def test_backward_kernels_agree_with_their_twins(isa, V, dtype):
    x, dy, temperature = random_logits((6, V), dtype), random_logits((6, V), dtype, 1), 0.7
    if V > 2:
        x[0, 0] = -np.inf
    target = np.argmax(x, axis=1)
    p, logp = reference.softmax(x, temperature), reference.log_softmax(x, temperature)
    _, entropy, stats = reference.chosen_logp(x, target, temperature)
    for name, args in (("softmax_backward", (dy, p)), ("log_softmax_backward", (dy, logp)),
                       ("chosen_logp_backward", (dy[:, 0].copy(), dy[:, -1].copy(), x, target, entropy, stats))):
        got, want = (getattr(m, name)(*args, temperature) for m in (kernels, reference))
        assert got.dtype == dtype
        assert_allclose(got, want, rtol=20 * TOLERANCE[dtype], atol=20 * TOLERANCE[dtype] * max(1, np.abs(want).max()))


@given(logits_nv(), st.sampled_from([0.5, 1.0, 2.0]))
def test_backward_kernels_are_the_derivatives_of_their_forwards(x, temperature):
    dy = np.linspace(-1, 1, x.size).reshape(x.shape)
    assert_allclose(kernels.softmax_backward(dy, kernels.softmax(x, temperature), temperature),
                    complex_step(lambda z: (dy * reference.softmax(z, temperature)).sum(), x), rtol=1e-9, atol=1e-12)
    assert_allclose(kernels.log_softmax_backward(dy, kernels.log_softmax(x, temperature), temperature),
                    complex_step(lambda z: (dy * reference.log_softmax(z, temperature)).sum(), x),
                    rtol=1e-9, atol=1e-12)
    target = np.arange(len(x)) % x.shape[1]
    dlogp, dentropy = dy[:, 0].copy(), dy[:, -1].copy()

    def loss(z):
        logp, entropy, _ = kernels.chosen_logp(z, target, temperature)
        return dlogp @ logp + dentropy @ entropy

    _, entropy, stats = kernels.chosen_logp(x, target, temperature)
    grad = kernels.chosen_logp_backward(dlogp, dentropy, x, target, entropy, stats, temperature)
    assert_allclose(grad, central_difference(loss, x), rtol=1e-6, atol=1e-8)


@given(logits_nv())
def test_chosen_logp_is_log_softmax_at_the_target_and_the_entropy_formula(x):
    target = np.arange(len(x)) % x.shape[1]
    logp, entropy, _ = kernels.chosen_logp(x, target)
    assert_allclose(logp, distribution.log_softmax(x)[np.arange(len(x)), target], rtol=1e-12, atol=1e-13)
    assert_allclose(entropy, distribution.entropy(x), rtol=1e-12, atol=1e-12)


@pytest.mark.skipif(kernels.BACKEND == "numpy", reason="the NumPy backend has no threads of its own")
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


# ---------------------------------------------------------------- the draw from probabilities

@given(logits_nv(), st.data())
def test_draw_inverts_the_cumulative_distribution(x, data):
    p = distribution.softmax(x)
    u = np.array(data.draw(st.lists(st.integers(0, 999).map(lambda k: k / 1000), min_size=len(p), max_size=len(p))))
    ids = kernels.draw(p, u)
    for row, threshold, j in zip(p, u, ids, strict=True):
        total = np.cumsum(row)              # left to right, as the kernel adds
        assert total[j] > threshold or j == len(row) - 1
        assert j == 0 or total[j - 1] <= threshold


def test_draw_of_the_document_s_greeting():
    p = np.array([[.40, .30, .20, .10]] * 6)
    assert kernels.draw(p, np.array([0, .39, .41, .69, .71, .95])).tolist() == [0, 0, 1, 1, 2, 3]


@pytest.mark.parametrize("dtype", DTYPES)
def test_draw_at_the_ends_of_the_uniform(dtype):
    p = np.array([[0, .5, 0, .5, 0]] * 2, dtype=dtype)
    assert kernels.draw(p, np.array([0.0, JUST_BELOW_1])).tolist() == [1, 3]


def test_a_row_whose_sum_rounds_below_the_uniform_gives_its_last_possible_token():
    tenths = np.array([[.1] * 10 + [0.0]])                   # left to right this adds to .9999999999999999
    assert np.cumsum(tenths)[-1] <= JUST_BELOW_1
    assert kernels.draw(tenths, np.array([JUST_BELOW_1])).tolist() == [9]


def test_a_boundary_belongs_to_the_next_token():
    assert kernels.draw(np.array([[.25, .25, .5]] * 3), np.array([.25, .5, .75])).tolist() == [1, 2, 2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_draws_agree_bit_for_bit_with_the_twin(isa, dtype):
    p = reference.softmax(random_logits((64, 50257), dtype))
    u = np.random.default_rng(2).random(64)
    u[:2] = 0, JUST_BELOW_1
    cum = np.cumsum(p, axis=1, dtype=np.float64)
    u[2:34] = [min(cum[i, 7 * i], JUST_BELOW_1) for i in range(2, 34)]        # exactly on a boundary
    assert_array_equal(kernels.draw(p, u), reference.draw(p, u))


# ---------------------------------------------------------------- the draw from logits

def filtered(x, temperature, top_k, top_p, min_p):
    """The distribution that sample() draws from, by the formulas."""
    p = distribution.softmax(x.astype(np.float64), temperature)
    p = distribution.top_k(p, top_k) if top_k else p
    p = distribution.top_p(p, top_p)
    return distribution.min_p(p, min_p) if min_p else p


FILTERS = list(itertools.product([0, 1, 3, 100], [1.0, 0.9, 0.5, 0.1], [0.0, 0.1, 1.0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1, 2, 7, 64, 65, 300])
def test_sample_draws_from_the_filtered_distribution(isa, V, dtype):
    x = random_logits((8, V), dtype)
    if V > 4:
        x[0, 1:3], x[1] = -np.inf, np.round(x[1])            # impossible tokens, and many ties
    u = np.random.default_rng(3).random(8)
    u[0], u[1] = 0, JUST_BELOW_1
    for filters in FILTERS:
        p = filtered(x, 0.8, *filters)
        ids, logp = kernels.sample(x, u, 0.8, *filters)
        cum = np.cumsum(p, axis=1)
        chosen = p[np.arange(8), ids]
        assert (chosen > 0).all()
        assert_allclose(logp, np.log(chosen), atol=2e-6 if dtype == np.float32 else 1e-11)
        assert (cum[np.arange(8), ids] >= u - 1e-12).all()
        assert (cum[np.arange(8), ids] - chosen <= u + 1e-12).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 0.01, 3.0, 30.0])
def test_sample_agrees_with_its_twin_at_the_size_of_gpt_2(isa, dtype, scale):
    x = random_logits((6, 50257), dtype, scale=scale)
    x[0] = np.round(x[0])                                    # thousands of ties
    u = np.random.default_rng(4).random(6)
    for filters in [(0, 1.0, 0.0), (50, 1.0, 0.0), (5000, 0.9, 0.0), (0, 0.9, 0.0), (0, 0.999999, 0.0),
                    (0, 0.95, 0.05)]:
        ids, logp = kernels.sample(x, u, 0.9, *filters)
        want, want_logp = reference.sample(x, u, 0.9, *filters)
        assert_array_equal(ids, want)
        assert_allclose(logp, want_logp, atol=2e-6 if dtype == np.float32 else 1e-10)


def test_a_vocabulary_of_one_token_has_one_outcome():
    ids, logp = kernels.sample(np.array([[-7.0]] * 2), np.array([0.0, JUST_BELOW_1]), 0.5, 3, 0.5, 0.5)
    assert ids.tolist() == [0, 0]
    assert logp.tolist() == [0.0, 0.0]


def test_ties_go_to_the_lowest_id():
    flat = np.zeros((3, 6))
    u = np.array([0.0, 0.5, JUST_BELOW_1])
    assert kernels.sample(flat, u, top_k=2)[0].tolist() == [0, 1, 1]
    assert kernels.sample(flat, u, top_p=0.4)[0].tolist() == [0, 1, 2]      # before the fourth: .5
    assert kernels.sample(np.array([[1.0, 3, 2, 3]] * 3), u, top_k=1)[0].tolist() == [1, 1, 1]


def test_plus_and_minus_zero_are_one_logit():
    signed = np.array([[-0.0, 0.0, -0.0, 0.0] * 20])
    assert kernels.sample(signed, np.array([JUST_BELOW_1]), top_k=3)[0].tolist() == [2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_top_p_keeps_five_words_of_the_document_s_movie(isa, dtype):
    p = np.array([.25, .20, .18, .15, .12, .05, .03, .02])
    x = np.tile(np.log(p).astype(dtype), (200, 1))
    ids, logp = kernels.sample(x, np.linspace(0, JUST_BELOW_1, 200), top_p=0.9)
    assert set(ids.tolist()) == {0, 1, 2, 3, 4}
    assert_allclose(logp[0], np.log(.25 / .90), atol=1e-6)


def test_impossible_tokens_are_never_drawn():
    x = np.array([[-np.inf, 0.0, -np.inf, 0.0, -np.inf]] * 5)
    for filters in FILTERS:
        assert set(kernels.sample(x, np.array([0, .3, .5, .8, JUST_BELOW_1]), 1.0, *filters)[0].tolist()) <= {1, 3}


@given(logits_nv(max_size=9), st.sampled_from(FILTERS), st.integers(0, 2**32 - 1))
@example(np.zeros((1, 5)), (3, 0.9, 0.1), 0)
def test_both_backends_make_the_same_draw_from_the_same_logits(x, filters, seed):
    u = np.random.default_rng(seed).random(len(x))
    ids, logp = kernels.sample(x, u, 0.7, *filters)
    want, want_logp = reference.sample(x, u, 0.7, *filters)
    assert_array_equal(ids, want)
    assert_allclose(logp, want_logp, atol=1e-12)


# ---------------------------------------------------------------- bad calls

def good_calls_of_the_network():
    x, row, ids, qkv = np.zeros((2, 2)), np.zeros(2), np.zeros(2, dtype=np.int64), np.zeros((1, 2, 3, 1, 1))
    out, lse, cache = np.zeros((1, 2, 1, 1)), np.zeros((1, 1, 2)), {"keys": np.zeros((1, 1, 1, 16))}
    step = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": 0.0, "step": 1}
    return {
        "matmul": {"a": x, "b": x}, "squared_norm": {"x": x}, "embedding": {"table": x, "ids": ids},
        "embedding_backward": {"dout": x, "ids": ids, "V": 2}, "bias_gelu": {"x": x, "bias": row},
        "bias_gelu_backward": {"dy": x, "x": x, "bias": row}, "layer_norm": {"x": x, "gain": row, "bias": row},
        "layer_norm_backward": {"dy": x, "x": x, "gain": row, "stats": x}, "attention": {"qkv": qkv},
        "attention_backward": {"dout": out, "qkv": qkv, "out": out, "lse": lse},
        "attention_cached": {"qkv": qkv, **cache, "values": np.zeros((1, 1, 16, 1)), "start": ids[:1]},
        "adamw": {**{name: np.zeros(2) for name in ("parameter", "gradient", "m", "v")}, **step},
    }


NETWORK = good_calls_of_the_network()


def call(name, **changed):
    """A good call of one kernel, with some arguments replaced."""
    x = np.zeros((2, 3))
    stats, ones, ids = np.zeros((2, 2)), np.ones(2), np.zeros(2, dtype=np.int64)
    good = {
        "softmax": {"logits": x}, "log_softmax": {"logits": x},
        "softmax_backward": {"dprobs": x, "probs": x}, "log_softmax_backward": {"dlogp": x, "logp": x},
        "chosen_logp": {"logits": x, "target": ids},
        "chosen_logp_backward": {"dlogp": ones, "dentropy": ones, "logits": x, "target": ids, "entropy": ones,
                                 "stats": stats},
        "draw": {"probs": x + 1 / 3, "u": ones / 2},
        "sample": {"logits": x, "u": ones / 2}, **NETWORK,
    }
    return getattr(kernels, name)(**(good[name] | changed))


@pytest.mark.parametrize("name", NAMES)
def test_the_good_call_is_good(name):
    assert (call(name) is None) == (name == "adamw")         # which works in place


ROW = np.zeros((2, 3))
BAD = [
    ("softmax", {"logits": [[1.0]]}, TypeError, "the dtype of logits is 'list'; expected float32 or float64"),
    ("softmax", {"logits": np.zeros((2, 3), dtype=int)}, TypeError, r"the dtype of logits is dtype\('int64'\)"),
    ("softmax", {"logits": np.zeros(3)}, ValueError, r"the shape of logits is \(3,\); expected 2 dimensions"),
    ("softmax", {"logits": np.zeros((2, 0))}, ValueError, "none of length 0"),
    ("softmax", {"logits": np.array([[0, 1], [np.nan, 0]])}, ValueError, r"logits\[1, 0\] is nan; expected no NaN"),
    ("log_softmax", {"logits": np.array([[0, np.inf]])}, ValueError, r"logits\[0, 1\] is inf; expected finite"),
    ("log_softmax", {"logits": np.array([[-np.inf, -np.inf]])}, ValueError, "at least one finite logit in the row"),
    ("softmax", {"temperature": 0.0}, ValueError, r"temperature is 0.0; expected a finite number > 0"),
    ("softmax", {"temperature": -1}, ValueError, "temperature is -1"),
    ("softmax", {"temperature": 1e-40}, ValueError, "take the arg-max"),
    ("softmax", {"temperature": "hot"}, TypeError, "temperature is 'hot'"),
    ("softmax_backward", {"dprobs": np.zeros((3, 3))}, ValueError, r"the shape of dprobs is \(3, 3\)"),
    ("softmax_backward", {"dprobs": ROW.astype(np.float32)}, TypeError, "float64 like the array before it"),
    ("chosen_logp", {"target": np.array([0, 3])}, ValueError, r"target\[1\] is 3; expected an integer in \[0, 3\)"),
    ("chosen_logp", {"target": np.array([0, -1])}, ValueError, r"target\[1\] is -1"),
    ("chosen_logp", {"target": np.array([0.0, 1.0])}, TypeError, r"integers in \[0, 3\)"),
    ("chosen_logp", {"target": np.array([0])}, ValueError, "one token a row"),
    ("chosen_logp", {"logits": np.full((2, 3), np.nan)}, ValueError, r"logits\[0, 0\] is nan"),
    ("chosen_logp_backward", {"stats": np.zeros((2, 3))}, ValueError, "the shape of stats"),
    ("chosen_logp_backward", {"dlogp": np.zeros(3)}, ValueError, "one entry a row"),
    ("draw", {"probs": ROW}, ValueError, r"the sum of probs\[0\] is 0.0; expected 1"),
    ("draw", {"probs": np.array([[1.5, -.5, 0]] * 2)}, ValueError, r"probs\[0, 1\] is -0.5"),
    ("draw", {"u": np.array([0.5, 1.0])}, ValueError, r"u is 1.0; expected uniforms in \[0, 1\)"),
    ("draw", {"u": np.array([0.5])}, ValueError, "one uniform a row"),
    ("sample", {"u": np.array([-0.1, 0])}, ValueError, "u is -0.1"),
    ("sample", {"u": np.array([np.nan, 0])}, ValueError, r"u\[0\] is nan"),
    ("sample", {"top_k": -1}, ValueError, "top_k is -1; expected an integer >= 0"),
    ("sample", {"top_k": 1.5}, TypeError, "top_k is 1.5"),
    ("sample", {"top_p": 0.0}, ValueError, r"top_p is 0.0; expected a number in \(0, 1\]"),
    ("sample", {"top_p": 1.1}, ValueError, "top_p is 1.1"),
    ("sample", {"min_p": -0.1}, ValueError, "min_p is -0.1"),
    ("sample", {"logits": np.array([[0.0, 1], [0, np.nan]])}, ValueError, r"logits\[1, 1\] is nan"),
    ("sample", {"logits": np.full((2, 3), -np.inf)}, ValueError, "at least one finite logit"),
    ("sample", {"logits": np.array([[0, np.inf]] * 2)}, ValueError, "inf"),
]


@pytest.mark.parametrize(("name", "changed", "error", "message"), BAD)
def test_a_bad_call_names_the_argument_its_value_and_what_was_expected(name, changed, error, message):
    with pytest.raises(error, match=message):
        call(name, **changed)


def test_strides_and_read_only_arrays_are_welcome():
    x = random_logits((6, 8), np.float64)
    frozen = x.copy()
    frozen.flags.writeable = False
    for view in (np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], frozen):
        assert_array_equal(kernels.softmax(view), kernels.softmax(x))


def test_kernels_leave_their_arguments_alone():
    x, u = random_logits((4, 9), np.float64), np.full(4, 0.5)
    kept = x.copy()
    kernels.softmax(x)
    kernels.sample(x, u, 0.5, 3, 0.5, 0.1)
    assert_array_equal(x, kept)
    assert type(kernels.softmax(x)) is np.ndarray


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_the_number_of_threads_is_a_positive_integer(count):
    with pytest.raises((ValueError, TypeError), match="count is"):
        kernels.set_threads(count)
