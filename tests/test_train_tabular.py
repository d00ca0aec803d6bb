"""REINFORCE, PPO, GRPO and cloning on tables: first updates by hand, what they reach, and resuming.

By hand, from a uniform policy over cream 10, hockey 5, donkey -10 (score = [j = a] - 1/3):
REINFORCE (document 004, (a) to (e)), one cream and one donkey: b = 0, g = 10/2 [2, -1, -1]/3 - 10/2 [-1, -1, 2]/3
= [5, 0, -5].  PPO (document 002), one hockey, V = 3: A = 5 - 3 = 2, z moves by lr 2 [-1, 2, -1]/3, V to 5.
GRPO, each once: A = [.80, .32, -1.12] adds to 0, so z moves by lr A/3.  Cloning
one of four moves: lr [3, -1, -1, -1]/4.

The best a policy without a clock can reach within 100 steps on the 4x4 lake: 1, and .7402 on slippery ice.
"""
import argparse
import json
from dataclasses import replace
from functools import cache
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference, complex_step
from rlscratch.__main__ import main
from rlscratch.expectations.estimators import policy_gradient_estimate
from rlscratch.formulas import distribution, policy_gradient, returns
from rlscratch.formulas import grpo as grpo_formulas
from rlscratch.formulas import ppo as ppo_formulas
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import Episodes
from rlscratch.tasks import bandits
from rlscratch.tasks.task import RewardError, Task
from rlscratch.train.on_policy import deviation
from rlscratch.train.tabular import clone, grpo, ppo, reinforce, table, worlds
from rlscratch.train.tabular.worlds import TabularWorld
from rlscratch.train.variants import REDRAWS
from strategies import arrays, eighths

pytestmark = [pytest.mark.usefixtures("undrawn", "unsynced"),
              pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))]

METHODS = {m.name: m for m in (reinforce.METHOD, ppo.METHOD, grpo.METHOD, clone.METHOD)}
CREAM, HOCKEY, DONKEY = range(3)
PATH = [0, 4, 8, 9, 13, 14]


class Scripted(TabularWorld):
    """A world in which the episodes are given; a list of them is used up from the front."""

    def collect(self, policy, episodes, rng, start=None):
        script = self.__dict__["script"]
        return script.pop(0) if isinstance(script, list) else script


def scripted(name, script):
    world = worlds.make(name)
    fixed = Scripted(*(getattr(world, field) for field in ("name", "mdp", "horizon", "logits", "measure", "task")))
    fixed.__dict__["script"] = script
    return fixed


def answers(*words):
    """One-step episodes of ice-cream."""
    rewards = np.array([[(10.0, 5.0, -10.0)[w]] for w in words])
    column = np.ones((len(words), 1))
    return Episodes(0 * column.astype(int), np.array(words)[:, None], rewards, column.astype(int), column,
                    np.ones(len(words), bool))


def first(method, world, tables=None, **chosen):
    """Tables after one step from the method's first tables, some of them replaced."""
    rng, settings = np.random.default_rng(0), method.settings(world, **chosen)
    return method.step(world, {**method.initial(world, rng, **settings), **(tables or {})}, rng, **settings)


def last(iterator):
    for item in iterator:      # noqa: B007
        pass
    return item


@cache
def learned(name, task, seed, steps=None, **chosen):
    """A world, the policy after so many steps in it, and the last figures: trained once, for whoever asks."""
    world, method = worlds.make(task), METHODS[name]
    steps = steps or method.steps[task]
    tables, figures = last(islice(method.learn(world, np.random.default_rng(seed), **chosen), steps))
    return world, softmax(tables["logits"]), figures


# ---------------------------------------------------------------- first updates by hand


@pytest.mark.parametrize(("baseline", "moved"), [
    ("batch_mean", [5, 0, -5]), ("none", [5, 0, -5]), ("value", [5, 0, -5]), ("leave_one_out", [10, 0, -10])])
def test_reinforce_s_first_update_by_hand(baseline, moved):
    tables, figures = first(METHODS["reinforce"], scripted("ice-cream", answers(CREAM, DONKEY)), lr=0.5,
                            baseline=baseline, value_lr=0.25)
    assert_allclose(tables["logits"][0], 0.5 * np.array(moved) + np.log(1 / 3), atol=1e-12)
    assert figures == {"mean_return": 0.0, "mean_length": 1.0}


def test_reinforce_s_values_go_a_share_of_the_way_to_the_mean_return_and_lower_the_next_step():
    world = scripted("ice-cream", answers(CREAM, CREAM, HOCKEY, HOCKEY))
    tables, _ = first(METHODS["reinforce"], world, lr=1.0, baseline="value", value_lr=0.2)
    assert_allclose(tables["values"], [0.2 * 7.5, 0], atol=1e-12)
    moved = first(METHODS["reinforce"], world, {"values": np.array([7.5, 0])}, lr=1.0, baseline="value")[0]
    assert_allclose(moved["logits"][0] - np.log(1 / 3), [1.25, -1.25, 0], atol=1e-12)


def test_ppo_s_first_update_by_hand():
    tables, figures = first(METHODS["ppo"], scripted("ice-cream", answers(HOCKEY)), {"values": np.array([3.0, 0])},
                            lr=0.3, value_lr=0.5, epochs=1, minibatches=1)
    assert_allclose(tables["logits"][0] - np.log(1 / 3), [-0.2, 0.4, -0.2], atol=1e-12)
    assert_allclose(tables["values"], [4, 0], atol=1e-12)
    assert figures["epochs_made"] == 1 and figures["ratio_deviation"] <= 1e-12


def test_ppo_s_second_epoch_is_held_by_the_clip():
    settings = dict(lr=0.3, minibatches=1, target_kl=0.0, value_lr=0.5)
    world, tables = scripted("ice-cream", answers(HOCKEY)), {"values": np.array([3.0, 0])}
    once, twice = (first(METHODS["ppo"], world, tables, epochs=n, **settings) for n in (1, 2))
    ratio = softmax(once[0]["logits"][0])[HOCKEY] * 3
    assert ratio > 1.2                                     # A = 2 has pushed it out of the range
    assert_array_equal(once[0]["logits"], twice[0]["logits"])
    assert_allclose(twice[0]["values"], [4.5, 0])
    assert twice[1]["clip_fraction"] == 1.0


@pytest.mark.parametrize("variant", ["document", "grpo", "dapo", "gspo", "cispo"])
def test_grpo_s_first_update_by_hand(variant):
    tables, figures = first(METHODS["grpo"], scripted("ice-cream", answers(CREAM, HOCKEY, DONKEY)), lr=3.0,
                            variant=variant, groups=1, group=3)
    moved = tables["logits"][0] - np.log(1 / 3)
    assert_allclose(moved, grpo_formulas.group_advantage([10, 5, -10]), atol=1e-12)
    assert_allclose(moved, [0.80, 0.32, -1.12], atol=0.005)
    assert figures["flat_groups"] == 0 and figures["kl_from_reference"] > 0
    assert_array_equal(tables["reference"][0], np.log(np.full(3, 1 / 3)))


@pytest.mark.parametrize(("variant", "advantage"), [
    ("dr_grpo", np.array([10, 5, -10]) - 5 / 3), ("rloo", 3 / 2 * (np.array([10, 5, -10]) - 5 / 3))])
def test_variants_that_only_centre_move_by_the_reward_itself(variant, advantage):
    tables, _ = first(METHODS["grpo"], scripted("ice-cream", answers(CREAM, HOCKEY, DONKEY)), lr=0.3, variant=variant,
                      groups=1, group=3)
    assert_allclose(tables["logits"][0] - np.log(1 / 3), 0.1 * advantage, atol=1e-12)


def test_the_kl_of_rloo_counts_in_the_reward_and_that_of_grpo_in_the_loss():
    logits, words = np.log([[0.5, 0.25, 0.25], [1 / 3] * 3]), answers(CREAM, HOCKEY, DONKEY)
    k1 = np.log([0.5, 0.25, 0.25]) - np.log(1 / 3)
    moved = {name: first(METHODS["grpo"], scripted("ice-cream", words), {"logits": logits}, lr=3.0, variant=name,
                         groups=1, group=3, beta=beta)[0]["logits"][0] for name, beta in (("rloo", 2.0), ("grpo", 0.5))}
    p, R = np.array([0.5, 0.25, 0.25]), np.array([10, 5, -10]) - 2 * k1
    A = 3 / 2 * (R - R.mean())
    assert_allclose(moved["rloo"] - logits[0], A - p * A.sum(), atol=1e-12)
    push = grpo_formulas.group_advantage([10, 5, -10]) - 0.5 * (1 - np.exp(-k1))
    assert_allclose(moved["grpo"] - logits[0], push - p * push.sum(), atol=1e-12)


@pytest.mark.parametrize(("variant", "draws"), [("dapo", 1 + REDRAWS), ("grpo", 1)])
def test_flat_groups_are_drawn_again_for_dapo_alone(variant, draws):
    script = [answers(CREAM, CREAM)] * draws
    tables, figures = first(METHODS["grpo"], scripted("ice-cream", script), variant=variant, groups=1, group=2)
    assert script == [] and figures["flat_groups"] == 1.0 and figures["mean_return"] == 10
    assert_allclose(tables["logits"][0], np.log(1 / 3), atol=1e-12)


def test_each_group_of_grpo_is_compared_with_itself_alone():
    world = scripted("ice-cream", [answers(CREAM, CREAM), answers(HOCKEY, DONKEY)])
    tables, figures = first(METHODS["grpo"], world, lr=4.0, groups=2, group=2)
    moved = tables["logits"][0] - np.log(1 / 3)
    assert_allclose(moved, np.array([0, 1, -1]) / np.sqrt(2), atol=1e-12)     # creams are equal: a flat group
    assert figures["flat_groups"] == 0.5


def test_a_clone_s_first_update_by_hand():
    world, method = worlds.make("frozen-lake"), METHODS["clone"]
    pairs = {"states": np.array([0, 0, 8, 8]), "actions": np.array([1, 1, 2, 0])}
    tables, figures = first(method, world, pairs, lr=2.0)
    expected = np.zeros((16, 4))
    expected[0] = 2 * (1 / 2) * np.array([-1, 3, -1, -1]) / 4
    expected[8] = 2 * (1 / 4) * (np.array([-1, -1, 3, -1]) + np.array([3, -1, -1, -1])) / 4
    assert_allclose(tables["logits"], expected, atol=1e-12)
    assert_allclose(figures["cross_entropy"], np.log(4))


def test_an_entropy_bonus_adds_its_share_of_the_mean_entropy_at_the_visited_states():
    world = worlds.make("frozen-lake")
    logits = np.random.default_rng(1).normal(size=(16, 4))
    batch = world.collect(softmax(logits), 10, np.random.default_rng(0))
    for name in ("reinforce", "ppo"):
        settings = dict(lr=0.5) | (dict(epochs=1, minibatches=1) if name == "ppo" else {})
        with_it, without = (first(METHODS[name], scripted("frozen-lake", batch), {"logits": logits}, entropy=beta,
                                  **settings)[0]["logits"] for beta in (0.25, 0.0))
        visited = batch.states[batch.mask == 1]
        numeric = central_difference(lambda z, at=visited: distribution.entropy(z)[at].mean(), logits)
        assert_allclose((with_it - without) / 0.5, 0.25 * numeric, atol=1e-8)


@pytest.mark.parametrize("baseline", ["batch_mean", "leave_one_out", "none"])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_reinforce_s_step_is_the_document_s_estimate(baseline, gamma):
    world = worlds.make("frozen-lake-slippery")
    logits = np.random.default_rng(1).normal(size=(16, 4))
    batch = world.collect(softmax(logits), 40, np.random.default_rng(0))
    assert batch.rewards.any()
    fixed = scripted("frozen-lake-slippery", batch)
    moved = first(METHODS["reinforce"], fixed, {"logits": logits}, lr=0.5, baseline=baseline, gamma=gamma,
                  entropy=0.0)[0]["logits"]
    g = policy_gradient_estimate(batch.states, batch.actions, batch.rewards, logits, batch.mask, baseline, gamma)
    assert_allclose((moved - logits) / 0.5, g, rtol=0, atol=1e-12)
    assert abs((moved - logits) / 0.5 - 1.001 * g).max() > 1e-6                              # a planted factor
    assert abs((logits - moved) / 0.5 - g).max() > 1e-6                                      # a planted sign


def test_ppo_s_first_step_of_a_batch_is_the_actor_critic():
    world = worlds.make("frozen-lake-slippery")
    rng = np.random.default_rng(2)
    logits, values = rng.normal(size=(16, 4)), rng.uniform(size=16) * ~world.mdp.terminal
    batch = world.collect(softmax(logits), 30, np.random.default_rng(0))
    moved = first(METHODS["ppo"], scripted("frozen-lake-slippery", batch), {"logits": logits, "values": values},
                  lr=0.5, epochs=1, minibatches=1, lam=0.9, gamma=0.95)[0]["logits"]
    advantage, total = np.zeros(batch.mask.shape), np.zeros((16, 4))
    for i, length in enumerate(batch.mask.sum(axis=1).astype(int)):
        s, after = batch.states[i, :length], batch.next_states[i, :length]
        discount = np.full(length, 0.95)
        discount[-1] *= not batch.terminated[i]
        advantage[i, :length] = returns.gae(batch.rewards[i, :length], values[s], values[after], discount, 0.9)
        for t in range(length):
            total[s[t]] += advantage[i, t] * policy_gradient.score(logits[s[t]], batch.actions[i, t])
    assert_allclose(ppo.advantages(batch, values, 0.95, 0.9), advantage, atol=1e-12)
    assert_allclose((moved - logits) / 0.5, total / batch.mask.sum(), atol=1e-12)


def test_a_cut_off_episode_counts_what_its_last_state_is_worth_and_a_finished_one_nothing():
    rows = [0, 1, 0], [0, 0, 0], [0.0, 1.0, 0.0], [1, 2, 0], [1.0, 1.0, 0.0]
    batch = Episodes(*(np.array([row, row]) for row in rows), np.array([False, True]))
    values = np.array([0.5, 0.25, 8.0])
    late = [1 + 0.5 * 8 - 0.25, 1 - 0.25]                       # discount 1/2; the second has terminated
    expected = [[0.5 * 0.25 - 0.5 + 0.5 * a, a, 0] for a in late]
    assert_allclose(ppo.advantages(batch, values, 0.5, 1.0), expected)


# ---------------------------------------------------------------- the table


@given(arrays((3, 2)), st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), eighths()), min_size=1, max_size=6))
def test_the_chain_rule_of_the_table_is_the_derivative(logits, visits):
    states, actions, dlogp = (np.array(column) for column in zip(*visits, strict=True))
    grad = table.logits_grad(logits, states, actions, dlogp)
    assert_allclose(grad, complex_step(lambda z: (dlogp * table.logp(z, states, actions)).sum(), logits), atol=1e-12)
    one_by_one = np.zeros((3, 2))
    for s, a, d in visits:
        one_by_one[s] += d * policy_gradient.score(logits[s], a)
    assert_allclose(grad, one_by_one, atol=1e-12)


@given(arrays((3, 4)), st.lists(st.tuples(st.integers(0, 2), eighths(0, 2)), min_size=1, max_size=6))
def test_the_bonus_of_the_table_is_the_derivative_of_the_visited_entropy(logits, visits):
    states, weight = (np.array(column) for column in zip(*visits, strict=True))
    numeric = central_difference(lambda z: (weight * distribution.entropy(z)[states]).sum(), logits)
    assert_allclose(table.bonus_grad(logits, states, weight), numeric, atol=1e-7)


def test_states_weigh_the_same_however_often_they_are_visited():
    weight = table.equal_states(np.array([[0, 0, 2], [2, 2, 0]]), np.array([[1, 1, 0], [1, 0, 0]]), 4)
    assert_array_equal(weight, [[0.5, 0.5, 0], [1, 0, 0]])
    values, aim = np.array([1.0, 9, 9, 9]), np.array([2.0, 4.0])
    each = table.equal_states(np.array([0, 0]), np.ones(2), 4)
    grad = table.per_state(ppo_formulas.value_grad(values[[0, 0]], aim, each), np.array([0, 0]), 4)
    assert_array_equal(values - grad, [3, 9, 9, 9])             # a full step arrives at the mean


@pytest.mark.parametrize("name", ["ppo", "grpo"])
@pytest.mark.parametrize("task", ["frozen-lake", "frozen-lake-slippery", "ice-cream"])
def test_the_ratio_is_1_before_the_first_update_of_every_batch(name, task):
    method, world = METHODS[name], worlds.make(task)
    found = [f["ratio_deviation"] for _, f in islice(method.learn(world, np.random.default_rng(0)), 8)]
    assert max(found) <= 1e-12


def test_a_policy_that_is_not_the_one_sampled_from_stops_the_run():
    assert deviation(np.log([0.5, 0.25]), np.log([0.5, 0.25])) == 0
    with pytest.raises(RuntimeError, match=r"before the update a ratio is 0\.01 away from 1"):
        deviation(np.log([0.5, 0.25]), np.log([0.5, 0.2475]))


# ---------------------------------------------------------------- what they reach


ENOUGH = {"reinforce": 20, "ppo": 25, "grpo": 30}               # steps on the lake without slipping


@pytest.mark.both_backends
@pytest.mark.parametrize(("name", "seed"), [("reinforce", 0), ("reinforce", 1), ("ppo", 0), ("ppo", 1), ("grpo", 0)])
def test_on_the_lake_without_slipping_they_come_within_two_percent_of_certainty(name, seed):
    world, policy, _ = learned(name, "frozen-lake", seed, ENOUGH[name])
    assert world.best[1] == 1 and world.worth(policy) >= 0.98


@pytest.mark.parametrize(("name", "steps"), [("reinforce", 80), ("ppo", 100)])
def test_on_slippery_ice_they_come_within_two_percent_of_the_best_without_a_clock(name, steps):
    world, policy, _ = learned(name, "frozen-lake-slippery", 0, steps)
    assert_allclose(world.best[1], 0.7402, atol=0.00005)
    assert world.best[1] - 0.02 <= world.worth(policy) <= world.best[1] + 1e-12


def test_with_small_batches_and_no_goal_there_is_nothing_to_learn_from():
    world = worlds.make("frozen-lake")
    uniform = softmax(world.logits)
    for lake in (world, worlds.make("frozen-lake-slippery")):
        assert_allclose(lake.worth(uniform), 0.01394, atol=5e-6)
    loop = METHODS["reinforce"].learn(world, np.random.default_rng(0), episodes=2, entropy=0.0)
    for tables, figures in islice(loop, 5):
        assert figures["mean_return"] == 0 and not tables["logits"].any()


@pytest.mark.parametrize(("task", "least", "name", "steps"), [
    ("ice-cream", 9.8, "reinforce", 40), ("ice-cream", 9.8, "ppo", 25), ("ice-cream", 9.8, "grpo", 150),
    ("capital-of-france", 0.95, "reinforce", 150), ("capital-of-france", 0.95, "ppo", 25),
    ("capital-of-france", 0.95, "grpo", 80), ("pasta", 0.86, "reinforce", 200), ("pasta", 0.86, "ppo", 25),
    ("pasta", 0.86, "grpo", 80), ("programming", 0.86, "reinforce", 200), ("programming", 0.86, "ppo", 25),
    ("programming", 0.86, "grpo", 80)])
def test_on_the_bandits_they_come_near_the_best_answer(task, least, name, steps):
    world, policy, _ = learned(name, task, 0, steps)
    assert least <= world.worth(policy) <= world.best[1]


@pytest.mark.parametrize("seed", range(5))
def test_ppo_says_cream_at_least_as_often_as_the_document_s_96_percent(seed):
    assert learned("ppo", "ice-cream", seed, 25)[1][0, CREAM] >= 0.96


def test_a_wrong_sign_is_no_training(monkeypatch):
    right = table.logits_grad
    monkeypatch.setattr(table, "logits_grad", lambda *args: -right(*args))
    for name in ("reinforce", "ppo", "grpo"):
        world, policy, _ = learned.__wrapped__(name, "ice-cream", 0, 30)
        assert world.worth(policy) < 5 / 3


def test_the_kl_stops_the_epochs_of_a_batch_and_not_before_it_is_exceeded():
    world, logits = worlds.make("ice-cream"), np.zeros((2, 3))
    stopped = first(METHODS["ppo"], world, {"logits": logits}, lr=1.0, epochs=10, target_kl=0.01)[1]
    free = first(METHODS["ppo"], world, {"logits": logits}, lr=1.0, epochs=10, target_kl=0.0)[1]
    assert stopped["epochs_made"] < 10 == free["epochs_made"] and stopped["kl_k3"] > 0.01


def test_a_penalty_holds_grpo_near_where_it_began():
    near, far = (learned("grpo", "ice-cream", 0, 40, variant="grpo", epochs=2, beta=beta)[2]["kl_from_reference"]
                 for beta in (2.0, 0.0))
    assert near < 0.5 * far


def test_a_group_shares_its_start_and_groups_follow_one_another():
    world = worlds.make("frozen-lake")
    spread = replace(world, mdp=replace(world.mdp, start=~world.mdp.terminal / (~world.mdp.terminal).sum()))
    batch, _ = grpo.collect(spread, softmax(world.logits), 6, 5, np.random.default_rng(0))
    starts = batch.states[:, 0].reshape(6, 5)
    assert (starts == starts[:, :1]).all() and len(set(starts[:, 0])) > 2


# ---------------------------------------------------------------- imitation and its limit


def test_a_clone_is_as_good_as_the_expert_on_its_path_and_lost_elsewhere():
    world, policy, _ = learned("clone", "frozen-lake", 0)
    teacher = clone.expert(world)
    assert world.worth(teacher) == 1 and world.worth(policy) > 0.999
    assert sorted(np.flatnonzero(abs(policy - 0.25).max(axis=1) > 1e-12)) == PATH             # other rows never moved
    assert_allclose(policy[np.setdiff1d(np.arange(16), PATH)], 0.25)
    assert clone.elsewhere(world, teacher, PATH) == 1
    assert_allclose(clone.elsewhere(world, policy, PATH), 0.306, atol=0.001)
    slippery = worlds.make("frozen-lake-slippery")
    assert_allclose([slippery.worth(policy), slippery.worth(teacher)], [0.0387, 0.0448], atol=0.0002)


def test_what_learned_from_rewards_is_not_lost_there():
    _, cloned, _ = learned("clone", "frozen-lake", 0)
    world, policy, _ = learned("ppo", "frozen-lake", 0, ENOUGH["ppo"])
    assert clone.elsewhere(world, policy, PATH) > 3 * clone.elsewhere(world, cloned, PATH)
    slippery, trained, _ = learned("reinforce", "frozen-lake-slippery", 0, 80)
    assert slippery.worth(trained) > 0.72 > 10 * slippery.worth(cloned)


def test_elsewhere_is_the_mean_of_exact_values_and_nothing_if_all_was_shown():
    world = worlds.make("frozen-lake")
    uniform = softmax(world.logits)
    unseen = [s for s in range(16) if not world.mdp.terminal[s] and s not in PATH]
    mean = np.mean([replace(world.mdp, start=s).discounted_return(uniform, 100) for s in unseen])
    assert_allclose(clone.elsewhere(world, uniform, PATH), mean)
    assert clone.elsewhere(world, uniform, np.arange(16)) is None


# ---------------------------------------------------------------- a reward that breaks


def fragile(calls):
    """ice-cream, whose reward of hockey is NaN after so many calls."""
    task, count = bandits.TASKS["ice-cream"], iter(range(10**9))

    def reward(prompt, answer):
        return float("nan") if next(count) >= calls and answer == "hockey" else task.reward(prompt, answer)

    return Task(task.name, task.prompts, reward, task.check, task.answers)


@pytest.mark.parametrize("name", ["reinforce", "ppo", "grpo"])
def test_a_reward_that_turns_nan_stops_the_run_and_leaves_the_last_save(name, tmp_path, monkeypatch, capsys):
    options = ("--task", "ice-cream", "--save-every", "5")
    with monkeypatch.context() as patch:
        patch.setitem(bandits.TASKS, "ice-cream", fragile(3 + 64 * 8))         # 3 for the exact values
        assert command(name, *options, "--steps", "50", folder=tmp_path / "broken") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert "the reward of the answer 'hockey' to the prompt 'I like ice ___' is nan; expected a finite number" in err
    assert not (tmp_path / "broken" / "result.json").exists()
    assert command(name, *options, "--steps", "5", folder=tmp_path / "whole") == 0
    (*broken, longer), (*whole, lines) = (contents(tmp_path / folder) for folder in ("broken", "whole"))
    assert broken == whole and longer.startswith(lines) and longer != lines    # a resume drops what is younger
    for folder in ("broken", "whole"):
        assert command(name, *options, "--steps", "12", "--resume", folder=tmp_path / folder) == 0
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


@pytest.mark.parametrize("start", [None, 0, 6])
def test_a_penalty_for_holes_is_paid_and_not_measured(start):
    """The same moves from the same uniforms: 1 in the goal either way, -1 where an episode ended elsewhere."""
    plain, stern = worlds.make("frozen-lake-slippery"), worlds.make("frozen-lake-slippery", hole_reward=-1)
    policy = np.full((16, 4), 1 / 4)
    a, b = (world.collect(policy, 400, np.random.default_rng(0), start) for world in (plain, stern))
    assert_array_equal(a.states, b.states)
    assert (a.states[:, 0] == (start or 0)).all()
    fell = a.terminated & ~a.rewards.any(axis=1)
    assert_array_equal(b.rewards.sum(axis=1), a.rewards.sum(axis=1) - fell)
    assert fell.sum() > 300 and plain.worth(policy) == stern.worth(policy)
    if not start:
        lost = stern.rewarded.discounted_return(policy, 100) - plain.worth(policy)
        assert_allclose(lost, plain.worth(policy) - a.terminated.mean(), atol=0.02)     # P(hole) = P(over) - P(goal)


def test_with_a_penalty_for_holes_even_the_first_batch_teaches_something():
    """Without one, a batch in which nobody arrives has the gradient 0."""
    moved = []
    for hole in (0, -1):
        world = worlds.make("frozen-lake", hole)
        tables = reinforce.initial(world, np.random.default_rng(1))
        step = reinforce.METHOD.settings(world, episodes=2, baseline="none")
        moved.append(reinforce.step(world, tables, np.random.default_rng(1), **step)[0]["logits"].any())
    assert moved == [False, True]


@pytest.mark.parametrize(("options", "message"), [
    (("--task", "ice-cream"), "--hole-reward is -1; expected 0 for ice-cream: only lakes have holes"),
    (("--task", "addition"), "--hole-reward is -1; expected an integer in [0, 0]"),
    (("--env", "CliffWalking-v1"), "--hole-reward is -1; expected no such option beside env")])
def test_a_penalty_for_holes_where_there_are_none_is_refused(options, message, tmp_path, capsys):
    assert main(["train", "ppo", *options, "--hole-reward", "-1", "--run-dir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_task_of_one_s_own_is_a_world():
    def reward(prompt, answer):
        return float((prompt == "odd") == (answer in "13"))

    two = Task("parity", ("odd", "even"), reward, lambda p, a: True, ("1", "2", "3"))
    world = worlds.make(two)
    tables, _ = last(islice(METHODS["grpo"].learn(world, np.random.default_rng(0), lr=1.0), 200))
    policy = softmax(tables["logits"])
    assert world.best[1] == 1 and world.worth(policy) > 0.97 and policy[1, 1] > 0.95
    with pytest.raises(RewardError, match="the reward of the answer '2' to the prompt 'odd' is None"):
        worlds.make(Task("none", ("odd",), lambda p, a: None if a == "2" else 1, two.check, two.answers))


# ---------------------------------------------------------------- the commands


def command(name, *options, folder):
    return main(["train", name, "--quiet", "--run-dir", str(folder), *options])


def contents(folder):
    with np.load(folder / "state.npz") as saved:
        facts = json.loads(saved["facts"].item())
        facts.pop("seconds")
        tables = {key: saved[key].tobytes() for key in saved.files if key != "facts"}
    return tables, facts, (folder / "metrics.jsonl").read_text()


@pytest.mark.parametrize("task", ["frozen-lake-slippery", "pasta"])
@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_stopped_and_resumed_ends_in_the_same_bits(name, task, tmp_path):
    options = ("--task", task, "--save-every", "3", "--seed", "7")
    assert command(name, "--steps", "8", *options, folder=tmp_path / "whole") == 0
    assert command(name, "--steps", "6", *options, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts") != contents(tmp_path / "whole")
    assert command(name, "--steps", "8", "--resume", *options, folder=tmp_path / "parts") == 0
    whole, parts = contents(tmp_path / "whole"), contents(tmp_path / "parts")
    assert parts[:2] == whole[:2]
    last = [lines[2].splitlines()[-1] for lines in (whole, parts)]
    assert last[0] == last[1]


@pytest.mark.parametrize("name", ["reinforce", "ppo", "grpo"])
def test_a_generator_that_was_forgotten_would_be_noticed(name, tmp_path):
    options = ("--task", "pasta", "--save-every", "3")
    for folder, steps in (("whole", "6"), ("parts", "3")):
        command(name, "--steps", steps, *options, folder=tmp_path / folder)
    path = tmp_path / "parts" / "state.npz"
    with np.load(path) as saved:
        arrays_, facts = {k: saved[k] for k in saved.files if k != "facts"}, json.loads(saved["facts"].item())
    facts["rng"] = np.random.default_rng(0).bit_generator.state
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays_)
    command(name, "--steps", "6", "--resume", *options, folder=tmp_path / "parts")
    assert contents(tmp_path / "parts")[0] != contents(tmp_path / "whole")[0]


@pytest.mark.both_backends
@pytest.mark.parametrize(("name", "task", "keys"), [
    ("reinforce", "frozen-lake", {"success_probability", "best_success_probability"}),
    ("ppo", "ice-cream", {"expected_reward", "best_expected_reward", "probabilities"}),
    ("grpo", "programming", {"expected_reward", "best_expected_reward", "probabilities"}),
    ("clone", "frozen-lake", {"elsewhere", "expert_elsewhere", "on_slippery_ice", "expert_on_slippery_ice",
                              "best_on_slippery_ice", "success_probability", "expert_success_probability"}),
    ("clone", "capital-of-france", {"expected_reward", "expert_expected_reward", "cross_entropy"})])
def test_the_last_line_is_json_with_exact_figures(name, task, keys, tmp_path, capsys):
    assert command(name, "--task", task, "--steps", "6", "--json", folder=tmp_path) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert err == "" and keys <= set(figures) and figures == json.loads((tmp_path / "result.json").read_text())
    world = worlds.make(task)
    with np.load(tmp_path / "state.npz") as saved:
        policy = softmax(saved["logits"])
    assert figures[world.measure] == world.worth(policy) <= figures[f"best_{world.measure}"] == world.best[1]
    for choice in METHODS[name].choices:
        assert figures[choice.name] == choice.default(world.kind)


def test_a_measure_is_exact_and_knows_the_limit_of_steps():
    world = worlds.make("frozen-lake-slippery")
    policy = world.best[0]
    assert_allclose(world.worth(policy), 0.7402, atol=0.00005)
    assert_allclose(world.mdp.evaluate(policy)[0], 0.8235, atol=0.00005)        # without the limit
    drawn = world.collect(policy, 20_000, np.random.default_rng(0)).rewards.sum(axis=1).mean()
    assert_allclose(drawn, 0.7402, atol=0.015)


@pytest.mark.parametrize("name", METHODS)
def test_help_has_every_choice_and_an_example(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", name, "--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and f"rlscratch train {name} --" in out and "frozen-lake-8x8" in out
    own = [f"--{choice.name.replace('_', '-')}" for choice in METHODS[name].choices]
    for option in (*own, "--seed", "--steps", "--run-dir", "--save-every", "--resume", "--quiet", "--json"):
        assert option in out


@pytest.mark.parametrize(("name", "options", "message"), [
    ("grpo", ["--group", "1"], "--group is 1; expected an integer >= 2"),
    ("grpo", ["--groups", "0"], "--groups is 0; expected an integer >= 1"),
    ("grpo", ["--eps-high", "0.3"], "--eps-high is 0.3; expected a number if the loss has a clip range, else None"),
    ("grpo", ["--beta", "-1"], "--beta is -1.0; expected a finite number >= 0"),
    ("reinforce", ["--episodes", "1"], "--episodes is 1; expected an integer >= 2"),
    ("reinforce", ["--lr", "0"], "--lr is 0.0; expected a finite number > 0"),
    ("reinforce", ["--lr", "nan"], "--lr is nan; expected a finite number > 0"),
    ("reinforce", ["--gamma", "1.5"], "--gamma is 1.5; expected a number in [0, 1]"),
    ("reinforce", ["--seed", "-1"], "--seed is -1; expected an integer >= 0"),
    ("ppo", ["--value-lr", "2"], "--value-lr is 2.0; expected a number in (0, 1]"),
    ("ppo", ["--lam", "-0.5"], "--lam is -0.5; expected a number in [0, 1]"),
    ("ppo", ["--epochs", "0"], "--epochs is 0; expected an integer >= 1"),
    ("ppo", ["--clip", "2"], "--clip is 2.0; expected a number in [0, 1]"),
    ("ppo", ["--steps", "0"], "--steps is 0; expected an integer >= 1"),
    ("clone", ["--demonstrations", "0"], "--demonstrations is 0; expected an integer >= 1"),
    ("clone", ["--save-every", "0"], "--save-every is 0; expected an integer >= 1")])
def test_bad_arguments_are_one_line_and_status_2_and_nothing_is_written(name, options, message, tmp_path, capsys):
    assert command(name, *options, folder=tmp_path / "new") == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and out == "" and not (tmp_path / "new").exists()


@pytest.mark.parametrize(("name", "options", "there_are"), [
    ("ppo", ["--task", "banana"], [*worlds.NAMES]),
    ("reinforce", ["--baseline", "mean"], [*reinforce.BASELINES]),
    ("grpo", ["--variant", "paper"], ["document", "dr_grpo"])])
def test_an_unknown_word_is_answered_with_those_there_are(name, options, there_are, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        command(name, *options, folder=tmp_path / "new")
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and all(f"'{word}'" in err for word in there_are)


def test_another_choice_than_before_is_no_resume(tmp_path, capsys):
    command("ppo", "--task", "pasta", "--steps", "3", folder=tmp_path)
    before = contents(tmp_path)
    for options, message in [(("--task", "ice-cream"), "--task is 'ice-cream'; expected 'pasta'"),
                             (("--task", "pasta", "--clip", "0.1"), "--clip is 0.1; expected 0.2"),
                             (("--task", "pasta", "--no-whiten"), "--whiten is False; expected True")]:
        assert command("ppo", "--steps", "5", "--resume", *options, folder=tmp_path) == 2
        assert message in capsys.readouterr().err and contents(tmp_path) == before


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: worlds.make("banana"), ValueError, "task is 'banana'; expected one of 'frozen-lake', "),
    (lambda: METHODS["ppo"].settings(worlds.make("pasta"), speed=1), ValueError, "setting is 'speed'; expected one of"),
    (lambda: METHODS["ppo"].settings(worlds.make("pasta"), whiten=2), ValueError, "whiten is 2; expected one of F"),
    (lambda: METHODS["grpo"].settings(worlds.make("pasta"), variant="x"), ValueError, "variant is 'x'; expected one"),
    (lambda: next(METHODS["ppo"].learn(worlds.make("pasta"), 0)), TypeError, "rng is 0; expected a numpy.random.Gen")])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_every_method_offers_the_defaults_of_its_choices():
    for method in METHODS.values():
        parser = argparse.ArgumentParser()
        method.add_arguments(parser)
        args = parser.parse_args([])
        assert args.task == "frozen-lake" and args.steps is None
        assert all(getattr(args, choice.name) is None for choice in method.choices)
        assert set(method.steps) == set(worlds.NAMES)


@pytest.mark.parametrize("argv", [("reinforce",), ("ppo", "--task", "pasta"), ("grpo",), ("clone",)])
def test_numbers_that_explode_end_a_run_of_tables_with_a_line_and_without_a_result(argv, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", *argv, "--lr", "1e300", "--steps", "5", "--quiet", "--run-dir", str(folder)]) == 1
    said = capsys.readouterr().err
    assert "step 1: the largest number of logits is " in said and "a smaller lr keeps the numbers small\n" in said
    assert said.count("\n") == 1 and not (folder / "result.json").exists()
