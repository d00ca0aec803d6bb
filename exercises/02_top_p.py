"""Top-p: keep the most probable tokens until their mass reaches p, and nothing else.

    A token stays if the tokens before it, in descending order of probability, have less than p
    together.

Document 003, part 3; example 02.
Is it right?  rlscratch check exercises/02_top_p.py
"""
import numpy as np


def top_p(probs, p):
    """The row with 0 for what does not stay, and what stays divided by its sum, (V,).

    probs  (V,)    they add up to 1
    p      (0, 1]  1 keeps every token

    Of equal probabilities the first stay.  [.5, .3, .2] at p = .75 keeps two tokens: .5 is less
    than .75, .8 is not.
    """
    raise NotImplementedError
