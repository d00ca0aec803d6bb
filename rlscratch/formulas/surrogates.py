"""Surrogates beyond PPO's clip: dual clip, GSPO-token, GMPO, SAPO; and what LUSPO and an entropy bonus are.

rho_it = exp(logp_it - logp_old_it), A an advantage, w_it the weight of token t of answer i, W_i = sum_t w_it; all but
logp are data.  Every loss is to be minimised, and dead means: without gradient.

Dual clip.  PPO's minimum has no floor where A < 0: a token that became e^10 times likelier costs e^10.  A third
bound, c > 1 + eps_high, holds it:

    L = - sum w max( min(rho A, clip(rho) A), c A )  where A < 0,      PPO's where A >= 0            (1)

c A is the larger iff rho > c (divide by A < 0), and it is constant there: dead for A < 0 above c, else as PPO.
To cut rho itself at c before the minimum is the same for A < 0; for A > 0 the clip below c has acted already.

GSPO-token.  GSPO (formulas.grpo) has one ratio a sequence, s_i, and needs one advantage a sequence.  To let
advantages differ by token, the sequence's ratio is held and each token moves it by its own change since then:

    s_it = s_i held  exp(logp_it - held_it),     L = - sum w min(s_it A_it, clip(s_it) A_it)         (2)
    dL/dlogp_it = - w_it live_it s_it A_it                                                           (3)

"held" is the value of logp at this step: the papers' stop-gradient, written as an argument.  At logp = held, s_it is
s_i, and for A constant along a row (3) is GSPO's gradient.

GMPO.  The geometric mean again, but each token is clipped before it enters, in logarithms and on one side:

    l_it = min(log rho_it, eps_high) if A_i > 0,   max(log rho_it, -eps_low) if A_i < 0              (4)
    L = - sum_i W_i A_i exp( sum_t w_it l_it / W_i )                                                 (5)
    dL/dlogp_it = - w_it live_it A_i exp( sum_t w_it l_it / W_i ),    dead where (4) took the bound  (6)

by the chain rule: dl_it/dlogp_it is 1 or 0, and W_i cancels.  One outlier can neither carry the row nor switch it off.

SAPO.  No bound at all but a gate, with sigma the sigmoid and a temperature tau of its own for A > 0 and for A <= 0:

    f(rho) = (4 / tau) sigma(tau (rho - 1)),      L = - sum w f(rho) A                               (7)
    dL/dlogp = - w A rho 4 sigma (1 - sigma)                                                         (8)

4 sigma (1 - sigma) is 1 at rho = 1 and falls to 0 on both sides: on policy (8) is REINFORCE's gradient, which is what
the 4/tau is for.  Where a page writes the gate without it, on-policy gradients shrink by tau / 4.

LUSPO multiplies each sequence's GSPO term by its length.  In weights: gspo_loss(logp, old, A, sequence_sum(mask)),
as W_i = n_i / B there, in the place of sequence_mean's 1 / B.

CISPO's bounds (formulas.grpo (7)) under one key, "epsilon high", with four meanings: the bound itself; 1 + it; both
bounds, 1 -+ it; an offset to a default.  Here it is always [1 - eps_low, 1 + eps_high] on the ratio.  The bound
itself at .2 is eps_high = -.8, which cispo_loss refuses: every on-policy token would weigh .2.

Entropy of answers.  For whole answers H = - E[log p(y)], and E[S] = 0 leaves

    grad H = - E[ S(y) log p(y) ] = E[ sum_t s_t (- sum_{u >= t} logp_u) ]                           (9)
           = sum_h P(h) grad H(pi(.|h))  +  sum_h grad P(h) H(pi(.|h))                               (10)

A bonus on each token's own entropy has the first sum alone.  The second is how early tokens choose between prefixes
after which much or little is open.  As calls: reinforce_grad(logp, -rewards_to_go(logp), weight) estimates all of it.

Source: dual clip: Ye et al. 2020, arXiv:1912.09729; GSPO-token: arXiv:2507.18071, its equations for s_it; GMPO:
        arXiv:2507.20673, with (4) as its code has it; SAPO: arXiv:2511.20347; LUSPO: arXiv:2602.05261.  (1), (4) and
        (7) were checked against veRL and TRL 1.16.0; of the papers only abstracts and summaries were read.
Leaves out: VESPO, Clip-Cov and KL-Cov, which choose tokens by their covariance.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.grpo import sequences
from rlscratch.formulas.ppo import exp_of, ratio, surrogate_loss, surrogate_slope


def dual_clip_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2, ceiling: float = 3.0,
) -> float:
    """Equation (1).

    logp, logp_old, advantage, weight, eps_low, eps_high  as in formulas.ppo.ppo_clip_loss
    ceiling  c >= 1 + eps_high; veRL's clip_ratio_c, 3; TRL's delta, none by default

    Ratio 8 with A = -1 costs 3, not 8:

    >>> round(dual_clip_loss(np.log([.8]), np.log([.1]), [-1], [1]), 9)
    3.0

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, rho, advantage, weight, held = _dual(logp, logp_old, advantage, weight, eps_high, ceiling)
    return surrogate_loss(np.where(held, ceiling, rho), advantage, weight, eps_low, eps_high)


def dual_clip_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2, ceiling: float = 3.0,
) -> Array:
    """dL/dlogp of (1), in the shape and dtype of logp: PPO's, and 0 above the ceiling where A < 0.

    >>> dual_clip_grad(np.log([.8, .2]), np.log([.1, .1]), [-1, -1], [1, 1]).round(9).tolist()
    [0.0, 2.0]

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, rho, advantage, weight, held = _dual(logp, logp_old, advantage, weight, eps_high, ceiling)
    slope = surrogate_slope(rho, advantage, weight, eps_low, eps_high)
    return np.where(held, 0, slope).astype(logp.dtype)


def gspo_token_loss(
    logp: ArrayLike, held: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 3e-4, eps_high: float = 4e-4,
) -> float:
    """Equation (2).

    logp, logp_old  (B, T)            log pi and log pi_old of each token, natural log
    held            (B, T)            logp as it is at this step: data
    advantage       (B, 1) or (B, T)  may differ by token
    weight          (B, T)            >= 0; also the shares of the mean of log-ratios, as in gspo_loss
    eps_low, eps_high                 clip range of s_it

    >>> x, old = np.log([[.5, .8]]), np.log([[.25, .1]])           # ratios 2 and 8, s = 4
    >>> round(gspo_token_loss(x, x, old, [[-1, -2]], [[.5, .5]]), 9)
    6.0

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, s, advantage, weight = _held(logp, held, logp_old, advantage, weight)
    return surrogate_loss(s, advantage, weight, eps_low, eps_high)


def gspo_token_grad(
    logp: ArrayLike, held: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 3e-4, eps_high: float = 4e-4,
) -> Array:
    """Equation (3): dL/dlogp with `held` fixed, in the shape and dtype of logp.  Arguments as in the loss.

    >>> x, old = np.log([[.5, .8]]), np.log([[.25, .1]])
    >>> gspo_token_grad(x, x, old, [[-1, -2]], [[.5, .5]]).round(9).tolist()
    [[2.0, 4.0]]

    Proof: tests/test_formulas_surrogates.py, test_gspo_token_with_one_advantage_a_row_has_gspo_s_gradient
    """
    logp, s, advantage, weight = _held(logp, held, logp_old, advantage, weight)
    return surrogate_slope(s, advantage, weight, eps_low, eps_high).astype(logp.dtype)


def gmpo_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.4, eps_high: float = 0.4,
) -> float:
    """Equation (5).

    logp, logp_old, advantage, weight  as in formulas.grpo.gspo_loss: one advantage a row
    eps_low, eps_high  >= 0, bounds of the log-ratio; the paper's range is exp(-.4) to exp(.4)

    Ratios 1 and 8 with A = 1: exp((0 + .4) / 2).

    >>> round(gmpo_loss(np.log([[.5, .8]]), np.log([[.5, .1]]), [[1]], [[.5, .5]]), 6)
    -1.221403

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, mean, advantage, total, _ = _geometric(logp, logp_old, advantage, weight, eps_low, eps_high)
    return -np.sum(total * advantage * mean).item()


def gmpo_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.4, eps_high: float = 0.4,
) -> Array:
    """Equation (6): dL/dlogp, in the shape and dtype of logp.  Arguments as in gmpo_loss.

    >>> gmpo_grad(np.log([[.5, .8]]), np.log([[.5, .1]]), [[1]], [[.5, .5]]).round(6).tolist()
    [[-0.610701, 0.0]]

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, mean, advantage, total, live = _geometric(logp, logp_old, advantage, weight, eps_low, eps_high)
    return np.where(live > 0, -total * live * advantage * mean, 0).astype(logp.dtype)


def sapo_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    tau_pos: float = 1.0, tau_neg: float = 1.05,
) -> float:
    """Equation (7).

    logp, logp_old, advantage, weight  as in formulas.ppo.ppo_clip_loss
    tau_pos, tau_neg  > 0, temperatures for A > 0 and for the rest

    On policy the gate is (4 / tau) / 2:

    >>> sapo_loss([-1], [-1], [3], [1], tau_pos=2)
    -3.0

    Proof: tests/test_formulas_surrogates.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, _, advantage, weight, tau, gate = _gated(logp, logp_old, advantage, weight, tau_pos, tau_neg)
    return -np.sum(weight * 4 / tau * gate * advantage).item()


def sapo_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    tau_pos: float = 1.0, tau_neg: float = 1.05,
) -> Array:
    """Equation (8): dL/dlogp, in the shape and dtype of logp.  Arguments as in sapo_loss.

    >>> sapo_grad([-1], [-1], [3], [1], tau_pos=2).tolist()
    [-3.0]

    Proof: tests/test_formulas_surrogates.py, test_on_policy_every_surrogate_has_reinforce_s_gradient
    """
    logp, rho, advantage, weight, _, gate = _gated(logp, logp_old, advantage, weight, tau_pos, tau_neg)
    return (-weight * advantage * rho * 4 * gate * (1 - gate)).astype(logp.dtype)


def _dual(logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike, eps_high: float,
          ceiling: float) -> tuple[Array, Array, Array, Array, Array]:
    """logp, rho, A, w, and where the ceiling holds."""
    logp, logp_old, advantage, weight = check.weighted(weight, logp=logp, logp_old=logp_old, advantage=advantage)
    if check.positive(ceiling=ceiling) < 1 + eps_high:
        check.fail("ceiling", ceiling, f"a number >= 1 + eps_high, {1 + eps_high}")
    rho = ratio(logp, logp_old)
    return logp, rho, advantage, weight, (rho.real > ceiling) & (advantage.real < 0)


def _held(logp: ArrayLike, held: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike,
          weight: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """logp, s_it, A, w."""
    logp, held, advantage, weight = check.weighted(weight, logp=logp, held=held, advantage=advantage)
    _, s, _, _, _ = sequences(held, logp_old, 0, weight)
    return logp, s * exp_of(logp - held), advantage, weight


def _geometric(logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike, eps_low: float,
               eps_high: float) -> tuple[Array, Array, Array, Array, Array]:
    """logp, the mean of (5), A_i, W_i, and the shares of the tokens that are live."""
    low, high = check.non_negative(eps_low=eps_low, eps_high=eps_high)
    logp, _, advantage, total, share = sequences(logp, logp_old, advantage, weight)
    gap = logp - np.asarray(logp_old, logp.dtype)
    out = (gap.real > high) & (advantage > 0) | (gap.real < -low) & (advantage < 0)
    mean = np.sum(share * np.where(out, np.where(advantage > 0, high, -low), gap), axis=-1, keepdims=True)
    return logp, exp_of(mean), advantage, total, share * ~out


def _gated(logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike, tau_pos: float,
           tau_neg: float) -> tuple[Array, Array, Array, Array, Array, Array]:
    """logp, rho, A, w, tau, sigma(tau (rho - 1))."""
    up, down = check.positive(tau_pos=tau_pos, tau_neg=tau_neg)
    logp, logp_old, advantage, weight = check.weighted(weight, logp=logp, logp_old=logp_old, advantage=advantage)
    rho, tau = ratio(logp, logp_old), np.where(advantage.real > 0, up, down)
    # rho >= 0, so the exponent is at most tau.
    return logp, rho, advantage, weight, tau, 1 / (1 + np.exp(-tau * (rho - 1)))
