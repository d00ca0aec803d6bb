"""The clipped loss of PPO's values: a value gains from a change only until it has gone far enough.

    V' = V_old + clip(V - V_old, -clip, clip)
    loss = mean over tokens of max( (V - R)^2, (V' - R)^2 ) / 2

Document 002, "PPO Steps" 4; examples 23 and 37.
Is it right?  rlscratch check exercises/19_value_clip.py
"""
import numpy as np


def value_loss(values, values_old, returns, mask, clip):
    """The loss, a number.

    values      (B, T)  V: what is expected now
    values_old  (B, T)  what was expected when the batch was drawn
    returns     (B, T)  R: what came
    mask        (B, T)  1 for tokens that the policy chose, 0 for padding
    clip        number  how far V may move and still gain

    A value of 3 where the return is 5 costs 2, if it has not moved.
    """
    raise NotImplementedError
