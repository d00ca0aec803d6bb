"""Finite Markov decision processes, exactly: nothing here is sampled to be estimated.

In reading order:

    process            the 5-tuple, its three objectives and their gradients: MDP
    chains             under a policy an MDP is a Markov chain: visits, values, where it settles; the best values
    trajectories       all that can happen, one trajectory at a time: enumeration, simulation
    gymnasium_table    the tables of FrozenLake, CliffWalking and Taxi as tensors
    best_stationary    the best policy that may not look at the clock
    history            the same MDP for a policy that remembers what it saw and did
    games              two players in turns: minimax, what a policy guarantees, who wins how often
    shaping            rewards that may be added, since they leave the best policy as it is

What estimators of the gradient give on average is a room of its own, rlscratch.expectations.
"""
from rlscratch.mdp.best_stationary import best_stationary
from rlscratch.mdp.history import remembering
from rlscratch.mdp.process import MDP
from rlscratch.mdp.shaping import shaped
from rlscratch.mdp.trajectories import Episodes

__all__ = ["MDP", "Episodes", "best_stationary", "remembering", "shaped"]
