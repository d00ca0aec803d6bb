"""How far the policy is from its reference: exact, from samples, as a penalty, at the optimum.

pi is the policy, q the frozen reference, log the natural logarithm, so KL is in nats, and

    KL(pi || q) = sum_a pi(a) log( pi(a) / q(a) ) = E[d],     d = log pi(a) - log q(a)       (1)

with a drawn from pi; pi(a) = 0 contributes 0, q(a) = 0 < pi(a) makes it infinite.  Below,
s = grad log pi(a), E[s] = 0 and E[s f(a)] = sum_a grad pi(a) f(a) (formulas.policy_gradient).

Three estimators of (1) from the one sample a (Schulman, "Approximating KL Divergence"):

    k1 = d                       k1' = 1                                                     (2)
    k2 = d^2 / 2                 k2' = d                                                     (3)
    k3 = exp(-d) - 1 + d         k3' = 1 - exp(-d)                                           (4)

Where pi > 0 for all that q can say, E[exp(-d)] = sum_a q(a) = 1, so E[k3] = E[k1] = KL (else
E[k3] is short of KL by the mass of q that pi never samples).  k3 >= 0 because e^x >= 1 + x.  As
k3 = d^2/2 - d^3/6 + ..., k2 differs from k3 and E[k2] from KL in the third order of d only.

Good estimates of a value need not have good gradients.  Whether k is a term of the loss that
is differentiated (k' s), or a number subtracted from the reward (k s), decides what descends:

    in the loss    E[k1' s] = E[s]            = 0
                   E[k2' s] = E[d s]          = grad KL(pi || q)          see (6)            (5)
                   E[k3' s] = - sum_a q(a) s  = grad KL(q || pi)
    in the reward  E[k1 s]  = E[d s]          = grad KL(pi || q)                             (6)
                   E[k2 s]                    = grad E[k2] - grad KL(pi || q)
                   E[k3 s]  = E[d s] + sum_a q(a) s
                                              = grad KL(pi || q) - grad KL(q || pi)

(6) is the derivative of (1), sum_a grad pi(a) (d + 1), where the 1 drops.  By the product rule
the two places add up: E[k s] + E[k' s] = grad E[k].  The last two lines are no penalties: near
pi = q they are of second order, so reversing d does not reverse them.  With q = [.8, .2], both
raise the first answer at pi = [.78, .22] and at [.82, .18] alike, where KL pulls back from both
sides; with q = [.5, .5], both push [.6, .4] further away.  So, for readers of other code:

          estimates             descends, in the loss      descends, in the reward
    k1    KL(pi || q)           nothing                    KL(pi || q)
    k2    KL to second order    KL(pi || q)                E[k2] - KL(pi || q): no divergence
    k3    KL(pi || q)           KL(q || pi), the reverse   KL(pi || q) - KL(q || pi): none either

    TRL    GRPOTrainer, by default: k3 in the loss times the ratio, differentiated through it, so
           KL(pi || q), on policy too (formulas.off_policy (9)); use_bias_correction_kl=False: k3
           alone.  RLOOTrainer: k1 in the reward.  There is no PPOTrainer any more
    veRL   "kl" or "k1", "abs" |d|, "mse" or "k2", "low_var_kl" or "k3", clamped to [-10, 10];
           with "+" behind the name its value and k2's gradient.  use_kl_loss puts it in the
           loss, use_kl_in_reward in the reward

There is no clamp here: its derivative is 0 just where the policy has gone farthest.  |d| is no
estimate of KL, and its derivative, the sign of d, descends none.  "+" is sound: (5), second line.

Answers of several tokens: log pi is a sum over tokens, hence d is.  In the reward, token t's
score multiplies the d of t and of all later tokens, and (6) holds for whole answers.  In the
loss, each k' meets its own token's score: (5) then descends the divergence at every prefix as
if how often a prefix is reached were given, and misses how early tokens change that.

The penalised objective and its optimum.  With beta >= 0 and R(a) in units of reward,

    J      = E[R] - beta KL(pi || q) = sum_a pi(a) c(a),     c = R - beta d                  (7)
    grad J = E[ s (R - beta (1 + d)) ]                       the document's form             (8)
           = E[ s c ]                                        E[s beta] = 0, so 1 drops
    dJ/dz_a = pi(a) ( c(a) - sum_k pi(k) c(k) )              in logits z                     (9)

The "1 +" of (8) is a baseline: it changes every sample's coefficient (R = 1, pi = .6, q = .5,
beta = .01: .988177, without it .998177) and no mean.  For beta > 0 let Z = sum_a q(a) exp(R(a)/beta):

    pi*(a) = q(a) exp(R(a) / beta) / Z                                                       (10)
    J(pi)  = beta log Z - beta KL(pi || pi*)                                                 (11)

(11) is (7) with R = beta log(pi* Z / q) put in.  KL >= 0, so pi* is the only maximum and
beta log Z its value.  There c = beta log Z for every answer, so (9) vanishes.

Document 003's numbers: the policy settings 50/20/30 that become 75/10/15 are (10) exactly, for
R = [.9, .1, .1] and beta = .8 / ln 3 (it gives neither R of the third nor beta).  The capital
of France, before to after, costs KL(after || before) = .340684 and earns .385, so it pays for
beta < 1.130078; "after" is (10) for no beta, as two answers with equal reward shrink unequally.

beta can be steered to a KL that is wanted: by a proportional controller, whose error is cut off,

    beta' = beta (1 + K e),    e = clip( KL / target - 1, -.2, .2 )                          (12)

Source: document 003, "The Complete Mathematical Derivation" and "The Policy Gradient Objective
        Function"; (10): Rafailov et al. 2023, arXiv:2305.18290, equation 4; (12): Ziegler et al.
        2019, arXiv:1909.08593, section 2.2.
Leaves out: samples from another policy, which need the ratio in front of every k (off_policy).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import log_softmax, softmax


def kl(p: ArrayLike, q: ArrayLike) -> Array:
    """Equation (1): KL(p || q) of each row, (...), in nats.

    p, q  (..., V)  rows of probabilities.  0 in p contributes 0; 0 in q under a positive p
                    gives inf

    >>> round(kl([.8, .1, .05, .05], [.4, .3, .2, .1]).item(), 6)         # France, after || before
    0.340684
    >>> kl([.5, .5], [1., 0.]).item(), round(kl([1., 0.], [.5, .5]).item(), 6)         # log 2
    (inf, 0.693147)

    Proof: tests/test_formulas_kl.py, test_kl_is_the_sum_it_says_is_never_negative_and_is_zero_at_home
    """
    p, q = check.probabilities(p=p, q=q)
    check.shape(p.shape, "like p", q=q)
    return _kl(p, q)


def _kl(p: Array, q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p == 0, 0, p * (np.log(p) - np.log(q))).sum(axis=-1)


# ---------------------------------------------------------------- estimators

def kl_k1(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (2), for each sample.  Unbiased, of either sign.

    logp_policy  (...)  log pi(a) of tokens or answers drawn from pi, natural log
    logp_ref     (...)  log q(a) of the same; as many axes, or a scalar

    Raises ValueError for numbers that are not finite or above 0, and for shapes that do not fit.

    >>> kl_k1([-1., -2.], [-3., -1.])
    array([ 2., -1.])

    Proof: tests/test_formulas_kl.py, test_k1_and_k3_are_unbiased
    """
    return _log_ratio(logp_policy, logp_ref)[0]


def kl_k1_grad(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (2): dk1/dlogp_policy = 1, so in the loss k1 teaches nothing on average.

    >>> kl_k1_grad([-1., -2.], [-3., -1.])
    array([1., 1.])

    Proof: tests/test_formulas_kl.py, test_each_derivative_is_the_derivative
    """
    d, dtype = _log_ratio(logp_policy, logp_ref)
    return np.ones_like(d, dtype=dtype)


def kl_k2(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (3), for each sample.  Never negative; right to second order.  Arguments as in kl_k1.

    >>> kl_k2([-1., -2.], [-3., -1.])
    array([2. , 0.5])

    Proof: tests/test_formulas_kl.py, test_k2_is_wrong_in_the_third_order_only
    """
    return _log_ratio(logp_policy, logp_ref)[0] ** 2 / 2


def kl_k2_grad(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (3): dk2/dlogp_policy = d; in the loss it descends KL(pi || q).

    >>> kl_k2_grad([-1., -2.], [-3., -1.])
    array([ 2., -1.])

    Proof: tests/test_formulas_kl.py, test_each_derivative_is_the_derivative
    """
    d, dtype = _log_ratio(logp_policy, logp_ref)
    return d.astype(dtype)


def kl_k3(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (4), for each sample.  Never negative; unbiased where pi > 0.  Arguments as in kl_k1.

    Where the reference is e^709 times likelier (e^88 in float32) the value is inf.

    >>> kl_k3(np.log(.4), np.log(.8)).round(6).item()             # 2 - 1 - log 2
    0.306853

    Proof: tests/test_formulas_kl.py, test_k1_and_k3_are_unbiased
    """
    d, _ = _log_ratio(logp_policy, logp_ref)
    with np.errstate(over="ignore"):
        return np.expm1(-d) + d


def kl_k3_grad(logp_policy: ArrayLike, logp_ref: ArrayLike) -> Array:
    """Equation (4): dk3/dlogp_policy = 1 - exp(-d); in the loss it descends KL(q || pi).

    >>> kl_k3_grad(np.log(.4), np.log(.8)).round(6).item()        # 1 - 2
    -1.0

    Proof: tests/test_formulas_kl.py, test_each_derivative_is_the_derivative
    """
    d, dtype = _log_ratio(logp_policy, logp_ref)
    with np.errstate(over="ignore"):
        return (-np.expm1(-d)).astype(dtype)


def _log_ratio(logp_policy: ArrayLike, logp_ref: ArrayLike) -> tuple[Array, np.dtype]:
    """d, and the dtype that a gradient in logp_policy has."""
    logp_policy, logp_ref = check.same_rank(logp_policy=logp_policy, logp_ref=logp_ref)
    check.log_probabilities(logp_policy=logp_policy, logp_ref=logp_ref)
    return logp_policy - logp_ref, logp_policy.dtype


# ---------------------------------------------------------------- the penalised objective

def kl_coefficient(reward: ArrayLike, logp_policy: ArrayLike, logp_ref: ArrayLike, beta: float) -> Array:
    """Equation (8): what multiplies grad log pi(a), R - beta (1 + d), shaped like logp_policy.

    reward       (...)  R of each sample, in units of reward; as many axes, or a scalar
    logp_policy  (...)  log pi(a), natural log
    logp_ref     (...)  log q(a); as many axes, or a scalar
    beta         >= 0   in units of reward per nat

    Libraries that subtract beta k1 from the reward leave out the "1 +": the same mean gradient.

    >>> kl_coefficient(1.0, np.log(.6), np.log(.5), beta=.01).round(6).item()
    0.988177

    Proof: tests/test_formulas_kl.py, test_the_coefficient_times_the_score_is_the_gradient_and_the_1_is_a_baseline
    """
    logp_policy, logp_ref, reward = check.same_rank(logp_policy=logp_policy, logp_ref=logp_ref, reward=reward)
    check.log_probabilities(logp_policy=logp_policy, logp_ref=logp_ref)
    return reward - check.non_negative(beta=beta) * (1 + logp_policy - logp_ref)


def kl_objective(probs: ArrayLike, ref: ArrayLike, rewards: ArrayLike, beta: float,
                 query_probs: ArrayLike | None = None) -> float:
    """Equation (7), a float, to be maximised: the mean over queries of E[R] - beta KL(pi || q).

    probs        (Y,) or (X, Y)  pi: each row adds to 1
    ref          like probs      q; 0 under a positive pi makes the objective -inf (beta > 0)
    rewards      like probs      R, in units of reward
    beta         >= 0            in units of reward per nat; 0 is the plain expected reward
    query_probs  (X,)            how often each query comes; given exactly if probs is (X, Y)

    France after training, at the beta where the gain of .385 is spent: as before, .43.

    >>> after, before, R = [.8, .1, .05, .05], [.4, .3, .2, .1], [1., 0., 0., .3]
    >>> [round(kl_objective(policy, before, R, beta=1.130078), 6) for policy in (before, after)]
    [0.43, 0.43]

    Proof: tests/test_formulas_kl.py, test_the_optimum_is_worth_beta_log_z_and_every_other_policy_less_by_its_kl
    """
    probs = check.probabilities(probs=probs)
    ref, rewards, beta, share = _penalty(probs.shape, ref, rewards, beta, query_probs)
    value = (probs * rewards).sum(axis=-1)
    if beta > 0:
        value = value - beta * _kl(probs, ref)
    return (share * np.where(share == 0, 0, value)).sum().item()


def kl_objective_grad(logits: ArrayLike, ref: ArrayLike, rewards: ArrayLike, beta: float,
                      query_probs: ArrayLike | None = None) -> Array:
    """Equation (9): dJ/dz for pi = softmax(z), shaped like logits; row x times query_probs[x].

    logits  (Y,) or (X, Y)  z; -inf where an answer cannot be, whose gradient is 0

    The others as in kl_objective.  Raises ValueError where ref is 0 and the policy is not
    (beta > 0): J is -inf there and has no gradient.

    >>> kl_objective_grad(np.log([.4, .3, .2, .1]), [.4, .3, .2, .1], [1., 0., 0., .3], beta=.5).round(3)
    array([ 0.228, -0.129, -0.086, -0.013])

    Proof: tests/test_formulas_kl.py, test_the_gradient_is_the_gradient_of_the_objective
    """
    logits = check.logits(logits=logits)
    ref, rewards, beta, share = _penalty(logits.shape, ref, rewards, beta, query_probs)
    share = np.expand_dims(share, -1)
    logp = log_softmax(logits)
    p = np.exp(logp)
    c = rewards.astype(np.result_type(p, ref, rewards))
    if beta > 0:
        outside = (p != 0) & (ref == 0) & (share != 0)
        if outside.any():
            check.fail(f"ref[{', '.join(map(str, np.argwhere(outside)[0]))}]", 0.0, "> 0 where the policy is > 0")
        both = (p != 0) & (ref != 0)
        c[both] -= beta * (logp[both] - np.log(ref[both]))
    return (share * p * (c - (p * c).sum(axis=-1, keepdims=True))).astype(logits.dtype)


def _penalty(shape: tuple[int, ...], ref: ArrayLike, rewards: ArrayLike, beta: float,
             query_probs: ArrayLike | None) -> tuple[Array, Array, float, Array]:
    """ref, rewards, beta, and the share of each row in the mean over queries."""
    ref, rewards = check.probabilities(ref=ref), check.array(rewards=rewards)
    check.shape(shape, "one for each answer", ref=ref, rewards=rewards)
    beta = check.non_negative(beta=beta)
    if len(shape) != (1 if query_probs is None else 2):
        check.fail("the shape of the policy", shape, "(Y,), or (X, Y) together with query_probs (X,)")
    if query_probs is None:
        return ref, rewards, beta, np.ones(())
    query_probs = check.probabilities(ndim=1, query_probs=query_probs)
    return ref, rewards, beta, check.shape(shape[:1], "one for each query", query_probs=query_probs)


def kl_optimal_policy(ref: ArrayLike, rewards: ArrayLike, beta: float) -> Array:
    """Equation (10): the policy that maximises (7), (..., Y), by log-sum-exp.

    ref      (..., Y)   q; an answer that the reference cannot give stays impossible
    rewards  (..., Y)   R, in units of reward
    beta     > 0        towards 0 the best answers take all, towards inf pi* is q

    The document's policy settings 50/20/30, with rewards .9, .1, .1:

    >>> kl_optimal_policy([.5, .2, .3], [.9, .1, .1], beta=.8 / np.log(3)).round(6)
    array([0.75, 0.1 , 0.15])

    Proof: tests/test_formulas_kl.py, test_the_optimum_is_worth_beta_log_z_and_every_other_policy_less_by_its_kl
    """
    ref, rewards = check.probabilities(ref=ref), check.array(rewards=rewards)
    check.shape(ref.shape, "one for each answer", rewards=rewards)
    beta = check.positive(beta=beta)
    best = np.where(ref != 0, rewards.real, -np.inf).max(axis=-1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        logits = np.where(ref != 0, np.log(ref) + (rewards - best) / beta, -np.inf)
    return softmax(logits)


def adaptive_beta(beta: float, kl: float, target: float, gain: float = 0.1, widest: float = 0.2) -> float:
    """Equation (12): beta for the next step, larger where the KL is above its target, smaller where it is below.

    beta        > 0   now, in units of reward a nat
    kl, target        nats; what was measured, and what is wanted (> 0)
    gain        >= 0  K; the paper's .1
    widest      >= 0  the largest error that is taken notice of; the paper's .2

    >>> round(adaptive_beta(0.1, 9.0, 3.0), 6), round(adaptive_beta(0.1, 2.7, 3.0), 6)
    (0.102, 0.099)

    Proof: tests/test_formulas_kl.py, test_beta_follows_its_target_by_at_most_gain_times_widest
    """
    beta, target = check.positive(beta=beta, target=target)
    kl = check.number(kl=kl)
    gain, widest = check.non_negative(gain=gain, widest=widest)
    if gain * widest >= 1:
        check.fail("gain * widest", gain * widest, "less than 1, so that beta stays above 0")
    error = min(max(kl / target - 1, -widest), widest)
    return beta * (1 + gain * error)
