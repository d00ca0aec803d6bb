"""Document 001, "RL Introduction": the return, the objective, and the range of the discount.

Its formulas are statements; each is held by the numbers that set it apart from document 004's,
on the six moves of the frozen lake, of which only the last is rewarded.
"""
from functools import partial

from rlscratch.documents.entry import PINNED, Entry
from rlscratch.formulas import returns

SIX_MOVES = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)
GAMMA = 0.99
RETURN = "rlscratch.formulas.returns.discounted_return"
entry = partial(Entry, document="001")

ENTRIES = (
    entry(
        id="S1.return", section="Core Concepts and Notation",
        claim="The return adds up all rewards to come, the first one undiscounted.",
        formula="G_t = Σ_{k≥0} γ^k r_{t+k+1}, here 0.99^5", printed="G_t = Σ_{k=0}^∞ γ^k r_{t+k+1}", exact=0.95099,
        tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: returns.discounted_return(SIX_MOVES, GAMMA),
        otherwise=lambda: returns.discounted_return(SIX_MOVES, GAMMA, first_power=1),
        source=RETURN, planted={"first_power": 1},
        note="Document 004 starts its sum at t = 1 with γ^t and so discounts the first reward as well: γ times this "
             "return, 0.941480 here. Ours is this one (first_power=0); document 000's table uses it too."),
    entry(
        id="S1.objective", section="Mathematical Perspective on RL in LLMs",
        claim="Training maximises the mean of the discounted rewards r_0 to r_T.",
        formula="J = E[Σ_{t=0}^T γ^t r_t], here 0.99^5 for a reward at t = 5", printed="J(θ) = E[Σ_{t=0}^T γ^t r_t]",
        exact=0.95099, tolerance=PINNED, verdict="convention", kind="statement",
        compute=lambda: returns.discounted_return(SIX_MOVES, GAMMA),
        otherwise=lambda: returns.discounted_return(SIX_MOVES, GAMMA, first_power=1),
        source=RETURN, planted={"first_power": 1},
        note="T + 1 terms, the first reward called r_0; the same document's return calls it r_1. Read with those names "
             "the objective would discount the first reward and give 0.941480. Ours counts rewards from 0."),
    entry(
        id="S1.gamma_range", section="Core Concepts and Notation",
        claim="The discount lies between 0 and 1, both included.",
        formula="0 ≤ γ ≤ 1, here γ = 1 on a finite episode", printed="0 ≤ γ ≤ 1", exact=1.0, tolerance=PINNED,
        verdict="convention", kind="statement", compute=lambda: returns.discounted_return(SIX_MOVES, 1.0),
        otherwise=lambda: returns.discounted_return(SIX_MOVES, GAMMA), source=RETURN, planted={"gamma": GAMMA},
        note="Document 004 excludes 1, as its sums are infinite and need it. Episodes that end allow 1: ours accept "
             "it, and the return is then the plain sum: 1 here, where 0.99 gives 0.950990."),
    entry(
        id="S1.car.actions", section="Real-World Example: Self-Driving Cars",
        claim="A self-driving car has five manoeuvres: accelerate, brake, steer, change lanes, stop.",
        formula="number of actions", printed=5, exact=5, tolerance=0.0, verdict="exact", kind="input",
        note="The actions of tasks.car, whose rewards are the document's too: for the way, against abrupt braking and "
             "collisions. It gives no numbers; example 48 shows what each price does."),
)
