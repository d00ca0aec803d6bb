"""DQN on the frozen lake: the network's gradient, the update, the loop, the outcome, resuming, the command.

By hand, one transition into the goal on a new network, where Q = 0: y = 1, e = 0 - 1, H'(e) = -1, so the
seed is -1 / B.  With B = 1 the derivative of the bias of that action is -1, and Adam's first step is lr
long: b2 = lr.  After it theta- is tau lr.

Huber's own fixed point (equation (6)): y = 1 with p = 1/3, else 0.  delta = 1 leaves the mean, 1/3;
delta = .1 gives p delta / (1 - p) = .05.

On the 4x4 lake at gamma = .99 V* of the start is .99^5 = .9510 in six moves; on slippery ice the best
policy without a clock reaches the goal within 100 steps with probability .7402.
"""
import inspect
import json
import shutil
from itertools import islice

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference
from rlscratch.__main__ import main
from rlscratch.autograd import Tensor
from rlscratch.formulas import td
from rlscratch.report import curves
from rlscratch.train.dqn import deep_q_learning
from rlscratch.train.dqn.deep_q_learning import DQNState, learn, settings, update
from rlscratch.train.dqn.network import q_table, q_values
from rlscratch.train.dqn.replay import Replay
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition

pytestmark = pytest.mark.usefixtures("undrawn", "unsynced")

GOAL = Transition(s=14, a=2, reward=1.0, s_next=15, terminated=True)
HOW = {"gamma": 0.99, "lr": 0.003, "batch": 1, "tau": 0.01, "target_every": 1, "delta": 1.0}


def new(seed=0, **choices):
    return DQNState.new((16, 4), np.random.default_rng(seed), **choices)


def random_theta(seed=0, states=5, hidden=7, actions=3):
    rng = np.random.default_rng(seed)
    shapes = {"W1": (states, hidden), "b1": (hidden,), "W2": (hidden, actions), "b2": (actions,)}
    return {name: Tensor(rng.normal(size=shape), requires_grad=True) for name, shape in shapes.items()}


def train(lake, steps, seed=0, **chosen):
    state = new(seed)
    for _ in islice(learn(lake.env, state, **settings(**chosen)), steps):
        pass
    return state


# ---------------------------------------------------------------- the network

def test_a_new_network_says_zero_everywhere_in_float32():
    theta = new().theta
    assert_array_equal(q_table(theta), np.zeros((16, 4), np.float32))
    assert q_table(theta).dtype == np.float32 and np.ptp(theta["W1"].data) > 1


@given(st.integers(0, 50))
def test_the_table_is_the_network_row_by_row(seed):
    theta = random_theta(seed)
    W1, b1, W2, b2 = (theta[name].data for name in ("W1", "b1", "W2", "b2"))
    rows = [np.maximum(np.eye(5)[s] @ W1 + b1, 0) @ W2 + b2 for s in range(5)]
    assert_allclose(q_table(theta), rows, rtol=1e-12, atol=1e-12)
    assert not Tensor(q_table(theta)).requires_grad and q_values(theta).requires_grad


def batch_loss(theta, t, y, delta):
    """The loss as a function of plain parameters: one-hot rows of a batch through the network, one by one."""
    hidden = np.maximum(np.eye(5)[t.s] @ theta["W1"] + theta["b1"], 0)
    q = (hidden @ theta["W2"] + theta["b2"])[np.arange(len(t.s)), t.a]
    return td.huber_loss(q - y, delta).mean()


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("wrong", [None, "sign", "no mean", "no clip"])
def test_entries_of_the_table_give_the_gradient_of_a_batch_of_one_hot_rows(name, wrong):
    theta, rng = random_theta(3), np.random.default_rng(1)
    t = Transition(s=rng.integers(5, size=9), a=rng.integers(3, size=9), reward=None, s_next=None, terminated=None)
    assert len(set(zip(t.s, t.a, strict=True))) < 9                     # some entry is picked twice
    y = rng.normal(size=9)
    chosen = q_values(theta)[t.s, t.a]
    assert (np.abs(chosen.data - y) > 0.5).any()
    seed = td.huber_grad(chosen.data - y, 0.5) / 9
    seed = {None: seed, "sign": -seed, "no mean": 9 * seed, "no clip": (chosen.data - y) / 9}[wrong]
    plain = {other: tensor.data for other, tensor in theta.items()}
    chosen.backward(seed)
    numerical = central_difference(lambda x: batch_loss({**plain, name: x}, t, y, 0.5), plain[name])
    assert np.allclose(theta[name].grad, numerical, rtol=1e-6, atol=1e-8) == (wrong is None)


# ---------------------------------------------------------------- one update

def test_the_first_reward_by_hand():
    state = new()
    state.replay.put(GOAL)
    update(state, **HOW)
    assert_allclose(state.theta["b2"].data, [0, 0, 0.003, 0], rtol=1e-5)
    assert_allclose(state.mean["b2"].data, [0, 0, 0.00003, 0], rtol=1e-5)
    q = q_table(state.theta)
    assert (q[:, 2] > 0).all() and not q[:, [0, 1, 3]].any() and state.updates == 1


@pytest.mark.parametrize(("terminated", "target"), [(True, 0.25), (False, 0.25 + 0.5 * 2.0)])
def test_nothing_follows_an_end_and_after_a_cut_the_averaged_network_does(terminated, target):
    state = new(hidden=1)
    state.theta["b2"].data[...] = 5.0                       # would be the target if theta were asked
    state.mean["b2"].data[...] = [0.0, 1.0, 2.0, 0.0]
    state.replay.put(Transition(0, 1, 0.25, 4, terminated))
    update(state, **{**HOW, "gamma": 0.5, "lr": 0.0, "delta": 100.0, "batch": 2})
    assert_allclose(state.theta["b2"].grad, [0, 5.0 - target, 0, 0], rtol=1e-6)


@pytest.mark.parametrize(("tau", "every"), [(1.0, 3), (0.25, 1), (0.5, 2)])
def test_the_target_follows_by_a_share_every_so_many_updates(tau, every):
    state = new(1)
    state.replay.put(GOAL)
    expected = {name: t.data.copy() for name, t in state.mean.items()}
    for n in range(1, 8):
        update(state, **{**HOW, "tau": tau, "target_every": every})
        if n % every == 0:
            expected = {name: mean + np.float32(tau) * (state.theta[name].data - mean)
                        for name, mean in expected.items()}
        for name, mean in expected.items():
            assert_allclose(state.mean[name].data, mean, rtol=1e-6, atol=1e-9)
    assert np.shares_memory(state.mean["W1"].data, state.theta["W1"].data) is False


@pytest.mark.parametrize(("delta", "settles"), [(1.0, 1 / 3), (0.1, 0.05)])
def test_a_narrow_huber_loss_does_not_estimate_the_mean(delta, settles):
    p = np.array([1 / 3, 2 / 3])                            # of y = 1 and y = 0: the mean slope, by enumeration
    slope = [(p * td.huber_grad(q - np.array([1.0, 0.0]), delta)).sum() for q in settles + np.array([-0.01, 0, 0.01])]
    assert slope[0] < 0 < slope[2] and abs(slope[1]) < 1e-12
    state = new(hidden=8, buffer=3)
    for y in (1.0, 0.0, 0.0):
        state.replay.put(Transition(0, 0, y, 5, True))
    for n in range(400):
        update(state, **{**HOW, "batch": 64, "lr": 0.01 / (1 + 0.02 * n), "delta": delta})
    assert_allclose(q_table(state.mean)[0, 0], settles, atol=0.03)


# ---------------------------------------------------------------- the replay buffer

@given(st.integers(1, 6), st.integers(1, 20))
def test_the_buffer_holds_the_last_ones_and_draws_nothing_else(capacity, count):
    replay = Replay(capacity)
    for k in range(count):
        replay.put(Transition(k, k % 4, k / 8, k + 1, k % 3 == 0))
    last = range(max(0, count - capacity), count)
    assert len(replay) == len(last) and replay.count == count
    t = replay.draw(200, np.random.default_rng(count))
    assert set(t.s) <= set(last) and (len(last) > 6 or set(t.s) == set(last))
    assert_array_equal(t.a, t.s % 4)
    assert_array_equal(t.reward, t.s / 8)
    assert_array_equal(t.s_next, t.s + 1)
    assert_array_equal(t.terminated, t.s % 3 == 0)


def test_a_draw_is_a_copy():
    replay = Replay(2)
    replay.put(GOAL)
    replay.draw(1, np.random.default_rng(0)).s[0] = 3
    assert replay.arrays["s"][0] == 14


# ---------------------------------------------------------------- the loop

def test_an_episode_that_is_cut_off_is_remembered_as_going_on():
    env = gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=2)
    state = new()
    seen = list(islice(learn(env, state, **settings()), 60))
    assert state.episode > 20 and len(state.replay) == 60
    ends = np.isin([t.s_next for t in seen], (5, 7, 11, 12, 15))
    assert_array_equal(state.replay.arrays["terminated"][:60], ends)
    assert 0 < ends.sum() < 30


def test_updates_begin_after_the_start_and_come_every_so_many_steps():
    state, steps = new(), []
    before = 0
    for _ in islice(learn(Lake().env, state, **settings(start=50, every=7, batch=4)), 100):
        if state.updates > before:
            steps.append(state.step)
        before = state.updates
    assert steps == [56, 63, 70, 77, 84, 91, 98]


def test_the_step_size_of_an_update_is_its_own():
    state = new()
    sizes = []
    lr = lambda n: sizes.append(n) or 0.5 / n               # noqa: E731
    for _ in islice(learn(Lake().env, state, **{**settings(start=1, every=1, batch=2), "lr": lr}), 5):
        assert state.optimizer.lr == 0.5 / state.step
    assert sizes == [1, 2, 3, 4, 5]


def test_epsilon_zero_acts_by_theta_and_not_by_its_mean():
    state = new()
    state.theta["b2"].data[...] = [0, 1, 0, 0]              # Down
    state.mean["b2"].data[...] = [0, 0, 1, 0]               # Right
    moves = islice(learn(Lake().env, state, **settings(epsilon=0.0, epsilon_final=0.0)), 2)
    assert [(t.a, t.s_next) for t in moves] == [(1, 4), (1, 8)]


def test_the_same_seed_is_the_same_run_and_another_is_not():
    def moves(seed):
        return list(islice(learn(Lake(slippery=True).env, new(seed), **settings(start=50)), 300))

    first, again, other = moves(0), moves(0), moves(1)
    assert first == again != other


def test_defaults_are_said_once():
    asked = inspect.signature(DQNState.new).parameters
    given = {name: p.default for name, p in asked.items() if p.default is not p.empty}
    assert given == {name: deep_q_learning.LEARNER[name][0] for name in ("hidden", "buffer")}


# ---------------------------------------------------------------- what a run reaches

OTHER_SEEDS = pytest.mark.compiled_only("one seed is run on NumPy, too")


@pytest.mark.parametrize(("seed", "hole"), [(0, 0), pytest.param(2, -1, marks=OTHER_SEEDS)])
def test_without_slipping_the_greedy_policy_is_optimal_in_every_state(seed, hole):
    lake = Lake(hole=hole)
    figures = deep_q_learning.figures(lake, train(lake, 7000, seed))
    assert figures["path_length"] == 6 and figures["suboptimal_states"] == 0
    assert figures["success_probability"] == 1 and figures["max_error"] < 0.05


@pytest.mark.compiled_only("the whole learner is trained without slipping on NumPy, too")
def test_on_slippery_ice_it_comes_near_the_best_policy():
    lake = Lake(slippery=True)
    figures = deep_q_learning.figures(lake, train(lake, 8000, epsilon_final=0.1, epsilon_steps=10_000, tau=0.02))
    assert figures["success_probability"] >= 0.7402 - 0.05 and figures["path_length"] is None


@pytest.mark.compiled_only("the whole learner arrives on NumPy, too")
@pytest.mark.parametrize("lacking", ["theta-", "outputs of 0"])
def test_without_one_of_its_parts_the_learner_is_still_far_away(lacking):
    lake, state = Lake(), new()
    if lacking == "outputs of 0":
        state.theta["W2"].data[...] = np.random.default_rng(9).normal(size=(64, 4)) / 6
        state.mean["W2"].data[...] = state.theta["W2"].data
    for _ in islice(learn(lake.env, state, **settings(**({"tau": 1.0} if lacking == "theta-" else {}))), 4000):
        pass
    assert deep_q_learning.figures(lake, state)["max_error"] > 0.3


def test_figures_count_wrong_moves_and_ignore_what_was_never_learned():
    lake, state = Lake(), new()
    with_best = {"W1": np.eye(16), "b1": np.zeros(16), "W2": lake.best[0].copy(), "b2": np.zeros(4)}
    with_best["W2"][lake.mdp.terminal] = 7.0                # holes and goal: any number
    state.mean = {name: Tensor(array) for name, array in with_best.items()}
    figures = deep_q_learning.figures(lake, state)
    assert figures["suboptimal_states"] == 0 and figures["max_error"] < 1e-9 and figures["path_length"] == 6
    state.mean["W2"].data[14] = [1, 0, 0, 0]                # back to 13 instead of into the goal
    figures = deep_q_learning.figures(lake, state)
    assert figures["suboptimal_states"] == 1 and figures["success_probability"] == 0


# ---------------------------------------------------------------- the command

# With -1 for holes: without a reward Q stays 0, and a state that forgot it would not show.
SMALL = ("--start", "40", "--batch", "8", "--hidden", "8", "--seed", "5", "--hole-reward", "-1")
SLIPPERY = (*SMALL, "--save-every", "75", "--task", "frozen-lake-slippery")


def command(*options, folder):
    return main(["train", "dqn", "--quiet", "--run-dir", str(folder), *options])


@pytest.fixture(scope="module")
def forgetting(tmp_path_factory):
    """Folders of a run and of its first half, to be spoiled in a copy."""
    folder = tmp_path_factory.mktemp("forgetting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "training", lambda folder, name: folder / f"{name}.svg")
        for name, steps in (("whole", "450"), ("parts", "225")):
            assert command("--steps", steps, *SLIPPERY, folder=folder / name) == 0
    return folder


def contents(folder):
    with np.load(folder / "state.npz") as saved:
        facts = json.loads(saved["facts"].item())
        facts.pop("seconds")
        arrays = {name: saved[name].tobytes() for name in saved.files if name != "facts"}
    return arrays, facts, (folder / "metrics.jsonl").read_text()


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("options", [
    (), ("--task", "frozen-lake-slippery", "--buffer", "100", "--tau", "1", "--target-every", "7", "--every", "3")])
def test_a_run_stopped_within_an_episode_and_resumed_ends_in_the_same_bits(options, tmp_path):
    options = (*SMALL, "--save-every", "75", *options)
    assert command("--steps", "450", *options, folder=tmp_path / "whole") == 0
    assert command("--steps", "225", *options, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts")[1]["actions"]                         # within an episode
    assert command("--steps", "450", "--resume", *options, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("forgotten", ["m.W2", "v.b2", "mean.W2", "theta.b1", "replay.a", "rng", "updates", "actions"])
def test_a_state_that_forgot_something_would_be_noticed(forgotten, forgetting, tmp_path):
    path = shutil.copytree(forgetting / "parts", tmp_path / "parts") / "state.npz"
    with np.load(path) as saved:
        arrays, facts = {k: saved[k] for k in saved.files if k != "facts"}, json.loads(saved["facts"].item())
    if forgotten in facts:
        facts[forgotten] = {"rng": np.random.default_rng(0).bit_generator.state, "updates": 1, "actions": []}[forgotten]
    else:
        arrays[forgotten] = np.zeros_like(arrays[forgotten])
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays)
    assert command("--steps", "450", "--resume", *SLIPPERY, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts")[0] != contents(forgetting / "whole")[0]


def test_the_last_line_is_json_with_the_final_figures(tmp_path, capsys):
    assert command("--steps", "300", "--json", *SMALL, folder=tmp_path) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert figures == json.loads((tmp_path / "result.json").read_text()) and err == ""
    assert (figures["command"], figures["task"], figures["steps"], figures["updates"]) == (
        "train dqn", "frozen-lake", 300, (300 - 40) // 4 + 1)
    assert figures["best_success_probability"] == 1 and figures["suboptimal_states"] >= 0


def test_progress_goes_to_standard_error_and_the_best_without_a_clock_is_named(tmp_path, capsys):
    assert main(["train", "dqn", "--task", "frozen-lake-slippery", "--steps", "30", "--run-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "best success probability  0.740" in out and "30/30" in err


def test_help_shows_the_choices_their_defaults_and_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        main(["train", "dqn", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0 and "example: rlscratch train dqn" in shown
    for name, (default, _, told) in deep_q_learning.LEARNER.items():
        assert f"--{name.replace('_', '-')}" in shown and f"{told} (default: {default})" in shown


@pytest.mark.parametrize(("options", "message"), [
    (["--lr", "0"], "--lr is 0.0; expected a number in (0, 1]"),
    (["--lr-decay", "-1"], "--lr-decay is -1.0; expected a finite number >= 0"),
    (["--gamma", "1.5"], "--gamma is 1.5; expected a number in [0, 1]"),
    (["--epsilon", "nan"], "--epsilon is nan; expected a number in [0, 1]"),
    (["--epsilon-final", "2"], "--epsilon-final is 2.0; expected a number in [0, 1]"),
    (["--epsilon-steps", "0"], "--epsilon-steps is 0; expected an integer >= 1"),
    (["--hidden", "0"], "--hidden is 0; expected an integer >= 1"),
    (["--buffer", "0"], "--buffer is 0; expected an integer >= 1"),
    (["--batch", "0"], "--batch is 0; expected an integer >= 1"),
    (["--start", "0"], "--start is 0; expected an integer >= 1"),
    (["--every", "-3"], "--every is -3; expected an integer >= 1"),
    (["--tau", "0"], "--tau is 0.0; expected a number in (0, 1]"),
    (["--target-every", "0"], "--target-every is 0; expected an integer >= 1"),
    (["--delta", "0"], "--delta is 0.0; expected a finite number > 0"),
    (["--seed", "-1"], "--seed is -1; expected an integer >= 0"),
    (["--steps", "0"], "--steps is 0; expected an integer >= 1"),
    (["--save-every", "0"], "--save-every is 0; expected an integer >= 1"),
    (["--resume"], "expected a folder that holds a run; without resume one is started")])
def test_bad_arguments_are_one_line_and_status_2_and_nothing_is_written(options, message, tmp_path, capsys):
    assert command(*options, folder=tmp_path / "new") == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and out == "" and not (tmp_path / "new").exists()


def test_a_run_is_resumed_with_its_own_choices_only(tmp_path, capsys):
    command("--steps", "60", *SMALL, folder=tmp_path)
    before = contents(tmp_path)
    for options, message in [(("--resume", "--tau", "0.5"), "--tau is 0.5; expected 0.01, with which the run in"),
                             ((), "a folder that holds no run yet; resume continues the one in it")]:
        capsys.readouterr()
        assert command("--steps", "90", *SMALL, *options, folder=tmp_path) == 2
        assert message in capsys.readouterr().err and contents(tmp_path) == before


def test_numbers_that_grow_beyond_all_bounds_are_a_failure_not_a_bad_argument(tmp_path, capsys, monkeypatch):
    def grow(*_, **__):
        raise ValueError("q_next[0, 0] is inf; expected finite numbers")

    monkeypatch.setattr(deep_q_learning, "update", grow)
    assert command("--steps", "60", *SMALL, folder=tmp_path) == 1
    assert "step 40: q_next[0, 0] is inf; expected finite numbers; a smaller lr" in capsys.readouterr().err


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: DQNState.new((16, 4), 0), TypeError, "rng is 0; expected a numpy.random.Generator"),
    (lambda: new(hidden=0), ValueError, "hidden is 0; expected an integer >= 1"),
    (lambda: new(buffer=0), ValueError, "capacity is 0; expected an integer >= 1"),
    (lambda: Replay(2).draw(1, np.random.default_rng(0)), ValueError, "the number of transitions is 0; expected at"),
    (lambda: update(new(), **HOW), ValueError, "the number of transitions is 0; expected at least one"),
    (lambda: settings(lr=0), ValueError, r"alpha is 0; expected a number in \(0, 1\]")])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
