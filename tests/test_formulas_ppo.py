"""Document 002's ice-cream example, all eight steps; then the clip, region by region.

    1  pi_old = .33, .33, .33     printed; adds to .99.  1/3 each would put step 6 on the clip bound
    2  the sample is "hockey"
    3  r = 5
    4  A = 5 - 3 = 2
    5  pi_new = .50, .40, .10
    6  .40 / .33 = 1.21
    7  clip(1.21, .8, 1.2) = 1.2
    8  the objective is min(1.21 * 2, 1.2 * 2) = 2.4, and its gradient 0: "hockey" has moved far enough
"""
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas.distribution import expected_reward_grad
from rlscratch.formulas.policy_gradient import reinforce_grad
from rlscratch.formulas.ppo import (
    clip_fraction,
    clip_ratio,
    clipped_tokens,
    dead,
    exp_of,
    ppo_clip_grad,
    ppo_clip_loss,
    ratio,
    surrogate_loss,
    surrogate_slope,
    value_grad,
    value_loss,
)
from strategies import arrays, batches_bt, eighths, logits_v

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

OLD, NEW, REWARDS = np.array([.33, .33, .33]), np.array([.50, .40, .10]), np.array([10.0, 5.0, -10.0])
HOCKEY = 1

# Ratios .5, 1, 1.5 under A = 2, then under A = -2: (3) and (4) by pencil, with clip range .8 to 1.2.
SIX = [
    ("below", 0.5, 2, -1.0, -1.0),
    ("inside", 1.0, 2, -2.0, -2.0),
    ("above", 1.5, 2, -2.4, 0.0),
    ("below", 0.5, -2, 1.6, 0.0),
    ("inside", 1.0, -2, 2.0, 2.0),
    ("above", 1.5, -2, 3.0, 3.0),
]

# On the grid of 1/8 no ratio lies on a bound: exp(k/8) is .779, .882, 1, 1.133, 1.284, ...
batches = batches_bt("logp", "logp_old", "advantage", "weight").map(
    lambda b: (b["logp"], b["logp_old"], b["advantage"], np.abs(b["weight"])))
ranges = st.sampled_from([(0.2, 0.2), (0.2, 0.28), (0.1, 0.3), (1.0, 4.0), (0.0, 0.0), (0.5, 0.05)])
DOCUMENT = (np.log([[.40]]), np.log([[.33]]), np.array([[2.0]]), np.array([[1.0]]))


# ---------------------------------------------------------------- the document

def test_the_document_s_eight_steps():
    advantage = REWARDS[HOCKEY] - 3
    rho = ratio(np.log(NEW), np.log(OLD))[HOCKEY]
    assert advantage == 2
    assert_allclose(rho, 1.21, atol=0.005)
    assert clip_ratio([rho]).tolist() == [1.2]
    assert clip_ratio([1.21], 0.2, 0.2).tolist() == [1.2]
    sample = np.log(NEW[HOCKEY]), np.log(OLD[HOCKEY]), advantage, 1
    assert ppo_clip_loss(*sample) == -2.4
    assert_allclose(ppo_clip_loss(*sample, eps_high=0.3), -2.424242, atol=5e-7)
    assert ppo_clip_grad(*sample) == 0


def test_the_document_s_old_policy_is_not_a_distribution_and_its_repair_sits_on_the_clip_bound():
    assert_allclose(OLD.sum(), 0.99)
    repaired = ratio([np.log(.40)], [np.log(1 / 3)])
    assert_allclose(repaired, 1.2, rtol=1e-15)
    # The loss does not care on which side rounding falls; the gradient, -2.4 or 0, does.
    assert_allclose(ppo_clip_loss([np.log(.40)], [np.log(1 / 3)], [2], [1]), -2.4, rtol=1e-15)


def test_after_step_5_every_word_has_moved_as_far_as_ppo_lets_it():
    sample = np.log(NEW), np.log(OLD), REWARDS - 3, np.ones(3) / 3
    assert_array_equal(ppo_clip_grad(*sample), np.zeros(3))
    assert clip_fraction(*sample[:3], np.ones(3)) == 1


# ---------------------------------------------------------------- regions and kinks

@pytest.mark.parametrize(("where", "rho", "advantage", "loss", "grad"), SIX)
def test_each_of_the_six_regions_has_the_loss_and_the_gradient_of_the_table(where, rho, advantage, loss, grad):
    sample = [[np.log(rho / 2)]], [[np.log(1 / 2)]], [[advantage]], [[1.0]]
    assert_allclose(ppo_clip_loss(*sample), loss, rtol=1e-15)
    assert_allclose(ppo_clip_grad(*sample), [[grad]], rtol=1e-15)


def test_the_two_sides_of_the_clip_are_set_apart():
    rising, falling, old = np.log([.25, .8]), np.log([.15, .002]), np.log([.2, .2])       # ratios 1.25, 4; .75, .01
    assert_allclose(ppo_clip_grad(rising, old, [1, 1], [1, 1], 0.2, 0.28), [-1.25, 0])
    assert_allclose(ppo_clip_grad(rising, old, [1, 1], [1, 1], 0.28, 0.2), [0, 0])
    assert_allclose(ppo_clip_grad(rising, old, [1, 1], [1, 1], 0.2, 5.0), [-1.25, -4])
    assert_allclose(ppo_clip_grad(falling, old, [-1, -1], [1, 1], 0.3, 0.2), [.75, 0])
    assert_allclose(ppo_clip_grad(falling, old, [-1, -1], [1, 1], 1.0, 0.2), [.75, .01])


@pytest.mark.parametrize("step", [-1 / 2, -1 / 4, -1 / 8, 1 / 8, 1 / 4, 1 / 2])
def test_on_a_bound_the_slope_is_the_one_from_inside(step):
    rho, side = np.exp(step), np.sign(step)
    eps, advantage = abs(rho.item() - 1), 2 * side         # eps is exact: the bound is rho bit for bit
    assert 1 + side * eps == rho

    def loss(logp: float) -> float:
        return ppo_clip_loss([logp], [-1], [advantage], [1], eps, eps)

    at = step - 1
    assert_allclose(ppo_clip_grad([at], [-1], [advantage], [1], eps, eps), [-advantage * rho])
    assert_allclose((loss(at) - loss(at - side * 1e-6)) / (side * 1e-6), -advantage * rho, rtol=1e-5)
    assert loss(at + side * 1e-6) == loss(at)


def test_a_bound_that_cannot_bind_is_no_kink():
    eps_high = np.exp(0.25).item() - 1
    bad = [-1], [-2], [1], 0.2, eps_high                   # A < 0 is live on both sides of the upper bound
    grad = central_difference(lambda x: ppo_clip_loss(x, *bad), np.array([-0.75]))
    assert_allclose(ppo_clip_grad([-0.75], *bad), grad, rtol=1e-6)


def test_a_clip_range_of_nothing_still_takes_the_first_step():
    assert_array_equal(ppo_clip_grad([-1., -1.], [-1., -1.], [3., -3.], [1., 1.], 0.0, 0.0), [-3, 3])


def test_no_advantage_is_no_gradient_and_not_a_clipped_token():
    wild = np.log([.0001, .01, 1.0]), np.log([.01, .01, .01])
    assert_array_equal(ppo_clip_grad(*wild, np.zeros(3), np.ones(3)), np.zeros(3))
    assert clip_fraction(*wild, np.zeros(3), np.ones(3)) == 0


# ---------------------------------------------------------------- the gradient

def compare(grad: Callable, logp: np.ndarray, *data: object) -> None:
    """The hand-derived gradient against both numerical witnesses."""
    ours = grad(logp, *data)
    assert_allclose(ours, complex_step(lambda x: ppo_clip_loss(x, *data), logp), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: ppo_clip_loss(x, *data), logp), rtol=1e-6, atol=1e-6)


@given(batches, ranges)
@example(DOCUMENT, (0.2, 0.2))
def test_the_gradient_is_the_derivative_of_the_loss(batch, eps):
    if eps[0] == 0:                                        # ratio 1 would lie on both bounds
        batch = (batch[0] - 1 / 16, *batch[1:])
    compare(ppo_clip_grad, batch[0], *batch[1:], *eps)


PLANTED = {
    "wrong sign": lambda lp, old, a, w, lo, hi: -ppo_clip_grad(lp, old, a, w, lo, hi),
    "factor 1.001": lambda lp, old, a, w, lo, hi: 1.001 * ppo_clip_grad(lp, old, a, w, lo, hi),
    "ratio forgotten": lambda lp, old, a, w, lo, hi: ppo_clip_grad(lp, old, a, w, lo, hi) / np.exp(lp - old),
    "never clipped": lambda lp, old, a, w, lo, hi: -w * a * np.exp(lp - old),
    "clipped whatever the sign of A": lambda lp, old, a, w, lo, hi: (
        -w * a * np.exp(lp - old) * (np.exp(lp - old) <= 1 + hi) * (np.exp(lp - old) >= 1 - lo)),
    "live and dead exchanged": lambda lp, old, a, w, lo, hi: ppo_clip_grad(lp, old, -a, w, lo, hi) * -1,
    "eps_low and eps_high exchanged": lambda lp, old, a, w, lo, hi: ppo_clip_grad(lp, old, a, w, hi, lo),
    "weight forgotten": lambda lp, old, a, w, lo, hi: ppo_clip_grad(lp, old, a, np.ones_like(w), lo, hi),
    "one token late": lambda lp, old, a, w, lo, hi: np.roll(ppo_clip_grad(lp, old, a, w, lo, hi), 1, axis=1),
}
SIX_BATCH = (
    np.log([[.35, .525, .625], [.35, .55, .625]]), np.full((2, 3), np.log(.5)),
    np.array([[1.0, 2, 3], [-1, -2, -3]]), np.array([[.5, .25, .25], [.5, .25, .25]]),
)


def test_the_comparison_accepts_the_right_gradient_in_all_six_regions():
    compare(ppo_clip_grad, *SIX_BATCH, 0.2, 0.28)
    compare(ppo_clip_grad, *SIX_BATCH, 0.35, 0.2)


@pytest.mark.parametrize("error", PLANTED)
def test_the_comparison_catches_a_planted_error(error):
    with pytest.raises(AssertionError):
        compare(PLANTED[error], *SIX_BATCH, 0.35, 0.2)


def test_a_tie_that_counts_as_dead_is_caught_at_the_first_step():
    def strict(logp, old, a, w, lo, hi):
        rho = np.exp(logp - old)
        return -w * (rho * a < np.clip(rho, 1 - lo, 1 + hi) * a) * rho * a

    with pytest.raises(AssertionError):
        compare(strict, np.zeros((1, 2)), np.zeros((1, 2)), np.ones((1, 2)), np.ones((1, 2)), 0.2, 0.2)


@given(batches, ranges)
def test_masked_tokens_count_nothing(batch, eps):
    logp, old, advantage, weight = batch
    assert_array_equal(ppo_clip_grad(logp, old, advantage, 0 * weight, *eps), np.zeros_like(logp))
    assert ppo_clip_loss(logp, old, advantage, 0 * weight, *eps) == 0


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 2, 3)])
def test_any_rank_will_do(shape):
    logp, old, ones = np.full(shape, np.log(.33)), np.log(.3), np.ones(shape)
    assert_allclose(ppo_clip_loss(logp, old, ones, 1), -1.1 * ones.sum())
    assert_allclose(ppo_clip_grad(logp, old, ones, 1), -1.1 * ones)


def test_one_advantage_a_row_spreads_over_its_tokens():
    sample, row = (np.log([[.5, .6], [.7, .8]]), np.log([[.5, .5], [.8, .8]])), [[1.0], [-1.0]]
    assert_array_equal(ppo_clip_grad(*sample, row, 1), ppo_clip_grad(*sample, np.repeat(row, 2, axis=1), 1))


def test_float32_stays_float32_and_the_loss_is_a_python_float():
    logp = np.log(np.array([[.40, .35]], np.float32))
    data = np.log([[.33, .33]]), np.array([[2.0, 2.0]]), np.array([[.5, .5]])
    grad = ppo_clip_grad(logp, *data)
    assert grad.dtype == np.float32
    assert_allclose(grad, ppo_clip_grad(logp.astype(float), *data), rtol=1e-6)
    assert type(ppo_clip_loss(logp, *data)) is float
    assert ratio(logp, logp).dtype == clip_ratio(ratio(logp, logp)).dtype == np.float32
    assert value_grad(logp, [[1, 2]], [[1, 1]], [[0, 0]], 0.5).dtype == np.float32


# ---------------------------------------------------------------- expectations, by enumeration

def to_logits(dlogp: np.ndarray, policy: np.ndarray) -> np.ndarray:
    """The chain rule through log softmax, all actions once: sum_a dlogp_a (e_a - pi)."""
    return dlogp - policy * dlogp.sum()


def softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


@given(batches, eighths())
def test_the_first_step_is_reinforce_with_a_baseline(batch, baseline):
    logp, _, returns, weight = batch
    assert_array_equal(ppo_clip_grad(logp, logp, returns - baseline, weight),
                       reinforce_grad(logp, returns, weight, baseline))


@given(logits_v(3, 3), eighths(-10, 10))
@example(np.zeros(3), 3.0)
def test_the_expected_first_step_is_the_policy_gradient_whatever_the_value_estimate(logits, value):
    policy = softmax(logits)
    logp = np.log(policy)
    step = -to_logits(ppo_clip_grad(logp, logp, REWARDS - value, policy), policy)
    assert_allclose(step, expected_reward_grad(logits, REWARDS), rtol=1e-9, atol=1e-9)
    if not logits.any():                                   # the uniform policy, by pencil
        assert_allclose(step, [2.777778, 1.111111, -3.888889], atol=5e-7)


@given(logits_v(3, 3, low=-2, high=2), logits_v(3, 3, low=-2, high=2))
def test_without_a_clip_the_ratio_makes_old_samples_exact(logits, logits_old):
    policy, old = softmax(logits), softmax(logits_old)
    grad = ppo_clip_grad(np.log(policy), np.log(old), REWARDS, old, eps_low=1.0, eps_high=1e6)
    assert_allclose(-to_logits(grad, policy), expected_reward_grad(logits, REWARDS), rtol=1e-9, atol=1e-9)


def test_with_the_clip_it_is_the_policy_gradient_no_more():
    # pi / pi_old = [1.5, 1, .5]: "cream" and "donkey" have moved enough, "hockey" alone is left.
    policy, old = np.array([.5, 1 / 3, 1 / 6]), np.full(3, 1 / 3)
    grad = ppo_clip_grad(np.log(policy), np.log(old), REWARDS - 5 / 3, old)
    assert_allclose(grad, [0, -10 / 9, 0], atol=1e-12)
    assert_allclose(-to_logits(grad, policy), [-5 / 9, 20 / 27, -5 / 27], atol=1e-12)
    assert_allclose(expected_reward_grad(np.log(policy), REWARDS), [2.5, 0, -2.5], atol=1e-12)


# ---------------------------------------------------------------- the share of clipped tokens

def test_the_clip_fraction_counts_dead_tokens_and_not_large_ratios():
    rho, advantage = np.array([[.5, 1.0, 1.5, .5, 1.0, 1.5]]), np.array([[1, 1, 1, -1, -1, -1]])
    sample = np.log(rho / 2), np.full((1, 6), np.log(1 / 2)), advantage
    assert_allclose(clip_fraction(*sample, np.ones((1, 6))), 2 / 6)
    outside = np.abs(rho - 1) > 0.2               # what CleanRL and Stable-Baselines3 count
    assert_allclose(outside.mean(), 4 / 6)


def test_the_clip_fraction_looks_at_chosen_tokens_only():
    sample = np.log([[.75, .75, .5]]), np.log([[.5, .5, .5]]), np.ones((1, 3))
    assert clip_fraction(*sample, [[True, False, True]]) == 0.5
    assert clip_fraction(*sample, [[0, 0, 1]]) == 0
    assert clip_fraction(*sample, [[1]]) == clip_fraction(*sample, [[1, 1, 1]])


@given(batches_bt("logp", "logp_old", "advantage"), ranges)
def test_the_clip_fraction_is_where_the_gradient_is_zero_though_the_advantage_is_not(batch, eps):
    sample, mask = (batch["logp"], batch["logp_old"], batch["advantage"]), batch["mask"]
    grad = ppo_clip_grad(*sample, mask, *eps)
    dead = (grad == 0) & (batch["advantage"] != 0) & (mask == 1)
    assert_allclose(clip_fraction(*sample, mask, *eps), dead.sum() / mask.sum())
    assert_array_equal(clipped_tokens(*sample, mask, *eps), dead)


# ---------------------------------------------------------------- ratio and clip

@given(batches_bt("logp", "logp_old", "advantage"), ranges)
def test_the_surrogate_of_ratios_is_that_of_their_log_probabilities(batch, eps):
    logp, old, A, weight = batch["logp"], batch["logp_old"], batch["advantage"], batch["mask"]
    rho = exp_of(logp - old)
    assert_array_equal(rho, ratio(logp, old))
    assert surrogate_loss(rho, A, weight, *eps) == ppo_clip_loss(logp, old, A, weight, *eps)
    assert_array_equal(surrogate_slope(rho, A, weight, *eps), ppo_clip_grad(logp, old, A, weight, *eps))
    assert_array_equal(dead(rho, A, *eps) & (weight > 0), clipped_tokens(logp, old, A, weight, *eps))


@given(batches_bt("logp", "logp_old"))
def test_the_ratio_is_the_quotient_of_the_probabilities(batch):
    logp, old = batch["logp"], batch["logp_old"]
    assert_allclose(ratio(logp, old), np.exp(logp) / np.exp(old), rtol=1e-12)


@given(arrays((2, 3), eighths(0, 4)), ranges)
def test_the_clip_leaves_what_is_inside_and_cuts_the_rest_to_the_bounds(rho, eps):
    low, high = 1 - eps[0], 1 + eps[1]
    by_cases = [[low if r < low else high if r > high else r for r in row] for row in rho]
    assert_array_equal(clip_ratio(rho, *eps), by_cases)


@given(batches_bt("logp", "logp_old"))
def test_the_ratio_undoes_itself_and_is_one_for_the_policy_that_sampled(batch):
    logp, old = batch["logp"], batch["logp_old"]
    assert_allclose(ratio(logp, old) * ratio(old, logp), 1, rtol=1e-12)
    assert_array_equal(ratio(logp, logp), np.ones_like(logp))


def test_an_eps_low_of_one_leaves_small_ratios_alone():
    assert clip_ratio([0.0, 1e-9, 1.0, 9.0], 1.0, 4.0).tolist() == [0.0, 1e-9, 1.0, 5.0]


@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 88), (np.float64, 709)])
def test_a_ratio_is_finite_up_to_the_limit_and_an_error_beyond(dtype, limit):
    assert np.isfinite(ratio(np.array([0], dtype), np.array([-limit], dtype)))[0]
    assert ratio(np.array([-1000], dtype), np.array([0], dtype))[0] == 0
    with pytest.raises(ValueError, match=rf"\(logp - logp_old\)\[0\] is {limit + 1}.0; .*so that the ratio is finite"):
        ratio(np.array([0], dtype), np.array([-limit - 1], dtype))


# ---------------------------------------------------------------- values

def test_the_document_s_value_estimate_has_the_loss_of_its_advantage():
    assert value_loss([3.0], [5.0], [1.0]) == 2.0 == (5 - 3) ** 2 / 2
    assert value_grad([3.0], [5.0], [1.0]).tolist() == [-2.0]


# v_old = 0, clip = 1, return R: (6) and (7) by pencil.
VALUE_REGIONS = [
    ("inside", 0.5, 2, 1.125, -1.5),
    ("above, towards R and not past it", 1.5, 2, 0.5, 0.0),
    ("above, past R, farther from it than the bound", 3.0, 1.5, 1.125, 1.5),
    ("above, past R, nearer to it than the bound", 1.75, 1.5, 0.125, 0.0),
    ("above, away from R", 1.5, -2, 6.125, 3.5),
    ("below, away from R", -1.5, 2, 6.125, -3.5),
    ("below, towards R", -1.5, -2, 0.5, 0.0),
    ("on the bound", 1.0, 2, 0.5, -1.0),
    ("a tie outside: R halfway between v and the bound", 2.0, 1.5, 0.125, 0.5),
]


@pytest.mark.parametrize(("where", "value", "target", "loss", "grad"), VALUE_REGIONS)
def test_the_clipped_value_loss_region_by_region(where, value, target, loss, grad):
    assert value_loss([value], [target], [1], [0], 1.0) == loss
    assert value_grad([value], [target], [1], [0], 1.0).tolist() == [grad]


def test_at_a_tie_the_slopes_on_either_side_are_the_two_branches():
    def loss(v: float) -> float:
        return value_loss([v], [1.5], [1], [0], 1.0)

    assert_allclose((loss(2 + 1e-6) - loss(2)) / 1e-6, 0.5, rtol=1e-5)
    assert loss(2 - 1e-6) == loss(2)


def test_the_three_forms_of_the_value_clip_differ_where_the_value_ran_away_from_its_return():
    data = [-2.0], [1], [1], [0], 1.0                      # v left its range downwards, the return is above
    assert value_loss(*data) == 9 / 2 and value_grad(*data).tolist() == [-3]
    assert value_loss(*data, form="clipped") == 4 / 2 and value_grad(*data, form="clipped").tolist() == [0]
    assert value_loss([-2.0], [1], [1]) == 9 / 2
    with pytest.raises(ValueError, match="form is 'smaller'; expected one of 'larger', 'clipped'"):
        value_loss(*data, form="smaller")


@given(st.tuples(*[arrays((2, 3))] * 3), eighths(0, 2))
def test_the_clipped_form_has_the_derivative_of_its_loss(triple, clip):
    values, returns, old = triple
    compare_values(value_grad, values + 1 / 16, returns, 1, old, clip, "clipped")


def test_rounding_inside_the_range_deletes_no_gradient():
    values, old = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41))
    inside = np.abs(values - old) < 0.45
    for target in (0.0, 0.5):                              # near the values, where one rounding shows
        grad = value_grad(values, target, 1, old, 0.5)
        assert_array_equal(grad[inside], (values - target)[inside])
    careless = old + np.clip(values - old, -0.5, 0.5)      # (5) as it is often written
    assert (careless[inside] != values[inside]).any()


def compare_values(grad: Callable, values: np.ndarray, *data: object) -> None:
    ours = grad(values, *data)
    assert_allclose(ours, complex_step(lambda x: value_loss(x, *data), values), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: value_loss(x, *data), values), rtol=1e-6, atol=1e-6)


@given(st.tuples(*[arrays((2, 3))] * 3), arrays((2, 3), eighths(0, 4)), eighths(0, 2))
def test_the_value_gradient_is_the_derivative_of_the_value_loss(triple, weight, clip):
    values, returns, old = triple
    compare_values(value_grad, values, returns, weight)
    # Kinks need v on the bound, a multiple of 1/8, or R halfway to it, a multiple of 1/32: neither is met.
    compare_values(value_grad, values + 1 / 16, returns + 1 / 64, weight, old, clip)


VALUE_BATCH = (np.array([[0.5, 1.5, 3.0, -1.5]]), np.array([[2, 2, 1.5, 2]]), np.array([[1, 2, 3, 4.0]]),
               np.zeros((1, 4)), 1.0)
PLANTED_VALUE = {
    "wrong sign": lambda *a: -value_grad(*a),
    "factor 1.001": lambda *a: 1.001 * value_grad(*a),
    "the half forgotten": lambda *a: 2 * value_grad(*a),
    "not clipped": lambda v, r, w, old, clip: value_grad(v, r, w),
    "the smaller square": lambda v, r, w, old, clip: value_grad(v, r, w) - value_grad(v, r, w, old, clip),
    "dead wherever out of range": lambda v, r, w, old, clip: value_grad(v, r, w) * (np.abs(v - old) <= clip),
}


@pytest.mark.parametrize("error", PLANTED_VALUE)
def test_the_value_comparison_catches_a_planted_error(error):
    compare_values(value_grad, *VALUE_BATCH)
    with pytest.raises(AssertionError):
        compare_values(PLANTED_VALUE[error], *VALUE_BATCH)


@given(st.tuples(*[arrays((2, 3))] * 3), eighths(0, 2))
def test_clipping_never_lowers_the_value_loss_and_a_wide_clip_leaves_it(triple, clip):
    values, returns, old = triple
    assert value_loss(values, returns, 1, old, clip) >= value_loss(values, returns, 1)
    assert value_loss(values, returns, 1, old, 100.0) == value_loss(values, returns, 1)


# ---------------------------------------------------------------- bad input

ONE, LOGP = [[0.5, 0.5]], [[-0.5, -0.5]]
BAD = [
    (dict(logp=[[np.nan, 0]]), ValueError, r"logp\[0, 0\] is nan; expected finite numbers"),
    (dict(logp=[["a", "b"]]), TypeError, r"logp is .*; expected an array of real or complex numbers"),
    (dict(logp=[[]]), ValueError, r"the shape of logp is \(1, 0\); expected at least one entry"),
    (dict(logp_old=[[-np.inf, 0]]), ValueError, r"logp_old\[0, 0\] is -inf; expected finite numbers"),
    (dict(logp_old=[[-800, 0]]), ValueError, r"\(logp - logp_old\)\[0, 0\] is 799.5; expected .* \[-inf, 709\]"),
    (dict(logp=[[-1, 0.4]]), ValueError, r"logp\[0, 1\] is 0.4; expected a log-probability, at most 0 \(take the log"),
    (dict(logp_old=[[0.4, -1]]), ValueError, r"logp_old\[0, 0\] is 0.4; expected a log-probability, at most 0"),
    (dict(advantage=[1, 1]), ValueError, r"the shape of advantage is \(2,\); expected \(1, 2\) like logp"),
    (dict(weight=[[1, -1]]), ValueError, r"weight\[0, 1\] is -1.0; expected weights >= 0"),
    (dict(eps_low=1.5), ValueError, r"eps_low is 1.5; expected a number in \[0, 1\]"),
    (dict(eps_low=-0.1), ValueError, r"eps_low is -0.1; expected a number in \[0, 1\]"),
    (dict(eps_high=-0.1), ValueError, r"eps_high is -0.1; expected a finite number >= 0"),
    (dict(eps_high=np.inf), ValueError, r"eps_high is inf; expected a finite number >= 0"),
    (dict(eps_high="wide"), TypeError, r"eps_high is 'wide'; expected a finite number >= 0"),
]


@pytest.mark.parametrize("f", [ppo_clip_loss, ppo_clip_grad])
@pytest.mark.parametrize(("change", "error", "message"), BAD)
def test_bad_input_is_named(f, change, error, message):
    good = dict(logp=LOGP, logp_old=LOGP, advantage=ONE, weight=ONE)
    with pytest.raises(error, match=message):
        f(**(good | change))


@pytest.mark.parametrize(("mask", "message"), [
    ([[0, 0]], r"the sum of mask is 0.0; expected a finite number > 0"),
    ([[0.5, 1]], r"mask\[0, 0\] is 0.5; expected 0 or 1"),
    ([1, 0], r"the shape of mask is \(2,\); expected \(1, 2\) like logp"),
])
def test_the_clip_fraction_names_a_bad_mask(mask, message):
    with pytest.raises(ValueError, match=message):
        clip_fraction(ONE, ONE, ONE, mask)


def test_a_negative_ratio_is_named():
    with pytest.raises(ValueError, match=r"ratio\[0\] is -1.0; expected a number in \[0, inf\]"):
        clip_ratio([-1.0])


@pytest.mark.parametrize("f", [value_loss, value_grad])
@pytest.mark.parametrize(("change", "message"), [
    (dict(values_old=ONE), r"clip is None; expected both values_old and clip, or neither"),
    (dict(clip=0.2), r"values_old is None; expected both values_old and clip, or neither"),
    (dict(values_old=ONE, clip=-1), r"clip is -1; expected a finite number >= 0"),
    (dict(values_old=[0.5, 0.5], clip=1), r"the shape of values_old is \(2,\); expected \(1, 2\) like values"),
    (dict(returns=[0.5, 0.5]), r"the shape of returns is \(2,\); expected \(1, 2\) like values"),
    (dict(weight=[[-1, 0]]), r"weight\[0, 0\] is -1.0; expected weights >= 0"),
])
def test_bad_input_to_the_value_loss_is_named(f, change, message):
    good = dict(values=ONE, returns=ONE, weight=ONE)
    with pytest.raises(ValueError, match=message):
        f(**(good | change))
