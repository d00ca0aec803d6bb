"""A task is prompts, a reward and a check; the documents' four prompts are tasks and MDPs of one step.

Document 002: "I like ice ___", cream 10, hockey 5, donkey -10.  Document 003: four answers about France,
expected reward .43 before and .815 after training; four about pasta, .42 and .70; four about programming.
As texts: a teacher that draws from the document's first probabilities earns 5/3 and .43; what is not listed
earns -10 and 0.
"""
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from rlscratch.documents.d003_distributions_to_policies import feedback
from rlscratch.formulas.distribution import expected_reward, expected_reward_grad
from rlscratch.tasks import bandits
from rlscratch.tasks.task import RewardError, Task, split
from strategies import logits_v
from teachers import shown


def task(reward=lambda prompt, answer: 1.0, check=lambda prompt, answer: True, **fields):
    return Task(**{"name": "t", "prompts": ("what?",), "reward": reward, "check": check, **fields})


# ---------------------------------------------------------------- rewards


def test_a_reward_is_a_float_and_a_check_a_bool():
    plain = task(lambda prompt, answer: np.int64(len(answer)), lambda prompt, answer: np.bool_(answer == prompt))
    assert plain.reward("what?", "that") == 4.0 and type(plain.reward("what?", "that")) is float
    assert plain.check("what?", "what?") is True and plain.check("what?", "that") is False
    assert plain.rewards(["what?", "what?"], ["a", "bcd"]).tolist() == [1.0, 3.0]
    assert plain.accuracy(["what?"] * 4, ["what?", "", "a", "b"]) == 0.25


def planted_error(prompt, answer):
    return 1 / 0


LINE = planted_error.__code__.co_firstlineno + 1
PLANTED = f"an error in {re.escape(__file__)}, line {LINE}, ZeroDivisionError: division by zero"


@pytest.mark.parametrize(("function", "found"), [
    (lambda p, a: float("nan"), "nan"), (lambda p, a: float("inf"), "inf"), (lambda p, a: None, "None"),
    (lambda p, a: "good", "'good'"), (lambda p, a: True, "True"), (lambda p, a: 1j, "1j"),
    (lambda p, a: np.float64("nan"), "nan"), (lambda p, a: [1.0], r"\[1.0\]"),
    (planted_error, PLANTED)])
def test_a_reward_that_is_no_finite_number_is_an_error_with_the_prompt_and_the_answer(function, found):
    message = rf"^the reward of the answer 'that' to the prompt 'what\?' is {found}; expected a finite number$"
    with pytest.raises(RewardError, match=message):
        task(function).reward("what?", "that")
    with pytest.raises(RewardError, match=message):
        task(function).rewards(["what?"], ["that"])


def test_the_cause_of_a_failed_reward_is_kept_and_wrapping_twice_says_it_once():
    broken = task(planted_error)
    with pytest.raises(RewardError) as caught:
        task(broken.reward).reward("what?", "that")
    assert isinstance(caught.value.__cause__, ZeroDivisionError) and str(caught.value).count("the reward of") == 1


@pytest.mark.parametrize("function", [lambda p, a: 1.0, lambda p, a: None, planted_error])
def test_a_check_that_is_neither_true_nor_false_is_an_error_too(function):
    with pytest.raises(RewardError, match=r"the check of the answer 'that' to the prompt .* expected True or False"):
        task(check=function).check("what?", "that")


def test_a_long_answer_is_shown_by_its_beginning():
    with pytest.raises(RewardError) as caught:
        task(lambda p, a: float("nan")).reward("p" * 5000, "a" * 5000)
    assert len(str(caught.value)) < 500 and "'aaaa" in str(caught.value) and "'pppp" in str(caught.value)


@pytest.mark.parametrize(("fields", "error", "message"), [
    ({"prompts": ()}, ValueError, r"prompts is \(\); expected at least one"),
    ({"prompts": "what?"}, TypeError, "prompts is 'what\\?'; expected a sequence of texts"),
    ({"prompts": ("a", "a")}, ValueError, r"prompts\[1\] is 'a'; expected texts that differ"),
    ({"prompts": ("a", 2)}, TypeError, r"prompts\[1\] is 2; expected a text"),
    ({"answers": ("a", "a")}, ValueError, r"answers\[1\] is 'a'; expected texts that differ"),
    ({"held_out": ("what?",)}, ValueError, "held_out is 'what\\?'; expected prompts that are not trained on"),
    ({"reward": 3}, TypeError, "reward is 3; expected a function of a prompt and an answer"),
    ({"check": None}, TypeError, "check is None; expected a function"),
    ({"teacher": "Ann"}, TypeError, "teacher is 'Ann'; expected a function of a prompt and a generator")])
def test_a_task_that_makes_no_sense_is_named(fields, error, message):
    with pytest.raises(error, match=message):
        task(**fields)


# ---------------------------------------------------------------- the teacher


def test_demonstrations_are_the_teacher_s_answers_in_order_from_one_generator():
    taught = task(teacher=lambda prompt, rng: np.str_(f"{prompt} {rng.integers(1000)}"), prompts=("a", "b"))
    rng = np.random.default_rng(0)
    expected = [f"{prompt} {rng.integers(1000)}" for prompt in "bab"]
    answers = taught.demonstrations(["b", "a", "b"], np.random.default_rng(0))
    assert answers == expected and {type(answer) for answer in answers} == {str}
    assert taught.demonstrations([], rng) == []


def test_a_task_without_a_teacher_has_nobody_who_shows_how():
    assert task().teacher is None
    with pytest.raises(ValueError, match=r"task.teacher is None; expected somebody who shows how; t has prompts"):
        task().demonstrations(["what?"], np.random.default_rng(0))


@pytest.mark.parametrize(("teacher", "found"), [
    (lambda prompt, rng: None, "None"), (lambda prompt, rng: 42, "42"), (lambda prompt, rng: b"that", "b'that'"),
    (lambda prompt, rng: ["that"], r"\['that'\]"), (planted_error, PLANTED),
    (lambda prompt: "that", "an error, TypeError: .*")])
def test_a_teacher_that_fails_or_says_no_text_is_an_error_with_the_prompt(teacher, found):
    rng = np.random.default_rng(0)
    message = rf"^the teacher's answer to the prompt 'what\?' is {found}; expected a text$"
    for taught in (task(teacher=teacher), task(teacher=task(teacher=teacher).teacher)):
        with pytest.raises(RewardError, match=message):
            taught.demonstrations(["what?"], rng)
        with pytest.raises(RewardError, match=message):
            taught.teacher("what?", rng)


# ---------------------------------------------------------------- held-out prompts


@given(st.lists(st.text(max_size=5), unique=True, max_size=30), st.integers(1, 8).map(lambda k: k / 8))
def test_a_split_keeps_every_prompt_once_and_does_not_look_at_the_others(prompts, share):
    sides = train, held_out = split(prompts, share)
    assert sorted(train + held_out) == sorted(prompts)
    assert sides == tuple(tuple(p for p in prompts if p in side) for side in sides)         # in order
    for prompt in prompts:
        assert split([prompt], share)[prompt in held_out] == (prompt,)
    assert set(held_out) <= set(split(prompts, min(1.0, share + 1 / 8))[1])                  # a larger share adds


def test_a_split_holds_out_about_its_share_and_all_of_them_at_1():
    prompts = [str(i) for i in range(10_000)]
    assert_allclose(len(split(prompts, 0.25)[1]), 2500, atol=150)
    assert split(prompts, 1.0) == ((), tuple(prompts))


def test_a_split_of_nothing_or_of_one_text_is_named():
    with pytest.raises(ValueError, match=r"share is 0; expected a number in \(0, 1\]"):
        split(["a"], 0)
    with pytest.raises(TypeError, match="prompts is 'ab'; expected a sequence of texts"):
        split("ab", 0.5)


# ---------------------------------------------------------------- the documents' bandits


@pytest.mark.parametrize(("name", "rewards", "before", "expected"), [
    ("ice-cream", (10, 5, -10), (1 / 3,) * 3, 5 / 3),
    ("capital-of-france", feedback.FRANCE_REWARDS, feedback.FRANCE_BEFORE, 0.43),
    ("pasta", feedback.PASTA_REWARDS, feedback.PASTA_BEFORE, 0.42),
    ("programming", feedback.PROGRAMMING, (0.25,) * 4, 0.45)])
def test_the_documents_answers_rewards_and_expected_rewards(name, rewards, before, expected):
    bandit = bandits.TASKS[name]
    mdp, policy = bandits.one_step(bandit), np.array([bandits.before(bandit)] * 2)
    assert bandit.rewards(bandit.prompts * len(rewards), bandit.answers).tolist() == list(rewards)
    assert_allclose(policy[0], before)
    assert_allclose([mdp.discounted_return(policy), mdp.discounted_return(policy, 1)], expected, atol=1e-12)
    assert mdp.solve()[1].tolist() == [max(rewards), 0]
    right = [a for a in bandit.answers if bandit.check(bandit.prompts[0], a)]
    assert right == [bandit.answers[int(np.argmax(rewards))]]


@given(logits_v(3, 3), logits_v(3, 3))
def test_of_two_prompts_the_mdp_is_the_mean_and_its_gradient_the_bandit_s(first, second):
    table = {("a", "x"): 1.0, ("a", "y"): -2.0, ("a", "z"): 0.5, ("b", "x"): 0.0, ("b", "y"): 4.0, ("b", "z"): 3.0}
    two = task(lambda p, a: table[p, a], prompts=("a", "b"), answers=("x", "y", "z"))
    logits, mdp = np.array([first, second, np.zeros(3)]), bandits.one_step(two)
    policy = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rewards = np.array(list(table.values())).reshape(2, 3)
    assert_allclose(mdp.discounted_return(policy), expected_reward(policy[:2], rewards, [0.5, 0.5]), atol=1e-12)
    grad = [expected_reward_grad(z, r) / 2 for z, r in zip(logits, rewards, strict=False)]
    assert_allclose(mdp.policy_gradient(logits), [*grad, np.zeros(3)], atol=1e-12)


def test_a_task_without_a_list_of_answers_is_no_bandit():
    with pytest.raises(ValueError, match=r"task.answers is \(\); expected a list of answers; t takes any text"):
        bandits.one_step(task())


def test_a_reward_that_breaks_is_noticed_when_the_mdp_is_made():
    rewards = {"x": 1.0, "y": -1.0, "z": float("nan")}
    with pytest.raises(RewardError, match=r"the reward of the answer 'z' to the prompt 'p' is nan"):
        bandits.one_step(task(lambda p, a: rewards[a], prompts=("p",), answers=tuple(rewards)))


# ---------------------------------------------------------------- the same as texts

TABLES = {"ice-cream-text": (10, 5, -10), "capital-of-france-text": feedback.FRANCE_REWARDS}
OTHER = ["", "Cream", " cream", "cream ", "creamcream", "paris", "Paris.", "Paris, of course", "I don't know."]


@pytest.mark.parametrize(("name", "expected"), [("ice-cream-text", 5 / 3), ("capital-of-france-text", 0.43)])
def test_a_perfect_imitator_of_the_teacher_earns_what_the_policy_before_training_does(name, expected):
    written, listed = bandits.TEXTS[name], bandits.TASKS[name.removesuffix("-text")]
    prompt, = written.prompts
    answers = shown(written.teacher, prompt)
    assert_allclose([answers[answer] for answer in listed.answers], bandits.before(listed))
    assert_allclose(bandits.before(written), bandits.before(listed))
    assert_allclose(sum(p * written.reward(prompt, answer) for answer, p in answers.items()), expected)
    assert set(written.demonstrations([prompt] * 99, np.random.default_rng(0))) == set(listed.answers)


@pytest.mark.parametrize("name", bandits.TEXTS)
def test_a_listed_answer_earns_what_the_table_says_and_any_other_text_the_lowest_of_it(name):
    written = bandits.TEXTS[name]
    listed, prompt = bandits.table_of(written), written.prompts[0]
    assert (written.name, written.prompts, written.answers, written.held_out) == (name, listed.prompts, (), ())
    assert written.rewards([prompt] * len(listed.answers), listed.answers).tolist() == list(TABLES[name])
    assert written.rewards([prompt] * len(OTHER), OTHER).tolist() == [min(TABLES[name])] * len(OTHER)
    right = [a for a in (*listed.answers, *OTHER) if written.check(prompt, a)]
    assert right == [listed.answers[int(np.argmax(TABLES[name]))]]


def test_the_table_of_a_task_that_has_one_is_its_own_and_texts_are_no_mdp():
    assert set(bandits.TEXTS) == set(TABLES) and not set(bandits.TEXTS) & set(bandits.TASKS)
    for bandit in bandits.TASKS.values():
        assert bandits.table_of(bandit) is bandit
    with pytest.raises(ValueError, match=r"task.answers is \(\); .*; ice-cream-text takes any text"):
        bandits.one_step(bandits.TEXTS["ice-cream-text"])
