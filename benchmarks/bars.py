"""Claims over many seeds: python -m benchmarks.bars [--seeds N] [--json] [--only NAME ...].

Prints each claim with its figures and stores them all in bars.json, in the environment's
RLSCRATCH_OUT or out/.  Exit status 1 if a claim does not hold, 2 on bad arguments.
"""
import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import language_bars as language
from benchmarks import life_bars as life
from rlscratch import check, kernels
from rlscratch.files import write_atomic
from rlscratch.formulas import td
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import best_stationary
from rlscratch.mdp.games import guaranteed
from rlscratch.report.table import table
from rlscratch.tasks.board_games import tic_tac_toe
from rlscratch.train.control import ppo as control_ppo
from rlscratch.train.dqn import deep_q_learning as dqn
from rlscratch.train.dqn.worlds import OnEnvironment
from rlscratch.train.tabular import ppo, reinforce, self_play, worlds
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.method import TabularMethod
from rlscratch.train.tabular.q_learning import STEPS, State, falling, learn, linear
from rlscratch.train.tabular.q_learning_many import learn_many

HALF_DIGIT = 0.00005            # half a unit of the fourth decimal
NEAR = 0.02                     # of the best policy's probability of success
NEAR_DQN = 0.05
CREAM = 0.96                    # document 002's outcome of PPO
UPRIGHT, EPISODES = 475, 100    # mean return of CartPole-v1, of at most 500, and over how many episodes
# Of PPO with networks: the least mean return, for the drone the share of targets reached; minutes.
CONTROL = {"drone": (0.95, 3), "Pendulum-v1": (-250, 5), "CartPole-v1": (UPRIGHT, 5)}
TEXT_SEEDS = 3                  # of claims that train transformers for minutes


@dataclass(frozen=True)
class Bar:
    """One claim: attempt(seed) gives the figures of one seed, among them "met"; seeds, how many there are usually.

    medians  asked of the medians over the seeds, where the claim is about those and not about each seed
    """

    name: str
    claim: str
    attempt: Callable[[int], dict[str, Any]]
    seeds: int = 20
    medians: Callable[[Mapping[str, float]], bool] | None = None


def q_learning(seed: int, name: str = "4x4", hole: int = 0) -> dict[str, Any]:
    """The defaults of `rlscratch train q-learning` in Gymnasium's environment."""
    lake = Lake(name, slippery=False, hole=hole)
    q_best, _ = lake.best
    state = State.zeros(q_best.shape, np.random.default_rng(seed))
    outside = 0.0                                       # equation (3) of q_learning; (1) if holes pay 0
    for t in islice(learn(lake.env, state, gamma=0.99, alpha=falling(0.1), epsilon=linear(0.5, 0.5, 1)), STEPS[name]):
        entry, best = state.q[t.s, t.a], q_best[t.s, t.a]
        outside = max(outside, entry - max(best, 0), min(best, 0) - entry)
    figures = lake.figures(state.q, td.epsilon_greedy(state.q, 0.0, ties="share"))
    shortest = len(lake.greedy_path(q_best)) - 1
    met = figures["path_length"] == shortest and figures["path_error"] < HALF_DIGIT and outside < 1e-12
    return {**figures, "outside_bounds": float(outside), "episodes": state.episode, "met": bool(met)}


def q_learning_many(seed: int, runs: int = 250) -> dict[str, Any]:
    """The same learner, 250 runs a seed in the lake's tensors."""
    lake = Lake()
    q = np.zeros((runs, 16, 4))
    for _ in islice(learn_many(lake.mdp, q, horizon=lake.horizon, alpha=falling(0.1), epsilon=linear(0.5, 0.5, 1),
                               rng=np.random.default_rng(seed)), STEPS["4x4"]):
        pass
    paths = [lake.greedy_path(table) for table in q]
    good = [path is not None and len(path) == 7 and
            np.abs(table[path].max(axis=1) - lake.best[1][path]).max() < HALF_DIGIT
            for table, path in zip(q, paths, strict=True)]
    return {"runs": runs, "runs_met": int(sum(good)), "met": all(good)}


def deep_q_learning(seed: int, task: str) -> dict[str, Any]:
    """The defaults of `rlscratch train dqn` in Gymnasium's environment; what the result is worth is exact."""
    lake = Lake(*worlds.LAKES[task])
    state = dqn.DQNState.new((16, 4), np.random.default_rng(seed))
    for _ in islice(dqn.learn(lake.env, state, **dqn.settings()), dqn.STEPS[task]):
        pass
    figures = dqn.figures(lake, state)
    best = best_stationary(lake.reaching, lake.horizon)[1]
    met = (figures["success_probability"] >= best - NEAR_DQN if lake.slippery else
           figures["path_length"] == 6 and figures["suboptimal_states"] == 0)
    return {**figures, "best": best, "episodes": state.episode, "met": bool(met)}


def cart_pole(seed: int) -> dict[str, Any]:
    """The defaults of `rlscratch train dqn --env CartPole-v1`; the last network counts, not the best of several."""
    world = OnEnvironment("CartPole-v1", None, EPISODES, seed)
    chosen = {name: default for name, (default, _, _) in dqn.LEARNER.items()} | dqn.ENVIRONMENT
    steps = chosen.pop("steps")
    state = dqn.DQNState.new(world.shape, np.random.default_rng(seed), chosen["hidden"], chosen["buffer"])
    for _ in islice(dqn.learn(world.env, state, **dqn.settings(**chosen)), steps):
        pass
    figures = world.final(state)
    return {**figures, "episodes": state.episode, "met": figures["mean_return"] >= UPRIGHT}


def policy(seed: int, method: TabularMethod, task: str) -> dict[str, Any]:
    """The defaults of `rlscratch train METHOD`; worth and the best possible are exact."""
    world = worlds.make(task)
    for tables, _ in islice(method.learn(world, np.random.default_rng(seed)), method.steps[task]):
        learned = softmax(tables["logits"])
    worth, best = world.worth(learned), world.best[1]
    figures = {"steps": method.steps[task], world.measure: worth, "best": best}
    if world.task is None:
        return {**figures, "met": bool(worth >= best - NEAR)}
    first = learned[0, world.task.answers.index("cream")].item()
    return {**figures, "cream": first, "met": bool(first >= CREAM)}


def self_played(seed: int) -> dict[str, Any]:
    """The learner of example 44."""
    game = tic_tac_toe()
    q = np.zeros(game.legal.shape)
    *_, ended = islice(self_play.learn(game, q, games=256, epsilon=0.5, rng=np.random.default_rng(seed)), 3000)
    first, second = guaranteed(game, self_play.greedy(game, q))
    return {"games": ended, "least_first": first, "least_second": second, "met": first >= 0 <= second}


def control(seed: int, name: str) -> dict[str, Any]:
    """PPO with networks, as RECIPES has it; the likeliest actions in episodes that it has not seen."""
    text, chosen, updates = control_ppo.RECIPES[name]
    begin = time.process_time()
    learner = control_ppo.Learner(text, chosen, np.random.default_rng(seed))
    steps = sum(int(row["steps"]) for row in learner.learn(updates))
    seconds = time.process_time() - begin           # a machine may be shared
    totals, said = learner.evaluate(1000 if name == "drone" else EPISODES, seed=10**6)
    least, minutes = CONTROL[name]
    figures = {"steps": steps, "mean_return": totals.mean().item()}
    if name == "drone":
        figures["reached"] = float(np.mean([info["reached"] for info in said]))
    met = figures.get("reached", figures["mean_return"]) >= least and seconds <= 60 * minutes
    return {**figures, "seconds": seconds, "met": bool(met)}


BARS = (
    Bar("q-learning 4x4", "deterministic 4x4 lake: the greedy path is optimal (6 moves), its values are gamma^k to "
        "four decimals, and 0 <= Q <= Q* held at every step", q_learning),
    Bar("q-learning 4x4, hole -1", "the same with -1 for a hole, and min(Q*, 0) <= Q <= max(Q*, 0)",
        lambda seed: q_learning(seed, hole=-1)),
    Bar("q-learning 8x8", "deterministic 8x8 lake: the same, 14 moves", lambda seed: q_learning(seed, "8x8")),
    Bar("q-learning, tensors", "the first claim's path and values for 250 runs a seed in the lake's tensors",
        q_learning_many),
    Bar("dqn frozen-lake", "deterministic 4x4 lake: the greedy policy of the network is optimal, its way takes 6 moves "
        "and its action is a best one in every state", partial(deep_q_learning, task="frozen-lake")),
    Bar("dqn frozen-lake-slippery", "slippery 4x4 lake: the greedy policy's exact probability of reaching the goal "
        f"within 100 steps is within {NEAR_DQN} of the best policy's without a clock",
        partial(deep_q_learning, task="frozen-lake-slippery")),
    Bar("dqn CartPole-v1", f"CartPole-v1: the greedy policy of the network keeps the pole up for {UPRIGHT} of 500 "
        f"steps, on average over {EPISODES} episodes", cart_pole, 3),
    Bar("self-play tic-tac-toe", "Q-learning from self-play loses no game that any opponent can choose, on either side",
        self_played, 3),
    *(Bar(f"ppo {name}", f"{told}, within {CONTROL[name][1]} minutes of processor time", partial(control, name=name), 3)
      for name, told in (
          ("drone", f"the drone reaches its target in {CONTROL['drone'][0]:.0%} of 1,000 episodes, wind included"),
          ("Pendulum-v1", f"a mean return of {CONTROL['Pendulum-v1'][0]} over {EPISODES} episodes"),
          ("CartPole-v1", f"a mean return of {UPRIGHT} of 500 over {EPISODES} episodes"))),
    *(Bar(f"{method.name} {task}", f"{task}: the policy's exact probability of reaching the goal within the limit of "
          f"100 steps is within {NEAR} of the best policy's without a clock", partial(policy, method=method, task=task))
      for method in (reinforce.METHOD, ppo.METHOD) for task in ("frozen-lake", "frozen-lake-slippery")),
    Bar("ppo ice-cream", f"ice-cream: the policy says cream with probability {CREAM} or more",
        partial(policy, method=ppo.METHOD, task="ice-cream")),
    Bar("grpo every-third-character", "words of 5 to 12 letters, held-out ones: GRPO from a model that imitates a "
        f"teacher who errs on long words is right {language.SAMPLED:.0%} of the time sampled and {language.GREEDY:.0%} "
        f"greedy, within {language.LONGEST:g} minutes",
        partial(language.verifiable, task="every-third-character"), TEXT_SEEDS),
    Bar("grpo addition", f"sums up to 99, held-out ones: GRPO from a model that is right {language.FROM:.0%} to "
        f"{language.TO:.0%} of the time is right {language.SAMPLED:.0%} of the time, within {language.LONGEST:g} "
        "minutes", partial(language.verifiable, task="addition"), TEXT_SEEDS),
    Bar("thinking", f"cups, held-out ones: of one token at most {language.AT_ONCE:.0%} are right; GRPO with a reward "
        f"for the answer alone lets the scratchpad grow until {language.SAMPLED:.0%} are, within "
        f"{language.LONGEST:g} minutes with its SFT", language.thinking, TEXT_SEEDS),
    Bar("tools", f"products by heart or by calculator: {language.RIGHT:.0%} right of both kinds, calls on at most "
        f"{language.IDLE:.0%} of the facts and at least {language.NEEDED:.0%} of the held-out large products, within "
        f"{language.LONGEST:g} minutes with its SFT", language.calling, TEXT_SEEDS),
    Bar("rlhf", f"the reward model orders {language.PAIRS:.0%} of noise-free held-out pairs, and PPO on it gains "
        f"{language.SHARE:.0%} of the gold reward that best-of-16 gains, at no more than its KL, on "
        f"{language.PROMPTS:,} held-out prompts, within {language.LONGEST_PPO:g} minutes", language.rlhf, TEXT_SEEDS),
    Bar("dpo", f"DPO on the same rankings gains {language.SHARE:.0%} of the gold reward that PPO gains, at no more "
        "than best-of-16's KL", language.direct, TEXT_SEEDS),
    Bar("over-optimisation", "PPO without a brake on a reward model from few rankings: the gold reward falls by more "
        "than three standard errors while the proxy rises", language.over_optimised, TEXT_SEEDS),
    Bar("life", f"curated text is worth {life.BITS:g} bits per byte on held-out pages at equal steps; SFT knows "
        f"{life.KNOWN:.0%} of the facts; of its answers about strangers {life.BEFORE:.0%} or more are invented, after "
        f"the cure {life.AFTER:.0%} at most, for {100 * life.LOST:g} points of the facts; each axis rises by "
        f"{life.RISE} points of 100 with equal weights; each reward model orders {life.PAIRS:.0%} of noise-free pairs; "
        f"within {life.MINUTES} minutes on two cores; in the median", life.life, TEXT_SEEDS, life.holds),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bars; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bars", description="Claims over many seeds.",
                                     epilog="example: python -m benchmarks.bars --only 'q-learning 4x4'")
    parser.add_argument("--seeds", type=int, metavar="N",
                        help=f"seeds 0 to N - 1 (default: 20, and {TEXT_SEEDS} where transformers are trained)")
    parser.add_argument("--only", nargs="+", choices=[bar.name for bar in BARS], metavar="NAME",
                        help="these: " + ", ".join(bar.name for bar in BARS))
    parser.add_argument("--json", action="store_true", help="end with the figures as one line of JSON")
    args = parser.parse_args(argv)
    try:
        asked = None if args.seeds is None else check.integer(1, **{"--seeds": args.seeds})
    except ValueError as wrong:
        parser.exit(2, f"benchmarks.bars: {wrong}\n")
    results = {}
    for bar in (bar for bar in BARS if args.only is None or bar.name in args.only):
        seeds = tqdm(range(asked or bar.seeds), desc=bar.name, file=sys.stderr)
        figures = [{"seed": seed, **bar.attempt(seed)} for seed in seeds]
        met = sum(row["met"] for row in figures)
        holds = met == len(figures) if bar.medians is None else bar.medians(_medians(figures))
        results[bar.name] = {"claim": bar.claim, "backend": kernels.BACKEND, "holds": holds, "met": met,
                             "of": len(figures), "seeds": figures}
        print(f"{bar.name}: {bar.claim}\n\n{_shown(figures)}\n\n{met} seeds of {len(figures)}"
              f"{'' if bar.medians is None else '; the medians ' + ('meet it' if holds else 'MISS it')}\n", flush=True)
        path = _store(results)
    print(json.dumps(results) if args.json else f"stored in {path}")
    return 0 if all(result["holds"] for result in results.values()) else 1


def _store(results: dict[str, Any]) -> Path:
    """Put these bars into bars.json; those that were not run stay as they are."""
    path = Path(os.environ.get("RLSCRATCH_OUT") or "out") / "bars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text("utf-8")) if path.exists() else {}
    text = json.dumps({**before, **results}, indent=1)
    write_atomic(path, lambda part: part.write_text(text + "\n", "utf-8"))
    return path


def _medians(figures: list[dict[str, Any]]) -> dict[str, float]:
    """Over the seeds, of what every seed has as a number."""
    return {key: statistics.median(row[key] for row in figures) for key, value in figures[0].items()
            if isinstance(value, float) and all(row.get(key) is not None for row in figures)}


def _shown(figures: list[dict[str, Any]]) -> str:
    """A row a seed, and their median."""
    middle = _medians(figures)
    rows = [[f"{x:.3g}" if isinstance(x, float) else "yes" if x is True else "NO" if x is False else x
             for x in row.values()] for row in (*figures, dict.fromkeys(figures[0], "") | {"seed": "median"} | middle)]
    return table([key.replace("_", " ") for key in figures[0]], rows)


if __name__ == "__main__":
    sys.exit(main())
