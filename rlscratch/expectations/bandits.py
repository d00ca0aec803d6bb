"""The regret of a rule on a bandit with two arms: exactly, by going through all that it can have seen.

A rule decides by its counts: ones and zeros of each arm.  Of four counts that add up to t there are (t + 3 choose 3),
few enough to carry the probability of each from step to step:

    P_0(0, 0, 0, 0) = 1,      P_t+1(n + e) = sum over n, a  P_t(n) rule(a | n) p(e | a)        (1)

where e is a one or a zero of arm a.  The order in which they came is forgotten, and no rule here asks for it.  Summed
over n, P_t(n) rule(a | n) is the probability that step t tries arm a; equation (1) of formulas.exploration makes
the regret of it.

Leaves out: more arms.  With A arms there are (t + 2A - 1 choose 2A - 1) counts.
"""
from collections.abc import Callable

import numpy as np

from rlscratch import check
from rlscratch.check import Array

# (successes (N, 2), failures (N, 2), t) -> probabilities of the two arms (N, 2) at step t = 0, 1, ...
Rule = Callable[[Array, Array, int], Array]


def tries(probs: Array, rule: Rule, horizon: int) -> Array:
    """How likely each step tries each arm, (T, 2): equation (1).

    probs    (2,)  how likely an arm pays 1
    rule     what to try, by what was seen
    horizon  T >= 1

    "Stay with what paid last": a rule of two steps.  Arm 0 pays always, arm 1 never.

    >>> def stay(successes, failures, t):
    ...     return np.where(successes.any(axis=1, keepdims=True), successes > 0, 0.5 + 0 * successes)
    >>> tries([1.0, 0.0], stay, 2).tolist()                     # half of all start at arm 0, and stay
    [[0.5, 0.5], [0.75, 0.25]]
    """
    probs = check.shape((2,), "one for each of two arms", probs=check.real(probs=check.array(probs=probs)))
    check.entries_between(0, 1, probs=probs)
    found, seen = np.empty((check.integer(1, horizon=horizon), 2)), np.ones((1, 1, 1))
    for t in range(horizon):                # seen[s0, f0, s1] is P_t; f1 is what is left of t
        s0, f0, s1 = np.nonzero(seen)
        before = seen[s0, f0, s1][:, None]
        taken = rule(np.stack([s0, s1], axis=1), np.stack([f0, t - s0 - f0 - s1], axis=1), t)
        taken = before * check.shape((len(before), 2), "a row for each pair of counts",
                                     rule=check.probabilities(rule=taken))
        found[t] = taken.sum(axis=0)
        seen = np.zeros((t + 2,) * 3)
        seen[s0 + 1, f0, s1] += taken[:, 0] * probs[0]
        seen[s0, f0 + 1, s1] += taken[:, 0] * (1 - probs[0])
        seen[s0, f0, s1 + 1] += taken[:, 1] * probs[1]
        seen[s0, f0, s1] += taken[:, 1] * (1 - probs[1])
    return found


def regret(probs: Array, rule: Rule, horizon: int) -> Array:
    """R_1 to R_T, (T,), in units of reward.  Arguments as in tries.

    >>> regret([1.0, 0.0], lambda successes, failures, t: np.full((len(successes), 2), 0.5), 3).tolist()
    [0.5, 1.0, 1.5]
    """
    taken = tries(probs, rule, horizon)
    return np.cumsum(taken @ (np.max(probs) - np.asarray(probs)))
