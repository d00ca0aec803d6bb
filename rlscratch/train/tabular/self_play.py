"""Q-learning from self-play: one table for both players of a game, and nobody to learn from.

The mover's target is what the move pays, less the best that the other can do then (rlscratch.mdp.games, (1)):

    y(s, a) = r(s, a) - max_b Q(s', b)                                                         (1)

Moves of a board game are certain, so a step goes the whole way to its target, alpha = 1: then a table of
positions near the end is right as soon as it was visited, the ones before follow, and what was right stays so.
Where every move is tried again and again, Q becomes that of minimax.  The moves are epsilon-greedy in Q; N games are
played side by side.

Source: document 004, 1.2 and 2.4; Silver et al. 2017 (AlphaGo Zero); Watkins and Dayan 1992; Littman 1994.
Leaves out: a network in the table's place, and a search from the position on the board (AlphaGo had both).
"""
from collections.abc import Iterator

import numpy as np

from rlscratch import check, kernels
from rlscratch.check import Array
from rlscratch.formulas import td
from rlscratch.mdp.games import Game


def greedy(game: Game, q: Array, epsilon: float = 0.0) -> Array:
    """(S, A): the best allowed moves share 1 - epsilon, all allowed ones epsilon."""
    best = td.epsilon_greedy(np.where(game.legal, q, -2.0), 0.0, ties="share")       # no value is below -1
    return (1 - epsilon) * best + epsilon * game.legal / game.legal.sum(axis=1, keepdims=True)


def learn(game: Game, q: Array, *, games: int, epsilon: float, rng: np.random.Generator) -> Iterator[int]:
    """A move in each of N games at a time, for as long as the caller asks; yields how many games have ended so far.

    q        (S, A)  the table, changed in place
    games    N, side by side
    epsilon  in [0, 1], the share of moves at random
    """
    s, ended = np.zeros(check.integer(1, games=games), int), 0
    check.shape(game.legal.shape, "(S, A)", q=q)
    check.between(0, 1, epsilon=epsilon)
    check.generator(rng=rng)
    while True:
        here = Game(game.states, game.after[s], game.reward[s], game.legal[s])
        a = kernels.draw(greedy(here, q[s], epsilon), rng.random(games))
        s_next, reward = game.after[s, a], game.reward[s, a]
        over = s_next < 0
        follow = np.where(game.legal[s_next], q[s_next], -1.0)
        q[s, a] = -td.q_target(-reward, follow, np.where(over, 0.0, 1.0))       # (1): the other's best is our loss
        ended += int(over.sum())
        s = np.where(over, 0, s_next)
        yield ended
