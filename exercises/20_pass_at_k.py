"""pass@k: how likely one of k answers is right, from more than k that were tried.

    1 - (number of ways to draw k wrong ones) / (number of ways to draw k)

Document 003, "Quality through Quantity"; Chen et al. 2021, arXiv:2107.03374; example 14.
Is it right?  rlscratch check exercises/20_pass_at_k.py
"""


def pass_at_k(answers, right, k):
    """The probability, a number.

    answers  int  how many were tried
    right    int  how many of them are right
    k        int  how many are drawn, none of them twice; at most answers

    Ten answers, three of them right: .3 for k = 1, .917 for k = 5.
    """
    raise NotImplementedError
