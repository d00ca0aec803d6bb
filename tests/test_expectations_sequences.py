"""Answers of three tokens from a vocabulary of three, 27 of them: what the losses ascend on average, exactly.

By hand, one token and document 002's rewards [10, 5, -10] at a third each, groups of two.  grad J = p (R - J)
= [2.78, 1.11, -3.89].  With the std any two different answers get +-1/sqrt(2), so the effective reward is
[2, 0, -2] / (3 sqrt 2) = [.471, 0, -.471] and E[u] a third of it, [.157, 0, -.157].

Right or wrong, P(right) = p: a group of G with one right answer gives it (1 - 1/G) sqrt(G), so for p -> 0 the
factor on grad P(right) is (G - 1)/sqrt(G), 1.5 for G = 4.  At p = 1/2, G = 4: a right answer meets 0, 1, 2, 3
other right ones with odds 1, 3, 3, 1 and gets 3/2, sqrt(3)/2, 1/2, 0; a wrong one loses as much.  So the factor
is 2 (3/2 + 3 sqrt(3)/2 + 3/2) / 8 = 1.3995.
"""
import itertools
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.expectations import estimators
from rlscratch.expectations.sequences import (
    all_answers,
    effective_reward,
    expectation_and_variance,
    grpo,
    logp,
    objective,
    objective_grad,
    ppo,
    reinforce,
    rloo,
)
from rlscratch.formulas import kl, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.grpo import group_advantage, grpo_clip_grad, grpo_grad
from rlscratch.formulas.policy_gradient import leave_one_out_baseline, score
from strategies import arrays, eighths

pytestmark = pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))

ALL, ENDING, WORDS = all_answers(), all_answers(end=2), all_answers(3, 1)
COUNT = np.arange(39).reshape(13, 3)
Z, Z_REF, Z_END = (7 * COUNT % 25 - 12) / 8, (11 * COUNT % 23 - 11) / 8, (13 * COUNT % 21 - 10) / 8
R = np.array([10., 5., -10.])[ALL.tokens].sum(axis=1) + 4 * (ALL.tokens == 1).all(axis=1)
R_END = 1.0 * (8 * np.arange(15) % 21 - 10)
BETA = .75

tables = arrays((4, 3), eighths(-2, 2))                             # two tokens: 9 answers, 4 prefixes
NINE = all_answers(3, 2)
nine_rewards = arrays((9,), eighths(-10, 10))


def mean_of(loss_grad, size=2, answers=ALL, z=Z, rewards=R, **others):
    return expectation_and_variance(z, answers, rewards, size, loss_grad, **others)[0]


def probabilities(z, answers=ALL):
    return np.exp(logp(z, answers).sum(axis=1))


def cosine(a, b):
    return (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())


def gradient_for(reward, answers=ALL, z=Z):
    """sum_y p(y) reward(y) S(y), term by term."""
    result = np.zeros_like(z)
    for p, c, tokens, mask, prefix in zip(probabilities(z, answers), reward, *answers, strict=True):
        for token, counts, row in zip(tokens, mask, prefix, strict=True):
            result[row] += counts * p * c * score(z[row], token)
    return result


# ---------------------------------------------------------------- the policy and its objective

def test_27_sequences_over_13_prefixes():
    assert ALL.tokens.shape == (27, 3) and ALL.mask.all()
    assert len({tuple(row) for row in ALL.tokens.tolist()}) == 27
    by_prefix = {}
    for tokens, rows in zip(ALL.tokens.tolist(), ALL.prefix.tolist(), strict=True):
        for t, row in enumerate(rows):
            assert by_prefix.setdefault(row, tuple(tokens[:t])) == tuple(tokens[:t])
    assert sorted(by_prefix) == list(range(13)) and len(set(by_prefix.values())) == 13


def test_an_end_token_ends_an_answer_and_no_answer_comes_twice():
    answers = [tuple(y[:int(n)]) for y, n in zip(ENDING.tokens.tolist(), ENDING.mask.sum(axis=1), strict=True)]
    expected = [y for n in (1, 2, 3) for y in itertools.product(range(3), repeat=n)
                if 2 not in y[:-1] and (y[-1] == 2 or n == 3)]
    assert sorted(answers) == sorted(expected) and len(answers) == 15
    assert not ENDING.tokens[ENDING.mask == 0].any() and not ENDING.prefix[ENDING.mask == 0].any()


@pytest.mark.parametrize("answers", [ALL, ENDING, WORDS, all_answers(2, 4, end=0)])
def test_probabilities_are_products_and_add_to_one(answers):
    z = np.random.default_rng(1).normal(size=(15, 3))[:, :answers.tokens.max() + 1]
    p = probabilities(z, answers)
    assert_allclose(p.sum(), 1, rtol=1e-14)
    for got, tokens, mask, prefix in zip(p, *answers, strict=True):
        assert_allclose(got, np.prod([softmax(z[row])[y] for y, m, row in zip(tokens, mask, prefix, strict=True) if m]))


@given(tables, tables, nine_rewards, eighths(0, 2))
def test_the_gradient_is_the_derivative_of_the_objective_with_and_without_kl(z, ref, rewards, beta):
    assert_allclose(objective_grad(z, NINE, rewards), complex_step(lambda x: objective(x, NINE, rewards), z),
                    rtol=1e-9, atol=1e-11)
    exact = objective_grad(z, NINE, rewards, ref, beta)
    assert_allclose(exact, complex_step(lambda x: objective(x, NINE, rewards, ref, beta), z), rtol=1e-9, atol=1e-11)
    assert_allclose(exact, central_difference(lambda x: objective(x, NINE, rewards, ref, beta), z), rtol=0, atol=1e-7)


# ---------------------------------------------------------------- exact: REINFORCE, RLOO

@pytest.mark.parametrize("size", [2, 3])        # 729 and 19,683 groups, 378 and 3,654 without their order
def test_reinforce_and_leave_one_out_have_the_gradient_as_their_mean_over_all_groups(size):
    exact = objective_grad(Z, ALL, R)
    assert_allclose(mean_of(reinforce, size), exact, rtol=1e-10, atol=1e-12)
    assert_allclose(mean_of(rloo, size), exact, rtol=1e-10, atol=1e-12)


@given(tables, nine_rewards)
def test_reinforce_and_leave_one_out_are_exact_for_every_policy_and_reward(z, rewards):
    exact = objective_grad(z, NINE, rewards)
    for loss_grad in (reinforce, rloo):
        assert_allclose(mean_of(loss_grad, 2, NINE, z, rewards), exact, rtol=1e-9, atol=1e-11)


def test_a_group_without_its_order_stands_for_all_its_orders():
    p, z = probabilities(Z_END, ENDING), Z_END
    g = np.zeros((15, *z.shape))
    for one, tokens, mask, prefix in zip(g, *ENDING, strict=True):
        for token, counts, row in zip(tokens, mask, prefix, strict=True):
            one[row] += counts * score(z[row], token)
    updates, probability = [], []
    for group in map(list, itertools.product(range(15), repeat=3)):
        updates.append(np.tensordot(group_advantage(R_END[group]) / 3, g[group], 1))
        probability.append(p[group].prod())
    mean = np.tensordot(probability, updates, 1)
    variance = np.tensordot(probability, (np.array(updates) - mean) ** 2, 1)
    assert_allclose(expectation_and_variance(z, ENDING, R_END, 3, grpo), [mean, variance], rtol=1e-10, atol=1e-13)


def test_reinforce_s_variance_falls_like_one_in_g_and_leave_one_out_may_have_more():
    variances = [[expectation_and_variance(Z, ALL, rewards, size, loss)[1].sum() for size in (2, 3)]
                 for rewards, loss in ((R, reinforce), (R + 100, reinforce), (R, rloo), (R + 100, rloo))]
    small, shifted, rloo_small, rloo_shifted = variances
    assert_allclose(small[0] / small[1], 3 / 2, rtol=1e-12)
    assert_allclose(rloo_small, rloo_shifted, rtol=1e-9)            # a common offset is nothing to leave-one-out
    assert shifted[0] > 10 * rloo_shifted[0] and shifted[1] > 10 * rloo_shifted[1]
    assert rloo_small[0] > small[0]         # G = 2: the baseline is one sample's noise


# ---------------------------------------------------------------- GRPO

@pytest.mark.parametrize("size", [2, 3])
def test_centred_grpo_gives_one_minus_one_in_g_of_the_gradient(size):
    centred = mean_of(partial(grpo, center_only=True), size)
    assert_allclose(centred, (1 - 1 / size) * objective_grad(Z, ALL, R), rtol=1e-10, atol=1e-12)


def test_the_std_does_not_raise_a_word_that_is_better_than_the_mean():
    z, rewards = np.zeros((1, 3)), [10., 5., -10.]
    assert_allclose(mean_of(grpo, 2, WORDS, z, rewards), [[np.sqrt(2) / 9, 0, -np.sqrt(2) / 9]], atol=1e-15)
    assert_allclose(objective_grad(z, WORDS, rewards), [[25 / 9, 10 / 9, -35 / 9]], rtol=1e-14)
    assert_allclose(effective_reward(np.full(3, 1 / 3), rewards, 2), [np.sqrt(2) / 3, 0, -np.sqrt(2) / 3], atol=1e-15)


@pytest.mark.parametrize(("size", "angle"), [(2, .992863), (3, .996789)])
def test_grpo_s_std_turns_the_mean_gradient_away(size, angle):
    exact = objective_grad(Z, ALL, R)
    assert_allclose(cosine(mean_of(grpo, size), exact), angle, atol=5e-7)
    assert_allclose(cosine(mean_of(partial(grpo, center_only=True), size), exact), 1, rtol=1e-12)


@given(tables, nine_rewards, st.integers(2, 3), st.sampled_from([{}, {"ddof": 0}, {"eps": .5}, {"center_only": True}]))
@settings(max_examples=20)
def test_the_mean_update_is_the_policy_gradient_of_the_effective_reward(z, rewards, size, choices):
    a = effective_reward(probabilities(z, NINE), rewards, size, partial(group_advantage, **choices))
    assert_allclose(mean_of(partial(grpo, **choices), size, NINE, z, rewards), objective_grad(z, NINE, a),
                    rtol=1e-9, atol=1e-12)


def test_effective_rewards_of_leave_one_out_are_rewards_less_their_mean():
    p = probabilities(Z)
    a = effective_reward(p, R, 3, lambda r: r - leave_one_out_baseline(r))
    assert_allclose(a, R - p @ R, rtol=1e-10, atol=1e-12)
    assert_allclose(effective_reward(p, R, 3, partial(group_advantage, center_only=True)), 2 / 3 * a, atol=1e-11)


def test_grpo_s_ddof_changes_the_length_only():
    ones, zeros = (mean_of(partial(grpo, ddof=ddof), 3) for ddof in (1, 0))
    assert_allclose(zeros, np.sqrt(3 / 2) * ones, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("size", [2, 3])
def test_with_right_and_wrong_only_the_direction_is_right_and_the_length_depends_on_the_prompt(size):
    right = 1.0 * (R > 12)
    exact, mean = objective_grad(Z, ALL, right), mean_of(grpo, size, rewards=right)
    assert_allclose(mean, {2: 1 / np.sqrt(2), 3: 2 / np.sqrt(3)}[size] * exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_the_std_promotes_the_easiest_and_the_hardest_prompts_from_groups_of_four_on(size):
    def factor(p):
        wrong, right = effective_reward(np.array([1 - p, p]), [0., 1.], size)
        return right - wrong

    ends = (size - 1) / np.sqrt(size)
    assert_allclose([factor(1e-9), factor(1 - 1e-9)], ends, rtol=1e-7)
    middle = [factor(p) for p in (.1, .25, .5, .75, .9)]
    assert_allclose(middle, middle[::-1], rtol=1e-12)
    if size <= 3:
        assert_allclose(middle, ends, rtol=1e-12)
    else:
        assert ends > middle[0] > middle[1] > middle[2]
    if size == 4:
        assert_allclose(factor(.5), 2 * (3 / 2 + 3 * np.sqrt(3) / 2 + 3 / 2) / 8, rtol=1e-12)


# ---------------------------------------------------------------- PPO at pi = pi_old

def test_ppo_and_both_grpo_losses_are_one_update_for_every_group_at_the_policy_that_sampled():
    seen = []

    def compare(groups):
        a = group_advantage(groups.reward)[..., None]
        document = grpo_grad(groups.logp, a, groups.weight)
        paper = grpo_clip_grad(groups.logp, groups.logp, groups.logp, a, groups.weight)
        assert_allclose(ppo(groups), document, rtol=1e-14)
        assert_allclose(paper, document, rtol=1e-14)
        seen.append(len(groups.reward))
        return document

    mean_of(compare, 3)
    assert sum(seen) == 3654


def test_ppo_with_centred_advantages_is_exact_up_to_one_minus_one_in_g():
    assert_allclose(mean_of(partial(ppo, center_only=True), 2), objective_grad(Z, ALL, R) / 2, rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- the weights of tokens

def test_with_one_length_every_weight_is_one_up_to_a_factor():
    exact = objective_grad(Z, ALL, R)
    for weigh in (weights.sequence_mean, weights.token_mean, partial(weights.constant_length, length=3)):
        assert_allclose(mean_of(rloo, 2, weigh=weigh), exact / 3, rtol=1e-10, atol=1e-12)


END = dict(answers=ENDING, z=Z_END, rewards=R_END)


def test_weights_by_a_constant_keep_the_direction_whatever_the_lengths():
    exact = objective_grad(Z_END, ENDING, R_END)
    assert_allclose(mean_of(rloo, 2, **END), exact, rtol=1e-10, atol=1e-12)
    dr_grpo = mean_of(partial(grpo, center_only=True), 2, **END, weigh=partial(weights.constant_length, length=4))
    assert_allclose(dr_grpo, exact / 2 / 4, rtol=1e-10, atol=1e-12)


def test_the_mean_over_an_answer_s_tokens_ascends_the_reward_divided_by_length():
    n, p = ENDING.mask.sum(axis=1), probabilities(Z_END, ENDING)
    assert_allclose(mean_of(reinforce, 2, **END, weigh=weights.sequence_mean), gradient_for(R_END / n, ENDING, Z_END),
                    rtol=1e-10, atol=1e-12)
    with_baseline = mean_of(rloo, 2, **END, weigh=weights.sequence_mean)
    assert_allclose(with_baseline, gradient_for((R_END - p @ R_END) / n, ENDING, Z_END), rtol=1e-10, atol=1e-12)
    assert cosine(with_baseline, objective_grad(Z_END, ENDING, R_END)) < .99


def test_under_the_mean_over_an_answer_s_tokens_even_a_constant_reward_moves_the_policy():
    flat = dict(END, rewards=np.ones(15))
    assert_allclose(mean_of(reinforce, 2, **flat), 0, atol=1e-14)
    pull = mean_of(reinforce, 2, **flat, weigh=weights.sequence_mean)
    assert pull[0, 2] > .05                                 # the end at once: short answers weigh more


def test_the_mean_over_all_tokens_of_the_group_turns_the_direction_too():
    mean, exact = mean_of(rloo, 2, **END, weigh=weights.token_mean), objective_grad(Z_END, ENDING, R_END)
    assert .9 < cosine(mean, exact) < .9999
    assert_allclose(mean_of(rloo, 2, z=Z_END, weigh=weights.token_mean), objective_grad(Z_END, ALL, R) / 3,
                    rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- KL

def with_k1_in_the_reward(groups):
    d = (groups.mask * kl.kl_k1(groups.logp, groups.logp_ref)).sum(axis=-1)
    return groups._replace(reward=groups.reward - BETA * d)


def in_the_loss(k_grad):
    return lambda groups: BETA * groups.weight * k_grad(groups.logp, groups.logp_ref)


def kl_by_prefix(reached, a, b):
    """sum_h reached(h) KL(a(.|h) || b(.|h)), complex for the complex step."""
    return (reached[:, None] * a * (np.log(a) - np.log(b))).sum()


def reach(z, answers):
    """P(h): the probability that an answer comes by prefix h."""
    result = np.zeros(len(z))
    for p, mask, prefix in zip(probabilities(z, answers), answers.mask, answers.prefix, strict=True):
        result[prefix[mask == 1]] += p
    return result


@pytest.mark.parametrize("answers, z, rewards", [(ALL, Z, R), (ENDING, Z_END, R_END)], ids=["27", "15"])
def test_k1_in_the_reward_is_exact_for_the_kl_penalised_objective(answers, z, rewards):
    exact = objective_grad(z, answers, rewards, Z_REF, BETA)
    for loss in (reinforce, rloo):
        mean = mean_of(lambda g, loss=loss: loss(with_k1_in_the_reward(g)), 2, answers, z, rewards, logits_ref=Z_REF)
        assert_allclose(mean, exact, rtol=1e-10, atol=1e-12)


def test_k1_in_the_reward_after_division_by_the_std_is_not_the_penalised_gradient():
    mean = mean_of(lambda g: grpo(with_k1_in_the_reward(g)), 2, logits_ref=Z_REF)
    assert cosine(mean, objective_grad(Z, ALL, R, Z_REF, BETA)) < .9999


@pytest.mark.parametrize("answers, z", [(ALL, Z), (ENDING, Z_END)], ids=["27", "15"])
def test_in_the_loss_k1_is_nothing_k2_and_k3_descend_a_divergence_at_every_prefix(answers, z):
    rewards, held = np.zeros(len(answers.tokens)), reach(z, answers)
    k1, k2, k3 = (mean_of(in_the_loss(k), 2, answers, z, rewards, logits_ref=Z_REF)
                  for k in (kl.kl_k1_grad, kl.kl_k2_grad, kl.kl_k3_grad))
    assert_allclose(k1, 0, atol=1e-13)
    ref = softmax(Z_REF)
    forward = complex_step(lambda x: kl_by_prefix(held, softmax(x), ref), z)
    reverse = complex_step(lambda x: kl_by_prefix(held, ref, softmax(x)), z)
    assert_allclose(k2, -BETA * forward, rtol=1e-9, atol=1e-12)
    assert_allclose(k3, -BETA * reverse, rtol=1e-9, atol=1e-12)


def test_without_a_reference_the_policy_is_its_own_and_nothing_is_penalised():
    assert_array_equal(mean_of(in_the_loss(kl.kl_k2_grad)), 0)
    assert_allclose(mean_of(lambda g: rloo(with_k1_in_the_reward(g))), objective_grad(Z, ALL, R), atol=1e-12)


def test_k2_per_token_misses_what_early_tokens_do_and_k2_of_whole_answers_does_not():
    exact = objective_grad(Z, ALL, np.zeros(27), Z_REF, BETA)

    def whole(groups):
        d = kl.kl_k2_grad(groups.logp.sum(axis=-1), groups.logp_ref.sum(axis=-1))[..., None]
        return BETA * d * groups.weight

    assert_allclose(mean_of(whole, 2, rewards=np.zeros(27), logits_ref=Z_REF), exact, rtol=1e-10, atol=1e-12)
    per_token = mean_of(in_the_loss(kl.kl_k2_grad), 2, rewards=np.zeros(27), logits_ref=Z_REF)
    assert_allclose(per_token[4:], exact[4:], rtol=1e-9, atol=1e-12)        # last tokens have nothing after them
    assert (np.abs(per_token - exact)[:4].max(axis=1) > 1e-4).all()


# ---------------------------------------------------------------- limits, bad input

@pytest.mark.parametrize("size", [1, 2])
def test_the_size_of_a_block_changes_nothing(size, monkeypatch):
    whole = expectation_and_variance(Z, ALL, R, size, reinforce)
    monkeypatch.setattr(estimators, "BLOCK", 100)
    assert_allclose(expectation_and_variance(Z, ALL, R, size, reinforce), whole, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: all_answers(1, 3), ValueError, "vocabulary is 1; expected an integer >= 2"),
    (lambda: all_answers(3, 0), ValueError, "length is 0; expected an integer >= 1"),
    (lambda: all_answers(3, 3, end=3), ValueError, r"end is 3; expected an integer in \[0, 2\]"),
    (lambda: logp(np.zeros((4, 3)), ALL), ValueError,
     r"the shape of logits is \(4, 3\); expected \(P, 3\), P >= 13, a row for each prefix"),
    (lambda: logp(np.zeros((13, 4)), ALL), ValueError, r"the shape of logits is \(13, 4\); expected \(P, 3\)"),
    (lambda: objective(Z, ALL, R, beta=1), ValueError, r"logits_ref is None; expected logits \(P, V\) of"),
    (lambda: objective_grad(Z, ALL, R, beta=1), ValueError, "logits_ref is None; expected logits"),
    (lambda: objective(Z, ALL, R, Z[1:], 1), ValueError, r"the shape of logits_ref is \(12, 3\)"),
    (lambda: mean_of(rloo, logits_ref=Z[1:]), ValueError, r"the shape of logits_ref is \(12, 3\)"),
    (lambda: logp(np.full((13, 3), np.nan), ALL), ValueError, r"logits\[0, 0\] is nan; expected finite numbers"),
    (lambda: objective(Z, ALL, R[1:]), ValueError, r"the shape of rewards is \(26,\); expected \(27,\), a reward"),
    (lambda: objective(Z, ALL, R, Z_REF, -1), ValueError, "beta is -1; expected a finite number >= 0"),
    (lambda: objective_grad(Z, ALL, R[1:]), ValueError, r"the shape of rewards is \(26,\); expected \(27,\), one"),
    (lambda: objective_grad(Z, ALL, R, Z_REF, -1), ValueError, "beta is -1; expected a finite number >= 0"),
    (lambda: mean_of(rloo, 1), ValueError, "the shape of rewards is .*; expected at least 2 answers"),
    (lambda: mean_of(grpo, 1), ValueError, r"the shape of rewards is \(27, 1\); expected at least 2 answers"),
    (lambda: mean_of(grpo, 0), ValueError, "size is 0; expected an integer >= 1"),
    (lambda: mean_of(grpo, 6, limit=1000), ValueError,
     "size is 6; expected a smaller one: 27 answers make 906192 groups, and limit is 1000"),
    (lambda: mean_of(grpo, z=Z + 0j), TypeError, "logits is .*; expected an array of real numbers"),
    (lambda: mean_of(grpo, rewards=np.full(27, np.inf)), ValueError, r"rewards\[0\] is inf; expected finite numbers"),
    (lambda: effective_reward([.5, .5], [1.], 2), ValueError, r"the shape of rewards is \(1,\); expected \(2,\)"),
    (lambda: effective_reward([1., 0.], [1., 0.], 2), ValueError, r"probs\[1\] is 0.0; expected a finite number > 0"),
    (lambda: effective_reward([.5, .5], [1., 0.], 1), ValueError, "size is 1; expected an integer >= 2"),
    (lambda: effective_reward([.5, .5 + 0j], [1., 0.], 2), TypeError, "probs is .*; expected an array of real numbers"),
    (lambda: effective_reward([.5, .5], [1j, 0.], 2), TypeError, "rewards is .*; expected an array of real numbers"),
    (lambda: mean_of(grpo, rewards=R + 0j), TypeError, "rewards is .*; expected an array of real numbers"),
])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        call()


# ---------------------------------------------------------------- the checks are checked

@pytest.mark.parametrize("broken", [
    lambda g: -reinforce(g),
    lambda g: 1.001 * reinforce(g),
    lambda g: reinforce(g._replace(reward=g.reward - g.reward.mean(axis=-1, keepdims=True))),
    lambda g: reinforce(g._replace(reward=g.reward + leave_one_out_baseline(g.reward)[:, ::-1])),
    lambda g: reinforce(g._replace(reward=g.reward / (g.reward.std(axis=-1, keepdims=True) + 1))),
    lambda g: reinforce(g._replace(weight=g.weight / 3)),
    lambda g: np.roll(reinforce(g) * [1, 1, 0], 1, axis=-1),
    lambda g: reinforce(g) * np.exp(g.logp),
], ids=["sign", "factor", "own mean", "own reward", "std", "weight", "a token off", "probability"])
def test_the_comparison_notices_a_loss_that_is_almost_right(broken):
    assert not np.allclose(mean_of(broken, 2), objective_grad(Z, ALL, R), rtol=1e-6, atol=1e-6)


def test_impossible_rows_of_prefixes_after_the_end_get_nothing():
    after_end = sorted(set(range(13)) - set(ENDING.prefix.ravel().tolist()))
    assert after_end == [3, 6, 9, 10, 11, 12]
    assert_array_equal(mean_of(rloo, 2, **END)[after_end], 0)
    assert (mean_of(rloo, 2, **END)[[0, 1, 2, 4, 5, 7, 8]] != 0).all()


@pytest.mark.parametrize("size", [2, 3, 4])
def test_probabilities_of_groups_add_to_one(size):
    ones = effective_reward(probabilities(Z_END, ENDING), R_END, size, np.ones_like)
    assert_allclose(ones, 1, rtol=1e-12)
