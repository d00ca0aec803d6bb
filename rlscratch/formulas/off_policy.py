"""The sampler is not the trainer: importance weights, what cutting them costs, and the KL with a ratio in front.

Tokens come from mu: an inference engine in another precision, a policy that is some steps old, a filter such as
top-p.  The policy to be trained is pi.  With d_t = log pi(y_t | y_<t) - log mu(y_t | y_<t), four weights are in use:

    token        rho_t = exp(d_t)                                                                    (1)
    prefix       P_t = rho_1 ... rho_t                                                               (2)
    sequence     W = P_n, all n tokens of the answer                                                 (3)
    geometric    W^(1/n)                                                                             (4)

mu(y) W = pi(y), so E_mu[W f(y)] = E_pi[f(y)] for every f, if mu > 0 wherever pi is.  With s_t = grad log pi(y_t | y_<t)
and a reward R at the end,

    E_mu[ W R sum_t s_t ] = grad J                                                                   (5)

No other weight has this property.  Let Q_mu(h, a) be the mean reward if a follows the prefix h and mu goes on:

    E_mu[ sum_t P_t   R s_t ] = sum_h pi(h) sum_a grad pi(a|h) Q_mu(h, a)        mu's future         (6)
    E_mu[ sum_t rho_t R s_t ] = sum_h mu(h) sum_a grad pi(a|h) Q_mu(h, a)        mu's past too       (7)

since P_t corrects what happened up to t, and rho_t what happened at t.  At pi = mu all are grad J.  The weight (7)
is PPO's; near mu it differs from (5) to first order.  If token u has a reward of its own, r_u, that reward needs
no weight for what comes later: the sum of P_u r_u s_t over t <= u has the mean grad J (per-decision).  The
geometric mean weighs an answer by how far an average token moved.  It is a good number to filter by, and no
importance weight.

A product of many ratios varies much, so it is cut: min(w, C) is "truncated"; to set w to 0 outside [low, high] is a
mask.  The mean loses what was cut,

    bias of truncation = - E_mu[ (W - C)+ R sum_t s_t ],     (x)+ = max(x, 0)                        (8)

Example: 2 tokens, answers of length 2, mu uniform, pi with the logits (1, 0), (0, 0), (2, 0) after the empty prefix, 0
and 1; R = 1 for the answers 0 0 and 1 1, else 0; one answer a step.  |.| is the Euclidean length over the six logits,
and the variance is the sum over them.

    weight                     |bias|   cosine with grad J   variance
    none                       0.3910        0.3676            0.6614
    token                      0.1381        0.8994            0.2649
    prefix                     0.1059        0.9269            0.3598
    sequence                   0.0000        1.0000            0.2757
    geometric                  0.1187        0.9086            0.2610
    sequence, cut at 1         0.0928        0.9964            0.1353

Only "sequence" is unbiased.  Which error is the smallest depends on the example; that each but one has an error does
not.

The filter.  If mu is nu renormalised over a kept set of mass Z(h), the true ratio is Z(h) pi / nu.  Who divides by
nu, the full softmax, has every weight too large by 1/Z(h).  And what mu cannot say no weight brings back: E_mu[rho f]
is then the sum over the kept set alone.

As calls, w a weight of formulas.weights, iw = importance_weight(pi or proximal, mu, mask, level):

    truncated (TIS)        ppo_clip_loss(logp, old, A, w * bounded(iw, high=2))
    double-sided (IcePop)  ppo_clip_loss(logp, old, A, w * bounded(iw, .5, 5, outside="drop"))
    sequence mask          the same with level "sequence", or "geometric" for a test that ignores length
    decoupled PPO          ppo_clip_loss(logp, proximal, A, w * importance_weight(proximal, mu, mask, "token"))
    off-policy REINFORCE   reinforce_loss(logp, iw * R, w)

In each iw is data.  pi_old is the policy whose ratio is clipped and mu the one that drew; where they are one, iw = 1.

The KL.  For the reverse KL(pi || q) at one prefix, k a function of l = log pi - log q (formulas.kl), a drawn from mu:

    L = sum_t w_t rho_t k_t          dL/dlogp_t = w_t rho_t (k_t + k'_t)                             (9)

by the product rule, as d rho / d logp = rho.  E_mu[rho k] = E_pi[k], so (9) is the gradient of the mean of k:

               through rho, (9)      rho held: w rho k'      no rho, drawn from mu: w k'
    k1         KL(pi || q)           nothing                 - KL(mu || pi): away from the sampler
    k2         E_pi[k2]              KL(pi || q)             no divergence
    k3         KL(pi || q)           KL(q || pi)             no divergence

What is descended, on and off policy alike: the first column does not depend on mu.  On policy rho is 1 in value, and
still the columns differ: its derivative is not 0.  The third column, on policy, is formulas.kl (5).

The table is for one prefix.  Over several tokens with token ratios, prefixes stay distributed as under mu.

Source: (5) and per-decision weights: Precup, Sutton, Singh 2000; decoupled PPO: Hilton et al. 2021, arXiv:2110.00641;
        (9) with k3: DeepSeek-V3.2, arXiv:2512.02556, whose text on the KL was read only in what others quote;
        truncation and masks in libraries: TRL 1.16.0, read.  IcePop's page was not read.
Leaves out: self-normalised weights; V-trace (formulas.returns).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.kl import kl_k1, kl_k1_grad, kl_k2, kl_k2_grad, kl_k3, kl_k3_grad
from rlscratch.formulas.ppo import exp_of, ratio

LEVELS = ("none", "token", "prefix", "sequence", "geometric")
ESTIMATORS = {"k1": (kl_k1, kl_k1_grad), "k2": (kl_k2, kl_k2_grad), "k3": (kl_k3, kl_k3_grad)}


def importance_weight(logp: ArrayLike, logp_sampler: ArrayLike, mask: ArrayLike, level: str = "sequence") -> Array:
    """Equations (1) to (4) at every token, (B, T); 0 where the mask is.

    logp          (B, T)  log pi of each token, natural log; (..., T)
    logp_sampler  (B, T)  log mu of the same, under the distribution that was really drawn from
    mask          (B, T)  1 where the token was drawn
    level         "none" (1 for each token), "token", "prefix", "sequence" or "geometric"

    Raises ValueError for log-probabilities above 0, shapes that do not fit, and a weight that overflows.

    Ratios 2 and 1/2, then a token that nobody drew:

    >>> importance_weight(np.log([[.8, .1, 1]]), np.log([[.4, .2, 1]]), [[1, 1, 0]], "prefix").round(9).tolist()
    [[2.0, 1.0, 0.0]]

    Proof: tests/test_formulas_off_policy.py, test_only_the_sequence_weight_is_unbiased_and_the_others_have_their_means
    """
    check.array(min_ndim=1, logp=logp)
    logp, logp_sampler, mask = check.same_rank(logp=logp, logp_sampler=logp_sampler, mask=check.mask(mask=mask))
    check.log_probabilities(logp=logp, logp_sampler=logp_sampler)
    mask = np.broadcast_to(mask, logp.shape)
    gap = (logp - logp_sampler) * mask
    total = gap.sum(axis=-1, keepdims=True)
    level = check.one_of(LEVELS, level=level)
    log_weight = {"none": 0 * gap, "token": gap, "prefix": np.cumsum(gap, axis=-1), "sequence": total,
                  "geometric": total / np.maximum(mask.sum(axis=-1, keepdims=True), 1)}[level]
    return exp_of(log_weight) * mask


def bounded(weight: ArrayLike, low: float = 0.0, high: float = np.inf, outside: str = "clip") -> Array:
    """Weights cut to [low, high], or 0 outside of it; in the shape of weight.

    weight     any shape   importance weights, >= 0; one that is 0 stays 0
    low, high  0 <= low <= high
    outside    "clip" cuts to the bounds (truncation is low = 0); "drop" sets to 0 (a mask)

    >>> bounded([.25, 1, 3], .5, 2).tolist(), bounded([.25, 1, 3], .5, 2, outside="drop").tolist()
    ([0.5, 1.0, 2.0], [0.0, 1.0, 0.0])

    Proof: tests/test_formulas_off_policy.py, test_truncation_loses_what_it_cuts_and_a_mask_what_it_drops
    """
    weight = check.entries_between(0, np.inf, weight=check.array(weight=weight))
    low = check.non_negative(low=low)
    if not high >= low:
        check.fail("high", high, f"a number >= low, {low}")
    clip = check.one_of(("clip", "drop"), outside=outside) == "clip"
    cut = np.clip(weight.real, low, high) if clip else np.where((weight < low) | (weight > high), 0, weight)
    return np.where(weight == 0, 0, cut)


def weighted_kl_loss(
    logp: ArrayLike, logp_sampler: ArrayLike, logp_ref: ArrayLike, weight: ArrayLike, estimator: str = "k3",
) -> float:
    """Equation (9): sum of w rho k, to be minimised.

    logp          (B, T)  log pi of each token, natural log; any rank will do
    logp_sampler  (B, T)  log mu of the same
    logp_ref      (B, T)  log q of the same
    weight        (B, T)  how much each token counts, >= 0
    estimator     "k1", "k2" or "k3"

    Ratio 2, and the reference agrees with the sampler: 2 log 2.

    >>> round(weighted_kl_loss(np.log([.8]), np.log([.4]), np.log([.4]), [1], "k1"), 6)
    1.386294

    Proof: tests/test_formulas_off_policy.py, test_the_weighted_kl_has_the_derivative_of_its_loss
    """
    logp, rho, logp_ref, weight, (value, _) = _weighted(logp, logp_sampler, logp_ref, weight, estimator)
    return np.sum(weight * rho * value(logp, logp_ref)).item()


def weighted_kl_grad(
    logp: ArrayLike, logp_sampler: ArrayLike, logp_ref: ArrayLike, weight: ArrayLike, estimator: str = "k3",
) -> Array:
    """Equation (9): dL/dlogp through the ratio too, in the shape and dtype of logp.  Arguments as in the loss.

    2 (log 2 + 1):

    >>> weighted_kl_grad(np.log([.8]), np.log([.4]), np.log([.4]), [1], "k1").round(6).tolist()
    [3.386294]

    Proof: tests/test_formulas_off_policy.py, test_which_divergence_each_weighted_estimator_descends
    """
    logp, rho, logp_ref, weight, (value, slope) = _weighted(logp, logp_sampler, logp_ref, weight, estimator)
    return (weight * rho * (value(logp, logp_ref) + slope(logp, logp_ref))).astype(logp.dtype)


def _weighted(
    logp: ArrayLike, logp_sampler: ArrayLike, logp_ref: ArrayLike, weight: ArrayLike, estimator: str,
) -> tuple:
    """The checked arrays with the ratio in the place of logp_sampler, and the estimator's two functions."""
    logp, logp_sampler, logp_ref, weight = check.weighted(
        weight, logp=logp, logp_sampler=logp_sampler, logp_ref=logp_ref)
    pair = ESTIMATORS[check.one_of(tuple(ESTIMATORS), estimator=estimator)]
    return logp, ratio(logp, logp_sampler), logp_ref, weight, pair
