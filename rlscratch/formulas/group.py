"""More advantages from a group of answers, and what each of them ascends on average.

G answers to one prompt, drawn independently, earn r_1 .. r_G; S_i = grad log pi(y_i).  A step adds (1/G) sum_i A_i S_i.
With J = E[r], two facts carry all of this: E[S_i f] = 0 for every f of the other answers, and E[r_i S_i] = grad J.

Leave-one-out standardised.  Let m_-i and s_-i be mean and standard deviation of the others:

    A_i = (r_i - m_-i) / s_-i                                                                        (1)
    E[A_i S_i] = E[1/s_-i] E[r_i S_i] - E[m_-i / s_-i] E[S_i] = E[1/s_-i] grad J                     (2)

for s_-i depends on the others alone.  So (1) has the direction of grad J, exactly, and GRPO's own std, which contains
r_i, has not: on rewards 10, 5, -10 with p = .2, .5, .3 its cosine is .977, .989, .994 at G = 3, 4, 5.  Where the
others are all equal, any number may stand for 1/s_-i, as long as it does not look at r_i: here 0 or 1.

MaxRL.  r is 0 or 1, p = P(r = 1), c right answers, m = c/G.  Maximum likelihood wants log p, and

    J_T = - sum_{k=1}^T (1-p)^k / k,     grad J_T = grad p (1 - (1-p)^T) / p                         (3)

grows from p - 1 (T = 1, REINFORCE) to log p.  The mean of S over the right answers, 0 if there is none:

    E[ (1/c) sum_i r_i S_i ; c > 0 ] = P(c > 0) E[S | right] = (1 - (1-p)^G) grad p / p = grad J_G   (4)

Subtract the baseline (1/G) sum_i S_i, of mean 0, and the advantage is r_i/m - 1:

    A_i = (r_i - m) / m   if m > 0,      A_i = -1   if m = 0                                         (5)

still grad J_G.  Who sets A = 0 where all answers are wrong drops the baseline just there, which costs

    E[ (1/G) sum_i S_i ; c = 0 ] = (1-p)^G E[S | wrong] = - (1-p)^(G-1) grad p                       (6)

and grad J_G less (1-p)^(G-1) grad p is grad J_{G-1}: the estimator has the order G - 1.  At p = 1/5 and G = 4, in units
of grad p, (4) is 369/125 and with the zero it is 61/25.  At G = 2 it is plain REINFORCE.

pass@k.  Let M(set) be the mean, over all its subsets of k answers, of the largest reward: C(n-c, k)/C(n, k) subtracted
from 1 for rewards 0 and 1 (formulas.best_of_n).  E[M] = E[max of k].  Each answer's gain over a group without it,

    A_i = G ( M(all) - M(all but i) )                                                                (7)
    E[ (1/G) sum_i A_i S_i ] = E[ M(all) sum_i S_i ] = grad E[max of k]                              (8)

M(all but i) does not look at answer i; the second step is the log-derivative trick for all G answers.  At k = 1 (7)
is r_i - m_-i.  It needs k < G, and the A_i add to 0.  With sets of k - 1 others as the baseline in its place a wrong
answer has 0, and a right one k C(G-c, k-1)/C(G-1, k-1): k times the chance that it is needed.  Chen et al. divide by a
deviation,

    A_i = ( M_i - M ) / sqrt( M (1 - M) ),     M_i the mean over the k-sets that contain i           (9)

which lowers wrong answers, and turns the step by a function of c; for two kinds of answers the direction survives.

Baselines.  With weights v_j (the lengths, say), over all of the group or over the others, and other prompts' mean m':

    b_i = (1 - lam) sum_j v_j r_j / sum_j v_j + lam m'                                               (10)

Over the others (10) has no bias for fixed lam and constant v.  Over all of the group it has: with v = 1 the factor
1 - 1/G (formulas.grpo (9)).  Lengths as v depend on the answers; over all of the group the step then turns, over the
others it does not.  A lam estimated from rewards that include r_i is biased as well.

As calls; r (P, G), mean(r) over a group:

    ReMax               r - r_greedy: the reward of the arg-max answer; no own draw in it, so no bias
    REINFORCE++         returns.whitened(r, ones): the batch as one group, mean and std contain r_i
    REINFORCE++ base    returns.whitened(r - mean(r), ones)
    OPO                 r - baseline(r, lengths, own=True)
    shrinkage           r - baseline(r, shrink=lam)

Source: (1): NeMo-RL's default, no paper; (3)-(5): Tajwar et al. 2026, arXiv:2602.02710, read through summaries alone;
        (7): ours, after Walder and Karkhanis 2025, arXiv:2505.15201, who take sets of k - 1 as baseline, read as an
        abstract; (9): Chen et al. 2025, arXiv:2508.10751, checked against the authors' code;
        (10): OPO, arXiv:2505.23585, and shrinkage, arXiv:2511.03710, neither text read.  ReMax: arXiv:2310.10505.
        REINFORCE++: arXiv:2501.03262.
Leaves out: groups of unequal size; choosing lam.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.best_of_n import best_of_n_by_prompt


def leave_one_out_standardised(
    rewards: ArrayLike, ddof: int = 1, eps: float = 0.0, zero_std: str = "zero",
) -> Array:
    """Equation (1), in the shape of rewards.

    rewards   (..., G)  one reward for each of the G >= 2 + ddof answers to a prompt
    ddof      1 or 0    of the others' deviation
    eps       >= 0      added to it, in units of reward
    zero_std  "zero"    0 where the others are all equal; "one" leaves r_i - m_-i undivided there, as NeMo-RL does

    The others of 10 are 5 and -10: mean -2.5, std 10.61.

    >>> leave_one_out_standardised([10, 5, -10]).round(2).tolist()
    [1.18, 0.35, -4.95]

    Proof: tests/test_formulas_group.py, test_the_std_of_the_others_keeps_the_direction
    """
    ddof, eps = check.integer(0, 1, ddof=ddof), check.non_negative(eps=eps)
    rewards = check.group(2 + ddof, rewards=rewards)
    undivided = check.one_of(("zero", "one"), zero_std=zero_std) == "one"
    others = _others(rewards)
    flat = others.max(axis=-1) == others.min(axis=-1)
    std = np.where(flat, 1, others.std(axis=-1, ddof=ddof) + eps)
    return np.where(flat & ~np.bool_(undivided), 0, (rewards - others.mean(axis=-1)) / std)


def max_rl_advantage(rewards: ArrayLike, all_wrong: str = "zero") -> Array:
    """Equation (5), in the shape of rewards.

    rewards    (..., G)    >= 0; the derivation is for 0 and 1
    all_wrong  "zero"      the authors' code: order G - 1
               "baseline"  -1 for each answer of a group that earned nothing: order G

    >>> max_rl_advantage([1, 0, 0, 0]).tolist(), max_rl_advantage([0, 0], "baseline").tolist()
    ([3.0, -1.0, -1.0, -1.0], [-1.0, -1.0])

    Proof: tests/test_formulas_group.py, test_max_rl_has_the_order_g_minus_1_and_with_its_baseline_g
    """
    rewards = check.entries_between(0, np.inf, rewards=check.group(1, rewards=rewards))
    mean = rewards.mean(axis=-1, keepdims=True)
    empty = -1.0 if check.one_of(("zero", "baseline"), all_wrong=all_wrong) == "baseline" else 0.0
    return np.where(mean > 0, (rewards - mean) / np.where(mean > 0, mean, 1), empty)


def pass_at_k_advantage(rewards: ArrayLike, k: int, std: bool = False) -> Array:
    """Equation (7), or (9) with std=True; in the shape of rewards.

    rewards  (..., G)  any for (7); 0 or 1 for (9)
    k        1 to G - 1
    std      divide by the deviation of pass@k; a group in which it is 0 gets 0

    One of three is right and k = 2: 3 (2/3 - 0) for it, and 3 (2/3 - 1) for the others.

    >>> pass_at_k_advantage([1, 0, 0], 2).round(9).tolist()
    [2.0, -1.0, -1.0]

    Proof: tests/test_formulas_group.py, test_the_jackknife_ascends_pass_at_k_exactly
    """
    rewards = check.group(2, rewards=rewards)
    G = rewards.shape[-1]
    k = check.integer(1, G - 1, k=k)
    check.one_of((False, True), std=std)
    best, without = _best(rewards, k)[..., None], _best(_others(rewards), k)
    if not std:
        return G * (best - without)
    check.mask(rewards=rewards)
    variance = best * (1 - best)
    # From C(G, k) M = C(G-1, k) M_without + C(G-1, k-1) M_i:
    gain = (G * best - (G - k) * without) / k - best
    return np.where(variance < 1e-12, 0, gain / np.sqrt(np.where(variance < 1e-12, 1, variance)))


def baseline(rewards: ArrayLike, lengths: ArrayLike | None = None, shrink: float = 0.0, own: bool = False) -> Array:
    """Equation (10): what to expect of each answer, in the shape of rewards, in units of reward.

    rewards  (P, G)  or (..., G) without shrinkage
    lengths  like rewards, > 0; None weighs all answers alike
    shrink   in [0, 1]  how much the mean of the other prompts counts; needs P >= 2
    own      whether the answer's own reward is in it (OPO); then it is biased

    Lengths 1, 1, 2: the first answer's others average (5 - 20) / 3.

    >>> baseline([10, 5, -10], [1, 1, 2]).tolist()
    [-5.0, -3.3333333333333335, 7.5]

    Proof: tests/test_formulas_group.py, test_a_baseline_of_the_others_has_no_bias_and_one_with_its_own_reward_has
    """
    rewards = check.group(1 if own else 2, rewards=rewards)
    (shares,) = check.same_rank(lengths=np.ones_like(rewards) if lengths is None else lengths)
    check.shape(rewards.shape, "like rewards", lengths=shares)
    check.entries_between(np.finfo(float).tiny, np.inf, lengths=shares)
    shrink, total = check.between(0, 1, shrink=shrink), (shares * rewards).sum(axis=-1, keepdims=True)
    count = shares.sum(axis=-1, keepdims=True)
    if not check.one_of((False, True), own=own):
        total, count = total - shares * rewards, count - shares
    if shrink == 0:
        return np.broadcast_to(total / count, rewards.shape).copy()
    if rewards.ndim != 2 or len(rewards) < 2:
        check.fail("the shape of rewards", rewards.shape, "(P, G) with P >= 2 prompts, since shrink > 0")
    means = rewards.mean(axis=1, keepdims=True)
    return (1 - shrink) * total / count + shrink * (means.sum() - means) / (len(means) - 1)


def _others(rewards: Array) -> Array:
    """(..., G, G - 1): for each answer the rewards of the others, in their order."""
    G = rewards.shape[-1]
    keep = ~np.eye(G, dtype=bool)
    return np.broadcast_to(rewards[..., None, :], (*rewards.shape, G))[..., keep].reshape(*rewards.shape, G - 1)


def _best(rewards: Array, k: int) -> Array:
    """M of every group on the last axis."""
    rows = rewards.reshape(-1, rewards.shape[-1])
    return best_of_n_by_prompt(rows, rows, k).reshape(rewards.shape[:-1])
