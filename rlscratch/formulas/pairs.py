"""More losses on answers that were judged: smoothed DPO, SimPO, ORPO, f-DPO, KTO, margins of a reward model.

Pairs lie on the last axis, chosen then rejected, (N, 2), so that one gradient holds both sides.  sigma is the sigmoid,
l(m) = -log sigma(m) = log(1 + e^-m), l'(m) = -sigma(-m); h = log(pi(c)/ref(c)) - log(pi(r)/ref(r)) as in
formulas.preference.  All losses are means over pairs, and N is their number.

Labels that may be wrong.  A label is flipped with probability e < 1/2.  Two losses, for two wishes:

    cDPO    (1-e) l(beta h) + e l(-beta h)                          least at sigma(beta h) = 1 - e   (1)
    rDPO    [ (1-e) l(beta h) - e l(-beta h) ] / (1 - 2e)           unbiased                         (2)

(1) is cross entropy against the label 1 - e: it stops h from growing without bound.  (2): over a flip of h to -h,

    (1-e) [ (1-e) l - e l~ ] + e [ (1-e) l~ - e l ] = (1 - 2e) l,   l = l(beta h), l~ = l(-beta h)   (3)

so the mean of (2) over flips is DPO's loss on clean labels, for every policy, and not least anywhere finite.  With
u = sigma(-beta h), l' = -u and d l~ / dm = 1 - u, the derivatives in m = beta h are

    (1)   e - u                   (2)   -u - e / (1 - 2e)                                            (4)

SimPO.  No reference, log-probabilities averaged over the answer's own tokens, a target margin gamma:

    m = beta ( logp_c / n_c - logp_r / n_r ) - gamma,     L = l(m)                                   (5)
    dL/dlogp_c = - sigma(-m) beta / n_c,     dL/dlogp_r = + sigma(-m) beta / n_r                     (6)

ORPO.  Also without a reference: likelihood of the chosen answer, plus lam times a preference by odds p / (1 - p) of
p = exp(x), x = logp / n,

    log odds = x - log(1 - e^x),     d log odds / dx = 1 / (1 - e^x)                                 (7)
    L = - x_c + lam l( log odds_c - log odds_r )                                                     (8)

f-DPO.  DPO is the optimum under reverse KL, whose f'(u) = log u + 1 at u = pi/ref gives the logarithm in h.  Another
divergence sum ref f(pi/ref) gives another link, and the constant cancels in the pair:

    m = beta f'(u_c) - beta f'(u_r),     dL/dlogp = -+ sigma(-m) beta u f''(u)                       (9)

    divergence              f'(u)                   u f''(u)
    reverse KL              log u                   1
    forward KL              -1/u                    1/u
    Jensen-Shannon          log(2u / (1 + u))       1 / (1 + u)
    alpha in (0, 1)         (1 - u^-alpha)/alpha    u^-alpha

alpha -> 0 is the reverse and alpha = 1 the forward KL (up to a constant).  Since u f'' differs on the two sides, the
rejected side no longer gets the negative of the chosen one.

KTO.  Single answers, a label each.  With the implied reward r = beta log(pi/ref) and a reference point z, data,

    desirable    w_d (1 - sigma(r - beta z)),        undesirable    w_u (1 - sigma(beta z - r))      (10)
    dL/dlogp = -+ w beta sigma(1 - sigma) / N,       sigma at the same argument                      (11)

The gradient vanishes for answers far on either side of z: hard cases and easy ones are left alone.  z stands for
KL(pi || ref), estimated from mismatched pairs and cut at 0.

A reward model.  With a margin g for pairs that people found clear, and a pull of scores to 0, which (1) of
formulas.preference leaves free:

    L = l(s_c - s_r - g) + lam (s_c + s_r)^2,    dL/ds_c = -sigma(-m) + 2 lam (s_c + s_r)            (12)

and dL/ds_r with + sigma(-m).  Written out as log(1 + exp(-m)) it is inf at m = -800; here nothing overflows.

Source: cDPO: Mitchell 2023, a note; rDPO: arXiv:2403.00409; SimPO: arXiv:2405.14734; ORPO: arXiv:2403.07691; f-DPO:
        arXiv:2309.16240; KTO: arXiv:2402.01306; margin: Llama 2, arXiv:2307.09288; centring: arXiv:2312.09244.
        (1), (8) and (12) were checked against TRL 1.16.0; the papers' texts were not read again.
        TRL's plain sigmoid loss ignores its label_smoothing; its f-DPO coefficient is 1 - alpha: 1 is the reverse KL.
Leaves out: how z is estimated; ties.
"""
from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.preference import bradley_terry, logaddexp

SIDES = np.array([1.0, -1.0])           # chosen, rejected
# divergence: (f'(u) without its constant, u f''(u)), for x = log u
LINKS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "reverse_kl": (lambda x: x, np.ones_like),
    "forward_kl": (lambda x: -np.exp(-x), lambda x: np.exp(-x)),
    "jensen_shannon": (lambda x: np.log(2) - logaddexp(0, -x), lambda x: bradley_terry(-x)),
}


def smoothed_dpo_loss(logp: ArrayLike, ref: ArrayLike, beta: float, flip: float, unbiased: bool = False) -> float:
    """Equation (1), or (2) with unbiased=True.

    logp, ref  (N, 2)      log pi and log ref of the chosen and the rejected answer, summed over tokens
    beta       > 0         strength of the KL penalty
    flip       in [0, 1/2) e, the chance that a label is wrong

    >>> round(smoothed_dpo_loss([[-2, -5]], [[-2, -5]], .1, .25), 6)            # h = 0: log 2
    0.693147

    Proof: tests/test_formulas_pairs.py, test_the_unbiased_loss_is_on_average_that_of_clean_labels
    """
    _, m, e, scale = _smoothed(logp, ref, beta, flip, unbiased)
    right, wrong = logaddexp(0, -m), logaddexp(0, m)
    return ((1 - e) * right + (-e if unbiased else e) * wrong).mean().item() * scale


def smoothed_dpo_grad(logp: ArrayLike, ref: ArrayLike, beta: float, flip: float, unbiased: bool = False) -> Array:
    """Equation (4) for both sides, (N, 2).  Arguments as in smoothed_dpo_loss.

    At h = 0, beta (e - 1/2):

    >>> smoothed_dpo_grad([[-2, -5]], [[-2, -5]], 1, .25).tolist()
    [[-0.25, 0.25]]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, m, e, scale = _smoothed(logp, ref, beta, flip, unbiased)
    u = bradley_terry(-m)
    slope = scale * ((1 - e) * -u + (-e if unbiased else e) * (1 - u))
    return (beta * slope[:, None] * SIDES / len(logp)).astype(logp.dtype)


def simpo_loss(logp: ArrayLike, lengths: ArrayLike, beta: float = 2.0, gamma: float = 1.0) -> float:
    """Equation (5).

    logp     (N, 2)  log pi of the chosen and the rejected answer, summed over tokens
    lengths  (N, 2)  their numbers of tokens, > 0
    beta     > 0     scale of the mean log-probability; the paper tunes it, 2 to 10
    gamma    >= 0    target margin

    Means of -1 and -2, beta 2, gamma 2: m = 0.

    >>> round(simpo_loss([[-3, -8]], [[3, 4]], 2, 2), 6)
    0.693147

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, m, _ = _means(logp, lengths, beta)
    return logaddexp(0, check.non_negative(gamma=gamma) - m).mean().item()


def simpo_grad(logp: ArrayLike, lengths: ArrayLike, beta: float = 2.0, gamma: float = 1.0) -> Array:
    """Equation (6), (N, 2).  Arguments as in simpo_loss.

    >>> simpo_grad([[-3, -8]], [[2, 4]], 2, 1).tolist()             # m = 2 (-1.5 + 2) - 1 = 0
    [[-0.5, 0.25]]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, m, lengths = _means(logp, lengths, beta)
    u = bradley_terry(check.non_negative(gamma=gamma) - m)
    return (-beta * u[:, None] * SIDES / lengths / len(logp)).astype(logp.dtype)


def orpo_loss(logp: ArrayLike, lengths: ArrayLike, lam: float = 0.1) -> float:
    """Equation (8).

    logp, lengths  as in simpo_loss; logp < 0
    lam            >= 0  weight of the odds

    p of 1/2 on both sides: log 2 + .1 log 2.

    >>> round(orpo_loss(np.log([[.5, .5]]), [[1, 1]]), 6)
    0.762462

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, x, m, _ = _odds(logp, lengths)
    return (-x[:, 0] + check.non_negative(lam=lam) * logaddexp(0, -m)).mean().item()


def orpo_grad(logp: ArrayLike, lengths: ArrayLike, lam: float = 0.1) -> Array:
    """dL/dlogp of (8), (N, 2).  Arguments as in orpo_loss.

    -1 from the likelihood; -.1 sigma(0) / (1 - 1/2) from the odds:

    >>> orpo_grad(np.log([[.5, .5]]), [[1, 1]]).round(9).tolist()
    [[-1.1, 0.1]]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, x, m, lengths = _odds(logp, lengths)
    slope = -check.non_negative(lam=lam) * bradley_terry(-m)[:, None] * SIDES / -np.expm1(x) - np.array([1.0, 0.0])
    return (slope / lengths / len(logp)).astype(logp.dtype)


def f_dpo_loss(logp: ArrayLike, ref: ArrayLike, beta: float, divergence: str | float = "reverse_kl") -> float:
    """Equation (9).

    logp, ref, beta  as in smoothed_dpo_loss
    divergence       "reverse_kl", "forward_kl", "jensen_shannon", or alpha in (0, 1]

    u = 2 and 1: forward KL has m = -1/2 + 1.

    >>> round(f_dpo_loss([np.log([.4, .2])], [np.log([.2, .2])], 1, "forward_kl"), 6)
    0.474077

    Proof: tests/test_formulas_pairs.py, test_f_dpo_with_reverse_kl_is_dpo_and_alpha_has_its_two_ends
    """
    _, x, (link, _) = _linked(logp, ref, beta, divergence)
    return logaddexp(0, -beta * (link(x) @ SIDES)).mean().item()


def f_dpo_grad(logp: ArrayLike, ref: ArrayLike, beta: float, divergence: str | float = "reverse_kl") -> Array:
    """Equation (9), (N, 2).  Arguments as in f_dpo_loss.

    >>> f_dpo_grad([[-2, -5]], [[-2, -5]], 1, "jensen_shannon").tolist()          # u = 1, u f'' = 1/2
    [[-0.25, 0.25]]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, x, (link, slope) = _linked(logp, ref, beta, divergence)
    u = bradley_terry(-beta * (link(x) @ SIDES))
    return (-beta * u[:, None] * SIDES * slope(x) / len(logp)).astype(logp.dtype)


def kto_loss(
    logp: ArrayLike, ref: ArrayLike, desirable: ArrayLike, beta: float, z: float = 0.0,
    weights: tuple[float, float] = (1.0, 1.0),
) -> float:
    """Equation (10).

    logp, ref  (N,)  log pi and log ref of each answer, summed over tokens
    desirable  (N,)  1 or 0
    beta       > 0
    z          >= 0  the reference point, in nats
    weights          of desirable and undesirable answers

    >>> kto_loss([-2, -3], [-2, -3], [1, 0], .1)
    0.5

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, gate, weight, _ = _judged(logp, ref, desirable, beta, z, weights)
    return (weight * gate).mean().item()


def kto_grad(
    logp: ArrayLike, ref: ArrayLike, desirable: ArrayLike, beta: float, z: float = 0.0,
    weights: tuple[float, float] = (1.0, 1.0),
) -> Array:
    """Equation (11), (N,).  Arguments as in kto_loss.

    >>> kto_grad([-2, -3], [-2, -3], [1, 0], 1).tolist()
    [-0.125, 0.125]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    logp, gate, weight, side = _judged(logp, ref, desirable, beta, z, weights)
    return (-weight * side * beta * gate * (1 - gate) / len(logp)).astype(logp.dtype)


def reward_margin_loss(scores: ArrayLike, margin: ArrayLike = 0.0, center: float = 0.0) -> float:
    """Equation (12).

    scores  (N, 2)  s of the chosen and the rejected answer, in log-odds
    margin  (N,)    g, or one for all
    center  >= 0    lam

    >>> round(reward_margin_loss([[3, 1]], 2, .5), 6)                 # log 2 + 16 / 2
    8.693147

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    _, m, total, center = _scored(scores, margin, center)
    return (logaddexp(0, -m) + center * total**2).mean().item()


def reward_margin_grad(scores: ArrayLike, margin: ArrayLike = 0.0, center: float = 0.0) -> Array:
    """Equation (12), (N, 2).  Arguments as in reward_margin_loss.

    >>> reward_margin_grad([[3, 1]], 2, .5).tolist()
    [[3.5, 4.5]]

    Proof: tests/test_formulas_pairs.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores, m, total, center = _scored(scores, margin, center)
    slope = -bradley_terry(-m)[:, None] * SIDES + 2 * center * total[:, None]
    return (slope / len(scores)).astype(scores.dtype)


# ---------------------------------------------------------------- checked arguments

def _pair(**arrays: ArrayLike) -> tuple[Array, ...]:
    """Arrays of one shape (N, 2)."""
    checked = check.same_rank(**arrays)
    for name, value in zip(arrays, checked, strict=True):
        if value.ndim != 2 or value.shape[1] != 2:
            check.fail(f"the shape of {name}", value.shape, "(N, 2): chosen and rejected")
    return checked


def _smoothed(logp: ArrayLike, ref: ArrayLike, beta: float, flip: float, unbiased: bool) -> tuple:
    """logp, m, e, and what the loss is divided by."""
    logp, ref = _pair(logp=logp, ref=ref)
    check.log_probabilities(logp=logp, ref=ref)
    e = check.non_negative(flip=flip)
    if e >= 0.5:
        check.fail("flip", flip, "a number in [0, 1/2): above it the labels mean their opposite")
    check.one_of((False, True), unbiased=unbiased)
    return logp, check.positive(beta=beta) * ((logp - ref) @ SIDES), e, 1 / (1 - 2 * e) if unbiased else 1.0


def _means(logp: ArrayLike, lengths: ArrayLike, beta: float) -> tuple[Array, Array, Array]:
    """logp, beta times the difference of the means, lengths."""
    logp, lengths = _pair(logp=logp, lengths=lengths)
    check.log_probabilities(logp=logp)
    check.entries_between(1, np.inf, lengths=lengths)
    return logp, check.positive(beta=beta) * ((logp / lengths) @ SIDES), lengths


def _odds(logp: ArrayLike, lengths: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """logp, x, the difference of log odds, lengths."""
    logp, _, lengths = _means(logp, lengths, 1)
    x = logp / lengths
    check.entries_between(-np.inf, -np.finfo(float).tiny, "as the odds of certainty are infinite", logp=logp)
    return logp, x, (x - np.log(-np.expm1(x))) @ SIDES, lengths


def _linked(logp: ArrayLike, ref: ArrayLike, beta: float, divergence: str | float) -> tuple:
    """logp, log u, and the row of LINKS."""
    logp, ref = _pair(logp=logp, ref=ref)
    check.log_probabilities(logp=logp, ref=ref)
    check.positive(beta=beta)
    if isinstance(divergence, str):
        return logp, logp - ref, LINKS[check.one_of(tuple(LINKS), divergence=divergence)]
    alpha = check.fraction(divergence=divergence)
    return logp, logp - ref, (lambda x: -np.expm1(-alpha * x) / alpha, lambda x: np.exp(-alpha * x))


def _judged(logp: ArrayLike, ref: ArrayLike, desirable: ArrayLike, beta: float, z: float,
            weights: tuple[float, float]) -> tuple[Array, Array, Array, Array]:
    """logp, 1 - sigma of (10), each answer's weight, and 1 or -1."""
    logp, ref, desirable = check.per_sequence(logp=logp, ref=ref, desirable=-check.mask(desirable=desirable))
    side = -2 * desirable.real - 1
    good, bad = (check.non_negative(weights=weight) for weight in weights)
    m = side * check.positive(beta=beta) * (logp - ref - check.non_negative(z=z))
    return logp, bradley_terry(-m), np.where(side > 0, good, bad), side


def _scored(scores: ArrayLike, margin: ArrayLike, center: float) -> tuple[Array, Array, Array, float]:
    """scores, m, s_c + s_r, lam."""
    scores, = _pair(scores=scores)
    _, margin = check.same_rank(scores=scores[:, 0], margin=margin)
    return scores, scores @ SIDES - margin, scores.sum(axis=1), check.non_negative(center=center)
