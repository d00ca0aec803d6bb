"""Actions that are numbers: the Gaussian policy, its score, its two gradients, and PPO on densities.

One dimension.  The policy is a density, pi(a|s) = exp(-e^2 / 2) / (sigma sqrt(2 pi)) with e = (a - mu) / sigma and
sigma = exp(l), so

    log pi = - e^2 / 2 - l - log(2 pi) / 2                                                     (1)

It is no probability: where sigma is small it exceeds 0.  From (1), as de/dmu = -1/sigma and de/dl = -e,

    dlog pi / dmu = e / sigma,       dlog pi / dl = e^2 - 1                                    (2)

Both have mean 0 under pi, as every score has.  Several independent dimensions: sums of (1), and (2) for each.  Means of
(1) under pi itself, where E e^2 = 1, and under another Gaussian p, where E_p (a - mu)^2 = sigma_p^2 + (mu_p - mu)^2:

    H  = l + log(2 pi e) / 2                                                                   (3)
    KL(p || q) = l_q - l_p + (sigma_p^2 + (mu_p - mu_q)^2) / (2 sigma_q^2) - 1/2               (4)

Two gradients of J = E f(a).  By (2), E[f(a) e / sigma] is dJ/dmu whatever f is.  If f has a derivative, write
a = mu + sigma e, where e does not depend on mu, and differentiate inside: E[f'(a)] is dJ/dmu too, the reparameterised
gradient.  For f(a) = -(a - c)^2 / 2 and m = mu - c both have the mean -m, and the moments 1, 3, 15 of e^2, e^4, e^6
give the variances

    of f(a) e / sigma   m^4 / (4 sigma^2) + 7 m^2 / 2 + 15 sigma^2 / 4                         (5)
    of f'(a)            sigma^2                                                                (6)

The first explodes as sigma goes to 0; a baseline f(mu) removes the term in m^4.  But (2) needs no derivative of f, and
an environment has none.

Bounds.  a = tanh(u) with u Gaussian lies in (-1, 1).  A density counts probability per length, and a length du becomes
da = (1 - tanh(u)^2) du:

    log pi(a) = log pi(u) - log(1 - tanh(u)^2),    log(1 - tanh(u)^2) = 2 (log 2 - u - log(1 + exp(-2u)))   (7)

The right form does not take the logarithm of a difference of two numbers near 1.

PPO.  The ratio of two densities at one a is the limit of the ratio of two probabilities of a small box around it, so
equations (1) to (4) of formulas.ppo hold as they stand, with log-densities in place of log-probabilities.

Source: documents 001 and 004, 1.3 (pitch and roll); Williams 1992 (2); Kingma, Welling 2014 (6);
        Haarnoja et al. 2018, appendix C (7).
Leaves out: full covariances; deterministic policies; the entropy after tanh, which has no closed form.
"""
from __future__ import annotations

import math

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas import ppo

HALF_LOG_2PI = math.log(2 * math.pi) / 2


def gaussian_logp(mean: ArrayLike, log_std: ArrayLike, action: ArrayLike) -> Array:
    """Equation (1), summed over the last axis: log pi(a|s), (...), natural log of a density.

    mean     (..., D)   mu
    log_std  like mean  l, the logarithm of sigma
    action   like mean  a

    Raises ValueError or TypeError for shapes that do not agree and numbers that are not finite.

    At its mean a Gaussian of sigma 1/10 has the density 3.989.

    >>> np.exp(gaussian_logp([0.0], [np.log(.1)], [0.0])).round(3).item()
    3.989

    Proof: tests/test_formulas_continuous.py, test_the_density_and_its_moments_by_quadrature
    """
    mean, log_std, action = check.same_rank(mean=mean, log_std=log_std, action=action)
    with np.errstate(over="ignore"):                    # too far out for a double: -inf
        e = _in_sigmas(action, mean, log_std)
        return (-e * e / 2 - log_std - HALF_LOG_2PI).sum(axis=-1)


def gaussian_score(mean: ArrayLike, log_std: ArrayLike, action: ArrayLike) -> tuple[Array, Array]:
    """Equation (2): dlog pi / dmean and dlog pi / dlog_std, each in the shape of mean.  Arguments as in gaussian_logp.

    One sigma above the mean, sigma = 2: 1/2, and the width is right.

    >>> [x.round(12).tolist() for x in gaussian_score([0.0], [np.log(2)], [2.0])]
    [[0.5], [0.0]]

    Proof: tests/test_formulas_continuous.py, test_the_score_is_the_derivative_of_the_log_density
    """
    mean, log_std, action = check.same_rank(mean=mean, log_std=log_std, action=action)
    with np.errstate(over="ignore"):
        e = _in_sigmas(action, mean, log_std)
        return _times_exp(e, -log_std), e * e - 1


def gaussian_draw(mean: ArrayLike, log_std: ArrayLike, noise: ArrayLike) -> Array:
    """a = mu + sigma e, in the shape of mean: an action from standard normal noise e.

    mean     (..., D)   mu
    log_std  (D,)       or like mean
    noise    like mean  e

    >>> gaussian_draw([[1.0]], [np.log(2)], [[0.5]]).round(12).tolist()
    [[2.0]]

    Proof: tests/test_formulas_continuous.py, test_an_action_is_drawn_from_the_density
    """
    mean, noise = check.same_rank(mean=mean, noise=noise)
    log_std = check.array(log_std=log_std)
    if log_std.shape != mean.shape[-1:]:
        check.same_rank(mean=mean, log_std=log_std)
    return mean + _times_exp(noise, log_std)


def gaussian_entropy(log_std: ArrayLike) -> Array:
    """Equation (3), summed over the last axis, in nats; its derivative in every log_std is 1.  It may be negative.

    log_std  (..., D)

    >>> gaussian_entropy([0.0]).round(4).item()
    1.4189

    Proof: tests/test_formulas_continuous.py, test_the_density_and_its_moments_by_quadrature
    """
    return (check.array(min_ndim=1, log_std=log_std) + HALF_LOG_2PI + 0.5).sum(axis=-1)


def gaussian_kl(mean: ArrayLike, log_std: ArrayLike, mean_ref: ArrayLike, log_std_ref: ArrayLike) -> Array:
    """Equation (4), summed over the last axis: KL(policy || reference), in nats.

    mean, log_std          (..., D)   of the policy
    mean_ref, log_std_ref  like mean  of the reference

    One sigma apart: 1/2.

    >>> gaussian_kl([1.0], [0.0], [0.0], [0.0]).item()
    0.5

    Proof: tests/test_formulas_continuous.py, test_the_density_and_its_moments_by_quadrature
    """
    mean, log_std, mean_ref, log_std_ref = check.same_rank(
        mean=mean, log_std=log_std, mean_ref=mean_ref, log_std_ref=log_std_ref)
    with np.errstate(over="ignore"):
        apart = _in_sigmas(mean, mean_ref, log_std_ref)
        wider = np.minimum(log_std - log_std_ref, np.finfo(apart.dtype).max)        # exp() below exceeds it by far
        return (-wider + (np.expm1(2 * wider) + apart * apart) / 2).sum(axis=-1)


def _in_sigmas(a: Array, mean: Array, log_std: Array) -> Array:
    """e = (a - mu) / sigma, also where the difference alone is no finite number."""
    with np.errstate(over="ignore"):
        apart = a - mean
        far = ~np.isfinite(apart)
    return _times_exp(np.where(far, a / 4 - mean / 4, apart), np.where(far, math.log(4) - log_std, -log_std))


def _times_exp(x: Array, log: Array) -> Array:
    """x exp(log), also where exp(log) alone is infinite or 0: half of it, twice.  0 stays 0."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        half = np.exp(log / 2)
        return np.where(x == 0, x, np.where(np.abs(log) < 80, x * np.exp(log), x * half * half))


def tanh_correction(u: ArrayLike) -> Array:
    """Equation (7), summed over the last axis: what to take from log pi(u) for a = tanh(u).

    u  (..., D)  before squashing

    Far out, log(1 - tanh(u)^2) is 2 log 2 - 2 |u|; computed as it stands it would be -inf.

    >>> tanh_correction([40.0]).round(4).item()
    -78.6137

    Proof: tests/test_formulas_continuous.py, test_a_squashed_action_has_a_density_that_adds_to_1
    """
    u = check.array(min_ndim=1, u=u)
    return 2 * (math.log(2) - u - np.logaddexp(0, -2 * u)).sum(axis=-1)


def density_clip_loss(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> float:
    """Equation (3) of formulas.ppo for log-densities, which may exceed 0.  Arguments and errors as in ppo_clip_loss.

    >>> density_clip_loss([2.0], [2.0], [3.0], [1.0])
    -3.0

    Proof: tests/test_formulas_continuous.py, test_ppo_on_densities_is_ppo_wherever_both_are_defined
    """
    return ppo.surrogate_loss(*_ratios(logp, logp_old, advantage, weight), eps_low, eps_high)


def density_clip_grad(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
    eps_low: float = 0.2, eps_high: float = 0.2,
) -> Array:
    """Equation (4) of formulas.ppo for log-densities: dL/dlogp.  Arguments as in density_clip_loss.

    >>> density_clip_grad([2.0], [2.0], [3.0], [1.0]).tolist()
    [-3.0]

    Proof: tests/test_formulas_continuous.py, test_ppo_on_densities_is_ppo_wherever_both_are_defined
    """
    return ppo.surrogate_slope(*_ratios(logp, logp_old, advantage, weight), eps_low, eps_high)


def _ratios(
    logp: ArrayLike, logp_old: ArrayLike, advantage: ArrayLike, weight: ArrayLike,
) -> tuple[Array, Array, Array]:
    logp, logp_old, advantage, weight = check.weighted(weight, logp=logp, logp_old=logp_old, advantage=advantage)
    return ppo.exp_of(logp - logp_old), advantage, weight
