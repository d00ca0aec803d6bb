"""A row of logits as a distribution: softmax, entropy, filters, expected reward.

z is a row of V logits, p the probabilities, T > 0 the temperature, log the natural logarithm.

    p_j = exp(z_j / T) / sum_k exp(z_k / T)                                          (1)
    log p_j = z_j / T - log sum_k exp(z_k / T)                                       (2)

Adding a constant to every z_k changes neither, so the largest is subtracted first and
nothing overflows.  z_j = -inf is a token that cannot be: p_j = 0.  As T -> 0 the row turns
into the arg-max, as T -> inf into the uniform row.  Where T = 1, (2) gives

    d log p_a / dz_j = [a = j] - p_j,      dp_a / dz_j = p_a ([a = j] - p_j)         (3)

Entropy, in nats, with 0 log 0 = 0:

    H = - sum_a p_a log p_a                                                          (4)
    dH/dz_j = - sum_a (dp_a/dz_j) (log p_a + 1)         the 1 drops: sum_a dp_a = 0
            = - p_j log p_j + p_j sum_a p_a log p_a     by (3)
            = - p_j (log p_j + H)                                                    (5)

Expected reward when answer a earns r_a, and when queries x come with probability q_x:

    J = sum_a p_a r_a,                  J = sum_x q_x sum_y p(y|x) r(x, y)           (6)
    dJ/dz_j = sum_a p_a ([a = j] - p_j) r_a = p_j (r_j - J)                          (7)

An answer gains exactly if it earns more than average; the entries of (5) and of (7) add to 0.

Filters set entries to 0 and divide by what is left.  In descending order of p, equal ones by
index, these tokens stay:

    top-k   the first k                                                              (8)
    top-p   those with less than p of the mass before them                          (9)
    min-p   those with at least p times the largest probability                     (10)

Thresholds are decimals, masses are floats, and .25 + .20 + .18 + .15 + .12 may fall on either
side of .9.  So (9) asks for less than p - 1e-6 and (10) for p (1 - 1e-6) times the largest:
what reaches a threshold on paper reaches it in float32 and in float64.

Source: document 003, parts 2, 3 and 6, "Derivation" step 2 and "Top-K vs Top-p";
        top-k: Fan et al. 2018, arXiv:1805.04833; top-p: Holtzman et al. 2020,
        arXiv:1904.09751; min-p: Nguyen et al. 2024, arXiv:2407.01082;
        repetition penalty: Keskar et al. 2019, arXiv:1909.05858, section 4.1.
Leaves out: drawing a token and temperature 0 (rlscratch.generate), the score function
        (formulas.policy_gradient), the KL penalty (formulas.kl).
"""
from __future__ import annotations

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array, ArrayLike
from rlscratch.formulas.best_of_n import best_of_n as best_of_n

MARGIN = kernels.reference.MARGIN  # 1e-6: how far from a threshold a float may be and still count as on it


def softmax(logits: ArrayLike, temperature: float = 1.0) -> Array:
    """Equation (1): probabilities, (..., V), in the dtype of the logits.

    logits       (..., V)  real or complex; -inf marks a token that cannot be
    temperature  > 0       below 1 sharpens the row, above 1 flattens it

    ValueError for NaN, +inf, a row of -inf alone, a temperature that is not > 0.

    >>> softmax([0.0, np.log(3.0)], temperature=0.5).round(6).tolist()      # odds 1 : 3 become 1 : 9
    [0.1, 0.9]
    >>> softmax([8.5, 6.2, 4.1, 2.8]).round(3).tolist()
    [0.896, 0.09, 0.011, 0.003]

    Document 003, part 2 prints 67%, 23%, 8%, 2% for the second.  That is wrong, and no one
    temperature gives it: its odds would need T = 2.15, 2.07 and 1.62 at once.

    Proof: tests/test_formulas_distribution.py, test_softmax_is_the_definition
    """
    return _by_rows("softmax", check.logits(logits=logits), check.temperature(temperature=temperature))


def log_softmax(logits: ArrayLike, temperature: float = 1.0) -> Array:
    """Equation (2): natural logarithms of the probabilities, (..., V); -inf where p = 0.

    Arguments and errors as in softmax.  Exact where log(softmax(z)) has underflowed:

    >>> float(log_softmax([0.0, -2000.0])[1])
    -2000.0

    Proof: tests/test_formulas_distribution.py, test_softmax_is_the_definition
    """
    return _by_rows("log_softmax", check.logits(logits=logits), check.temperature(temperature=temperature))


def _by_rows(name: str, logits: Array, temperature: float) -> Array:
    """The kernel of that name over the last axis; its NumPy twin where the kernel has no such dtype."""
    backend = kernels if logits.dtype in (np.float32, np.float64) else kernels.reference
    rows = np.ascontiguousarray(logits.reshape(-1, logits.shape[-1]))
    return getattr(backend, name)(rows, temperature).reshape(logits.shape)


def entropy(logits: ArrayLike) -> Array:
    """Equation (4) along the last axis, in nats: (..., V) -> (...).  Lies in [0, log V].

    logits  (..., V)  real or complex; -inf adds nothing

    >>> round(float(entropy([0.0, 0.0])), 6)                # log 2: one toss of a coin
    0.693147
    >>> float(entropy([3.0, -np.inf]))                      # nothing is left open
    0.0

    Proof: tests/test_formulas_distribution.py, test_entropy_is_the_definition_and_lies_between_0_and_log_v
    """
    p, surprisal = _surprisal(logits)
    return (p * surprisal).sum(axis=-1)


def entropy_grad(logits: ArrayLike) -> Array:
    """Equation (5): dH/dz for each row by itself, (..., V).  Arguments as in entropy.

    Odds 1 : 3 have H = .5623; the gradient of the rarer token is -.25 (log .25 + .5623).

    >>> entropy_grad(np.log([1.0, 3.0])).round(4).tolist()
    [0.206, -0.206]

    Proof: tests/test_formulas_distribution.py, test_entropy_s_gradient_is_its_derivative
    """
    p, surprisal = _surprisal(logits)
    return p * (surprisal - (p * surprisal).sum(axis=-1, keepdims=True))


def _surprisal(logits: ArrayLike) -> tuple[Array, Array]:
    """p and -log p, with 0 for -log 0: wherever it is used p multiplies it, and 0 log 0 = 0."""
    logits = check.logits(logits=logits)
    p = _by_rows("softmax", logits, 1.0)
    return p, np.where(p == 0, 0, -_by_rows("log_softmax", logits, 1.0))


def top_k(probs: ArrayLike, k: int, ties: str = "first") -> Array:
    """Equation (8): the k most probable tokens, renormalised; (..., V), the rest 0.

    probs  (..., V)  rows that add to 1
    k      >= 1      how many tokens stay; more than V keeps them all
    ties   "first": of tokens equal to the k-th those with the lowest index, so that k stay, as
           document 003, part 3 has it ("ALWAYS").  "all": every token equal to the k-th, which
           may be more than k; Hugging Face's TopKLogitsWarper does this

    >>> top_k([.40, .25, .15, .10, .05, .03, .02], 3).round(4).tolist()
    [0.5, 0.3125, 0.1875, 0.0, 0.0, 0.0, 0.0]
    >>> top_k([.5, .25, .25], 2, ties="all").tolist()
    [0.5, 0.25, 0.25]

    The first row is the document's "The weather is ___"; its part 2 has another for the same
    words, .40 .24 .16 .10 .06 .04.  Both add to 1: they are two examples.

    Proof: tests/test_formulas_distribution.py, test_top_k_keeps_k_and_of_equals_the_first
    """
    probs, k = check.probabilities(probs=probs), check.integer(1, k=k)
    check.one_of(("first", "all"), ties=ties)
    first = _descending(probs)[..., :k]
    if ties == "all":
        return _renormalised(probs, probs.real >= np.take_along_axis(probs.real, first[..., -1:], axis=-1))
    return _renormalised(probs, _scattered(first, True, probs.shape))


def top_p(probs: ArrayLike, p: float, rule: str = "mass_before") -> Array:
    """Equation (9): the fewest most probable tokens that hold p of the mass, renormalised; (..., V).

    probs  (..., V)  rows that add to 1
    p      (0, 1]    the mass to hold; 1 keeps every token under both rules
    rule   the most probable token always stays, another: "mass_before": iff the mass before it,
           summed in double, is less than p - 1e-6; "hf": iff its own and all after it is more
           than 1 - p, in the precision of the row, as in Hugging Face's TopPLogitsWarper

    On paper the rules are one, for the mass from a token on is 1 - the mass before it.  They
    part where a token sits on the threshold, and there rounding decides "hf".  Document 003,
    part 3: "The movie was ___" hits 90% at the fifth word and keeps five.

    >>> movie = np.array([.25, .20, .18, .15, .12, .05, .03, .02])
    >>> [int((top_p(row, .9) > 0).sum()) for row in (movie, movie.astype(np.float32))]
    [5, 5]
    >>> [int((top_p(row, .9, rule="hf") > 0).sum()) for row in (movie, movie.astype(np.float32))]
    [6, 5]

    The document's "I feel ___" keeps nine words for p = .9, which is wrong: the seven it prints
    hold 72%, two more at most 7% each, and 86% is short of 90%.  Ten words at least are needed.

    Proof: tests/test_formulas_distribution.py, test_top_p_keeps_what_whole_numbers_say_in_both_dtypes
    """
    probs, p = check.probabilities(probs=probs), check.fraction(p=p)
    check.one_of(("mass_before", "hf"), rule=rule)
    order = _descending(probs)
    mass = np.take_along_axis(probs.real, order, axis=-1).astype(np.float64)
    if rule == "hf":
        dtype = probs.real.dtype
        keep = np.cumsum(mass[..., ::-1], axis=-1).astype(dtype)[..., ::-1] > dtype.type(1 - p)
    elif p == 1:
        keep = np.ones(mass.shape, bool)
    else:
        before = np.zeros_like(mass)
        before[..., 1:] = np.cumsum(mass[..., :-1], axis=-1)
        keep = before < p - MARGIN
    keep[..., 0] = True
    return _renormalised(probs, _scattered(order, keep, probs.shape))


def min_p(probs: ArrayLike, p: float) -> Array:
    """Equation (10): the tokens with at least p times the largest probability, renormalised; (..., V).

    probs  (..., V)  rows that add to 1
    p      [0, 1]    share of the largest probability; 0 keeps all, 1 the largest and its equals

    Below, the last token has a tenth of the first on paper, and less in float64, where .1 * .4
    is .04000000000000001.  Hugging Face's MinPLogitsWarper has no margin, so that rounding decides:
    it keeps this one and drops the .06 of .60 .34 .06.

    >>> min_p([.40, .36, .20, .04], .1).round(6).tolist()
    [0.4, 0.36, 0.2, 0.04]

    Proof: tests/test_formulas_distribution.py, test_min_p_keeps_what_whole_numbers_say_in_both_dtypes
    """
    probs, p = check.probabilities(probs=probs), check.between(0, 1, p=p)
    mass = probs.real.astype(np.float64)
    return _renormalised(probs, mass >= p * (1 - MARGIN) * mass.max(axis=-1, keepdims=True))


def _descending(probs: Array) -> Array:
    """Indices that sort each row, largest first, equal entries by index."""
    return np.argsort(-probs.real, axis=-1, kind="stable")


def _scattered(places: Array, flags: Array | bool, shape: tuple[int, ...]) -> Array:
    """The flags at these places of each row, False elsewhere."""
    result = np.zeros(shape, bool)
    np.put_along_axis(result, places, flags, axis=-1)
    return result


def _renormalised(probs: Array, keep: Array) -> Array:
    kept = probs * keep
    return kept / kept.sum(axis=-1, keepdims=True)


def repetition_penalty(logits: ArrayLike, previous: ArrayLike, penalty: float) -> Array:
    """Logits in which every token of `previous` is less likely: z / penalty if z > 0, z * penalty if not.

    logits    (V,) or (B, V)  -inf stays -inf
    previous  (T,) or (B, T)  token ids so far, T may be 0; a token counts once, however often
              it occurs, so a shorter row may be filled up by repeating one of its own tokens
    penalty   > 0             1 changes nothing, above 1 discourages, below 1 encourages

    The CTRL paper divides whatever the sign, which makes a token with z < 0 more likely; the
    rule by sign is Hugging Face's RepetitionPenaltyLogitsProcessor.  It depends on where 0 lies:
    a constant added to all logits, which softmax ignores, changes the outcome.

    TypeError for ids that are not integers, ValueError for ids outside [0, V).

    >>> repetition_penalty([2.0, -2.0, 1.0], [0, 1, 1], 2.0).tolist()
    [1.0, -4.0, 1.0]

    Proof: tests/test_formulas_distribution.py, test_a_penalised_token_is_never_more_likely_against_one_that_is_not
    """
    logits, penalty = check.logits(logits=logits), check.positive(penalty=penalty)
    if logits.ndim > 2:
        check.fail("the shape of logits", logits.shape, "(V,) or (B, V)")
    previous = check.ids(logits.shape[-1], ndim=logits.ndim, empty=True, previous=previous)
    check.shape((*logits.shape[:-1], previous.shape[-1]), "a row for each row of logits", previous=previous)
    seen = _scattered(previous, True, logits.shape) & np.isfinite(logits)
    result, z = logits.copy(), logits[seen]
    result[seen] = np.where(z.real > 0, z / penalty, z * penalty)
    return result


def expected_reward(probs: ArrayLike, rewards: ArrayLike, query_probs: ArrayLike | None = None) -> float:
    """Equation (6), a float, in units of reward; higher is better.

    probs        (Y,) or (X, Y)  probability of each answer, each row adds to 1
    rewards      like probs      r(y), or r(x, y)
    query_probs  (X,)            how often each query comes, adds to 1; required if probs is
                                 (X, Y), refused if not; np.full(X, 1 / X) for a plain mean

    Document 003, part 6, the capital of France before and after training (the document draws
    .43 as 44 blocks in 94, which is .47):

    >>> rewards = [1.0, 0.0, 0.0, 0.3]
    >>> round(expected_reward([.4, .3, .2, .1], rewards), 12)
    0.43
    >>> round(expected_reward([.8, .1, .05, .05], rewards), 12)
    0.815

    Proof: tests/test_formulas_distribution.py, test_the_mean_over_queries_is_the_document_s_double_sum
    """
    probs, rewards = check.probabilities(probs=probs), check.array(rewards=rewards)
    check.shape(probs.shape, "a reward for each answer", rewards=rewards)
    if probs.ndim != (1 if query_probs is None else 2):
        check.fail("the shape of probs", probs.shape, "(Y,), or (X, Y) together with query_probs (X,)")
    if query_probs is None:
        return (probs * rewards).sum().item()
    query_probs = check.probabilities(ndim=1, query_probs=query_probs)
    check.shape(probs.shape[:1], "one for each row of probs", query_probs=query_probs)
    return (query_probs[:, None] * probs * rewards).sum().item()


def expected_reward_grad(logits: ArrayLike, rewards: ArrayLike) -> Array:
    """Equation (7): dJ/dz for each row by itself, (..., V), in the dtype of the logits.

    logits   (..., V)     p = softmax(logits)
    rewards  like logits  in units of reward

    With several queries, multiply row x by q_x.  In France, Paris goes up and all others down:

    >>> expected_reward_grad(np.log([.4, .3, .2, .1]), [1.0, 0.0, 0.0, 0.3]).round(6).tolist()
    [0.228, -0.129, -0.086, -0.013]

    Proof: tests/test_formulas_distribution.py, test_the_gradient_of_expected_reward_is_its_derivative
    """
    logits, rewards = check.logits(logits=logits), check.array(rewards=rewards)
    check.shape(logits.shape, "a reward for each logit", rewards=rewards)
    p = _by_rows("softmax", logits, 1.0)
    return (p * (rewards - (p * rewards).sum(axis=-1, keepdims=True))).astype(logits.dtype)
