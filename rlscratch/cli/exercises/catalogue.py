"""The twenty-two exercises: what each is held against, on inputs from small to large.

An input shows one thing, and its claim says it without saying how.  Numbers are few and round, so that a student can
follow them with a pencil.
"""
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch import check, kernels
from rlscratch.bpe import Tokenizer
from rlscratch.bpe.tokenizer import BYTES
from rlscratch.check import Array
from rlscratch.cli.exercises.marks import Case, Exercise
from rlscratch.formulas import (
    best_of_n,
    continuous,
    cross_entropy,
    distribution,
    grpo,
    kl,
    policy_gradient,
    ppo,
    preference,
    returns,
    standard_error,
    td,
    weights,
)

SHIPPED = Path(__file__).resolve().parents[3] / "exercises"
INF, LOG2, LOG3 = np.inf, np.log(2.0), np.log(3.0)


def A(*numbers: Any) -> Array:
    """An array of floats: a row of numbers, or rows."""
    return np.array(numbers, float)


def cases(*rows: tuple) -> tuple[Case, ...]:
    """(word, claim, *arguments) each."""
    return tuple(Case(word, claim, given) for word, claim, *given in rows)


# ---------------------------------------------------------------- ours, with a student's arguments

def _q_update(q: Array, s: int, a: int, reward: float, s_next: int, alpha: float, gamma: float, done: bool) -> Array:
    return td.q_learning_update(q, s, a, reward, s_next, alpha, 0.0 if done else gamma)


def _ppo(logp: Array, logp_old: Array, advantage: Array, mask: Array, eps: float) -> float:
    return ppo.ppo_clip_loss(logp, logp_old, advantage, weights.token_mean(mask), eps, eps)


def _gae(rewards: Array, values: Array, gamma: float, lam: float) -> Array:
    return returns.gae(rewards, values, np.append(values[1:], 0.0), gamma, lam)


def _attention(q: Array, k: Array, v: Array) -> Array:
    return kernels.attention(np.stack([q, k, v], axis=1)[None, :, :, None])[0][0, :, 0]


def _cross_entropy(logits: Array, targets: Array, mask: Array) -> float:
    return cross_entropy.logits_cross_entropy(logits[mask == 1], targets[mask == 1])


def _merge(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    left, right = (token.encode() for token in pair)
    learned = Tokenizer(dict(enumerate([*BYTES, left + right])), [(left, right)])
    return [learned.vocab[i].decode() for i in learned.encode("".join(tokens))]


def _value(values: Array, values_old: Array, returns: Array, mask: Array, clip: float) -> float:
    return ppo.value_loss(values, returns, weights.token_mean(mask), values_old, clip)


def _divided(by: Callable[[int, int], float]) -> tuple[str, str, Callable[[Array], float]]:
    """The mistake of a standard error whose divisor is not P R."""
    return ("divisor", "the variance of a mean of P R values is that of one value divided by P R",
            lambda values: standard_error.mean_error(values) * np.sqrt(values.size / by(*values.shape)))


# ---------------------------------------------------------------- the exercises

_AHEAD, _TWO = "a chosen answer that is ahead costs less than one that is behind", A(0, 0)

EXERCISES = (
    Exercise("01_softmax", "softmax", ("logits", "temperature"), distribution.softmax, cases(
        ("equal", "equal logits share evenly", A(0, 0), 1.0),
        ("odds", "a logit that is log 3 higher has three times the probability", A(0, LOG3), 1.0),
        ("temperature", "half the temperature squares the odds", A(0, LOG3), 0.5),
        ("mask", "a logit of -inf has the probability 0, and nothing else changes", A(0, -INF, 0), 1.0),
        ("overflow", "only differences of logits count, however large they are", A(1000, 1000), 1.0),
        ("overflow", "only differences of logits count, however large they are", A(1e4, -1e4, 1e4), 0.5)),
        proofs=("distribution.softmax", "test_adding_a_constant_to_every_logit_changes_nothing",
                "test_temperature_sharpens_towards_the_arg_max_and_flattens_towards_uniform"),
        standing=lambda f: lambda logits, temperature=1.0: f(logits, temperature), row=True),
    Exercise("02_top_p", "top_p", ("probs", "p"), distribution.top_p, cases(
        ("all", "p = 1 keeps every token", A(.5, .3, .2), 1.0),
        ("edge", "the token that reaches p stays", A(.75, .25), 0.5),
        ("place", "what stays keeps its place in the row", A(.25, .75), 0.5),
        ("edge", "tokens stay until their mass has reached p", A(.5, .3, .2), 0.75),
        ("edge", "a mass of exactly p is enough", A(.5, .25, .25), 0.5),
        ("tie", "of equal probabilities the first stay", A(.25, .25, .25, .25), 0.5)),
        row=True),
    Exercise("03_q_update", "q_update", ("q", "s", "a", "reward", "s_next", "alpha", "gamma", "done"), _q_update, cases(
        ("step", "an entry of 0 moves the share alpha of the way to the reward", A([0, 0], [0, 0]), 0, 1, 1., 1, .5, .5,
         False),
        ("step", "the entry keeps the share 1 - alpha of what it was", A([0, 2], [0, 0]), 0, 1, 0.0, 1, .25, .0, False),
        ("discount", "what follows counts gamma times", A([0, 0], [4, 4]), 0, 0, 0.0, 1, 1.0, .5, False),
        ("max", "what follows is worth its best action", A([0, 0], [1, 4]), 0, 0, 0.0, 1, 1.0, .5, False),
        ("max", "what follows is worth its best action, the row of s_next", A([9, 9], [-2, -4]), 0, 0, 0.0, 1, 1.0, 1.0,
         False),
        ("end", "nothing follows an end, whatever the table holds", A([0, 0], [4, 4]), 0, 1, 1., 1, .5, .5, True)),
        proofs=("td.q_learning_update", "test_document_000_s_second_update_and_its_steps",
                "test_an_update_moves_one_entry_a_share_alpha_of_the_way_and_leaves_the_argument"),
        standing=lambda f: lambda q, s, a, reward, s_next, alpha, discount: f(
            q, s, a, reward, s_next, alpha, discount, False)),
    Exercise("04_discounted_return", "discounted_return", ("rewards", "gamma"), returns.discounted_return, cases(
        ("power", "the first reward is not discounted", A(2), 0.5),
        ("discount", "the second reward counts gamma times", A(0, 4), 0.5),
        ("power", "each step later is one more factor of gamma", A(0, 0, 4), 0.5),
        ("edge", "gamma = 0 keeps the first reward alone", A(2, 5), 0.0),
        ("edge", "gamma = 1 adds all rewards", A(1, 2, 4), 1.0)),
        proofs=("returns.discounted_return",
                "test_with_the_gamma_of_its_definition_document_000_would_print_another_number",
                "test_each_reward_to_go_is_the_discounted_return_of_the_rest")),
    Exercise("05_rewards_to_go", "rewards_to_go", ("rewards", "gamma"), returns.rewards_to_go, cases(
        ("own", "a move is followed by its own reward", A(2), 0.5),
        ("past", "a reward that came before a move is none of its business", A(1, 0), 1.0),
        ("future", "a reward counts for the moves before it", A(0, 1), 1.0),
        ("discount", "a reward one step later counts gamma times", A(0, 4), 0.5),
        ("discount", "each step later is one more factor of gamma", A(0, 0, 4), 0.5),
        ("edge", "gamma = 0 leaves the rewards themselves", A(1, 2, 4), 0.0)),
        proofs=("returns.rewards_to_go", "test_the_table_of_document_000_lists_the_rewards_to_go_along_its_path",
                "test_each_reward_to_go_is_the_discounted_return_of_the_rest")),
    Exercise("06_log_derivative", "log_derivative", ("logits", "action", "reward"),
             lambda logits, action, reward: reward * policy_gradient.score(logits, action), cases(
        ("score", "what was drawn gains what it lacks to probability 1", A(0, 0), 0, 1.0),
        ("action", "it is the drawn action that gains", A(0, 0), 1, 1.0),
        ("reward", "a reward of 3 pushes three times as far", A(0, 0), 0, 3.0),
        ("reward", "a reward below 0 pushes the other way", A(0, 0), 0, -1.0),
        ("others", "each action that was not drawn loses its own probability", A(0, 0, LOG2), 0, 1.0)),
        proofs=("policy_gradient.score", "test_the_score_of_paris", "test_score_is_the_gradient_of_log_pi"),
        standing=lambda f: lambda logits, action: f(logits, action, 1.0)),
    Exercise("07_ppo_clip", "ppo_clip_loss", ("logp", "logp_old", "advantage", "mask", "eps"), _ppo, cases(
        ("value", "at the old policy the loss is minus the advantage", A([-1]), A([-1]), A([2]), A([1]), .25),
        ("ratio", "inside the range the advantage counts as often as the ratio says", A([-1 + np.log(1.125)]), A([-1]),
         A([1]), A([1]), .25),
        ("clip", "A > 0: above the range nothing more is gained", A([-1]), A([-1 - LOG2]), A([1]), A([1]), .25),
        ("clip", "A > 0: below the range nothing is cut", A([-1 - LOG2]), A([-1]), A([1]), A([1]), .25),
        ("clip", "A < 0: below the range nothing more is gained", A([-1 - LOG2]), A([-1]), A([-1]), A([1]), .25),
        ("clip", "A < 0: above the range nothing is cut", A([-1]), A([-1 - LOG2]), A([-1]), A([1]), .25),
        ("mask", "a masked token counts neither in the sum nor in the number of tokens", A([-1, -2]), A([-1, -1]),
         A([2, 2]), A([1, 0]), .25),
        ("mean", "every token of the batch weighs the same, in a long answer and in a short one", A([-1, -1], [-1, 0]),
         A([-1, -1], [-1, 0]), A([1, 1], [4, 0]), A([1, 1], [1, 0]), .25)), like="dapo"),
    Exercise("08_baseline", "leave_one_out_advantage", ("rewards",), policy_gradient.leave_one_out_advantage, cases(
        ("others", "an answer is compared with the others, not with itself", A([1, 0])),
        ("others", "the baseline is a mean of the others", A([6, 0, 3])),
        ("group", "each prompt, a row, is by itself", A([1, 0], [8, 4]))), like="rloo"),
    Exercise("09_grpo_advantage", "group_advantage", ("rewards",), grpo.group_advantage, cases(
        ("std", "the deviation is the one that divides by G - 1", A([0, 1])),
        ("mean", "a reward counts as far as it is above the mean", A([10, 5, -10])),
        ("tie", "a group in which all earn the same teaches nothing: 0", A([1, 1])),
        ("tie", "a group in which all earn the same teaches nothing, though its float deviation is not 0", A([.1] * 3)),
        ("group", "each prompt, a row, is by itself", A([0, 1], [8, 4]))), like="group_advantage"),
    Exercise("10_k3", "k3", ("logp", "logp_ref"), kl.kl_k3, cases(
        ("home", "equal policies are at distance 0", A(-1), A(-1)),
        ("direction", "the distance is from the policy, logp, to the reference", A(-1), A(-1 - LOG2)),
        ("positive", "it is never below 0", A(-1 - LOG2), A(-1)),
        ("shape", "an estimate for each token", A([-1, -2]), A([-1, -3]))),
        like="k3"),
    Exercise("11_gae", "gae", ("rewards", "values", "gamma", "lam"), _gae, cases(
        ("end", "after the last reward nothing follows", A(2), A(.5), .5, .5),
        ("value", "what was expected, the value, is taken off the reward", A(2, 1), A(.5, 0), .5, .0),
        ("next", "the next value counts gamma times", A(0, 0), A(0, 4), .5, .0),
        ("trace", "later errors count gamma times lam a step", A(0, 4), A(0, 0), .5, .5),
        ("trace", "later errors count gamma times lam a step, each step anew", A(0, 0, 8), A(0, 0, 0), .5, .5),
        ("trace", "later errors count, values and all", A(1, 2, -1), A(.5, -1, 2), .5, .75))),
    Exercise("12_bradley_terry", "bradley_terry_loss", ("chosen", "rejected"), preference.bradley_terry_loss, cases(
        ("equal", "equal scores are a toss: log 2", A(0), A(0)),
        ("sign", _AHEAD, A(1), A(0)),
        ("mean", "the loss is a mean over pairs", A(1, 0), A(0, 1)),
        ("overflow", "a chosen answer far behind costs how far it is, and is finite", A(-1000), A(0))),
        like="reward_model"),
    Exercise("13_dpo", "dpo_loss", ("chosen", "rejected", "ref_chosen", "ref_rejected", "beta"), preference.dpo_loss,
             cases(
        ("equal", "where policy and reference are one, the loss is log 2", A(-1), A(-1), A(-1), A(-1), .5),
        ("reference", "what the reference prefers is no merit of the policy", A(-1), A(-2), A(-1), A(-2), .5),
        ("sign", _AHEAD, A(-1), A(-2), A(-1), A(-1), 1.0),
        ("beta", "beta multiplies the margin", A(-1), A(-2), A(-1), A(-1), .5),
        ("mean", "the loss is a mean over pairs", A(-1, -1), A(-2, -1), A(-1, -1), A(-1, -2), .5),
        ("overflow", "a chosen answer far behind costs its distance: finite", A(-5000), A(-1), A(-1), A(-1), .5)),
        like="dpo"),
    Exercise("14_attention", "attention", ("q", "k", "v"), _attention, cases(
        ("alone", "one token sees itself, and has its own value", A([2]), A([1]), A([3])),
        ("mask", "a token sees itself and what came before, nothing later", A([0], [0]), A([0], [0]), A([2], [4])),
        ("scale", "scores are divided by the root of D, the width", A([0, 0, 0, 0], [2, 0, 0, 0]),
         A([0, 0, 0, 0], [2, 0, 0, 0]), A([0, 0, 0, 0], [1, 0, 0, 2])),
        ("query", "a row of the answer is a query's, weighed over keys", A([0], [1]), A([LOG2], [0]), A([3], [0])),
        ("overflow", "only differences of scores count, however large they are", A([1e3], [1e3]), A([1e3], [1e3]),
         A([2], [4])))),
    Exercise("15_cross_entropy", "cross_entropy", ("logits", "targets", "mask"), _cross_entropy, cases(
        ("equal", "two equal logits cost log 2, in nats", A(_TWO), np.array([0]), A(1)),
        ("target", "the target's logit counts, whichever it is", A([0, LOG3]), np.array([1]), A(1)),
        ("mean", "the loss is a mean over tokens", A(_TWO, [0, LOG3]), np.array([0, 0]), A(1, 1)),
        ("mask", "a masked token counts neither in the sum nor in the number of tokens", A(_TWO, [0, LOG3]),
         np.array([0, 0]), A(1, 0)),
        ("overflow", "a target far behind costs how far it is, and is finite", A([0, 2000]), np.array([0]), A(1))),
        proofs=("cross_entropy.logits_cross_entropy", "test_the_capital_of_france",
                "test_over_targets_from_q_the_loss_is_entropy_plus_divergence"),
        standing=lambda f: lambda logits, target: f(np.atleast_2d(logits), np.atleast_1d(target), np.ones(1))),
    Exercise("16_bpe_merge", "merge", ("tokens", "pair"), _merge, cases(
        ("nothing", "where the pair does not stand nothing changes", ["a"], ("a", "b")),
        ("pair", "a pair becomes one token", ["a", "b"], ("a", "b")),
        ("order", "b before a is another pair", ["b", "a"], ("a", "b")),
        ("every", "every place is merged, and what stands between stays", ["a", "b", "c", "a", "b"], ("a", "b")),
        ("tie", "of places that overlap the leftmost is merged", ["a", "a", "a"], ("a", "a")),
        ("tie", "a token that was merged is not merged again", ["a", "a", "a", "a"], ("a", "a")))),
    Exercise("17_epsilon_greedy", "epsilon_greedy", ("q", "epsilon"), td.epsilon_greedy, cases(
        ("greedy", "without exploring the best action is certain", A(0, 1), 0.0),
        ("explore", "with epsilon = 1 all actions are alike", A(0, 1), 1.0),
        ("explore", "any action may be explored, the best one too", A(0, 1), 0.5),
        ("tie", "of equal actions the first is the greedy one", A(1, 1), 0.0),
        ("tie", "of equal actions the first is the greedy one", A(0, 2, 2, 1), 0.5)),
        row=True),
    Exercise("18_kl", "kl", ("p", "q"), kl.kl, cases(
        ("home", "a distribution is at distance 0 from itself", A(.5, .5), A(.5, .5)),
        ("direction", "p draws: its probabilities weigh the sum", A(.75, .25), A(.5, .5)),
        ("zero", "what p never draws costs nothing", A(1, 0), A(.5, .5)),
        ("zero", "what q cannot say and p does is infinitely far", A(.5, .5), A(1, 0))),
        proofs=("kl.kl", "test_kl_is_the_sum_it_says_is_never_negative_and_is_zero_at_home",
                "test_kl_is_not_symmetric_and_takes_the_policy_first"), standing=lambda f: lambda p, q: f(
                    np.asarray(p, float), np.asarray(q, float))),
    Exercise("19_value_clip", "value_loss", ("values", "values_old", "returns", "mask", "clip"), _value, cases(
        ("half", "an error costs half its square", A([1]), A([1]), A([3]), A([1]), .25),
        ("clip", "of both squares, free and clipped, the larger counts", A([2]), A([1]), A([3]), A([1]), .25),
        ("clip", "a value that moved away from its return is not forgiven", A([0]), A([1]), A([3]), A([1]), .25),
        ("mask", "a masked token counts neither in the sum nor in the number of tokens", A([1, 5]), A([1, 1]),
         A([3, 0]), A([1, 0]), .25),
        ("mean", "every token of the batch weighs the same", A([1, 1], [2, 0]), A([1, 1], [2, 0]), A([3, 1], [2, 0]),
         A([1, 1], [1, 0]), .25)), like="clipped_value_loss"),
    Exercise("20_pass_at_k", "pass_at_k", ("answers", "right", "k"), best_of_n.pass_at_k, cases(
        ("one", "one try is right as often as answers are", 4, 1, 1),
        ("none", "where no answer is right no k of them hold one", 4, 0, 2),
        ("sure", "where fewer than k are wrong it is certain", 4, 3, 2),
        ("back", "an answer that was drawn is not put back", 4, 2, 2),
        ("back", "an answer that was drawn is not put back", 10, 3, 5)),
        like="pass_at_k",
        proofs=("best_of_n.pass_at_k", "test_pass_at_k_is_unbiased_and_the_share_to_the_power_k_is_not",
                "test_pass_at_k_is_the_best_of_a_pool_of_zeros_and_ones")),
    Exercise("21_gaussian", "gaussian_logp", ("mean", "log_std", "action"), continuous.gaussian_logp, cases(
        ("density", "a density counts probability per length: at the mean of a width of 1 the constant is left", A(0),
         A(0), A(0)),
        ("width", "a Gaussian of twice the width is half as high", A(0), A(LOG2), A(0)),
        ("distance", "the distance from the mean counts with half its square", A(0), A(0), A(2)),
        ("distance", "the distance from the mean is counted in widths", A(1), A(LOG2), A(5)),
        ("axes", "numbers that are drawn independently multiply their densities", A(0, 1), A(0, 0), A(0, 0)),
        ("overflow", "far out the logarithm is the distance, and finite", A(0), A(0), A(1000))),
        proofs=("continuous.gaussian_logp", "test_the_density_and_its_moments_by_quadrature"),
        standing=lambda f: lambda mean, log_std, action: np.array(list(map(f, mean, log_std, action)))),
    Exercise("22_standard_error", "mean_error", ("values",), standard_error.mean_error, cases(
        ("deviation", "a prompt's variance divides by one less than its answers", A([1, 3])),
        ("deviation", "a prompt's variance divides by one less than its answers", A([0, 3, 0])),
        ("root", "the error is in units of the values, and not of their squares", A([1, 5])),
        ("prompts", "an answer is compared with those to the same prompt alone", A([1, 3], [10, 12])),
        ("mean", "variances are averaged, and not deviations", A([0, 3, 0], [0, 0, 6])),
        ("alike", "answers that are all alike leave no doubt", A([5, 5], [5, 5]))),
        proofs=("standard_error.mean_error", "test_its_square_is_on_average_the_variance_of_the_mean"),
        mistakes=(_divided(lambda P, R: P), _divided(lambda P, R: R), _divided(lambda P, R: 1),
                  _divided(lambda P, R: R / P),
                  ("prompts", "how far prompts are from each other is no part of it",
                   lambda values: values.mean(axis=1).std() / np.sqrt(len(values))))),
)


def of(file: str | Path) -> Exercise:
    """The exercise that a file is for, by its name, such as 07_ppo_clip.py.

    Raises ValueError for another name.
    """
    by_name = {exercise.name: exercise for exercise in EXERCISES}
    name = Path(file).name
    if name.removesuffix(".py") not in by_name or not name.endswith(".py"):
        check.fail("file", str(file), f"the name of an exercise: {', '.join(f'{one}.py' for one in by_name)}")
    return by_name[name.removesuffix(".py")]
