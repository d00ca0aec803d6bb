"""Several judges of the same answers: reward models as one, and who agrees with whom.

    Several    a policy whose answers to a prompt come from several models in turn, so that labellers see what each says
    weighed    the score of an answer is sum_c w_c s_c, over the criteria c, s_c the score of the reward model of c
    compared   pairs of answers to one prompt, of which one is worth more by the gold reward: the share that a judge
               puts in the same order

A reward model estimates gold / noise of its labellers and a constant that depends on the prompt alone.  Where the noise
is the same for all criteria the sum of scores is an estimate of the sum of gold rewards in the same unit, and the
constants change no comparison.

A reward model knows what it was shown.  A cured policy hardly ever lies about a stranger, so in rankings of its own
answers alone there are next to no lies, and a policy that is trained on such a model finds out that it minds none.
Answers from before the cure show lies.  But then all that is true of strangers is a refusal, and the model finds every
refusal honest; so each prompt is refused once, too.  And a policy that says one thing shows nobody what two are worth,
true or false: `further` asks it for a second one.

Leaves out: how people who differ are made one (weights are given here).
"""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.check import Array
from rlscratch.tasks import labellers
from rlscratch.train.language.feedback import written
from rlscratch.train.language.policy import Batch, Policy, Score, by_task, scored
from rlscratch.train.language.scoring import accuracy, accuracy_error
from rlscratch.train.language.worlds import World

ANSWERS = 4         # to a prompt


@dataclass(frozen=True, eq=False, kw_only=True)
class Several(Policy):
    """A policy, others with the same template, and a text, that answer in turn.

    others   may be none
    refusal  what is said to every prompt in the last turn
    further  (prompt, answer, generator) -> a prompt whose answer by the same model is put behind; None: it is left so
    """

    others: Sequence[Policy]
    refusal: str
    further: Callable[[str, str, np.random.Generator], str | None] = lambda prompt, answer, rng: None

    def answer(self, prompts: Sequence[str], rng: np.random.Generator, temperature: float | None = None) -> Batch:
        """Each answer by another of them than the one before."""
        who = [Policy(self.model, self.chat, self.max_new_tokens, self.temperature), *self.others]
        turns = np.arange(len(prompts)) % (len(who) + 1)
        found = [self._more(one, one.answer([prompts[i] for i in np.flatnonzero(turns == turn)], rng, temperature), rng,
                            temperature) for turn, one in enumerate(who) if turn < len(turns)]
        if len(turns) > len(who):
            found.append(written(self, [(prompts[i], self.refusal) for i in np.flatnonzero(turns == len(who))]))
        whole = reduce(lambda some, more: some.followed_by(more, self.chat.pad), found)
        return whole.at(np.argsort(np.argsort(turns, kind="stable")))

    def _more(self, one: Policy, batch: Batch, rng: np.random.Generator, temperature: float | None) -> Batch:
        """The same, those that are asked further with their second answers; texts that hold a mark are left alone."""
        asked = [self.further(*pair, rng) for pair in zip(batch.prompts, batch.texts, strict=True)]
        again = [i for i, prompt in enumerate(asked) if prompt is not None]
        if not again:
            return batch
        second = one.answer([asked[i] for i in again], rng, temperature).texts
        both = {i: f"{batch.texts[i]} {text}" for i, text in zip(again, second, strict=True)}
        both = {i: text for i, text in both.items() if not any(m in text for m in one.chat.tokenizer.special_tokens)}
        place = np.arange(len(batch))
        place[[*both]] = len(batch) + np.arange(len(both))
        longer = [(batch.prompts[i], text) for i, text in both.items()]
        return batch.followed_by(written(one, longer), self.chat.pad).at(place) if longer else batch


def weighed(models: Mapping[str, Score], weights: Mapping[str, float]) -> Score:
    """The weighted sum of scores.

    models   by criterion
    weights  by criterion, those that are not 0; each has a model
    """
    for criterion in weights:
        check.one_of(tuple(models), criterion=criterion)
    used = {criterion: weight for criterion, weight in weights.items() if weight}
    check.positive(count=len(used), called="the number of weights that are not 0")

    def score(batch: Batch) -> Array:
        return sum(weight * models[criterion](batch) for criterion, weight in used.items())

    return score


def compared(world: World, policy: Policy, models: Mapping[str, Score], rules: Callable[[str, str], float],
             noise: float) -> dict[str, Any]:
    """Accuracy against the world's gold reward, by judge, with its error; and measured_prompts.

    models  reward models by criterion, among them "rules"
    rules   (prompt, answer) -> what the constitution gives
    noise   of the labeller who ranks by the sum of the gold rewards
    """
    rng, prompts = world.stream("judges"), world.measured
    batch = policy.answer([prompt for prompt in prompts for _ in range(ANSWERS)], rng)
    gold = scored(by_task(world.task), batch).reshape(-1, ANSWERS)
    criteria = {name: model for name, model in models.items() if name != "rules"}
    said = {"a labeller": np.concatenate([_places(one, rng, noise) for one in gold]),
            "the constitution": np.array([rules(*pair) for pair in zip(batch.prompts, batch.texts, strict=True)]),
            "reward model of the constitution": models["rules"](batch),
            "reward models of the criteria, summed": weighed(criteria, dict.fromkeys(criteria, 1.0))(batch)}
    tables = {name: np.reshape(scores, gold.shape) for name, scores in said.items()}
    return {"judges": {name: {"accuracy": accuracy(table, gold), "accuracy_error": accuracy_error(table, gold)}
                       for name, table in tables.items()}, "measured_prompts": len(gold)}


def _places(gold: Array, rng: np.random.Generator, noise: float) -> Array:
    """What a labeller's ranking says of each answer: the larger the better."""
    places = np.empty(len(gold))
    places[labellers.rank(gold, rng, noise)] = np.arange(len(gold), 0.0, -1.0)
    return places
