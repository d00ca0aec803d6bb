"""Best-of-N, how far it is from its policy, and expert iteration.

By hand.  Two answers, each with probability 1/2 and scores 0 and 1: the best of 2 is the first one with 1/4, so

    KL = 1/4 log(1/2) + 3/4 log(3/2) = .1308        log 2 - 1/2 = .1931, an upper bound

Of rewards 0, 3, 1, 2, whose mean is 1.5, the best three are 3, 2, 1, of which two are above the mean.
"""
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tiny
from rlscratch.autograd import functions as f
from rlscratch.formulas import distribution, grpo
from rlscratch.formulas.kl import kl
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW
from rlscratch.tasks.task import RewardError
from rlscratch.train.language import expert, policy
from rlscratch.train.language import grpo as grpo_method
from rlscratch.train.language.chat import Rows
from rlscratch.train.language.method import Stages
from rlscratch.train.language.policy import Batch, by_task
from rlscratch.train.language.scoring import RewardModel
from strategies import arrays, probs_of

# ---------------------------------------------------------------- best of N


def answering(texts):
    """A policy that answers with these texts, in turn, whatever the prompts are."""
    def answer(prompts, rng):
        assert len(prompts) == len(texts)
        rows = Rows(np.arange(len(texts))[:, None], np.ones((len(texts), 1)), np.ones(len(texts), int))
        return Batch(prompts, list(texts), rows, np.zeros((len(texts), 1)), np.zeros(len(texts), bool))
    return SimpleNamespace(answer=answer)


def best_of_all_draws(p, scores, n):
    """The distribution of the best of n, (Y,): best_of itself, on each of the Y^n draws, with its probability."""
    draws = list(itertools.product(range(len(p)), repeat=n))
    batch, found = expert.best_of(answering([str(y) for draw in draws for y in draw]),
                                  lambda batch: [scores[int(text)] for text in batch.texts],
                                  [str(draw) for draw in draws], n, np.random.default_rng(0))
    q = np.zeros(len(p))
    for draw, text, score in zip(draws, batch.texts, found, strict=True):
        assert score == scores[int(text)] == max(scores[y] for y in draw)
        q[int(text)] += np.prod([p[y] for y in draw])
    return q


def distributions(scores):
    """p, scores, n with up to four answers."""
    return st.integers(2, 4).flatmap(lambda Y: st.tuples(probs_of(Y), scores(Y), st.integers(1, 4)))


@given(distributions(lambda Y: st.permutations(range(Y)).map(lambda order: np.array(order, float))))
@example((np.array([.5, .5]), np.array([0.0, 1.0]), 2))
def test_without_ties_the_best_of_n_is_equation_1_and_no_farther_than_equation_2(case):
    p, scores, n = case
    q = best_of_all_draws(p, scores, n)
    at_most = np.array([p[scores <= s].sum() for s in scores])
    below = np.array([p[scores < s].sum() for s in scores])
    assert_allclose(q, at_most ** n - below ** n, rtol=1e-12, atol=1e-14)
    assert_allclose(q @ scores, distribution.best_of_n(p, scores, n), rtol=1e-12, atol=1e-14)
    assert kl(q, p) <= expert.divergence(n) + 1e-14
    assert n == 1 or kl(q, p) < expert.divergence(n)


@given(distributions(lambda Y: arrays((Y,), st.sampled_from([0.0, 1.0]))))
@example((np.array([.5, .25, .25]), np.array([1.0, 0.0, 1.0]), 3))
@example((np.array([.5, .5]), np.array([1.0, 1.0]), 4))                         # one score for all: nothing is chosen
def test_with_ties_equation_2_is_an_upper_bound(case):
    p, scores, n = case
    q = best_of_all_draws(p, scores, n)
    for score in (0.0, 1.0):                                                    # equals keep their proportions
        same = scores == score
        if same.any():
            assert_allclose(q[same], q[same].sum() * p[same] / p[same].sum(), rtol=1e-12, atol=1e-14)
    assert kl(q, p) <= expert.divergence(n) + 1e-14


def test_the_divergence_by_hand():
    q = best_of_all_draws([.5, .5], [0.0, 1.0], 2)
    assert q.tolist() == [.25, .75]
    assert round(kl(q, [.5, .5]).item(), 4) == .1308 and round(expert.divergence(2), 4) == .1931
    assert expert.divergence(1) == 0


@pytest.mark.parametrize("n", [2, 4, 16])
def test_where_no_answer_comes_twice_the_bound_is_reached(n):
    def exact(Y):
        F = np.arange(Y + 1) / Y
        return kl(np.diff(F ** n), np.full(Y, 1 / Y)).item()

    gaps = [expert.divergence(n) - exact(Y) for Y in (10, 100, 1000, 10_000)]
    assert all(before > 5 * after > 0 for before, after in itertools.pairwise(gaps)) and gaps[-1] < 1e-3
    u = (np.arange(10 ** 6) + .5) / 10 ** 6                                     # the integral of equation (2)
    assert_allclose(np.mean(n * u ** (n - 1) * np.log(n * u ** (n - 1))), expert.divergence(n), rtol=1e-9)


def test_the_first_among_equals_is_taken():
    texts = ["a", "b", "c", "d", "e", "f"]
    batch, scores = expert.best_of(answering(texts), lambda batch: [1.0, 2.0, 2.0, 0.0, 0.0, 0.0], ["p", "q"], 3,
                                   np.random.default_rng(0))
    assert batch.texts == ["b", "d"] and batch.prompts == ["p", "q"] and scores.tolist() == [2.0, 0.0]


def test_the_best_of_a_real_policy_s_answers_comes_with_its_rows():
    def by_count(batch):
        return [text.count("a") - len(text) / 8 for text in batch.texts]

    actor, prompts = tiny.policy("ab", 5), ["a", "b", "a"]
    best, scores = expert.best_of(actor, by_count, prompts, 6, np.random.default_rng(0))
    every = actor.answer([prompt for prompt in prompts for _ in range(6)], np.random.default_rng(0))
    assert_array_equal(scores, np.reshape(by_count(every), (3, 6)).max(axis=1))
    assert best.prompts == prompts and by_count(best) == scores.tolist()
    for i in range(3):
        j = 6 * i + int(np.argmax(np.reshape(by_count(every), (3, 6))[i]))
        length = best.rows.lengths[i]
        assert best.texts[i] == every.texts[j] and length == every.rows.lengths[j] and best.cut[i] == every.cut[j]
        assert_array_equal(best.rows.tokens[i, :length], every.rows.tokens[j, :length])
        assert_array_equal(best.logp[i, :length], every.logp[j, :length])
    assert best.rows.tokens.shape[1] == best.rows.lengths.max() == best.logp.shape[1]


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: expert.divergence(0), ValueError, "n is 0; expected an integer >= 1"),
    (lambda: expert.divergence(2.0), TypeError, "n is 2.0; expected an integer >= 1"),
    (lambda: expert.best_of(answering([]), len, ["p"], 0, None), ValueError, "n is 0; expected an integer >= 1"),
    (lambda: expert.best_of(tiny.policy(), len, [], 2, np.random.default_rng(0)), ValueError, r"prompts is \[\]"),
    (lambda: expert.best_of(answering(["a", "b"]), lambda batch: [1.0, np.nan], ["p"], 2, None), RewardError,
     "the reward of the answer 'b' to the prompt 'p' is nan"),
    (lambda: expert.best_of(answering(["a", "b"]), lambda batch: [1.0], ["p"], 2, None), RewardError,
     r"the rewards have the shape \(1,\); expected the shape \(2,\)"),
])
def test_best_of_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- what is kept

groups = st.tuples(st.integers(1, 4), st.integers(2, 5)).flatmap(arrays)


@pytest.mark.parametrize(("rewards", "kept", "places"), [
    ([[0, 3, 1, 2]], 3, [1, 3]), ([[0, 3, 1, 2]], 1, [1]), ([[1, 1, 0]], 1, [0]), ([[1, 1, 0]], 3, [0, 1]),
    ([[.1, .1, .1]], 3, []), ([[.7, .7, .7]], 3, []), ([[0, 1], [2, 2], [5, 4]], 2, [1, 4])])
def test_what_is_kept_by_hand(rewards, kept, places):
    """The mean of three .7 is less than .7 in floating point, and that of three .1 is more than .1."""
    assert expert.better(rewards, kept).tolist() == places


@given(groups, st.integers(1, 6))
def test_what_is_kept_is_the_best_of_each_group_and_above_its_mean(rewards, kept):
    P, G = rewards.shape
    places = expert.better(rewards, kept)
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
        expert.better(rewards, kept)


# ---------------------------------------------------------------- one step

def count(batch):
    return [float(text.count("a")) for text in batch.texts]


def stepped(actor, score, groups=3, group=5, kept=1, seed=0):
    return tiny.gradient(actor, lambda subject, optimizer: expert.step(
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
    chosen = batch.at(expert.better(rewards, kept))

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
    figures = expert.step(actor, before.model, optimizer, by_task(world.task), world.task.prompts,
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
        expert.step(actor, actor.model, AdamW(actor.model.parameters(), .1), lambda batch: [np.nan] * len(batch),
                    ["a"], np.random.default_rng(0), groups=1, group=2)
    assert all((before[name] == p.data).all() for name, p in actor.model.parameters().items())


# ---------------------------------------------------------------- the method

def same_letter(prompt, answer):
    return float(answer.count(prompt))


WORLD = tiny.world(same_letter, 3, ("a", "b", "c", "d"), (), right=lambda prompt, answer: answer.count(prompt) > 1)
SMALL = {"groups": 4, "group": 8, "lr": 1e-2}


def test_it_learns_to_answer_better():
    learner, history = tiny.trained(expert.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 120, **SMALL)
    assert history[0]["reward"] < .6 and np.mean([figures["reward"] for figures in history[-10:]]) > 1.6
    assert abs(history[0]["kl"]) < 1e-6 and history[-1]["kl"] > 1
    report = learner.report()
    assert report["held_out_accuracy_greedy"] >= .75 and report["kl"] > 1


def test_it_learns_from_several_answers_of_a_group_too():
    _, history = tiny.trained(expert.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 60, **SMALL, kept=4)
    assert np.mean([figures["reward"] for figures in history[-10:]]) > 2 * history[0]["reward"]
    assert max(figures["kept"] for figures in history) > 1 / 8


def test_it_has_the_budget_of_grpo():
    ours, theirs = ({choice.name: choice.defaults for choice in method.choices}
                    for method in (expert.METHOD, grpo_method.METHOD))
    assert all(ours[name] == theirs[name] for name in ("groups", "group", "temperature"))
    assert expert.METHOD.steps == grpo_method.METHOD.steps and expert.METHOD.needs == grpo_method.METHOD.needs
    _, (here,) = tiny.trained(expert.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL)
    _, (there,) = tiny.trained(grpo_method.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL, variant="document")
    both = set(here) & set(there)
    assert both >= {"reward", "kl", "flat_groups", "cut", "answer_length", "tokens", "gradient_norm", "ratio_deviation"}


def test_with_a_reward_model_it_learns_from_that_and_shows_gold_beside_it():
    judge, actor = tiny.beginner(WORLD, seed=1, scale=4.0), tiny.beginner(WORLD)
    proxy = RewardModel(policy.copied(judge.model, np.random.default_rng(1)), judge.chat)
    learner, history = tiny.trained(expert.METHOD, WORLD, Stages(actor, proxy), 30, **SMALL)
    assert history[-1]["reward"] > history[0]["reward"]
    assert all(0 <= figures["gold"] <= 3 for figures in history)
    batch = learner.policy.answer(["a"] * 40, np.random.default_rng(0))
    assert proxy(batch).mean() > proxy(actor.answer(["a"] * 40, np.random.default_rng(0))).mean()
    assert "proxy" in learner.report()


def test_the_policy_that_it_begins_with_is_left_as_it_was():
    actor, fresh = tiny.beginner(WORLD), tiny.beginner(WORLD)
    learner, _ = tiny.trained(expert.METHOD, WORLD, Stages(actor), 3, **SMALL)
    for name, parameter in actor.model.parameters().items():
        assert_array_equal(parameter.data, fresh.model.parameters()[name].data)
    assert (learner.model.parameters()["wte.weight"].data != actor.model.parameters()["wte.weight"].data).any()


@pytest.mark.parametrize(("settings", "message"), [
    ({"group": 1}, "--group is 1; expected an integer >= 2"), ({"kept": 0}, "--kept is 0; expected an integer >= 1"),
    ({"temperature": 0.0}, "--temperature is 0.0; expected a finite number > 0"),
    ({"variant": "grpo"}, "setting is 'variant'; expected one of 'lr', 'kept'")])
def test_settings_that_will_not_do_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny.trained(expert.METHOD, WORLD, Stages(tiny.beginner(WORLD)), 1, **SMALL | settings)
