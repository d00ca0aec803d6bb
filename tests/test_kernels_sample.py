"""The draw of a token, from probabilities and from logits through the filters.

Both backends make the same draw, and it is the one that the filtered distribution of the formulas makes.
"""
import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from kernel_cases import DTYPES, JUST_BELOW_1, compiled, random_logits
from rlscratch import kernels
from rlscratch.formulas import distribution
from rlscratch.kernels import reference
from strategies import logits_nv

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


FILTERS = [(0, 1.0, 0.0), (50, 1.0, 0.0), (5000, 0.9, 0.0), (0, 0.9, 0.0), (0, 0.999999, 0.0), (0, 0.95, 0.05)]


@cache
def said_by_the_twin(dtype, scale):
    """Logits at the size of GPT-2, uniform numbers, and what the twin draws by each of FILTERS; once for all."""
    x = random_logits((6, 50257), dtype, scale=scale)
    x[0] = np.round(x[0])                                    # thousands of ties
    u = np.random.default_rng(4).random(6)
    return x, u, [reference.sample(x, u, 0.3, *filters) for filters in FILTERS]


@compiled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("scale", [0.0, 0.01, 3.0, 30.0])
def test_sample_agrees_with_its_twin_at_the_size_of_gpt_2(isa, dtype, scale):
    x, u, twin = said_by_the_twin(dtype, scale)
    for filters, (want, want_logp) in zip(FILTERS, twin, strict=True):
        ids, logp = kernels.sample(x, u, 0.3, *filters)
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


@pytest.mark.parametrize("V", [4, 300])
@pytest.mark.parametrize("p", [1e-3, 1e-6, 1e-7, 1e-12])
def test_the_likeliest_token_stays_however_small_top_p(isa, p, V):
    x = np.zeros((3, V))
    x[0, 2], x[1, [1, 3]] = 5, 5                             # alone, one of two, one of all
    ids, logp = kernels.sample(x, np.full(3, JUST_BELOW_1), top_p=p)
    assert ids.tolist() == [2, 1, 0]
    assert logp.tolist() == [0, 0, 0]
    assert_array_equal(distribution.top_p(distribution.softmax(x), p), np.eye(V)[ids])


def test_top_k_counts_exactly_on_a_plateau_and_at_its_edge(isa):
    x = np.random.default_rng(0).permutation(np.repeat([3.0, 2.0, 1.0, 0.0], 75))[None].repeat(2, axis=0)
    for k in [1, 74, 75, 76, 77, 149, 150, 151, 224, 225, 226, 299, 300, 301]:
        p = distribution.top_k(distribution.softmax(x), k)
        ids, logp = kernels.sample(x, np.array([0, JUST_BELOW_1]), top_k=k)
        assert ids.tolist() == [np.flatnonzero(p[0])[0], np.flatnonzero(p[0])[-1]]
        assert_allclose(logp, np.log(p[[0, 1], ids]), atol=1e-12)


def test_logits_that_differ_in_their_last_bit_are_told_apart(isa):
    x = np.concatenate([[0.0], -1 - 2.0**-52 * (np.arange(100)[::-1] % 8)])[None].repeat(4, axis=0)
    u = np.array([0.3, 0.6, 0.9, JUST_BELOW_1])
    for k in (20, 50, 90):
        assert_array_equal(kernels.sample(x, u, top_k=k)[0], reference.sample(x, u, top_k=k)[0])


def test_a_sum_that_rounds_below_top_p_brings_in_one_more_token_and_not_the_row(isa):
    for seed in range(12):
        rng = np.random.default_rng(seed)
        z = rng.permutation(np.concatenate([[0.0], -1 - rng.random(300), -4 - rng.random(300)]))[None]
        w = np.exp(z[0])
        edge = w[z[0] > -3].sum() / w.sum() + reference.MARGIN         # the 301 likely tokens, as exactly as can be
        for p in edge + np.arange(-8, 9) * 2.0**-53:
            ids, logp = kernels.sample(z, np.zeros(1), top_p=float(p))
            kept = np.exp(z[0, ids] - logp)
            assert_allclose(kept, w[z[0] > -3].sum(), atol=0.2)        # a token more or less is .14 or .02


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
