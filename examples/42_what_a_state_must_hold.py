"""What a state must hold: the Markov property broken by dim light, and repaired by memory

Document 004, 1.1: the next state depends "only on the current state and action, not on the history
of previous states or actions".  What a policy sees need not be the state.  Then two places look
alike and want different moves, and what comes next depends on how one got there.

First a corridor of three rooms, by hand; then the frozen lake for a boy who sees only which walls
are beside him.  All numbers are exact.  Look at three things: without memory the best policy that
always does the same is worth nothing, one that tosses coins is better, and one or two moves
remembered make up for all that is not seen.
"""
from dataclasses import replace

import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import MDP, best_stationary, remembering
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular.lake import Lake

BUDGET = 5  # seconds of processor time

# %% A corridor: rooms 0, 1, 2, then outside.  1 moves on, 0 back; in room 1 it is the other way
# round.  Every step costs 1.
P = [[[1, 0, 0, 0], [0, 1, 0, 0]], [[0, 0, 1, 0], [1, 0, 0, 0]], [[0, 1, 0, 0], [0, 0, 0, 1]],
     [[0, 0, 0, 1]] * 2]
bright = MDP(P, [-1, -1, -1, 0], 1.0, start=0, terminal=[0, 0, 0, 1])
dim = replace(bright, observation=np.array([0, 0, 0, 1]))       # three rooms look alike
coin = 2 - np.sqrt(2)
remembers, seen = remembering(dim)
policy, j = best_stationary(remembers, 50)
print("The corridor: steps until one is outside, at most 50\n")
print(table(("who", "steps"), [
    ("sees the room", f"{-best_stationary(bright, 50)[1]:.2f}"),
    ("sees nothing, always does the same", f"{-best_stationary(dim, 50)[1]:.2f}"),
    ("sees nothing, moves on with probability 2 - sqrt 2",
     f"{-dim.discounted_return([[1 - coin, coin], [1, 0]], 50):.2f}"),
    ("sees nothing, remembers the last move", f"{-j:.2f}")]))
v0 = (4 - 2 * coin) / (coin * (1 - coin))
print(f"\nwithout the limit of 50 the coin takes (4 - 2p) / (p (1 - p)) = {v0:.4f} steps")
names = {(0,): "at first", (0, 0, 0): "after back", (0, 1, 0): "after on"}
print("who remembers: " + ", ".join(
    f"{names[what]} {('back', 'on')[row.argmax()]}"
    for what, row in zip(seen, policy, strict=True) if what in names))

# %% History tells what the present look does not: where is he, given what he sees and did?
even = np.full((2, 2), 1 / 2)
p1 = dim.marginals(even, 2)[1].sum(axis=1)
after_on = bright.transition[0, 1]
print("\nP(room) in the second step, all rooms looking alike")
print(table(("known", "room 0", "room 1", "room 2"), [
    ("nothing", *(f"{x:.2f}" for x in p1[:3])),
    ("the move was on", *(f"{x:.2f}" for x in after_on[:3]))]))

# %% The lake in dim light: what is beside him, walls or holes; 20 moves; nothing slips.
lake, T = Lake("4x4").reaching, 20
cell = np.arange(16)
row, column = cell // 4, cell % 4
walls = (column == 0) + 2 * (row == 3) + 4 * (column == 3) + 8 * (row == 0)


def seen_by(what: np.ndarray) -> MDP:
    """The lake of which only this is seen, and that an episode is over."""
    return replace(lake, observation=np.unique(np.where(lake.terminal, -1, what),
                                               return_inverse=True)[1])


def by_gradient(mdp: MDP, starts: int = 6) -> float:
    """Mixed policies: exact gradient ascent from random tables, the best end."""
    rng, ends = np.random.default_rng(0), []
    for _ in range(starts):
        z = rng.normal(size=(mdp.observation.max() + 1, 4))
        for _ in range(300):
            slope = mdp.policy_gradient(z, T)
            z = z + slope / max(np.abs(slope).max(), 1e-3)
        ends.append(mdp.discounted_return(softmax(z), T))
    return max(ends)


rows = []
for name, what in (("the cell", cell), ("walls beside", walls), ("nothing", 0 * cell)):
    mdp = seen_by(what)
    kept = [best_stationary(remembering(mdp, k)[0], T)[1] for k in (0, 1, 2)]
    rows.append((name, mdp.observation.max(), f"{kept[0]:.3f}", f"{by_gradient(mdp):.3f}",
                 f"{kept[1]:.3f}", f"{kept[2]:.3f}"))
print(f"\nThe lake, P(gift within {T} moves)\n")
print(table(("he sees", "looks", "no memory", "no memory, mixed", "1 move", "2 moves"), rows))
print("mixed: the best end of gradient ascent from six tables; the others are exact optima")


# %% The corridor's coin: how long by p.
def draw() -> None:
    fig, ax = figures.new(width=6.0, height=3.4)
    p = np.linspace(0.1, 0.95, 200)
    ax.plot(p, (4 - 2 * p) / (p * (1 - p)), color=figures.BLUE, label="a coin, no memory")
    ax.plot(coin, v0, "o", color=figures.BLUE)
    ax.axhline(-j, color=figures.ORANGE, ls="--", label="one move remembered")
    ax.set(title="three rooms that look alike", xlabel="probability p of moving on",
           ylabel="steps until outside, on average", ylim=(0, 45))
    ax.legend()
    figures.save(fig, "42_what_a_state_must_hold", "The mean number of steps to leave a corridor "
                 "of three rooms that look alike, by the probability of moving on. A policy that "
                 "always does the same never leaves; the best coin needs 11.66 steps; memory of "
                 "one move needs 3.")


draw()

# %% Try it.  Let the boy see which neighbours are holes, and not the walls.
# What came out: six looks again, no memory still 0.000, mixed .981 instead of .562, one move 1.000.
