"""A run of tables ends with what it learned: the map with its moves, the path, the probability, a curve.

By hand.  The 4x4 lake's holes are the states 5, 7, 11 and 12, its goal is 15.  With Q* (value iteration at gamma .99)
every move of the map below is a shortest one; in a table of zeros no move is preferred.
"""
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch.__main__ import main
from rlscratch.cli import tables
from rlscratch.formulas.distribution import softmax
from rlscratch.train import run as runs
from rlscratch.train.dqn import deep_q_learning
from rlscratch.train.tabular import worlds
from rlscratch.train.tabular.lake import Lake

pytestmark = [pytest.mark.usefixtures("unsynced"),
              pytest.mark.compiled_only("shows what a run has saved; runs of tables are made on NumPy, too, in "
                                        "test_train_tabular.py and test_train_dqn.py")]
SHORT = {"q-learning": ["--steps", "300", "--save-every", "100"], "dqn": ["--steps", "600", "--save-every", "200"],
         "reinforce": ["--steps", "4"], "ppo": ["--steps", "4"], "grpo": ["--steps", "4"], "clone": ["--steps", "20"]}


@pytest.fixture
def ended(tmp_path, capsys):
    """(standard output, standard error, folder) of a training command."""
    def train(*argv):
        assert main(["train", *argv, "--run-dir", str(tmp_path / "run")]) == 0
        return *capsys.readouterr(), tmp_path / "run"

    return train


def state_of(folder):
    with np.load(folder / "state.npz") as state:
        return {name: state[name] for name in state.files if name != "facts"}


# ---------------------------------------------------------------- the map

def test_every_move_of_the_best_table_is_a_shortest_one():
    lake = Lake()
    drawn = "".join(tables.arrows(lake, lake.best[0]).split())
    to_goal = {15: 0}
    for state in (14, 13, 10, 9, 6, 8, 2, 4, 3, 1, 0):
        step = {"<": -1, "v": 4, ">": 1, "^": -4}[drawn[state]]
        to_goal[state] = to_goal[state + step] + 1 if state + step in to_goal else None
    assert [state for state, letter in enumerate(drawn) if letter == "H"] == [5, 7, 11, 12] and drawn[15] == "G"
    assert (to_goal[0], to_goal[4], to_goal[14]) == (6, 5, 1)


def test_where_no_move_is_preferred_there_is_a_dot_and_of_equals_the_first_is_drawn():
    lake, q = Lake(), np.zeros((16, 4))
    assert set(tables.arrows(lake, q)) == set(".HG \n")
    q[0] = [0, 1, 1 + 1e-12, 0]                                     # Down and Right, but for rounding
    q[1, 3] = 1e-3
    assert tables.arrows(lake, q).startswith("  v^..\n")


@pytest.mark.parametrize("name", worlds.LAKES)
def test_a_larger_map_is_drawn_as_gymnasium_has_it(name):
    lake = Lake(*worlds.LAKES[name])
    rows = tables.arrows(lake, lake.best[0]).split()
    assert [len(row) for row in rows] == [int(lake.env.unwrapped.ncol)] * int(lake.env.unwrapped.nrow)


def test_a_path_is_told_where_there_is_one():
    lake, worth = Lake(), {"success_probability": 0.5, "best_success_probability": 1.0}
    told = tables.on_the_lake(lake, lake.best[0], worth)
    assert "greedy path: 0 4 8 9 13 14 15 (6 moves)" in told
    assert told.endswith("probability of the goal within 100 steps: 0.5, exactly; the best possible: 1")
    assert "it does not lead to the goal" in tables.on_the_lake(lake, np.zeros((16, 4)), worth)
    assert "none is certain" in tables.on_the_lake(Lake(slippery=True), lake.best[0], worth)


@pytest.mark.parametrize(("config", "lake"), [
    ({"map": "4x4", "slippery": False}, "frozen-lake"), ({"map": "8x8", "slippery": True}, "frozen-lake-8x8-slippery"),
    ({"task": "frozen-lake-8x8"}, "frozen-lake-8x8"), ({"task": "pasta"}, None), ({"env": "Taxi-v3"}, None)])
def test_the_lake_is_known_by_the_run_s_choices(config, lake):
    assert tables.lake_of(config) == lake


# ---------------------------------------------------------------- the commands

@pytest.mark.parametrize("method", SHORT)
def test_a_run_on_a_lake_ends_with_its_map_and_a_curve(ended, method):
    out, err, folder = ended(method, *SHORT[method])
    result = json.loads((folder / "result.json").read_text("utf-8"))
    assert out.startswith("settings\n") and "\nresults\n" in out
    assert "likeliest moves (<v>^;" in err and err.count("H") >= 4
    assert f"within 100 steps: {result['success_probability']:.4g}, exactly; the best possible: 1" in err
    assert err.endswith(f"figure: {folder / 'learning_curve.svg'}\n")
    assert (folder / "learning_curve.svg").read_text("utf-8").startswith("<?xml")


def test_a_run_on_a_bandit_ends_with_its_answers(ended, undrawn):
    out, err, folder = ended("reinforce", "--task", "ice-cream", "--steps", "30")
    cream, hockey, donkey = softmax(state_of(folder)["logits"])[0]
    assert [line.split() for line in err.splitlines() if line.startswith(("cream", "hockey", "donkey"))] == [
        ["cream", "10", "0.3333", f"{cream:.4f}"], ["hockey", "5", "0.3333", f"{hockey:.4f}"],
        ["donkey", "-10", "0.3333", f"{donkey:.4f}"]]
    assert "probabilities" in out and f"cream {cream:.6g}, hockey" in out


def test_with_json_standard_output_is_one_object_and_quiet_says_nothing_more(ended):
    out, err, folder = ended("grpo", "--task", "ice-cream", "--steps", "5", "--json", "--quiet")
    assert json.loads(out)["run_dir"] == str(folder) and out.count("\n") == 1 and err == ""
    assert (folder / "learning_curve.svg").exists()


def test_what_is_drawn_of_a_network_is_its_table(ended, undrawn):
    _, _, folder = ended("dqn", "--steps", "600", "--quiet")
    state = state_of(folder)
    table = deep_q_learning.q_table({name: deep_q_learning.Tensor(state[f"mean.{name}"])
                                     for name in ("W1", "b1", "W2", "b2")})
    assert_allclose(tables._table(state), table, rtol=1e-5, atol=1e-7)
    assert np.ptp(table) > 0


def test_every_step_is_written_down_and_its_worth_where_it_was_saved(ended, undrawn):
    _, _, folder = ended("reinforce", "--task", "ice-cream", "--steps", "5", "--save-every", "2", "--quiet")
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [point["step"] for point in points] == [1, 2, 3, 4, 5] and all("mean_return" in point for point in points)
    assert [point["step"] for point in points if "expected_reward" in point] == [2, 4, 5]


# ---------------------------------------------------------------- the last table

def test_columns_never_touch_and_an_error_without_a_mean_is_a_figure_like_any_other():
    long = "a_name_that_is_longer_than_any_other_in_this_table"
    told = runs.told({"settings": {"task": "x"}, "results": {long: 1.5, "max_error": 0.25, "path_error": None}})
    assert told.splitlines() == [
        "settings", f"  task{' ' * 46}  x", "results", f"  {long.replace('_', ' ')}  1.5",
        f"  max error{' ' * 41}  0.25 ({runs.EXPLAINED['max_error']})"]         # what is None is not there


def test_what_a_mean_is_of_stands_beside_it():
    told = runs.told({"results": {"held_out_accuracy": 0.9, "held_out_accuracy_error": 0.0095, "steps": 3,
                                  "measured_answers": 1000, "reward": -1.0, "reward_error": 0.0}})
    assert told.splitlines() == [
        "results", "  held out accuracy  0.9000 +- 0.0095 (1000 answers)", "  steps              3",
        "  reward             -1 +- 0 (1000 answers)"]
