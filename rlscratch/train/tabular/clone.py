"""Behavioural cloning on a table: make the expert's moves likely, and see where that ends.

The expert knows the map: it makes the best move by value iteration at gamma = .99, the document's discount,
which on a lake without slipping is the shortest way.  It shows N episodes from the start.  Their pairs
(s_t, a_t) are all that the clone ever learns from; each update descends the cross-entropy

    L = - sum_t w_t log pi(a_t|s_t),    w_t = 1 / number of pairs                        (1)

whose gradient is REINFORCE's with every return 1 (formulas.cross_entropy).  Rewards play no part.

What (1) cannot do.  A row of the table that no episode visited has gradient 0: there the clone stays as
it began, a uniform walk.  On its own path it is as good as the expert.  Off the path, from another
state or because the ice turned slippery, it knows nothing, and a step off the path is exactly what its
own small errors lead to: states are drawn from the expert's visits in training, and from its own
afterwards (distribution shift).  Whoever learns from rewards visits those states while learning.

The report has both as exact probabilities of reaching the goal in time: on the task from the start,
averaged over the states that no episode visited ("elsewhere"), and on the same map with slippery ice;
the expert's own beside each.

Source: document 004, 1.2 and 2.4; Ross, Gordon, Bagnell 2011 (why small errors add up).
Leaves out: asking the expert again where the clone went (DAgger); experts that err.
"""
from dataclasses import replace

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import cross_entropy, td, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.train.settings import at_least_1
from rlscratch.train.tabular import table, worlds
from rlscratch.train.tabular.method import Figures, Tables, TabularMethod, choice, report, shared_steps
from rlscratch.train.tabular.worlds import TabularWorld

GAMMA = 0.99
ROUNDING = 9        # decimals to which two moves are equally good; the expert takes the first of equals


def expert(world: TabularWorld) -> Array:
    """(S, A): the best move in each state, as rows of 0 and 1.

    >>> expert(worlds.make("frozen-lake"))[[0, 4, 8, 9, 13, 14]].argmax(axis=1).tolist()       # 1 Down, 2 Right
    [1, 1, 2, 1, 2, 2]
    """
    q, _ = replace(world.rewarded, gamma=GAMMA).solve()
    return td.epsilon_greedy(q.round(ROUNDING), 0.0)


def initial(world: TabularWorld, rng: np.random.Generator, *, demonstrations: int, **settings: object) -> Tables:
    """The world's first policy, and the expert's pairs: states and actions (M,)."""
    batch = world.collect(expert(world), demonstrations, rng)
    taken = batch.mask == 1
    return {"logits": world.logits.copy(), "states": batch.states[taken], "actions": batch.actions[taken]}


def step(world: TabularWorld, tables: Tables, rng: np.random.Generator, *, lr: float, **settings: object,
         ) -> tuple[Tables, Figures]:
    """One step down (1) over all pairs.  tables: logits (S, A), states, actions (M,); lr > 0."""
    logits, states, actions = (tables[name] for name in ("logits", "states", "actions"))
    logp, weight = table.logp(logits, states, actions), _equal(states)
    dlogp = cross_entropy.cross_entropy_grad(logp, weight)
    moved = logits - lr * table.logits_grad(logits, states, actions, dlogp)
    return {**tables, "logits": moved}, {"cross_entropy": cross_entropy.cross_entropy_loss(logp, weight)}


def clone_report(world: TabularWorld, tables: Tables, settings: dict) -> Figures:
    """report(), the expert's worth, and how both do where the expert never went."""
    logits, states = tables["logits"], tables["states"]
    teacher, policy = expert(world), softmax(logits)
    figures = report(world, tables, settings)
    figures |= {f"expert_{world.measure}": world.worth(teacher),
                "cross_entropy": cross_entropy.cross_entropy_loss(
                    table.logp(logits, states, tables["actions"]), _equal(states)),
                "states_shown": int(np.unique(states).size)}
    if world.task is None:
        figures |= {"elsewhere": elsewhere(world, policy, states),
                    "expert_elsewhere": elsewhere(world, teacher, states)}
    if (other := f"{world.name}-slippery") in worlds.LAKES:
        slippery = worlds.make(other)
        figures |= {"on_slippery_ice": slippery.worth(policy), "expert_on_slippery_ice": slippery.worth(teacher),
                    "best_on_slippery_ice": slippery.best[1]}
    return figures


def elsewhere(world: TabularWorld, policy: Array, shown: Array) -> float | None:
    """The mean worth of a policy over the states that are neither terminal nor among `shown`; None without any."""
    unseen = ~world.mdp.terminal & ~np.isin(np.arange(len(policy)), shown)
    return world.worth_by_state(policy)[unseen].mean().item() if unseen.any() else None


def _equal(states: Array) -> Array:
    return weights.token_mean(np.ones((1, len(states))))[0]


CHOICES = (
    choice("demonstrations", 20, 20, "episodes that the expert shows", at_least_1),
    choice("lr", 50.0, 1.0, "length of a step", check.positive),
)
METHOD = TabularMethod("clone", CHOICES, shared_steps({}, 500), initial, step, clone_report)
add_arguments, run = METHOD.add_arguments, METHOD.run
