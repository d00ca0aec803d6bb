"""Imitation and its limit: a clone is lost off the expert's path

Document 004, section 1.2: imitation "cannot guarantee optimal performance outside the expert's
observed trajectory space".  An expert shows the shortest way over FrozenLake, a clone makes its
moves likely by cross-entropy, and PPO learns on the same lake from rewards alone.

All numbers are exact probabilities of reaching the goal within 100 steps, none is counted from
samples.  Look at the middle column: from states that the expert never visited.  The clone's table
still holds there what it began with.  And where all of the ice is slippery, even the expert's own
way is worth little: only who learns there, from what its moves lead to, gets near the best.
"""
from dataclasses import replace
from itertools import islice

import numpy as np

from rlscratch.formulas.distribution import softmax
from rlscratch.formulas.policy_gradient import score
from rlscratch.report import figures
from rlscratch.report.table import table
from rlscratch.train.tabular import clone, ppo, reinforce, worlds
from rlscratch.train.tabular.method import TabularMethod

BUDGET = 10  # seconds of processor time
MOVES = ("Left", "Down", "Right", "Up")

# %% The expert and what it shows: twenty episodes from the start, all alike, for nothing slips.
lake, slippery = worlds.make("frozen-lake"), worlds.make("frozen-lake-slippery")
expert = clone.expert(lake)
shown = lake.collect(expert, 20, np.random.default_rng(0))
taken = shown.mask == 1
states, actions = shown.states[taken], shown.actions[taken]
pairs = sorted(set(zip(states.tolist(), actions.tolist(), strict=True)))
print("the expert's pairs of state and move:", ", ".join(f"{s} {MOVES[a]}" for s, a in pairs))

# %% Cloning: down the cross-entropy - mean log pi(a|s) over the expert's pairs, 500 steps.
STEP = 50.0
logits = lake.logits
for _ in range(500):
    scores = score(logits[states], actions)                 # one row a pair: grad log pi(a|s)
    ascent = np.zeros_like(logits)
    np.add.at(ascent, states, scores / len(states))
    logits = logits + STEP * ascent
cloned = softmax(logits)
still = np.flatnonzero((cloned == 0.25).all(axis=1) & ~lake.mdp.terminal)
print("states in which the clone still moves at random:", *still)


# %% On the path, elsewhere, on slippery ice.
def trained(method: TabularMethod, world: worlds.TabularWorld, steps: int) -> np.ndarray:
    """The policy after so many updates from rewards; rungs 22 and 23 show what an update is."""
    *_, (tables, _) = islice(method.learn(world, np.random.default_rng(0)), steps)
    return softmax(tables["logits"])


by_reward = trained(ppo.METHOD, lake, 25)
on_the_ice = trained(reinforce.METHOD, slippery, 60)
policies = {"expert": expert, "clone of the expert": cloned, "PPO, the same lake": by_reward,
            "REINFORCE, slippery ice": on_the_ice, "best on slippery ice": slippery.best[0]}
visited = np.unique(states)
rows = []
for name, policy in policies.items():
    from_start = lake.worth(policy)
    from_unseen = clone.elsewhere(lake, policy, visited)
    on_ice = slippery.worth(policy)
    rows.append((name, f"{from_start:.3f}", f"{from_unseen:.3f}", f"{on_ice:.3f}"))
print()
print(table(("policy", "from the start", "from unseen states", "on slippery ice"), rows))
print("\nFirst two columns: the lake without slipping.  What is best on slippery ice pushes "
      "against walls, away from\nholes, and waits to slip; where nothing slips it never arrives.")

# %% The ice begins to slip: a growing share of all moves is drawn from the slippery lake.
shares = np.linspace(0, 1, 5)
curves = {"expert": [], "clone": [], "REINFORCE on that ice": [], "best on that ice": []}
rows = []
for share in shares:
    mixed = (1 - share) * lake.mdp.transition + share * slippery.mdp.transition
    ice = replace(slippery, mdp=replace(slippery.mdp, transition=mixed))
    curves["expert"].append(ice.worth(expert))
    curves["clone"].append(ice.worth(cloned))
    learner = on_the_ice if share == 1 else trained(reinforce.METHOD, ice, 60)
    curves["REINFORCE on that ice"].append(ice.worth(learner))
    curves["best on that ice"].append(ice.best[1])
    rows.append((f"{share:.2f}", *(f"{curve[-1]:.3f}" for curve in curves.values())))
print()
print(table(("share of slippery moves", *curves), rows))


# %% From each state: the clone beside who learned from rewards.
def draw() -> None:
    fig, axes = figures.new(columns=3, width=9.6, height=3.5)
    letters = np.array(["hole"] * 16)
    letters[15] = "goal"
    for ax, title, policy in ((axes[0], "the clone", cloned), (axes[1], "PPO", by_reward)):
        worth = np.where(lake.mdp.terminal, np.nan, lake.worth_by_state(policy))
        ax.imshow(worth.reshape(4, 4), cmap="cividis", vmin=0, vmax=1)
        for s in range(16):
            text = letters[s] if lake.mdp.terminal[s] else f"{worth[s]:.2f}" + ("*" if s in visited
                                                                                else "")
            ink = "black" if lake.mdp.terminal[s] or worth[s] > 0.5 else "white"
            ax.text(s % 4, s // 4, text, ha="center", va="center", color=ink, fontsize=9)
        ax.set(title=title, xlabel="column", ylabel="row", xticks=range(4), yticks=range(4))
        ax.grid(False)
    for (name, curve), marker, line in zip(curves.items(), "os^x", ("--", "-", "-", ":"),
                                           strict=True):
        axes[2].plot(shares, curve, marker=marker, ls=line, ms=5, label=name)
    axes[2].set(title="the ice begins to slip", xlabel="share of slippery moves",
                ylabel="P(goal within 100 steps)", ylim=(0, 1.03))
    axes[2].legend(fontsize=8, loc="lower left")
    figures.save(fig, "21_imitation", "Left and middle: the exact probability of reaching the goal "
                 "within 100 steps from each state of the lake without slipping; * marks the "
                 "states that the expert visited. Right: from the start, on ice of which a growing "
                 "share of moves slips: the expert and its clone know one way only; REINFORCE "
                 "learns on each ice anew, and ends in local optima on the mixed ones.")


draw()

# %% Try it.  Let the expert begin elsewhere: shown = lake.collect(..., start=2).  How good is the
# clone from the start, and from what it has not seen?
# What came out: .298 from the start instead of 1.000, and .354 from unseen states.  Its table is
# right on the way from 2; from the start it has to stumble on to that way first.
