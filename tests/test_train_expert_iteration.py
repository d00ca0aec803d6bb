"""Expert iteration: what is kept of a group, and one step of imitation.

Of rewards 0, 3, 1, 2, whose mean is 1.5, the best three are 3, 2, 1, of which two are above the mean.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tiny
from rlscratch.autograd import functions as f
from rlscratch.formulas import grpo
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW
from rlscratch.tasks.task import RewardError
from rlscratch.train.language import expert_iteration, policy
from rlscratch.train.language import grpo as grpo_method
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import by_task
from rlscratch.train.language.scoring import RewardModel
from strategies import arrays

# ---------------------------------------------------------------- what is kept

groups = st.tuples(st.integers(1, 4), st.integers(2, 5)).flatmap(arrays)


@pytest.mark.parametrize(("rewards", "kept", "places"), [
    ([[0, 3, 1, 2]], 3, [1, 3]), ([[0, 3, 1, 2]], 1, [1]), ([[1, 1, 0]], 1, [0]), ([[1, 1, 0]], 3, [0, 1]),
    ([[.1, .1, .1]], 3, []), ([[.7, .7, .7]], 3, []), ([[0, 1], [2, 2], [5, 4]], 2, [1, 4])])
def test_what_is_kept_by_hand(rewards, kept, places):
    """The mean of three .7 is less than .7 in floating point, and that of three .1 is more than .1."""
    assert expert_iteration.better(rewards, kept).tolist() == places


@given(groups, st.integers(1, 6))
def test_what_is_kept_is_the_best_of_each_group_and_above_its_mean(rewards, kept):
    P, G = rewards.shape
    places = expert_iteration.better(rewards, kept)
    assert len(set(places.tolist())) == len(places)
    for p in range(P):
        ours, group = places[places // G == p] % G, rewards[p]
        above = [g for g in range(G) if group[g] * G > group.sum()]             # on the grid, sums are exact
        assert len(ours) == min(kept, len(above)) and set(ours.tolist()) <= set(above)
        assert sorted(group[ours], reverse=True) == sorted(group[above], reverse=True)[:kept]
        if len(ours):
            assert ours[0] == group.argmax()


@pytest.mark.parametrize(("rewards", "kept", "message"), [
    ([1.0, 2.0], 1, r"the shape of rewards is \(2,\); expected 2 dimensions"),
    ([[1.0, np.nan]], 1, r"rewards\[0, 1\] is nan"), ([[1.0, 2.0]], 0, "kept is 0; expected an integer >= 1")])
def test_groups_that_are_none_are_refused(rewards, kept, message):
    with pytest.raises(ValueError, match=message):
        expert_iteration.better(rewards, kept)


# ---------------------------------------------------------------- one step

def count(batch):
    return [float(text.count("a")) for text in batch.texts]


def stepped(actor, score, groups=3, group=5, kept=1, seed=0):
    return tiny.gradient(actor, lambda subject, optimizer: expert_iteration.step(
        subject, actor.model, optimizer, score, ["a", "b"], np.random.default_rng(seed), groups=groups, group=group,
        kept=kept))


def drawn(actor, groups=3, group=5, seed=0):
    """The answers of that step."""
    return grpo_method.collect(actor, count, ["a", "b"], np.random.default_rng(seed), groups, group)[:2]


@pytest.mark.parametrize("at_once", [512, 2])
@pytest.mark.parametrize("temperature", [1.0, .75])
@pytest.mark.parametrize("kept", [1, 5])
def test_the_gradient_of_a_step_is_the_cross_entropy_s_on_what_is_kept(kept, temperature, at_once, monkeypatch):
    monkeypatch.setattr(policy, "AT_ONCE", at_once)
    actor = tiny.policy("ab", 5, temperature=temperature)
    ours, figures = stepped(actor, count, kept=kept)
    batch, rewards = drawn(actor)
    chosen = batch.at(expert_iteration.better(rewards, kept))

    def loss(model):
        mask = chosen.rows.mask
        return -f.sum(model.logp(chosen.rows.tokens, temperature) * mask) / mask.sum()

    theirs = tiny.by_autograd(actor.model, loss)
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12)
    assert_allclose(figures["loss"], loss(actor.model).item(), rtol=1e-12)
    assert figures["kept"] == len(chosen) / 15 and figures["tokens"] == batch.tokens
    assert figures["reward"] == rewards.mean() and figures["ratio_deviation"] < 1e-12 and abs(figures["kl"]) < 1e-12
    assert figures["cut"] == batch.cut.mean() and figures["answer_length"] == batch.tokens / 15


def test_with_rewards_of_0_and_1_and_all_kept_it_is_reinforce_without_the_failures():
    def right(batch):
        return [float("a" in text) for text in batch.texts]

    actor = tiny.policy("ab", 5)
    ours, _ = stepped(actor, right, kept=5)
    batch, _ = drawn(actor)
    rewards = np.reshape(right(batch), (3, 5))
    rewards[rewards.min(axis=1) == 1] = 0                                       # a flat group has nothing to say
    assert 0 < rewards.sum() < rewards.size
    mask = batch.rows.mask * rewards.reshape(-1, 1)
    weight = token_mean(mask)
    theirs = tiny.by_autograd(actor.model, lambda model: f.sum(
        model.logp(batch.rows.tokens) * grpo.grpo_grad(np.zeros(mask.shape), rewards.reshape(-1, 1), weight)))
    for name in theirs:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-12)


def test_flat_groups_move_nothing():
    world = tiny.world(lambda prompt, answer: .1)
    actor, before = tiny.beginner(world), tiny.beginner(world)
    optimizer = AdamW(actor.model.parameters(), .1, weight_decay=.1)
    figures = expert_iteration.step(actor, before.model, optimizer, by_task(world.task), world.task.prompts,
                          np.random.default_rng(0), groups=2, group=3)
    assert figures["kept"] == figures["loss"] == figures["gradient_norm"] == figures["ratio_deviation"] == 0
    assert figures["flat_groups"] == 1 and figures["reward"] == pytest.approx(.1)
    for name, parameter in actor.model.parameters().items():
        assert_array_equal(parameter.data, before.model.parameters()[name].data)


@pytest.mark.parametrize(("changes", "message"), [
    ({"group": 1}, "group is 1; expected an integer >= 2"), ({"groups": 0}, "groups is 0; expected an integer >= 1"),
    ({"kept": 0}, "kept is 0; expected an integer >= 1")])
def test_a_step_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        stepped(tiny.policy("ab", 3), count, **changes)


def test_a_reward_that_is_no_number_stops_before_anything_changes():
    actor = tiny.policy("ab", 3)
    before = {name: p.data.copy() for name, p in actor.model.parameters().items()}
    with pytest.raises(RewardError, match=r"the reward of the answer .* to the prompt .* is nan"):
        expert_iteration.step(actor, actor.model, AdamW(actor.model.parameters(), .1),
                              lambda batch: [np.nan] * len(batch), ["a"], np.random.default_rng(0), groups=1, group=2)
    assert all((before[name] == p.data).all() for name, p in actor.model.parameters().items())


# ---------------------------------------------------------------- the method

def same_letter(prompt, answer):
    return float(answer.count(prompt))


WORLD = tiny.world(same_letter, 3, ("a", "b", "c", "d"), (), right=lambda prompt, answer: answer.count(prompt) > 1)
SMALL = {"groups": 4, "group": 8, "lr": 1e-2}


def test_it_learns_to_answer_better():
    learner, history = tiny.trained(expert_iteration.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 120, **SMALL)
    assert history[0]["reward"] < .6 and np.mean([figures["reward"] for figures in history[-10:]]) > 1.6
    assert abs(history[0]["kl"]) < 1e-6 and history[-1]["kl"] > 1
    report = learner.report()
    assert report["training_prompt_accuracy_greedy"] >= .75 and report["kl"] > 1


@pytest.mark.compiled_only("it learns from the best of a group on NumPy, too")
def test_it_learns_from_several_answers_of_a_group_too():
    _, history = tiny.trained(expert_iteration.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 60, **SMALL, kept=4)
    assert np.mean([figures["reward"] for figures in history[-10:]]) > 2 * history[0]["reward"]
    assert max(figures["kept"] for figures in history) > 1 / 8


def test_it_has_the_budget_of_grpo():
    ours, theirs = ({choice.name: choice.of_text().defaults for choice in method.choices}
                    for method in (expert_iteration.METHOD, grpo_method.METHOD))
    assert all(ours[name] == theirs[name] for name in ("groups", "group", "temperature"))
    assert expert_iteration.METHOD.steps == grpo_method.METHOD.steps
    assert expert_iteration.METHOD.needs == grpo_method.METHOD.needs
    _, (here,) = tiny.trained(expert_iteration.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL)
    _, (there,) = tiny.trained(grpo_method.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL, variant="document")
    both = set(here) & set(there)
    assert both >= {"reward", "kl", "flat_groups", "cut", "answer_length", "tokens", "gradient_norm", "ratio_deviation"}


@pytest.mark.compiled_only("it learns from the gold reward on NumPy, too")
def test_with_a_reward_model_it_learns_from_that_and_shows_gold_beside_it():
    judge, actor = tiny.beginner(WORLD, seed=1, scale=4.0), tiny.beginner(WORLD)
    proxy = RewardModel(policy.copied(judge.model, np.random.default_rng(1)), judge.chat)
    learner, history = tiny.trained(expert_iteration.METHOD, WORLD, Stages(actor, proxy), 30, **SMALL)
    assert history[-1]["reward"] > history[0]["reward"]
    assert all(0 <= figures["gold"] <= 3 for figures in history)
    batch = learner.policy.answer(["a"] * 40, np.random.default_rng(0))
    assert proxy(batch).mean() > proxy(actor.answer(["a"] * 40, np.random.default_rng(0))).mean()
    assert "proxy" in learner.report()


def test_the_policy_that_it_begins_with_is_left_as_it_was():
    actor, fresh = tiny.beginner(WORLD), tiny.beginner(WORLD)
    learner, _ = tiny.trained(expert_iteration.METHOD, WORLD, Stages(actor), 3, **SMALL)
    for name, parameter in actor.model.parameters().items():
        assert_array_equal(parameter.data, fresh.model.parameters()[name].data)
    assert (learner.model.parameters()["wte.weight"].data != actor.model.parameters()["wte.weight"].data).any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"group": 1}, "group is 1; expected an integer >= 2"), ({"kept": 0}, "kept is 0; expected an integer >= 1"),
    ({"temperature": 0.0}, "temperature is 0.0; expected a finite number > 0"),
    ({"variant": "grpo"}, "setting is 'variant'; expected one of 'lr', 'kept'")])
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny.trained(expert_iteration.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL | settings)
