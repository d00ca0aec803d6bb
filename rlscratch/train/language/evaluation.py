"""How good a policy is: measured on prompts, never on what it was trained with if there are others.

    accuracy            share of right answers, sampled at the policy's temperature
    accuracy_greedy     the same at temperature 0
    reward              the mean of the task's own reward: where preferences are learned, the gold one
    proxy               the mean score of the reward model, if there is one
    kl                  KL(pi || ref) of an answer in nats: the mean of sum_t (logp_t - logp_ref_t) over sampled answers
    answer_length       tokens, the end included; and cut, the share of answers without an end
    measured_answers    how many answers the means are over
    listed_probability  of the answers that count exactly, where a task lists them

One answer of a policy that samples says little: 10 where the mean is 4.  So P prompts are asked R times each, about
MOST answers in all, and every mean stands beside its standard error, NAME_error: how far it moves when the same policy
is asked the same prompts again (formulas.standard_error, equation (2); where R = 1 (3), which is no smaller).

What the error does not contain: other prompts (but for R = 1), and another seed of the training, which often moves
a figure more than all of this.  It is 0 where all answers to a prompt are worth the same, and says then that anything
else is rarer than about 3/(P R).  Temperature 0 has one answer to a prompt and no error.

Where a task lists its answers (tasks.bandits), these are not left to chance: each counts with the probability that the
model gives it, and sampling has to answer for the others alone, which a model that writes letter by letter misspells
(formulas.standard_error, equations (5) and (6)).  On ice-cream-text every misspelling earns the same, so the reward is
exact and its error 0.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rlscratch.check import Array
from rlscratch.formulas import kl
from rlscratch.formulas.standard_error import listed_mean, mean_error
from rlscratch.tasks.bandits import table_of
from rlscratch.tasks.task import Task
from rlscratch.train.language.policy import Batch, Policy, Score, by_task, scored
from rlscratch.train.language.worlds import World
from rlscratch.transformer import Transformer

MOST = 1000             # answers of one measurement, to as many prompts or to fewer that are asked more than once


def measured(policy: Policy, task: Task, prompts: Sequence[str], rng: np.random.Generator, *,
             reference: Transformer | None = None, proxy: Score | None = None, greedy: bool = True) -> dict[str, float]:
    """The figures above for R answers to each prompt."""
    batch, R = policy.answer(repeated(prompts), rng), times(prompts)
    reference = None if reference is None else policy.with_model(reference)

    def columns(batch: Batch) -> dict[str, Array]:
        return {"accuracy": task.right(batch.prompts, batch.texts)} | _columns(batch, task, reference, proxy)

    listed = _listed(policy, task, prompts)
    figures = means(columns(batch), R) if listed is None else _stratified(columns, listed, batch, len(prompts))
    if greedy:
        figures["accuracy_greedy"] = task.accuracy(prompts, policy.answer(prompts, rng, 0).texts)
    return {**figures, "measured_answers": len(batch)}


def of_answers(batch: Batch, task: Task, reference: Policy | None = None, proxy: Score | None = None,
               ) -> dict[str, float]:
    """Reward, proxy, KL, length of answers that were sampled, to prompts drawn at random: R is 1."""
    return {**means(_columns(batch, task, reference, proxy)), "measured_answers": len(batch)}


def held_out(policy: Policy, world: World, **beside: Any) -> dict[str, float]:
    """`measured` on at most MOST of the world's held-out prompts, always the same, with the accuracies named so.

    A task without held-out prompts is measured on its training prompts, and the names say that (`named`).
    """
    figures = measured(policy, world.task, world.measured[:MOST], world.stream("measured"), **beside)
    return {named(bool(world.task.held_out), name) if name.startswith("accuracy") else name: figure
            for name, figure in figures.items()}


def teacher(world: World) -> dict[str, float]:
    """teacher_accuracy and its error: how often a teacher is right about the same prompts, asked as often.

    {} for a task without a teacher.
    """
    if world.task.teacher is None:
        return {}
    prompts = world.measured[:MOST]
    asked = repeated(prompts)
    said = world.task.demonstrations(asked, world.stream("teacher, measured"))
    return means({"teacher_accuracy": world.task.right(asked, said)}, times(prompts))


def named(held_out: bool, accuracy: str) -> str:
    """An accuracy is called held-out only where no prompt that it was measured on was trained on."""
    return ("held_out_" if held_out else "training_prompt_") + accuracy


# ---------------------------------------------------------------- means and their errors

def times(prompts: Sequence[str]) -> int:
    """R: how often each is asked."""
    return max(1, round(MOST / len(prompts))) if prompts else 1


def repeated(prompts: Sequence[str]) -> list[str]:
    """Each R times, one after the other."""
    return [prompt for prompt in prompts for _ in range(times(prompts))]


def means(columns: Mapping[str, Array], repeats: int = 1) -> dict[str, float]:
    """The mean of each column and its error: NAME and NAME_error.

    columns  (P R,)  the answers to a prompt side by side
    repeats  R

    A single answer has no error.

    >>> means({"reward": np.array([1.0, 3.0, 10.0, 10.0])}, 2)
    {'reward': 6.0, 'reward_error': 0.5}
    """
    figures: dict[str, float] = {}
    for name, column in columns.items():
        figures[name] = column.mean().item()
        if len(column) > 1:
            figures[f"{name}_error"] = mean_error(column.reshape(-1, repeats))
    return figures


def _columns(batch: Batch, task: Task, reference: Policy | None, proxy: Score | None) -> dict[str, Array]:
    """What is measured of each answer, (N,)."""
    found = {"reward": by_task(task)(batch)}
    if proxy is not None:
        found["proxy"] = scored(proxy, batch)
    if reference is not None:
        found["kl"] = kl.kl_k1(batch.logp, reference.logp(batch.rows)).sum(axis=1, dtype=float)
    return found | {"answer_length": batch.rows.mask.sum(axis=1), "cut": batch.cut.astype(float)}


# ---------------------------------------------------------------- answers that can be listed

def _listed(policy: Policy, task: Task, prompts: Sequence[str]) -> Batch | None:
    """Every answer that the task lists to every prompt; None where it lists none, or one that cannot be written."""
    answers = table_of(task).answers
    if not answers or len(prompts) * len(answers) > MOST:
        return None
    asked, said = [p for p in prompts for _ in answers], [*answers] * len(prompts)
    try:
        rows = policy.chat.rows(asked, said, policy.model.config.context)
    except ValueError:                                  # a character that the tokenizer lacks, or no room
        return None
    if rows.mask.sum(axis=1).max() > policy.max_new_tokens:
        return None
    return Batch(asked, said, rows, policy.logp(rows), np.zeros(len(said), bool))


def _stratified(columns: Callable[[Batch], dict[str, Array]], listed: Batch, drawn: Batch, prompts: int,
                ) -> dict[str, float]:
    """As `means`, with the listed answers at their probabilities and the drawn ones for all others."""
    known = set(_written(listed))
    others = drawn.at(np.array([i for i, row in enumerate(_written(drawn)) if row not in known], int))
    logp = listed.logp.sum(axis=1, dtype=float).reshape(prompts, -1)

    def mean(values: Array, sampled: Array) -> tuple[float, float]:
        return listed_mean(logp, values.reshape(logp.shape), sampled if len(sampled) else None)

    exact = columns(listed)
    sampled = columns(others) if len(others) else dict.fromkeys(exact, np.zeros(0))
    figures: dict[str, float] = {}
    for name, values in exact.items():
        figures[name], figures[f"{name}_error"] = mean(values, sampled[name])
    return figures | {"listed_probability": mean(np.ones(len(listed)), np.zeros(len(others)))[0]}


def _written(batch: Batch) -> list[tuple[int, ...]]:
    """Prompt and answer of each row as ids, without the padding: one text may be written in several ways."""
    rows = batch.rows
    return [tuple(ids[:length]) for ids, length in zip(rows.tokens.tolist(), rows.lengths, strict=True)]
