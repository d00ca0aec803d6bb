"""How long a monkey types until a word appears: the expected number of keys, in one line.

Keys come independently, key c with probability p_c.  The word is w_1 ... w_n.  A border of length k is a beginning of
the word that is also its end, w_1...w_k = w_{n-k+1}...w_n; the word itself is one.

Before each key a gambler comes with 1 banana and bets it on w_1; who wins bets all on w_2, and so on, to w_n.  The bets
are fair: key c pays 1 / p_c.  When the word appears at time N, N bananas have been brought.  Everybody who is not in
the middle of a border has lost.  Who began k keys ago, for a border of length k, holds prod_{i<=k} 1 / p(w_i).  In a
fair game nobody gains on average, so what was brought is what is held:

    E[N] = sum over borders k of  prod_{i<=k} 1 / p(w_i)                                       (1)

With 27 equally likely keys "hello" takes 27^5 keys, but "abab" 27^4 + 27^2: a word that begins again within itself
comes in bunches, and so less often for the first time.

Source: document 003, part 6 (the monkeys); Li 1980; Conway's leading number (equal keys).
Leaves out: several words at once; keys that depend on those before (rlscratch.tasks.typewriter has the chain).
"""
from __future__ import annotations

import math
from collections.abc import Mapping

from rlscratch import check


def waiting_time(word: str, probs: Mapping[str, float]) -> float:
    """Equation (1), in keys.

    word   at least one letter
    probs  each key's probability; the word's own are > 0, and they add to 1

    Raises ValueError or TypeError for anything else, and for a word whose time no double holds.

    A coin: the first HH comes after 6 throws on average, the first HT after 4.

    >>> coin = {"H": 0.5, "T": 0.5}
    >>> waiting_time("HH", coin), waiting_time("HT", coin)
    (6.0, 4.0)

    Proof: tests/test_formulas_waiting.py, test_the_time_is_that_of_the_chain_of_what_is_typed_so_far
    """
    check.probabilities(ndim=1, probs=list(probs.values()))
    for letter in word or [word]:
        check.positive(p=probs.get(letter, 0), called=f"the probability of {letter!r}")
    total = fortune = 0.0
    for k in range(1, len(word) + 1):
        fortune = (fortune or 1.0) / float(probs[word[k - 1]])
        total += fortune if word.endswith(word[:k]) else 0.0
    if total == math.inf:
        check.fail("word", word, "one that takes fewer than 1.8e308 keys on average")
    return total
