"""REINFORCE on a table: document 004's algorithm, steps (a) to (e), with the baseline as a choice.

    (a)  N episodes under pi = softmax(z)                                    TabularWorld.collect
    (b)  rewards-to-go G_t                                                   returns.rewards_to_go
    (c)  a baseline b                                                        below
    (d)  g = (1/N) sum_it (G_it - b) grad log pi(a_it|s_it)                  policy_gradient.reinforce_grad, table
    (e)  z <- z + alpha g

The baseline, by name:

    batch_mean     the mean of G over all steps of all episodes: the document's.  It contains each
                   episode's own rewards, and E[g] is not grad J (expectations.estimators, equation
                   (5)); with N in the hundreds the difference is small beside the noise
    leave_one_out  at each t the mean of the other episodes' G_t: no bias
    value          a table V(s) that follows the mean of G from each state: no bias, since V was
                   made from earlier batches
    none           0

gamma = 1 is the document's, and right here: episodes are cut off at the limit of steps, and what is
wanted is the total.  For gamma < 1 step t counts gamma^t, as J counts it.

With --entropy beta the update also ascends beta times the mean entropy at the visited states; the default
is the algorithm as written.

The start is slow because rewards are rare: an episode of the uniform policy reaches the goal of a
4x4 lake with probability .0139, slippery or not.  A batch without a single goal has G = 0
throughout, and with every baseline above the gradient is then exactly 0.  So batches are large, and not
for speed alone.  On the slippery 4x4 lake the exact gradient, ascended from the uniform policy, leads to a
local optimum of .729 (the best is .7402).  Estimates from 256 episodes, with 3.6 goals at first, are
noisy enough to lead elsewhere: sometimes to the best, and about once in twenty runs to .51, for good.
With 1024 episodes all runs tried end at .72 or above.

Source: document 004, 1.5.3; Williams 1992.
Leaves out: what the estimate is on average, exactly (rlscratch.expectations.estimators).
"""
import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.formulas import policy_gradient, ppo, returns, weights
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import Episodes
from rlscratch.train.settings import at_least_2, unit_interval
from rlscratch.train.tabular import table
from rlscratch.train.tabular.method import Figures, Tables, TabularMethod, choice, report, shared_steps
from rlscratch.train.tabular.worlds import TabularWorld

BASELINES = ("batch_mean", "leave_one_out", "value", "none")


def initial(world: TabularWorld, rng: np.random.Generator, **settings: object) -> Tables:
    """The world's first policy, and values of 0."""
    return {"logits": world.logits.copy(), "values": np.zeros(len(world.logits))}


def step(world: TabularWorld, tables: Tables, rng: np.random.Generator, *, episodes: int, lr: float, baseline: str,
         gamma: float, entropy: float, value_lr: float) -> tuple[Tables, Figures]:
    """One update, (a) to (e).

    tables    logits (S, A), values (S,)
    episodes  N
    lr        alpha
    The others are as in CHOICES.
    """
    logits, values = tables["logits"], tables["values"]
    batch = world.collect(softmax(logits), episodes, rng)
    to_go = returns.rewards_to_go(batch.rewards, gamma) * batch.mask
    weight = weights.sequence_sum(batch.mask)
    dlogp = policy_gradient.reinforce_grad(
        table.logp(logits, batch.states, batch.actions) * batch.mask, to_go,
        weight * gamma ** np.arange(to_go.shape[1]), _baseline(baseline, to_go, batch, values))
    ascent = entropy * table.bonus_grad(logits, batch.states, weights.token_mean(batch.mask))
    logits = logits + lr * (ascent - table.logits_grad(logits, batch.states, batch.actions, dlogp))
    if baseline == "value":
        values = values - value_lr * _value_grad(values, to_go, batch)
    figures = {"mean_return": returns.total_return(batch.rewards).mean().item(),
               "mean_length": batch.mask.sum(axis=1).mean().item()}
    return {"logits": logits, "values": values}, figures


def _baseline(name: str, to_go: Array, batch: Episodes, values: Array) -> Array | float:
    """b, a number or one for each step."""
    match name:
        case "batch_mean":
            return policy_gradient.batch_mean_baseline(to_go, batch.mask)
        case "leave_one_out":
            return policy_gradient.leave_one_out_baseline(to_go.T).T
        case "value":
            return values[batch.states]
        case _:
            return 0.0


def _value_grad(values: Array, to_go: Array, batch: Episodes) -> Array:
    """The derivative of half the squared error, every visited state weighing 1: (S,)."""
    weight = table.equal_states(batch.states, batch.mask, len(values))
    return table.per_state(ppo.value_grad(values[batch.states], to_go, weight), batch.states, len(values))


CHOICES = (
    choice("episodes", 1024, 64, "episodes of each update", at_least_2),
    choice("lr", 20.0, 0.2, "alpha, the length of a step", check.positive, environment=0.2),
    choice("baseline", "batch_mean", "batch_mean", "what to expect instead of 0", options=BASELINES),
    choice("gamma", 1.0, 1.0, "discount, in [0, 1]", unit_interval),
    choice("entropy", 0.0, 0.0, "how much an entropy bonus counts, in units of reward a nat", check.non_negative),
    choice("value_lr", 0.5, 0.5, "share of the way that values go to the mean return; baseline value only",
           check.fraction),
)
LAKES = {"frozen-lake": 60, "frozen-lake-slippery": 150, "frozen-lake-8x8": 100, "frozen-lake-8x8-slippery": 300}
METHOD = TabularMethod("reinforce", CHOICES, shared_steps(LAKES, 500), initial, step, report)
add_arguments, run = METHOD.add_arguments, METHOD.run
