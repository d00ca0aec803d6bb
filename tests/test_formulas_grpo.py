"""Document 002, GRPO: three answers to one prompt, r = [10, 5, -10].

    step 3  mean 5/3 = 1.666667     printed as "1.67310", a typo: the next lines use 1.67
            std 10.41               ddof=1; ddof=0 gives 8.498
            A = .80, .32, -1.12     (10 - 1.67) / 10.41 and so on; they add to 0
    step 4  -A log pi at 1/3 each   .879594, .351838, -1.231431; they add to 0, their gradients do not

The table of variants in the module's docstring is read from there and executed.
"""
import math
import re
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas import grpo, ppo, weights
from rlscratch.formulas.distribution import expected_reward_grad, softmax
from rlscratch.formulas.grpo import (
    cispo_grad,
    cispo_loss,
    group_advantage,
    grpo_clip_grad,
    grpo_clip_loss,
    grpo_grad,
    grpo_loss,
    gspo_clipped_tokens,
    gspo_grad,
    gspo_loss,
)
from rlscratch.formulas.policy_gradient import leave_one_out_advantage, leave_one_out_baseline, reinforce_grad
from rlscratch.formulas.ppo import ppo_clip_grad, ppo_clip_loss, ratio
from strategies import arrays, batches_bt, eighths, logits_v, probs_of, rewards_g

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

ICE_CREAM = np.array([10.0, 5.0, -10.0])
PRINTED = [0.80, 0.32, -1.12]

scales, shifts = eighths(1 / 8, 8), eighths(-10, 10)
batches = batches_bt("logp", "logp_old", "logp_ref", "advantage")
ranges = st.sampled_from([(0.2, 0.2), (0.2, 0.28), (1.0, 4.0), (3e-4, 4e-4)])


@st.composite
def sequences(draw: st.DrawFn) -> tuple[np.ndarray, ...]:
    """logp, logp_old, one advantage a row, and a weight: rows may weigh nothing, tokens weigh 0, 1 or 2."""
    batch = draw(batches_bt("logp", "logp_old"))
    advantage = draw(arrays((len(batch["mask"]), 1)))
    weight = batch["mask"] * draw(arrays(batch["mask"].shape, st.sampled_from([0.0, 1.0, 2.0])))
    return batch["logp"], batch["logp_old"], advantage, weight


# ---------------------------------------------------------------- the document

def test_the_document_s_group_and_its_steps():
    assert_allclose(ICE_CREAM.mean(), 1.67, atol=0.005)
    assert abs(ICE_CREAM.mean() - 1.67310) > 0.005          # printed, and no rounding of 5/3
    assert_allclose(ICE_CREAM.std(ddof=1), 10.41, atol=0.005)
    assert_allclose(group_advantage(ICE_CREAM), PRINTED, atol=0.005)
    assert_allclose(group_advantage(ICE_CREAM), [0.800641, 0.320256, -1.120897], atol=5e-7)


def test_ddof_and_a_small_eps_are_choices_that_show_or_do_not():
    assert_allclose(group_advantage(ICE_CREAM, ddof=0), [0.980581, 0.392232, -1.372813], atol=5e-7)
    assert_allclose(group_advantage(ICE_CREAM, eps=1e-4), group_advantage(ICE_CREAM), atol=5e-5)
    assert_allclose(group_advantage(ICE_CREAM, eps=1.0), (ICE_CREAM - 5 / 3) / (ICE_CREAM.std(ddof=1) + 1))
    assert_allclose(group_advantage(ICE_CREAM, center_only=True), [25 / 3, 10 / 3, -35 / 3])


def test_the_document_s_loss_is_zero_at_the_uniform_policy_and_its_gradient_is_not():
    logp, advantage = np.full((3, 1), -np.log(3)), group_advantage(ICE_CREAM)[:, None]
    one_by_one = [grpo_loss(logp[i], advantage[i], [1]) for i in range(3)]
    assert_allclose(one_by_one, [0.879594, 0.351838, -1.231431], atol=5e-7)
    assert_allclose(grpo_loss(logp, advantage, 1), 0, atol=1e-15)
    anywhere = np.log([[.7], [.2], [.1]])                   # the paper's loss, at any policy that just sampled
    assert_allclose(grpo_clip_loss(anywhere, anywhere, anywhere, advantage, 1), 0, atol=1e-15)
    assert_allclose(grpo_grad(logp, advantage, 1)[:, 0], [-0.80, -0.32, 1.12], atol=0.005)


@pytest.mark.parametrize("planted", [
    group_advantage(ICE_CREAM, ddof=0), -group_advantage(ICE_CREAM), 1.01 * group_advantage(ICE_CREAM),
    ICE_CREAM / ICE_CREAM.std(ddof=1), group_advantage(ICE_CREAM, center_only=True), group_advantage(ICE_CREAM, eps=.1),
])
def test_the_document_s_numbers_catch_a_planted_error(planted):
    with pytest.raises(AssertionError):
        assert_allclose(planted, PRINTED, atol=0.005)


# ---------------------------------------------------------------- group advantages

@given(rewards_g(), st.sampled_from([0, 1]), st.sampled_from([0.0, 1e-4, 0.5]))
@example(ICE_CREAM, 1, 0.0)
@example(np.array([0.5, 0.5]), 1, 0.0)
def test_the_advantage_is_the_distance_from_the_mean_in_standard_deviations(rewards, ddof, eps):
    mean = sum(rewards) / len(rewards)
    std = math.sqrt(sum((r - mean) ** 2 for r in rewards) / (len(rewards) - ddof))
    by_hand = [0 if std == 0 else (r - mean) / (std + eps) for r in rewards]
    assert_allclose(group_advantage(rewards, ddof=ddof, eps=eps), by_hand, rtol=1e-9, atol=1e-12)
    assert_allclose(group_advantage(rewards, center_only=True), rewards - mean, atol=1e-12)


@given(rewards_g(), scales, shifts)
@example(ICE_CREAM, 1.0, 0.0)
@example(np.array([0.5, 0.5]), 1.0, 0.0)
def test_the_advantage_ignores_the_scale_and_the_origin_of_reward(rewards, scale, shift):
    advantage = group_advantage(rewards)
    assert_allclose(group_advantage(scale * rewards + shift), advantage, rtol=0, atol=1e-9)
    assert_allclose(advantage.mean(), 0, atol=1e-12)
    assert_allclose(advantage.std(ddof=1), 0 if np.ptp(rewards) == 0 else 1, atol=1e-12)


@given(rewards_g())
@example(ICE_CREAM)
def test_ddof_changes_the_length_of_the_advantage_and_nothing_else(rewards):
    size = len(rewards)
    assert_allclose(group_advantage(rewards, ddof=0), np.sqrt(size / (size - 1)) * group_advantage(rewards), rtol=1e-12)


@given(st.lists(rewards_g(3, 3), min_size=4, max_size=4))
def test_every_leading_axis_holds_groups_of_its_own(groups):
    stacked = np.reshape(groups, (2, 2, 3))
    for options in ({}, {"ddof": 0, "eps": 0.5}, {"center_only": True}):
        one_by_one = np.reshape([group_advantage(g, **options) for g in groups], (2, 2, 3))
        assert_allclose(group_advantage(stacked, **options), one_by_one, rtol=1e-15)


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, -1e9])
@pytest.mark.parametrize("options", [{}, {"ddof": 0}, {"eps": 1e-4}, {"center_only": True}])
def test_a_flat_group_gets_zero_even_where_the_floating_std_is_not(value, options):
    assert_array_equal(group_advantage([value] * 3, **options), np.zeros(3))


def test_flatness_is_about_the_rewards_and_not_about_their_std():
    assert 0 < np.std([.1, .1, .1], ddof=1) < 2e-17
    almost = [.1 + .2, .3]                                  # 5.6e-17 apart
    assert_allclose(group_advantage(almost), [2**-.5, -2**-.5], rtol=1e-6)
    assert_allclose(group_advantage(almost, eps=1e-4), [0, 0], atol=1e-12)


@pytest.mark.parametrize("unit", [1e-200, 1e-8, 1.0, 1e8, 1e200])
def test_the_advantage_holds_at_any_size_of_reward(unit):
    assert_allclose(group_advantage(unit * ICE_CREAM), group_advantage(ICE_CREAM), rtol=1e-14)


def test_flat_groups_can_be_refused():
    assert_array_equal(group_advantage(ICE_CREAM, zero_std="error"), group_advantage(ICE_CREAM))
    with pytest.raises(ValueError, match=r"rewards\[1\] is \[2.0, 2.0\]; expected rewards that differ within"):
        group_advantage([[1, 2], [2, 2]], zero_std="error")
    with pytest.raises(ValueError, match=r"rewards is \[2.0, 2.0\]; expected rewards that differ"):
        group_advantage([2, 2], zero_std="error", center_only=True)


@given(rewards_g(3, 5))
def test_the_leave_one_out_advantage_is_the_centred_one_times_g_over_g_minus_1(rewards):
    size = len(rewards)
    assert_allclose(rewards - leave_one_out_baseline(rewards),
                    size / (size - 1) * group_advantage(rewards, center_only=True), rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- gradients

def compare(loss: Callable, grad: Callable, logp: np.ndarray, *data: object) -> None:
    """A hand-derived gradient against both numerical witnesses."""
    ours = grad(logp, *data)
    assert_allclose(ours, complex_step(lambda x: loss(x, *data), logp), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: loss(x, *data), logp), rtol=1e-6, atol=1e-6)


@given(batches)
def test_the_document_s_loss_is_reinforce_by_another_name(batch):
    data = batch["advantage"], batch["mask"]
    compare(grpo_loss, grpo_grad, batch["logp"], *data)
    assert_array_equal(grpo_grad(batch["logp"], *data), reinforce_grad(batch["logp"], *data))


@given(batches, ranges, eighths(0, 2), st.sampled_from(["k3", "k2"]))
def test_the_paper_s_gradient_is_the_derivative_of_its_loss(batch, eps, beta, estimator):
    data = batch["logp_old"], batch["logp_ref"], batch["advantage"], batch["mask"] / 4
    compare(grpo_clip_loss, grpo_clip_grad, batch["logp"], *data, *eps, beta, estimator)


def test_a_penalty_that_weighs_nothing_may_be_as_large_as_it_likes():
    far = np.float32([[-200]]), np.float32([[-200]]), np.float32([[-1]]), [[1.0]], [[1.0]]
    assert grpo_clip_loss(*far, beta=0) == -1 and grpo_clip_grad(*far, beta=0).tolist() == [[-1.0]]
    with pytest.raises(ValueError, match=r"k3\[0, 0\] is"), np.errstate(over="ignore"):
        grpo_clip_grad(*far, beta=0.04)


def test_the_estimator_of_the_penalty_is_a_choice_that_shows():
    data = np.log([[.4]]), np.log([[.4]]), np.log([[.8]]), [[0]], [[1]]
    assert_allclose(grpo_clip_loss(*data, beta=1, estimator="k2"), np.log(2) ** 2 / 2)
    assert_allclose(grpo_clip_grad(*data, beta=1, estimator="k2"), [[-np.log(2)]])
    with pytest.raises(ValueError, match="estimator is 'k1'; expected one of 'k2', 'k3'"):
        grpo_clip_grad(*data, estimator="k1")


@given(sequences(), ranges)
@example((np.log([[.5, .8]]), np.log([[.25, .1]]), np.array([[-1.0]]), np.array([[1.0, 1.0]])), (3e-4, 4e-4))
def test_gspo_s_gradient_is_the_derivative_of_its_loss(batch, eps):
    compare(gspo_loss, gspo_grad, *batch, *eps)


@given(sequences(), ranges)
def test_gspo_s_clipped_tokens_are_those_without_a_gradient(batch, eps):
    logp, _, advantage, weight = batch
    dead = (gspo_grad(*batch, *eps) == 0) & (np.broadcast_to(advantage, logp.shape) != 0) & (weight > 0)
    assert_array_equal(gspo_clipped_tokens(*batch, *eps), dead)


@given(batches, ranges)
def test_cispo_s_gradient_is_the_derivative_of_its_loss_with_the_ratio_held(batch, eps):
    held = ratio(batch["logp"], batch["logp_old"])
    compare(cispo_loss, cispo_grad, batch["logp"], held, batch["advantage"], batch["mask"], *eps)


LOGP, OLD = np.log([[.35, .55, .6], [.3, .5, .9]]), np.log([[.5, .5, .5], [.5, .5, .8]])
REF, ADVANTAGE = np.log([[.5, .4, .6], [.2, .6, .7]]), np.array([[1.0], [-2.0]])
WEIGHT = np.array([[1, 2, 1], [3, 1, 0]]) / 8
CLIP = (OLD, REF, ADVANTAGE, WEIGHT, 0.2, 0.28, 0.5)
SEQUENCE = (OLD, ADVANTAGE, WEIGHT, 0.2, 0.28)
TRUNCATED = (np.exp(LOGP - OLD), ADVANTAGE, WEIGHT, 0.2, 0.1)
SHARE = WEIGHT / WEIGHT.sum(axis=1, keepdims=True)
KL = 0.5 * WEIGHT * (1 - np.exp(REF - LOGP))
PLANTED = {
    "paper: wrong sign": (grpo_clip_loss, CLIP, lambda x, *a: -grpo_clip_grad(x, *a)),
    "paper: factor 1.001": (grpo_clip_loss, CLIP, lambda x, *a: 1.001 * grpo_clip_grad(x, *a)),
    "paper: penalty subtracted": (grpo_clip_loss, CLIP, lambda x, *a: grpo_clip_grad(x, *a) - 2 * KL),
    "paper: penalty forgotten": (grpo_clip_loss, CLIP, lambda x, *a: grpo_clip_grad(x, *a[:-1], 0.0)),
    "paper: penalty not weighted": (grpo_clip_loss, CLIP, lambda x, *a: grpo_clip_grad(x, *a) + KL * (1 / 8 - WEIGHT)),
    "paper: policy and reference exchanged": (
        grpo_clip_loss, CLIP, lambda x, *a: grpo_clip_grad(x, *a) - KL + 0.5 * WEIGHT * np.expm1(x - REF)),
    "paper: k2 for k3": (grpo_clip_loss, CLIP, lambda x, *a: grpo_clip_grad(x, *a) - KL + 0.5 * WEIGHT * (x - REF)),
    "documents' form for the paper's": (grpo_clip_loss, CLIP, lambda x, *a: grpo_grad(x, ADVANTAGE, WEIGHT) + KL),
    "gspo: wrong sign": (gspo_loss, SEQUENCE, lambda x, *a: -gspo_grad(x, *a)),
    "gspo: no chain rule": (gspo_loss, SEQUENCE, lambda x, *a: gspo_grad(x, *a) / SHARE.max()),
    "gspo: token ratios": (gspo_loss, SEQUENCE, ppo_clip_grad),
    "gspo: one row late": (gspo_loss, SEQUENCE, lambda x, *a: np.roll(gspo_grad(x, *a), 1, axis=0)),
    "gspo: clip forgotten": (gspo_loss, (*SEQUENCE[:3], 1e-3, 1e-3), lambda x, *a: gspo_grad(x, *a[:3], 1.0, 9.0)),
    "cispo: dropped like ppo": (
        cispo_loss, TRUNCATED, lambda x, r, a, w, lo, hi: ppo_clip_grad(x, OLD, a, w, lo, hi)),
    "cispo: clip forgotten": (cispo_loss, TRUNCATED, lambda x, r, a, w, lo, hi: -w * r * a),
    "cispo: bounds exchanged": (cispo_loss, TRUNCATED, lambda x, r, a, w, lo, hi: cispo_grad(x, r, a, w, hi, lo)),
}


@pytest.mark.parametrize("error", PLANTED)
def test_the_comparison_catches_a_planted_error(error):
    loss, data, wrong = PLANTED[error]
    compare(loss, getattr(grpo, loss.__name__.replace("loss", "grad")), LOGP, *data)
    with pytest.raises(AssertionError):
        compare(loss, wrong, LOGP, *data)


# ---------------------------------------------------------------- how the losses hang together

@given(batches, ranges)
def test_without_penalty_the_paper_s_loss_is_ppo_s(batch, eps):
    old, ref, data = batch["logp_old"], batch["logp_ref"], (batch["advantage"], batch["mask"])
    assert grpo_clip_loss(batch["logp"], old, ref, *data, *eps, 0.0) == ppo_clip_loss(batch["logp"], old, *data, *eps)
    assert_array_equal(grpo_clip_grad(batch["logp"], old, ref, *data, *eps, 0.0),
                       ppo_clip_grad(batch["logp"], old, *data, *eps))


@given(sequences(), ranges, eighths(0, 2))
def test_on_the_first_step_all_losses_have_one_gradient(batch, eps, beta):
    logp, other, *data = batch
    documents = grpo_grad(logp, *data)
    assert_array_equal(grpo_clip_grad(logp, logp, other, *data, *eps, 0.0), documents)    # beta = 0
    assert_array_equal(grpo_clip_grad(logp, logp, logp, *data, *eps, beta), documents)    # pi = pi_ref
    assert_allclose(gspo_grad(logp, logp, *data, *eps), documents, rtol=1e-14)
    assert_array_equal(cispo_grad(logp, ratio(logp, logp), *data, *eps), documents)


def test_on_the_second_step_the_documents_loss_and_the_paper_s_part():
    pi, old = np.log([[.50], [.40], [.10]]), np.log([[.33]] * 3)
    advantage = group_advantage(ICE_CREAM)[:, None]
    assert_allclose(ratio(pi, old)[:, 0], [1.52, 1.21, .30], atol=0.005)
    assert_allclose(grpo_grad(pi, advantage, 1)[:, 0], [-.80, -.32, 1.12], atol=0.005)
    assert_array_equal(grpo_clip_grad(pi, old, old, advantage, 1, beta=0.0), np.zeros((3, 1)))
    # What is left is the penalty at the paper's .04: .04 (1 - .33 / pi) draws every word back to .33.
    assert_allclose(grpo_clip_grad(pi, old, old, advantage, 1)[:, 0], [.0136, .0070, -.0920], atol=1e-12)
    # Inside the range they differ by the ratio: 1.1 for a word that went from .30 to .33.
    assert_allclose(grpo_clip_grad(np.log([[.33]]), np.log([[.30]]), [[0]], [[.32]], 1, beta=0.0), [[-.352]])
    assert_allclose(grpo_grad(np.log([[.33]]), [[.32]], 1), [[-.32]])


@given(sequences(), ranges)
def test_one_token_sequences_make_gspo_ppo(batch, eps):
    logp, old, advantage, weight = (x[:, :1] for x in batch)
    assert_allclose(gspo_loss(logp, old, advantage, weight, *eps), ppo_clip_loss(logp, old, advantage, weight, *eps))
    assert_allclose(gspo_grad(logp, old, advantage, weight, *eps), ppo_clip_grad(logp, old, advantage, weight, *eps))


def test_gspo_s_ratio_is_the_geometric_mean_and_equal_for_all_tokens():
    logp, old = np.log([[.5, .8, .9]]), np.log([[.25, .1, .3]])       # ratios 2, 8, and 3 with weight 0
    assert_allclose(gspo_loss(logp, old, [[-1]], [[.5, .5, 0]]), 4)
    assert_allclose(gspo_grad(logp, old, [[-1]], [[.5, .5, 0]]), [[2, 2, 0]])
    assert_allclose(gspo_loss(logp, old, [[-1]], [[.25, .75, 0]]), 2**.25 * 8**.75)
    assert_allclose(gspo_loss(logp, old, [[1]], [[.5, .5, 0]]), -1.0004)
    assert_array_equal(gspo_grad(logp, old, [[1]], [[.5, .5, 0]]), np.zeros((1, 3)))


def test_gspo_passes_over_rows_and_tokens_that_weigh_nothing():
    logp, old = np.log([[.5, .8], [.3, .9]]), np.log([[.25, .1], [.3, .1]])
    one = gspo_loss(logp[:1], old[:1], [[-1]], [[.5, .5]])
    assert gspo_loss(logp, old, [[-1], [5]], [[.5, .5], [0, 0]]) == one
    assert_array_equal(gspo_grad(logp, old, [[-1], [5]], [[.5, .5], [0, 0]])[1], [0, 0])
    assert gspo_loss(logp, old, [[-1, -1], [5, 7]], [[.5, .5], [0, 0]]) == one     # what does not count may differ,
    late = [[0, .5], [0, .5]]                                                      # a prompt before the answer too
    assert gspo_loss(logp, old, [[5, -1], [0, -1]], late) == gspo_loss(logp, old, [[-1], [-1]], late)
    assert gspo_loss(logp, old, [[-1], [5]], 0) == 0


@pytest.mark.parametrize(("step", "advantage"), [(1 / 4, 2.0), (-1 / 4, -2.0)])
def test_gspo_on_a_bound_takes_the_slope_from_inside(step, advantage):
    eps = abs(np.exp(step).item() - 1)
    old = [-1, -1]
    at = gspo_grad([step - 1, step - 1], old, [advantage], [1, 1], eps, eps)
    assert_allclose(at, [-advantage * np.exp(step)] * 2)
    beyond = np.array([step, step]) * (1 + 1e-9) - 1
    assert_array_equal(gspo_grad(beyond, old, [advantage], [1, 1], eps, eps), [0, 0])


def test_cispo_keeps_the_tokens_that_ppo_drops():
    logp, advantage = np.log([[.8, .1]]), np.array([[1.0, -1.0]])
    rho = ratio(logp, np.log([[.1, .5]]))                   # 8 and .2
    assert_array_equal(ppo_clip_grad(logp, np.log([[.1, .5]]), advantage, 1, 0.2, 4.0), [[0, 0]])
    assert_allclose(cispo_grad(logp, rho, advantage, 1, 0.2, 4.0), [[-5, .8]])
    assert_allclose(cispo_grad(logp, rho, advantage, 1, 1.0, 4.0), [[-5, .2]])      # no lower bound


def test_float32_stays_float32_and_losses_are_python_floats():
    logp, data = np.zeros((1, 2), np.float32), (np.ones((1, 1)), np.ones((1, 2)))
    old = np.full((1, 2), -.25)
    assert group_advantage(np.float32([1, 2, 4])).dtype == np.float32
    assert group_advantage(np.float32([1, 2, 4]), eps=1e-4, center_only=True).dtype == np.float32
    for grad in (grpo_grad(logp, *data), grpo_clip_grad(logp, old, old, *data), gspo_grad(logp, old, *data),
                 cispo_grad(logp, np.exp(old), *data, 1, 4)):
        assert grad.dtype == np.float32
        assert grad.shape == (1, 2)
    for loss in (grpo_loss(logp, *data), grpo_clip_loss(logp, old, old, *data), gspo_loss(logp, old, *data),
                 cispo_loss(logp, np.exp(old), *data, 1, 4)):
        assert type(loss) is float


# ---------------------------------------------------------------- the table of variants

def table() -> dict[str, list[str]]:
    """variant -> the expressions for A, w and the loss, as the docstring has them."""
    lines = [re.split(r"  +", line.strip()) for line in grpo.__doc__.splitlines()]
    start = lines.index(["variant", "advantage A", "weight w", "loss"]) + 1
    return {row[0]: row[1:] for row in lines[start:lines.index([""], start)]}


GROUP = {
    "r": np.array([[1.0, 0.0, 3.0]]), "n": 4,
    "mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0.]]),
    "logp": np.array([[-1, -2, -.5, -1], [-1, -3, 0, 0], [-.25, -1, -2, 0]]),
    "old": np.array([[-1.25, -1, -.75, -1], [-1, -3.125, 0, 0], [-.5, -3, -2.25, 0]]),
    "ref": np.array([[-1, -1, -1, -1], [-2, -2, 0, 0], [-.5, -.5, -.5, 0]]),
}


def executed(variant: str, logp: np.ndarray, kind: str) -> float | np.ndarray:
    names = vars(weights) | vars(ppo) | vars(grpo) | {"leave_one_out_advantage": leave_one_out_advantage} | GROUP
    advantage, weight, loss = table()[variant]
    names |= {"A": eval(advantage, names).reshape(-1, 1), "w": eval(weight, names), "logp": logp,
              "rho": ratio(GROUP["logp"], GROUP["old"])}
    return eval(loss.replace("_loss(", f"_{kind}("), names)


def by_the_paper(variant: str, logp: np.ndarray) -> float:
    """The variant's objective, token by token, as its paper writes it; to be minimised."""
    r = GROUP["r"][0].tolist()
    size, lengths = len(r), [4, 2, 3]
    mean = sum(r) / size
    std = math.sqrt(sum((x - mean) ** 2 for x in r) / (size - 1))
    total = 0.0
    for i, length in enumerate(lengths):
        A = (r[i] - mean) / std
        change = [logp[i, t] - GROUP["old"][i, t] for t in range(length)]
        if variant == "GSPO":
            s = math.exp(sum(change) / length)
            total -= min(s * A, min(max(s, 1 - 3e-4), 1 + 4e-4) * A) / size
            continue
        for t in range(length):
            rho, x, d = math.exp(change[t]), logp[i, t], GROUP["ref"][i, t] - logp[i, t]
            centred = r[i] - mean
            others = r[i] - (sum(r) - r[i]) / (size - 1)
            held = min(math.exp(GROUP["logp"][i, t] - GROUP["old"][i, t]), 5)
            total -= {
                "document": A * x / length / size,
                "GRPO": (min(rho * A, min(max(rho, .8), 1.2) * A) - .04 * (math.exp(d) - d - 1)) / length / size,
                "Dr. GRPO": min(rho * centred, min(max(rho, .8), 1.2) * centred) / 4 / size,
                "DAPO": min(rho * A, min(max(rho, .8), 1.28) * A) / sum(lengths),
                "RLOO": others * x / size,
                "CISPO": held * A * x / sum(lengths),
            }[variant]
    return total


def test_the_table_lists_the_variants_that_are_tested():
    assert list(table()) == ["document", "GRPO", "Dr. GRPO", "DAPO", "RLOO", "GSPO", "CISPO"]


@pytest.mark.parametrize("variant", table())
def test_each_row_of_the_table_is_its_paper_s_loss_and_gradient(variant):
    logp = GROUP["logp"]
    assert_allclose(executed(variant, logp, "loss"), by_the_paper(variant, logp), rtol=1e-12)
    assert_allclose(executed(variant, logp, "grad"), central_difference(lambda x: by_the_paper(variant, x), logp),
                    rtol=1e-6, atol=1e-9)


def test_no_two_rows_of_the_table_are_the_same_loss():
    values = [executed(variant, GROUP["logp"], "loss") for variant in table()]
    assert min(abs(a - b) for i, a in enumerate(values) for b in values[:i]) > 1e-3


# ---------------------------------------------------------------- expectations, by enumeration

def expected_step(logits: np.ndarray, rewards: np.ndarray, size: int, advantage: Callable) -> np.ndarray:
    """Minus the mean gradient in the logits over all groups of `size` one-token answers."""
    policy = softmax(logits)
    step = np.zeros(len(policy))
    for answers in product(range(len(policy)), repeat=size):
        chosen = list(answers)
        dlogp = grpo_grad(np.log(policy[chosen])[:, None], advantage(rewards[chosen])[:, None], 1 / size)
        step -= policy[chosen].prod() * dlogp[:, 0] @ (np.eye(len(policy))[chosen] - policy)
    return step


@given(logits_v(3, 3, low=-2, high=2), arrays((3,)), st.integers(2, 4))
@example(np.zeros(3), ICE_CREAM, 3)
def test_centring_shortens_the_expected_step_by_1_minus_1_over_g(logits, rewards, size):
    step = expected_step(logits, rewards, size, lambda r: group_advantage(r, center_only=True))
    assert_allclose(step, (1 - 1 / size) * expected_reward_grad(logits, rewards), rtol=1e-9, atol=1e-12)


@given(logits_v(3, 3, low=-2, high=2), arrays((3,)), st.integers(2, 4))
@example(np.zeros(3), ICE_CREAM, 3)
def test_leaving_one_out_makes_the_expected_step_exact(logits, rewards, size):
    step = expected_step(logits, rewards, size, lambda r: r - leave_one_out_baseline(r))
    assert_allclose(step, expected_reward_grad(logits, rewards), rtol=1e-9, atol=1e-12)


def test_dividing_by_the_std_turns_the_expected_step():
    uniform = np.zeros(3)
    exact = expected_reward_grad(uniform, ICE_CREAM)
    assert_allclose(exact, [2.777778, 1.111111, -3.888889], atol=5e-7)
    step = expected_step(uniform, ICE_CREAM, 2, group_advantage)
    assert_allclose(step, [2**.5 / 9, 0, -2**.5 / 9], atol=1e-15)
    # Pairs show the order of the rewards only, so "hockey" does not move however good it becomes.
    assert_allclose(expected_step(uniform, np.array([10, 9.9, -10]), 2, group_advantage), step, atol=1e-12)
    # Larger groups see more, and still turn it: no factor makes the steps equal.
    for size, cosine in ((2, 0.9608), (3, 0.9808), (4, 0.9911)):
        turned = expected_step(uniform, ICE_CREAM, size, group_advantage)
        assert_allclose(turned @ exact / np.linalg.norm(turned) / np.linalg.norm(exact), cosine, atol=5e-5)


@given(probs_of(2), st.integers(2, 4))
def test_with_two_answers_the_std_changes_the_length_of_the_step_alone(policy, size):
    rewards = np.array([1.0, 0.0])
    step = expected_step(np.log(policy), rewards, size, group_advantage)
    exact = expected_reward_grad(np.log(policy), rewards)
    assert step[0] > 0
    assert_allclose(step / step[0], exact / exact[0], rtol=1e-9)


# ---------------------------------------------------------------- bad input

@pytest.mark.parametrize(("arguments", "error", "message"), [
    (dict(rewards=[1]), ValueError, r"the shape of rewards is \(1,\); expected at least 2 answers on the last axis"),
    (dict(rewards=[[1], [2]], ddof=0), ValueError, r"the shape of rewards is \(2, 1\); expected at least 2 answers"),
    (dict(rewards=3.0), ValueError, r"the shape of rewards is \(\); expected at least 1 dimension"),
    (dict(rewards=[1, np.nan]), ValueError, r"rewards\[1\] is nan; expected finite numbers"),
    (dict(rewards=[True, False]), TypeError, r"rewards is .*; expected an array of real or complex numbers"),
    (dict(rewards=[1, 2], ddof=2), ValueError, r"ddof is 2; expected an integer in \[0, 1\]"),
    (dict(rewards=[1, 2], ddof=1.0), TypeError, r"ddof is 1.0; expected an integer in \[0, 1\]"),
    (dict(rewards=[1, 2], eps=-1e-4), ValueError, r"eps is -0.0001; expected a finite number >= 0"),
    (dict(rewards=[1, 2], zero_std="nan"), ValueError, r"zero_std is 'nan'; expected one of 'zero', 'error'"),
    (dict(rewards=[1, 2], center_only=1), ValueError, r"center_only is 1; expected one of False, True"),
])
def test_bad_input_to_the_advantage_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        group_advantage(**arguments)


ONE, LIKELY = [[0.5, 0.5]], [[-0.5, -0.5]]
OBJECTIVES = {
    grpo_loss: {}, grpo_grad: {}, grpo_clip_loss: dict(logp_old=LIKELY, logp_ref=LIKELY),
    grpo_clip_grad: dict(logp_old=LIKELY, logp_ref=LIKELY),
    gspo_loss: dict(logp_old=LIKELY), gspo_grad: dict(logp_old=LIKELY),
    cispo_loss: dict(ratio=ONE, eps_low=1, eps_high=4), cispo_grad: dict(ratio=ONE, eps_low=1, eps_high=4),
}


@pytest.mark.parametrize("f", OBJECTIVES)
@pytest.mark.parametrize(("change", "message"), [
    (dict(logp=[[np.inf, 0]]), r"logp\[0, 0\] is inf; expected finite numbers"),
    (dict(logp=[[-1, 0.4]]), r"logp\[0, 1\] is 0.4; expected a log-probability, at most 0 \(take the log of a prob"),
    (dict(advantage=[1, 1]), r"the shape of advantage is \(2,\); expected \(1, 2\) like logp"),
    (dict(weight=[[1, -1]]), r"weight\[0, 1\] is -1.0; expected weights >= 0"),
])
def test_bad_input_to_any_loss_is_named(f, change, message):
    good = dict(logp=LIKELY, advantage=[[1]], weight=ONE) | OBJECTIVES[f]
    with pytest.raises(ValueError, match=message):
        f(**(good | change))


@pytest.mark.parametrize(("pair", "change", "message"), [
    ((grpo_clip_loss, grpo_clip_grad), dict(beta=-1), r"beta is -1; expected a finite number >= 0"),
    ((grpo_clip_loss, grpo_clip_grad), dict(eps_low=2), r"eps_low is 2; expected a number in \[0, 1\]"),
    ((grpo_clip_loss, grpo_clip_grad), dict(logp_ref=[0, 0]), r"the shape of logp_ref is \(2,\); expected \(1, 2\)"),
    ((grpo_clip_loss,), dict(logp=[[0, -900]]), r"the penalty k3\[0, 1\] is inf; expected finite numbers"),
    ((grpo_clip_grad,), dict(logp=[[0, -900]]), r"the derivative of k3\[0, 1\] is -inf; expected finite numbers"),
    ((gspo_loss, gspo_grad), dict(advantage=[[1, 2]]), r"advantage\[0, 1\] is 2.0; expected 1.0, as for the other"),
    ((grpo_clip_loss, grpo_clip_grad), dict(logp_old=[[0, 0.4]]), r"logp_old\[0, 1\] is 0.4; expected a log-probab"),
    ((grpo_clip_loss, grpo_clip_grad), dict(logp_ref=[[0, 0.4]]), r"logp_ref\[0, 1\] is 0.4; expected a log-probab"),
    ((gspo_loss, gspo_grad), dict(logp_old=[[0, 0.4]]), r"logp_old\[0, 1\] is 0.4; expected a log-probability"),
    ((gspo_loss, gspo_grad), dict(logp=-0.5, logp_old=0, advantage=1, weight=1), r"the shape of logp is \(\); exp"),
    ((gspo_loss, gspo_grad), dict(eps_high=-1), r"eps_high is -1; expected a finite number >= 0"),
    ((cispo_loss, cispo_grad), dict(ratio=[[1, -2]]), r"ratio\[0, 1\] is -2.0; expected a number in \[0, inf\]"),
    ((cispo_loss, cispo_grad), dict(eps_low=1.5), r"eps_low is 1.5; expected a number in \[0, 1\]"),
])
def test_bad_input_to_one_loss_is_named(pair, change, message):
    for f in pair:
        good = dict(logp=LIKELY, advantage=[[1]], weight=ONE) | OBJECTIVES[f]
        with pytest.raises(ValueError, match=message):
            f(**(good | change))


# ---------------------------------------------------------------- ranks

@given(rewards_g())
@example(np.array([2.0, 2.0, 2.0]))
def test_ranks_know_the_order_alone(r):
    A = grpo.rank_advantage(r)
    assert_allclose(A.sum(), 0, atol=1e-12)
    assert_allclose(grpo.rank_advantage(np.exp(r / 4)), A, atol=1e-12)
    assert_allclose(grpo.rank_advantage(-r), -A, atol=1e-12)
    by_hand = [sum(int(x > y) - int(x < y) for y in r) / (len(r) - 1) for x in r]
    assert_allclose(A, by_hand, atol=1e-12)
    assert_allclose(grpo.rank_advantage(np.stack([r, -r])), [A, -A], atol=1e-12)


def test_of_two_answers_ranks_and_z_scores_say_the_same_up_to_a_factor():
    assert_allclose(grpo.group_advantage([7.0, 3.0]), grpo.rank_advantage([7.0, 3.0]) / np.sqrt(2))


# ---------------------------------------------------------------- document 002's claims about noise

def signal_over_noise(advantage, noise):
    """|E g| / sd of a group of four of the document's answers, equally likely: over all groups and all noise."""
    one = [(a, r + v, q / 3) for a, r in enumerate((10.0, 5.0, -10.0)) for v, q in noise.items()]
    answers, rewards, chances = np.array(list(product(one, repeat=4))).transpose(2, 0, 1)
    g = (advantage(rewards)[..., None] * (np.eye(3)[answers.astype(int)] - 1 / 3)).mean(axis=1)
    chance = chances.prod(axis=1)
    mean = chance @ g
    return np.sqrt(mean @ mean / (chance @ (g**2).sum(axis=1) - mean @ mean))


def by_critic(error):
    return lambda rewards: rewards - (5 / 3 + error)


def test_a_group_s_scale_helps_against_wild_rewards_and_not_against_ordinary_noise():
    ordinary = {-10 * 3**0.5: 1 / 6, 0: 2 / 3, 10 * 3**0.5: 1 / 6}     # four moments of a Gaussian of sd 10
    wild = {-100: 0.025, 0: 0.95, 100: 0.025}
    of = {name: [signal_over_noise(f, noise) for f in (by_critic(0), grpo.group_advantage, grpo.rank_advantage)]
          for name, noise in (("ordinary", ordinary), ("wild", wild))}
    assert_allclose(of["ordinary"], [1.030, 0.824, 0.835], atol=0.0005)
    assert_allclose(of["wild"], [0.519, 0.941, 1.091], atol=0.0005)


def test_a_critic_off_by_more_than_the_spread_of_rewards_is_worse_than_the_group():
    none = {0: 1.0}
    group = signal_over_noise(grpo.group_advantage, none)
    assert_allclose([signal_over_noise(by_critic(e), none) for e in (0, 5, 10)], [2.0, 1.537, 1.030], atol=0.0005)
    assert signal_over_noise(by_critic(7), none) > group > signal_over_noise(by_critic(9), none)
