"""The Q-learning update: one entry of the table moves towards what was seen.

    Q(s, a)  <-  Q(s, a) + alpha [ r + gamma max_b Q(s', b) - Q(s, a) ]

Document 000, "Q-learning Update Rule"; examples 03 and 05.
Is it right?  rlscratch check exercises/03_q_update.py
"""
import numpy as np


def q_update(q, s, a, reward, s_next, alpha, gamma, done):
    """A new table (S, A), changed in one entry; q stays as it is.

    q          (S, A)  values of moves
    s, s_next  int     the state, and the one after it
    a          int     the move
    reward     number  r
    alpha      number  the step, 0 to 1
    gamma      number  the discount, 0 to 1
    done       bool    whether s_next is an end: nothing follows, whatever the table holds

    In a table of zeros with Q(4, 1) = .5, reward 0, alpha .1 and gamma .99 move Q(0, 1) to .0495 if
    move 1 leads from 0 to 4.
    """
    raise NotImplementedError
