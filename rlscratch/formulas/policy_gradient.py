"""The policy gradient from samples: the score, the log-derivative trick, REINFORCE, baselines.

One step first.  pi(a) depends on theta, the reward R(a) does not, J = E[R] = sum_a pi(a) R(a).
From d log x = dx / x,

    grad pi(a) = pi(a) grad log pi(a)                                                    (1)
    grad J     = sum_a grad pi(a) R(a) = sum_a pi(a) grad log pi(a) R(a)
               = E[ grad log pi(a) R(a) ]                                                (2)

(2) is an expectation under pi itself, so samples estimate it: the mean of N terms
grad log pi(a_i) R(a_i).  For pi = softmax(z), log pi(a) = z_a - log sum_k exp z_k gives

    score_j(a) = d log pi(a) / d z_j = [j = a] - pi(j)                                   (3)
    dJ/dz_j    = sum_a pi(a) ([j = a] - pi(j)) R(a) = pi(j) (R(j) - E[R])                (4)

Episodes.  P(tau) = P(s_0) prod_t pi(a_t|s_t) P(s_{t+1}|s_t, a_t).  The logarithm makes it a sum,
of which only the terms log pi(a_t|s_t) depend on theta: grad log P(tau) = sum_t score_t, and
nobody needs to know the environment's P.  Rewards before t do not depend on a_t, so score_t
meets only G_t, the reward-to-go.  With a baseline b_t and weights w_t (formulas.weights),

    L            = - sum_t w_t (G_t - b_t) logp_t                                        (5)
    dL / dlogp_t = - w_t (G_t - b_t)                                                     (6)

and dL/dtheta = sum_t (dL/dlogp_t) grad logp_t is minus the estimate of grad J.  The value of
L means nothing: its minimum is not the best policy.  Only (6) does.

Baselines.  The probabilities add to 1 whatever theta is, so (EGLP lemma)

    E[score] = sum_a pi(a) grad log pi(a) = sum_a grad pi(a) = grad 1 = 0                (7)

and E[score b] = 0 for every b that does not depend on the action: the mean (2) stays.  The
total variance of g = score (R - b) does not; with |score|^2 the squared length,

    var(b) = E[|score|^2 (R - b)^2] - |grad J|^2                                         (8)
    b*     = E[|score|^2 R] / E[|score|^2]                                               (9)
    var(b) = var(b*) + E[|score|^2] (b - b*)^2                                           (10)

So a baseline helps if it is nearer to b* than 0 is, and harms otherwise.  E[R] is not b*: two
answers with p = [.9, .1], R = [1, 0] have b* = .1, and b = E[R] = .9 raises the variance from
.0018 to .1152.  Document 004, 1.5.2, promises a reduction without that condition.

The batch mean.  1.5.3 (c) takes b = the mean of G over the batch, which contains the sample's
own G, so it depends on the action, and the claim of 1.5.2 (no bias) does not cover it.  For N
one-step episodes, and b_-i the mean of the others,

    R_i - b = (1 - 1/N) (R_i - b_-i)                                                     (11)

By (7), b_-i leaves the mean as it is; hence the batch mean gives exactly (1 - 1/N) grad J: a
shorter step in the right direction.  For N episodes of T steps, G_is meets the score of its
own episode only, E[grad log P(tau_i) G_is] = grad E[G_s] by (2), and

    E[g] = grad J - (1/N) grad E[ (1/T) sum_s G_s ]                                      (12)

so for T > 1 the direction is off as well, by a term that falls like 1/N.

Where document 003 and these equations differ: its vector [.1, -.2, .3] for grad log pi(Paris)
is a drawing; (3) gives [.6, -.3, -.2, -.1] for p = [.4, .3, .2, .1].  Its "final_update"
[.08, -.15, .22] is no multiple of that vector (the quotients are .8, .75, .733), while its own
gradient, a coefficient times grad log pi, can only scale it.  Its four programming answers
(rewards .2, 0, .7, .9: "like C and D, not like A and B") have the signs it names only after a
baseline: without one, the answer worth .2 is reinforced too.

Source: document 003, "The Log-Derivative Trick", "Concrete Example", "The Learning Loop";
        document 004, 1.5.1 to 1.5.3; Williams 1992 (REINFORCE);
        Greensmith, Bartlett, Baxter 2004 (9); Kool et al. 2019 (leave-one-out).
Leaves out: G_t itself and GAE (returns), ratio and clip (ppo), division by the group's
        standard deviation (grpo), the KL penalty's coefficient (kl), learned baselines (train).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.distribution import softmax


def score(logits: ArrayLike, action: ArrayLike) -> Array:
    """Equation (3): the gradient of log pi(action) with respect to the logits, (..., V).

    logits  (..., V)  unnormalised log-probabilities; -inf where a token cannot be
    action  (...)     integers in [0, V), one for each row of logits

    Raises ValueError where the chosen logit is -inf: log pi has no gradient there.

    >>> score(np.log([.4, .3, .2, .1]), 0).round(3)
    array([ 0.6, -0.3, -0.2, -0.1])

    Proof: tests/test_formulas_policy_gradient.py, test_score_is_the_gradient_of_log_pi
    """
    logits = check.logits(logits=logits)
    action = check.ids(logits.shape[-1], action=action)
    check.shape(logits.shape[:-1], "one action for each row of logits", action=action)
    check.array(chosen=np.take_along_axis(logits, action[..., None], axis=-1)[..., 0], called="the logit of action")
    chosen = np.arange(logits.shape[-1]) == action[..., None]
    return chosen - softmax(logits)


def log_derivative_estimate(scores: ArrayLike, coefficients: ArrayLike, weight: ArrayLike | None = None) -> Array:
    """Equation (2) from N terms: sum_i weight_i coefficients_i scores_i, (P,).

    scores        (N, P)  grad log pi of each sample, in any P parameters
    coefficients  (N,)    R_i, R_i - b or kl_coefficient, in units of reward
    weight        (N,)    None for N samples, 1/N each; pi(a) for all actions makes (2) exact

    The document's one sample: Paris, reward .9.

    >>> log_derivative_estimate([[.1, -.2, .3]], [.9]).round(3)
    array([ 0.09, -0.18,  0.27])

    Proof: tests/test_formulas_policy_gradient.py, test_the_log_derivative_trick_gives_the_gradient_of_expected_reward
    """
    scores = check.array(ndim=2, scores=scores)
    samples = scores.shape[:1]
    weight = np.full(samples, 1 / samples[0]) if weight is None else weight
    coefficients, weight = check.weighted(weight, coefficients=coefficients)
    check.shape(samples, "one for each row of scores", coefficients=coefficients, weight=weight)
    return ((weight * coefficients) @ scores).astype(scores.dtype, copy=False)


def reinforce_loss(logp: ArrayLike, returns: ArrayLike, weight: ArrayLike, baseline: ArrayLike = 0.0) -> float:
    """Equation (5), a float.  Descend it; its value says nothing about progress.

    logp      (B, T)  log pi(a_t | s_t), natural log
    returns   (B, T)  G_t, in units of reward (total return or reward-to-go)
    weight    (B, T)  how much each token counts; 0 where the policy did not choose it
    baseline  scalar, (B, 1) or (B, T)  what to expect instead of 0, in units of reward

    Each may have any one rank; (B, 1) spreads over tokens.  Raises ValueError for (B,)
    beside (B, T), for a log-probability above 0, for weights below 0 and for anything that is not finite.

    Two tokens of half the weight each: (log 2 + log 4) / 2.

    >>> round(reinforce_loss(np.log([[.5, .25]]), [[1., 1.]], [[.5, .5]]), 6)
    1.039721

    Proof: tests/test_formulas_policy_gradient.py, test_reinforce_loss_is_the_sum_over_tokens_that_it_says
    """
    logp, coefficient = _weighted_advantage(logp, returns, weight, baseline)
    return -(coefficient * logp).sum().item()


def reinforce_grad(logp: ArrayLike, returns: ArrayLike, weight: ArrayLike, baseline: ArrayLike = 0.0) -> Array:
    """Equation (6): dL/dlogp, shaped like logp.  Arguments as in reinforce_loss.

    >>> reinforce_grad(np.log([[.5, .25]]), [[1., .2]], [[.5, .5]], baseline=.6).round(3)
    array([[-0.2,  0.2]])

    Proof: tests/test_formulas_policy_gradient.py, test_reinforce_grad_is_the_gradient_of_reinforce_loss
    """
    logp, coefficient = _weighted_advantage(logp, returns, weight, baseline)
    return np.broadcast_to(-coefficient, logp.shape).astype(logp.dtype)


def _weighted_advantage(
    logp: ArrayLike, returns: ArrayLike, weight: ArrayLike, baseline: ArrayLike,
) -> tuple[Array, Array]:
    logp, returns, baseline, weight = check.weighted(weight, logp=logp, returns=returns, baseline=baseline)
    check.log_probabilities(logp=logp)
    return logp, weight * (returns - baseline)


def batch_mean_baseline(returns: ArrayLike, mask: ArrayLike) -> float:
    """The mean of returns over every chosen token of the batch: document 004, 1.5.3 (c).

    returns  (B, T)  G_t, in units of reward
    mask     (B, T)  1 where the policy chose the token

    It contains each sample's own return, so it is not action-independent: for B one-step
    episodes the mean gradient is (1 - 1/B) grad J, equation (11), and for longer ones (12).
    leave_one_out_baseline has no such factor.  Raises ValueError if no token was chosen.

    >>> batch_mean_baseline([[3., 2., 1.], [6., 0., 0.]], [[1, 1, 1], [1, 0, 0]])
    3.0

    Proof: tests/test_formulas_policy_gradient.py, test_the_batch_mean_shrinks_the_gradient_by_one_in_n
    """
    returns, mask = check.array(returns=returns), check.mask(mask=mask)
    check.shape(returns.shape, "like returns", mask=mask)
    chosen = mask == 1
    if not chosen.any():
        check.fail("the sum of mask", 0, "at least 1: there is no return to average")
    return returns[chosen].mean().item()


def leave_one_out_baseline(rewards: ArrayLike) -> Array:
    """b_-i of equation (11): for each answer, the mean reward of the others in its group.

    rewards  (..., G)  one reward for each of the G answers to a prompt, G >= 2

    Independent answers make b_-i independent of action i, so by (7) it leaves the mean
    gradient exactly as it was.  Raises ValueError for a group of one, which has no others.

    >>> leave_one_out_baseline([10., 5., -10.])
    array([-2.5,  0. ,  7.5])

    Proof: tests/test_formulas_policy_gradient.py, test_leave_one_out_is_the_mean_of_the_others
    """
    rewards = check.group(2, rewards=rewards)
    return (rewards.sum(axis=-1, keepdims=True) - rewards) / (rewards.shape[-1] - 1)


def leave_one_out_advantage(rewards: ArrayLike) -> Array:
    """R_i - b_-i: by how much each answer is better than the others of its group, (..., G), in units of reward.

    rewards  (..., G)  as in leave_one_out_baseline

    >>> leave_one_out_advantage([10., 5., -10.])
    array([ 12.5,   5. , -17.5])

    Proof: tests/test_formulas_policy_gradient.py, test_leave_one_out_is_the_mean_of_the_others
    """
    rewards = check.group(2, rewards=rewards)
    return rewards - leave_one_out_baseline(rewards)
