"""What rewards add up to: returns, rewards-to-go, TD errors, generalised advantages.

Time starts at 0 and runs along the last axis.  r_t follows action a_t, and d_t, "discount",
is what the future after step t is worth: gamma, or 0 where the episode terminated.

    G   = sum_{t=0}^{T-1} gamma^(t + p) r_t          p = first_power, 0 or 1         (1)
    Q_t = r_t + d_t r_{t+1} + d_t d_{t+1} r_{t+2} + ...  up to the end               (2)
        = r_t + d_t Q_{t+1},   Q_T = 0                                               (3)

(3) is (2) with d_t taken out of every term but the first.  With d = gamma, Q_0 is G at p = 0.

Two documents disagree on p.  Document 001 leaves the first reward undiscounted, p = 0;
document 004 (sections 1.2 and 1.4.3) counts time from 1 and writes gamma^t all the same, so
that even the first reward is discounted, p = 1.  The second is gamma times the first.
Document 000's table agrees with p = 0: on the path 0 4 8 9 13 14 15 of FrozenLake, rewards
0, 0, 0, 0, 0, 1 and gamma .99 give .99^5 = .95099, its printed .9510; p = 1 gives .94148.

Document 001 writes G_t = sum_k gamma^k r_{t+k+1}, since it names the reward that answers a_t
r_{t+1}; the objective at its end says r_t instead.  Here that reward is r_t: its r_{t+k+1}
is our r_{t+k}, and its G_t is our Q_t.  It allows gamma = 1, document 004 does not: for the
infinite sum that matters, for arrays, which end, it does not, and gamma lies in [0, 1].

Now let V be any guess of the value of a state, V_t = V(s_t) ("values"), and V'_t the value of
the state that a_t led to ("next_values").  Inside an episode V'_t = V_{t+1}.  At its end they
differ: values[t+1] then belongs to the first state of the next episode.  The TD error is

    delta_t = r_t + d_t V'_t - V_t                                                   (4)

and the n-step advantage takes n rewards before it trusts V:

    A^(n)_t = r_t + d_t r_{t+1} + ... + d_t...d_{t+n-2} r_{t+n-1}
              + d_t...d_{t+n-1} V'_{t+n-1}  -  V_t                                   (5)

By (4), r = delta - d V' + V.  In (5) the V of step t meets the last term, - V_t; the - d V'
of the last step meets the term before it; and in between, since V'_t = V_{t+1}, the - d V' of
each step meets the V of the next.  All cancel, and with D_k = d_t d_{t+1} ... d_{t+k-1}, D_0 = 1,

    A^(n)_t = sum_{k=0}^{n-1} D_k delta_{t+k}                                        (6)

Let N steps be left until the episode or the array ends.  The generalised advantage weighs
the n-step advantages by powers of lam; the longest takes what remains, so the weights add to 1:

    A_t = (1 - lam) sum_{n=1}^{N-1} lam^(n-1) A^(n)_t  +  lam^(N-1) A^(N)_t          (7)

By (6), D_k delta_{t+k} is part of every A^(n) with n > k, so its weight in (7) is
(1 - lam)(lam^k + ... + lam^(N-2)) + lam^(N-1) = lam^k.  Hence

    A_t = sum_{k=0}^{N-1} lam^k D_k delta_{t+k}                                      (8)
        = delta_t + d_t lam (1 - boundary_t) A_{t+1},   A_T = 0                      (9)

lam = 0 leaves delta_t; lam = 1 leaves A^(N), the rewards-to-go (plus what V promises after the
end, where the episode was cut off rather than terminated) minus V_t.  With the true value of
the policy as V, every lam has the advantage of (s_t, a_t) as its mean; with a guess, lam
trades the bias of V (low lam) against the variance of rewards (high lam).

How an episode ends decides two things, which is why there are two arguments:

                            discount_t    boundary_t
    goes on                   gamma           0
    terminated                  0             1        nothing follows: no V', no A_{t+1}
    truncated (time limit)    gamma           1        V'_t stands for the rest, no A_{t+1}

Several turns.  Between the policy's tokens stand an environment's: a tool's output, a user's next question.  The
policy did not choose them, so they are no steps: gone are they before (4), V' of a chosen token is the value of the
next chosen one, and (9) runs over the compacted row.  Two other ways are in use, and both change A: zero values on
those tokens (delta then jumps to 0 and back), and a discount for each of them (gamma lam to the power of their number).

V-trace.  Steps were drawn from mu, not from pi; rho_t = pi/mu, cut: r_t = min(rho_t, r), c_t = min(rho_t, c), r >= c,
called rho_bar and c_bar below.  The target of a value is

    v_t = V_t + sum_k ( D_k c_t ... c_{t+k-1} ) r_{t+k} delta_{t+k}                  (10)
    v_t - V_t = r_t delta_t + d_t c_t (1 - boundary_t) (v_{t+1} - V_{t+1})           (11)
    A_t = reward_t + d_t v'_t - V_t,   v'_t = V'_t + (1 - boundary_t) (v_{t+1} - V_{t+1})      (12)

times r_t for a policy gradient; v' is v_{t+1} inside an episode, V' at its end.  Without cuts (11) is an importance
sample of the whole return, and v has the mean V^pi whatever V is.  With them the fixed point is the value of the
policy proportional to min(r mu, pi): r decides where learning ends, c only how fast.
On policy (10) is V + A at lam = 1.

Sources: document 001, "Core Concepts" and "Mathematical Perspective"; document 004, 1.2,
         1.4.1 to 1.4.3, 1.5.2 (reward-to-go); document 002, "PPO Steps" 3 (equation (4)) and
         the ice-cream example, step 4; document 000, the Q-table.
         Schulman et al. 2016, arXiv:1506.02438, section 3, whose equation 16 is (8);
         Espeholt et al. 2018 (IMPALA), arXiv:1802.01561, for (10): from memory, its text was not read again.
Leaves out: Retrace, and the limits T -> infinity of document 004: arrays are finite.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.grpo import group_advantage


def total_return(rewards: ArrayLike) -> float | Array:
    """Equation (1) at gamma = 1: the sum over the last axis; a float for one episode, else (...).

    rewards  (..., T)  r_t; 0 after the end of a shorter episode

    Raises ValueError or TypeError for anything but finite numbers with a time axis.

    >>> total_return([0, 0, 0, 0, 0, 1])
    1.0

    Proof: tests/test_formulas_returns.py, test_without_discount_every_return_is_a_sum
    """
    dtype, rewards, _ = _prepared(rewards)
    return _reduced(rewards.sum(axis=-1), dtype)


def average_reward(rewards: ArrayLike) -> float | Array:
    """The total return over T, document 004's 1.4.2 before its limit; a float or (...).

    rewards  (..., T)  r_t; every entry is a step, so a padded row divides by its padding too

    Raises as total_return.

    >>> average_reward([1, 0, 0, 2])
    0.75

    Proof: tests/test_formulas_returns.py, test_without_discount_every_return_is_a_sum
    """
    dtype, rewards, _ = _prepared(rewards)
    return _reduced(rewards.mean(axis=-1), dtype)


def discounted_return(rewards: ArrayLike, gamma: float, first_power: int = 0) -> float | Array:
    """Equation (1), summed over the last axis; a float for one episode, else (...).

    rewards      (..., T)  r_t; 0 after the end of a shorter episode
    gamma        scalar    in [0, 1]
    first_power  0 or 1    the power of gamma on the first reward: documents 000 and 001 say 0,
                           document 004 says 1, and its return is gamma times theirs

    Raises ValueError or TypeError for bad rewards, or gamma or first_power out of range.

    >>> round(discounted_return([0, 0, 0, 0, 0, 1], .99), 5)
    0.95099
    >>> round(discounted_return([0, 0, 0, 0, 0, 1], .99, first_power=1), 5)
    0.94148

    Proof: tests/test_formulas_returns.py, test_the_discounted_return_is_the_sum_that_the_documents_write
    """
    dtype, rewards, _ = _prepared(rewards)
    gamma = check.between(0, 1, gamma=gamma)
    first_power = check.integer(0, 1, first_power=first_power)
    powers = gamma ** (first_power + np.arange(rewards.shape[-1]))
    return _reduced((powers * rewards).sum(axis=-1), dtype)


def rewards_to_go(rewards: ArrayLike, discount: ArrayLike = 1.0) -> Array:
    """Equation (3): Q_t, (..., T), in the dtype of rewards.

    rewards   (..., T)            r_t; several episodes may follow each other in a row
    discount  scalar or (..., T)  d_t in [0, 1]: gamma, or 0 where the episode terminated

    An episode cut off by a time limit has no reward-to-go of its own: stand in for the rest by
    r_t + gamma V'_t with discount 0 there, or use gae with lam = 1 and add the values.

    Raises ValueError or TypeError for bad arrays, or a discount outside [0, 1].

    >>> rewards_to_go([1, 2, 4])
    array([7., 6., 4.])
    >>> rewards_to_go([1, 2, 4], discount=[.5, 0, .5])    # two episodes: 1, 2 and 4
    array([2., 2., 4.])

    Proof: tests/test_formulas_returns.py, test_each_reward_to_go_is_the_discounted_return_of_the_rest
    """
    dtype, rewards, discount = _prepared(rewards, discount)
    return _backwards(rewards, discount).astype(dtype)


def td_errors(rewards: ArrayLike, values: ArrayLike, next_values: ArrayLike, discount: ArrayLike) -> Array:
    """Equation (4): delta_t, (..., T), in the dtype of rewards.

    rewards      (..., T)            r_t
    values       (..., T)            V(s_t), in units of reward
    next_values  (..., T)            V of the state that a_t led to; any number where discount is 0
    discount     scalar or (..., T)  d_t in [0, 1]: gamma, or 0 where the episode terminated

    Raises ValueError or TypeError for bad arrays, or a discount outside [0, 1].

    Document 002's one-word episode: reward 5, value 3, and nothing follows.

    >>> td_errors([5], [3], [0], 0)
    array([2.])

    Proof: tests/test_formulas_returns.py, test_the_td_error_is_what_one_step_brought_less_what_was_expected
    """
    dtype, rewards, discount, values, next_values = _prepared(
        rewards, discount, values=values, next_values=next_values)
    return (rewards + discount * next_values - values).astype(dtype)


def gae(rewards: ArrayLike, values: ArrayLike, next_values: ArrayLike, discount: ArrayLike, lam: float | None = None,
        boundary: ArrayLike | None = None) -> Array:
    """Equation (9): A_t, (..., T), in the dtype of rewards.

    rewards, values, next_values, discount  as in td_errors
    lam       scalar    in [0, 1]: 0 trusts the values, 1 the rewards; it has no default
    boundary  (..., T)  1 where an episode ended at t for any reason, else 0; None: episodes end
                        only where discount is 0, and at the end of the array

    Raises ValueError or TypeError for bad arrays, discount or lam outside [0, 1], or a boundary
    that is not 0 or 1.

    Three steps, gamma 1/2, lam 1; a time limit after the second, whose next value is 8:

    >>> gae([1, 1, 1], [0, 0, 0], [0, 8, 0], .5, 1, boundary=[0, 1, 1])
    array([3.5, 5. , 1. ])

    Proof: tests/test_formulas_returns.py, test_gae_is_the_weighted_sum_of_n_step_advantages
    """
    if lam is None:             # often next_values was forgotten, and every argument stands one place too early
        check.fail("lam", lam, "a number in [0, 1], after rewards, values, next_values, discount; next_values[t] is "
                   "the value of the state that step t led to", TypeError)
    lam = check.between(0, 1, lam=lam)
    boundary = 0.0 if boundary is None else check.mask(boundary=boundary)
    dtype, rewards, discount, values, next_values, boundary = _prepared(
        rewards, discount, values=values, next_values=next_values, boundary=boundary)
    delta = td_errors(rewards, values, next_values, discount)
    return _backwards(delta, discount * lam * (1 - boundary)).astype(dtype)


def gae_over_turns(rewards: ArrayLike, values: ArrayLike, mask: ArrayLike, discount: float, lam: float) -> Array:
    """Equation (9) over the chosen tokens of each row alone, (..., T); 0 at the others.

    rewards   (..., T)  r_t of chosen tokens; what an environment's token brings belongs to the choice before it
    values    (..., T)  V_t of chosen tokens; the others are not read
    mask      (..., T)  1 where the policy chose the token.  The last one ends the episode
    discount  scalar    gamma in [0, 1]
    lam       scalar    in [0, 1]

    Raises ValueError for a reward where the mask is 0, which would be lost.

    Two turns with an observation between them, as if it were not there:

    >>> gae_over_turns([0, 0, 1], [.5, 9, .25], [1, 0, 1], .5, 1).tolist()
    [0.0, 0.0, 0.75]

    Proof: tests/test_formulas_returns.py, test_over_turns_gae_is_that_of_the_compacted_row
    """
    gamma, lam, mask = check.between(0, 1, discount=discount), check.between(0, 1, lam=lam), check.mask(mask=mask)
    dtype, rewards, _, values, mask = _prepared(rewards, values=values, mask=mask)
    mask = np.broadcast_to(mask, rewards.shape)
    lost = (mask == 0) & (rewards != 0)
    if lost.any():
        place = tuple(np.argwhere(lost)[0].tolist())
        check.fail(f"rewards[{', '.join(map(str, place))}]", rewards[place], "0 where mask is 0: give it to the "
                   "chosen token before")
    advantage, later, value = np.zeros_like(rewards), np.zeros_like(rewards[..., 0]), np.zeros_like(rewards[..., 0])
    for t in range(rewards.shape[-1] - 1, -1, -1):
        chosen = mask[..., t] == 1
        new = rewards[..., t] + gamma * value - values[..., t] + gamma * lam * later
        advantage[..., t] = np.where(chosen, new, 0)
        later, value = np.where(chosen, new, later), np.where(chosen, values[..., t], value)
    return advantage.astype(dtype)


def vtrace(
    rewards: ArrayLike, values: ArrayLike, next_values: ArrayLike, discount: ArrayLike, ratio: ArrayLike,
    rho_bar: float = 1.0, c_bar: float = 1.0, boundary: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Equations (11) and (12): the targets v and the advantages times r_t, both (..., T), in the dtype of rewards.

    rewards, values, next_values, discount, boundary  as in gae
    ratio           (..., T)  pi / mu of each action, >= 0
    rho_bar, c_bar  > 0, rho_bar >= c_bar; inf cuts nothing

    One step, ratio 2 cut to 1: half of 2 (1 - 0).

    >>> vtrace([1], [0], [0], 0, [2]), vtrace([1], [0], [0], 0, [2], rho_bar=np.inf)
    ((array([1.]), array([1.])), (array([2.]), array([2.])))

    Proof: tests/test_formulas_returns.py, test_v_trace_without_cuts_has_the_value_of_the_target_policy
    """
    if not rho_bar >= c_bar > 0:
        check.fail("rho_bar", rho_bar, f"a number >= c_bar, {c_bar}, which is > 0")
    boundary = 0.0 if boundary is None else check.mask(boundary=boundary)
    dtype, rewards, discount, values, next_values, ratio, boundary = _prepared(
        rewards, discount, values=values, next_values=next_values, ratio=ratio, boundary=boundary)
    check.entries_between(0, np.inf, ratio=ratio)
    cut = np.minimum(ratio, rho_bar)
    delta, goes_on = td_errors(rewards, values, next_values, discount), 1 - boundary
    rise = _backwards(cut * delta, discount * np.minimum(ratio, c_bar) * goes_on)
    later = np.concatenate([rise[..., 1:], np.zeros_like(rise[..., :1])], axis=-1) * goes_on
    return (values + rise).astype(dtype), (cut * (delta + discount * later)).astype(dtype)


def whitened(advantage: ArrayLike, mask: ArrayLike, ddof: int = 1) -> Array:
    """The advantages of the chosen tokens with mean 0 and standard deviation 1: the batch as one group.

    advantage  any shape       A_t, in units of reward
    mask       like advantage  1 where the policy chose the token; elsewhere the answer is 0
    ddof       1 or 0          as in formulas.grpo.group_advantage: all 0 where all are equal, and for a single token.
                               1 in veRL, TRL and Stable-Baselines3 (torch's std), 0 in OpenAI Baselines (NumPy's)

    >>> whitened([[0, 3], [5, 0]], [[0, 1], [1, 0]], ddof=0).tolist()
    [[0.0, -1.0], [1.0, 0.0]]

    Proof: tests/test_formulas_returns.py, test_white_advantages_have_mean_0_and_deviation_1_over_the_chosen_tokens
    """
    advantage, mask = check.array(advantage=advantage), check.mask(mask=mask)
    chosen = check.shape(advantage.shape, "like advantage", mask=mask) == 1
    white = np.zeros_like(advantage)
    if chosen.sum() > 1:
        white[chosen] = group_advantage(advantage[chosen], ddof=ddof)
    return white


def _backwards(terms: Array, keep: Array) -> Array:
    """x_t = terms_t + keep_t x_{t+1}, with x_T = 0: equations (3) and (9)."""
    x, keep = terms.copy(), np.broadcast_to(keep, terms.shape)
    for t in range(x.shape[-1] - 2, -1, -1):
        x[..., t] += keep[..., t] * x[..., t + 1]
    return x


def _prepared(rewards: ArrayLike, discount: ArrayLike = 1.0, **others: ArrayLike) -> tuple:
    """The dtype of the answer, then the checked arrays in double, in which sums are kept."""
    check.array(min_ndim=1, rewards=rewards)
    rewards, discount, *others = check.same_rank(rewards=rewards, discount=discount, **others)
    check.entries_between(0, 1, discount=discount)
    double = np.result_type(np.float64, rewards, discount, *others)
    dtype = np.result_type(rewards, np.complex64) if double.kind == "c" else rewards.dtype
    return dtype, *(array.astype(double, copy=False) for array in (rewards, discount, *others))


def _reduced(total: Array, dtype: np.dtype) -> float | Array:
    """Rounded to dtype; a Python number where the time axis was the only one."""
    total = np.asarray(total, dtype)
    return total if total.ndim else total.item()
