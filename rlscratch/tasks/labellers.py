"""People who compare answers, or grade them, simulated: they know the gold reward, and err.

A labeller who ranks K answers with gold rewards g draws the best of them, the next among those left,
and so on, each time by softmax over what is left, at the temperature `noise`:

    P(i is next) = e^(g_i / noise) / sum over answers j that are left of e^(g_j / noise)            (1)

That is the model of Plackett and Luce with scores s = g / noise, so a ranking has the probability of
equation (6) of formulas.preference, e^-plackett_luce_loss(s), and of two answers the better one stands
first with probability sigma((g_c - g_r) / noise), its equation (1), whatever else is in the ranking: for gold
rewards 1 apart that is .73 with noise 1 and .88 with noise 1/2.  A reward model that is fitted to many
rankings thus estimates g / noise, and a constant for each prompt that nobody can know.

Without noise (1) turns into its limit: the best goes first, and among equals each has the same chance.

A labeller who grades gives the share of the best gold reward that an answer has, with a standard
normal error e:

    grade = g / best + noise e,    cut to [0, 1]                                                    (2)

The cut belongs to the scale: an answer that harms has 0, as one that does nothing.

Source: document 002, step 2 (rankings such as D > C > A > B); document 003, part 6, step 2 (grades);
        Plackett 1975, Applied Statistics 24.
Leaves out: labellers who skip answers, who call two equal.  Those who differ have noises of their own, which
        formulas.annotators finds.
"""

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas.distribution import softmax
from rlscratch.tasks.preferences import BEST

LEAST = 1e-30                                       # the lowest temperature of softmax


def rank(scores: Array, rng: np.random.Generator, noise: float = 1.0) -> Array:
    """A ranking drawn by equation (1): indices of the answers, (K,), best first.

    scores  (K,)   gold rewards of K >= 2 answers, finite
    rng            gives K - 1 uniforms, one a draw: the last answer is what is left
    noise   >= 0   in units of reward; 0 sorts, and draws among equals; else at least 1e-30

    Raises ValueError or TypeError for what does not fit.

    >>> rank([1.0, 4.0, -2.0, 3.0], np.random.default_rng(0), noise=0.0).tolist()
    [1, 3, 0, 2]
    """
    scores = check.real(scores=check.group(2, scores=scores))
    if scores.ndim != 1:
        check.fail("the shape of scores", scores.shape, "(K,), the answers to one prompt")
    noise = check.non_negative(noise=noise)
    if 0 < noise < LEAST:
        check.fail("noise", noise, f"0, or at least {LEAST}")
    uniforms = check.generator(rng=rng).random(len(scores) - 1)
    left, order = list(range(len(scores))), []
    for u in uniforms:
        # Divided by the last sum, which rounding may leave below 1, so that u falls on an answer with probability.
        mass = np.cumsum(_chances(scores[left], noise))
        order.append(left.pop(int(np.searchsorted(mass / mass[-1], u, side="right"))))
    return np.array(order + left)


def rate(score: float, rng: np.random.Generator, noise: float = 0.1, best: float = BEST) -> float:
    """A grade drawn by equation (2): in [0, 1].

    score        gold reward of the answer, finite
    rng          gives one normal number
    noise  >= 0  standard deviation of the error, in units of the grade
    best   > 0   the gold reward that has earned 1

    Raises ValueError or TypeError for what does not fit.

    >>> rate(3.0, np.random.default_rng(0), noise=0.0)                      # half of BEST
    0.5
    """
    score, noise, best = check.number(score=score), check.non_negative(noise=noise), check.positive(best=best)
    error = noise * check.generator(rng=rng).standard_normal()
    return min(max(score / best + error, 0.0), 1.0)


def _chances(scores: Array, noise: float) -> Array:
    """Equation (1) over the answers that are left, and its limit for noise 0."""
    if noise:
        return softmax(scores, temperature=noise)
    best = scores == scores.max()
    return best / best.sum()


