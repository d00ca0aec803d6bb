"""Document 003's monkey at a typewriter, as an MDP: a banana for a word.

The state is how much of the word stands at the end of what was typed, 0 to n letters; n ends the episode and pays 1.
A key that fits leads on.  One that does not leads back to the longest beginning of the word that now stands at the end
(Knuth, Morris, Pratt).  More of the past does not matter, so this is Markov.

A monkey that types the same keys whatever stands on the page is a policy with equal rows; formulas.waiting has its
expected time in one line.  One that looks at the page may learn to type the word at once.

Leaves out: two bananas for "hello world", which is another word.
"""
import numpy as np

from rlscratch import check
from rlscratch.mdp import MDP


def typewriter(word: str, keys: str) -> MDP:
    """States 0 to n, an action for each key, gamma 1.

    word  at least one letter, each of them a key
    keys  different letters

    >>> typewriter("hello", "ehlo")
    MDP(6 states, 4 actions, gamma 1, 1 terminal)
    """
    for i, letter in enumerate(word or [word]):
        if letter not in keys or not letter:
            check.fail(f"word[{i}]", letter, f"one of the keys, {keys!r}")
    if len(set(keys)) < len(keys):
        check.fail("keys", keys, "letters that are all different")
    n = len(word)
    transition, end = np.zeros((n + 1, len(keys), n + 1)), np.arange(n + 1) == n
    for s in range(n):
        for a, key in enumerate(keys):
            typed = word[:s] + key
            transition[s, a, max(k for k in range(s + 2) if typed.endswith(word[:k]))] = 1
    transition[n, :, n] = 1
    return MDP(transition, transition * end, 1.0, start=0, terminal=end)
