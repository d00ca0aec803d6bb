"""Learning from comparisons: reward models, and policies trained on pairs without one.

Pairs.  Two answers have scores s_c (chosen) and s_r (rejected); with sigma(m) = 1 / (1 + e^-m)
the model of Bradley and Terry says

    P(chosen beats rejected) = e^s_c / (e^s_c + e^s_r) = sigma(m),    m = s_c - s_r        (1)
    L = mean over pairs of  -log sigma(m) = log(1 + e^-m)                                   (2)

d/dm log(1 + e^-m) = -sigma(-m), hence over N pairs

    dL/ds_c = -sigma(-m) / N,    dL/ds_r = -dL/ds_c                                         (3)

sigma(-m) is the chance that the model gives to the wrong order: a pair pulls as hard as the
model is surprised, and a flat model (m = 0) pays log 2 a pair.
Rankings.  K answers to one prompt, best first, make K(K-1)/2 pairs; document 002's D > C > A > B
makes DC DA DB CA CB AB.  All pairs:

    L = mean over i < j of  -log sigma(s_i - s_j)                                           (4)
    dL/ds_i = ( sum_{j<i} sigma(s_i - s_j) - sum_{j>i} sigma(s_j - s_i) ) / (K(K-1)/2)      (5)

Plackett and Luce draw the ranking itself: the best answer by softmax over all scores, the next
by softmax over those left, and so on.  With the tail t_i = log sum_{j>=i} e^s_j,

    L = -log prod_i e^s_i / e^t_i = sum_i ( t_i - s_i )                                     (6)
      = sum_{i<K} -log sigma(s_i - t_{i+1}),  since  e^t_i = e^s_i + e^t_{i+1}              (7)

so draw i is a Bradley-Terry duel of answer i against everything behind it, and K = 2 is (2).
From (6), dt_i/ds_j = e^(s_j - t_i) =: p_ij for j >= i, the softmax of draw i:

    dL/ds_j = sum_{i<=j} p_ij - 1 = sum_{i<j} p_ij - sigma(t_{j+1} - s_j),   the last term
                                                                    absent for j = K        (8)

(4) and (6) are different losses.  Let e^s = 3, 2, 1.  Then (6) is -log(3/6 2/3) = log 3 and its
gradient is (-1/2, 0, 1/2); (4) is -log(3/5 3/4 2/3) / 3 = .4013 with the gradient
(-.65, .0667, .5833) / 3, which lowers the second answer where (8) leaves it.  Summed over the
six rankings, the probabilities of (6) add to 1 and the products in (4) to .8: the rest is on
the two cycles.  Both are right in the mean: where rankings follow Plackett-Luce every pair in
them follows (1), and both expected gradients vanish at the true scores.

Every loss so far sees differences within one prompt only.  Adding a constant to a prompt's
scores changes nothing, so neither the zero nor the mean of such a reward has a meaning.

Ratings.  Document 003 trains its reward model on grades (0, .9, 1.0 and 0, 1.0, .95) instead:

    L = mean of (s_i - rating_i)^2 / 2,    dL/ds_i = (s_i - rating_i) / N                   (9)

which fixes the zero and the scale too, across prompts, and must be told how much better.

Policies: DPO.  Among all policies, E[R] - beta KL(pi || ref) is largest (formulas.kl) at

    pi(y) = ref(y) e^(R(y)/beta) / Z,    Z = sum_y ref(y) e^(R(y)/beta)                    (10)

Take logarithms and solve for R:

    R(y) = beta log(pi(y)/ref(y)) + beta log Z                                             (11)

(11) says of which reward a policy is the optimum, up to a constant of the prompt that cancels in a
pair: (11) in (1) needs no sum over answers.

    h = log(pi(c)/ref(c)) - log(pi(r)/ref(r)),    L = mean of -log sigma(beta h)           (12)
    dL/dlogp_c = -beta sigma(-beta h) / N,        dL/dlogp_r = -dL/dlogp_c                 (13)

If preferences follow (1) with rewards R, the expectation of (12) is least at (10).

Policies: IPO.  If an answer always wins, (12) wants h without bound and beta restrains nothing.
IPO sets a finite target instead:

    L = mean of ( h - 1/(2 beta) )^2,    dL/dlogp_c = 2 ( h - 1/(2 beta) ) / N             (14)

If y beats y' with probability p, the two labels of that pair together cost on average

    p ( h - 1/(2 beta) )^2 + (1 - p) ( h + 1/(2 beta) )^2,    least at h = (p - 1/2)/beta   (15)

where (12) is least at h = log(p/(1-p))/beta.  Over more answers, both sides drawn from mu, (14)
is least at pi(y) proportional to ref(y) e^(P(y beats a draw from mu)/beta): this is (10) with
the chance to win in place of the reward.

What the documents leave open.  002 and 004 train the reward model on rankings and name no loss;
InstructGPT's is (4).  003 trains it on ratings, (9): another model, not another way to the same
one.  002 counts DPO among the uses of GRPO and the ways to maximise a reward signal; (12) has
no group, draws no sample and calls no reward.

Source: document 002, step 2; document 003, part 6, step 2; document 004, section 2.4.2;
        Bradley & Terry 1952, Biometrika 39: here (1); Plackett 1975, Applied Statistics 24: (6);
        Ouyang et al. 2022 (InstructGPT), arXiv:2203.02155, its equation (1): here (4);
        Rafailov et al. 2023 (DPO), arXiv:2305.18290, its (4), (5), (7): here (10), (11), (12);
        Azar et al. 2023 (IPO), arXiv:2310.12036, its (17): here (14).
Leaves out: ties, partial rankings, the sum over tokens in log pi(y); label smoothing, margins and losses without
        a reference (formulas.pairs).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike


def bradley_terry(margin: ArrayLike) -> Array:
    """Equation (1): the probability that the chosen answer beats the rejected one, elementwise.

    margin  (...)  s_c - s_r, in units of score (log-odds)

    Raises ValueError or TypeError unless margin holds finite numbers.

    >>> bradley_terry(np.log([1.0, 3.0])).round(12).tolist()
    [0.5, 0.75]

    Proof: tests/test_formulas_preference.py, test_the_chance_to_win_is_a_share_of_the_exponentials
    """
    return _sigmoid(check.array(margin=margin))


def bradley_terry_loss(chosen: ArrayLike, rejected: ArrayLike) -> float:
    """Equation (2), a float; lower is better.

    chosen    (N,)  scores of the preferred answers (any shape: one pair an entry)
    rejected  (N,)  scores of the others; a size of 1 stands for every pair

    Raises ValueError or TypeError unless both hold finite numbers and the shapes fit.

    >>> round(bradley_terry_loss(np.log([3.0]), [0.0]), 4)    # log(4/3)
    0.2877

    Proof: tests/test_formulas_preference.py, test_one_of_the_two_answers_wins
    """
    chosen, rejected = check.same_rank(chosen=chosen, rejected=rejected)
    return logaddexp(0, rejected - chosen).mean().item()


def bradley_terry_grad(chosen: ArrayLike, rejected: ArrayLike) -> Array:
    """Equation (3): dL/dchosen, its shape; dL/drejected is the negative.  Arguments as in the loss.

    >>> bradley_terry_grad([0.0], [0.0]).tolist()
    [-0.5]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    chosen, rejected = check.same_rank(chosen=chosen, rejected=rejected)
    return _like(chosen, -_sigmoid(rejected - chosen) / chosen.size)


def ranking_loss(scores: ArrayLike) -> float:
    """Equation (4), a float: the mean over the K(K-1)/2 pairs of a ranking, and over rankings.

    scores  (..., K)  scores of the K >= 2 answers to one prompt, best answer first

    Raises ValueError or TypeError for fewer than two answers or scores that are not finite numbers.

    >>> round(ranking_loss(np.log([3.0, 2.0, 1.0])), 4)       # -log(3/5 3/4 2/3) / 3
    0.4013

    Proof: tests/test_formulas_preference.py, test_document_002_ranking_of_four_answers_is_six_pairs
    """
    scores = check.group(2, scores=scores)
    better, worse = np.triu_indices(scores.shape[-1], k=1)
    return logaddexp(0, scores[..., worse] - scores[..., better]).mean().item()


def ranking_grad(scores: ArrayLike) -> Array:
    """Equation (5): dL/dscores, (..., K).  Arguments as in ranking_loss.

    >>> (12 * ranking_grad([0.0, 0.0, 0.0, 0.0])).round(9).tolist()
    [-3.0, -1.0, 1.0, 3.0]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores = check.group(2, scores=scores)
    k = scores.shape[-1]
    pull = np.triu(_sigmoid(scores[..., None, :] - scores[..., :, None]), k=1)
    pairs = scores[..., 0].size * (k * (k - 1) // 2)
    return (pull.sum(axis=-2) - pull.sum(axis=-1)) / pairs


def plackett_luce_loss(scores: ArrayLike) -> float:
    """Equation (7), a float: -log of the probability of the ranking, its mean over rankings.

    scores  (..., K)  scores of the K >= 2 answers to one prompt, best answer first

    Raises ValueError or TypeError for fewer than two answers or scores that are not finite numbers.

    >>> round(plackett_luce_loss(np.log([3.0, 2.0, 1.0])), 4)  # -log(3/6 2/3) = log 3
    1.0986

    Proof: tests/test_formulas_preference.py, test_plackett_luce_is_a_distribution_whose_pairs_are_bradley_terry
    """
    scores = check.group(2, scores=scores)
    duels = logaddexp(0, _tails(scores)[..., 1:] - scores[..., :-1])
    return duels.sum(axis=-1).mean().item()


def plackett_luce_grad(scores: ArrayLike) -> Array:
    """Equation (8): dL/dscores, (..., K).  Arguments as in plackett_luce_loss.

    >>> (12 * plackett_luce_grad([0.0, 0.0, 0.0, 0.0])).round(9).tolist()   # 1/4 - 1, 1/4 + 1/3 - 1, ...
    [-9.0, -5.0, 1.0, 13.0]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores = check.group(2, scores=scores)
    tails = _tails(scores)
    gradient = np.zeros_like(scores)
    gradient[..., :-1] = -_sigmoid(tails[..., 1:] - scores[..., :-1])
    for i in range(scores.shape[-1] - 1):
        gradient[..., i + 1:] += np.exp(scores[..., i + 1:] - tails[..., i, None])
    return gradient / scores[..., 0].size


def rating_loss(scores: ArrayLike, ratings: ArrayLike) -> float:
    """Equation (9), a float: half the mean squared error.

    scores   (N,)  the reward model's output (any shape), in units of rating
    ratings  (N,)  what people gave; any real number, document 003 has -5 among them

    Raises ValueError or TypeError unless both hold finite numbers and the shapes fit.

    >>> rating_loss([0.5, 0.5], [0.0, 1.0])
    0.125

    Proof: tests/test_formulas_preference.py, test_document_003_regression_starts_at_309375_and_ends_at_the_ratings
    """
    scores, ratings = check.same_rank(scores=scores, ratings=ratings)
    return ((scores - ratings) ** 2).mean().item() / 2


def rating_grad(scores: ArrayLike, ratings: ArrayLike) -> Array:
    """Equation (9): dL/dscores, its shape.  Arguments as in rating_loss.

    >>> rating_grad([0.5, 0.5], [0.0, 1.0]).tolist()
    [0.25, -0.25]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    scores, ratings = check.same_rank(scores=scores, ratings=ratings)
    return _like(scores, (scores - ratings) / scores.size)


def implicit_reward(logp_policy: ArrayLike, logp_ref: ArrayLike, beta: float) -> Array:
    """Equation (11) without its constant: the reward of which this policy is the optimum.

    logp_policy  (N,)  log pi(y), natural log (any shape)
    logp_ref     (N,)  log ref(y)
    beta               strength of the KL penalty, > 0, in units of reward

    Comparable between answers to one prompt only: beta log Z differs from prompt to prompt.
    Raises ValueError or TypeError on log-probabilities not finite or above 0, shapes that do not fit, beta <= 0.

    >>> implicit_reward(np.log([0.5]), np.log([0.25]), beta=0.1).round(4).tolist()    # .1 log 2
    [0.0693]

    Proof: tests/test_formulas_preference.py, test_the_implicit_reward_is_the_reward_less_beta_log_z
    """
    logp_policy, logp_ref = check.same_rank(logp_policy=logp_policy, logp_ref=logp_ref)
    check.log_probabilities(logp_policy=logp_policy, logp_ref=logp_ref)
    return _like(logp_policy, check.positive(beta=beta) * (logp_policy - logp_ref))


def dpo_loss(
    logp_chosen: ArrayLike, logp_rejected: ArrayLike, ref_chosen: ArrayLike, ref_rejected: ArrayLike, beta: float
) -> float:
    """Equation (12), a float: bradley_terry_loss of the implicit rewards.

    logp_chosen, logp_rejected  (N,)  log pi(y) under the policy, natural log, summed over tokens
    ref_chosen, ref_rejected    (N,)  the same under the frozen reference
    beta                              strength of the KL penalty, > 0

    Raises ValueError or TypeError on numbers that are not finite or above 0, beta <= 0, or a shape that
    is not (N,): per-token log-probabilities (B, T) must be summed first.  At pi = ref it is log 2:

    >>> round(dpo_loss([-2.0], [-5.0], [-2.0], [-5.0], beta=0.1), 4)
    0.6931

    Proof: tests/test_formulas_preference.py, test_dpo_is_least_at_the_kl_regularised_optimum
    """
    _, h, beta = _log_ratio_gap(logp_chosen, logp_rejected, ref_chosen, ref_rejected, beta)
    return logaddexp(0, -beta * h).mean().item()


def dpo_grad(
    logp_chosen: ArrayLike, logp_rejected: ArrayLike, ref_chosen: ArrayLike, ref_rejected: ArrayLike, beta: float
) -> Array:
    """Equation (13): dL/dlogp_chosen, its shape; dL/dlogp_rejected is the negative.

    >>> dpo_grad([-2.0], [-5.0], [-2.0], [-5.0], beta=0.1).tolist()
    [-0.05]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    first, h, beta = _log_ratio_gap(logp_chosen, logp_rejected, ref_chosen, ref_rejected, beta)
    return _like(first, -beta * _sigmoid(-beta * h) / first.size)


def ipo_loss(
    logp_chosen: ArrayLike, logp_rejected: ArrayLike, ref_chosen: ArrayLike, ref_rejected: ArrayLike, beta: float
) -> float:
    """Equation (14), a float.  Arguments and errors as in dpo_loss; the paper writes tau for beta.

    The sums over tokens are the paper's.  TRL (since January 2024) and others after it average
    over each answer's tokens, so that the target does not depend on length; divide the
    log-probabilities by the answers' lengths before the call to get theirs.

    >>> ipo_loss([-2.0], [-5.0], [-2.0], [-5.0], beta=0.25)    # h = 0, target 2
    4.0

    Proof: tests/test_formulas_preference.py, test_ipo_is_the_squared_distance_of_the_margin_from_its_target
    """
    _, h, beta = _log_ratio_gap(logp_chosen, logp_rejected, ref_chosen, ref_rejected, beta)
    return ((h - 1 / (2 * beta)) ** 2).mean().item()


def ipo_grad(
    logp_chosen: ArrayLike, logp_rejected: ArrayLike, ref_chosen: ArrayLike, ref_rejected: ArrayLike, beta: float
) -> Array:
    """Equation (14): dL/dlogp_chosen, its shape; dL/dlogp_rejected is the negative.

    >>> ipo_grad([-2.0], [-5.0], [-2.0], [-5.0], beta=0.25).tolist()
    [-4.0]

    Proof: tests/test_formulas_preference.py, test_each_gradient_is_the_derivative_of_its_loss
    """
    first, h, beta = _log_ratio_gap(logp_chosen, logp_rejected, ref_chosen, ref_rejected, beta)
    return _like(first, 2 * (h - 1 / (2 * beta)) / first.size)


def _log_ratio_gap(
    logp_chosen: ArrayLike, logp_rejected: ArrayLike, ref_chosen: ArrayLike, ref_rejected: ArrayLike, beta: float
) -> tuple[Array, Array, float]:
    """Checked: the argument differentiated, h of equation (12), beta."""
    logp_chosen, logp_rejected, ref_chosen, ref_rejected = check.per_sequence(
        logp_chosen=logp_chosen, logp_rejected=logp_rejected, ref_chosen=ref_chosen, ref_rejected=ref_rejected)
    return logp_chosen, (logp_chosen - ref_chosen) - (logp_rejected - ref_rejected), check.positive(beta=beta)


def _tails(scores: Array) -> Array:
    """t_i of (6), added from the last answer forward, so that no score is lost to a larger one before it."""
    tails = scores.copy()
    for i in range(scores.shape[-1] - 2, -1, -1):
        tails[..., i] = logaddexp(scores[..., i], tails[..., i + 1])
    return tails


def _sigmoid(m: Array) -> Array:
    """1 / (1 + e^-m), by e^-|m| only, which cannot overflow."""
    left = m.real < 0
    small = np.exp(np.where(left, m, -m))
    return np.where(left, small, 1) / (1 + small)


def logaddexp(a: Array | float, b: Array) -> Array:
    """log(e^a + e^b).  numpy's own refuses complex numbers, and the complex step needs them.

    >>> round(logaddexp(0, np.log(3)).item(), 6)              # log 4
    1.386294

    Proof: tests/test_formulas_preference.py, test_logaddexp_is_numpy_s_and_takes_complex_numbers
    """
    swap = np.real(a) < np.real(b)
    top, low = np.where(swap, b, a), np.where(swap, a, b)
    return top + np.log1p(np.exp(low - top))


def _like(first: Array, gradient: Array) -> Array:
    """The gradient in the precision of the argument differentiated, whatever the others came in."""
    dtype = np.result_type(first, np.complex64) if np.iscomplexobj(gradient) else first.dtype
    return np.asarray(gradient, dtype=dtype)
