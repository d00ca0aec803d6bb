"""G = sum gamma^(t + p) r_t;  Q_t = r_t + d_t Q_{t+1};  delta_t = r_t + d_t V'_t - V_t;
A_t = delta_t + d_t lam (1 - boundary_t) A_{t+1}.

The FrozenLake path 0 4 8 9 13 14 15 has rewards 0 0 0 0 0 1; at gamma .99 documents 000 and 001
(p = 0) make it .95099, and its rewards-to-go are the table's .9510 .9606 .9703 .9801 .9900 1.0000;
document 004 (p = 1) makes it .94148.  Document 002's word "hockey": reward 5, value 3, advantage 2.
"""
import itertools

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from rlscratch.expectations import sequences
from rlscratch.formulas.returns import (
    average_reward,
    discounted_return,
    gae,
    gae_over_turns,
    rewards_to_go,
    td_errors,
    total_return,
    vtrace,
    whitened,
)
from strategies import among, arrays, eighths

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

PATH, GAMMA = [0.0, 0, 0, 0, 0, 1], 0.99
GOES_ON, TERMINATED, TRUNCATED = 0, 1, 2
ENDS = among([GOES_ON, GOES_ON, TERMINATED, TRUNCATED])

rows = st.integers(1, 7).flatmap(lambda t: arrays((t,), eighths(-10, 10)))
unit = eighths(0, 1)


@st.composite
def segments(draw, max_t=7):
    """Arguments of gae (without lam): episodes of all three kinds of end after each other in one row.

    Inside an episode the next value is the value one step later; at its end it is unrelated.
    """
    t = draw(st.integers(1, max_t))
    ends = draw(arrays((t,), ENDS))
    rewards, values, after = (draw(arrays((t,))) for _ in range(3))
    return as_arguments(rewards, values, after, ends, draw(unit))


def as_arguments(rewards, values, after, ends, gamma):
    ends = np.asarray(ends)
    later = np.append(values[1:], after[-1])
    return {
        "rewards": np.asarray(rewards, float),
        "values": np.asarray(values, float),
        "next_values": np.where(ends == GOES_ON, later, after),
        "discount": np.where(ends == TERMINATED, 0.0, gamma),
        "boundary": (ends != GOES_ON).astype(float),
    }


# Two steps, a time limit, two steps, the goal: one of everything, nothing zero or equal by chance.
WORKED = as_arguments([1, 2, -1, 3], [0.5, -1, 2, 4], [9, 8, 7, 6], [GOES_ON, TRUNCATED, GOES_ON, TERMINATED], 0.5)


def unmarked(segment):
    return {name: value for name, value in segment.items() if name != "boundary"}


# ---------------------------------------------------------------- returns


def test_the_documents_disagree_on_the_power_of_the_first_reward():
    assert_allclose(discounted_return(PATH, GAMMA), 0.95099, rtol=0, atol=5e-6)
    assert_allclose(discounted_return(PATH, GAMMA, first_power=1), 0.94148, rtol=0, atol=5e-6)
    assert_allclose(discounted_return(PATH, GAMMA), GAMMA**5, rtol=1e-15)
    assert_allclose(discounted_return(PATH, GAMMA, first_power=1), GAMMA**6, rtol=1e-15)


def test_the_table_of_document_000_lists_the_rewards_to_go_along_its_path():
    printed = [0.9510, 0.9606, 0.9703, 0.9801, 0.9900, 1.0000]
    assert_allclose(rewards_to_go(PATH, GAMMA), printed, rtol=0, atol=5e-5)


def test_with_the_gamma_of_its_definition_document_000_would_print_another_number():
    assert_allclose(discounted_return(PATH, 0.9), 0.59049, rtol=0, atol=5e-6)


def test_document_001_names_each_reward_one_step_later():
    rewards = np.array([3.0, -1, 2, 5])
    theirs = {t + 1: r for t, r in enumerate(rewards)}              # r_1 answers a_0
    for t in range(4):
        g_t = sum(GAMMA**k * theirs[t + k + 1] for k in range(4 - t))
        assert_allclose(rewards_to_go(rewards, GAMMA)[t], g_t, rtol=1e-14)


@given(rows, unit, st.sampled_from([0, 1]))
@example(np.array(PATH), GAMMA, 0)
@example(np.array(PATH), GAMMA, 1)
def test_the_discounted_return_is_the_sum_that_the_documents_write(rewards, gamma, first_power):
    written = sum(gamma ** (t + first_power) * r for t, r in enumerate(rewards))
    assert_allclose(discounted_return(rewards, gamma, first_power), written, rtol=1e-12, atol=1e-13)


@given(rows, unit)
@example(np.array(PATH), GAMMA)
def test_starting_at_the_first_power_multiplies_the_return_by_gamma(rewards, gamma):
    late, early = discounted_return(rewards, gamma, first_power=1), discounted_return(rewards, gamma)
    assert_allclose(late, gamma * early, rtol=1e-12, atol=1e-13)


@given(rows, unit)
@example(np.array(PATH), GAMMA)
@example(np.array([2.0, 5.0]), 0.0)                                 # 0^0 = 1: the first reward stays
def test_each_reward_to_go_is_the_discounted_return_of_the_rest(rewards, gamma):
    rest = [discounted_return(rewards[t:], gamma) for t in range(len(rewards))]
    assert_allclose(rewards_to_go(rewards, gamma), rest, rtol=1e-12, atol=1e-13)


@given(rows)
def test_without_discount_every_return_is_a_sum(rewards):
    assert total_return(rewards) == discounted_return(rewards, 1) == rewards_to_go(rewards)[0] == rewards.sum()
    assert_allclose(average_reward(rewards) * len(rewards), total_return(rewards), rtol=1e-14)
    assert_array_equal(rewards_to_go(rewards), np.cumsum(rewards[::-1])[::-1])


@given(rows, rows, unit)
@example(np.array(PATH), np.array(PATH), GAMMA)
def test_rewards_do_not_reach_back_over_a_termination(first, second, gamma):
    discount = np.full(len(first) + len(second), gamma)
    discount[len(first) - 1] = 0
    apart = [rewards_to_go(first, gamma), rewards_to_go(second, gamma)]
    assert_array_equal(rewards_to_go(np.concatenate([first, second]), discount), np.concatenate(apart))


@given(rows, unit, unit, unit)
def test_returns_are_linear_in_the_rewards(rewards, gamma, a, b):
    other = rewards[::-1] - 1
    for f in (total_return, average_reward, rewards_to_go, lambda r: rewards_to_go(r, gamma),
              lambda r: discounted_return(r, gamma), lambda r: discounted_return(r, gamma, first_power=1)):
        assert_allclose(f(a * rewards + b * other), a * f(rewards) + b * f(other), rtol=0, atol=1e-11)


# ---------------------------------------------------------------- TD errors and GAE


def test_document_002_s_word_is_an_episode_of_one_step():
    assert_array_equal(td_errors([5], [3], [0], 0), [2])
    for lam in (0, 0.5, 1):
        assert_array_equal(gae([5], [3], [0], 0, lam), [2])


def test_a_row_with_a_time_limit_and_a_termination_by_hand():
    # delta: 1 + .5(-1) - .5 = 0;  2 + .5(8) + 1 = 7;  -1 + .5(4) - 2 = -1;  3 + 0 - 4 = -1
    assert_array_equal(td_errors(**unmarked(WORKED)), [0, 7, -1, -1])
    # lam .5, so each step keeps a quarter of the next: 0 + 7/4;  7, cut;  -1 - 1/4;  -1
    assert_array_equal(gae(**WORKED, lam=0.5), [1.75, 7, -1.25, -1])


def by_definition(rewards, values, next_values, discount, lam, boundary):
    """Equation (7) over (5), summed as it stands: no TD error, no recursion."""
    result = []
    for t in range(len(rewards)):
        ends = [u for u in range(t, len(rewards)) if boundary[u] == 1 or discount[u] == 0]
        left = (ends[0] if ends else len(rewards) - 1) - t + 1
        n_step = []
        for n in range(1, left + 1):
            collected = sum(np.prod(discount[t:t + k]) * rewards[t + k] for k in range(n))
            n_step.append(collected + np.prod(discount[t:t + n]) * next_values[t + n - 1] - values[t])
        weights = [(1 - lam) * lam ** (n - 1) for n in range(1, left)] + [lam ** (left - 1)]
        assert_allclose(sum(weights), 1, rtol=1e-14)
        result.append(np.dot(weights, n_step))
    return result


def agrees_with_the_definition(f, segment, lam):
    assert_allclose(f(**segment, lam=lam), by_definition(**segment, lam=lam), rtol=0, atol=1e-11)


@given(segments(), unit)
@example(WORKED, 0.5)
def test_gae_is_the_weighted_sum_of_n_step_advantages(segment, lam):
    agrees_with_the_definition(gae, segment, lam)


@given(segments())
@example(WORKED)
def test_the_td_error_is_what_one_step_brought_less_what_was_expected(segment):
    steps = zip(*(segment[name] for name in ("rewards", "discount", "next_values", "values")), strict=True)
    by_hand = [reward + (discount * later if discount else 0) - value for reward, discount, later, value in steps]
    assert_allclose(td_errors(**unmarked(segment)), by_hand, rtol=1e-12, atol=1e-13)


@given(segments())
@example(WORKED)
def test_gae_at_lam_0_is_the_td_error(segment):
    assert_array_equal(gae(**segment, lam=0), td_errors(**unmarked(segment)))
    assert_array_equal(gae(**unmarked(segment), lam=0), td_errors(**unmarked(segment)))


@given(rows, unit, st.booleans())
@example(np.array(PATH), GAMMA, True)
def test_gae_at_lam_1_is_rewards_to_go_minus_values(rewards, gamma, terminated):
    values = rewards[::-1] / 2
    segment = as_arguments(rewards, values, values + 3, [GOES_ON] * (len(rewards) - 1) + [TERMINATED], gamma)
    if not terminated:                           # then the last next value stands for the rest
        segment["discount"][-1] = gamma
        rewards = np.append(rewards[:-1], rewards[-1] + gamma * segment["next_values"][-1])
    assert_allclose(gae(**segment, lam=1), rewards_to_go(rewards, gamma) - values, rtol=0, atol=1e-11)


@given(segments(), segments(), unit)
@example(WORKED, WORKED, 0.5)
def test_two_episodes_in_one_row_are_the_two_apart(first, second, lam):
    first = first | {"boundary": np.append(first["boundary"][:-1], 1)}
    both = {name: np.concatenate([first[name], second[name]]) for name in first}
    apart = [gae(**first, lam=lam), gae(**second, lam=lam)]
    assert_array_equal(gae(**both, lam=lam), np.concatenate(apart))


def test_a_truncated_episode_bootstraps_and_nothing_leaks_into_it():
    before = gae(**WORKED, lam=0.5)
    for name in ("rewards", "values", "next_values"):               # anything may happen after the boundary
        changed = {k: v.copy() for k, v in WORKED.items()}
        changed[name][2:] += 100
        after = gae(**changed, lam=0.5)
        assert_array_equal(after[:2], before[:2])
        assert not np.array_equal(after[2:], before[2:])
    changed = {k: v.copy() for k, v in WORKED.items()}
    changed["next_values"][1] += 1                                  # d = .5 reaches step 1, d lam d = .125 step 0
    assert_array_equal(gae(**changed, lam=0.5) - before, [0.125, 0.5, 0, 0])


def test_terminated_is_not_truncated():
    truncated = gae([1], [0], [8], 0.5, 0.5, boundary=[1])
    terminated = gae([1], [0], [8], 0.0, 0.5, boundary=[1])
    assert_array_equal(truncated, [5])
    assert_array_equal(terminated, [1])


def test_a_time_limit_that_nobody_marks_leaks():
    assert_array_equal(gae(**unmarked(WORKED), lam=0.5), [0 + (7 - 1.25 / 4) / 4, 7 - 1.25 / 4, -1.25, -1])


@given(segments(), unit)
@example(WORKED, 0.5)
def test_a_discount_of_0_cuts_with_or_without_a_boundary(segment, lam):
    segment = unmarked(segment)
    marked = gae(**segment, lam=lam, boundary=segment["discount"] == 0)
    assert_array_equal(gae(**segment, lam=lam), marked)
    assert_array_equal(gae(**segment, lam=lam, boundary=np.zeros(len(marked))), marked)


@given(segments(), unit, unit, unit)
@example(WORKED, 0.5, 0.25, 1.0)
def test_gae_is_linear_in_rewards_and_values_together(segment, lam, a, b):
    data = ("rewards", "values", "next_values")
    other = {k: v[::-1] - 1 if k in data else v for k, v in segment.items()}
    mixed = {k: a * v + b * other[k] if k in data else v for k, v in segment.items()}
    expected = a * gae(**segment, lam=lam) + b * gae(**other, lam=lam)
    assert_allclose(gae(**mixed, lam=lam), expected, rtol=0, atol=1e-11)


def test_complex_numbers_pass_and_show_the_weight_of_each_reward():
    for lam, gamma in ((0.5, 0.75), (0.95, 0.99)):
        weights = complex_step(lambda r: gae(r, np.zeros(5), np.zeros(5), gamma, lam)[0], np.zeros(5))  # noqa: B023
        assert_allclose(weights, (lam * gamma) ** np.arange(5), rtol=1e-14)
        assert_allclose(complex_step(lambda r: discounted_return(r, gamma), np.ones(5)), gamma ** np.arange(5))  # noqa: B023
    assert_allclose(complex_step(lambda v: td_errors([1.0], [2.0], v, 0.5)[0], np.zeros(1)), [0.5])
    assert_allclose(complex_step(lambda d: rewards_to_go([1.0, 6.0], d)[0], np.array([0.5, 0.5])), [6, 0])


# ---------------------------------------------------------------- expectations, by enumeration

TRANSITION = np.array([[[0.75, 0.25], [0.125, 0.875]], [[0.5, 0.5], [1.0, 0.0]]])       # (S, A, S')
REWARD = np.array([[1.0, -2.0], [0.5, 4.0]])                                            # (S, A)
POLICY = np.array([[0.25, 0.75], [0.625, 0.375]])                                       # (S, A)


def trajectories(s0, a0, length):
    """Every continuation of (s0, a0): probabilities (K,), states (K, length + 1), rewards (K, length)."""
    chance, states, rewards = [], [], []
    for actions in itertools.product(range(2), repeat=length - 1):
        for later in itertools.product(range(2), repeat=length):
            s, a = (s0, *later), (a0, *actions)
            moves = np.prod([TRANSITION[s[t], a[t], s[t + 1]] for t in range(length)])
            chance.append(moves * np.prod([POLICY[s[t], a[t]] for t in range(1, length)]))
            states.append(s)
            rewards.append([REWARD[s[t], a[t]] for t in range(length)])
    assert_allclose(sum(chance), 1, rtol=1e-12)
    return np.array(chance), np.array(states), np.array(rewards)


def true_values(gamma):
    """V and Q of POLICY, from the linear system V = r + gamma P V."""
    moves = np.einsum("sa,sax->sx", POLICY, TRANSITION)
    v = np.linalg.solve(np.eye(2) - gamma * moves, (POLICY * REWARD).sum(axis=1))
    return v, REWARD + gamma * TRANSITION @ v


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_with_the_true_values_every_lam_has_the_advantage_as_its_mean(lam):
    gamma, length = 0.875, 3
    v, q = true_values(gamma)
    for s, a in itertools.product(range(2), repeat=2):
        chance, states, rewards = trajectories(s, a, length)
        here, there = v[states[:, :-1]], v[states[:, 1:]]
        cut = np.tile([0.0, 0, 1], (len(chance), 1))
        mean = chance @ gae(rewards, here, there, gamma, lam, boundary=cut)[:, 0]
        assert_allclose(mean, q[s, a] - v[s], rtol=0, atol=1e-12)
        as_if_over = gae(rewards, here, there, gamma * (1 - cut), lam, boundary=cut)[:, 0]
        if lam > 0:                              # taking the time limit for the end is an error of the mean
            assert abs(chance @ as_if_over - (q[s, a] - v[s])) > 0.01


def test_with_a_guess_for_values_only_lam_1_is_unbiased_and_it_has_the_larger_variance():
    gamma, length, guess = 0.875, 3, np.array([3.0, -1.0])
    v, q = np.zeros(2), REWARD
    for _ in range(length - 1):                  # Q of an episode that terminates after three steps
        v = (POLICY * q).sum(axis=1)
        q = REWARD + gamma * TRANSITION @ v
    chance, states, rewards = trajectories(0, 1, length)
    discount = np.tile([gamma, gamma, 0], (len(chance), 1))
    short, full = (gae(rewards, guess[states[:, :-1]], guess[states[:, 1:]], discount, lam)[:, 0] for lam in (0, 1))
    assert_allclose(chance @ full, q[0, 1] - guess[0], rtol=0, atol=1e-12)
    assert abs(chance @ short - (q[0, 1] - guess[0])) > 0.1
    assert chance @ (full - chance @ full) ** 2 > chance @ (short - chance @ short) ** 2


# ---------------------------------------------------------------- shapes, dtypes, bad input


@given(st.lists(segments(max_t=4).filter(lambda s: len(s["rewards"]) > 2), min_size=1, max_size=3), unit)
def test_leading_axes_are_so_many_separate_rows(rows_, lam):
    rows_ = [{k: v[:3] for k, v in row.items()} for row in rows_]
    stacked = {k: np.stack([row[k] for row in rows_])[None] for k in WORKED}           # (1, N, 3)
    assert_array_equal(gae(**stacked, lam=lam)[0], [gae(**row, lam=lam) for row in rows_])
    rewards = stacked["rewards"]
    assert_array_equal(rewards_to_go(rewards, 0.5)[0], [rewards_to_go(row["rewards"], 0.5) for row in rows_])
    for f in (total_return, average_reward, lambda r: discounted_return(r, 0.5)):
        assert_array_equal(f(rewards), [[f(row["rewards"]) for row in rows_]])
        assert type(f(rewards[0, 0])) is float


def test_a_row_for_a_batch_and_a_scalar_for_everything_spread():
    rewards = np.array([[1.0, 2, 3], [4, 5, 6]])
    full = gae(rewards, rewards, np.full((2, 3), 7.0), np.array([[0.5] * 3, [0.25] * 3]), 0.5)
    assert_array_equal(gae(rewards, rewards, 7, [[0.5], [0.25]], 0.5), full)
    assert_array_equal(td_errors(rewards, 1, 0, 0.5), rewards - 1)


def test_the_answer_has_the_dtype_of_the_rewards_and_the_digits_of_a_double_sum():
    thirds = np.full((2, 3000), 1 / 3, np.float32)
    single = thirds[0]
    doubles = single.astype(np.float64)
    for f in (lambda r: rewards_to_go(r, 0.999), lambda r: td_errors(r, r, r, 0.999),
              lambda r: gae(r, r, r, np.full(3000, 0.999), 0.95, boundary=np.zeros(3000))):
        assert f(single).dtype == np.float32
        assert_array_equal(f(single), f(doubles).astype(np.float32))
    nearly = np.full(3000, 0.999, np.float32)
    assert_array_equal(rewards_to_go(single, nearly), rewards_to_go(doubles, nearly).astype(np.float32))
    for f in (total_return, average_reward, lambda r: discounted_return(r, 0.999)):
        assert f(thirds).dtype == np.float32
        assert f(single) == f(thirds)[0] == np.float32(f(doubles))
        assert type(f(doubles + 0j)) is complex
    assert rewards_to_go(single.astype(np.complex64)).dtype == np.complex64
    assert rewards_to_go([1, 2, 3]).dtype == np.float64


def test_arguments_stay_as_they_are():
    segment = {k: v.copy() for k, v in WORKED.items()}
    gae(**segment, lam=0.5)
    rewards_to_go(segment["rewards"], segment["discount"])
    for name, value in segment.items():
        assert_array_equal(value, WORKED[name])


R = [1.0, 2.0]


@pytest.mark.parametrize("call, error, message", [
    (lambda: total_return(3.0), ValueError, r"the shape of rewards is \(\); expected at least 1 dimension"),
    (lambda: total_return([]), ValueError, r"the shape of rewards is \(0,\); expected at least one entry"),
    (lambda: average_reward(["a"]), TypeError, r"rewards is \['a'\]; expected an array of real or complex numbers"),
    (lambda: average_reward([1, np.nan]), ValueError, r"rewards\[1\] is nan; expected finite numbers"),
    (lambda: discounted_return(R, 1.5), ValueError, r"gamma is 1.5; expected a number in \[0, 1\]"),
    (lambda: discounted_return(R, [0.5, 0.5]), TypeError, r"gamma is \[0.5, 0.5\]; expected a number in \[0, 1\]"),
    (lambda: discounted_return(R, 0.5, 2), ValueError, r"first_power is 2; expected an integer in \[0, 1\]"),
    (lambda: discounted_return(R, 0.5, True), TypeError, r"first_power is True; expected an integer in \[0, 1\]"),
    (lambda: rewards_to_go([[1, 2], [3]]), ValueError, "rewards is .*; expected an array of numbers, every row"),
    (lambda: rewards_to_go([np.inf, 1]), ValueError, r"rewards\[0\] is inf; expected finite numbers"),
    (lambda: rewards_to_go(R, -0.5), ValueError, r"discount is -0.5; expected a number in \[0, 1\]"),
    (lambda: rewards_to_go(R, [0.5, 1.25]), ValueError, r"discount\[1\] is 1.25; expected a number in \[0, 1\]"),
    (lambda: rewards_to_go([R, R], R), ValueError, r"the shape of discount is \(2,\); expected \(2, 2\) like rewards"),
    (lambda: td_errors(R, [0.0], [[0, 0]], 1), ValueError, r"the shape of next_values is \(1, 2\); expected \(2,\)"),
    (lambda: td_errors(R, [0, 0, 0], R, 1), ValueError, r"the shape of values is \(3,\); expected \(2,\) like rewards"),
    (lambda: td_errors(R, R, [0, np.nan], [1, 0]), ValueError, r"next_values\[1\] is nan; expected finite numbers"),
    (lambda: td_errors(R, R, R, [True, False]), TypeError, r"discount is \[True, False\]; expected an array of real"),
    (lambda: gae(R, R, R, 2, 0.5), ValueError, r"discount is 2.0; expected a number in \[0, 1\]"),
    (lambda: gae(R, R, R, 1, 1.01), ValueError, r"lam is 1.01; expected a number in \[0, 1\]"),
    (lambda: gae(R, R, R, 1, np.nan), ValueError, r"lam is nan; expected a number in \[0, 1\]"),
    (lambda: gae(R, R, R, 1, 0.5, [0, 2]), ValueError, r"boundary\[1\] is 2.0; expected 0 or 1"),
    (lambda: gae(R, R, R, 1, 0.5, [0, 0, 1]), ValueError, r"the shape of boundary is \(3,\); expected \(2,\) like rew"),
])
def test_bad_input_is_named_before_anything_is_computed(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- the checks are checked


def planted(error):
    """gae with one mistake of the kind that is made in practice."""
    def wrong(rewards, values, next_values, discount, lam, boundary):
        past_the_end = np.append(values[1:], 0)
        trusted = {"the next row entry for the next value": past_the_end}.get(error, next_values)
        alive = {"truncation taken for termination": discount * (1 - boundary)}.get(error, discount)
        sign = -1 if error == "a wrong sign" else 1
        factor = 1.001 if error == "a factor" else 1
        delta = rewards + sign * alive * trusted * factor - values
        keep = alive * lam * (1 - boundary)
        if error == "no boundary":
            keep = alive * lam
        if error == "no discount on the trace":
            keep = lam * (1 - boundary)
        if error == "a boundary one step late":
            keep = alive * lam * (1 - np.append(0, boundary[:-1]))
        x = delta.copy()
        for t in range(len(x) - 2, -1, -1):
            x[t] += keep[t] * x[t + 1]
        return x
    return wrong


def test_the_slow_gae_of_these_tests_is_right_without_a_planted_error():
    agrees_with_the_definition(planted(None), WORKED, 0.5)


@pytest.mark.parametrize("error", [
    "a wrong sign", "a factor", "no boundary", "no discount on the trace", "a boundary one step late",
    "truncation taken for termination", "the next row entry for the next value"])
def test_a_planted_error_in_gae_is_caught(error):
    with pytest.raises(AssertionError):
        agrees_with_the_definition(planted(error), WORKED, 0.5)


# ---------------------------------------------------------------- several turns

@given(arrays((2, 6)), arrays((2, 6)), arrays((2, 6), among([0, 1])), unit, unit)
def test_over_turns_gae_is_that_of_the_compacted_row(rewards, values, mask, gamma, lam):
    rewards = rewards * mask
    ours = gae_over_turns(rewards, values, mask, gamma, lam)
    for i in range(2):
        chosen = mask[i] == 1
        if chosen.any():
            v = values[i][chosen]
            ends = np.arange(len(v)) == len(v) - 1
            discount = np.where(ends, 0, gamma)
            assert_allclose(ours[i][chosen], gae(rewards[i][chosen], v, np.append(v[1:], 0), discount, lam), atol=1e-12)
        assert not ours[i][~chosen].any()


def test_two_other_ways_over_turns_are_other_advantages():
    r, v, mask = np.array([0, 0, 0, 1.0]), np.array([.5, 0, 0, .5]), np.array([1, 0, 0, 1])
    ours = gae_over_turns(r, v, mask, .9, .9)
    assert_allclose(ours, [.9 * .5 - .5 + .81 * .5, 0, 0, .5])
    zeros = gae(r, v, np.append(v[1:], 0), [.9, .9, .9, 0], .9)          # zero values on the observation
    with pytest.raises(AssertionError):
        assert_allclose(zeros[0], ours[0], rtol=1e-3)
    with pytest.raises(ValueError, match=r"rewards\[1\] is 1.0; expected 0 where mask is 0: give it to the chosen"):
        gae_over_turns([0, 1, 0], [0, 0, 0], [1, 0, 1], 1, 1)


# ---------------------------------------------------------------- V-trace

ANSWERS = sequences.all_answers(2, 2)


def mean_target(pi, mu, V, rewards, **bars):
    """E over answers drawn from mu of v at the start, for values V of the three prefixes."""
    own, old = (sequences.logp(z, ANSWERS) for z in (pi, mu))
    values = V[ANSWERS.prefix]
    v, _ = vtrace(rewards, values, np.column_stack([values[:, 1], np.zeros(4)]), [[1.0, 0]], np.exp(own - old), **bars)
    return np.exp(old.sum(axis=1)) @ v[:, 0]


@pytest.mark.both_backends                             # it asks for log-probabilities
@given(arrays((3, 2), eighths(-2, 2)), arrays((3, 2), eighths(-2, 2)), arrays((3,)), arrays((4, 2)))
def test_v_trace_without_cuts_has_the_value_of_the_target_policy(pi, mu, V, rewards):
    rewards[1, 0], rewards[3, 0] = rewards[0, 0], rewards[2, 0]             # the first token's reward knows no second
    exact = np.exp(sequences.logp(pi, ANSWERS).sum(axis=1)) @ rewards.sum(axis=1)
    assert_allclose(mean_target(pi, mu, V, rewards, rho_bar=np.inf, c_bar=np.inf), exact, atol=1e-9)


def test_with_cuts_the_fixed_point_is_the_value_of_the_smaller_policy():
    pi, mu, r = np.array([.8, .2]), np.array([.4, .6]), np.array([1.0, -1])
    smaller = np.minimum(mu, pi)
    value = smaller @ r / smaller.sum()
    def rise(V):
        return mu @ vtrace(r[:, None], [[V]] * 2, [[0]] * 2, 0, (pi / mu)[:, None])[0][:, 0] - V
    assert_allclose(rise(value), 0, atol=1e-12)
    with pytest.raises(AssertionError):
        assert_allclose(rise(pi @ r), 0, atol=1e-3)


@given(segments())
@example(WORKED)
def test_on_policy_v_trace_is_gae_with_lam_1(segment):
    v, advantage = vtrace(**segment, ratio=np.ones_like(segment["values"]))
    assert_allclose(v, segment["values"] + gae(**segment, lam=1), atol=1e-12)
    assert_allclose(advantage, gae(**segment, lam=1), atol=1e-12)


def test_v_trace_is_its_sum_and_refuses_bars_that_cross():
    ratio, d = np.array([2.0, .5, 3]), .5
    r, V = np.array([1.0, 2, 3]), np.array([.5, 1, -1])
    delta = r + d * np.append(V[1:], 4) - V
    cut, c = np.minimum(ratio, 1.5), np.minimum(ratio, 1.25)
    by_hand = V[0] + cut[0] * delta[0] + d * c[0] * cut[1] * delta[1] + d * d * c[0] * c[1] * cut[2] * delta[2]
    assert_allclose(vtrace(r, V, np.append(V[1:], 4), d, ratio, 1.5, 1.25)[0][0], by_hand)
    with pytest.raises(ValueError, match="rho_bar is 1; expected a number >= c_bar, 2, which is > 0"):
        vtrace([1], [0], [0], 0, [1], 1, 2)


# ---------------------------------------------------------------- whitening

@given(arrays((3, 4)), arrays((3, 4), among([0, 1])), st.sampled_from([0, 1]))
def test_white_advantages_have_mean_0_and_deviation_1_over_the_chosen_tokens(A, mask, ddof):
    white, chosen = whitened(A, mask, ddof), A[mask == 1]
    assert not white[mask == 0].any() and white.shape == A.shape
    if chosen.size < 2 or chosen.min() == chosen.max():
        assert not white.any()
    else:
        assert_allclose([white[mask == 1].mean(), white[mask == 1].std(ddof=ddof)], [0, 1], atol=1e-12)
        assert_allclose(white[mask == 1] * chosen.std(ddof=ddof), chosen - chosen.mean(), atol=1e-12)


def test_small_differences_are_blown_up():
    A, mask = np.array([[1.0, 2.0, 9.0], [4.0, 0.0, 9.0]]), np.array([[1, 1, 0], [1, 0, 0]])
    assert_allclose(whitened(1e-9 * A, mask), whitened(A, mask), rtol=1e-6)
    assert whitened(np.float32(A), mask).dtype == np.float32


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"the shape of mask is \(2,\); expected \(2, 2\), like advantage"):
        whitened([[1.0, 2.0], [3.0, 4.0]], [1, 0])


def test_gae_without_next_values_says_which_arguments_it_takes():
    with pytest.raises(TypeError, match=r"lam is None; expected a number in \[0, 1\], after rewards, values, next_v"):
        gae([0.0, 1.0], [0.5, 0.5], 0.99, 0.95)
