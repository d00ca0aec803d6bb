"""Advantages of a group, by hand.

The others of 10 in [10, 5, -10] are 5 and -10: mean -2.5, deviation sqrt(112.5) = 10.61, so (10 + 2.5) / 10.61 = 1.18.
One right of four: r/m - 1 = 3, -1, -1, -1.  One right of three, k = 2: two of the three pairs have it, M = 2/3.

What each ascends is the sum over every group there is: in floats over answers of one token, in exact fractions over
right and wrong.
"""
from fractions import Fraction
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.expectations import sequences
from rlscratch.formulas import group
from rlscratch.formulas.distribution import expected_reward_grad, softmax
from rlscratch.formulas.group import (
    baseline,
    leave_one_out_standardised,
    max_rl_advantage,
    pass_at_k_advantage,
)
from rlscratch.formulas.grpo import group_advantage, grpo_grad
from rlscratch.formulas.policy_gradient import leave_one_out_advantage, leave_one_out_baseline
from strategies import arrays, eighths, probs_of

ICE_CREAM, P = np.array([10.0, 5.0, -10.0]), np.array([.2, .5, .3])
policies = st.tuples(arrays((3,), eighths(-2, 2)), arrays((3,)))


def expected_step(logits, rewards, size, advantage):
    """Mean of (1/G) sum A_i S_i over all groups of one-token answers, (V,)."""
    answers = sequences.all_answers(len(rewards), 1)
    mean, _ = sequences.expectation_and_variance(
        logits[None], answers, rewards, size,
        lambda groups: grpo_grad(groups.logp, advantage(groups.reward)[..., None], groups.weight))
    return mean[0]


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


# ---------------------------------------------------------------- leave-one-out deviation

def test_leave_one_out_by_hand_and_where_the_others_are_equal():
    assert_allclose(leave_one_out_standardised(ICE_CREAM), [12.5 / 112.5**.5, 5 / 200**.5, -17.5 / 12.5**.5])
    assert_allclose(leave_one_out_standardised(ICE_CREAM, ddof=0),
                    np.sqrt(2) * leave_one_out_standardised(ICE_CREAM))
    assert_array_equal(leave_one_out_standardised([1, 0, 0])[0], 0)
    assert_array_equal(leave_one_out_standardised([1, 0, 0], zero_std="one")[0], 1)
    assert_array_equal(leave_one_out_standardised([.1, .1, .1], zero_std="one"), [0, 0, 0])


@given(policies, st.integers(3, 5), st.sampled_from(["zero", "one"]), st.sampled_from([0.0, 0.5]))
@example((np.log(P), ICE_CREAM), 4, "zero", 0.0)
def test_the_std_of_the_others_keeps_the_direction(case, size, zero_std, eps):
    logits, rewards = case
    step = expected_step(logits, rewards, size, lambda r: leave_one_out_standardised(r, 1, eps, zero_std))
    exact = expected_reward_grad(logits, rewards)
    assert_allclose(step * np.linalg.norm(exact), exact * np.linalg.norm(step), atol=1e-9)     # parallel,
    assert step @ exact >= -1e-12                                                              # and not against it


def test_the_group_s_own_std_turns_the_step_and_the_comparison_would_notice():
    exact = expected_reward_grad(np.log(P), ICE_CREAM)
    for size, expected in ((3, .977), (4, .989), (5, .994)):
        assert_allclose(cosine(expected_step(np.log(P), ICE_CREAM, size, group_advantage), exact), expected, atol=5e-4)
    own = expected_step(np.log(P), ICE_CREAM, 3,
                        lambda r: leave_one_out_advantage(r) / r.std(axis=-1, keepdims=True).clip(1))
    with pytest.raises(AssertionError):
        assert_allclose(cosine(own, exact), 1, atol=1e-6)


# ---------------------------------------------------------------- MaxRL, in fractions

def in_fractions(p, G, advantage):
    """E[(1/G) sum_i A_i S_i] in units of grad p: S = 1/p if right, -1/(1-p) if wrong."""
    total = Fraction(0)
    for rewards in product((0, 1), repeat=G):
        chance = p ** sum(rewards) * (1 - p) ** (G - sum(rewards))
        scores = [1 / p if r else -1 / (1 - p) for r in rewards]
        total += chance * sum(a * s for a, s in zip(advantage(rewards), scores, strict=True)) / G
    return total


def max_rl_in_fractions(rewards, all_wrong):
    m = Fraction(sum(rewards), len(rewards))
    return [(r - m) / m for r in rewards] if m else [-1 if all_wrong == "baseline" else 0] * len(rewards)


def of_order(T, p):
    """grad J_T in units of grad p."""
    return (1 - (1 - p) ** T) / p


@pytest.mark.parametrize("p", [Fraction(1, 5), Fraction(1, 2), Fraction(6, 7)])
@pytest.mark.parametrize("G", [1, 2, 3, 4, 5])
def test_max_rl_has_the_order_g_minus_1_and_with_its_baseline_g(p, G):
    assert in_fractions(p, G, lambda r: max_rl_in_fractions(r, "zero")) == of_order(G - 1, p)
    assert in_fractions(p, G, lambda r: max_rl_in_fractions(r, "baseline")) == of_order(G, p)
    assert of_order(G, p) - of_order(G - 1, p) == (1 - p) ** (G - 1)
    for rewards in product((0, 1), repeat=G):
        for choice in ("zero", "baseline"):
            assert_allclose(max_rl_advantage(rewards, choice),
                            [float(a) for a in max_rl_in_fractions(rewards, choice)], atol=1e-15)


def test_the_two_orders_at_a_fifth_and_four_answers():
    assert of_order(4, Fraction(1, 5)) == Fraction(369, 125)
    assert of_order(3, Fraction(1, 5)) == Fraction(61, 25)
    assert of_order(1, Fraction(1, 5)) == 1                                # at G = 2 it is REINFORCE


# ---------------------------------------------------------------- pass@k

def best_of(logits, rewards, k):
    """E[max of k], a float, and its gradient in the logits by the derivative of the probabilities of all draws."""
    p, total, slope = softmax(logits), 0.0, np.zeros(len(logits))
    for draw in product(range(len(p)), repeat=k):
        chance, best = p[list(draw)].prod(), rewards[list(draw)].max()
        total += chance * best
        slope += chance * best * (np.bincount(draw, minlength=len(p)) - k * p)
    return total, slope


@given(policies, st.sampled_from([(2, 1), (3, 1), (3, 2), (4, 2), (4, 3)]))
@example((np.log(P), np.array([1.0, 0.0, 0.0])), (4, 3))
def test_the_jackknife_ascends_pass_at_k_exactly(case, sizes):
    (logits, rewards), (size, k) = case, sizes
    _, exact = best_of(logits, rewards, k)
    assert_allclose(expected_step(logits, rewards, size, lambda r: pass_at_k_advantage(r, k)), exact, atol=1e-9)


@given(arrays((5,)), st.integers(1, 4))
def test_the_jackknife_is_the_gain_over_the_group_without_the_answer(rewards, k):
    def mean_best(some):
        return np.mean([max(pick) for pick in combinations(some, k)])

    by_hand = [5 * (mean_best(rewards) - mean_best(np.delete(rewards, i))) for i in range(5)]
    assert_allclose(pass_at_k_advantage(rewards, k), by_hand, atol=1e-12)
    assert_allclose(pass_at_k_advantage(rewards, 1), leave_one_out_advantage(rewards), atol=1e-12)
    assert_allclose(pass_at_k_advantage(rewards, k).sum(), 0, atol=1e-12)


@pytest.mark.parametrize("right", range(6))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_with_the_deviation_of_pass_at_k_it_is_chen_s(right, k):
    r = np.r_[np.ones(right), np.zeros(5 - right)]
    sets = list(combinations(range(5), k))
    M = np.mean([r[list(s)].max() for s in sets])
    own = np.array([np.mean([r[list(s)].max() for s in sets if i in s]) for i in range(5)])
    expected = np.zeros(5) if M in (0, 1) else (own - M) / np.sqrt(M * (1 - M))
    assert_allclose(pass_at_k_advantage(r, k, std=True), expected, atol=1e-12)


# ---------------------------------------------------------------- baselines

@given(policies, arrays((3,), st.integers(1, 4).map(float)))
@example((np.log(P), ICE_CREAM), np.array([1.0, 2.0, 3.0]))
def test_a_baseline_of_the_others_has_no_bias_and_one_with_its_own_reward_has(case, lengths):
    logits, rewards = case
    exact = expected_reward_grad(logits, rewards)

    def lengths_of(r):                                             # each reward's answer has its length
        return lengths[np.abs(r[..., None] - rewards).argmin(axis=-1)]

    assert_allclose(expected_step(logits, rewards, 3, lambda r: r - baseline(r, lengths_of(r))), exact, atol=1e-9)
    own = expected_step(logits, rewards, 3, lambda r: r - baseline(r, own=True))
    assert_allclose(own, 2 / 3 * exact, atol=1e-9)


def test_lengths_in_a_baseline_with_its_own_reward_turn_the_step():
    lengths = {10.0: 1.0, 5.0: 2.0, -10.0: 3.0}
    turned = expected_step(np.log(P), ICE_CREAM, 3, lambda r: r - baseline(
        r, np.vectorize(lengths.get)(r), own=True))
    assert cosine(turned, expected_reward_grad(np.log(P), ICE_CREAM)) < 0.9999


def test_baselines_by_hand():
    assert_allclose(baseline(ICE_CREAM), leave_one_out_baseline(ICE_CREAM))
    assert_allclose(baseline([10, 5, -10], [1, 1, 2]), [-5, -10 / 3, 7.5])
    assert_allclose(baseline([[1, 3], [4, 8]], shrink=.5), [[4.5, 3.5], [5, 3]])
    assert_allclose(baseline([[1, 3], [4, 8]], shrink=1), [[6, 6], [2, 2]])
    assert_allclose(baseline([10, 5, -10], [1, 1, 2], own=True), [-1.25] * 3)


PLANTED = {
    "the order of max_rl": lambda: in_fractions(Fraction(1, 5), 4, lambda r: max_rl_in_fractions(r, "zero")) - of_order(
        4, Fraction(1, 5)),
    "pass@k without its own draw": lambda: expected_step(
        np.log(P), np.array([1.0, 0, 0]), 3, lambda r: r * pass_at_k_advantage(r, 2))[0] - best_of(
        np.log(P), np.array([1.0, 0, 0]), 2)[1][0],
    "a factor": lambda: 1.001 * pass_at_k_advantage(ICE_CREAM, 2)[0] - pass_at_k_advantage(ICE_CREAM, 2)[0],
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_caught(error):
    with pytest.raises(AssertionError):
        assert_allclose(float(PLANTED[error]()), 0, atol=1e-9)


@given(probs_of(3))
def test_a_step_from_a_greedy_baseline_has_no_bias(p):
    assert_allclose(expected_step(np.log(p), ICE_CREAM, 2, lambda r: r - ICE_CREAM[p.argmax()]),
                    expected_reward_grad(np.log(p), ICE_CREAM), atol=1e-9)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: leave_one_out_standardised([1, 2]), r"the shape of rewards is \(2,\); expected at least 3 answers"),
    (lambda: leave_one_out_standardised([1, 2, 3], zero_std="two"), "zero_std is 'two'; expected one of 'zero', 'one'"),
    (lambda: max_rl_advantage([1, -1]), r"rewards\[1\] is -1.0; expected a number in \[0, inf\]"),
    (lambda: pass_at_k_advantage([1, 0], 2), r"k is 2; expected an integer in \[1, 1\]"),
    (lambda: pass_at_k_advantage([1, .5, 0], 2, std=True), r"rewards\[1\] is 0.5; expected 0 or 1"),
    (lambda: baseline([1, 2], [1]), r"the shape of lengths is \(1,\); expected \(2,\), like rewards"),
    (lambda: baseline([1, 2], shrink=.5), r"the shape of rewards is \(2,\); expected \(P, G\) with P >= 2 prompts"),
    (lambda: baseline([1]), r"the shape of rewards is \(1,\); expected at least 2 answers"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_every_public_function_is_tested_here():
    assert {"baseline", "leave_one_out_standardised", "max_rl_advantage", "pass_at_k_advantage"} <= set(vars(group))
