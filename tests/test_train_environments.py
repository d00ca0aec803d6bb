"""--env: environments of Gymnasium by id and from files of a user's own, exactly where there is a table, and by DQN.

By hand.  The cliff: 13 steps of -1 along its edge, so no policy returns more than -13; a uniform policy falls for 200
steps.  A walk of three places that pays 1/2 a step and 1 at its right end, both ways equally likely: see `WALK`.
Greedy episodes of total rewards 1, 2, 6: mean 3, and the standard error is sqrt((4 + 1 + 9) / (3 2)) = 1.5275.
"""
import json
import re
from itertools import islice

import gymnasium
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from derivatives import central_difference
from rlscratch.__main__ import main
from rlscratch.autograd import Tensor
from rlscratch.formulas import td
from rlscratch.formulas.distribution import softmax
from rlscratch.mdp import MDP
from rlscratch.train import environments, from_file
from rlscratch.train.dqn import deep_q_learning
from rlscratch.train.dqn.deep_q_learning import DQNState, learn, settings, update
from rlscratch.train.dqn.network import FEW, Measured, Numbered, q_table, q_values
from rlscratch.train.dqn.watched import Watched, evaluation, total_rewards
from rlscratch.train.tabular import charted, clone, grpo, ppo, reinforce, worlds
from rlscratch.train.tabular.charted import Charted
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import Transition

pytestmark = pytest.mark.usefixtures("undrawn", "unsynced")

METHODS = {m.name: m for m in (reinforce.METHOD, ppo.METHOD, grpo.METHOD, clone.METHOD)}
HEAD = "import gymnasium\nimport numpy as np\nfrom gymnasium.spaces import Box, Dict, Discrete\n\n"

# Places 0 1 2, from 1 to either side; 2 is the end and pays 1, a step to the left 1/2.
WALK = HEAD + """
class Walk(gymnasium.Env):
    observation_space, action_space = Discrete(3), Discrete(2)
    P = {s: {a: [(1.0, *((max(s - 1, 0), 0.5, False) if a == 0 else (s + 1, float(s == 1), s == 1)))]
             for a in (0, 1)} for s in (0, 1)} | {2: {a: [(1.0, 2, 0.0, True)] for a in (0, 1)}}
    initial_state_distrib = np.array([0.0, 1.0, 0.0])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.s = 1
        return self.s, {}

    def step(self, a):
        (_, self.s, reward, over), = self.P[self.s][a]
        return self.s, reward, over, False, {}
"""

# A number in [0, 4], seen as an array (1, 2) of itself and of a constant; up or down by 1; the top pays 1 and ends.
CLIMB = HEAD + """
class Climb(gymnasium.Env):
    observation_space = Box(np.array([[0.0, -np.inf]]), np.array([[4.0, np.inf]]), dtype=np.float64)
    action_space = Discrete(2, start=5)

    def seen(self):
        return np.array([[self.x, 7.0]])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.x = float(self.np_random.integers(3))
        return self.seen(), {}

    def step(self, a):
        assert a in (5, 6)
        self.x = max(self.x + (1 if a == 6 else -1), 0.0)
        return self.seen(), float(self.x == 4), self.x == 4, False, {}
"""


@pytest.fixture
def file(tmp_path):
    def write(text, name="mine.py"):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


def command(method, env, *options, folder):
    return main(["train", method, "--env", str(env), "--quiet", "--run-dir", str(folder), *map(str, options)])


def result(folder):
    return json.loads((folder / "result.json").read_text("utf-8"))


def refused(capsys, method, env, *options, folder, status=2):
    """The one line that a command ends with; for bad arguments nothing is written."""
    assert command(method, env, *options, folder=folder) == status
    out, err = capsys.readouterr()
    assert err.startswith("rlscratch: ") and err.count("\n") == 1 and out == ""
    assert status == 1 or not folder.exists()
    return err


# ---------------------------------------------------------------- FILE.py:name

def test_a_file_gives_what_it_calls_by_a_name_and_is_run_anew(file):
    (file("x = 1", "beside_it.py"))
    path = file("import beside_it\nthings = [beside_it.x]\n")
    first, again = (from_file.load(f"{path}:things") for _ in range(2))
    assert first == again == [1] and first is not again


@pytest.mark.parametrize(("text", "says"), [
    ("mine.py", "expected FILE.py:name"), ("mine.txt:env", "expected FILE.py:name"), ("mine.py:a b", "FILE.py:name"),
    ("no.py:env", "is 'no.py'; expected a file that is there"),
    ("mine.py:env", "is 'env'; expected a name of mine.py, which has other"),
    ("fails.py:env", "is 'ZeroDivisionError: division by zero'; expected a file that Python can run"),
    ("leaves.py:env", "is 'SystemExit: 3'; expected a file that Python can run"),
    ("wrong.py:env", "expected a file that Python can run")])
def test_what_is_no_such_file_or_name_is_said(text, says, file, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name, content in (("mine.py", "other = 1"), ("fails.py", "1 / 0"), ("leaves.py", "raise SystemExit(3)"),
                          ("wrong.py", "def")):
        file(content, name)
    with pytest.raises(ValueError) as wrong:
        from_file.load(text)
    assert says in str(wrong.value)


# ---------------------------------------------------------------- any environment

@pytest.mark.parametrize(("env", "max_steps", "expected"), [
    ("FrozenLake-v1", None, 100), ("FrozenLake-v1", 7, 7), ("FrozenLake-v1", 700, 100), ("CliffWalking-v1", 30, 30),
    ("CliffWalking-v1", None, environments.LIMIT), ("CartPole-v1", None, 500)])
def test_every_environment_has_a_limit(env, max_steps, expected):
    made = environments.make(env, max_steps)
    assert environments.limit(made) == expected


@pytest.mark.parametrize("ending", ["made = Walk()", "made = Walk", "def made():\n    return Walk()"])
def test_an_environment_of_one_s_own_is_made_anew_and_cut_off(ending, file):
    path = file(WALK + ending)
    first, again = (environments.make(f"{path}:made", 4) for _ in range(2))
    assert first.unwrapped is not again.unwrapped and environments.limit(first) == 4
    first.reset(seed=0)
    assert [first.step(0)[3] for _ in range(4)] == [False, False, False, True]


@pytest.mark.compiled_only("compares configurations")
@pytest.mark.parametrize("method", ["q-learning", "ppo", "dqn"])
def test_a_file_that_has_changed_is_not_resumed_with_and_elsewhere_the_same_one_is(
        method, file, tmp_path, capsys, monkeypatch):
    text = CLIMB.replace("Climb", "Walk") if method == "dqn" else WALK
    few = {"q-learning": (), "ppo": ("--episodes", 4), "dqn": ("--evaluation-episodes", 2)}[method]
    monkeypatch.chdir(tmp_path)
    file(text)
    assert command(method, "mine.py:Walk", "--steps", 2, "--max-steps", 20, *few, folder=tmp_path / "run") == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = ("train", method, "--resume", "--quiet", "--run-dir", str(tmp_path / "run"), "--steps", "3")
    assert main(again) == 0 and result(tmp_path / "run")["steps"] == 3
    changed = text + "    # another reward, say\n"
    file(changed)
    capsys.readouterr()
    assert main(again) == 2
    was, became = (rf"'Walk, {len(content)} bytes, SHA-256 \w{{16}}...'" for content in (text, changed))
    assert re.search(f"--env is {became}; expected {was}", capsys.readouterr().err)


@pytest.mark.parametrize(("ending", "says"), [
    ("made = 3", "expected a gymnasium.Env or what makes one; this is int"),
    ("def made():\n    return []", "expected a gymnasium.Env or what makes one; this is list"),
    ("def made(size):\n    return Walk()", "what makes an environment without arguments; it failed"),
    ("def made():\n    1 / 0", "it failed: ZeroDivisionError")])
@pytest.mark.parametrize("method", ["q-learning", "ppo", "dqn"])
def test_what_is_no_environment_is_refused(ending, says, method, file, tmp_path, capsys):
    assert says in refused(capsys, method, f"{file(WALK + ending)}:made", folder=tmp_path / "new")


@pytest.mark.parametrize("method", ["q-learning", "reinforce", "grpo", "clone", "dqn"])
@pytest.mark.parametrize(("env", "options", "says"), [
    ("Nowhere-v0", (), "--env is 'Nowhere-v0'; expected an id of Gymnasium or FILE.py:name (Environment `Nowhere`"),
    ("CartPole-v77", (), "--env is 'CartPole-v77'; expected an id of Gymnasium or FILE.py:name"),
    ("no.py:env", (), "expected a file that is there"),
    ("FrozenLake-v1", ("--max-steps", 0), "--max-steps is 0; expected an integer >= 1")])
def test_names_of_nothing_are_refused(method, env, options, says, tmp_path, capsys):
    assert says in refused(capsys, method, env, *options, folder=tmp_path / "new")


@pytest.mark.parametrize(("method", "options", "says"), [
    ("ppo", ("--task", "ice-cream"), "--task is 'ice-cream'; expected no such option beside env"),
    ("clone", ("--task", "ice-cream"), "--task is 'ice-cream'; expected no such option beside env"),
    ("dqn", ("--hole-reward", "-1"), "--hole-reward is -1; expected no such option beside env"),
    ("q-learning", ("--map", "8x8"), "--map is '8x8'; expected no such option beside env"),
    ("grpo", ("--init", "runs/sft"), "--init is 'runs/sft'; expected no such option with --env FrozenLake-v1"),
    ("dqn", ("--evaluation-episodes", "0"), "--evaluation-episodes is 0; expected an integer >= 1")])
def test_options_of_a_task_are_refused_beside_an_environment(method, options, says, tmp_path, capsys):
    assert says in refused(capsys, method, "FrozenLake-v1", *options, folder=tmp_path / "new")


@pytest.mark.parametrize("options", [("q-learning",), ("dqn",), ("ppo",), ("grpo", "--task", "addition")])
def test_a_limit_without_an_environment_is_refused(options, tmp_path, capsys):
    assert main(["train", *options, "--max-steps", "9", "--run-dir", str(tmp_path / "new")]) == 2
    assert "--max-steps is 9; expected none without env" in capsys.readouterr().err


# ---------------------------------------------------------------- a table

def test_a_lake_by_its_id_is_the_lake():
    ice, lake = Charted("FrozenLake-v1"), Lake("4x4", slippery=True)
    assert ice.measure == "success_probability" and ice.horizon == 100
    q = np.random.default_rng(0).normal(size=(16, 4))
    policy = td.epsilon_greedy(q, 0.0)
    assert_allclose(ice.worth(policy), lake.success_probability(policy), rtol=1e-12)
    assert ice.best_worth() == lake.best_success_probability() and ice.figures(q, policy)["path_length"] is None
    world = worlds.of_environment("FrozenLake-v1")
    assert world.best[1] == worlds.make("frozen-lake-slippery").best[1]


@pytest.mark.parametrize(("env", "measure", "best"), [
    ("CliffWalking-v1", "expected_return", -13), ("Taxi-v4", "expected_return", 7.93),
    ("FrozenLake8x8-v1", "success_probability", None)])
def test_the_best_that_can_be_done(env, measure, best):
    known = Charted(env)
    assert known.measure == measure and (best is None or abs(known.best_worth() - best) < 1e-9)


def test_worth_is_the_expected_total_within_the_limit(file):
    world = worlds.of_environment(f"{file(WALK)}:Walk", 2)
    uniform = np.full((3, 2), 0.5)
    # right: 1.  left: 1/2 and from 0 left again, 1/2, or right, 0.
    assert_allclose(world.worth(uniform), 0.5 * 1 + 0.5 * (0.5 + 0.5 * 0.5))
    assert world.measure == "expected_return" and world.best[1] == 1.0
    assert_allclose(worlds.of_environment(f"{file(WALK)}:Walk", 50).best[1], 25)            # left for ever


@pytest.mark.parametrize(("paid", "back", "expected"), [
    (1.0, False, True), (0.5, False, False), (0.0, False, False), (1.0, True, False)])
def test_what_is_paid_for_arrival_alone_is_a_probability(paid, back, expected):
    step = np.zeros((3, 2, 3))
    step[0, :, 1] = step[1, :, 2] = step[2, :, 2] = 1
    if back:                                                # one move pays and goes on
        step[1, 1] = [1, 0, 0]
    reward = np.array([0, paid, 0])[:, None, None] * step
    assert charted._pays_for_arrival(MDP(step, reward, 1.0, 0, (0, 0, 1))) is expected


@pytest.mark.compiled_only("calls draw alone, and its twin is equal bit for bit", kernels=("draw",))
def test_q_learning_walks_along_the_cliff(tmp_path):
    assert command("q-learning", "CliffWalking-v1", "--steps", 9000, "--alpha", 0.5, folder=tmp_path) == 0
    found = result(tmp_path)
    assert (found["expected_return"], found["best_expected_return"], found["path_length"]) == (-13, -13, 13)
    assert found["env"] == "CliffWalking-v1" and found["path_error"] < 1e-6 and "map" not in found


@pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))
@pytest.mark.parametrize("name", METHODS)
def test_every_tabular_method_reports_the_exact_return_and_resumes(name, file, tmp_path):
    env, options = f"{file(WALK)}:Walk", ("--save-every", 2, "--seed", 3, "--max-steps", 6)
    assert command(name, env, "--steps", 4, *options, folder=tmp_path / "whole") == 0
    assert command(name, env, "--steps", 2, *options, folder=tmp_path / "parts") == 0
    assert command(name, env, "--steps", 4, "--resume", *options, folder=tmp_path / "parts") == 0
    whole, parts = (result(tmp_path / which) for which in ("whole", "parts"))
    for found in (whole, parts):
        found.pop("seconds"), found.pop("run_dir")
    assert whole == parts and whole["max_steps"] == 6 and whole["best_expected_return"] == 3
    with np.load(tmp_path / "whole" / "state.npz") as saved:
        world = worlds.of_environment(env, 6)
        assert whole["expected_return"] == world.worth(softmax(saved["logits"]))


@pytest.mark.compiled_only("calls softmax alone, and its twins agree", kernels=("log_softmax", "softmax"))
def test_ppo_comes_near_the_best_of_the_taxi_and_reinforce_finds_a_way_past_the_cliff():
    for name, env, steps, least, chosen in (("ppo", "Taxi-v4", 70, 7.0, {"episodes": 128}),
                                            ("reinforce", "CliffWalking-v1", 15, -25, {})):
        world = worlds.of_environment(env)
        *_, (tables, _) = islice(METHODS[name].learn(world, np.random.default_rng(0), **chosen), steps)
        assert least < world.worth(softmax(tables["logits"])) <= world.best[1] + 1e-9


@pytest.mark.parametrize("method", ["q-learning", "grpo", "clone", "reinforce"])
def test_an_environment_without_a_table_is_for_dqn(method, tmp_path, capsys):
    said = refused(capsys, method, "CartPole-v1", folder=tmp_path / "new")
    assert "the tabular methods need one; rlscratch train dqn" in said


@pytest.mark.parametrize(("method", "body", "says"), [
    ("reset", "1 / 0", "reset of the environment {}:Bad failed: ZeroDivisionError"),
    ("step", "1 / 0", ") of the environment {}:Bad failed: ZeroDivisionError"),
    ("step", "return 3, 0.0, False, False, {{}}", "of the environment {}:Bad: observation is 3; expected an"),
    ("step", "return 0, np.nan, False, False, {{}}", "of the environment {}:Bad: reward is nan; expected a fini"),
    ("step", "return 0, 0.0, 'no', False, {{}}", "of the environment {}:Bad: terminated is 'no'; expected")])
def test_what_an_environment_with_a_table_should_not_say_is_one_line(method, body, says, file, tmp_path, capsys):
    path = file(f"{WALK}\nclass Bad(Walk):\n    def {method}(self, *args, **kwargs):\n        {body.format()}\n")
    assert says.format(path) in refused(capsys, "q-learning", f"{path}:Bad", folder=tmp_path / "new", status=1)


@pytest.mark.parametrize("broken", ["P = {0: {0: [(1.0, 0, 0.0)]}}", "P = [3]", "P = {0: {0: [(1.0, 9, 0.0, True)]}}",
                                    "P = {0: {0: [(0.5, 0, 0.0, True)]}}"])
def test_a_table_that_is_none_is_one_line(broken, file, tmp_path, capsys):
    path = file(f"{WALK}\nclass Broken(Walk):\n    {broken}\n    initial_state_distrib = np.ones(1)\n")
    refused(capsys, "ppo", f"{path}:Broken", folder=tmp_path / "new")


# ---------------------------------------------------------------- what the network of DQN sees

def test_the_middle_half_of_bounds_gets_variance_1_and_other_numbers_stay_as_they_are():
    see = Measured([[0.0, -np.inf], [-1e30, 2.0]], [[4.0, np.inf], [1e30, 2.0]])
    row = see.state([[3.0, 7.0], [0.5, 2.0]])
    assert row.dtype == np.float32 and see.inputs == 4
    assert_array_equal(row, np.float32([3**0.5, 7.0, 0.5, 2.0]))
    pixels = Measured(np.zeros(256, np.uint8), np.full(256, 255, np.uint8)).state(np.arange(256, dtype=np.uint8))
    assert_allclose([pixels.mean(), pixels[64:192].std(), pixels.max()], [0, 1, 12**0.5], atol=0.005)


@pytest.mark.parametrize("observation", [[np.nan, 0], [0, np.inf], [1e300, 0], [0.0], [[0.0, 0.0]], ["a", "b"]])
def test_what_is_no_state_is_refused(observation):
    with pytest.raises((ValueError, TypeError)):
        Measured([-np.inf] * 2, [np.inf] * 2).state(observation)
    with pytest.raises((ValueError, TypeError)):
        Numbered(5, first=2).state(7 if observation[0] else 1.5)
    assert Numbered(5, first=2).state(np.array([6])) == Numbered(5, first=2).state(np.int64(6)) == 4


def test_many_numbered_states_are_rows_of_their_own_and_give_the_same():
    rng = np.random.default_rng(0)
    theta = {name: Tensor(rng.normal(size=shape).astype(np.float32), requires_grad=True) for name, shape in
             {"W1": (FEW + 1, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}.items()}
    see, states = Numbered(FEW + 1), np.array([4, 9, 4])
    x, rows = see.seen(states)
    assert_allclose(q_table(theta, x)[rows], q_table(theta)[states], rtol=1e-6)
    assert_allclose(see.answers(theta)(9), q_table(theta)[9], rtol=1e-6)


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("wrong", [None, "sign", "action"])
def test_the_gradient_of_a_batch_of_measured_states(name, wrong):
    rng = np.random.default_rng(5)
    theta = {key: Tensor(rng.normal(size=shape), requires_grad=True) for key, shape in
             {"W1": (3, 7), "b1": (7,), "W2": (7, 2), "b2": (2,)}.items()}
    x, a, y = rng.normal(size=(9, 3)), rng.integers(2, size=9), rng.normal(size=9)
    plain = {key: t.data.copy() for key, t in theta.items()}

    def loss(value):
        p = {**plain, name: value}
        q = np.maximum(x @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]
        return td.huber_loss(q[np.arange(9), a] - y, 0.5).mean()

    states, rows = Measured([-np.inf] * 3, [np.inf] * 3).seen(x)
    q = q_values(theta, states)[rows, 1 - a if wrong == "action" else a]
    q.backward((-1 if wrong == "sign" else 1) * td.huber_grad(q.data - y, 0.5) / 9)
    assert np.allclose(theta[name].grad, central_difference(loss, plain[name]), atol=1e-7) == (wrong is None)


# ---------------------------------------------------------------- DQN in any environment

def test_a_climb_is_learned_and_its_values_are_powers_of_gamma(file):
    env = Watched(f"{file(CLIMB)}:Climb", 30)
    state = DQNState.new((env.see, env.actions), np.random.default_rng(0), 32)
    chosen = settings(gamma=0.5, lr=0.01, start=100, every=1, batch=32, epsilon_steps=500)
    for _ in islice(learn(env, state, **chosen), 1000):
        pass
    q = state.see.answers(state.mean)
    values = [q(state.see.state([[x, 7.0]])).max() for x in (0.0, 1.0, 2.0, 3.0)]
    assert_allclose(values, [0.125, 0.25, 0.5, 1.0], atol=0.03)
    totals = total_rewards(Watched(f"{file(CLIMB)}:Climb", 30), state.mean, 20, np.random.default_rng(1))
    assert_array_equal(totals, np.ones(20))


def test_what_the_limit_cuts_off_goes_on_and_what_ends_does_not(file):
    env = Watched(f"{file(CLIMB)}:Climb", 3)
    state = DQNState.new((env.see, env.actions), np.random.default_rng(0))
    seen = list(islice(learn(env, state, **settings(start=1000)), 200))
    ends = [bool(t.s_next[0] > 3) for t in seen]              # the top, 4, is mapped to 2 sqrt(3)
    assert state.episode > 60 and 0 < sum(ends) < 30
    assert [t.terminated for t in seen] == ends == state.replay.arrays["terminated"][:200].tolist()


def test_after_a_cut_the_target_is_what_the_averaged_network_says():
    see = Measured([-np.inf], [np.inf])
    for terminated, target in ((True, 0.25), (False, 0.25 + 0.5 * 2)):
        state = DQNState.new((see, 2), np.random.default_rng(0), 1)
        state.mean["b2"].data[...] = [1.0, 2.0]
        state.replay.put(Transition(np.float32([3.0]), 1, 0.25, np.float32([4.0]), terminated))
        update(state, gamma=0.5, lr=0.0, batch=2, tau=0.01, target_every=1, delta=100.0)
        assert_allclose(state.theta["b2"].grad, [0, -target], rtol=1e-6)


def test_the_evaluation_is_a_mean_and_its_standard_error():
    found = evaluation(np.array([1.0, 2.0, 6.0]))
    assert found["mean_return"] == 3 and found["measured_episodes"] == 3
    assert_allclose(found["mean_return_error"], np.sqrt(14 / 6))
    assert evaluation(np.array([2.0]))["mean_return_error"] is None


SMALL = ("--start", 40, "--batch", 8, "--hidden", 8, "--seed", 5, "--save-every", 40, "--evaluation-episodes", 4)


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("env", ["CartPole-v1", "Taxi-v4", "climb"])
def test_a_run_stopped_within_an_episode_and_resumed_ends_in_the_same_bits(env, file, tmp_path):
    env = f"{file(CLIMB)}:Climb" if env == "climb" else env
    for name, steps, more in (("whole", 160, ()), ("parts", 80, ()), ("parts", 160, ("--resume",))):
        assert command("dqn", env, "--steps", steps, *SMALL, *more, folder=tmp_path / name) == 0
    both = []
    for name in ("whole", "parts"):
        with np.load(tmp_path / name / "state.npz") as saved:
            facts = json.loads(saved["facts"].item())
            facts.pop("seconds")
            both.append(({key: saved[key].tobytes() for key in saved.files if key != "facts"}, facts,
                         (tmp_path / name / "metrics.jsonl").read_text("utf-8")))
    assert both[0] == both[1]
    found = result(tmp_path / "whole")
    assert found["measured_episodes"] == 4 and {"mean_return", "mean_return_error"} <= found.keys()


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize(("place", "told"), [("np.random.default_rng().uniform(0, 3)", True), ("self.x", False)])
def test_dqn_begins_anew_where_the_environment_does_not_repeat_itself(place, told, file, tmp_path, capsys):
    path = file(f"{CLIMB}\nclass Mine(Climb):\n    def step(self, a):\n        self.x = {place}\n"
                "        return self.seen(), 0.0, False, False, {}\n")
    for more in (("--steps", 50), ("--steps", 60, "--resume")):
        assert capsys.readouterr().err == ""
        assert command("dqn", f"{path}:Mine", *more, *SMALL, "--max-steps", 100, folder=tmp_path / "run") == 0
    assert ("does not repeat itself from a seed: 1 of 1 episodes" in capsys.readouterr().err) == told
    with np.load(tmp_path / "run" / "state.npz") as saved:
        facts = json.loads(saved["facts"].item())
    assert facts["step"] == 60 and len(facts["actions"]) == (10 if told else 60)


def test_defaults_with_an_environment_are_its_own(tmp_path, capsys):
    assert command("dqn", "CartPole-v1", "--steps", 5, "--tau", 0.5, folder=tmp_path) == 0
    found = result(tmp_path)
    usual = {name: default for name, (default, _, _) in deep_q_learning.LEARNER.items()} | deep_q_learning.ENVIRONMENT
    assert {name: found[name] for name in deep_q_learning.LEARNER} == {
        name: usual[name] for name in deep_q_learning.LEARNER} | {"tau": 0.5}
    assert "task" not in found and "hole_reward" not in found


@pytest.mark.parametrize(("spaces", "says"), [
    ("observation_space = Dict({'a': Discrete(2)})", "a Box with an axis and numbers on it; this has Dict"),
    ("observation_space = Box(0, 1, (0,))", "a Box with an axis and numbers on it; this has Box"),
    ("observation_space = Box(0, 1, ())", "a Box with an axis and numbers on it; this has Box"),
    ("action_space = Box(0, 1, (1,))", "whose actions are Discrete, for a maximum over them; this has Box")])
def test_spaces_that_dqn_does_not_take_are_refused(spaces, says, file, tmp_path, capsys):
    path = file(f"{CLIMB}\nclass Other(Climb):\n    {spaces}\n")
    assert says in refused(capsys, "dqn", f"{path}:Other", folder=tmp_path / "new")


@pytest.mark.parametrize(("body", "says"), [
    ("return np.array([[np.nan, 0]]), 0.0, False, False, {}", "mine.py:Bad: observation is [[nan, 0.0]]"),
    ("return np.array([[0, np.inf]]), 0.0, False, False, {}", "mine.py:Bad: observation is [[0.0, inf]]"),
    ("return np.zeros(3), 0.0, False, False, {}", "mine.py:Bad: the shape of observation is (3,); expected (1"),
    ("return self.seen(), float('nan'), False, False, {}", "mine.py:Bad: reward is nan; expected a finite num"),
    ("return self.seen(), np.inf, False, False, {}", "mine.py:Bad: reward is inf; expected a finite number"),
    ("return self.seen(), 1e308, False, False, {}", "mine.py:Bad: reward is 1e+308; expected a number between"),
    ("return self.seen(), 0.0, None, False, {}", "mine.py:Bad: terminated is None; expected True or False"),
    ("return self.seen(), 0.0, False, 'no', {}", "mine.py:Bad: truncated is 'no'; expected True or False"),
    ("return self.seen(), None, False, False, {}", "mine.py:Bad: reward is None; expected a finite number"),
    ("return self.seen(), 0.0", "mine.py:Bad failed: ValueError('not enough values to unpack"),
    ("1 / 0", "mine.py:Bad failed: ZeroDivisionError")])
def test_what_an_environment_should_not_say_ends_the_run_with_one_line(body, says, file, tmp_path, capsys):
    path = file(f"{CLIMB}\nclass Bad(Climb):\n    def step(self, a):\n        {body}\n")
    assert says in refused(capsys, "dqn", f"{path}:Bad", "--steps", 5, folder=tmp_path / "new", status=1)


def test_what_dqn_learned_is_saved_where_its_evaluation_fails(file, tmp_path, capsys):
    path = file(f"{CLIMB}\nfrom pathlib import Path\nmade = []\n\ndef make():\n    made.append(Climb())\n"
                "    count = Path(__file__).with_name('count')\n    count.write_text(count.read_text() + '1')\n"
                "    if len(count.read_text()) == 2:\n        made[0].reset = None\n    return made[0]\n")
    file("", "count")
    said = refused(capsys, "dqn", f"{path}:make", "--steps", 5, "--max-steps", 20, "--evaluation-episodes", 4,
                   folder=tmp_path / "run", status=1)
    assert f"{path}:make failed: TypeError" in said and "--resume with this --run-dir goes on from there" in said
    assert main(["train", "dqn", "--resume", "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    assert result(tmp_path / "run")["steps"] == 5


def test_an_environment_that_never_ends_is_cut_off(file, tmp_path):
    path = file(f"{CLIMB}\nclass Endless(Climb):\n    def step(self, a):\n"
                "        return self.seen(), 1.0, False, False, {}\n")
    assert command("dqn", f"{path}:Endless", "--steps", 450, "--start", 1000, "--evaluation-episodes", 2,
                   folder=tmp_path / "run") == 0
    found = result(tmp_path / "run")
    assert found["episodes"] == 450 // environments.LIMIT and found["mean_return"] == environments.LIMIT


def test_gymnasium_still_names_its_limits_so():
    assert gymnasium.make("CartPole-v1").spec.max_episode_steps == environments.limit(gymnasium.make("CartPole-v1"))
