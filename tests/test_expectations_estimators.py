"""g = (1/N) sum_i sum_t c_it score_it: the mean and the variance of every estimator, by enumeration.

Two rooms (move a leads to room a; room 0 pays 1 for move 0, room 1 pays 2 for move 1), from room 0, two
steps, even odds.  The paths 00, 01, 10, 11 pay (1, 1), (1, 0), (0, 0), (0, 2); grad J = [[1, -1], [-1, 1]] / 4.

    coefficient                mean       variance, all coordinates
    total return R             grad J     (8 + 0 + 0 + 4) / 4 - 1/4 = 2.75
    reward-to-go G_t           grad J     (4.5 + .5 + 0 + 4) / 4 - 1/4 = 2
    G_t - 5/4, the best b      grad J     2 - (5/4)^2 / 1 = .4375
    G_t - v_t(s_t)             grad J     .46875, with v = 1.25 at first, then .5 and 1: above the best b
    A_t, lam = 0               grad J     .15625, with the same v
    the batch's mean, N = 2    (1 - 1/2N) grad J in room 0, (1 - 1/N) grad J in room 1 (document 004, 1.5.3)

Document 002, "I like ice ___", one step: the batch mean gives .5, .667, .75 of grad J for N = 2, 3, 4.
"""
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import complex_step
from rlscratch.expectations import estimators
from rlscratch.expectations.estimators import (
    BASELINES,
    batch_mean,
    best_constant,
    expectation_and_variance,
    generalised,
    leave_one_out,
    policy_gradient_estimate,
    reward_to_go,
    state_value,
    step_values,
    total_return,
)
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.policy_gradient import batch_mean_baseline, score
from rlscratch.formulas.returns import rewards_to_go
from rlscratch.mdp import MDP
from strategies import arrays, eighths, mdps

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

ROOMS = MDP([[[1, 0], [0, 1]]] * 2, [[1, 0], [0, 2]], 1.0, start=0)
EVEN = np.zeros((2, 2))
ICE_CREAM = MDP([[[0, 1]] * 3, [[0, 1]] * 3], [[10, 5, -10], [0, 0, 0]], 1.0, start=0, terminal=[0, 1])
THREE = MDP([[[.5, .25, .25], [0, 1, 0]], [[.25, .25, .5], [1, 0, 0]], [[0, 0, 1], [.5, .5, 0]]],
            [[1, -2], [3, 0], [-1, 2]], .5, start=[.5, .5, 0], terminal=[0, 0, 1])
Z = np.array([[.5, -.25], [0, 1], [-.5, .125]])


@st.composite
def problems(draw, **kind):
    """An MDP, logits (S, A) and a horizon."""
    mdp = draw(mdps(**kind))
    return mdp, draw(arrays(mdp.transition.shape[:2], eighths(-2, 2))), draw(st.integers(1, 3))


@st.composite
def guesses(draw, problem):
    """V_t(s), (T, S): what a value network might believe."""
    mdp, _, horizon = problem
    return draw(arrays((horizon, len(mdp.start))))


def mean_of(problem, estimator, episodes=1):
    return expectation_and_variance(*problem, estimator, episodes)[0]


def variance_of(problem, estimator, episodes=1):
    return expectation_and_variance(*problem, estimator, episodes)[1].sum()


def assert_unbiased(problem, estimator, episodes=1):
    mdp, z, horizon = problem
    exact, near_0 = mdp.policy_gradient(z, horizon), 1e-11 * max(1, np.abs(mdp.reward).max())
    assert_allclose(mean_of(problem, estimator, episodes), exact, rtol=1e-9, atol=near_0)


# ---------------------------------------------------------------- the worked sheet

@pytest.mark.parametrize(("estimator", "variance"), [
    (total_return, 2.75), (reward_to_go, 2.0), (partial(reward_to_go, baseline=1.25), .4375),
    (partial(state_value, values=[[1.25, 7], [.5, 1]]), .46875)])
def test_the_two_rooms_by_hand(estimator, variance):
    mean, per_coordinate = expectation_and_variance(ROOMS, EVEN, 2, estimator)
    assert_allclose(mean, [[.25, -.25], [-.25, .25]], rtol=1e-14)
    assert_allclose(per_coordinate.sum(), variance, rtol=1e-14)
    assert_allclose(ROOMS.policy_gradient(EVEN, 2), mean, rtol=1e-14)


@given(problems())
def test_mean_and_variance_are_the_plain_sums_over_all_trajectories(problem):
    mdp, z, horizon = problem
    paths = list(mdp.trajectories(softmax(z), horizon))
    g = np.zeros((len(paths), *z.shape))
    for one, (_, states, actions, rewards) in zip(g, paths, strict=True):
        for t, a in enumerate(actions):
            one[states[t]] += mdp.gamma**t * sum(mdp.gamma**k * r for k, r in enumerate(rewards[t:])) \
                * score(z[states[t]], np.array(a))
    p = np.array([path[0] for path in paths])
    mean, variance = expectation_and_variance(mdp, z, horizon, reward_to_go)
    assert_allclose(mean, np.tensordot(p, g, 1), rtol=1e-10, atol=1e-12)
    assert_allclose(variance, np.tensordot(p, (g - mean) ** 2, 1), rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- what leaves the mean alone

@given(problems())
@example((THREE, Z, 3))
def test_total_return_and_reward_to_go_have_the_gradient_as_their_mean(problem):
    assert_unbiased(problem, total_return)
    assert_unbiased(problem, reward_to_go)


@given(problems())
def test_the_past_times_the_score_is_nothing_on_average(problem):
    def past(episodes, gamma):
        return total_return(episodes, gamma) - reward_to_go(episodes, gamma)

    assert_allclose(mean_of(problem, past), 0, atol=1e-12)


@given(st.data(), problems(), eighths(-10, 10))
def test_baselines_that_do_not_depend_on_the_action_leave_the_mean_unchanged(data, problem, b):
    values = data.draw(guesses(problem))
    assert_unbiased(problem, partial(total_return, baseline=b))
    assert_unbiased(problem, partial(reward_to_go, baseline=b))
    assert_unbiased(problem, partial(reward_to_go, baseline=values[:, 0]))          # by step
    assert_unbiased(problem, partial(state_value, values=values[0]))                # by state
    assert_unbiased(problem, partial(state_value, values=values))                   # by both


@given(st.data(), problems())
def test_the_mean_score_is_zero_step_by_step_whatever_it_is_multiplied_with_beforehand(data, problem):
    values = data.draw(guesses(problem))

    def baseline_alone(episodes, gamma):
        return state_value(episodes, gamma, values) - reward_to_go(episodes, gamma)

    assert_allclose(mean_of(problem, baseline_alone), 0, atol=1e-12)


def test_a_baseline_that_depends_on_the_action_moves_the_mean():
    table = np.array([[1., 0], [0, 2]])         # r(s, a) itself: what is left is the reward of later steps

    def own_reward(episodes, gamma):
        return reward_to_go(episodes, gamma, baseline=table[episodes.states, episodes.actions])

    mean = mean_of((ROOMS, EVEN, 2), own_reward)
    assert_allclose(mean, [[-1 / 8, 1 / 8], [0, 0]], rtol=1e-14)
    assert not np.allclose(mean, ROOMS.policy_gradient(EVEN, 2))


def test_without_the_power_of_gamma_the_mean_is_another_vector():
    problem = replace(ROOMS, gamma=.5), EVEN, 2

    def powerless(episodes, gamma):
        return rewards_to_go(episodes.rewards, gamma)

    # grad J: q_0 = [1 + 1/4, 1/2] in room 0, then [1, 0] and [0, 2], each reached half the time, times 1/2
    assert_allclose(mean_of(problem, reward_to_go), [[.25, -.25], [-.125, .125]], rtol=1e-14)
    assert_allclose(mean_of(problem, powerless), [[.3125, -.3125], [-.25, .25]], rtol=1e-14)


def test_states_that_look_the_same_share_their_scores():
    blind = replace(THREE, observation=[0, 0, 1])
    assert_unbiased((blind, Z[1:], 3), reward_to_go)
    assert_unbiased((blind, Z[1:], 3), partial(state_value, values=[1., -2., 7.]))


def test_an_action_that_is_never_taken_has_no_part_in_it():
    z = np.array([[0, -np.inf], [0, 0], [0, 0]])
    assert_unbiased((THREE, z, 3), reward_to_go)
    assert_array_equal(mean_of((THREE, z, 3), reward_to_go)[0], 0)


# ---------------------------------------------------------------- GAE

@given(st.data(), problems())
@example(None, (THREE, Z, 3))
def test_gae_at_lam_1_is_exact_with_any_guess_of_the_values(data, problem):
    values = data.draw(guesses(problem)) if data else np.arange(9.).reshape(3, 3)
    estimator = partial(generalised, values=values, lam=1)
    assert_unbiased(problem, estimator)
    assert_allclose(variance_of(problem, estimator), variance_of(problem, partial(state_value, values=values)),
                    rtol=1e-9, atol=1e-12)


@given(problems(), eighths(0, 1))
@example((THREE, Z, 3), .5)
def test_gae_with_the_true_values_is_exact_for_every_lam(problem, lam):
    mdp, z, horizon = problem
    assert_unbiased(problem, partial(generalised, values=step_values(mdp, softmax(z), horizon), lam=lam))


@given(st.data(), problems(), eighths(0, 1))
def test_gae_with_a_wrong_guess_is_off_by_one_minus_lam_times_the_errors_to_come(data, problem, lam):
    mdp, z, horizon = problem
    error = data.draw(guesses(problem))
    values = step_values(mdp, softmax(z), horizon) + error

    def errors_to_come(episodes, gamma):
        later = np.zeros(episodes.mask.shape)
        later[..., :-1] = (error[np.arange(horizon), episodes.states] * episodes.mask)[..., 1:]
        return (1 - lam) * gamma ** np.arange(1, horizon + 1) * rewards_to_go(later, gamma * lam)

    bias = mean_of(problem, partial(generalised, values=values, lam=lam)) - mdp.policy_gradient(z, horizon)
    assert_allclose(bias, mean_of(problem, errors_to_come), rtol=1e-9, atol=1e-11)


def test_the_bias_of_a_wrong_guess_in_the_two_rooms():
    wrong = [[0, 0], [0, 1]]                # the truth is 1.25 at first, then .5 and 1: e_1 = -.5 in room 0
    means = [mean_of((ROOMS, EVEN, 2), partial(generalised, values=wrong, lam=lam)) for lam in (0, .5, 1)]
    assert_allclose([m[0, 0] for m in means], [.125, .1875, .25], rtol=1e-14)          # (1 - lam) (-.5) / 4 too low
    assert_allclose([m[1] for m in means], [[-.25, .25]] * 3, rtol=1e-14)


def test_what_lam_does_to_the_variance_in_the_two_rooms():
    values = step_values(ROOMS, softmax(EVEN), 2)
    assert_allclose(values, [[1.25, 1.75], [.5, 1]])
    variances = [variance_of((ROOMS, EVEN, 2), partial(generalised, values=values, lam=lam)) for lam in (0, .5, 1)]
    assert_allclose(variances, [.15625, .234375, .46875], rtol=1e-14)


# ---------------------------------------------------------------- variance

@given(problems(max_states=2), st.sampled_from([total_return, reward_to_go]))
def test_the_mean_of_n_independent_trajectories_has_an_nth_of_the_variance(problem, estimator):
    mdp, z, horizon = problem
    problem = mdp, z, min(horizon, 2)
    one, two = (expectation_and_variance(*problem, estimator, n) for n in (1, 2))
    assert_allclose(two[0], one[0], rtol=1e-9, atol=1e-12)
    assert_allclose(two[1], one[1] / 2, rtol=1e-9, atol=1e-12)


@given(problems(), st.sampled_from([total_return, reward_to_go]), eighths(-10, 10))
@example((ROOMS, EVEN, 2), reward_to_go, 0.0)
def test_the_best_constant_beats_every_other_by_a_parabola(problem, estimator, b):
    mdp, _, _ = problem
    assume(mdp.transition.shape[1] > 1 and mdp.start[mdp.terminal].sum() < 1)       # a score that differs from 0
    best = best_constant(*problem, estimator)
    curve = [variance_of(problem, partial(estimator, baseline=c)) for c in (best, best - 1, b)]
    assert_allclose(curve[2] - curve[0], (curve[1] - curve[0]) * (b - best) ** 2, rtol=1e-9, atol=1e-9)
    assert curve[1] > curve[0] and curve[2] >= curve[0] - 1e-9 * max(1, curve[0])


@given(problems())
def test_for_the_total_return_the_best_constant_is_the_return_weighed_by_the_squared_score(problem):
    mdp, z, horizon = problem
    top = bottom = 0.0
    for p, states, actions, rewards in mdp.trajectories(softmax(z), horizon):
        total = np.zeros_like(z)
        for s, a in zip(states, actions, strict=False):
            total[s] += score(z[s], np.array(a))
        top += p * (total**2).sum() * sum(mdp.gamma**t * r for t, r in enumerate(rewards))
        bottom += p * (total**2).sum()
    assume(bottom > 0)
    assert_allclose(best_constant(*problem, total_return), top / bottom, rtol=1e-9, atol=1e-11)


def test_the_best_constants_of_the_two_rooms():
    # |W|^2 = 2, 0, 1, 1 on the four paths; U.W = R |W|^2 = 4, 0, 0, 2, and 3, 0, 0, 2 with rewards-to-go
    assert_allclose(best_constant(ROOMS, EVEN, 2, total_return), 6 / 4, rtol=1e-14)
    assert_allclose(best_constant(ROOMS, EVEN, 2), 5 / 4, rtol=1e-14)


def test_where_no_score_differs_from_zero_there_is_no_best_constant():
    single = MDP([[[1.]]], [1.], .5, start=0)
    with pytest.raises(ValueError, match=r"the mean squared score is 0.0; expected a finite number > 0"):
        best_constant(single, [[0.]], 2)


def test_the_expected_reward_as_baseline_can_raise_the_variance():
    bandit = MDP([[[0, 1], [0, 1]]] * 2, [[1, 0], [0, 0]], 1.0, start=0, terminal=[0, 1])
    problem = bandit, np.log([[.9, .1], [.5, .5]]), 1
    variances = [variance_of(problem, partial(reward_to_go, baseline=b)) for b in (0, .9, best_constant(*problem))]
    assert_allclose(variances, [.0018, .1152, 0], rtol=1e-9, atol=1e-15)


def test_reward_to_go_raises_the_variance_where_the_past_takes_back_what_comes():
    # Two starts, two steps; the first step pays +1 or -1 by the start, the second takes it back.
    step = np.zeros((4, 2, 4))
    step[[0, 1, 2, 3], :, [2, 3, 2, 3]] = 1
    problem = MDP(step, [1, -1, -1, 1], 1.0, start=[.5, .5, 0, 0]), np.zeros((4, 2)), 2
    assert variance_of(problem, total_return) == 0
    assert_allclose(variance_of(problem, reward_to_go), .5, rtol=1e-14)


# ---------------------------------------------------------------- baselines from the batch

@pytest.mark.parametrize(("n", "factor"), [(1, 0), (2, .5), (3, .666667), (4, .75)])
def test_the_document_s_batch_mean_gives_one_minus_one_in_n_of_the_gradient_in_a_bandit(n, factor):
    exact = ICE_CREAM.policy_gradient(np.zeros((2, 3)), 1)
    mean = mean_of((ICE_CREAM, np.zeros((2, 3)), 1), batch_mean, n)
    assert_allclose(mean, (1 - 1 / n) * exact, rtol=1e-12, atol=1e-14)
    assert_allclose(mean[0] / exact[0], factor, atol=5e-7)


@given(arrays((1, 3), eighths(-2, 2)), arrays((3,), eighths(-10, 10)), st.integers(2, 4))
def test_1_5_3_contradicts_1_5_2_on_every_bandit_and_leave_one_out_does_not(z, rewards, n):
    bandit = MDP([[[0, 1]] * 3, [[0, 1]] * 3], [rewards, np.zeros(3)], 1.0, start=0, terminal=[0, 1])
    problem = bandit, np.vstack([z, z]), 1
    exact = bandit.policy_gradient(problem[1], 1)
    assert_allclose(mean_of(problem, batch_mean, n), (1 - 1 / n) * exact, rtol=1e-9, atol=1e-12)
    assert_allclose(mean_of(problem, leave_one_out, n), exact, rtol=1e-9, atol=1e-12)


@given(problems(max_states=2, ending=True), st.integers(2, 3))
@example((ROOMS, EVEN, 2), 3)
def test_the_batch_mean_takes_an_nth_of_its_own_mean_s_gradient_away_even_if_lengths_differ(problem, n):
    mdp, z, horizon = problem
    mdp, horizon = replace(mdp, gamma=1.0), min(horizon, 2)
    baselines = []
    for batch in product(list(mdp.trajectories(softmax(z), horizon)), repeat=n):
        to_go = [q for _, _, _, rewards in batch for q in np.cumsum(rewards[::-1])]
        baselines.append(np.mean(to_go) if to_go else 0.0)

    def expected_baseline(x):
        p = [path[0] for path in mdp.trajectories(softmax(x), horizon)]
        return (np.array(baselines) * np.prod(list(product(p, repeat=n)), axis=1)).sum()

    bias = mean_of((mdp, z, horizon), batch_mean, n) - mdp.policy_gradient(z, horizon)
    assert_allclose(bias, -complex_step(expected_baseline, z) / n, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_with_two_steps_the_batch_mean_bends_the_direction_too(n):
    exact = ROOMS.policy_gradient(EVEN, 2)
    mean = mean_of((ROOMS, EVEN, 2), batch_mean, n)
    assert_allclose(mean / exact, [[1 - 1 / (2 * n)] * 2, [1 - 1 / n] * 2], rtol=1e-12, atol=1e-14)


@given(problems(max_states=2))
def test_leave_one_out_is_exact_with_several_steps_and_lengths(problem):
    mdp, z, horizon = problem
    assert_unbiased((mdp, z, min(horizon, 2)), leave_one_out, 2)


def test_leave_one_out_is_exact_for_three_episodes_and_the_batch_mean_is_not():
    assert_unbiased((ROOMS, EVEN, 2), leave_one_out, 3)
    with pytest.raises(AssertionError):
        assert_unbiased((ROOMS, EVEN, 2), batch_mean, 3)


def test_what_the_baselines_do_to_the_variance_of_a_batch_of_three():
    variances = [variance_of((ROOMS, EVEN, 2), estimator, 3) for estimator in BASELINES.values()]
    assert_allclose(variances, [2 / 3, 125 / 864, 9 / 32], rtol=1e-12)


# ---------------------------------------------------------------- the document's algorithm, on samples

@pytest.mark.parametrize("baseline", BASELINES)
def test_the_estimate_from_a_batch_is_the_document_s_steps_b_to_d(baseline):
    mdp = replace(THREE, gamma=1.0)
    e = mdp.simulate(softmax(Z), 5, 4, np.random.default_rng(3))
    assert 0 < e.mask.sum() < e.mask.size
    to_go = [[e.rewards[i, t:].sum() for t in range(4)] for i in range(5)]
    taken = [(i, t) for i in range(5) for t in range(4) if e.mask[i, t]]
    mean = sum(to_go[i][t] for i, t in taken) / len(taken)
    g = np.zeros_like(Z)
    for i, t in taken:
        others = np.mean([to_go[j][t] for j in range(5) if j != i])
        b = {"none": 0, "batch_mean": mean, "leave_one_out": others}[baseline]
        g[e.states[i, t]] += (to_go[i][t] - b) * score(Z[e.states[i, t]], e.actions[i, t]) / 5
    estimate = policy_gradient_estimate(e.states, e.actions, e.rewards, Z, e.mask, baseline)
    assert_allclose(estimate, g, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_estimate_over_every_batch_has_the_mean_that_the_enumeration_gives(baseline):
    mean = np.zeros((2, 2))
    for batch in product(list(ROOMS.trajectories(softmax(EVEN), 2)), repeat=2):
        p, states, actions, rewards = zip(*batch, strict=True)
        states = [s[:2] for s in states]
        mean += np.prod(p) * policy_gradient_estimate(states, actions, rewards, EVEN, baseline=baseline)
    assert_allclose(mean, mean_of((ROOMS, EVEN, 2), BASELINES[baseline], 2), rtol=1e-12, atol=1e-14)


def test_the_document_s_baseline_is_the_default_and_gamma_discounts_from_the_start():
    e = THREE.simulate(softmax(Z), 5, 4, np.random.default_rng(3))
    arguments = e.states, e.actions, e.rewards, Z, e.mask
    assert_array_equal(policy_gradient_estimate(*arguments), policy_gradient_estimate(*arguments, "batch_mean", 1.0))
    g, to_go = np.zeros_like(Z), rewards_to_go(e.rewards, .5)
    for i, t in np.argwhere(e.mask):
        g[e.states[i, t]] += .5**t * to_go[i, t] * score(Z[e.states[i, t]], e.actions[i, t]) / 5
    assert_allclose(policy_gradient_estimate(*arguments, baseline="none", gamma=.5), g, rtol=1e-12)


def test_padding_counts_for_nothing_and_dtypes_are_the_logits_own():
    states, actions, rewards = [[0, 1], [1, 0]], [[1, 0], [1, 0]], [[1., 2.], [4., 0.]]
    short = policy_gradient_estimate(states, actions, rewards, Z[:2], [[1, 1], [1, 0]])
    wide = policy_gradient_estimate(*(np.pad(x, ((0, 0), (0, 3))) for x in (states, actions, rewards)), Z[:2],
                                    np.pad([[1, 1], [1, 0]], ((0, 0), (0, 3))))
    assert_allclose(wide, short, rtol=1e-14)
    assert_allclose(batch_mean_baseline([[3, 2], [4, 0]], [[1, 1], [1, 0]]), 3)
    assert policy_gradient_estimate(states, actions, rewards, Z[:2].astype(np.float32)).dtype == np.float32


# ---------------------------------------------------------------- memory, limits, bad input

@pytest.mark.parametrize("episodes", [1, 2])
def test_the_size_of_a_block_changes_nothing(episodes, monkeypatch):
    whole = expectation_and_variance(THREE, Z, 2, reward_to_go, episodes)
    monkeypatch.setattr(estimators, "BLOCK", 1)
    single = expectation_and_variance(THREE, Z, 2, reward_to_go, episodes)
    assert_allclose(single, whole, rtol=1e-10, atol=1e-14)


def test_one_block_at_a_time_is_held(monkeypatch):
    monkeypatch.setattr(estimators, "BLOCK", 100)
    sizes = []

    def noted(episodes, gamma):
        sizes.append(len(episodes.mask))
        return reward_to_go(episodes, gamma)

    expectation_and_variance(THREE, Z, 3, noted)
    assert max(sizes) == 100 // (Z.size + 3) and sum(sizes) == len(list(THREE.trajectories(softmax(Z), 3)))


def test_a_block_too_improbable_for_a_float_changes_nothing(monkeypatch):
    monkeypatch.setattr(estimators, "BLOCK", 1)
    mean, variance = expectation_and_variance(ROOMS, [[0, -500], [0, -500]], 2, reward_to_go)
    assert np.isfinite(variance).all()
    assert_allclose(mean, 0, atol=1e-200)


def test_episodes_that_start_at_their_end_have_no_score_and_count_all_the_same():
    over = replace(ICE_CREAM, start=[.25, .75])
    for estimator in (total_return, reward_to_go, partial(generalised, values=[1., 2.], lam=.5)):
        assert_unbiased((over, np.zeros((2, 3)), 2), estimator)
    assert_unbiased((over, np.zeros((2, 3)), 1), leave_one_out, 2)
    assert np.isfinite(mean_of((over, np.zeros((2, 3)), 1), batch_mean, 2)).all()
    only = replace(ICE_CREAM, start=[0, 1])
    assert_array_equal(expectation_and_variance(only, np.zeros((2, 3)), 2, batch_mean, 2), 0)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: expectation_and_variance(ROOMS, EVEN, 2, batch_mean, 0), ValueError, "episodes is 0; expected an integer"),
    (lambda: expectation_and_variance(ROOMS, EVEN, 2, batch_mean, 12), ValueError,
     "episodes is 12; expected fewer: 4 trajectories make 16777216 batches, and limit is 10000000"),
    (lambda: expectation_and_variance(ROOMS, EVEN, 30, reward_to_go), ValueError,
     "horizon is 30; expected a shorter one: it has 1073741824 trajectories"),
    (lambda: expectation_and_variance(ROOMS, EVEN, 0, reward_to_go), ValueError, "horizon is 0; expected an integer"),
    (lambda: expectation_and_variance(ROOMS, [0, 0], 2, reward_to_go), ValueError, r"the shape of logits is \(2,\)"),
    (lambda: expectation_and_variance(ROOMS, EVEN, 2, leave_one_out), ValueError,
     "the shape of rewards is .*; expected at least 2 answers on the last axis"),
    (lambda: mean_of((ROOMS, EVEN, 2), partial(state_value, values=[1.])), ValueError,
     r"states\[.*\] is 1; expected an integer in \[0, 1\)"),
    (lambda: mean_of((ROOMS, EVEN, 2), partial(state_value, values=np.ones((3, 2)))), ValueError,
     r"the shape of values is \(3, 2\); expected \(2, 2\), \(T, S\)"),
    (lambda: mean_of((ROOMS, EVEN, 2), partial(generalised, values=[1, np.nan], lam=1)), ValueError, "values.* is nan"),
    (lambda: mean_of((ROOMS, EVEN, 2), partial(generalised, values=[1, 2], lam=2)), ValueError, "lam is 2; expected"),
    (lambda: step_values(ROOMS, softmax(EVEN), 0), ValueError, "horizon is 0; expected an integer >= 1"),
    (lambda: policy_gradient_estimate([[0]], [[2]], [[1.]], EVEN), ValueError,
     r"actions\[0, 0\] is 2; expected an integer in \[0, 2\)"),
    (lambda: policy_gradient_estimate([[2]], [[0]], [[1.]], EVEN), ValueError, r"states\[0, 0\] is 2"),
    (lambda: policy_gradient_estimate([[0]], [[0.]], [[1.]], EVEN), TypeError, "actions is .*; expected integers"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [1.], EVEN), ValueError, r"the shape of rewards is \(1,\)"),
    (lambda: policy_gradient_estimate([[0, 0]], [[0]], [[1.]], EVEN), ValueError, r"the shape of states is \(1, 2\)"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[np.inf]], EVEN), ValueError, r"rewards\[0, 0\] is inf"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1j]], EVEN), TypeError, "rewards is .*of real numbers"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1.]], EVEN, [[0]]), ValueError,
     r"rewards\[0, 0\] is 1.0; expected a number in \[0, 0\], since its mask is 0"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[0.]], EVEN, [[0]]), ValueError, "the sum of mask is 0.0"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1.]], EVEN, baseline="mean"), ValueError,
     "baseline is 'mean'; expected one of 'none', 'batch_mean', 'leave_one_out'"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1.]], EVEN, baseline="leave_one_out"), ValueError,
     "the shape of rewards is .*; expected at least 2 answers"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1.]], EVEN, gamma=2), ValueError, "gamma is 2; expected"),
    (lambda: policy_gradient_estimate([[0]], [[0]], [[1.]], EVEN + 0j), TypeError, "logits is .*; expected an"),
    (lambda: policy_gradient_estimate([[0]], [[1]], [[1.]], [[0, -np.inf]]), ValueError,
     r"the logits of actions\[0\] is -inf; expected finite numbers"),
])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


# ---------------------------------------------------------------- the checks are checked

def _own_action(episodes, gamma):
    return reward_to_go(episodes, gamma, baseline=1.0 * (episodes.actions == 0))


def _next_step_s_return(episodes, gamma):
    return np.roll(reward_to_go(episodes, gamma), -1, axis=-1) * np.r_[np.ones(episodes.mask.shape[-1] - 1), 0]


@pytest.mark.parametrize("broken", [
    lambda e, gamma: -reward_to_go(e, gamma),
    lambda e, gamma: 1.001 * reward_to_go(e, gamma),
    lambda e, gamma: rewards_to_go(e.rewards, gamma),                                      # gamma^t left out
    lambda e, gamma: gamma * reward_to_go(e, gamma),                                       # first power
    lambda e, gamma: reward_to_go(e, 1.0),                                                 # no discount
    lambda e, gamma: np.cumsum(gamma ** np.arange(e.mask.shape[-1]) * e.rewards, axis=-1),    # the past, not the future
    lambda e, gamma: total_return(e, gamma) - np.cumsum(gamma ** np.arange(e.mask.shape[-1]) * e.rewards, axis=-1),
    lambda e, gamma: gamma ** np.arange(e.mask.shape[-1]) * e.rewards,                     # this step's reward alone
    _own_action, _next_step_s_return,
    partial(generalised, values=[[3, 0, 0], [0, -2, 0], [0, 5, 0]], lam=.9),
], ids=range(11))
def test_the_comparison_notices_an_estimator_that_is_almost_right(broken):
    with pytest.raises(AssertionError):
        assert_unbiased((THREE, Z, 3), broken)


@pytest.mark.parametrize("broken", [
    lambda e, gamma: reward_to_go(e, gamma, rewards_to_go(e.rewards, gamma).mean(axis=(-2, -1), keepdims=True)),
    lambda e, gamma: reward_to_go(e, gamma, rewards_to_go(e.rewards, gamma).mean(axis=-2, keepdims=True)),
    lambda e, gamma: reward_to_go(e, gamma, rewards_to_go(e.rewards, gamma)[..., ::-1, :].cumsum(axis=-2)),
], ids=["the whole batch", "each step's mean, its own among them", "its own return"])
def test_the_comparison_notices_a_baseline_that_contains_its_own_return(broken):
    with pytest.raises(AssertionError):
        assert_unbiased((THREE, Z, 2), broken, 2)
