"""Imitation and its limit: a clone is lost off the expert's path

Document 004, section 1.2: imitation "cannot guarantee optimal performance outside the expert's observed
trajectory space".  An expert shows the shortest way over FrozenLake, a clone makes its moves likely by
cross-entropy, and PPO learns on the same lake from rewards alone.

All numbers are exact probabilities of reaching the goal within 100 steps, none is counted from samples.
Look at the middle column: from states that the expert never visited.  The clone's table still holds there
what it began with.  And when the ice turns slippery, even the expert's own way is worth little: only
who learns there, from what its moves lead to, gets near the best.
"""
from dataclasses import replace
from itertools import islice

import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import clone, ppo, reinforce, worlds
from rlscratch.train.tabular.method import Method

BUDGET = 12  # seconds of processor time


def trained(method: Method, world: worlds.World, steps: int) -> dict[str, np.ndarray]:
    *_, (tables, _) = islice(method.learn(world, np.random.default_rng(0)), steps)
    return tables


# %% The expert and what it shows: twenty episodes from the start, all alike, for nothing slips.
lake, slippery = worlds.make("frozen-lake"), worlds.make("frozen-lake-slippery")
expert = clone.expert(lake)
tables = trained(clone.METHOD, lake, 500)
moves = dict(sorted({(int(s), int(a)) for s, a in zip(tables["states"], tables["actions"], strict=True)}))
print("the expert's pairs of state and move:", ", ".join(
    f"{s} {('Left', 'Down', 'Right', 'Up')[a]}" for s, a in moves.items()))
cloned = softmax(tables["logits"])
still = np.flatnonzero((cloned == 0.25).all(axis=1) & ~lake.mdp.terminal)
print("states in which the clone still moves at random:", *still)

# %% On the path, elsewhere, on slippery ice.
by_reward = softmax(trained(ppo.METHOD, lake, 60)["logits"])
on_the_ice = softmax(trained(reinforce.METHOD, slippery, 100)["logits"])
shown = np.array(list(moves))
print()
print(table(("policy", "from the start", "from unseen states", "on slippery ice"), [
    (name, f"{lake.worth(policy):.3f}", f"{clone.elsewhere(lake, policy, shown):.3f}", f"{slippery.worth(policy):.3f}")
    for name, policy in (("expert", expert), ("clone of the expert", cloned), ("PPO, the same lake", by_reward),
                         ("REINFORCE, slippery ice", on_the_ice), ("best on slippery ice", slippery.best[0]))]))
print("\nFirst two columns: the lake without slipping.  What is best on slippery ice pushes against walls, away from")
print("holes, and waits to slip; where nothing slips it never arrives.")

# %% The ice begins to slip: a growing share of all moves is drawn from the slippery lake.
shares = np.linspace(0, 1, 6)
curves = {name: [] for name in ("expert", "clone", "REINFORCE on that ice", "best on that ice")}
for share in shares:
    mixed = (1 - share) * lake.mdp.transition + share * slippery.mdp.transition
    ice = replace(slippery, mdp=replace(slippery.mdp, transition=mixed))
    there = softmax(trained(reinforce.METHOD, ice, 80)["logits"])
    for curve, policy in zip(curves.values(), (expert, cloned, there, ice.best[0]), strict=True):
        curve.append(ice.worth(policy))
print()
print(table(("share of slippery moves", *curves), [
    (f"{share:.1f}", *(f"{curve[i]:.3f}" for curve in curves.values())) for i, share in enumerate(shares)]))

# %% From each state: the clone beside who learned from rewards.
fig, axes = figures.new(columns=3, width=9.6, height=3.5)
letters = np.array(["hole"] * 16)
letters[15] = "goal"
for ax, title, policy in ((axes[0], "the clone", cloned), (axes[1], "PPO", by_reward)):
    worth = np.where(lake.mdp.terminal, np.nan, lake.worth_by_state(policy))
    image = ax.imshow(worth.reshape(4, 4), cmap="cividis", vmin=0, vmax=1)
    for s in range(16):
        text = letters[s] if lake.mdp.terminal[s] else f"{worth[s]:.2f}" + ("*" if s in moves else "")
        ink = "black" if lake.mdp.terminal[s] or worth[s] > 0.5 else "white"
        ax.text(s % 4, s // 4, text, ha="center", va="center", color=ink, fontsize=9)
    ax.set(title=title, xlabel="column", ylabel="row", xticks=range(4), yticks=range(4))
    ax.grid(False)
for (name, curve), marker, line in zip(curves.items(), "os^x", ("--", "-", "-", ":"), strict=True):
    axes[2].plot(shares, curve, marker=marker, ls=line, ms=5, label=name)
axes[2].set(title="the ice begins to slip", xlabel="share of slippery moves", ylabel="P(goal within 100 steps)",
            ylim=(0, 1.03))
axes[2].legend(fontsize=8, loc="lower left")
figures.save(fig, "21_imitation", "Left and middle: the exact probability of reaching the goal within 100 steps from "
             "each state of the lake without slipping; * marks the states that the expert visited. Right: from the "
             "start, on ice of which a growing share of moves slips: the expert and its clone "
             "know one way only; REINFORCE learns on each ice anew, and ends in local optima on the mixed ones.")
