"""What a run of `rlscratch rlhf` found, read from the folders of its stages.

So nothing has to be trained again to be told again.
"""
from pathlib import Path
from typing import Any, NamedTuple

from rlscratch.files import read_json, read_lines
from rlscratch.report.table import table
from rlscratch.train.language import over_optimisation
from rlscratch.train.language.over_optimisation import Trajectory

YARDSTICK = 16                              # the n of best-of-n that trained policies are compared with
WINDOW = 9                                  # steps of a curve that are averaged
NAMES = {"sft": "SFT", "best-of-16": "best of 16", "ppo": "PPO", "dpo": "DPO", "beta-0": "PPO without a brake"}


class Brake(NamedTuple):
    """A run of PPO against the poor proxy, and over_optimisation.turn of it."""

    beta: float
    run: Trajectory
    turn: dict[str, Any]


class Findings(NamedTuple):
    """All that the page shows.

    stages     name -> result.json, for the stages that train
    metrics    name -> what they wrote down, a line a step
    policies   name -> reward (gold), proxy, kl, answer_length, each with its error, of SFT, best of 16, PPO and DPO,
               in this order; best of 16 has a bound for a kl
    prompts    how many held-out ones these are means over
    best_of_n  name of a reward model -> a point for each n, as over_optimisation.best_of_curve has them
    brakes     from none to the strongest
    samples    prompts, each with answers by policy
    """

    stages: dict[str, dict[str, Any]]
    metrics: dict[str, list[dict[str, Any]]]
    policies: dict[str, dict[str, float]]
    prompts: int
    best_of_n: dict[str, list[dict[str, float]]]
    brakes: list[Brake]
    samples: list[dict[str, Any]]

    @property
    def gains(self) -> dict[str, float]:
        """Gold over that of the fine-tuned policy, by name."""
        return {name: one["reward"] - self.policies["sft"]["reward"] for name, one in self.policies.items()}


def result(folder: Path) -> dict[str, Any]:
    """The final figures of a stage."""
    return read_json(folder / "result.json")


def read(folder: Path) -> Findings:
    """The findings of a run whose stages are all done."""
    betas = sorted((path.name for path in folder.glob("beta-*")), key=lambda name: result(folder / name)["beta"])
    names = ("sft", "reward-model", "ppo", "dpo", "few-rankings", *betas)
    stages = {name: result(folder / name) for name in names}
    metrics = {name: read_lines(folder / name / "metrics.jsonl") for name in names}
    best_of_n, compared, samples = (result(folder / name)["figures"] for name in ("best-of-n", "comparison", "samples"))
    yardstick = next(point for point in best_of_n["reward-model"] if point["n"] == YARDSTICK)
    policies = {"sft": compared["policies"]["sft"], f"best-of-{YARDSTICK}": yardstick, **compared["policies"]}
    runs = [(stages[name]["beta"], Trajectory.of(metrics[name])) for name in betas]
    return Findings(stages, metrics, policies, compared["prompts"], best_of_n,
                    [Brake(beta, run, over_optimisation.turn(run, window(len(run.step)))) for beta, run in runs],
                    samples)


def window(steps: int) -> int:
    """How many of so many steps are averaged: WINDOW, or fewer where there are few."""
    return max(1, min(WINDOW, steps // 4))


def summary(found: Findings) -> dict[str, Any]:
    """The figures of `rlscratch rlhf --json`: the policies, their gains, and the turn of PPO without a brake."""
    gains, free = found.gains, found.brakes[0].turn
    policies = {f"{name.replace('-', '_')}_{figure.replace('reward', 'gold')}": one[figure]
                for name, one in found.policies.items()
                for figure in ("reward", "reward_error", "proxy", "proxy_error", "kl", "kl_error") if figure in one}
    accuracies = {f"{called}_accuracy{error}": found.stages[name]["held_out_accuracy" + error]
                  for called, name in (("reward_model", "reward-model"), ("few_rankings", "few-rankings"))
                  for error in ("", "_error")}
    return {
        **accuracies, **policies,
        "ppo_gain_of_best_of_16": _share(gains["ppo"], gains["best-of-16"]),
        "dpo_gain_of_ppo": _share(gains["dpo"], gains["ppo"]),
        "turned": free["turned"], **{f"turn_{name}": value for name, value in free.items() if name != "turned"}}


def text(found: Findings) -> str:
    """The findings as plain text."""
    accuracies = (f"{one['rankings']:,}: {one['held_out_accuracy']:.1%} +- {one['held_out_accuracy_error']:.1%}"
                  for one in (found.stages[name] for name in ("reward-model", "few-rankings")))
    policies = table(("policy", "gold", "proxy", "KL", "tokens"), (
        (NAMES[name], *(_with_error(one, figure) for figure in ("reward", "proxy", "kl", "answer_length")))
        for name, one in found.policies.items()))
    brakes = table(("beta", "largest gold", "at step", "at KL", "gold at the end", "KL at the end", "proxy since"), (
        (f"{beta:g}", f"{t['gold']:.2f}", f"{t['step']:g}", f"{t['kl']:.2f}", f"{t['end_gold']:.2f}",
         f"{t['end_kl']:.2f}", f"{t['rise']:+.2f}") for beta, _, t in found.brakes))
    return (f"held-out pairs that a reward model puts in order, by the rankings it saw: {', '.join(accuracies)}\n\n"
            f"{policies}\nmeans over {found.prompts} held-out prompts, +- the standard error\n\n"
            f"PPO on the reward model of few rankings:\n\n{brakes}\n")


def _with_error(one: dict[str, float], figure: str) -> str:
    error = one.get(f"{figure}_error")
    return f"{round(one[figure], 2) + 0:.2f}" + ("" if error is None else f" +- {error:.2f}")


def _share(part: float, whole: float) -> float | None:
    """part / whole, where there is something to share."""
    return part / whole if whole > 0 else None
