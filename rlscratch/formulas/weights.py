"""How the losses of single tokens become one number: a matrix of weights.

Every loss here is sum_it w_it l_it over sequences i and tokens t, so that how tokens are
averaged is data and not a mode of the loss.  With m_it = 1 where the policy chose the token,
n_i = sum_t m_it, N = sum_i n_i, B sequences, B' of them with n_i > 0, and a constant L:

    token mean        w_it = m_it / N                     adds to 1                  (1)
    sequence mean     w_it = m_it / (B' n_i)              adds to 1                  (2)
    sequence sum      w_it = m_it / B                     adds to N / B              (3)
    constant length   w_it = m_it / (B L)                 adds to N / (B L)          (4)

DAPO's text averages over the tokens of one prompt's group of G answers, then over the P prompts that have any; with
N_p tokens in group p,

    prompt token mean   w_it = m_it / (P N_p)             adds to 1                  (6)

which is (1) only if all groups have equally many tokens.

They differ in what length does.  A sequence as a whole weighs n_i/N in (1), 1/B' in (2),
n_i/B in (3), n_i/(BL) in (4).  A single token weighs the same in every sequence in (1), (3)
and (4), and in proportion to 1/n_i in (2): a wrong answer that grows longer is blamed less at
each of its tokens.  That is the length bias that Dr. GRPO takes out with (4).  (1) has none
inside a batch, but N changes from batch to batch and with it the weight of every token; (3)
and (4) divide by constants.

A batch that is too large for memory is cut into micro-batches, and their gradients are added:

    sum over the whole batch of w_it dl_it  =  sum over micro-batches of the same    (5)

as long as w was made once, from the whole mask.  Made anew for each piece and averaged, (1)
gives another gradient: pieces of 1 and of 3 tokens would weigh 1/2 and 1/2 instead of 1/4 and
3/4.  The others do so where pieces have unequal numbers of sequences.

An answer that was cut off at the limit is often taken out.  There are two ways, with keep_i 0 for a cut answer:

    above and below     weigh(mask * keep)        others weigh more, as if it had not been drawn
    above alone         weigh(mask) * keep        the step shrinks by its share

or it is told that it is too long.  DAPO's reward for n tokens, at most L of them, the last C a warning zone:

    0  if n <= L - C,      (L - C - n) / C  up to L,      -1  above                  (7)

Source: (1) and (6) DAPO, arXiv:2503.14476, section 3.3, which has (6), and (7) in 3.4; (2) GRPO,
        arXiv:2402.03300, equation 3; (3) REINFORCE, which adds up the scores of a trajectory;
        (4) Dr. GRPO, arXiv:2503.20783, section 3.
Leaves out: weights that depend on more than the mask.
"""
from __future__ import annotations

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike


def token_mean(mask: ArrayLike) -> Array:
    """Equation (1): every chosen token weighs the same, the batch weighs 1; (B, T), float64.

    mask  (B, T)  1 where the policy chose the token, 0 for prompt and padding

    ValueError if the mask is not 2-d, holds anything but 0 and 1, or has no 1.

    >>> token_mean([[1, 0, 0], [1, 1, 1]]).tolist()
    [[0.25, 0.0, 0.0], [0.25, 0.25, 0.25]]

    Proof: tests/test_formulas_weights.py, test_they_are_the_means_that_their_names_say
    """
    mask = _some(mask)
    return mask / mask.sum()


def sequence_mean(mask: ArrayLike) -> Array:
    """Equation (2): every sequence that has a token weighs the same, the batch weighs 1; (B, T), float64.

    mask  (B, T)  as in token_mean; a row of zeros counts neither above nor below the line

    >>> sequence_mean([[1, 0], [1, 1], [0, 0]]).tolist()
    [[0.5, 0.0], [0.25, 0.25], [0.0, 0.0]]

    Proof: tests/test_formulas_weights.py, test_they_are_the_means_that_their_names_say
    """
    mask = _some(mask)
    lengths = mask.sum(axis=1, keepdims=True)
    return mask / (np.where(lengths > 0, lengths, 1) * np.count_nonzero(lengths))


def sequence_sum(mask: ArrayLike) -> Array:
    """Equation (3): tokens of a sequence add up, sequences are averaged; (B, T), float64.

    mask  (B, T)  as in token_mean; B counts every row, a row of zeros too

    >>> sequence_sum([[1, 0], [1, 1]]).tolist()
    [[0.5, 0.0], [0.5, 0.5]]

    Proof: tests/test_formulas_weights.py, test_they_are_the_means_that_their_names_say
    """
    mask = _some(mask)
    return mask / len(mask)


def constant_length(mask: ArrayLike, length: float) -> Array:
    """Equation (4): sequence_sum divided by one constant, whatever the real lengths; (B, T), float64.

    mask    (B, T)  as in token_mean; B counts every row
    length  > 0     the constant, in tokens; Dr. GRPO takes the most that may be generated

    >>> constant_length([[1, 0], [1, 1]], 4).tolist()
    [[0.125, 0.0], [0.125, 0.125]]

    Proof: tests/test_formulas_weights.py, test_they_are_the_means_that_their_names_say
    """
    mask, length = _some(mask), check.positive(length=length)
    return mask / (len(mask) * length)


def prompt_token_mean(mask: ArrayLike, group: int) -> Array:
    """Equation (6): every prompt that has a token weighs the same, and its tokens alike; (B, T), float64.

    mask   (B, T)  as in token_mean; rows of one prompt stand together
    group  G >= 1  answers to each prompt; B is a multiple of it

    >>> prompt_token_mean([[1, 0], [1, 0], [1, 1], [1, 1]], 2).tolist()
    [[0.25, 0.0], [0.25, 0.0], [0.125, 0.125], [0.125, 0.125]]

    Proof: tests/test_formulas_weights.py, test_each_prompt_weighs_the_same_and_its_tokens_alike
    """
    mask, group = _some(mask), check.integer(1, group=group)
    if len(mask) % group:
        check.fail("group", group, f"a divisor of the number of rows, {len(mask)}")
    tokens = np.repeat(mask.reshape(len(mask) // group, -1).sum(axis=1), group)[:, None]
    return mask / (np.where(tokens > 0, tokens, 1) * np.count_nonzero(tokens) / group)


def overlong_penalty(lengths: ArrayLike, limit: float, buffer: float) -> Array:
    """Equation (7), to be added to rewards; in the shape of lengths.

    lengths  any shape       n, tokens of each answer, >= 0
    limit    > 0             L
    buffer   in (0, limit]   C

    >>> overlong_penalty([80, 90, 100, 101], 100, 20).tolist()
    [0.0, -0.5, -1.0, -1.0]

    Proof: tests/test_formulas_weights.py, test_the_overlong_penalty_is_linear_between_its_two_ends
    """
    lengths = check.entries_between(0, np.inf, lengths=check.array(lengths=lengths))
    limit, buffer = check.positive(limit=limit, buffer=buffer)
    check.between(0, limit, buffer=buffer)
    return np.clip((limit - buffer - lengths) / buffer, -1, 0) + 0.0


def _some(mask: ArrayLike) -> Array:
    """A mask (B, T) with a 1 in it, as float64."""
    mask = check.mask(ndim=2, mask=mask)
    if not mask.any():
        check.fail("the sum of mask", 0, "at least 1: where no token counts there is nothing to average")
    return mask
