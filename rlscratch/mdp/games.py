"""Games of two players who take turns, exactly: what is won is what the other loses.

A state is the game as the one sees it whose turn it is.  A move a pays the mover r(s, a): 1 if it wins, 0 if it ends in
a draw or does not end.  Then it is the other's turn, and what the game is worth to the other it costs the mover:

    q(s, a) = r(s, a) - v(s'),       v(s) = max_a q(s, a),       v = 0 where the game is over  (1)

This is equation (5) of rlscratch.mdp.chains with -1 for gamma, as both do their best.  A game that ends has no circles,
so the sweeps of (1) from v = 0 settle after as many as its longest game has moves, and are then exact.

What does a policy that may toss coins guarantee, whatever the other does?  The policy's worst coin and the other's
best move:

    low(s) = min over moves a of the policy  r(s, a) - high(s'),     high(s) = max_a r(s, a) - low(s')   (2)

low >= 0 at the start of its own turns, and high <= 0 at the other's, says that it never loses.

Source: Zermelo 1913; Littman 1994 (Q-learning in games).
Leaves out: chance, hidden cards, more than two players.
"""
from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from rlscratch import check
from rlscratch.check import Array, ArrayLike

# state -> (action, the state after it as the other sees it or None, what the mover wins by it)
Moves = Callable[[Hashable], Iterable[tuple[int, Hashable | None, float]]]


@dataclass(frozen=True, eq=False)
class Game:
    """S states, numbered from the start, which is 0, and A actions.

    states  as the rules write them
    after   (S, A)  the state that follows, as the other sees it; -1 where the game is over or a move is not allowed
    reward  (S, A)  what the mover wins by it
    legal   (S, A)  booleans
    """

    states: list
    after: Array
    reward: Array
    legal: Array


def game(start: Hashable, moves: Moves, actions: int) -> Game:
    """All that can be reached from a state.

    >>> def last(n):                                # one or two matches; who takes the last one wins
    ...     return [(k - 1, n - k or None, float(n == k)) for k in (1, 2) if k <= n]
    >>> matches = game(4, last, 2)
    >>> matches.states, solve(matches)[1].tolist()  # with 3 left the mover loses
    ([4, 3, 2, 1], [1.0, -1.0, 1.0, 1.0])
    """
    states, number, found = [start], {start: 0}, []
    for s, state in enumerate(states):              # grows while it is read
        for a, after, reward in moves(state):
            if after is not None and after not in number:
                number[after] = len(states)
                states.append(after)
            found.append((s, check.integer(0, actions - 1, action=a), -1 if after is None else number[after], reward))
    after, reward = np.full((len(states), actions), -1), np.zeros((len(states), actions))
    legal = np.zeros((len(states), actions), bool)
    for s, a, s_next, r in found:
        after[s, a], reward[s, a], legal[s, a] = s_next, r, True
    return Game(states, after, reward, legal)


def solve(game: Game) -> tuple[Array, Array]:
    """Equation (1): q (S, A), -inf for moves that are not allowed, and v (S,)."""
    return _settled(game, lambda v: _moves(game, v, game.legal, -np.inf), lambda q: q.max(axis=1))


def guaranteed(game: Game, policy: ArrayLike) -> tuple[float, float]:
    """Equation (2): what a policy (S, A) gets at least, as the first player and as the second.

    policy  rows of probabilities; 0 for moves that are not allowed
    """
    mixed = _checked(game, policy) > 0

    def sweep(low: Array) -> Array:
        high = _moves(game, low, game.legal, -np.inf).max(axis=1)
        return _moves(game, high, mixed, np.inf)

    low = _settled(game, sweep, lambda q: q.min(axis=1))[1]
    return low[0].item(), 0.0 - _moves(game, low, game.legal, -np.inf)[0].max().item()


def outcomes(game: Game, first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """How likely the first player of two policies (S, A) wins, draws and loses."""
    policies, ends = [_checked(game, policy) for policy in (first, second)], np.zeros(3)
    over, paid = game.legal & (game.after < 0), _paid(game)
    for s, a in np.argwhere(over & ~np.isin(paid, (1, 0, -1)))[:1].tolist():
        check.fail(f"game.reward[{s}, {a}]", paid[s, a], "1, 0 or -1 where the game is over")
    p, turn = np.eye(1, len(game.states))[0], 0
    for _ in game.states:                           # a game without a circle comes to each of them once at most
        if not p.any():
            break
        played = p[:, None] * policies[turn]
        for result in (1, 0, -1):
            won = result if turn == 0 else -result
            ends[1 - won] += played[over & (paid == result)].sum()
        p, turn = np.bincount(game.after[~over & game.legal], played[~over & game.legal], len(p)), 1 - turn
    if p.any():
        _goes_round(game)
    return ends[0].item(), ends[1].item(), ends[2].item()


def _moves(game: Game, v: Array, allowed: Array, otherwise: float) -> Array:
    """r(s, a) - v(s'), (S, A); `otherwise` for moves that are not allowed."""
    return np.where(allowed, game.reward - np.where(game.after >= 0, v[game.after], 0), otherwise)


def _settled(game: Game, sweep: Callable[[Array], Array], best: Callable[[Array], Array]) -> tuple[Array, Array]:
    v = np.zeros(len(game.states))
    _paid(game)
    for _ in range(len(game.states) + 1):
        q, before = sweep(v), v
        v = best(q)
        if (v == before).all():
            return q, v
    _goes_round(game)


def _goes_round(game: Game) -> NoReturn:
    check.fail("game", f"{len(game.states)} states", "a game that ends; this one goes round in circles")


def _paid(game: Game) -> Array:
    """Rewards (S, A) of the moves that there are, 0 elsewhere; finite."""
    return check.array(ndim=2, called="game.reward", reward=np.where(game.legal, game.reward, 0.0))


def _checked(game: Game, policy: ArrayLike) -> Array:
    policy = check.real(policy=check.probabilities(ndim=2, policy=policy))
    check.shape(game.legal.shape, "(S, A)", policy=policy)
    for s, a in np.argwhere((policy > 0) & ~game.legal)[:1].tolist():
        check.fail(f"policy[{s}, {a}]", policy[s, a], "0, since that move is not allowed")
    return policy
