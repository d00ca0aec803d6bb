"""Tic-tac-toe and Nim, as games of rlscratch.mdp.games.

Tic-tac-toe: nine squares, bit k of a number for square k, row by row.  A state is (mine, the other's), two such
numbers; after a move they change places.  Of 5,478 positions that can be reached 4,520 have a player to move, and those
are the states.  With best play it is a draw.

Nim: heaps of matches; take as many as you like from one heap; who takes the last one wins.  Bouton 1901: the mover
loses iff the heaps, written in binary and added without carrying (XOR), give 0.

Leaves out: games too large for a table, where a network takes its place.
"""
from rlscratch import check
from rlscratch.mdp.games import Game, game

LINES = tuple(sum(1 << k for k in line) for line in (
    (0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)))


def wins(mine: int) -> bool:
    """Whether these squares hold three in a row.

    >>> wins(0b000_000_111), wins(0b100_010_001), wins(0b000_110_001)
    (True, True, False)
    """
    return any(mine & line == line for line in LINES)


def tic_tac_toe() -> Game:
    """An action is a square, 0 to 8.

    >>> len(tic_tac_toe().states)
    4520
    """
    def moves(state: tuple[int, int]) -> list:
        mine, theirs = state
        found = []
        for k in range(9):
            if not (mine | theirs) >> k & 1:
                new = mine | 1 << k
                over = wins(new) or new | theirs == 511
                found.append((k, None if over else (theirs, new), float(wins(new))))
        return found

    return game((0, 0), moves, 9)


def nim(*heaps: int) -> Game:
    """An action is heap x (largest heap) + (matches taken - 1); a state is the heaps.

    >>> len(nim(3, 2).states)
    11
    """
    if not heaps or sum(check.integer(0, heap=heap) for heap in heaps) == 0:
        check.fail("heaps", heaps, "at least one match")
    most = max(heaps)

    def moves(state: tuple[int, ...]) -> list:
        found = []
        for i, heap in enumerate(state):
            for k in range(1, heap + 1):
                left = (*state[:i], heap - k, *state[i + 1:])
                found.append((i * most + k - 1, left if any(left) else None, float(not any(left))))
        return found

    return game(heaps, moves, len(heaps) * most)
