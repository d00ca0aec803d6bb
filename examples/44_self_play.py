"""Self-play: from a human's games one learns to play like a human, from one's own to play better

Document 004, 1.2: imitation is bound to what the expert showed; 2.4: the best path "is often
different from a human's", and practice without humans finds it, as AlphaGo's move 37 did.  Tic-
tac-toe is small enough to know the truth: minimax says what every move is worth.

The human here wins if she can, blocks mostly, and does not like corners.  A clone learns from her
games.  Another learner sees no game at all: one table plays both sides.  Look at the last columns:
what each is sure to reach, whatever the other does; and at the move that she never showed.
"""
from itertools import islice

import numpy as np

from rlscratch import kernels
from rlscratch.mdp import games
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.tasks.board_games import tic_tac_toe, wins
from rlscratch.train.tabular import self_play

BUDGET = 4  # seconds of processor time

# %% The truth: q and v by minimax.  The start is worth 0, a draw; what is an opening mistake worth?
game = tic_tac_toe()
q_best, v = games.solve(game)
perfect = (q_best == v[:, None]) / (q_best == v[:, None]).sum(axis=1, keepdims=True)
reply = [q_best[game.after[0, k]].max() for k in (0, 1, 4)]
print(f"{len(game.states):,} positions to move in.  The start is worth {v[0]:.0f}; after a corner, "
      f"an edge, the centre\nthe best reply gets {reply[0]:.0f}, {reply[1]:.0f}, {reply[2]:.0f}")


# %% The human, as a policy: (S, A).
def human(state: tuple[int, int], legal: np.ndarray) -> np.ndarray:
    mine, theirs = state
    taste = legal * np.array([0, 1, 0, 1, 4, 1, 0, 1, 0.0])     # the centre, and the edges
    taste = taste if taste.any() else legal * 1.0
    wins_at = legal & [wins(mine | 1 << k) for k in range(9)]
    blocks_at = legal & [wins(theirs | 1 << k) for k in range(9)]
    if wins_at.any():
        return wins_at / wins_at.sum()
    habit = taste / taste.sum()
    return 0.8 * blocks_at / blocks_at.sum() + 0.2 * habit if blocks_at.any() else habit


person = np.array([human(*place) for place in zip(game.states, game.legal, strict=True)])

# %% The clone: the shares of her moves in 2,000 games, which is where cross-entropy is least.
rng, counts = np.random.default_rng(0), np.zeros(game.legal.shape)
s = np.zeros(2000, int)
while s.size:
    a = kernels.draw(person[s], rng.random(s.size))
    np.add.at(counts, (s, a), 1)
    s = game.after[s, a]
    s = s[s >= 0]
even = game.legal / game.legal.sum(axis=1, keepdims=True)
shown = counts.sum(axis=1, keepdims=True)
clone = np.where(shown > 0, counts / np.maximum(shown, 1), even)
habit = np.eye(9)[np.where(shown > 0, counts, even).argmax(axis=1)]     # always her favourite

# %% Self-play: a table of zeros, 256 games at a time, half of the moves at random.
MOVES, q = 3000, np.zeros(game.legal.shape)
marks, curve, first_safe = [], [], None
for step, ended in enumerate(islice(self_play.learn(game, q, games=256, epsilon=0.5,
                                                    rng=np.random.default_rng(0)), MOVES), 1):
    if step % 150 == 0:
        policy = self_play.greedy(game, q)
        marks.append(ended)
        curve.append([games.outcomes(game, policy, perfect)[2],
                      games.outcomes(game, perfect, policy)[0]])
        safe = games.guaranteed(game, policy) == (0, 0)
        first_safe = first_safe or (ended if safe else None)
learned = self_play.greedy(game, q)
print(f"\nself-play: {ended:,} games; after {first_safe:,} there was none that it could lose")

# %% Against the perfect player, exactly; and the worst of all games.
rows = []
for name, policy in (("chance", even), ("the human", person), ("clone of the human", clone),
                     ("clone, favourite moves", habit), ("self-play", learned),
                     ("minimax", perfect)):
    _, _, lost_first = games.outcomes(game, policy, perfect)
    lost_second, _, _ = games.outcomes(game, perfect, policy)
    beats = games.outcomes(game, policy, person)[0]
    rows.append((name, f"{lost_first:.4f}", f"{lost_second:.4f}",
                 *(f"{x:.0f}" for x in games.guaranteed(game, policy)), f"{beats:.4f}"))
print()
print(table(("player", "loses first", "loses second", "sure first", "sure second",
             "beats the human"), rows))
print("loses: to the perfect player.  sure: the least of all games, 1 won, 0 drawn, -1 lost")

# %% A "move 37": where all her moves in 2,000 games lose by force, and self-play has another.
found = []
for s in np.flatnonzero(shown[:, 0] >= 20):
    hers, own = counts[s] > 0, int(learned[s].argmax())
    if not hers[own] and q_best[s, own] == v[s] and q_best[s, hers].max() < v[s]:
        found.append((bin(game.states[s][0] | game.states[s][1]).count("1"), int(s), own))
print(f"\npositions seen 20 times or more, where no move of hers was right and self-play's is: "
      f"{len(found)}")
for _, s, own in sorted(found)[:1]:
    mine, theirs = game.states[s]
    print(f"one of them, seen {shown[s, 0]:.0f} times; o to move, * self-play's move, worth "
          f"{q_best[s, own]:.0f}; all of hers {q_best[s, counts[s] > 0].max():.0f}\n")
    board = ["o" if mine >> k & 1 else "x" if theirs >> k & 1 else "*" if k == own else "."
             for k in range(9)]
    print("\n".join("  " + " ".join(board[3 * i:3 * i + 3]) for i in range(3)))


# %% How often it loses while it learns.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.4)
    for values, label, style in zip(np.transpose(curve), ("moves first", "moves second"),
                                    ("-", "--"), strict=True):
        ax.plot(marks, values, style, marker="o", ms=3, label=label)
    ax.set(title="self-play against the perfect player", xlabel="games against itself",
           ylabel="probability of a loss")
    ax.legend()
    figures.save(fig, "44_self_play", "How likely the learner loses to the perfect player, by "
                 "games that it has played against itself. It never sees a game of anybody else, "
                 "and in the end loses none.")


draw()

# %% Try it.  Let it play without exploring: epsilon=0.05.
# What came out: it is safe sooner, after 36,996 games, since it plays against a better opponent;
# and positions that good players never reach stay unknown, which no good player will ask about.
