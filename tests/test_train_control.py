"""PPO with networks: the drone keeps the rules, gradients go through the networks, and control is learned.

By hand.  Full thrust to the right from rest, no wind: the speed after one step is .1 x 4 = .4 m/s, the place moves by
.04 m; the battery loses .1 (.02 + .03) = .005.  The reward is -.005 (1 + 1) plus the way gained over 10, with .99.
"""
import json
import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from numpy.testing import assert_allclose

from derivatives import central_difference
from rlscratch import autograd
from rlscratch.__main__ import main
from rlscratch.autograd import Tensor
from rlscratch.formulas import continuous, ppo
from rlscratch.train.control import command, drone, networks
from rlscratch.train.control.ppo import Batch, Learner, Settings

DRONE = "rlscratch.train.control.drone:rlscratch/Drone-v0"
SMALL = Settings(environments=3, steps=16, epochs=2, minibatches=2, hidden=8)


# ---------------------------------------------------------------- the drone

def test_gymnasium_s_checker_finds_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in ({}, {"render_mode": "ansi"}, {"render_mode": "rgb_array"}, {"speed": False}):
            check_env(gymnasium.make(DRONE, **options).unwrapped)
    assert gymnasium.make(DRONE).spec.max_episode_steps == 200


def test_two_frames_without_speed_hold_what_one_with_speed_does():
    envs = [gymnasium.make(f"rlscratch/{name}-v0") for name in ("Drone", "DroneWithoutSpeed", "DroneTwoFrames")]
    for env in envs:
        env.reset(seed=4)
    for action in np.random.default_rng(0).uniform(-1, 1, (5, 2)):
        whole, blind, both = (env.step(action)[0] for env in envs)
    assert_allclose(blind, np.delete(whole, [2, 3]))
    assert_allclose(both[7:], blind)
    moved = (both[7:9] - both[:2]) * drone.FIELD / 2                    # the way of one step, in metres
    assert_allclose(moved / drone.DT, whole[2:4] * drone.FASTEST, atol=1e-4)


def still(**state):
    env = drone.Drone(wind=0.0)
    env.reset(seed=0)
    env.target, env.tree = (9.0, 5.0), (5.0, 2.0)
    env.x, env.y = 1.0, 5.0
    for name, value in state.items():
        setattr(env, name, value)
    return env


def test_a_step_by_hand():
    env = still()
    seen, reward, over, cut, said = env.step(np.array([1.0, 0.0]))
    assert_allclose([env.vx, env.vy, env.x, env.y, env.battery], [0.4, 0, 1.04, 5, 0.995], atol=1e-12)
    assert_allclose(reward, -0.01 + (8 - 0.99 * 7.96) / 10, atol=1e-12)
    assert_allclose(seen, [-0.792, 0, 0.4 / 12, 0, 0.796, 0, 0.396, -0.3, 0.99], atol=1e-6)
    assert (over, cut, said) == (False, False, {"reached": False, "crash": False})


@pytest.mark.parametrize(("state", "reached", "crash"), [
    ({"x": 8.5}, True, False), ({"x": 5.0, "y": 3.19}, False, True), ({"x": 0.0, "vx": -1.0}, False, True),
    ({"battery": 0.001}, False, False), ({"x": 3.0}, False, False)])
def test_an_episode_ends_as_it_should(state, reached, crash):
    env = still(**state)
    _, reward, over, _, said = env.step(np.zeros(2))
    assert said == {"reached": reached, "crash": crash} and over == (reached or crash or env.battery == 0)
    assert (reward > 0.9) == reached and (reward < 0) == (over and not reached)


def test_what_the_drone_shows():
    """North is up: the drone is at (1.25, 6.75), column 2 and row 6 of 20; the target east of it, the tree below."""
    env = still(x=1.25, y=6.75, target=(8.75, 6.75), render_mode="ansi")
    lines = env.render().split("\n")
    assert (len(lines), lines[6][2], lines[6][17], lines[15][10]) == (20, "o", "G", "T")
    assert not set("".join(lines[:4])) - {"."}
    env.render_mode = "rgb_array"
    assert env.render().shape == (100, 100, 3) and len(np.unique(env.render().reshape(-1, 3), axis=0)) == 4


@pytest.mark.parametrize(("action", "message"), [
    ([0.0, 1.5], r"action\[1\] is 1.5; expected a number in \[-1, 1\]"), ([np.nan, 0.0], r"action\[0\] is nan"),
    ([0.0], r"the shape of action is \(1,\); expected \(2,\), a thrust in two directions")])
def test_a_thrust_out_of_bounds_is_refused_and_nothing_moves(action, message):
    env = still()
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert (env.x, env.vx, env.battery) == (1.0, 0.0, 1.0)


def test_a_complex_thrust_is_refused_and_nothing_moves_before_a_reset():
    with pytest.raises(TypeError, match=r"action is array\(\[0.5\+1.j, 0. \+0.j\]\); expected an array of real"):
        still().step(np.array([0.5 + 1j, 0]))
    new = drone.Drone(render_mode="ansi")
    for ask in (lambda: new.step(np.zeros(2)), new.render):
        with pytest.raises(gymnasium.error.ResetNeeded, match="call reset first"):
            ask()


# ---------------------------------------------------------------- gradients

@pytest.mark.parametrize("space", [gymnasium.spaces.Box(-2, 2, (2,)), gymnasium.spaces.Discrete(3)])
def test_the_seeds_give_the_gradient_of_the_loss_through_the_network(space):
    """Against central differences of the loss that the formulas compute, in every parameter of the actor."""
    rng = np.random.default_rng(0)
    kind = networks.Numbers(space) if isinstance(space, gymnasium.spaces.Box) else networks.Listed(space)
    theta = networks.initial(4, 5, kind.outputs, -0.5 if isinstance(kind, networks.Numbers) else None, rng)
    theta = {name: Tensor(t.data.astype(float) + 0.3 * rng.normal(size=t.shape), requires_grad=True)
             for name, t in theta.items()}
    x, advantage, weight, bonus = rng.normal(size=(6, 4)), rng.normal(size=6), np.full(6, 1 / 6), 0.1
    with autograd.no_grad():
        head = networks.output(theta, "actor", x).data
    action = kind.draw(head, theta, rng)
    old = kind.logp(head, theta, action) + 0.1 * rng.normal(size=6)

    def loss(name, value):
        changed = {**theta, name: Tensor(value)}
        with autograd.no_grad():
            head = networks.output(changed, "actor", x).data
        logp = kind.logp(head, changed, action)
        if isinstance(kind, networks.Numbers):
            entropy = continuous.gaussian_entropy(changed["log_std"].data)
        else:
            p = np.exp(head - head.max(axis=1, keepdims=True))
            p = p / p.sum(axis=1, keepdims=True)
            entropy = -(p * np.log(p)).sum(axis=1).mean()
        return continuous.density_clip_loss(logp, old, advantage, weight) - bonus * entropy

    head = networks.output(theta, "actor", x)
    logp = kind.logp(head.data, theta, action)
    dlogp = continuous.density_clip_grad(logp, old, advantage, weight)
    autograd.backward(kind.seeds(head, theta, action, dlogp, bonus))
    assert any(name == "log_std" for name in theta) == isinstance(kind, networks.Numbers)
    for name, t in theta.items():
        if not name.startswith("critic"):
            numeric = central_difference(lambda value, name=name: loss(name, value), t.data)
            assert_allclose(t.grad, numeric, rtol=1e-5, atol=1e-8, err_msg=name)


def test_actions_are_cut_to_their_bounds_and_drawn_with_the_policy_s_odds():
    numbers = networks.Numbers(gymnasium.spaces.Box(np.float32([-2, 0]), np.float32([2, 1])))
    assert numbers.sent(np.array([[3.0, -3.0], [0.5, 0.0]])).tolist() == [[2, 0], [1, 0.5]]
    listed = networks.Listed(gymnasium.spaces.Discrete(2, start=5))
    assert listed.sent(listed.best(np.array([[0.0, 1.0]]))).tolist() == [6]
    drawn = listed.draw(np.log(np.tile([0.2, 0.8], (4000, 1))), {}, np.random.default_rng(0))
    assert abs(drawn.mean() - 0.8) < 0.02
    with pytest.raises(ValueError, match="expected a Box of one axis with finite bounds"):
        networks.Numbers(gymnasium.spaces.Box(-np.inf, np.inf, (2,)))


@pytest.mark.parametrize(("low", "high", "dtype"), [
    (-0.1, 0.1, np.float64), (-0.1, 0.3, np.float32), (0.1, 0.7, np.float16), (-1.7e308, 1.7e308, np.float64)])
def test_what_is_sent_is_in_the_box_and_comes_back_from_a_list_in_the_same_bits(low, high, dtype):
    space = gymnasium.spaces.Box(low, high, (1,), dtype)
    numbers = networks.Numbers(space)
    for action in (-5.0, -1.0, -0.3, 0.0, 0.7, 1.0, 5.0):
        sent = numbers.sent(np.array([[action]], np.float32))[0]
        told = numbers.told(sent.tolist())
        assert space.contains(sent) and sent.dtype == told.dtype == dtype and sent.tobytes() == told.tobytes()
    assert numbers.sent(np.array([[-1.0]])) == space.low and numbers.sent(np.array([[1.0]])) == space.high


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_a_box_of_whole_numbers_is_refused(dtype):
    with pytest.raises(ValueError, match=r"action_space is 'Box\(0, 255, .*'; expected a Box of floats"):
        networks.Numbers(gymnasium.spaces.Box(0, 255, (1,), dtype))


# ---------------------------------------------------------------- the loop

def test_the_same_seed_gives_the_same_run_and_another_another():
    def run(seed):
        learner = Learner(DRONE, SMALL, np.random.default_rng(seed))
        figures = list(learner.learn(2))
        assert all(row["ratio_deviation"] < 1e-5 and row["steps"] == 48 for row in figures)
        return learner.theta["actor.W3"].data.tolist()

    assert run(0) == run(0) != run(1)


def test_a_cut_off_episode_goes_on_in_the_critic_and_a_finished_one_does_not(monkeypatch):
    learner = Learner("Pendulum-v1", SMALL, np.random.default_rng(0))
    found = {}
    monkeypatch.setattr(ppo, "value_grad", lambda v, target, weight: found.setdefault("target", target) * 0)
    learner.batch.envs[0].env._elapsed_steps = 199                          # its limit of 200 is one step away
    seen = learner.batch.collect(learner.theta, 4)
    assert seen["ended"][:, 0].tolist() == [1, 0, 0, 0] and not seen["terminated"].any()
    assert not np.allclose(seen["x_next"][0, 0], seen["x"][1, 0])       # a new episode began elsewhere
    assert np.allclose(seen["x_next"][0, 1], seen["x"][1, 1])


class Broken(gymnasium.Env):
    """Says NaN in its third step: as the reward, or as the observation."""

    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)
    where = "reward"

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.t += 1
        bad = np.nan if self.t == 3 else 0.0
        return (np.array([bad if self.where == "observation" else 0.0]), bad if self.where == "reward" else 1.0, False,
                False, {})


@pytest.mark.parametrize("where", ["reward", "observation"])
def test_what_an_environment_says_that_is_no_number_ends_the_run_with_its_name(where, tmp_path):
    Broken.where = where
    gymnasium.register("Broken-v0", Broken, max_episode_steps=50)
    learner = Learner("Broken-v0", SMALL, np.random.default_rng(0))
    before = learner.theta["actor.W1"].data.copy()
    with pytest.raises(RuntimeError, match=rf"^step\([01]\) of the environment Broken-v0: {where} is .*nan"):
        next(learner.learn(1))
    assert (learner.theta["actor.W1"].data == before).all()
    del gymnasium.registry["Broken-v0"]


@pytest.mark.parametrize(("name", "message"), [
    ("FrozenLake-v1", "expected an environment whose observations are a Box"), ("Nowhere-v0", "env is 'Nowhere-v0'")])
def test_environments_that_it_does_not_take_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        Batch(name, 1, np.random.default_rng(0))


@pytest.mark.compiled_only("training for seconds; the networks are the same on both backends")
def test_a_short_training_keeps_the_pole_up_longer():
    learner = Learner("CartPole-v1", Settings(environments=8, gamma=0.98, lam=0.8, unit=10.0, minibatches=4),
                      np.random.default_rng(0))
    untrained = learner.evaluate(10, seed=0)[0].mean()
    for _ in learner.learn(12):
        pass
    assert learner.evaluate(10, seed=0)[0].mean() > max(100, 2 * untrained)


# ---------------------------------------------------------------- rlscratch train ppo --env

QUICK = ("--epochs", "1", "--minibatches", "2", "--quiet", "--save-every", "2")


def trained(folder, env, *options):
    return main(["train", "ppo", "--env", env, "--run-dir", str(folder), *QUICK, *options])


@pytest.fixture
def small(monkeypatch):
    """The command with three short batches and few episodes at the end."""
    tiny = Settings(environments=2, steps=15, hidden=8)
    monkeypatch.setattr(command, "EPISODES", 3)
    monkeypatch.setattr(command, "Settings", lambda: tiny)
    monkeypatch.setattr(command, "RECIPES", {"drone": (DRONE, tiny, 4)})


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("env", ["drone", "Pendulum-v1", "CartPole-v1"])
def test_a_run_stopped_within_its_episodes_and_resumed_ends_in_the_same_bits(env, tmp_path, small, monkeypatch):
    assert trained(tmp_path / "whole", env, "--steps", "4") == 0
    update = command.Learner.update

    def stops(self, done, updates):
        if done == 2:
            raise KeyboardInterrupt
        return update(self, done, updates)

    monkeypatch.setattr(command.Learner, "update", stops)
    assert trained(tmp_path / "parts", env, "--steps", "4") == 130
    monkeypatch.setattr(command.Learner, "update", update)
    assert main(["train", "ppo", "--resume", "--quiet", "--run-dir", str(tmp_path / "parts")]) == 0
    both = []
    for name in ("whole", "parts"):
        with np.load(tmp_path / name / "state.npz") as saved:
            facts = json.loads(saved["facts"].item())
            assert facts.pop("seconds") > 0 and any(facts["sent"])          # an episode is under way
            both.append(({key: saved[key].tobytes() for key in saved.files if key != "facts"}, facts,
                         (tmp_path / name / "metrics.jsonl").read_text("utf-8")))
    assert both[0] == both[1]
    found = json.loads((tmp_path / "whole" / "result.json").read_text("utf-8"))
    assert found["measured_episodes"] == 3 and ("reached" in found) == (env == "drone") and found["epochs"] == 1


def test_an_episode_that_does_not_come_to_what_it_did_begins_anew_and_others_go_on(capsys):
    learner, other = (Learner("CartPole-v1", SMALL, np.random.default_rng(seed)) for seed in (0, 1))
    next(learner.learn(1))
    arrays, facts = learner.kept()
    other.restore(arrays, facts)
    assert capsys.readouterr().err == "" and other.rng.random() == learner.rng.random()
    changed = json.loads(json.dumps(facts))
    changed["sent"][1][-1] = 7                                          # no such action: its step fails
    changed["totals"][2] += 1                                           # as if it had paid more
    other.restore(arrays, changed)
    assert ("the environment CartPole-v1 does not repeat itself from a seed: 2 of 3 episodes that were under way begin "
            "anew; all that was learned stays") in capsys.readouterr().err
    batch = other.batch
    assert [len(sent) for sent in batch.sent] == [len(facts["sent"][0]), 0, 0] and batch.totals[1:].tolist() == [0, 0]
    assert (batch.at == arrays["at"]).all(axis=1).tolist() == [True, False, False]
    assert batch.seeds[0] == facts["seeds"][0]
    assert batch.seeds[1] != facts["seeds"][1] and (batch.at[1] == batch.envs[1].reset(batch.seeds[1])[0]).all()


def test_an_environment_that_ignores_its_seed_goes_on_with_new_episodes(mine, tmp_path, small, capsys):
    env = mine("seen[0] = np.random.default_rng().uniform()")
    assert trained(tmp_path / "run", env, "--steps", "2") == 0 and capsys.readouterr().err == ""
    assert main(["train", "ppo", "--resume", "--quiet", "--run-dir", str(tmp_path / "run"), "--steps", "3"]) == 0
    assert f"the environment {env} does not repeat itself from a seed: 2 of 2 episodes" in capsys.readouterr().err
    with np.load(tmp_path / "run" / "state.npz") as saved:
        facts = json.loads(saved["facts"].item())
    assert facts["step"] == 3 and [len(sent) for sent in facts["sent"]] == [15, 15]


@pytest.mark.parametrize(("env", "options", "message"), [
    ("CartPole-v1", ("--whiten",), "--whiten is True; expected no such option with --env CartPole-v1: it is for"),
    ("CartPole-v1", ("--lam", "2"), "--lam is 2.0; expected a number in [0, 1]"),
    ("CartPole-v1", ("--lr", "0"), "--lr is 0.0; expected a finite number > 0"),
    ("CartPole-v1", ("--steps", "0"), "--steps is 0; expected an integer >= 1"),
    ("drone", ("--group", "2"), "unrecognized arguments"),
    ("drone", ("--beta", "0.1"), "--beta is 0.1; expected no such option with --env drone"),
    ("drone", ("--hole-reward", "-1"), "--hole-reward is -1; expected no such option beside env"),
    ("Nowhere-v0", (), "--env is 'Nowhere-v0'; expected"),
    ("Blackjack-v1", (), "--env is 'Blackjack-v1'; expected an environment whose observations are a Box")])
def test_bad_arguments_of_the_command_are_one_line_and_nothing_is_written(env, options, message, tmp_path, capsys):
    try:
        status = trained(tmp_path / "new", env, *options)
    except SystemExit as ended:
        status = ended.code
    assert status == 2 and message in capsys.readouterr().err and not (tmp_path / "new").exists()


def test_an_environment_with_a_table_is_trained_as_a_table(tmp_path):
    assert trained(tmp_path / "run", "FrozenLake-v1", "--steps", "1") == 0
    with np.load(tmp_path / "run" / "state.npz") as saved:
        assert "logits" in saved.files


# Goes wrong by the code `bad`, at a reset or a step, in episodes whose seed is as `when` says.
FILE = """
import gymnasium, numpy as np
from gymnasium.spaces import Box, Discrete

class Mine(gymnasium.Env):
    observation_space, action_space = {spaces}

    def reset(self, *, seed=None, options=None):
        self.wrong, info, seen = {when}, {{}}, np.zeros(1, np.float32)
        if self.wrong and {at_reset}:
            {bad}
        return seen, info

    def step(self, action):
        info, seen, reward, over = {{}}, np.zeros(1, np.float32), 1.0, False
        if self.wrong and not {at_reset}:
            {bad}
        return seen, reward, over, False, info
"""


@pytest.fixture
def mine(tmp_path):
    def write(bad="pass", at_reset=False, when="True", spaces="Box(-1, 1, (1,)), Discrete(2)"):
        (tmp_path / "mine.py").write_text(FILE.format(bad=bad, at_reset=at_reset, when=when, spaces=spaces), "utf-8")
        return f"{tmp_path / 'mine.py'}:Mine"

    return write


@pytest.mark.parametrize(("bad", "at_reset", "message"), [
    ("1 / 0", True, "reset of the environment {env} failed: ZeroDivisionError('division by zero')"),
    ("seen = {}", True, "reset of the environment {env}: observation is {}; expected an array of numbers"),
    ("info = None", True, "reset of the environment {env}: info is None; expected a dict"),
    ("1 / 0", False, "of the environment {env} failed: ZeroDivisionError('division by zero')"),
    ("seen[0] = np.nan", False, "of the environment {env}: observation is [nan]; expected finite numbers"),
    ("reward = float('nan')", False, "of the environment {env}: reward is nan; expected a finite number"),
    ("reward = 1e308", False, "of the environment {env}: reward is 1e+308; expected a number between -1e+12 and 1e+12"),
    ("over = None", False, "of the environment {env}: terminated is None; expected True or False"),
    ("over = 'no'", False, "of the environment {env}: terminated is 'no'; expected True or False"),
    ("info = None", False, "of the environment {env}: info is None; expected a dict")])
@pytest.mark.parametrize("measured", [False, True])
def test_what_an_environment_should_not_say_is_one_line_in_training_and_after_it(
        bad, at_reset, message, measured, mine, tmp_path, small, capsys):
    env = mine(bad, at_reset, f"{command.APART} <= seed < {command.APART + 3}" if measured else "True")
    assert trained(tmp_path / "run", env, "--steps", "1") == 1
    err = capsys.readouterr().err
    assert message.replace("{env}", env) in err and err.count("\n") == 1
    assert ("--resume with this --run-dir goes on from there" in err) == measured
    if measured:
        with np.load(tmp_path / "run" / "state.npz") as saved:
            assert json.loads(saved["facts"].item())["step"] == 1


@pytest.mark.parametrize(("spaces", "message"), [
    ("Box(-1, 1, ()), Discrete(2)", "expected an environment whose observations are a Box with an axis and numbers on"),
    ("Box(-1, 1, (0,)), Discrete(2)", "expected an environment whose observations are a Box with an axis and numbers"),
    ("Box(-1, 1, (1,)), Box(-1, 1, ())", "expected an environment whose actions are Discrete or a Box with an axis"),
    ("Box(-1, 1, (1,)), Box(-1, 1, (0,))", "expected an environment whose actions are Discrete or a Box with an axis")])
def test_spaces_with_nothing_to_see_or_to_choose_are_refused(spaces, message, mine, tmp_path, capsys):
    assert trained(tmp_path / "run", mine(spaces=spaces), "--steps", "1") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_a_step_that_fails_is_one_line_and_the_last_save_stays(tmp_path, small, monkeypatch, capsys):
    step = gymnasium.envs.classic_control.CartPoleEnv.step
    calls = []

    def fails(self, action):
        calls.append(action)
        return 1 / 0 if len(calls) > 80 else step(self, action)

    monkeypatch.setattr(gymnasium.envs.classic_control.CartPoleEnv, "step", fails)
    assert trained(tmp_path / "run", "CartPole-v1", "--steps", "4") == 1
    assert "failed: ZeroDivisionError" in capsys.readouterr().err
    with np.load(tmp_path / "run" / "state.npz") as saved:
        assert json.loads(saved["facts"].item())["step"] == 2
