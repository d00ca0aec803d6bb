"""Losses on comparisons.

Document 002, step 2: a labeler ranks D > C > A > B, which is six pairs: DC DA DB CA CB AB.
Document 003, part 6: ratings 0, .9, 1.0 for one question and 0, 1.0, .95 for another,
2 * C(3,2) = 6 pairs within the questions (15 if one compared across them, two of those tied).
A model that scores everything 0 pays (.81 + 1 + 1 + .9025) / 12 = .309375 on the ratings,
log 2 on any set of pairs, log K! on a ranking of K.

One ranking, two losses: with e^s = 3, 2, 1, all pairs give -log(3/5 3/4 2/3) / 3 = .4013, and
Plackett-Luce -log(3/6 2/3) = log 3 = 1.0986; the second answer's gradient is .0222 and 0.
"""
from itertools import combinations, permutations
from math import factorial, log

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.formulas import preference as pref
from strategies import arrays, eighths, logits_nv, logits_v, probs_of, rewards_g

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

RATINGS = np.array([[0, 0.9, 1.0], [0, 1.0, 0.95]])
THREE_TWO_ONE = np.log([3.0, 2.0, 1.0])
PAIR_OBJECTIVES = {
    "bradley_terry": (pref.bradley_terry_loss, pref.bradley_terry_grad),
    "dpo": (pref.dpo_loss, pref.dpo_grad),
    "ipo": (pref.ipo_loss, pref.ipo_grad),
}
RANKING_OBJECTIVES = {
    "ranking": (pref.ranking_loss, pref.ranking_grad),
    "plackett_luce": (pref.plackett_luce_loss, pref.plackett_luce_grad),
}
OBJECTIVES = {**PAIR_OBJECTIVES, **RANKING_OBJECTIVES, "rating": (pref.rating_loss, pref.rating_grad)}
betas = st.sampled_from([0.125, 0.5, 1.0, 2.0])
four_rows = st.integers(1, 5).flatmap(lambda n: arrays((4, n)))


def arguments(name, x, beta=0.5):
    """The arguments of an objective, from a table (4, N); -8 makes log-probabilities of it, and cancels in (12)."""
    return {"bradley_terry": (x[0], x[1]), "rating": (x[0], x[1]), "ranking": (x,), "plackett_luce": (x,),
            "dpo": (*x - 8, beta), "ipo": (*x - 8, beta)}[name]


def assert_is_the_gradient(loss, grad, args):
    """Both numerical derivatives in the first argument agree with grad."""
    first, *rest = args
    claimed = grad(first, *rest)
    assert claimed.shape == np.shape(first)
    assert_allclose(claimed, complex_step(lambda x: loss(x, *rest), first), rtol=1e-9, atol=1e-12)
    assert_allclose(claimed, central_difference(lambda x: loss(x, *rest), first), rtol=1e-6, atol=1e-8)


def all_rankings(scores):
    """Every ranking of these answers, with its Plackett-Luce probability."""
    for ranking in permutations(range(len(scores))):
        ranking = np.array(ranking)
        yield ranking, np.exp(-pref.plackett_luce_loss(scores[ranking]))


# ---------------------------------------------------------------- the documents

def test_document_002_ranking_of_four_answers_is_six_pairs():
    score = dict(zip("DCAB", [1.5, 0.25, 0.5, -1.0], strict=True))
    pairs = list(combinations("DCAB", 2))
    assert ["".join(pair) for pair in pairs] == ["DC", "DA", "DB", "CA", "CB", "AB"]
    chosen, rejected = ([score[pair[side]] for pair in pairs] for side in (0, 1))
    assert_allclose(pref.ranking_loss(list(score.values())), pref.bradley_terry_loss(chosen, rejected), rtol=1e-14)
    losses_minus_wins = pref.ranking_grad(np.zeros(4)) * 6 / pref.bradley_terry(0.0)
    assert_allclose(losses_minus_wins, [-3, -1, 1, 3])


def test_document_003_ratings_are_six_pairs_within_questions():
    pairs = [(max(a, b), min(a, b)) for row in RATINGS for a, b in combinations(row, 2)]
    assert len(pairs) == 2 * 3 and all(better > worse for better, worse in pairs)
    best_first = -np.sort(-RATINGS)
    assert_allclose(pref.ranking_loss(best_first), pref.bradley_terry_loss(*np.transpose(pairs)), rtol=1e-14)


def test_document_003_regression_starts_at_309375_and_ends_at_the_ratings():
    assert_allclose(pref.rating_loss(np.zeros((2, 3)), RATINGS), 0.309375, rtol=1e-14)
    assert pref.rating_loss(RATINGS, RATINGS) == 0
    assert_array_equal(pref.rating_grad(RATINGS, RATINGS), np.zeros((2, 3)))
    assert_allclose(pref.rating_grad(RATINGS + 1, RATINGS), np.full((2, 3), 1 / 6))      # the zero is fixed


def test_a_flat_model_pays_log_2_a_pair_and_log_of_k_factorial_a_ranking():
    for k in (2, 3, 4, 7):
        assert_allclose(pref.ranking_loss(np.zeros((2, k))), log(2), rtol=1e-14)
        assert_allclose(pref.plackett_luce_loss(np.zeros((2, k))), log(factorial(k)), rtol=1e-14)
    assert_allclose(pref.dpo_loss([-2.0, -9.0], [-5.0, -1.0], [-2.0, -9.0], [-5.0, -1.0], 0.1), log(2), rtol=1e-14)


# ---------------------------------------------------------------- gradients

@pytest.mark.parametrize("name", OBJECTIVES)
@given(x=four_rows.filter(lambda x: x.shape[1] > 1), beta=betas)
@example(x=np.zeros((4, 3)), beta=0.5)                      # margin 0, where the stable forms change branch
@example(x=np.tile(THREE_TWO_ONE, (4, 1)), beta=0.125)
def test_each_gradient_is_the_derivative_of_its_loss(name, x, beta):
    assert_is_the_gradient(*OBJECTIVES[name], arguments(name, x, beta))


@pytest.mark.parametrize("name", PAIR_OBJECTIVES)
@given(x=four_rows, beta=betas)
def test_the_gradient_for_the_rejected_side_is_the_negative(name, x, beta):
    loss, grad = PAIR_OBJECTIVES[name]
    chosen, rejected, *rest = arguments(name, x, beta)
    by_step = complex_step(lambda r: loss(chosen, r, *rest), rejected)
    assert_allclose(by_step, -grad(chosen, rejected, *rest), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("planted", [lambda g: -g, lambda g: 1.001 * g, lambda g: g * g.shape[-1],
                                     lambda g: np.roll(g, 1, axis=-1), lambda g: g - 0.001])
def test_a_planted_error_in_a_gradient_is_caught(name, planted):
    x = np.arange(12.0).reshape(4, 3)[:, ::-1] / 8 + np.eye(4, 3)
    loss, grad = OBJECTIVES[name]
    with pytest.raises(AssertionError):
        assert_is_the_gradient(loss, lambda *args: planted(grad(*args)), arguments(name, x))


@pytest.mark.parametrize("name", OBJECTIVES)
@given(x=four_rows.filter(lambda x: x.shape[1] > 1))
def test_a_gradient_passes_complex_arrays_for_second_derivatives(name, x):
    first, *rest = arguments(name, x)
    grad = OBJECTIVES[name][1]
    by_step = complex_step(lambda v: grad(v, *rest).flat[0], first)
    assert_allclose(by_step, central_difference(lambda v: grad(v, *rest).flat[0], first), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", RANKING_OBJECTIVES)
@given(scores=logits_nv())
def test_a_batch_of_rankings_is_their_mean(name, scores):
    loss, grad = RANKING_OBJECTIVES[name]
    assert_allclose(loss(scores), np.mean([loss(row) for row in scores]), rtol=1e-13)
    assert_allclose(grad(scores), [grad(row) / len(scores) for row in scores], rtol=1e-13, atol=1e-15)


# ---------------------------------------------------------------- Bradley-Terry and rankings

@given(a=eighths(-20, 20), b=eighths(-20, 20))
def test_the_chance_to_win_is_a_share_of_the_exponentials(a, b):
    assert_allclose(pref.bradley_terry(a - b), np.exp(a) / (np.exp(a) + np.exp(b)), rtol=1e-12)


@given(margin=eighths(-40, 40))
@example(margin=0.0)
def test_one_of_the_two_answers_wins(margin):
    assert_allclose(pref.bradley_terry(margin) + pref.bradley_terry(-margin), 1, rtol=1e-15)
    assert_allclose(pref.bradley_terry_loss(margin, 0.0), -np.log(pref.bradley_terry(margin)), rtol=1e-12, atol=1e-15)


@given(scores=logits_v(), shift=eighths(-100, 100))
def test_ranking_losses_ignore_the_origin_of_scores(scores, shift):
    for loss, grad in RANKING_OBJECTIVES.values():
        assert_allclose(loss(scores + shift), loss(scores), rtol=1e-11)
        assert_allclose(grad(scores + shift), grad(scores), rtol=0, atol=1e-11)
        assert_allclose(grad(scores).sum(), 0, atol=1e-14)
    back = scores[::-1]
    assert pref.bradley_terry_loss(scores + shift, back + shift) == pref.bradley_terry_loss(scores, back)


@given(x=four_rows, shift=eighths(-100, 4), beta=betas)
def test_dpo_and_ipo_ignore_a_constant_of_the_prompt(x, shift, beta):
    x = x - 8
    moved = x + np.array([shift, shift, 0, 0])[:, None]
    for name in ("dpo", "ipo"):
        loss, grad = OBJECTIVES[name]
        assert loss(*moved, beta) == loss(*x, beta)
        assert_array_equal(grad(*moved, beta), grad(*x, beta))


@given(pairs=st.integers(1, 4).flatmap(lambda n: arrays((n, 2))))
@example(pairs=np.array([[1000.0, 0.0], [0.0, 1000.0], [0.0, 40.0]]))
def test_a_ranking_of_two_is_bradley_terry(pairs):
    chosen, rejected = pairs.T
    toward = pref.bradley_terry_grad(chosen, rejected)
    for loss, grad in RANKING_OBJECTIVES.values():
        assert_allclose(loss(pairs), pref.bradley_terry_loss(chosen, rejected), rtol=1e-14, atol=0)
        assert_allclose(grad(pairs), np.stack([toward, -toward], axis=-1), rtol=1e-12, atol=0)


@given(scores=logits_v(max_size=5))
@example(scores=THREE_TWO_ONE)
def test_plackett_luce_is_a_distribution_whose_pairs_are_bradley_terry(scores):
    k = len(scores)
    total, beats, mean_score, mean_all_pairs = 0.0, np.zeros((k, k)), np.zeros(k), np.zeros(k)
    for ranking, p in all_rankings(scores):
        total += p
        for better, worse in combinations(ranking, 2):
            beats[better, worse] += p
        mean_score[ranking] += p * pref.plackett_luce_grad(scores[ranking])
        mean_all_pairs[ranking] += p * pref.ranking_grad(scores[ranking])
    assert_allclose(total, 1, rtol=1e-13)
    different = ~np.eye(k, dtype=bool)
    assert_allclose(beats[different], pref.bradley_terry(scores[:, None] - scores)[different], rtol=1e-12)
    assert_allclose(mean_score, 0, atol=1e-13)              # the score function of (6) has mean zero
    assert_allclose(mean_all_pairs, 0, atol=1e-13)          # and (4) is at rest at the true scores too


@given(scores=logits_v())
def test_the_expected_bradley_terry_gradient_vanishes_at_the_true_scores_only(scores):
    winner, loser = np.array(list(permutations(range(len(scores)), 2))).T
    p = pref.bradley_terry(scores[winner] - scores[loser])

    def expected_gradient(s):
        pull = pref.bradley_terry_grad(s[winner], s[loser]) * p
        return np.bincount(winner, pull, len(s)) - np.bincount(loser, pull, len(s))

    assert_allclose(expected_gradient(scores), 0, atol=1e-15)
    assert np.abs(expected_gradient(scores + np.eye(len(scores))[0] / 8)).max() > 1e-6


def test_all_pairs_and_plackett_luce_are_two_losses():
    assert_allclose(pref.ranking_loss(THREE_TWO_ONE), -log(3 / 5 * 3 / 4 * 2 / 3) / 3, rtol=1e-14)
    assert_allclose(pref.plackett_luce_loss(THREE_TWO_ONE), -log(3 / 6 * 2 / 3), rtol=1e-14)
    assert_allclose(pref.ranking_grad(THREE_TWO_ONE), [-0.65 / 3, (2 / 5 - 1 / 3) / 3, (1 / 4 + 1 / 3) / 3], rtol=1e-14)
    assert_allclose(pref.plackett_luce_grad(THREE_TWO_ONE), [-1 / 2, 0, 1 / 2], atol=1e-15)
    products = [np.exp(-3 * pref.ranking_loss(THREE_TWO_ONE[ranking])) for ranking, _ in all_rankings(THREE_TWO_ONE)]
    assert_allclose(sum(products), 0.8, rtol=1e-14)         # the two cycles have .1 each


# ---------------------------------------------------------------- policies

def expected(objective, z, ref, wins, mu, beta):
    """Loss in expectation over ordered pairs of different answers, and its gradient for the logits z."""
    loss, grad = objective
    c, r = np.array(list(permutations(range(len(ref)), 2))).T
    logp = z - np.log(np.exp(z).sum())
    weight = mu[c] * mu[r] * wins[c, r]
    args = [logp[c], logp[r], np.log(ref)[c], np.log(ref)[r]]
    each = [loss(*(a[i:i + 1] for a in args), beta) for i in range(len(c))]
    if np.iscomplexobj(z):
        return (weight * each).sum(), None
    pull = weight * grad(*args, beta) * len(c)
    toward = np.bincount(c, pull, len(ref)) - np.bincount(r, pull, len(ref))
    return (weight * each).sum(), toward - np.exp(logp) * toward.sum()


# Rewards, the reference, and the distribution that the compared answers are drawn from.
policies = st.integers(2, 4).flatmap(
    lambda k: st.tuples(rewards_g(k, k).map(lambda r: r / 8), probs_of(k), probs_of(k)))


@given(case=policies, beta=betas, away=eighths(1, 2))
@example(case=(np.array([1.0, 0.0, 0.0, 0.3]), np.array([0.4, 0.3, 0.2, 0.1]), np.full(4, 0.25)), beta=1.0, away=1.0)
def test_dpo_is_least_at_the_kl_regularised_optimum(case, beta, away):
    R, ref, mu = case
    wins = pref.bradley_terry(R[:, None] - R)
    optimum = np.log(ref) + R / beta                        # logits of ref e^(R/beta) / Z
    dpo = OBJECTIVES["dpo"]
    least, gradient = expected(dpo, optimum, ref, wins, mu, beta)
    assert_allclose(gradient, 0, atol=1e-14)
    elsewhere = optimum + away * np.eye(len(R))[0]
    above, gradient = expected(dpo, elsewhere, ref, wins, mu, beta)
    assert above > least and np.abs(gradient).max() > 1e-7
    assert_allclose(gradient, complex_step(lambda z: expected(dpo, z, ref, wins, mu, beta)[0], elsewhere), atol=1e-12)


@given(case=policies, beta=betas, away=eighths(1, 2))
def test_ipo_is_least_at_the_chance_to_win_in_place_of_the_reward(case, beta, away):
    R, ref, mu = case
    wins = pref.bradley_terry(R[:, None] - R)
    optimum = np.log(ref) + wins @ mu / beta
    ipo = OBJECTIVES["ipo"]
    least, gradient = expected(ipo, optimum, ref, wins, mu, beta)
    assert_allclose(gradient, 0, atol=1e-13)
    above, gradient = expected(ipo, optimum + away * np.eye(len(R))[0], ref, wins, mu, beta)
    assert above > least and np.abs(gradient).max() > 1e-3


@given(x=four_rows.map(lambda x: -np.abs(x)), beta=betas)
def test_ipo_is_the_squared_distance_of_the_margin_from_its_target(x, beta):
    squares = [((lc - rc) - (lr - rr) - 1 / (2 * beta)) ** 2 for lc, lr, rc, rr in x.T]
    assert_allclose(pref.ipo_loss(*x, beta), sum(squares) / len(squares), rtol=1e-12)


@given(p=st.integers(1, 7).map(lambda k: k / 8), beta=betas)
def test_two_answers_rest_at_log_odds_under_dpo_and_at_p_minus_a_half_under_ipo(p, beta):
    def gradient(objective, h):
        c, r = -max(-h, 0.0), -max(h, 0.0)          # c - r = h
        return p * objective([c], [r], [0.0], [0.0], beta) - (1 - p) * objective([r], [c], [0.0], [0.0], beta)

    assert_allclose(gradient(pref.dpo_grad, log(p / (1 - p)) / beta), 0, atol=1e-15)
    assert_allclose(gradient(pref.ipo_grad, (p - 0.5) / beta), 0, atol=1e-14)


def test_where_one_answer_always_wins_ipo_stops_and_dpo_does_not():
    assert_array_equal(pref.ipo_grad([0.0], [-2.0], [0.0], [0.0], 0.25), [0.0])
    assert pref.ipo_grad([0.0], [-2.5], [0.0], [0.0], 0.25) > 0
    assert all(pref.dpo_grad([0.0], [-h], [0.0], [0.0], 0.25) < 0 for h in (2.0, 20.0, 200.0))


@given(x=four_rows, beta=betas)
def test_dpo_is_bradley_terry_on_implicit_rewards(x, beta):
    x = x - 8
    lc, lr, rc, rr = x
    chosen, rejected = pref.implicit_reward(lc, rc, beta), pref.implicit_reward(lr, rr, beta)
    assert_allclose(pref.dpo_loss(*x, beta), pref.bradley_terry_loss(chosen, rejected), rtol=1e-14)
    assert_allclose(pref.dpo_grad(*x, beta), beta * pref.bradley_terry_grad(chosen, rejected), rtol=1e-14)


@given(case=policies, beta=betas)
def test_the_implicit_reward_is_the_reward_less_beta_log_z(case, beta):
    R, ref, _ = case
    z = np.sum(ref * np.exp(R / beta))
    assert_allclose(pref.implicit_reward(np.log(ref * np.exp(R / beta) / z), np.log(ref), beta), R - beta * np.log(z),
                    rtol=0, atol=1e-12)


def test_logaddexp_is_numpy_s_and_takes_complex_numbers():
    a, b = np.array([0.0, 3, -800, 800]), np.array([1.0, -2, 0, 0])
    assert_allclose(pref.logaddexp(a, b), np.logaddexp(a, b), rtol=1e-15)
    assert_allclose(np.imag(pref.logaddexp(np.zeros(1), np.array([1e-20j]))) / 1e-20, .5)


# ---------------------------------------------------------------- edges

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_apart_scores_neither_overflow_nor_vanish(dtype):
    far, near = np.array([1000, -1000, 40], dtype), np.zeros(3, dtype)
    assert_allclose(pref.bradley_terry(far), [1, 0, 1])
    assert_allclose([pref.bradley_terry_loss(far[i], near[i]) for i in range(3)], [0, 1000, np.exp(-40)], rtol=1e-6)
    assert_allclose(pref.bradley_terry_grad(far, near) * 3, [0, -1, -np.exp(-40)], rtol=1e-6)
    assert pref.dpo_loss(far[1:2], near[:1], near[:1], near[:1], 1.0) == 1000
    worst_first = np.array([-1000, 0, 1000], dtype)
    assert [pref.plackett_luce_loss(worst_first), pref.plackett_luce_loss(worst_first[::-1])] == [3000, 0]
    assert_array_equal(pref.plackett_luce_grad(worst_first), [-1, -1, 2])
    assert_allclose(pref.ranking_loss(worst_first), 4000 / 3, rtol=1e-6)
    assert_allclose(pref.plackett_luce_loss(np.array([-1e20, 5, 5], dtype)), 1e20, rtol=1e-6)
    assert_allclose(pref.plackett_luce_grad(np.array([-1e20, 5, 5], dtype)), [-1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_float32_stays_float32_and_lists_are_accepted(name):
    x = np.arange(8.0).reshape(4, 2)[::-1] / 4
    loss, grad = OBJECTIVES[name]
    first, *rest = arguments(name, x)
    assert grad(first.astype(np.float32), *rest).dtype == np.float32
    assert_allclose(grad(first.astype(np.float32), *rest), grad(first, *rest), rtol=1e-6)
    as_lists = [a.tolist() if np.ndim(a) else a for a in (first, *rest)]
    assert type(loss(*as_lists)) is float and loss(*as_lists) == loss(first, *rest)
    assert isinstance(grad(*as_lists), np.ndarray)


BAD = [
    ("bradley_terry", ([1.0, np.nan], [0.0, 0.0]), ValueError, r"chosen\[1\] is nan; expected finite numbers"),
    ("bradley_terry", ([1.0], [np.inf]), ValueError, r"rejected\[0\] is inf; expected finite numbers"),
    ("bradley_terry", ([1.0, 2.0], [[0.0, 1.0]]), ValueError, r"the shape of rejected is \(1, 2\); expected \(2,\)"),
    ("bradley_terry", (["a"], [0.0]), TypeError, r"chosen is \['a'\]; expected an array of real or complex"),
    ("bradley_terry", ([], []), ValueError, r"the shape of chosen is \(0,\); expected at least one entry"),
    ("rating", ([1.0, 2.0], [0.0, np.nan]), ValueError, r"ratings\[1\] is nan"),
    ("rating", ([[1.0, 2.0]], [0.0, 1.0]), ValueError, r"the shape of ratings is \(2,\); expected \(1, 2\)"),
    *[case for name in RANKING_OBJECTIVES for case in [
        (name, ([1.0],), ValueError, r"the shape of scores is \(1,\); expected at least 2 answers on the last axis"),
        (name, ([[1.0], [2.0]],), ValueError, r"the shape of scores is \(2, 1\); expected at least 2 answers"),
        (name, (1.0,), ValueError, r"the shape of scores is \(\); expected at least 1 dimension"),
        (name, ([1.0, -np.inf],), ValueError, r"scores\[1\] is -inf; expected finite numbers"),
        (name, ([True, False],), TypeError, r"scores is \[True, False\]; expected an array of real")]],
    *[case for name in ("dpo", "ipo") for case in [
        (name, ([-1.0], [-2.0], [-1.0], [-2.0], 0.0), ValueError, r"beta is 0.0; expected a finite number > 0"),
        (name, ([-1.0], [-2.0], [-1.0], [-2.0], "x"), TypeError, r"beta is 'x'; expected a finite number > 0"),
        (name, ([-1.0], [-2.0], [-1.0], [np.nan], 0.1), ValueError, r"ref_rejected\[0\] is nan"),
        (name, ([-1.0, 0.4], [-2.0] * 2, [-1.0] * 2, [-2.0] * 2, 0.1), ValueError,
         r"logp_chosen\[1\] is 0.4; expected a log-probability, at most 0 \(take the log of a probability\)"),
        (name, ([-1.0], [-2.0], [-1.0], [0.4], 0.1), ValueError, r"ref_rejected\[0\] is 0.4; expected a log-prob"),
        (name, ([-1.0, -1.0], [-2.0] * 3, [-1.0], [-2.0], 0.1), ValueError, r"the shape of logp_rejected is \(3,\)"),
        (name, (*[[[-1.0, -2.0]]] * 4, 0.1), ValueError,
         r"the shape of logp_chosen is \(1, 2\); expected \(N,\), one number a sequence, summed over its tokens")]],
]


@pytest.mark.parametrize(("name", "args", "error", "message"), BAD)
def test_bad_input_is_named_by_loss_and_gradient(name, args, error, message):
    for function in OBJECTIVES[name]:
        with pytest.raises(error, match=message):
            function(*args)


def test_bad_input_is_named_by_the_probabilities_and_the_implicit_reward():
    with pytest.raises(ValueError, match=r"margin is nan; expected finite numbers"):
        pref.bradley_terry(np.nan)
    with pytest.raises(ValueError, match=r"the shape of logp_ref is \(3,\); expected \(2,\) like logp_policy"):
        pref.implicit_reward([-1.0, -2.0], [-1.0] * 3, 0.1)
    with pytest.raises(ValueError, match=r"logp_ref\[1\] is 0.4; expected a log-probability"):
        pref.implicit_reward([-1.0, -2.0], [-1.0, 0.4], 0.1)
    with pytest.raises(ValueError, match=r"beta is -0.1; expected a finite number > 0"):
        pref.implicit_reward([-1.0], [-1.0], -0.1)
