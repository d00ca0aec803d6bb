"""A policy over answers of a few tokens, enumerated: what REINFORCE, RLOO, GRPO and PPO ascend on average.

V tokens, answers of at most L of them, and one row of logits for each prefix (1 + V + ... + V^(L-1)
rows), as if a language model could hold any distribution:

    p(y) = prod_t pi(y_t | y_<t),      S(y) = sum_t grad log pi(y_t | y_<t)                (1)
    J = sum_y p(y) R(y),               grad J = sum_y p(y) R(y) S(y)                       (2)

Training draws G answers to one prompt and descends a loss of formulas; one step adds

    u = - sum_it dL/dlogp_it grad logp_it                                                  (3)

Below, its mean over all groups.  Most losses have dL/dlogp_it = - w_it A_i at pi = pi_old: the
documents' GRPO, PPO and the paper's GRPO, whose ratio is 1 and clips nothing, for every group and not
only on average.  The order within a group does not matter.  So with w = 1/G (sequence_sum)

    E[u] = E[A_1 S(y_1)] = sum_y p(y) a(y) S(y),     a(y) = E[A_1 | y_1 = y]               (4)

By (2), E[u] is the gradient of expected reward for another reward, the effective one, a:

    REINFORCE       A_i = r_i                             a = R
    leave-one-out   A_i = r_i - mean of the others        a = R - J            exact, as E[S] = 0
    centred         A_i = r_i - mean = (1 - 1/G) of it    a = (1 - 1/G) (R - J)
    GRPO            A_i = (r_i - mean) / std              a is not linear in R: another direction

Where R takes two values only (right or wrong), so does a, and E[S] = 0 leaves

    E[u] = (a_right - a_wrong) grad P(right)                                               (5)

the right direction, whatever the std.  For G = 2 and 3 the factor is (G - 1)/sqrt(G).  For larger groups
it has that value where nearly all answers are right, or nearly all wrong, and less in between (G = 4: 1.5
and, at P(right) = 1/2, 1.40): the std promotes the easiest and the hardest prompts (Dr. GRPO).

Lengths.  An answer of n(y) tokens; with w_it = 1/(G n_i) (sequence_mean) a becomes a(y) / n(y): long
answers, right or wrong, count less, and a baseline no longer drops out, as E[S/n] is not 0.  Divided by
a constant (constant_length) the direction is right.  token_mean divides by all tokens of the group, a
random number that the answers themselves decide: another direction again.

KL.  With d(y) = log p(y) - log q(y) for the whole answer, taken from the reward,

    E[(R - beta d) S] = grad ( J - beta KL(p || q) )                                       (6)

In the loss, each token's k2 or k3 meets its own score (formulas.kl, equation (5), for every prefix h):

    E[k2' grad logp] = sum_h P(h) grad KL(pi(.|h) || q(.|h)),    k3: KL(q || pi)           (7)

P(h) is the probability of reaching h, and held: (7) lacks what early tokens do to it.  The k2 of whole
answers, d^2 / 2, has no such gap.  k1 in the loss has the mean 0.

Source: document 002, GRPO steps 1-4; document 003, "The Policy Gradient Objective Function"; the papers
        that formulas.grpo names, Dr. GRPO, arXiv:2503.20783, for the two biases of GRPO.
Leaves out: several prompts at once (each has its own (4)); networks, whose prefixes share parameters.
        With another sampler, logits_old, the mean is over its groups (formulas.off_policy).
"""
from collections.abc import Callable, Iterator
from itertools import combinations_with_replacement, islice, product
from math import comb, factorial
from typing import NamedTuple

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.expectations import estimators
from rlscratch.formulas.distribution import expected_reward, log_softmax
from rlscratch.formulas.grpo import group_advantage, grpo_grad
from rlscratch.formulas.kl import kl_objective
from rlscratch.formulas.policy_gradient import leave_one_out_baseline, reinforce_grad
from rlscratch.formulas.ppo import ppo_clip_grad
from rlscratch.formulas.weights import sequence_sum

LIMIT = 10**6       # groups


class Answers(NamedTuple):
    """All Y answers, in lexicographic order; entries are 0 after an answer's end.

    tokens  (Y, L)  integers in [0, V)
    mask    (Y, L)  1 for the answer's own tokens, its end included
    prefix  (Y, L)  the row of logits from which each token was drawn: 0 for the empty prefix, then 1 + y_0, ...
    """

    tokens: Array
    mask: Array
    prefix: Array


class Groups(NamedTuple):
    """M groups of G answers: what a loss is given.

    reward    (M, G)     one for each answer
    logp      (M, G, L)  of the tokens, under the policy
    logp_old  (M, G, L)  of the same tokens, under the policy that sampled
    logp_ref  (M, G, L)  of the same tokens, under the reference
    mask      (M, G, L)
    weight    (M, G, L)  how much each token of the group counts
    """

    reward: Array
    logp: Array
    logp_old: Array
    logp_ref: Array
    mask: Array
    weight: Array


# ---------------------------------------------------------------- the policy and its objective

def all_answers(vocabulary: int = 3, length: int = 3, end: int | None = None) -> Answers:
    """Every answer there is: V^L of them, fewer if the token `end` ends one.

    vocabulary  V >= 2
    length      L >= 1, the most tokens an answer has
    end         a token in [0, V), or None: all answers have L tokens

    >>> len(all_answers().tokens), all_answers(2, 2).prefix.tolist()
    (27, [[0, 1], [0, 1], [0, 2], [0, 2]])
    >>> all_answers(2, 2, end=1).mask.tolist()                    # 0 0, 0 1 and 1
    [[1.0, 1.0], [1.0, 1.0], [1.0, 0.0]]
    """
    vocabulary, length = check.integer(2, vocabulary=vocabulary), check.integer(1, length=length)
    if end is not None:
        end = check.integer(0, vocabulary - 1, end=end)
    tokens = np.array(list(product(range(vocabulary), repeat=length)))
    ended = np.cumsum(tokens == end, axis=1) if end is not None else np.zeros_like(tokens)
    mask = np.column_stack([np.ones(len(tokens), bool), ended[:, :-1] == 0])
    prefix = np.zeros_like(tokens)
    for t in range(1, length):
        prefix[:, t] = 1 + vocabulary * prefix[:, t - 1] + tokens[:, t - 1]
    first = np.unique(np.where(mask, tokens, -1), axis=0, return_index=True)[1]
    keep = np.sort(first)
    return Answers(*((array * mask)[keep] for array in (tokens, np.ones(mask.shape), prefix)))


def logp(logits: Array, answers: Answers) -> Array:
    """log pi(y_t | y_<t), (Y, L), 0 after an answer's end.

    logits  (P, V)  a row for each prefix; real or complex, finite
    """
    rows = log_softmax(_table(answers, logits=logits))
    return rows[answers.prefix, answers.tokens] * answers.mask


def objective(logits: Array, answers: Answers, rewards: Array, logits_ref: Array | None = None,
              beta: float = 0.0) -> float:
    """(2), or J - beta KL(p || q) of (6), to be maximised.

    logits      (P, V)  a row for each prefix
    rewards     (Y,)    R(y), one for each answer, in units of reward
    logits_ref  (P, V)  q; needed if beta > 0, which is in units of reward per nat

    Three words, one token, document 002's rewards at a policy of a third each:

    >>> round(objective(np.zeros((1, 3)), all_answers(3, 1), [10, 5, -10]), 6)
    1.666667
    """
    p, ref = np.exp(logp(logits, answers).sum(axis=1)), _log_ref(logits_ref, answers, beta)
    return expected_reward(p, rewards) if ref is None else kl_objective(p, np.exp(ref), rewards, beta)


def objective_grad(logits: Array, answers: Answers, rewards: Array, logits_ref: Array | None = None,
                   beta: float = 0.0) -> Array:
    """(2) or (6): the gradient of objective, (P, V).  Arguments as there.

    >>> objective_grad(np.zeros((1, 3)), all_answers(3, 1), [10, 5, -10]).round(2).tolist()
    [[2.78, 1.11, -3.89]]
    """
    logits = _table(answers, logits=logits)
    log_p, ref = logp(logits, answers).sum(axis=1), _log_ref(logits_ref, answers, beta)
    gain = _rewards(rewards, answers) - (0 if ref is None else beta * (log_p - ref))
    weights = answers.mask * (np.exp(log_p) * gain)[:, None]
    return _added(answers, np.arange(len(gain))[None], weights[None], logits)[0]


# ---------------------------------------------------------------- losses: groups -> dL/dlogp

# (M, G, L), or (M, G, 1) where all tokens of an answer share one number; w is groups.weight.

def reinforce(groups: Groups) -> Array:
    """- w r_i"""
    return reinforce_grad(groups.logp, groups.reward[..., None], groups.weight)


def rloo(groups: Groups) -> Array:
    """- w (r_i - the mean of the others)"""
    advantage = groups.reward - leave_one_out_baseline(groups.reward)
    return grpo_grad(groups.logp, advantage[..., None], groups.weight)


def grpo(groups: Groups, **choices: float | bool | str) -> Array:
    """- w A_i, the documents' loss.  choices: ddof, eps, zero_std, center_only of group_advantage."""
    return grpo_grad(groups.logp, group_advantage(groups.reward, **choices)[..., None], groups.weight)


def ppo(groups: Groups, **choices: float | bool | str) -> Array:
    """PPO's, and without a penalty the paper's GRPO.  choices as in grpo."""
    advantage = group_advantage(groups.reward, **choices)[..., None]
    return ppo_clip_grad(groups.logp, groups.logp_old, advantage, groups.weight)


# ---------------------------------------------------------------- means over all groups

def expectation_and_variance(logits: Array, answers: Answers, rewards: Array, size: int,
                             loss_grad: Callable[[Groups], Array], weigh: Callable[[Array], Array] = sequence_sum,
                             logits_ref: Array | None = None, limit: int = LIMIT,
                             logits_old: Array | None = None) -> tuple[Array, Array]:
    """E[u] of (3) and the variance of each coordinate of u, over all groups: (P, V) twice.

    logits      (P, V)  a row for each prefix
    rewards     (Y,)    one for each answer
    size        G >= 1
    loss_grad   a function of Groups, such as those above, that does not look at the order of the answers
    weigh       from a mask (G, L) to weights (G, L): formulas.weights
    logits_ref  (P, V)  q; None: the policy
    limit       how many groups may be enumerated, counted without regard to order
    logits_old  (P, V)  what the groups are drawn from; None: the policy

    Raises ValueError, before anything is computed, if there are more than `limit` groups.

    Two of document 002's three words: GRPO does not raise the second, which is better than the mean.

    >>> words, rewards = all_answers(3, 1), [10, 5, -10]
    >>> (expectation_and_variance(np.zeros((1, 3)), words, rewards, 2, grpo)[0].round(3) + 0).tolist()
    [[0.157, 0.0, -0.157]]
    >>> expectation_and_variance(np.zeros((1, 3)), words, rewards, 2, rloo)[0].round(2).tolist()
    [[2.78, 1.11, -3.89]]
    """
    logits, rewards = check.real(logits=_table(answers, logits=logits)), _rewards(rewards, answers)
    own = logp(logits, answers)
    ref = own if logits_ref is None else logp(_table(answers, logits_ref=logits_ref), answers)
    old = own if logits_old is None else check.real(old=logp(_table(answers, logits_old=logits_old), answers))

    def update(index: Array) -> Array:
        masks = answers.mask[index]
        _, first, which = np.unique(masks.reshape(len(masks), -1), axis=0, return_index=True, return_inverse=True)
        weight = np.array([weigh(mask) for mask in masks[first]])[which.ravel()]        # of equal masks once
        groups = Groups(rewards[index], own[index], old[index], ref[index], masks, weight)
        return _added(answers, index, -loss_grad(groups) * groups.mask, logits)

    blocks = _groups(np.exp(old.sum(axis=1)), size, logits.size + answers.mask.shape[1] * size, limit)
    return estimators.moments((p, update(index)) for p, index in blocks)


def effective_reward(probs: Array, rewards: Array, size: int, advantage: Callable[[Array], Array] = group_advantage,
                     limit: int = LIMIT) -> Array:
    """a(y) of (4), (Y,): the mean advantage of an answer over all that the rest of its group may be.

    probs      (Y,)  p(y) > 0
    rewards    (Y,)  one for each answer
    size       G >= 2
    advantage  from rewards (..., G) to advantages (..., G), whatever the order

    >>> (effective_reward(np.full(3, 1 / 3), [10, 5, -10], 2).round(3) + 0).tolist()
    [0.471, 0.0, -0.471]
    """
    probs = check.real(probs=check.probabilities(ndim=1, probs=probs))
    rewards = check.shape(probs.shape, "one for each answer", rewards=check.real(rewards=check.array(rewards=rewards)))
    for answer, p in enumerate(probs.tolist()):
        check.positive(p=p, called=f"probs[{answer}]")
    total = np.zeros(probs.shape)
    for p, index in _groups(probs, check.integer(2, size=size), size, limit):
        total += np.bincount(index.ravel(), (p[:, None] * advantage(rewards[index])).ravel(), minlength=len(total))
    return total / (size * probs)


# ---------------------------------------------------------------- machinery

def _table(answers: Answers, **logits: Array) -> Array:
    (name, value), = logits.items()
    value = check.array(ndim=2, **logits)
    rows, vocabulary = int(answers.prefix.max()) + 1, int(answers.tokens.max()) + 1
    if value.shape[0] < rows or value.shape[1] != vocabulary:
        check.fail(f"the shape of {name}", value.shape, f"(P, {vocabulary}), P >= {rows}, a row for each prefix")
    return value


def _log_ref(logits_ref: Array | None, answers: Answers, beta: float) -> Array | None:
    """log q(y), (Y,); None where nothing is penalised."""
    if check.non_negative(beta=beta) == 0:
        return None
    if logits_ref is None:
        check.fail("logits_ref", None, "logits (P, V) of the reference, since beta > 0")
    return logp(_table(answers, logits_ref=logits_ref), answers).sum(axis=1)


def _rewards(rewards: Array, answers: Answers) -> Array:
    rewards = check.real(rewards=check.array(ndim=1, rewards=rewards))
    return check.shape((len(answers.tokens),), "one for each answer", rewards=rewards)


def _added(answers: Answers, index: Array, weights: Array, logits: Array) -> Array:
    """sum_it weights_mit score_it, (M, P, V), for groups `index` (M, G) and weights (M, G, L)."""
    rows, tokens = (array[index].reshape(len(index), -1) for array in (answers.prefix, answers.tokens))
    return estimators.added_scores(rows, tokens, weights.reshape(len(index), -1), logits)


def _groups(probs: Array, size: int, numbers: int, limit: int) -> Iterator[tuple[Array, Array]]:
    """Every group: probabilities (M,) and answers (M, G), some groups at a time.

    Answers are ascending, and a group stands for all its orders, G! / prod_y (how often y occurs)!.  Along
    ascending answers that is the product over i of (i + 1) / (how often answer i has occurred so far).
    """
    size, limit = check.integer(1, size=size), check.integer(1, limit=limit)
    count = comb(len(probs) + size - 1, size)
    if count > limit:
        check.fail("size", size, f"a smaller one: {len(probs)} answers make {count} groups, and limit is {limit}")
    groups = combinations_with_replacement(range(len(probs)), size)
    while block := list(islice(groups, max(1, estimators.BLOCK // numbers))):
        index = np.array(block)
        occurred = np.ones(index.shape)
        for i in range(1, size):
            occurred[:, i] += occurred[:, i - 1] * (index[:, i] == index[:, i - 1])
        yield factorial(size) * (probs[index] / occurred).prod(axis=1), index
