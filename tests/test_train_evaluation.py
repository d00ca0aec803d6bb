"""How good a policy is: the figures, by hand on answers that are given, and by enumeration on a policy with 21 of them.

By hand.  Three answers to the prompt a with gold rewards 1, 2 and 0, of 2, 3 and 3 tokens, the last one cut:

    reward 1        answer_length 8/3        cut 1/3        kl: the mean of the three sums of logp - logp_ref
    the error of the reward: the variance of 1, 2, 0 is 1, so sqrt(1/3)
"""
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import tiny
from rlscratch.formulas.kl import kl
from rlscratch.tasks.task import RewardError
from rlscratch.train.language import command, evaluation, sft
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
    assert figures["reward"] == 1 and figures["proxy"] == 5 and figures["measured_answers"] == 3
    assert_allclose([figures["reward_error"], figures["proxy_error"]], [math.sqrt(1 / 3), math.sqrt(7 / 3)])
    assert_allclose([figures["answer_length"], figures["cut"]], [8 / 3, 1 / 3])
    sums = (actor.logp(batch.rows) - other.logp(batch.rows)).sum(axis=1)
    assert_allclose(figures["kl"], sum(sums) / 3, rtol=1e-12)
    assert abs(figures["kl"]) > .01


def test_what_was_not_asked_for_is_not_there():
    batch, _, _ = given()
    assert set(evaluation.of_answers(batch, WORLD.task)) == {
        "reward", "reward_error", "answer_length", "answer_length_error", "cut", "cut_error", "measured_answers"}


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
    figures = evaluation.measured(actor, WORLD.task, ["a", "b"], np.random.default_rng(0), reference=actor.model)
    assert abs(figures["kl"]) < 1e-12 and figures["kl_error"] < 1e-12


def test_sampled_and_greedy_answers_are_counted_each_for_itself(monkeypatch):
    monkeypatch.setattr(evaluation, "MOST", 120)
    actor, prompts, rng = tiny.policy("abcd", 3), ["a", "b", "c"], np.random.default_rng(0)
    figures = evaluation.measured(actor, WORLD.task, prompts, np.random.default_rng(0))
    asked = [prompt for prompt in prompts for _ in range(40)]
    sampled, greedy = actor.answer(asked, rng), actor.answer(prompts, rng, 0)
    assert figures["accuracy"] == np.mean([text.count(p) > 1 for p, text in zip(asked, sampled.texts, strict=True)])
    assert figures["accuracy_greedy"] == np.mean([t.count(p) > 1 for p, t in zip(prompts, greedy.texts, strict=True)])
    assert figures["accuracy"] != figures["accuracy_greedy"] and figures["measured_answers"] == 120
    assert_allclose(figures["reward"], WORLD.task.rewards(asked, sampled.texts).mean())
    assert "accuracy_greedy_error" not in figures
    assert "accuracy_greedy" not in evaluation.measured(actor, WORLD.task, prompts, rng, greedy=False)


def test_temperature_is_the_policy_s_and_so_is_the_reference_s():
    actor, other = tiny.policy("abcd", 3, temperature=.5), tiny.policy("abcd", 3, seed=1)
    figures = evaluation.measured(actor, WORLD.task, ["a"], np.random.default_rng(0), reference=other.model)
    batch = actor.answer(["a"] * 1000, np.random.default_rng(0))
    expected = (batch.logp - actor.with_model(other.model).logp(batch.rows)).sum(axis=1).mean()
    assert_allclose(figures["kl"], expected, rtol=1e-12)
    assert abs(expected - (batch.logp - other.logp(batch.rows)).sum(axis=1).mean()) > 1e-2


# ---------------------------------------------------------------- how sure a mean is

def test_the_figures_of_one_prompt_agree_with_the_exact_ones_within_their_errors():
    """21 answers, listed: what each figure is expected to be and how far a mean of 1,000 is from it, exactly."""
    actor, other = tiny.policy("a", 2), tiny.policy("a", 2, seed=1)
    rows = tiny.every_answer(actor, "a")
    logp, ref = (one.logp(rows).sum(axis=1) for one in (actor, other))
    p = np.exp(logp)
    texts = [actor.chat.text(ids[mask == 1].tolist()) for ids, mask in zip(rows.tokens, rows.mask, strict=True)]
    worth = {"reward": WORLD.task.rewards(["a"] * len(p), texts), "kl": logp - ref,
             "accuracy": WORLD.task.right(["a"] * len(p), texts)}
    figures = evaluation.measured(actor, WORLD.task, ["a"], np.random.default_rng(0), reference=other.model)
    for name, column in worth.items():
        mean = p @ column
        error = math.sqrt(p @ (column - mean) ** 2 / 1000)
        assert 0 < error == pytest.approx(figures[f"{name}_error"], rel=.15)
        assert abs(figures[name] - mean) < 3 * error


def test_listed_answers_count_with_their_probability_and_sampling_is_left_the_others(monkeypatch):
    """21 answers, of which a task lists two: one prompt, so the exact mean is p @ worth."""
    actor, world = tiny.policy("a", 2), tiny.world(count, 2, ("a",), ())
    rows = tiny.every_answer(actor, "a")
    p = np.exp(actor.logp(rows).sum(axis=1))
    written = [ids[mask == 1].tolist() for ids, mask in zip(rows.tokens, rows.mask, strict=True)]
    told = [actor.chat.text(ids) for ids in written]
    here = ("", "a")
    worth = np.where([text in here for text in told], world.task.rewards(["a"] * len(p), told), -3.0)
    task = replace(world.task, answers=here, reward=lambda prompt, answer: (
        count(prompt, answer) if answer in here else -3.0))
    figures = evaluation.measured(actor, task, ["a"], np.random.default_rng(0))
    assert figures["reward"] == pytest.approx(p @ worth, abs=1e-6) and figures["reward_error"] == 0
    assert figures["listed_probability"] == pytest.approx(
        sum(p[written.index(actor.chat.answer(text))] for text in here))
    plain = evaluation.measured(actor, replace(task, answers=()), ["a"], np.random.default_rng(0))
    assert "listed_probability" not in plain and abs(plain["reward"] - p @ worth) < 3 * plain["reward_error"]
    assert plain == evaluation.measured(actor, replace(task, answers=("bbbb",)), ["a"], np.random.default_rng(0))


def test_a_single_answer_has_no_error():
    assert evaluation.means({"x": np.array([3.0])}) == {"x": 3}


@pytest.mark.parametrize(("prompts", "times"), [(1, 1000), (2, 500), (3, 333), (600, 2), (700, 1), (5000, 1)])
def test_few_prompts_are_asked_more_often(prompts, times):
    assert evaluation.times(["a"] * prompts) == times
    assert evaluation.repeated(["a", "b"][:prompts])[-1] == ("a" if prompts == 1 else "b")


# ---------------------------------------------------------------- what is called held-out

def test_held_out_prompts_are_asked_and_the_same_each_time(monkeypatch):
    asked, measured = [], evaluation.measured
    monkeypatch.setattr(evaluation, "measured", lambda policy, task, prompts, *more, **beside: (
        asked.append(prompts) or measured(policy, task, prompts, *more, **beside)))
    actor = tiny.policy("abcd", 3)
    first, second = evaluation.held_out(actor, WORLD), evaluation.held_out(actor, WORLD)
    assert asked == [("d",), ("d",)] and first == second
    figures = {"held_out_accuracy", "reward", "answer_length", "cut"}
    assert set(first) == {*figures, *(f"{name}_error" for name in figures), "held_out_accuracy_greedy",
                          "measured_answers"}
    monkeypatch.setattr(evaluation, "MOST", 2)
    everything = tiny.world(count, 3, ("a", "b", "c", "d"), ())                 # nothing is held out, so all are asked
    trained_on = evaluation.held_out(actor, everything)
    assert asked[-1] == ("a", "b")
    assert not [name for name in trained_on if "held_out" in name]
    assert {"training_prompt_accuracy", "training_prompt_accuracy_error", "training_prompt_accuracy_greedy"} <= {
        *trained_on}


@pytest.mark.parametrize("held_out", [("d",), ()])
def test_the_teacher_is_asked_the_same_prompts_as_often(held_out):
    world = tiny.world(count, 3, held_out=held_out, right=lambda prompt, answer: len(answer) == 1)
    found = evaluation.teacher(world)
    assert set(found) == {"teacher_accuracy", "teacher_accuracy_error"}
    assert abs(found["teacher_accuracy"] - .5) < 3 * math.sqrt(.25 / 1000)      # of one or two letters, equally often
    assert found["teacher_accuracy_error"] == pytest.approx(math.sqrt(.25 / 1000), rel=.05)
    assert evaluation.teacher(replace(world, task=replace(world.task, teacher=None))) == {}


@pytest.mark.compiled_only("counts answers, whichever backend gives them")
def test_a_run_on_one_prompt_says_what_its_policy_earns_on_average(tmp_path, capsys):
    """Who imitates on ice-cream-text says cream, hockey or donkey, about equally often: one answer earns 10 or -10.

    Each other text earns -10, so what the listed ones leave needs no sampling either.
    """
    run = command.train(sft.METHOD, command.arguments(sft.METHOD, task="ice-cream-text", quiet=True, batch=16,
                                                      run_dir=str(tmp_path / "run")))
    result = json.loads((run.folder / "result.json").read_text("utf-8"))
    assert result["measured_answers"] == 1000 and "held_out_accuracy" not in result
    assert .2 < result["training_prompt_accuracy"] < .4 and abs(result["teacher_accuracy"] - 1 / 3) < .05
    assert -1 < result["reward"] < 1.67 and .8 < result["listed_probability"] < 1
    assert result["reward_error"] == result["training_prompt_accuracy_error"] == 0 < result["answer_length_error"]
    told = capsys.readouterr().out
    assert f"{result['reward']:.6g} +- 0 (1000 answers)" in told
    assert "reward error" not in told and "held out" not in told


def test_bad_answers_are_named():
    actor = tiny.policy("abcd", 3)
    with pytest.raises(ValueError, match=r"prompts is \[\]; expected at least one"):
        evaluation.measured(actor, WORLD.task, [], np.random.default_rng(0))
    with pytest.raises(RewardError, match=r"the reward of the answer .* to the prompt 'a' is nan"):
        evaluation.measured(actor, WORLD.task, ["a"], np.random.default_rng(0),
                            proxy=lambda batch: [np.nan] * len(batch))
