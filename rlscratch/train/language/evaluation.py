"""How good a policy is: measured on prompts, never on what it was trained with if there are others.

    accuracy          share of right answers, sampled at the policy's temperature
    accuracy_greedy   the same at temperature 0
    reward            the mean of the task's own reward: where preferences are learned, the gold one
    proxy             the mean score of the reward model, if there is one
    kl                KL(pi || ref) of an answer in nats: the mean of sum_t (logp_t - logp_ref_t) over sampled answers
    answer_length     tokens, the end included; and cut, the share of answers without an end
"""
from collections.abc import Sequence
from typing import Any

import numpy as np

from rlscratch.formulas import kl
from rlscratch.tasks.task import Task
from rlscratch.train.language.policy import Batch, Policy, Score, scored
from rlscratch.train.language.worlds import World
from rlscratch.transformer import Transformer

MOST = 1000             # prompts of one measurement


def measured(policy: Policy, task: Task, prompts: Sequence[str], rng: np.random.Generator, *,
             reference: Transformer | None = None, proxy: Score | None = None, greedy: bool = True) -> dict[str, float]:
    """The figures above for one answer to each prompt."""
    batch = policy.answer(prompts, rng)
    figures = {"accuracy": task.accuracy(prompts, batch.texts)}
    if greedy:
        figures["accuracy_greedy"] = task.accuracy(prompts, policy.answer(prompts, rng, 0).texts)
    return figures | of_answers(batch, task, None if reference is None else policy.with_model(reference), proxy)


def of_answers(batch: Batch, task: Task, reference: Policy | None = None, proxy: Score | None = None,
               ) -> dict[str, float]:
    """Reward, proxy, KL, length of answers that were sampled."""
    figures = {"reward": task.rewards(batch.prompts, batch.texts).mean().item()}
    if proxy is not None:
        figures["proxy"] = scored(proxy, batch).mean().item()
    if reference is not None:
        figures["kl"] = kl.kl_k1(batch.logp, reference.logp(batch.rows)).sum(axis=1).mean().item()
    return figures | {"answer_length": batch.tokens / len(batch), "cut": batch.cut.mean().item()}


def held_out(policy: Policy, world: World, **beside: Any) -> dict[str, float]:
    """`measured` on at most MOST of the world's held-out prompts, always the same, with the accuracies named so."""
    figures = measured(policy, world.task, world.measured[:MOST], world.stream("measured"), **beside)
    return {("held_out_" if name.startswith("accuracy") else "") + name: figure for name, figure in figures.items()}
