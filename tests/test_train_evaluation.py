"""How good a policy is: the figures, by hand on answers that are given, and by enumeration on a policy with 21 of them.

By hand.  Three answers to the prompt a with gold rewards 1, 2 and 0, of 2, 3 and 3 tokens, the last one cut:

    reward 1        answer_length 8/3        cut 1/3        kl: the mean of the three sums of logp - logp_ref
"""
import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from rlscratch.formulas.kl import kl
from rlscratch.tasks.task import RewardError
from rlscratch.train.language import evaluation
from rlscratch.train.language.policy import Batch


def count(prompt, answer):
    return float(answer.count(prompt))


WORLD = tiny.world(count, 3, right=lambda prompt, answer: answer.count(prompt) > 1)


def given():
    """The worked sheet's answers, by a policy with 6 tokens."""
    actor, other = tiny.policy("ab", 3), tiny.policy("ab", 3, seed=1)
    end, answers = actor.chat.end, ([0], [0, 0], [1, 1, 1])
    rows = tiny.rows_of([(actor.chat.prompt("a"), [*ids, *[end] * (len(ids) < 3)]) for ids in answers], actor.chat.pad)
    return Batch(["a"] * 3, ["a", "aa", "bbb"], rows, actor.logp(rows), np.array([False, False, True])), actor, other


def test_the_worked_sheet():
    batch, actor, other = given()
    figures = evaluation.of_answers(batch, WORLD.task, other, lambda batch: [3.0, 4.0, 8.0])
    assert figures["reward"] == 1 and figures["proxy"] == 5
    assert_allclose([figures["answer_length"], figures["cut"]], [8 / 3, 1 / 3])
    sums = (actor.logp(batch.rows) - other.logp(batch.rows)).sum(axis=1)
    assert_allclose(figures["kl"], sum(sums) / 3, rtol=1e-12)
    assert abs(figures["kl"]) > .01


def test_what_was_not_asked_for_is_not_there():
    batch, _, _ = given()
    assert set(evaluation.of_answers(batch, WORLD.task)) == {"reward", "answer_length", "cut"}


def test_the_kl_is_that_of_whole_answers():
    """Each of the 21 answers weighted with its probability: the figure's expectation is KL(pi || ref), exactly."""
    actor, other = tiny.policy("a", 2), tiny.policy("a", 2, seed=1)
    rows = tiny.every_answer(actor, "a")
    p, q = (np.exp(one.logp(rows).sum(axis=1)) for one in (actor, other))
    assert_allclose([p.sum(), q.sum()], 1, rtol=1e-12)
    figures = [evaluation.of_answers(Batch(["a"], ["-"], rows.at(np.array([i])), actor.logp(rows.at(np.array([i]))),
                                        np.array([False])), WORLD.task, other)["kl"] for i in range(len(p))]
    assert_allclose(p @ figures, kl(p, q), rtol=1e-12)
    assert abs(kl(q, p) / kl(p, q) - 1) > 1e-3                                  # and not of ref from pi


def test_a_policy_is_no_distance_from_itself():
    actor = tiny.policy("abcd", 3, dtype=np.float64)
    figures = evaluation.measured(actor, WORLD.task, ["a"] * 30, np.random.default_rng(0), reference=actor.model)
    assert abs(figures["kl"]) < 1e-12


def test_sampled_and_greedy_answers_are_counted_each_for_itself():
    actor, prompts = tiny.policy("abcd", 3), ["a", "b", "c"] * 40
    figures = evaluation.measured(actor, WORLD.task, prompts, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    sampled, greedy = actor.answer(prompts, rng), actor.answer(prompts, rng, 0)
    assert figures["accuracy"] == np.mean([text.count(p) > 1 for p, text in zip(prompts, sampled.texts, strict=True)])
    assert figures["accuracy_greedy"] == np.mean([t.count(p) > 1 for p, t in zip(prompts, greedy.texts, strict=True)])
    assert figures["accuracy"] != figures["accuracy_greedy"]
    assert_allclose(figures["reward"], WORLD.task.rewards(prompts, sampled.texts).mean())
    assert "accuracy_greedy" not in evaluation.measured(actor, WORLD.task, prompts, rng, greedy=False)


def test_temperature_is_the_policy_s_and_so_is_the_reference_s():
    actor, other = tiny.policy("abcd", 3, temperature=.5), tiny.policy("abcd", 3, seed=1)
    figures = evaluation.measured(actor, WORLD.task, ["a"] * 20, np.random.default_rng(0), reference=other.model)
    batch = actor.answer(["a"] * 20, np.random.default_rng(0))
    expected = (batch.logp - actor.with_model(other.model).logp(batch.rows)).sum(axis=1).mean()
    assert_allclose(figures["kl"], expected, rtol=1e-12)
    assert abs(expected - (batch.logp - other.logp(batch.rows)).sum(axis=1).mean()) > 1e-2


def test_held_out_prompts_are_asked_and_the_same_each_time(monkeypatch):
    asked, measured = [], evaluation.measured
    monkeypatch.setattr(evaluation, "measured", lambda policy, task, prompts, *more, **beside: (
        asked.append(prompts) or measured(policy, task, prompts, *more, **beside)))
    actor = tiny.policy("abcd", 3)
    first, second = evaluation.held_out(actor, WORLD), evaluation.held_out(actor, WORLD)
    assert asked == [("d",), ("d",)] and first == second
    assert set(first) == {"held_out_accuracy", "held_out_accuracy_greedy", "reward", "answer_length", "cut"}
    monkeypatch.setattr(evaluation, "MOST", 2)
    everything = tiny.world(count, 3, ("a", "b", "c", "d"), ())                 # nothing is held out, so all are asked
    evaluation.held_out(actor, everything)
    assert asked[-1] == ("a", "b")


def test_bad_answers_are_named():
    actor = tiny.policy("abcd", 3)
    with pytest.raises(ValueError, match=r"prompts is \[\]; expected at least one"):
        evaluation.measured(actor, WORLD.task, [], np.random.default_rng(0))
    with pytest.raises(RewardError, match=r"the reward of the answer .* to the prompt 'a' is nan"):
        evaluation.measured(actor, WORLD.task, ["a"], np.random.default_rng(0), proxy=lambda batch: [np.nan])
