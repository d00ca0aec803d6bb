"""Q-learning: many runs at once in the lake's tensors, against a plain loop over Gymnasium's step.

The plain loop is what a tutorial writes: a NumPy table, one random number to explore, argmax, the
update in one line, no checks, no formula called.  Both sides learn on the 4x4 lake without
slipping, with alpha .1, gamma .99, epsilon .5 and a limit of 100 steps, and both count updates.
Sides take turns; each figure is the median of its rounds.

The plain loop is asked for one thing less: it takes the first of equal maxima, ours shares them.
"""
import statistics
import time
from itertools import islice

import gymnasium
import numpy as np

from rlscratch.train.tabular import q_learning
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning_many import learn_many

TITLE = "Q-learning, updates per second summed over runs"
LEAST = 20                                       # times the plain loop, at 64 runs
RUNS = (64, 256, 1024, 4096)
ALPHA, GAMMA, EPSILON = 0.1, 0.99, 0.5


def plain(steps: int) -> float:
    """Seconds of the plain loop."""
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    rng, q = np.random.default_rng(0), np.zeros((16, 4))
    s, _ = env.reset(seed=0)
    begin = time.perf_counter()
    for _ in range(steps):
        a = int(rng.integers(4)) if rng.random() < EPSILON else int(q[s].argmax())
        s_next, reward, terminated, truncated, _ = env.step(a)
        q[s, a] += ALPHA * (reward + GAMMA * q[s_next].max() * (not terminated) - q[s, a])
        s = env.reset()[0] if terminated or truncated else s_next
    return time.perf_counter() - begin


def one(steps: int) -> float:
    """Seconds of our loop over the formulas in the same environment."""
    state = q_learning.State.zeros((16, 4), np.random.default_rng(0))
    env = gymnasium.make("FrozenLake-v1", is_slippery=False)
    loop = q_learning.learn(env, state, gamma=GAMMA, alpha=q_learning.falling(ALPHA), epsilon=lambda t: EPSILON)
    begin = time.perf_counter()
    for _ in islice(loop, steps):
        pass
    return time.perf_counter() - begin


def many(runs: int, steps: int) -> float:
    """Seconds of so many runs side by side, for so many steps of each."""
    q = np.zeros((runs, 16, 4))
    loop = learn_many(Lake(gamma=GAMMA).mdp, q, horizon=100, alpha=q_learning.falling(ALPHA),
                      epsilon=lambda t: EPSILON, rng=np.random.default_rng(0))
    begin = time.perf_counter()
    for _ in islice(loop, steps):
        pass
    return time.perf_counter() - begin


def measure(quick: bool = False) -> dict:
    """{"title", "rows": [{"what", "per_second", "times"}], "bar": {"what", "value", "least", "met"}}."""
    rounds, steps = (3, 2000) if quick else (7, 10_000)
    sides = {"a plain loop over env.step": lambda: steps / plain(steps),
             "our loop over env.step": lambda: steps / one(steps)}
    for n in RUNS:
        sides[f"{n} runs at once"] = lambda n=n: n * (steps // 10) / many(n, steps // 10)
    speeds = {what: [] for what in sides}
    for _ in range(rounds):
        for what, side in sides.items():
            speeds[what].append(side())
    per_second = {what: statistics.median(values) for what, values in speeds.items()}
    base = per_second["a plain loop over env.step"]
    rows = [{"what": what, "per_second": round(value), "times": round(value / base, 2)}
            for what, value in per_second.items()]
    at = next(row for row in rows if row["what"] == f"{RUNS[0]} runs at once")
    bar = {"what": at["what"], "value": at["times"], "least": LEAST, "met": at["times"] >= LEAST}
    return {"title": TITLE, "rows": rows, "bar": bar}
