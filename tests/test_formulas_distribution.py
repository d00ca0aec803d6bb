"""The rows of document 003 and what its knobs leave of them.

    part 2    logits 8.5 6.2 4.1 2.8 -> printed 67 23 8 2 %, which is wrong: 89.6 9.0 1.1 .3 %
    part 3    weather  40 25 15 10 5 3 2 %     top-k 3   -> 50 31.25 18.75 %
              2 + 2    95 3 1 1 %              top-p .9  -> one word
              movie    25 20 18 15 12 5 3 2 %  top-p .9  -> five words, the fifth "hits 90%"
    compare   France   85 8 4 2 1 %            top-k 3   -> 87.6 8.2 4.1 %;  top-p .9 -> 91.4 8.6 %
              I feel   15 12 11 10 9 8 7 ... % top-p .9  -> printed nine words, which is wrong: ten at least
    part 6    France   .4 .3 .2 .1  rewards 1 0 0 .3       -> .43;  .8 .1 .05 .05 -> .815
              pasta    .3 .3 .2 .2  rewards .9 .1 .2 .4    -> .42;  .7 .1 .1 .1   -> .70
"""
from fractions import Fraction
from itertools import pairwise, product
from math import log, prod

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch import kernels
from rlscratch.formulas import distribution as d
from strategies import arrays, eighths, logits_nv, logits_v, probs_of, probs_v

WEATHER = np.array([.40, .25, .15, .10, .05, .03, .02])
WEATHER_BARS = np.array([.40, .24, .16, .10, .06, .04])
MOVIE = np.array([.25, .20, .18, .15, .12, .05, .03, .02])
COMPARE = np.array([.85, .08, .04, .02, .01])
FRANCE, FRANCE_AFTER, FRANCE_REWARDS = [.4, .3, .2, .1], [.8, .1, .05, .05], [1.0, 0.0, 0.0, .3]
PASTA, PASTA_AFTER, PASTA_REWARDS = [.3, .3, .2, .2], [.7, .1, .1, .1], [.9, .1, .2, .4]
BOTH_DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])

# Whole odds, equal ones and zeros among them: what a filter must keep is decided without rounding.
odds = st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(any)
temperatures = st.sampled_from([.125, .5, 1.0, 2.0, 8.0])


def pair_v(strategy):
    """(probs (V,), rewards (V,)) or (logits, rewards), of one length."""
    return st.integers(2, 6).flatmap(lambda v: st.tuples(strategy(v), arrays((v,), eighths(-10, 10))))


# ---------------------------------------------------------------- softmax

def test_the_document_s_softmax_row_is_wrong_and_no_temperature_gives_it():
    z, printed = np.array([8.5, 6.2, 4.1, 2.8]), np.array([.67, .23, .08, .02])
    assert_allclose(d.softmax(z), [.896152, .089847, .011002, .002998], atol=5e-7)
    implied = (z[0] - z[1:]) / np.log(printed[0] / printed[1:])
    assert_allclose(implied, [2.151144, 2.070344, 1.623217], atol=5e-7)
    closest = min(np.abs(d.softmax(z, t / 1000) - printed).max() for t in range(1000, 3000))
    assert closest > .017
    assert_allclose(d.softmax([8.5, 7.430802, 6.374749, 4.988455]), printed, atol=5e-7)


@given(logits_nv(), temperatures)
@example(np.array([[8.5, 6.2, 4.1, 2.8]]), 1.0)
def test_softmax_is_the_definition(z, t):
    weights = np.exp(z / t)
    expected = weights / weights.sum(axis=-1, keepdims=True)
    assert_allclose(d.softmax(z, t), expected, rtol=1e-12, atol=1e-300)
    assert_allclose(d.log_softmax(z, t), np.log(expected), rtol=1e-11, atol=1e-12)


@given(logits_v(), temperatures, eighths(-50, 50))
def test_adding_a_constant_to_every_logit_changes_nothing(z, t, constant):
    assert_allclose(d.softmax(z + constant, t), d.softmax(z, t), rtol=1e-13, atol=0)
    assert_allclose(d.log_softmax(z + constant, t), d.log_softmax(z, t), rtol=0, atol=1e-12)


@given(logits_v())
def test_temperature_sharpens_towards_the_arg_max_and_flattens_towards_uniform(z):
    best = z == z.max()
    assert_allclose(d.softmax(z, 1e-3), best / best.sum(), atol=1e-15)
    assert_allclose(d.softmax(z, 1e9), np.full(z.size, 1 / z.size), rtol=1e-7)
    tops = [d.softmax(z, t).max() for t in (.25, .5, 1, 2, 4)]
    assert all(a >= b - 1e-15 for a, b in pairwise(tops))


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 1, 3, 5)])
@BOTH_DTYPES
def test_any_leading_shape_passes_row_by_row_in_its_dtype(shape, dtype):
    z = np.random.default_rng(0).integers(-16, 16, shape).astype(dtype) / 8
    for f in (d.softmax, d.log_softmax):
        result = f(z, 2.0)
        assert result.shape == shape and result.dtype == dtype
        rows = [f(row, 2.0) for row in z.reshape(-1, 5)]
        assert_allclose(result.reshape(-1, 5), rows, rtol=4 * np.finfo(dtype).eps)


def test_rows_that_lie_scattered_in_memory_pass():
    z = np.arange(24.0).reshape(4, 6)
    assert_allclose(d.softmax(z[:, ::2]), d.softmax(z[:, ::2].copy()), rtol=1e-15)
    assert_allclose(d.softmax(z.T), d.softmax(z.T.copy()), rtol=1e-15)


@BOTH_DTYPES
def test_minus_infinity_is_probability_zero(dtype):
    z = np.array([[0.0, -np.inf, np.log(3.0)], [-np.inf, 7.0, -np.inf]], dtype)
    assert_allclose(d.softmax(z), [[.25, 0, .75], [0, 1, 0]], rtol=1e-6)
    logp = d.log_softmax(z)
    assert_array_equal(logp == -np.inf, z == -np.inf)
    assert_allclose(np.exp(logp), d.softmax(z), rtol=1e-6)


@BOTH_DTYPES
def test_large_logits_neither_overflow_nor_lose_the_small_ones(dtype):
    z = np.array([1e4, -1e4, 1e4], dtype)
    assert_array_equal(d.softmax(z), np.array([.5, 0, .5], dtype))
    assert_allclose(d.log_softmax(z), [-log(2), -2e4 - log(2), -log(2)], rtol=1e-6)


def test_the_derivative_of_log_softmax_is_equation_3():
    z = np.array([.5, -1.0, .25])
    p = d.softmax(z)
    for a in range(3):
        by_hand = (np.arange(3) == a) - p
        assert_allclose(complex_step(lambda x, a=a: d.log_softmax(x)[a], z), by_hand, rtol=1e-9)
        assert_allclose(complex_step(lambda x, a=a: d.softmax(x)[a], z), p[a] * by_hand, rtol=1e-9)


@pytest.mark.parametrize("t", [0, 0.0, -1.0])
@pytest.mark.parametrize("f", [d.softmax, d.log_softmax])
def test_temperature_zero_is_an_error_that_says_where_greedy_lives(f, t):
    with pytest.raises(ValueError, match=rf"temperature is {t}; expected a finite number > 0 \(greedy.*generate"):
        f([1.0, 2.0], t)


# ---------------------------------------------------------------- entropy

@given(logits_nv())
@example(np.log([FRANCE]))
def test_entropy_is_the_definition_and_lies_between_0_and_log_v(z):
    p = d.softmax(z)
    H = d.entropy(z)
    assert H.shape == z.shape[:-1]
    assert_allclose(H, -(p * np.log(p)).sum(axis=-1), rtol=1e-10, atol=1e-14)
    assert (H >= 0).all() and (log(z.shape[-1]) + 1e-12 >= H).all()


def test_entropy_at_its_ends():
    assert_allclose(d.entropy(np.zeros((2, 5))), log(5), rtol=1e-15)
    assert d.entropy([0.0, -np.inf, -np.inf]) == 0
    assert_array_equal(d.entropy_grad([0.0, -np.inf, -np.inf]), np.zeros(3))
    assert d.entropy([0.0, -1e4]) == 0                              # p underflows to 0, and 0 log 0 = 0
    assert_array_equal(d.entropy_grad([0.0, -1e4]), np.zeros(2))


@given(logits_v())
@example(np.log(FRANCE))
def test_entropy_s_gradient_is_its_derivative(z):
    by_hand = d.entropy_grad(z)
    assert_allclose(by_hand, complex_step(d.entropy, z), rtol=1e-9, atol=1e-14)
    assert_allclose(by_hand, central_difference(d.entropy, z), rtol=1e-6, atol=1e-9)
    assert_allclose(by_hand.sum(), 0, atol=1e-14)


@given(logits_v(), st.integers(0, 6))
def test_a_token_that_cannot_be_changes_neither_entropy_nor_its_gradient(z, place):
    place = min(place, z.size)
    longer = np.insert(z, place, -np.inf)
    assert_allclose(d.entropy(longer), d.entropy(z), rtol=1e-13, atol=1e-15)
    assert_allclose(d.entropy_grad(longer), np.insert(d.entropy_grad(z), place, 0.0), rtol=1e-12, atol=1e-15)


def test_planted_errors_in_the_entropy_gradient_are_caught():
    z = np.log([.4, .3, .2, .1])
    p, logp, H, truth = d.softmax(z), d.log_softmax(z), d.entropy(z), complex_step(d.entropy, z)
    for planted in (p * (logp + H), -p * logp, -p * (logp + 1), -p * (logp + H + 1), -1.001 * p * (logp + H)):
        assert not np.allclose(planted, truth, rtol=1e-6, atol=1e-9)
    assert np.allclose(d.entropy_grad(z), truth, rtol=1e-9)


@BOTH_DTYPES
def test_gradients_keep_dtype_and_shape(dtype):
    z = np.array([[0.0, 1.0, -np.inf], [2.0, 0.0, 0.0]], dtype)
    for grad in (d.entropy_grad(z), d.expected_reward_grad(z, np.ones((2, 3)))):
        assert grad.dtype == dtype and grad.shape == z.shape
    assert d.entropy(z).dtype == dtype


# ---------------------------------------------------------------- top-k

def test_top_k_keeps_the_document_s_three():
    assert_allclose(d.top_k(WEATHER, 3), [.5, .3125, .1875, 0, 0, 0, 0], rtol=1e-15)
    assert_allclose(d.top_k(COMPARE, 3), [.876, .082, .041, 0, 0], atol=.0005)
    assert_allclose(d.top_k(WEATHER_BARS, 3), [.5, .3, .2, 0, 0, 0], rtol=1e-15)


def exact_order(row):
    return sorted(range(len(row)), key=lambda j: (-row[j], j))


@given(odds, st.integers(1, 10))
@example([40, 25, 15, 10, 5, 3, 2], 3)
@example([1, 1, 1], 2)
def test_top_k_keeps_k_and_of_equals_the_first(row, k):
    kept = set(exact_order(row)[:k])
    expected = np.array([o if j in kept else 0 for j, o in enumerate(row)])
    for dtype in (np.float32, np.float64):
        result = d.top_k((np.array(row) / sum(row)).astype(dtype), k)
        assert result.dtype == dtype
        assert_allclose(result, expected / expected.sum(), rtol=4 * np.finfo(dtype).eps)


@given(odds, st.integers(1, 10))
@example([4, 2, 2, 1], 2)
def test_top_k_with_all_ties_keeps_every_equal_of_the_kth(row, k):
    least = row[exact_order(row)[:k][-1]]
    expected = np.array([o if o >= least else 0 for o in row])
    assert_allclose(d.top_k(np.array(row) / sum(row), k, ties="all"), expected / expected.sum(), rtol=1e-15)


def test_ties_are_a_choice_that_shows():
    tied = [.4, .2, .2, .2]
    assert_array_equal(d.top_k(tied, 2) > 0, [True, True, False, False])
    assert_array_equal(d.top_k(tied, 2, ties="all"), tied)


# ---------------------------------------------------------------- top-p

def kept(row):
    return np.count_nonzero(row)


@BOTH_DTYPES
def test_top_p_counts_the_document_s_words(dtype):
    assert kept(d.top_p(np.array([.95, .03, .01, .01], dtype), .9)) == 1
    assert kept(d.top_p(MOVIE.astype(dtype), .9)) == 5
    assert kept(d.top_p(COMPARE.astype(dtype), .9)) == 2
    assert_allclose(d.top_p(COMPARE.astype(dtype), .9), [.914, .086, 0, 0, 0], atol=.0005)
    assert_allclose(d.top_p(MOVIE.astype(dtype), .9)[:5], np.array([25, 20, 18, 15, 12]) / 90, rtol=1e-6)


def test_hugging_face_s_rule_is_decided_by_rounding_where_a_word_hits_the_threshold():
    assert kept(d.top_p(MOVIE, .9, rule="hf")) == 6
    assert kept(d.top_p(MOVIE.astype(np.float32), .9, rule="hf")) == 5


@given(odds, st.integers(1, 100))
@example([25, 20, 18, 15, 12, 5, 3, 2], 90)
@example([3, 2, 1], 50)                                             # float32: only the rounded sum is 1 - p
@example([1, 1], 100)
def test_hugging_face_s_rule_removes_from_the_least_probable_up(row, percent):
    for dtype in (np.float32, np.float64):
        p, total, removed = (np.array(row) / sum(row)).astype(dtype), 0.0, []
        for j in exact_order(row)[:0:-1]:
            total += float(p[j])
            if dtype(total) <= dtype(1 - percent / 100):
                removed.append(j)
        expected = np.where(np.isin(np.arange(p.size), removed), 0, p)
        assert_allclose(d.top_p(p, percent / 100, rule="hf"), expected / expected.sum(), rtol=4 * np.finfo(dtype).eps)


def test_nine_words_of_i_feel_cannot_reach_ninety_percent():
    most = [.15, .12, .11, .10, .09, .08] + [.07] * 5          # each further word as likely as sorting allows
    assert_allclose(sum(most[:7]), .72)
    assert_allclose(sum(most[:9]), .86)
    assert kept(d.top_p([*most[:10], 1 - sum(most[:10])], .9)) == 10
    assert kept(d.top_p([*most[:10], 1 - sum(most[:10])], .86)) == 9


@given(odds, st.integers(1, 100))
@example([25, 20, 18, 15, 12, 5, 3, 2], 90)
@example([85, 8, 4, 2, 1], 90)
@example([95, 3, 1, 1], 90)
@example([1, 1], 50)
@example([0, 1], 100)
def test_top_p_keeps_what_whole_numbers_say_in_both_dtypes(row, percent):
    before, expected = 0, np.zeros(len(row))
    for place, j in enumerate(exact_order(row)):
        if place == 0 or 100 * before < percent * sum(row):
            expected[j] = row[j]
        before += row[j]
    for dtype in (np.float32, np.float64):
        result = d.top_p((np.array(row) / sum(row)).astype(dtype), percent / 100)
        assert result.dtype == dtype
        assert_allclose(result, expected / expected.sum(), rtol=4 * np.finfo(dtype).eps)


@given(probs_v(), st.integers(1, 100))
def test_the_two_rules_agree_off_the_threshold(p, percent):
    mass = np.cumsum(np.sort(p)[::-1])
    if np.abs(mass - percent / 100).min() > 2e-6:
        assert_array_equal(d.top_p(p, percent / 100), d.top_p(p, percent / 100, rule="hf"))


@pytest.mark.parametrize("rule", ["mass_before", "hf"])
def test_p_of_1_keeps_even_what_is_smaller_than_the_margin(rule):
    p = np.array([1e-7, 1 - 3e-7, 2e-7, 0.0])
    assert_allclose(d.top_p(p, 1, rule=rule), p, rtol=1e-15)
    assert_array_equal(d.top_p(p, 1 - 1e-7) > 0, [False, True, False, False])


@pytest.mark.parametrize("rule", ["mass_before", "hf"])
def test_the_most_probable_token_always_stays_and_of_equals_the_first(rule):
    assert_array_equal(d.top_p([.25, .25, .25, .25], 1e-9, rule=rule), [1, 0, 0, 0])
    assert_array_equal(d.top_p([.25, .25, .25, .25], .5, rule=rule), [.5, .5, 0, 0])


def test_a_margin_of_1e_12_would_miscount_float32(monkeypatch):
    two_and_two = np.array([.95, .03, .01, .01], np.float32)
    assert two_and_two[0].item() < .95
    assert kept(d.top_p(two_and_two, .95)) == 1
    monkeypatch.setattr(d, "MARGIN", 1e-12)
    assert kept(d.top_p(two_and_two, .95)) == 2


# ---------------------------------------------------------------- min-p

@BOTH_DTYPES
def test_min_p_keeps_a_token_that_is_on_the_threshold_on_paper(dtype):
    p = np.array([.40, .36, .20, .04], dtype)
    assert .1 * .4 > .04
    assert_allclose(d.min_p(p, .1), p, rtol=1e-6)
    assert_array_equal(d.min_p(p, .11) > 0, [True, True, True, False])


@given(odds, st.integers(0, 100))
@example([40, 36, 20, 4], 10)
@example([1, 1, 0], 100)
def test_min_p_keeps_what_whole_numbers_say_in_both_dtypes(row, percent):
    expected = np.array([o if 100 * o >= percent * max(row) else 0 for o in row])
    for dtype in (np.float32, np.float64):
        result = d.min_p((np.array(row) / sum(row)).astype(dtype), percent / 100)
        assert result.dtype == dtype
        assert_allclose(result, expected / expected.sum(), rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("f", [lambda p: d.top_k(p, 2), lambda p: d.top_k(p, 2, ties="all"), lambda p: d.top_p(p, .7),
                               lambda p: d.top_p(p, .7, rule="hf"), lambda p: d.min_p(p, .4)])
def test_filters_work_row_by_row_and_leave_their_argument_alone(f):
    p = np.random.default_rng(1).dirichlet(np.ones(5), (2, 3))
    before = p.copy()
    result = f(p)
    assert_array_equal(p, before)
    assert_allclose(result.sum(axis=-1), 1, rtol=1e-15)
    assert_array_equal(result.reshape(6, 5), [f(row) for row in p.reshape(6, 5)])
    assert_allclose(f(p.astype(complex)), result, rtol=1e-15)


@given(odds, temperatures, st.integers(1, 8), st.integers(1, 100), st.integers(1, 100))
@example([25, 20, 18, 15, 12, 5, 3, 2], 1.0, 8, 90, 1)
@example([40, 36, 20, 4], 1.0, 4, 100, 10)
@example([4, 2, 2, 1], .5, 2, 100, 1)
def test_sampling_draws_from_what_the_filters_leave(row, t, k, percent, least_percent):
    row = np.array(row, float)
    z = np.log(row, where=row > 0, out=np.full(row.shape, -np.inf))
    p, m = percent / 100, least_percent / 100
    left = d.min_p(d.top_p(d.top_k(d.softmax(z, t), k), p), m)
    ends = np.cumsum(left)                                          # one uniform in the middle of each token's share
    u = ((ends - left / 2) / ends[-1])[left > 0]
    ids, logp = kernels.sample(np.tile(z, (u.size, 1)), u, t, k, p, m)
    assert_array_equal(ids, np.flatnonzero(left))
    assert_allclose(np.exp(logp), left[ids], rtol=1e-9)


# ---------------------------------------------------------------- repetition penalty

def test_the_penalty_divides_what_is_positive_and_multiplies_what_is_not_once_a_token():
    z = [2.0, -2.0, 1.0, 0.0, -np.inf]
    assert_array_equal(d.repetition_penalty(z, [0, 1, 1, 3, 4, 0], 2.0), [1.0, -4.0, 1.0, 0.0, -np.inf])


@given(logits_v(min_size=3, max_size=3), st.lists(st.integers(0, 2), max_size=5), st.sampled_from([1.0, 1.125, 2.0]))
def test_a_penalised_token_is_never_more_likely_against_one_that_is_not(z, previous, penalty):
    penalised = d.repetition_penalty(z, previous, penalty)
    expected = [z[j] if j not in previous else z[j] / penalty if z[j] > 0 else z[j] * penalty for j in range(3)]
    assert_array_equal(penalised, expected)
    assert (penalised <= z).all()
    assert_array_equal(d.repetition_penalty(z, previous, 1.0), z)


def test_the_penalty_of_a_batch_is_that_of_its_rows():
    z, previous = np.array([[2.0, -2.0], [4.0, 1.0]], np.float32), np.array([[0, 0], [0, 1]])
    result = d.repetition_penalty(z, previous, 2.0)
    assert result.dtype == np.float32
    assert_array_equal(result, [[1.0, -2.0], [2.0, .5]])
    assert_array_equal(z, [[2.0, -2.0], [4.0, 1.0]])


def test_the_penalty_leaves_tokens_that_cannot_be_alone_in_the_complex_step_too():
    z = np.array([complex(-np.inf, 0), 1 + 1e-20j, -1 + 1e-20j])
    assert_array_equal(d.repetition_penalty(z, [0, 1, 2], 2.0), [complex(-np.inf, 0), .5 + 5e-21j, -2 + 2e-20j])


@pytest.mark.parametrize("previous", [[], np.zeros(0), np.zeros(0, np.int64)])
def test_with_nothing_said_yet_nothing_is_penalised(previous):
    assert_array_equal(d.repetition_penalty([1.0, -1.0], previous, 2.0), [1.0, -1.0])
    assert_array_equal(d.repetition_penalty([[1.0, -1.0]], np.zeros((1, 0)), 2.0), [[1.0, -1.0]])


def test_the_penalty_depends_on_where_zero_lies():
    z = np.array([1.0, 0.0])
    shifted = d.repetition_penalty(z - 2, [0], 2.0)
    assert_allclose(d.softmax(z - 2), d.softmax(z), rtol=1e-15)
    assert not np.allclose(d.softmax(shifted), d.softmax(d.repetition_penalty(z, [0], 2.0)))


# ---------------------------------------------------------------- expected reward

@pytest.mark.parametrize(("probs", "rewards", "printed"), [
    (FRANCE, FRANCE_REWARDS, .43), (FRANCE_AFTER, FRANCE_REWARDS, .815), ([.6, .2, .2], [1.0, 0.0, 0.0], .6),
    (PASTA, PASTA_REWARDS, .42), (PASTA_AFTER, PASTA_REWARDS, .70)])
def test_the_document_s_expected_rewards(probs, rewards, printed):
    J = d.expected_reward(probs, rewards)
    assert type(J) is float
    assert_allclose(J, printed, rtol=1e-14)
    assert_allclose(d.expected_reward(np.array(probs, np.float32), rewards), printed, rtol=1e-6)


def test_the_mean_over_queries_is_the_document_s_double_sum():
    probs, rewards = np.array([FRANCE, PASTA]), np.array([FRANCE_REWARDS, PASTA_REWARDS])
    double_sum = sum(q * probs[x, y] * rewards[x, y] for x, q in enumerate((.25, .75)) for y in range(4))
    assert_allclose(d.expected_reward(probs, rewards, [.25, .75]), double_sum, rtol=1e-14)
    assert_allclose(double_sum, .25 * .43 + .75 * .42, rtol=1e-14)


def test_the_exact_gradient_pushes_paris_up_and_all_others_down():
    grad = d.expected_reward_grad(np.log(FRANCE), FRANCE_REWARDS)
    assert_allclose(grad, [.228, -.129, -.086, -.013], atol=1e-15)


@given(pair_v(lambda v: arrays((v,))))
@example((np.log(FRANCE), np.array(FRANCE_REWARDS)))
@example((np.zeros(3), np.array([10.0, 5.0, -10.0])))
def test_the_gradient_of_expected_reward_is_its_derivative(pair):
    z, rewards = pair
    by_hand = d.expected_reward_grad(z, rewards)

    def J(x):
        return (d.softmax(x) * rewards).sum()

    def J_of_real(x):
        return d.expected_reward(d.softmax(x), rewards)

    assert_allclose(by_hand, complex_step(J, z), rtol=1e-9, atol=1e-13)
    assert_allclose(by_hand, central_difference(J_of_real, z), rtol=1e-6, atol=1e-8)
    assert_allclose(by_hand.sum(), 0, atol=1e-13)


@given(pair_v(lambda v: arrays((v,))))
def test_the_gradient_is_the_mean_of_score_times_reward(pair):
    z, rewards = pair
    p = d.softmax(z)
    by_enumeration = sum(p[a] * rewards[a] * ((np.arange(z.size) == a) - p) for a in range(z.size))
    assert_allclose(d.expected_reward_grad(z, rewards), by_enumeration, rtol=0, atol=1e-13)


@given(pair_v(lambda v: arrays((v,))), eighths(-10, 10))
def test_a_constant_added_to_all_rewards_teaches_nothing(pair, constant):
    z, rewards = pair
    assert_allclose(d.expected_reward_grad(z, rewards + constant), d.expected_reward_grad(z, rewards), atol=1e-13)


def test_planted_errors_in_the_expected_reward_gradient_are_caught():
    z, r = np.log(FRANCE), np.array(FRANCE_REWARDS)
    p, truth = d.softmax(z), complex_step(lambda x: (d.softmax(x) * r).sum(), z)
    J = d.expected_reward(p, r)
    for planted in (p * (J - r), p * r, p * (r - r.mean()), r - J, 1.001 * p * (r - J)):
        assert not np.allclose(planted, truth, rtol=1e-6, atol=1e-9)
    assert np.allclose(d.expected_reward_grad(z, r), truth, rtol=1e-9)


def test_rows_of_a_batch_have_the_gradients_they_have_alone():
    z, r = np.array([[0.0, 1.0], [2.0, -np.inf]]), np.array([[1.0, 0.0], [3.0, 5.0]])
    assert_allclose(d.expected_reward_grad(z, r), [d.expected_reward_grad(z[0], r[0]), [0, 0]], rtol=1e-15)


# ---------------------------------------------------------------- best of n

@given(pair_v(probs_of), st.integers(1, 4))
@example((np.array(FRANCE), np.array(FRANCE_REWARDS)), 3)                # two answers earn the same
@example((np.array([.5, .5]), np.array([1.0, 1.0])), 2)
def test_best_of_n_is_the_mean_over_every_possible_n_draws(pair, n):
    probs, rewards = pair
    every = product(range(probs.size), repeat=n)
    by_enumeration = sum(prod(probs[list(draws)]) * max(rewards[list(draws)]) for draws in every)
    assert_allclose(d.best_of_n(probs, rewards, n), by_enumeration, rtol=1e-12, atol=1e-12)


@given(pair_v(probs_of))
def test_more_draws_climb_from_the_expected_reward_to_the_best_answer(pair):
    probs, rewards = pair
    climb = [d.best_of_n(probs, rewards, n) for n in (1, 2, 4, 8, 10_000)]
    assert_allclose(climb[0], d.expected_reward(probs, rewards), rtol=1e-12, atol=1e-12)
    assert all(b >= a - 1e-12 for a, b in pairwise(climb))
    assert_allclose(climb[-1], rewards.max(), rtol=1e-12)


def test_equal_rewards_may_come_in_any_order_and_share():
    exact = Fraction(3, 10) * (1 - Fraction(5, 10) ** 2 - (1 - Fraction(6, 10) ** 2)) + (1 - Fraction(6, 10) ** 2)
    assert_allclose(d.best_of_n(FRANCE, FRANCE_REWARDS, 2), float(exact), rtol=1e-14)
    assert_allclose(d.best_of_n([.1, .5, .4], [.3, 0.0, 1.0], 2), float(exact), rtol=1e-14)
    assert type(d.best_of_n(FRANCE, FRANCE_REWARDS, 2)) is float


def test_the_document_s_six_rollouts():
    rewards = [0, .0021, .09, .02, .9, 1.0]
    assert_allclose(d.expected_reward(np.full(6, 1 / 6), rewards), .33535, rtol=1e-12)
    assert .33535 < d.best_of_n(np.full(6, 1 / 6), rewards, 6) < 1


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: d.softmax([1.0, np.nan]), ValueError, r"logits\[1\] is nan; expected no NaN"),
    (lambda: d.softmax([[0.0, np.inf]]), ValueError, r"logits\[0, 1\] is inf; expected finite numbers or -inf"),
    (lambda: d.log_softmax([-np.inf, -np.inf]), ValueError, "at least one finite logit in the row"),
    (lambda: d.softmax(3.0), ValueError, r"the shape of logits is \(\); expected at least 1 dimension"),
    (lambda: d.softmax([]), ValueError, r"the shape of logits is \(0,\); expected at least one entry"),
    (lambda: d.softmax(["a"]), TypeError, "logits is .*; expected an array of real or complex numbers"),
    (lambda: d.softmax([1.0, 2.0], np.inf), ValueError, "temperature is inf; expected a finite number > 0"),
    (lambda: d.softmax([1.0, 2.0], "hot"), TypeError, "temperature is 'hot'; expected a finite number > 0"),
    (lambda: d.entropy([np.nan, 0.0]), ValueError, r"logits\[0\] is nan"),
    (lambda: d.entropy_grad([np.nan, 0.0]), ValueError, r"logits\[0\] is nan"),
    (lambda: d.top_k([.5, .5], 0), ValueError, "k is 0; expected an integer >= 1"),
    (lambda: d.top_k([.5, .5], 1.0), TypeError, "k is 1.0; expected an integer >= 1"),
    (lambda: d.top_k([.5, .5], 1, ties="last"), ValueError, "ties is 'last'; expected one of 'first', 'all'"),
    (lambda: d.top_k([.5, .4], 1), ValueError, r"the sum of probs is 0\.9; expected 1, as for probabilities"),
    (lambda: d.top_p([.5, .5], 0), ValueError, r"p is 0; expected a number in \(0, 1\]"),
    (lambda: d.top_p([.5, .5], 1.5), ValueError, r"p is 1\.5; expected a number in \(0, 1\]"),
    (lambda: d.top_p([.5, .5], .5, rule="?"), ValueError, r"rule is '\?'; expected one of 'mass_before', 'hf'"),
    (lambda: d.top_p([1.5, -.5], .5), ValueError, r"probs\[1\] is -0\.5; expected probabilities >= 0"),
    (lambda: d.min_p([.5, .5], -.1), ValueError, r"p is -0\.1; expected a number in \[0, 1\]"),
    (lambda: d.min_p([.5, .6], .1), ValueError, r"the sum of probs is 1\.1; expected 1"),
    (lambda: d.repetition_penalty([1.0, 2.0], [2], 2.0), ValueError,
     r"previous\[0\] is 2; expected an integer in \[0, 2\)"),
    (lambda: d.repetition_penalty([1.0, 2.0], [-1], 2.0), ValueError,
     r"previous\[0\] is -1; expected an integer in \[0, 2\)"),
    (lambda: d.repetition_penalty([1.0, 2.0], [1.0], 2.0), TypeError,
     r"previous is \[1\.0\]; expected integers in \[0, 2\)"),
    (lambda: d.repetition_penalty([[1.0, 2.0]], [[1, 0], [1]], 2.0), ValueError,
     r"previous is \[\[1, 0\], \[1\]\]; expected an array of numbers, every row of one length"),
    (lambda: d.repetition_penalty([1.0, 2.0], [[1]], 2.0), ValueError,
     "the shape of previous is .*; expected 1 dimension"),
    (lambda: d.repetition_penalty([[1.0, 2.0]], [[1], [0]], 2.0), ValueError,
     r"the shape of previous is \(2, 1\); expected \(1, 1\), a row for each row of logits"),
    (lambda: d.repetition_penalty([[[1.0]]], [[[0]]], 2.0), ValueError,
     r"the shape of logits is \(1, 1, 1\); expected \(V,\) or \(B, V\)"),
    (lambda: d.repetition_penalty([1.0, 2.0], [1], 0), ValueError, "penalty is 0; expected a finite number > 0"),
    (lambda: d.expected_reward([.5, .5], [1.0]), ValueError,
     r"the shape of rewards is \(1,\); expected \(2,\), a reward for each answer"),
    (lambda: d.expected_reward([.5, .5], [1.0, np.inf]), ValueError, r"rewards\[1\] is inf; expected finite numbers"),
    (lambda: d.expected_reward([.5, .6], [1.0, 1.0]), ValueError, r"the sum of probs is 1\.1; expected 1"),
    (lambda: d.expected_reward([[.5, .5]], [[1.0, 1.0]]), ValueError,
     r"the shape of probs is \(1, 2\); expected \(Y,\), or \(X, Y\) together with query_probs"),
    (lambda: d.expected_reward([.5, .5], [1.0, 1.0], [1.0]), ValueError,
     r"the shape of probs is \(2,\); expected \(Y,\), or \(X, Y\) together with query_probs"),
    (lambda: d.expected_reward([[.5, .5]], [[1.0, 1.0]], [.5, .5]), ValueError,
     r"the shape of query_probs is \(2,\); expected \(1,\), one for each row of probs"),
    (lambda: d.expected_reward([[.5, .5]], [[1.0, 1.0]], [.5]), ValueError, r"the sum of query_probs is 0\.5"),
    (lambda: d.expected_reward_grad([[0.0, 1.0]], [0.0, 1.0]), ValueError,
     r"the shape of rewards is \(2,\); expected \(1, 2\), a reward for each logit"),
    (lambda: d.expected_reward_grad([0.0, 1.0], [0.0, np.nan]), ValueError, r"rewards\[1\] is nan; expected finite"),
    (lambda: d.best_of_n([.5, .5], [1.0, 0.0], 0), ValueError, "n is 0; expected an integer >= 1"),
    (lambda: d.best_of_n([[.5, .5]], [[1.0, 0.0]], 2), ValueError, "the shape of probs is .*; expected 1 dimension"),
    (lambda: d.best_of_n([.5, .5], [1.0], 2), ValueError, r"the shape of rewards is \(1,\); expected \(2,\)"),
])
def test_bad_input_is_refused_by_name_value_and_expectation(call, error, message):
    with pytest.raises(error, match=message):
        call()
