"""Games of two players: minimax, what a policy guarantees, and a learner that plays itself.

By hand.  Four matches, one or two at a time, who takes the last wins: with three left the mover loses.  Nim is Bouton's
XOR.  Two who play tic-tac-toe at random: the first wins 737/1260, draws 8/63, loses 121/420.
"""
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.mdp import games
from rlscratch.tasks.board_games import nim, tic_tac_toe, wins
from rlscratch.train.tabular import self_play

TTT = tic_tac_toe()
Q, V = games.solve(TTT)


def shared(flags):
    return flags / flags.sum(axis=1, keepdims=True)


CIRCLE = games.Game(["a", "b"], np.array([[1], [0]]), np.zeros((2, 1)), np.ones((2, 1), bool))
EVEN, PERFECT = shared(TTT.legal), shared(V[:, None] == Q)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3).filter(any))
def test_nim_is_lost_where_the_heaps_add_to_0_without_carrying(heaps):
    found = nim(*heaps)
    xor = [np.bitwise_xor.reduce(state) for state in found.states]
    assert (games.solve(found)[1] == np.where(xor, 1, -1)).all()


def test_adding_with_carry_is_another_rule():
    found = nim(3, 1)
    assert (games.solve(found)[1] != [1 if sum(state) % 2 else -1 for state in found.states]).any()


def test_tic_tac_toe_is_a_draw_and_its_states_are_counted():
    assert V[0] == 0 and len(TTT.states) == 4520
    full = {state for state in TTT.states if not wins(state[0]) and not wins(state[1])}
    assert len(full) == 4520                                            # nobody moves when a line is full


def test_chances_by_hand_at_random():
    assert_allclose(games.outcomes(TTT, EVEN, EVEN), [737 / 1260, 8 / 63, 121 / 420], rtol=1e-12)
    assert games.outcomes(TTT, PERFECT, EVEN)[2] == games.outcomes(TTT, EVEN, PERFECT)[0] == 0
    assert_allclose(games.outcomes(TTT, PERFECT, PERFECT), [0, 1, 0])


def by_recursion(game, s, policy, turn, me):
    """The worst that can come of a policy, game by game."""
    best = []
    for a in np.flatnonzero(game.legal[s] if turn != me else policy[s] > 0):
        later = 0 if game.after[s, a] < 0 else by_recursion(game, game.after[s, a], policy, 1 - turn, me)
        sign = 1 if turn == me else -1
        best.append(sign * game.reward[s, a] + later)
    return min(best)


@pytest.mark.parametrize("heaps", [(2, 1), (3, 2), (2, 2, 1)])
@given(st.data())
def test_what_a_policy_guarantees_is_the_worst_of_all_games(heaps, data):
    game = nim(*heaps)
    odds = data.draw(st.lists(st.integers(0, 2), min_size=game.legal.size, max_size=game.legal.size))
    odds = np.where(game.legal, np.array(odds).reshape(game.legal.shape), 0)
    policy = shared(np.where(odds.any(axis=1, keepdims=True), odds, game.legal))
    assert games.guaranteed(game, policy) == tuple(by_recursion(game, 0, policy, 0, me) for me in (0, 1))


def test_the_perfect_player_guarantees_a_draw_and_chance_guarantees_nothing():
    assert games.guaranteed(TTT, PERFECT) == (0, 0) and games.guaranteed(TTT, EVEN) == (-1, -1)
    spoiled = PERFECT.copy()
    corner = TTT.states.index((0, 1))                                   # the other took a corner: only the centre holds
    assert PERFECT[corner].argmax() == 4 and PERFECT[corner, 4] == 1
    spoiled[corner] = np.eye(9)[1]
    assert games.guaranteed(TTT, spoiled) == (0, -1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_self_play_on_nim_becomes_minimax(seed):
    game, q = nim(3, 2, 1), np.zeros((23, 9))
    learner = self_play.learn(game, q, games=64, epsilon=0.5, rng=np.random.default_rng(seed))
    assert list(itertools.islice(learner, 600))[-1] > 5000              # games
    assert_allclose(np.where(game.legal, q, 0), np.where(game.legal, games.solve(game)[0], 0))
    assert games.guaranteed(game, self_play.greedy(game, q))[1] == 1     # 3 xor 2 xor 1 = 0: the second player wins


@pytest.mark.compiled_only("what is learned does not depend on the backend: both draw the same moves")
def test_self_play_at_tic_tac_toe_never_loses():
    q = np.zeros(TTT.legal.shape)
    for _ in itertools.islice(self_play.learn(TTT, q, games=256, epsilon=0.5, rng=np.random.default_rng(0)), 3000):
        pass
    assert games.guaranteed(TTT, self_play.greedy(TTT, q)) == (0, 0)


def test_without_the_other_s_turn_in_the_target_it_loses():
    """A planted sign: what is good for the other counted as good for the mover."""
    game, q = nim(3, 2, 1), np.zeros((23, 9))
    rng = np.random.default_rng(0)
    for _ in range(20_000):
        s = rng.integers(23)
        a = rng.choice(np.flatnonzero(game.legal[s]))
        after = game.after[s, a]
        q[s, a] = game.reward[s, a] + (0 if after < 0 else q[after][game.legal[after]].max())
    assert games.guaranteed(game, self_play.greedy(game, q)) != games.guaranteed(game, shared(
        games.solve(game)[0] == games.solve(game)[1][:, None]))


@pytest.mark.parametrize(("call", "message"), [
    (lambda: nim(), r"heaps is \(\); expected at least one match"),
    (lambda: nim(-1), "heap is -1; expected an integer >= 0"),
    (lambda: games.guaranteed(TTT, np.full((4520, 9), 1 / 9)), r"policy\[1, 0\] is 0.111.*; expected 0, since"),
    (lambda: games.outcomes(TTT, EVEN[:3], EVEN), "the shape of policy"),
    (lambda: games.solve(games.game(0, lambda s: [(0, 1 - s, 1.0)], 1)), "game is '2 states'; expected a game that"),
    (lambda: games.outcomes(CIRCLE, *2 * [np.ones((2, 1))]), "game is '2 states'; expected a game that ends; this"),
    (lambda: games.outcomes(replace(CIRCLE, after=np.array([[1], [-1]]), reward=np.array([[0], [2.0]])),
                            *2 * [np.ones((2, 1))]), r"game.reward\[1, 0\] is 2.0; expected 1, 0 or -1 where the game"),
    (lambda: games.outcomes(replace(CIRCLE, reward=np.array([[0], [np.nan]])), *2 * [np.ones((2, 1))]),
     r"game.reward\[1, 0\] is nan; expected finite numbers"),
    (lambda: games.solve(replace(CIRCLE, reward=np.full((2, 1), np.nan))), r"game.reward\[0, 0\] is nan; expected"),
    (lambda: games.guaranteed(replace(CIRCLE, reward=np.full((2, 1), np.inf)), np.ones((2, 1))),
     r"game.reward\[0, 0\] is inf; expected finite numbers"),
    (lambda: next(self_play.learn(TTT, np.zeros((3, 9)), games=1, epsilon=0, rng=np.random.default_rng(0))),
     "the shape of q")])
def test_what_it_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()
