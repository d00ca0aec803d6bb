"""More losses on judged answers, by hand.

At h = 0 every one of them pays log 2 for a pair.  Smoothed with e = 1/4: the slope is e - 1/2 = -1/4.  SimPO: sums
-3 and -8 of 3 and 4 tokens, means -1 and -2, beta 2: m = 2 - gamma.  ORPO at p = 1/2: odds 1, log 2 + .1 log 2.  f-DPO,
forward KL, u = 2 and 1: m = -1/2 + 1.  A margin of 2 for scores 3 and 1 leaves m = 0.
"""
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from derivatives import central_difference, complex_step
from rlscratch.formulas import pairs
from rlscratch.formulas.pairs import (
    f_dpo_grad,
    f_dpo_loss,
    kto_grad,
    kto_loss,
    orpo_grad,
    orpo_loss,
    reward_margin_grad,
    reward_margin_loss,
    simpo_grad,
    simpo_loss,
    smoothed_dpo_grad,
    smoothed_dpo_loss,
)
from rlscratch.formulas.preference import bradley_terry_loss, dpo_grad, dpo_loss
from strategies import arrays, eighths

LOGP, REF = np.array([[-2.0, -5], [-3, -1.5]]), np.array([[-2.5, -4], [-3.5, -2]])
LENGTHS = np.array([[2.0, 4], [3, 1]])
CASES = {
    "smoothed_dpo cdpo": (LOGP, REF, .5, .25), "smoothed_dpo rdpo": (LOGP, REF, .5, .25, True),
    "simpo": (LOGP, LENGTHS, 2.0, .5), "orpo": (LOGP, LENGTHS, .5),
    "f_dpo": (LOGP, REF, .5, "forward_kl"), "f_dpo js": (LOGP, REF, .5, "jensen_shannon"),
    "f_dpo alpha": (LOGP, REF, .5, .25), "kto": (LOGP[:, 0], REF[:, 0], np.array([1.0, 0]), .5, .25, (1.0, 1.5)),
    "reward_margin": (LOGP, np.array([.5, 0]), .25),
}


def sigma(m):
    return 1 / (1 + np.exp(-m))


def plain(name, x, *data):
    """The mean of the equation over pairs, as it stands; real or complex."""
    if name.startswith("kto"):
        ref, good, beta, z, (wd, wu) = data
        r = beta * (x - ref)
        return np.mean(np.where(good == 1, wd * (1 - sigma(r - beta * z)), wu * (1 - sigma(beta * z - r))))
    c, r = x[:, 0], x[:, 1]
    if name.startswith("smoothed"):
        ref, beta, e, *unbiased = data
        m = beta * (c - ref[:, 0] - r + ref[:, 1])
        right, wrong = -np.log(sigma(m)), -np.log(sigma(-m))
        return np.mean(((1 - e) * right - e * wrong) / (1 - 2 * e) if unbiased else (1 - e) * right + e * wrong)
    if name == "simpo":
        n, beta, gamma = data
        return np.mean(-np.log(sigma(beta * c / n[:, 0] - beta * r / n[:, 1] - gamma)))
    if name == "orpo":
        n, lam = data
        pc, pr = np.exp(c / n[:, 0]), np.exp(r / n[:, 1])
        return np.mean(-np.log(pc) - lam * np.log(sigma(np.log(pc / (1 - pc)) - np.log(pr / (1 - pr)))))
    if name == "reward_margin":
        g, lam = data
        return np.mean(-np.log(sigma(c - r - g)) + lam * (c + r) ** 2)
    ref, beta, which = data
    f = {"reverse_kl": lambda u: np.log(u) + 1, "forward_kl": lambda u: -1 / u,
         "jensen_shannon": lambda u: np.log(2 * u / (1 + u))}.get(which, lambda u: (1 - u ** -which) / which)
    u = np.exp(x - ref)
    return np.mean(-np.log(sigma(beta * f(u[:, 0]) - beta * f(u[:, 1]))))


def pair(name):
    name = name.split()[0]
    return getattr(pairs, f"{name}_loss"), getattr(pairs, f"{name}_grad")


def compare(name, grad, *case):
    loss, ours = pair(name)[0], grad(*case)
    assert_allclose(loss(*case), plain(name, *case), rtol=1e-12)
    assert_allclose(ours, complex_step(lambda x: plain(name, x, *case[1:]), case[0]), rtol=1e-9, atol=1e-12)
    assert_allclose(ours, central_difference(lambda x: loss(x, *case[1:]), case[0]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", CASES)
def test_each_gradient_is_the_derivative_of_its_loss(name):
    compare(name, pair(name)[1], *CASES[name])


PLANTED = {
    "cDPO for rDPO": ("smoothed_dpo rdpo", lambda *a: smoothed_dpo_grad(*a[:4])),
    "no smoothing": ("smoothed_dpo cdpo", lambda x, ref, b, e: smoothed_dpo_grad(x, ref, b, 0)),
    "SimPO on sums": ("simpo", lambda x, n, *a: simpo_grad(x, np.ones_like(n), *a)),
    "SimPO: margin added": ("simpo", lambda x, n, b, g: simpo_grad(x + np.array([0, b * g]), n, b, g)),
    "ORPO: log p in the place of log odds": (
        "orpo", lambda x, n, lam: orpo_grad(x, n, lam) - orpo_grad(x, n, 0) + np.array([-.5, 0]) / n + lam * .1),
    "f-DPO: reverse for forward": ("f_dpo", lambda x, ref, b, _: f_dpo_grad(x, ref, b, "reverse_kl")),
    "f-DPO: rejected the negative": ("f_dpo js", lambda *a: f_dpo_grad(*a)[:, :1] * [1, -1]),
    "f-DPO: 1 - alpha": ("f_dpo alpha", lambda x, ref, b, a: f_dpo_grad(x, ref, b, 1 - a)),
    "KTO: reference point forgotten": ("kto", lambda x, ref, d, b, z, w: kto_grad(x, ref, d, b, 0, w)),
    "margin forgotten": ("reward_margin", lambda s, g, lam: reward_margin_grad(s, 0, lam)),
    "centring of the difference": ("reward_margin", lambda s, g, lam: reward_margin_grad(s, g, 0) + lam * (
        s @ [1, -1])[:, None]),
    "a factor 1.001": ("orpo", lambda *a: 1.001 * orpo_grad(*a)),
}


@pytest.mark.parametrize("error", PLANTED)
def test_a_planted_error_is_caught(error):
    name, wrong = PLANTED[error]
    with pytest.raises(AssertionError):
        compare(name, wrong, *CASES[name])


pairs_n2 = st.tuples(*[arrays((3, 2), eighths(-4, 0))] * 2)
FLIPS = st.sampled_from([0.0, .125, .25, .375])


@given(pairs_n2, FLIPS)
def test_the_unbiased_loss_is_on_average_that_of_clean_labels(batch, e):
    logp, ref = batch
    flipped = logp[:, ::-1], ref[:, ::-1]
    clean = dpo_loss(logp[:, 0], logp[:, 1], ref[:, 0], ref[:, 1], .5)
    mean = (1 - e) * smoothed_dpo_loss(logp, ref, .5, e, True) + e * smoothed_dpo_loss(*flipped, .5, e, True)
    assert_allclose(mean, clean, rtol=1e-9)
    slope = (1 - e) * smoothed_dpo_grad(logp, ref, .5, e, True) + e * smoothed_dpo_grad(*flipped, .5, e, True)[:, ::-1]
    exact = dpo_grad(logp[:, 0], logp[:, 1], ref[:, 0], ref[:, 1], .5)
    assert_allclose(slope, np.stack([exact, -exact], axis=1), atol=1e-12)


def test_the_smoothed_loss_is_biased_and_least_at_the_odds_of_its_labels():
    e, ref = .25, np.full((1, 2), -3.0)
    assert_allclose(smoothed_dpo_grad(ref + np.log(3) / 2 * pairs.SIDES, ref, 1, e), 0, atol=1e-12)
    clean, mean = dpo_loss([-1], [-3], [-2], [-2], 1), smoothed_dpo_loss([[-1, -3]], [[-2, -2]], 1, e)
    with pytest.raises(AssertionError):
        assert_allclose(mean, clean, rtol=1e-3)


@given(pairs_n2)
def test_f_dpo_with_reverse_kl_is_dpo_and_alpha_has_its_two_ends(batch):
    logp, ref = batch
    data = logp[:, 0], logp[:, 1], ref[:, 0], ref[:, 1], .5
    assert_allclose(f_dpo_loss(logp, ref, .5), dpo_loss(*data), rtol=1e-12)
    assert_allclose(f_dpo_grad(logp, ref, .5), np.stack([dpo_grad(*data), -dpo_grad(*data)], axis=1), atol=1e-15)
    assert_allclose(f_dpo_loss(logp, ref, .5, 1e-9), dpo_loss(*data), rtol=1e-5)
    assert_allclose(f_dpo_loss(logp, ref, .5, 1.0), f_dpo_loss(logp, ref, .5, "forward_kl"), rtol=1e-12)


def test_a_margin_of_800_on_the_wrong_side_does_not_overflow():
    assert reward_margin_loss([[-800.0, 0.0]]) == 800
    assert_allclose(reward_margin_loss([[1, 0]]), bradley_terry_loss([1.0], [0.0]))
    assert_allclose(reward_margin_grad([[-800.0, 0.0]]), [[-1, 1]])


def test_kto_leaves_answers_far_from_its_reference_point_alone():
    far = kto_grad([-1.0, -50, -1], [-50.0, -1, -1], [1, 1, 1], 1)
    assert abs(far[:2]).max() < 1e-12 < abs(far[2])


def test_the_worked_numbers():
    assert_allclose(simpo_loss([[-3, -8]], [[3, 4]], 2, 2), np.log(2))
    assert_allclose(orpo_loss(np.log([[.5, .5]]), [[1, 1]]), 1.1 * np.log(2))
    assert_allclose(kto_loss([-2], [-2], [1], 1), .5)
    assert_allclose(f_dpo_loss([np.log([.4, .2])], [np.log([.2, .2])], 1, "forward_kl"), np.log1p(np.exp(-.5)))


GOOD = {"logp": [[-1.0, -2.0]], "ref": [[-1.0, -2.0]]}


@pytest.mark.parametrize(("call", "message"), [
    (partial(smoothed_dpo_loss, **GOOD, beta=1, flip=.5), r"flip is 0.5; expected a number in \[0, 1/2\)"),
    (partial(smoothed_dpo_loss, [-1, -2], [-1, -2], 1, 0), r"the shape of logp is \(2,\); expected \(N, 2\)"),
    (partial(simpo_loss, [[-1, -2]], [[0, 1]]), r"lengths\[0, 0\] is 0.0; expected a number in \[1, inf\]"),
    (partial(orpo_loss, [[0, -2]], [[1, 1]]), r"logp\[0, 0\] is 0.0; expected .* the odds of certainty are infinite"),
    (partial(f_dpo_loss, **GOOD, beta=1, divergence="kl"), "divergence is 'kl'; expected one of 'reverse_kl'"),
    (partial(f_dpo_loss, **GOOD, beta=1, divergence=2.0), r"divergence is 2.0; expected a number in \(0, 1\]"),
    (partial(kto_loss, [-1], [-1], [2], 1), r"desirable\[0\] is 2.0; expected 0 or 1"),
    (partial(reward_margin_loss, [[1, 2]], center=-1), "center is -1; expected a finite number >= 0"),
])
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
