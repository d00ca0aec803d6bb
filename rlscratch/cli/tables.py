"""What a run of tables has learned, shown where it ends: q-learning, dqn, reinforce, ppo, grpo and clone.

On a lake: the map with the likeliest move of each state, the greedy path, and how probable the goal is, exactly.  For a
bandit: each answer's reward and its probability before and after.  The learning curve is a figure in the run's folder.
A run on text, whose state is a checkpoint, and one in another environment have no map and no answers.
"""
import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rlscratch.check import Array
from rlscratch.files import read_json
from rlscratch.formulas.distribution import softmax
from rlscratch.report.table import table
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.lake import Lake

MOVES = "<v>^"          # Left, Down, Right, Up, as Gymnasium counts them
LIKE = 1e-9             # entries of a row that differ by less are equals


def show(args: argparse.Namespace) -> None:
    """Draw the learning curve of the run that these arguments began, and print what it learned to standard error.

    With --quiet the figure alone.
    """
    folder = Path(args.run_dir)
    if not (folder / "state.npz").exists():
        return
    from rlscratch.report import curves  # to load what draws takes longer than to load the rest
    path = curves.of_finished(folder, partial(curves.training, name="learning_curve"))
    if not args.quiet:
        sys.stdout.flush()
        print("\n".join(filter(None, [learned(folder), path and f"figure: {path}"])), file=sys.stderr)


def learned(folder: Path) -> str:
    """The end of a run of tables, as text; "" where there is nothing to draw."""
    result = read_json(folder / "result.json")
    with np.load(folder / "state.npz") as state:
        values = _table({name: state[name] for name in state.files if name != "facts"})
    if (name := lake_of(result)) is not None:
        return on_the_lake(Lake(*worlds.LAKES[name]), values, result)
    if result.get("task") in worlds.NAMES:
        return of_answers(result["task"], values)
    return ""


def lake_of(config: dict[str, Any]) -> str | None:
    """The lake that a run's config speaks of, by its name; None for none."""
    if "map" in config:
        return next(name for name, lake in worlds.LAKES.items() if lake == (config["map"], config["slippery"]))
    return config["task"] if config.get("task") in worlds.LAKES else None


def _table(arrays: dict[str, Array]) -> Array | None:
    """(S, A): what prefers one move to another, by the names of a run's arrays; None of a run without a table."""
    if "mean.W1" in arrays:             # DQN's network on all states at once, whose rows of x are the identity's
        W1, b1, W2, b2 = (arrays[f"mean.{name}"] for name in ("W1", "b1", "W2", "b2"))
        return np.maximum(W1 + b1, 0) @ W2 + b2
    return arrays["q"] if "q" in arrays else arrays.get("logits")


# ---------------------------------------------------------------- a lake

def on_the_lake(lake: Lake, values: Array, result: dict[str, Any]) -> str:
    """Map, path and probability.

    values  (S, A)  Q or logits
    result  with success_probability and best_success_probability
    """
    path = lake.greedy_path(values)
    if path:
        walked = f"greedy path: {' '.join(map(str, path))} ({len(path) - 1} moves)"
    elif lake.slippery:
        walked = "greedy path: none is certain on slippery ice"
    else:
        walked = "greedy path: it does not lead to the goal"
    worth, best = result["success_probability"], result["best_success_probability"]
    return "\n".join([f"likeliest moves ({MOVES}; . none is preferred, H hole, G goal)", arrows(lake, values), walked,
                      f"probability of the goal within {lake.horizon} steps: {worth:.4g}, exactly; the best possible: "
                      f"{best:.4g}"])


def arrows(lake: Lake, values: Array) -> str:
    """The map, a letter a state: its best move, the first of equals.

    >>> lake = Lake()
    >>> print(arrows(lake, lake.best[0]))
      v>v<
      vHvH
      >vvH
      H>>G
    """
    ground = lake.env.unwrapped.desc.astype(str)
    flat = np.ptp(values, axis=1) < LIKE
    best = (values >= values.max(axis=1, keepdims=True) - LIKE).argmax(axis=1)
    letters = np.where(flat, ".", np.array(list(MOVES))[best]).reshape(ground.shape)
    return "\n".join("  " + "".join(row) for row in np.where(np.isin(ground, ("H", "G")), ground, letters))


# ---------------------------------------------------------------- a bandit

def of_answers(task: str, logits: Array) -> str:
    """Each answer of a bandit, a table for each prompt."""
    world = worlds.make(task)
    before, after = softmax(world.logits), softmax(logits)
    return "\n".join(f"{prompt}\n" + table(("answer", "reward", "before", "after"), [
        (answer, f"{world.mdp.reward[i, j].max():g}", f"{before[i, j]:.4f}", f"{after[i, j]:.4f}")
        for j, answer in enumerate(world.task.answers)]) for i, prompt in enumerate(world.task.prompts))
