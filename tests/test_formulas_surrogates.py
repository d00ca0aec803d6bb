"""Surrogates beyond PPO's clip, by hand.

Dual clip, ratio 8 and A = -1: PPO costs 8, the ceiling 3.  GMPO, ratios 1 and 8 with A = 1: exp((0 + .4)/2).
SAPO on policy: (4/tau)(1/2) A.  GSPO-token, ratios 2 and 8: s = 4 for both tokens, whatever their advantages.
"""
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.expectations import sequences
from rlscratch.formulas import grpo, ppo, surrogates, weights
from rlscratch.formulas.distribution import entropy, softmax
from rlscratch.formulas.policy_gradient import reinforce_grad
from rlscratch.formulas.returns import rewards_to_go
from rlscratch.formulas.surrogates import (
    dual_clip_grad,
    dual_clip_loss,
    gmpo_grad,
    gmpo_loss,
    gspo_token_grad,
    gspo_token_loss,
    sapo_grad,
    sapo_loss,
)
from strategies import arrays, batches_bt, eighths

batches = batches_bt("logp", "logp_old", "advantage")
LOGP, OLD = np.log([[.35, .55, .62], [.3, .5, .9]]), np.log([[.5, .25, .5], [.05, .5, .8]])
ADVANTAGE, WEIGHT = np.array([[1.0], [-2.0]]), np.array([[1, 2, 1], [3, 1, 0]]) / 8
HELD = LOGP - .0625
CASES = {
    "dual_clip": (LOGP, OLD, ADVANTAGE, WEIGHT), "gmpo": (LOGP, OLD, ADVANTAGE, WEIGHT, .1, .3),
    "sapo": (LOGP, OLD, ADVANTAGE, WEIGHT, 1.5, .75), "gspo_token": (LOGP, HELD, OLD, ADVANTAGE, WEIGHT, .2, .3),
}


def pair(name):
    return getattr(surrogates, f"{name}_loss"), getattr(surrogates, f"{name}_grad")


def by_the_definition(name, logp, *data):
    """The loss, token by token, as its equation stands."""
    if name == "gspo_token":
        held, old, A, w, low, high = data
    else:
        old, A, w, *rest = data
    total = 0.0
    for i in range(len(logp)):
        W = w[i].sum()
        gaps = (held if name == "gspo_token" else logp)[i] - old[i]
        s = math.exp((w[i] * gaps).sum() / W)
        if name == "gmpo":
            low, high = rest
            kept = [min(g, high) if A[i, 0] > 0 else max(g, -low) for g in gaps]
            total -= W * A[i, 0] * math.exp((w[i] * kept).sum() / W)
            continue
        for t in range(logp.shape[1]):
            a, rho = A[i, 0], math.exp(logp[i, t] - old[i, t])
            if name == "dual_clip":
                smaller = min(rho * a, min(max(rho, .8), 1.2) * a)
                total -= w[i, t] * (max(smaller, 3 * a) if a < 0 else smaller)
            elif name == "sapo":
                tau = rest[0] if a > 0 else rest[1]
                total -= w[i, t] * a * 4 / tau / (1 + math.exp(-tau * (rho - 1)))
            else:
                moved = s * math.exp(logp[i, t] - held[i, t])
                total -= w[i, t] * min(moved * a, min(max(moved, 1 - low), 1 + high) * a)
    return total


@pytest.mark.parametrize("name", CASES)
def test_each_loss_is_its_equation(name):
    assert_allclose(pair(name)[0](*CASES[name]), by_the_definition(name, *CASES[name]), rtol=1e-12)


def compare(name, grad, logp, *data):
    loss, _ = pair(name)
    ours = grad(logp, *data)
    assert_allclose(ours, complex_step(lambda x: loss(x, *data), logp), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: loss(x, *data), logp), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_each_gradient_is_the_derivative_of_its_loss(name):
    compare(name, pair(name)[1], *CASES[name])


PLANTED = {
    "dual clip: no ceiling": ("dual_clip", ppo.ppo_clip_grad),
    "dual clip: every A < 0 dead": ("dual_clip", lambda *a: np.where(ADVANTAGE < 0, 0, dual_clip_grad(*a))),
    "gmpo: gspo's clip": ("gmpo", lambda *a: grpo.gspo_grad(*a)),
    "gmpo: both sides clipped": ("gmpo", lambda x, *a: np.where(np.abs(x - OLD) > .1, 0, gmpo_grad(x, *a))),
    "sapo: without 4": ("sapo", lambda *a: sapo_grad(*a) / 4),
    "sapo: temperatures exchanged": ("sapo", lambda *a: sapo_grad(*a[:4], a[5], a[4])),
    "gspo-token: token ratios": ("gspo_token", lambda x, held, *a: ppo.ppo_clip_grad(x, *a)),
    "a sign": ("sapo", lambda *a: -sapo_grad(*a)),
    "a factor 1.001": ("gmpo", lambda *a: 1.001 * gmpo_grad(*a)),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_caught(error):
    name, wrong = PLANTED[error]
    with pytest.raises(AssertionError):
        compare(name, wrong, *CASES[name])


@given(batches)
def test_on_policy_every_surrogate_has_reinforce_s_gradient(batch):
    logp, w, A = batch["logp"], batch["mask"], batch["advantage"][:, :1]
    exact = reinforce_grad(logp, A, w)
    for grad in (dual_clip_grad, gmpo_grad, sapo_grad, lambda x, *a: gspo_token_grad(x, x, *a)):
        assert_allclose(grad(logp, logp, A, w), exact, atol=1e-12)


@given(batches, st.sampled_from([(.2, .2), (.2, .28)]))
def test_the_dual_clip_is_ppo_s_below_its_ceiling_and_flat_above(batch, eps):
    logp, old, A, w = batch["logp"], batch["logp_old"], batch["advantage"], batch["mask"]
    above = (np.exp(logp - old) > 3) & (A < 0)
    assert_array_equal(dual_clip_grad(logp, old, A, w, *eps),
                       np.where(above, 0, ppo.ppo_clip_grad(logp, old, A, w, *eps)))
    cut = np.where(A < 0, np.minimum(logp - old, np.log(3)), logp - old)            # as who cuts the ratio first
    assert_allclose(dual_clip_loss(logp, old, A, w, *eps), ppo.surrogate_loss(np.exp(cut), A, w, *eps), rtol=1e-12)


def test_on_its_kinks_each_takes_the_slope_from_inside():
    assert_array_equal(dual_clip_grad([0], np.log([1 / 3]), [-1], [1]) < 0, [False])
    assert dual_clip_grad([-1.0], [-1.0 - np.log(3) + 1e-12], [-1], [1])[0] > 0
    assert gmpo_grad([[-.25, -.5]], [[-.5, -.5]], [[1]], [[.5, .5]], .25, .25)[0, 0] != 0
    assert gmpo_grad([[-.25 + 1e-9, -.5]], [[-.5, -.5]], [[1]], [[.5, .5]], .25, .25)[0, 0] == 0


@given(batches)
def test_gspo_token_with_one_advantage_a_row_has_gspo_s_gradient(batch):
    logp, old, A, w = batch["logp"], batch["logp_old"], batch["advantage"][:, :1], batch["mask"]
    assert_allclose(gspo_token_grad(logp, logp, old, A, w), grpo.gspo_grad(logp, old, A, w), atol=1e-12)
    assert_allclose(gspo_token_loss(logp, logp, old, A, w), grpo.gspo_loss(logp, old, A, w), atol=1e-12)


def test_luspo_is_gspo_with_the_weights_of_a_sequence_sum():
    mask = np.array([[1, 1, 1], [1, 0, 0.]])
    s = np.exp(((LOGP - OLD) * mask).sum(axis=1) / mask.sum(axis=1))
    by_the_paper = -np.mean([3 * min(s[0], 1.0004), 1 * -2 * max(s[1], 1 - 3e-4)])
    assert_allclose(grpo.gspo_loss(LOGP * mask, OLD * mask, ADVANTAGE, weights.sequence_sum(mask)), by_the_paper)


@given(arrays((3, 2), eighths(-2, 2)))
def test_the_entropy_of_answers_needs_the_entropy_to_go(logits):
    answers = sequences.all_answers(2, 2)
    own = sequences.logp(logits, answers)
    p = np.exp(own.sum(axis=1))

    def of_answers(z):
        row = sequences.logp(z, answers).sum(axis=1)
        return -(np.exp(row) * row).sum()

    exact = central_difference(of_answers, logits)
    seed = reinforce_grad(own, -rewards_to_go(own), p[:, None] * answers.mask)
    to_go = sequences._added(answers, np.arange(4)[None], -seed[None], logits)[0]
    assert_allclose(to_go, exact, atol=1e-7)
    reach = np.r_[1, softmax(logits[0])]
    by_token = np.array([central_difference(lambda z: entropy(z).item(), row) for row in logits]) * reach[:, None]
    missing = np.zeros((3, 2))
    missing[0] = central_difference(lambda z: softmax(z) @ entropy(logits[1:]), logits[0])
    assert_allclose(by_token + missing, exact, atol=1e-7)                      # (10): two sums


@pytest.mark.parametrize(("call", "message"), [
    (lambda: dual_clip_loss([-1], [-1], [1], [1], ceiling=1), "ceiling is 1; expected a number >= 1 \\+ eps_high"),
    (lambda: gmpo_loss([[-1, -1]], [[-1, -1]], [[1, 2]], [[1, 1]]), r"advantage\[0, 1\] is 2.0; expected 1.0, as for"),
    (lambda: gmpo_loss([[-1]], [[-1]], [[1]], [[1]], -1), "eps_low is -1; expected a finite number >= 0"),
    (lambda: sapo_loss([-1], [-1], [1], [1], tau_neg=0), "tau_neg is 0; expected a finite number > 0"),
    (lambda: gspo_token_loss([[-1]], [[.5]], [[-1]], [[1]], [[1]]), r"logp\[0, 0\] is 0.5; expected a log-prob"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_float32_stays_float32():
    logp = np.full((1, 2), -1, np.float32)
    for name in CASES:
        extra = (logp,) if name == "gspo_token" else ()
        assert pair(name)[1](logp, *extra, logp, [[1]], [[1, 1]]).dtype == np.float32
