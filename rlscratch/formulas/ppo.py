"""PPO: the probability ratio, the clipped surrogate, the clipped value loss; each derivative by hand.

How much more often would the policy now choose token t than the policy that sampled it:

    rho_t = pi(a_t | s_t) / pi_old(a_t | s_t) = exp(logp_t - logp_old_t)                       (1)

rho A alone is an objective with the right gradient, but one that grows without end in rho.  PPO takes the
smaller of it and of its clipped twin, and a loss is minus the objective:

    c_t = clip(rho_t, 1 - eps_low, 1 + eps_high)                                              (2)
    L   = - sum_t w_t min( rho_t A_t, c_t A_t )                                               (3)

w_t is the weight of token t (formulas.weights); A_t, logp_old_t and w_t are data.

The derivative.  By (1), d rho / d logp = rho.  Inside the range c = rho, both branches are one and the same,
and the slope of the minimum is rho A.  Outside, c is a constant, and the minimum is

    above, rho > c:   c A if A > 0 (slope 0),     rho A if A < 0
    below, rho < c:   rho A if A > 0,             c A if A < 0 (slope 0)

so the token is dead in two of six regions and live in the other four:

                  rho < 1 - eps_low     between     rho > 1 + eps_high
    A > 0               live             live             dead
    A < 0               dead             live             live

    dL/dlogp_t = - w_t rho_t A_t  where live,  0 where dead                                   (4)

A dead token has crossed the bound in the direction that its advantage asked for; one that went the other way
is never held back.  A token with A = 0 is live, and its gradient is 0 all the same.  On a bound (4) takes the slope
from inside, so that eps_low = eps_high = 0 still has a gradient at rho = 1.

The first step.  At pi = pi_old every rho is 1, every token is live, and (4) reads - w A: the gradient of
REINFORCE with a baseline (formulas.policy_gradient).  The clip acts from the second step on one batch on.

The value loss.  v is pulled to the return R, and optionally kept within `clip` of the value v_old that was
predicted when the batch was collected:

    v_c = clip(v, v_old - clip, v_old + clip)                                                 (5)
    L   = sum_t w_t max( (v_t - R_t)^2, (v_c,t - R_t)^2 ) / 2                                 (6)
    dL/dv_t = w_t (v_t - R_t)  where (v_t - R_t)^2 >= (v_c,t - R_t)^2,  else 0                (7)

Inside the range v_c = v and the squares tie; outside, v_c is a constant and its square has slope 0.  (5) is
often written v_old + clip(v - v_old, -clip, clip): the same number on paper, but in floating point it may
miss v by one rounding inside the range, break the tie the wrong way and delete a gradient.

Three forms of the clip are in use.  "larger" is (6).  "clipped" is the second square alone: dead wherever v has left
its range, whichever way it went, so that a value that moved away from R is not called back.  Without a clip it is the
plain square.  They agree inside the range.

Source: document 002, "PPO Steps" 3-4 and the ice-cream example, steps 1-8; Schulman et al. 2017,
        arXiv:1707.06347, equations 6-7.  (6) is OpenAI Baselines' ppo2; the paper has the plain square, equation 9.
        The document's pi_old of .33, .33, .33 adds to .99.  With 1/3 in its place the ratio of step 6 is 1.2,
        the bound itself, and rounding decides whether the token is live; use .33 as printed for gradients.
        For the sample of steps 2-7, ratio 1.21 and A = 2, (4) is 0: step 8's "update" does not move "hockey".
Leaves out: the advantage (formulas.returns), the entropy bonus (formulas.distribution), the KL penalty
        (formulas.kl), and dual-clip PPO, a third bound for A < 0 (formulas.surrogates).
"""
from __future__ import annotations

import math

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike


def ratio(logp: ArrayLike, logp_old: ArrayLike) -> Array:
    """Equation (1): exp(logp - logp_old), in the shape of logp.

    logp      any shape   log pi(a_t | s_t), natural log
    logp_old  like logp   the same under the policy that sampled the tokens

    Raises ValueError for a log-probability above 0, and where the exponential would overflow (a log-ratio
    above 709 in float64, 88 in float32); such a pair does not come from sampling.

    The document's step 6, .40 / .33:

    >>> round(ratio([np.log(.40)], [np.log(.33)])[0].item(), 2)
    1.21

    Proof: tests/test_formulas_ppo.py, test_the_ratio_is_the_quotient_of_the_probabilities
    """
    logp, logp_old = check.same_rank(logp=logp, logp_old=logp_old)
    check.log_probabilities(logp=logp, logp_old=logp_old)
    return exp_of(logp - logp_old)


def exp_of(log_ratio: Array) -> Array:
    """Equation (1) from the difference of the log-probabilities.  Raises ValueError where it would overflow.

    Proof: tests/test_formulas_ppo.py, test_the_surrogate_of_ratios_is_that_of_their_log_probabilities
    """
    highest = math.floor(np.log(np.finfo(log_ratio.dtype).max))
    check.entries_between(-np.inf, highest, "so that the ratio is finite",
                          log_ratio=log_ratio, called="(logp - logp_old)")
    return np.exp(log_ratio)


def clip_ratio(ratio: ArrayLike, eps_low: float = 0.2, eps_high: float = 0.2) -> Array:
    """Equation (2): the ratio cut to [1 - eps_low, 1 + eps_high].

    ratio     any shape   rho of (1), >= 0
    eps_low   in [0, 1]   1 means no lower bound: a ratio is positive, and a larger eps_low would say the same
    eps_high  >= 0        may exceed 1; DAPO uses .28, CISPO several times 1

    The document's step 7, clip(1.21, .8, 1.2):

    >>> clip_ratio([1.21]).tolist()
    [1.2]

    Proof: tests/test_formulas_ppo.py, test_the_clip_leaves_what_is_inside_and_cuts_the_rest_to_the_bounds
    """
    ratio = check.entries_between(0, np.inf, ratio=check.array(ratio=ratio))
    check.between(0, 1, eps_low=eps_low)
    check.non_negative(eps_high=eps_high)
    return np.clip(ratio.real, 1 - eps_low, 1 + eps_high)


def ppo_clip_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> float:
    """Equation (3), to be minimised.

    logp       (B, T)     log pi(a_t | s_t), natural log; any rank will do
    logp_old   like logp  the same under the policy that sampled the tokens
    advantage  like logp  A_t, in units of reward
    weight     like logp  how much each token counts, >= 0; 0 where the policy did not choose it
    eps_low    in [0, 1]  lower reach of the clip; 1 is none
    eps_high   >= 0       upper reach

    Raises ValueError for shapes that do not agree, numbers that are not finite, a log-probability above 0,
    a negative weight, a clip range out of bounds, a ratio that overflows.

    The document's steps 4-7: A = 5 - 3, pi_old = .33, pi_new = .40; 1.21 is cut to 1.2.

    >>> ppo_clip_loss([[np.log(.40)]], [[np.log(.33)]], [[5 - 3]], [[1]])
    -2.4

    Proof: tests/test_formulas_ppo.py, test_each_of_the_six_regions_has_the_loss_and_the_gradient_of_the_table
    """
    return surrogate_loss(*_prepare(logp, logp_old, advantage, weight)[1:], eps_low, eps_high)


def ppo_clip_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> Array:
    """Equation (4): dL/dlogp, in the shape and dtype of logp.  Arguments and errors as in ppo_clip_loss.

    Ratio 1/2 with A = 2: the token became less likely although it was good, so its gradient lives.

    >>> ppo_clip_grad([[np.log(.25), np.log(.40)]], [[np.log(.5), np.log(.33)]], [[2, 2]], [[1, 1]]).tolist()
    [[-1.0, 0.0]]

    Proof: tests/test_formulas_ppo.py, test_the_gradient_is_the_derivative_of_the_loss
    """
    logp, rho, advantage, weight = _prepare(logp, logp_old, advantage, weight)
    return surrogate_slope(rho, advantage, weight, eps_low, eps_high).astype(logp.dtype)


def surrogate_loss(rho: Array, advantage: Array, weight: Array, eps_low: float, eps_high: float) -> float:
    """Equation (3) for ratios (checked arrays): of tokens, or of whole sequences as in GSPO.

    Proof: tests/test_formulas_ppo.py, test_the_surrogate_of_ratios_is_that_of_their_log_probabilities
    """
    is_dead = dead(rho, advantage, eps_low, eps_high)
    branch = np.where(is_dead, clip_ratio(rho, eps_low, eps_high), rho)
    return -np.sum(weight * branch * advantage).item()


def surrogate_slope(rho: Array, advantage: Array, weight: Array, eps_low: float, eps_high: float) -> Array:
    """Equation (4) for the same: the derivative of surrogate_loss with respect to log rho.

    Proof: tests/test_formulas_ppo.py, test_the_surrogate_of_ratios_is_that_of_their_log_probabilities
    """
    return np.where(dead(rho, advantage, eps_low, eps_high), 0, -weight * rho * advantage)


def dead(rho: Array, advantage: Array, eps_low: float, eps_high: float) -> Array:
    """The two dead regions of the table, as booleans, for ratios and advantages (checked arrays).

    Proof: tests/test_formulas_ppo.py, test_the_surrogate_of_ratios_is_that_of_their_log_probabilities
    """
    clipped, rho, advantage = clip_ratio(rho, eps_low, eps_high), rho.real, advantage.real
    return (rho > clipped) & (advantage > 0) | (rho < clipped) & (advantage < 0)


def clipped_tokens(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> Array:
    """True at the tokens that are dead in (4): what the clip really switched off; booleans, in the shape of logp.

    Arguments and errors as in ppo_clip_loss.  A token of weight 0 never counted, so it is not switched off.

    Ratios 2 and 2 with A = 1 and A = -1: both are out of range, one is dead.

    >>> clipped_tokens(np.log([.8, .8]), np.log([.4, .4]), [1, -1], [1, 1]).tolist()
    [True, False]

    Proof: tests/test_formulas_ppo.py, test_the_clip_fraction_is_where_the_gradient_is_zero_though_the_advantage_is_not
    """
    _, rho, advantage, weight = _prepare(logp, logp_old, advantage, weight)
    return dead(rho, advantage, eps_low, eps_high) & (weight > 0)


def clip_fraction(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, mask: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> float:
    """The share of chosen tokens that are dead in (4).

    mask  like logp  1 where the policy chose the token; the other arguments as in ppo_clip_loss

    CleanRL and Stable-Baselines3 count every |ratio - 1| > eps, live or not, whatever the sign of A; veRL and
    TRL's GRPO count dead tokens, as here.  Raises as ppo_clip_loss does, and for a mask without a 1.

    >>> clip_fraction(np.log([.8, .8]), np.log([.4, .4]), [1, -1], [1, 1])
    0.5

    Proof: tests/test_formulas_ppo.py, test_the_clip_fraction_is_where_the_gradient_is_zero_though_the_advantage_is_not
    """
    logp, mask = check.same_rank(logp=logp, mask=check.mask(mask=mask))
    chosen = check.positive(chosen=np.broadcast_to(mask, logp.shape).sum(), called="the sum of mask")
    return (clipped_tokens(logp, logp_old, advantage, mask, eps_low, eps_high).sum() / chosen).item()


def value_loss(
    values: ArrayLike, returns: ArrayLike, weight: ArrayLike, values_old: ArrayLike | None = None,
    clip: float | None = None, form: str = "larger",
) -> float:
    """Equation (6), to be minimised; without values_old and clip the plain sum of w (v - R)^2 / 2.

    values      (B, T)       predicted values, in units of reward; any rank will do
    returns     like values  what they should have been: rewards-to-go, or advantage + values_old
    weight      like values  how much each token counts, >= 0
    values_old  like values  the values predicted when the batch was collected
    clip        >= 0         how far a value may move from values_old and still gain, in units of reward
    form        "larger"     of the two squares, as OpenAI Baselines, CleanRL and veRL have it, with the half, as here;
                "clipped"    the second alone, as in Stable-Baselines3, which has no half

    Raises ValueError if only one of values_old and clip is given, and as usual.

    The document's step 4 predicts 3 where the reward is 5:

    >>> value_loss([[3]], [[5]], [[1]])
    2.0

    Proof: tests/test_formulas_ppo.py, test_the_clipped_value_loss_region_by_region
    """
    _, error, clipped, weight = _errors(values, returns, weight, values_old, clip)
    return (np.sum(weight * np.where(_held(clipped, error, form), clipped, error)**2) / 2).item()


def value_grad(
    values: ArrayLike, returns: ArrayLike, weight: ArrayLike, values_old: ArrayLike | None = None,
    clip: float | None = None, form: str = "larger",
) -> Array:
    """Equation (7): dL/dv, in the shape and dtype of values.  Arguments and errors as in value_loss.

    From 3 towards 5, free and with a reach of 1/2 from an old value of 2.  The second has overshot its reach
    on the way to the return, and is held:

    >>> value_grad([[3]], [[5]], [[1]]).tolist(), value_grad([[3]], [[5]], [[1]], [[2]], 0.5).tolist()
    ([[-2.0]], [[0.0]])

    Proof: tests/test_formulas_ppo.py, test_the_value_gradient_is_the_derivative_of_the_value_loss
    """
    values, error, clipped, weight = _errors(values, returns, weight, values_old, clip)
    return np.where(_held(clipped, error, form), 0, weight * error).astype(values.dtype)


def _prepare(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
) -> tuple[Array, Array, Array, Array]:
    """The checked arrays, with the ratio in the place of logp_old."""
    logp, logp_old, advantage, weight = check.weighted(weight, logp=logp, logp_old=logp_old, advantage=advantage)
    return logp, ratio(logp, logp_old), advantage, weight


def _errors(
    values: ArrayLike, returns: ArrayLike, weight: ArrayLike, values_old: ArrayLike | None, clip: float | None,
) -> tuple[Array, Array, Array, Array]:
    """The checked values, v - R, v_c - R, and the weight; without a clip v_c is v."""
    if clip is None and values_old is None:
        values, returns, weight = check.weighted(weight, values=values, returns=returns)
        return values, values - returns, values - returns, weight
    for name, value in {"values_old": values_old, "clip": clip}.items():
        if value is None:
            check.fail(name, value, "both values_old and clip, or neither")
    clip = check.non_negative(clip=clip)
    values, returns, old, weight = check.weighted(weight, values=values, returns=returns, values_old=values_old)
    return values, values - returns, np.clip(values.real, old.real - clip, old.real + clip) - returns, weight


def _held(clipped: Array, error: Array, form: str) -> Array:
    """Where the clipped square counts, which has no slope: where it is the larger one, or wherever it differs."""
    larger = check.one_of(("larger", "clipped"), form=form) == "larger"
    return np.abs(clipped.real) > np.abs(error.real) if larger else clipped.real != error.real
