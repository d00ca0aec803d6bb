"""The sampler is not the trainer, by hand.

Two tokens with ratios 2 and 1/2: token weights 2, 1/2; prefix 2, 1; sequence 1, 1; geometric 1, 1.
rho k1 at ratio 2 with the reference at the sampler: 2 log 2, and its derivative 2 log 2 + 2.

Means are over every answer there is, drawn from the sampler.  The table of the module's docstring is read and executed.
"""
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.expectations import sequences
from rlscratch.formulas import off_policy
from rlscratch.formulas.distribution import log_softmax, softmax
from rlscratch.formulas.kl import kl, kl_k1_grad, kl_k2_grad, kl_k3_grad
from rlscratch.formulas.off_policy import bounded, importance_weight, weighted_kl_grad, weighted_kl_loss
from rlscratch.formulas.policy_gradient import reinforce_grad
from strategies import arrays, batches_bt, eighths

ANSWERS = sequences.all_answers(2, 2)
PI, MU = np.array([[1.0, 0], [0, 0], [2, 0]]), np.zeros((3, 2))
REWARDS = np.array([1.0, 0, 0, 1])
grids = st.tuples(*[arrays((3, 2), eighths(-2, 2))] * 2, arrays((4,)))


def corrected(level, high=np.inf):
    """REINFORCE with an importance weight as data; a function of groups."""
    def loss_grad(groups):
        iw = bounded(importance_weight(groups.logp, groups.logp_old, groups.mask, level), high=high)
        return reinforce_grad(groups.logp, iw * groups.reward[..., None], groups.weight)
    return loss_grad


def step(pi, mu, rewards, loss_grad):
    """Mean and variance of one step on one answer drawn from mu."""
    return sequences.expectation_and_variance(pi, ANSWERS, rewards, 1, loss_grad, logits_old=mu)


def after(h, mu, rewards):
    """Q_mu(h, a), (2,): the mean reward where a follows prefix h and mu goes on."""
    if h > 0:
        return rewards[2 * (h - 1):2 * h]
    return (softmax(mu[1:]) * rewards.reshape(2, 2)).sum(axis=1)


def of_prefixes(weigher, pi, mu, rewards):
    """sum_h weigher(h) sum_a grad pi(a|h) Q_mu(h, a), by (6) and (7)."""
    reach = np.r_[1, softmax(weigher[0])]
    p = softmax(pi)
    q = np.array([after(h, mu, rewards) for h in range(3)])
    return reach[:, None] * p * (q - (p * q).sum(axis=1, keepdims=True))


# ---------------------------------------------------------------- weights

def test_the_four_weights_by_hand():
    logp, old = np.log([[.8, .1, 1]]), np.log([[.4, .2, 1]])
    for level, expected in {"none": [1, 1, 0], "token": [2, .5, 0], "prefix": [2, 1, 0], "sequence": [1, 1, 0],
                            "geometric": [1, 1, 0]}.items():
        assert_allclose(importance_weight(logp, old, [[1, 1, 0]], level), [expected])
    assert_allclose(importance_weight(np.log([[.8, .8]]), np.log([[.2, .4]]), [[1, 1]], "geometric"), [[8**.5] * 2])
    assert_array_equal(importance_weight([[-1.0]], [[-2.0]], [[0]]), [[0]])


@given(grids)
@example((PI, MU, REWARDS))
def test_only_the_sequence_weight_is_unbiased_and_the_others_have_their_means(case):
    pi, mu, rewards = case
    exact = sequences.objective_grad(pi, ANSWERS, rewards)
    assert_allclose(step(pi, mu, rewards, corrected("sequence"))[0], exact, rtol=1e-9, atol=1e-12)
    assert_allclose(step(pi, mu, rewards, corrected("prefix"))[0], of_prefixes(pi, pi, mu, rewards), atol=1e-11)
    assert_allclose(step(pi, mu, rewards, corrected("token"))[0], of_prefixes(mu, pi, mu, rewards), atol=1e-11)
    for level in off_policy.LEVELS:                                       # where mu is pi all are one
        assert_allclose(step(pi, pi, rewards, corrected(level))[0], exact, rtol=1e-9, atol=1e-12)


def test_a_weight_that_is_not_the_sequence_s_is_caught():
    exact = sequences.objective_grad(PI, ANSWERS, REWARDS)
    for wrong in ("none", "token", "prefix", "geometric"):
        with pytest.raises(AssertionError):
            assert_allclose(step(PI, MU, REWARDS, corrected(wrong))[0], exact, rtol=1e-3)


def test_a_reward_of_a_token_needs_the_ratios_up_to_it_alone():
    r = np.array([[1.0, 2], [1, -1], [3, .5], [3, 4]])                  # of each token; the first's by the first alone
    own, old = (sequences.logp(z, ANSWERS) for z in (PI, MU))
    P = importance_weight(own, old, ANSWERS.mask, "prefix")
    coefficient = np.cumsum((P * r)[:, ::-1], axis=1)[:, ::-1]            # sum over u >= t of P_u r_u
    scores = np.eye(2)[ANSWERS.tokens] - softmax(PI)[ANSWERS.prefix]
    mean = np.zeros((3, 2))
    np.add.at(mean, ANSWERS.prefix, (np.exp(old.sum(axis=1))[:, None] * coefficient)[..., None] * scores)
    assert_allclose(mean, sequences.objective_grad(PI, ANSWERS, r.sum(axis=1)), atol=1e-12)


def table():
    """weight -> bias, cosine, variance, as the docstring has them."""
    lines = off_policy.__doc__.splitlines()
    first = next(i for i, line in enumerate(lines) if "|bias|" in line) + 1
    rows = [re.split(r"  +", line.strip()) for line in lines[first:first + 6]]
    return {name: [float(x) for x in numbers] for name, *numbers in rows}


@pytest.mark.parametrize("name", table())
def test_the_table_of_bias_and_variance_is_what_enumeration_says(name):
    level, _, cut = name.partition(", cut at ")
    mean, variance = step(PI, MU, REWARDS, corrected(level, float(cut or "inf")))
    exact = sequences.objective_grad(PI, ANSWERS, REWARDS)
    cosine = (mean * exact).sum() / np.linalg.norm(mean) / np.linalg.norm(exact)
    assert_allclose([np.linalg.norm(mean - exact), cosine, variance.sum()], table()[name], atol=5.1e-5)


def test_truncation_loses_what_it_cuts_and_a_mask_what_it_drops():
    exact, C = sequences.objective_grad(PI, ANSWERS, REWARDS), 0.75
    own, old = (sequences.logp(z, ANSWERS) for z in (PI, MU))
    over = np.maximum(np.exp((own - old).sum(axis=1)) - C, 0)
    lost = sequences._added(ANSWERS, np.arange(4)[None], ((np.exp(old.sum(axis=1)) * over * REWARDS)[:, None]
                                                          * ANSWERS.mask)[None], PI)[0]
    assert_allclose(step(PI, MU, REWARDS, corrected("sequence", C))[0], exact - lost, atol=1e-12)
    assert_array_equal(bounded([.25, .5, 1, 2, 3, 0], .5, 2), [.5, .5, 1, 2, 2, 0])
    assert_array_equal(bounded([.25, .5, 1, 2, 3, 0], .5, 2, outside="drop"), [0, .5, 1, 2, 0, 0])


def test_a_filter_divided_by_the_full_softmax_weighs_too_much():
    nu, kept = np.array([.5, .3, .2]), np.array([1, 1, 0])
    mu, pi = nu * kept / .8, np.array([.4, .4, .2])
    true, full = pi[:2] / mu[:2], pi[:2] / nu[:2]
    assert_allclose(full, true / .8)
    assert_allclose((mu[:2] * true).sum(), .8)                 # not 1: the third word is out of reach


# ---------------------------------------------------------------- the KL

@given(batches_bt("logp", "old", "ref"), st.sampled_from(["k1", "k2", "k3"]))
def test_the_weighted_kl_has_the_derivative_of_its_loss(batch, estimator):
    data = batch["old"], batch["ref"], batch["mask"] / 4, estimator
    ours = weighted_kl_grad(batch["logp"], *data)
    assert_allclose(ours, complex_step(lambda x: weighted_value(x, *data), batch["logp"]), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: weighted_kl_loss(x, *data), batch["logp"]), rtol=1e-5,
                    atol=1e-5)


def weighted_value(x, old, ref, weight, estimator):
    d = x - ref
    return np.sum(weight * np.exp(x - old) * {"k1": d, "k2": d**2 / 2, "k3": np.expm1(-d) + d}[estimator])


def mean_step(pi, mu, dlogp):
    """E over one word drawn from mu of dL/dlogp times the score of pi."""
    return mu @ (dlogp[:, None] * (np.eye(len(pi)) - pi))


one_prefix = st.tuples(*[arrays((3,), eighths(-2, 2))] * 3)


@given(one_prefix)
def test_which_divergence_each_weighted_estimator_descends(logits):
    pi, mu, q = (softmax(z) for z in logits)
    logp, old, ref = (np.log(x) for x in (pi, mu, q))
    d, rho = logp - ref, pi / mu

    def slope(f):                                              # in the logits, by differences
        return central_difference(f, logits[0])

    forward = slope(lambda z: kl(softmax(z), q).item())
    reverse = slope(lambda z: kl(q, softmax(z)).item())
    second = slope(lambda z: (softmax(z) @ (log_softmax(z) - ref) ** 2 / 2).item())
    through = {k: mean_step(pi, mu, weighted_kl_grad(logp, old, ref, 1, k)) for k in ("k1", "k2", "k3")}
    assert_allclose(through["k1"], forward, atol=1e-7)
    assert_allclose(through["k2"], second, atol=1e-7)
    assert_allclose(through["k3"], forward, atol=1e-7)
    held = {k: mean_step(pi, mu, rho * f(logp, ref)) for k, f in
            {"k1": kl_k1_grad, "k2": kl_k2_grad, "k3": kl_k3_grad}.items()}
    assert_allclose(held["k1"], 0, atol=1e-12)
    assert_allclose(held["k2"], forward, atol=1e-7)
    assert_allclose(held["k3"], reverse, atol=1e-7)
    away = slope(lambda z: kl(mu, softmax(z)).item())
    assert_allclose(mean_step(pi, mu, np.ones_like(d)), -away, atol=1e-7)      # k1 without rho


def test_a_kl_whose_ratio_was_forgotten_or_held_is_caught():
    pi, mu, q = (softmax(z) for z in ([1.0, 0, -1], [0.0, 0, 0], [0.0, 1, 0]))
    logp, old, ref = (np.log(x) for x in (pi, mu, q))
    forward = central_difference(lambda z: kl(softmax(z), q).item(), np.array([1.0, 0, -1]))
    right = weighted_kl_grad(logp, old, ref, 1)
    for wrong in (kl_k3_grad(logp, ref), pi / mu * kl_k3_grad(logp, ref), 1.001 * right, -right,
                  weighted_kl_grad(logp, old, ref, 1, "k2")):
        with pytest.raises(AssertionError):
            assert_allclose(mean_step(pi, mu, wrong), forward, rtol=1e-4, atol=1e-6)
    assert_allclose(mean_step(pi, mu, right), forward, rtol=1e-6)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: importance_weight([-1], [-1], [1], "word"), "level is 'word'; expected one of 'none', 'token'"),
    (lambda: importance_weight([.5], [-1], [1]), r"logp\[0\] is 0.5; expected a log-probability"),
    (lambda: importance_weight([-1], [-1], [2]), r"mask\[0\] is 2.0; expected 0 or 1"),
    (lambda: bounded([-1]), r"weight\[0\] is -1.0; expected a number in \[0, inf\]"),
    (lambda: bounded([1], 2, 1), "high is 1; expected a number >= low, 2.0"),
    (lambda: bounded([1], outside="mask"), "outside is 'mask'; expected one of 'clip', 'drop'"),
    (lambda: weighted_kl_loss([-1], [-1], [-1], [1], "k4"), "estimator is 'k4'; expected one of 'k1', 'k2', 'k3'"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
