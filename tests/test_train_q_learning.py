"""Q-learning on the frozen lake: what a run must reach, what holds at every step of it, and resuming.

Document 000 trains on the 4x4 lake without slipping, gamma .99, alpha .1, and prints its table: six
moves 0 4 8 9 13 14 15 with the values .9510 .9606 .9703 .9801 .9900 1.0000 along them, .99^5 to .99^0.
From zeros 0 <= Q <= Q* at every step there; of its 64 entries 50 are Q* to four decimals and 14 are
below.  An episode on a table of zeros reaches the goal with probability .013940 if ties are shared,
and 5.4167e-6 if the first of equals is taken and epsilon is .1.
"""
import json
from itertools import islice

import gymnasium
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch.__main__ import main
from rlscratch.documents.d000_q_learning import PRINTED
from rlscratch.formulas import td
from rlscratch.mdp import MDP
from rlscratch.train.tabular import lake
from rlscratch.train.tabular.lake import Lake
from rlscratch.train.tabular.q_learning import State, falling, learn, linear
from rlscratch.train.tabular.q_learning_many import learn_many, moves
from strategies import arrays, eighths, probs_of

pytestmark = [pytest.mark.usefixtures("undrawn", "unsynced"),
              pytest.mark.compiled_only("calls draw alone, and its twin is equal bit for bit", kernels=("draw",))]

LEFT, DOWN, RIGHT, UP = range(4)
ROUNDING = 1e-12


def constant(value):
    return lambda _: value


def run_one(world, steps, seed=0, **settings):
    state = State.zeros((16, 4), np.random.default_rng(seed))
    settings = {"gamma": 0.99, "alpha": constant(0.1), "epsilon": constant(0.5), **settings}
    return state, list(islice(learn(world.env, state, **settings), steps))


def run_many(mdp, runs, steps, seed=0, **settings):
    """Tables (N, S, A) after each step, one after the other in place, and the step's transition."""
    q = np.zeros((runs, *mdp.transition.shape[:2]))
    settings = {"horizon": 100, "alpha": constant(0.1), "epsilon": constant(0.5), **settings}
    for t in islice(learn_many(mdp, q, rng=np.random.default_rng(seed), **settings), steps):
        yield q, t


def last(iterator):
    for item in iterator:      # noqa: B007
        pass
    return item


def test_every_episode_of_many_begins_where_the_start_says():
    """Episodes of one step that ends in state 0: later states are new draws, as the first ones are."""
    mdp = MDP(np.eye(3)[np.zeros((3, 1), int)], np.zeros(3), 0.5, [0, 0.25, 0.75])
    for _, t in run_many(mdp, 1000, 4, horizon=1):
        assert_allclose(np.bincount(t.s, minlength=3) / 1000, mdp.start, atol=0.06)
        assert 0 not in t.s


# ---------------------------------------------------------------- what a run reaches


def test_the_learned_path_takes_six_moves_and_its_values_are_powers_of_gamma():
    world = Lake()
    state, _ = run_one(world, 6000)
    path = world.greedy_path(state.q)
    assert len(path) == 7 and path[-1] == 15
    assert_allclose(state.q[path[:-1]].max(axis=1), 0.99 ** np.arange(5, -1, -1), rtol=0, atol=0.00005)
    assert_allclose(world.success_probability(td.epsilon_greedy(state.q, 0, ties="share")), 1)


def test_so_do_64_runs_of_64_in_the_tensors():
    world = Lake()
    q, _ = last(run_many(world.mdp, 64, 7000))
    paths = [world.greedy_path(table) for table in q]
    assert {len(path) for path in paths} == {7}
    for table, path in zip(q, paths, strict=True):
        assert_allclose(table[path[:-1]].max(axis=1), 0.99 ** np.arange(5, -1, -1), rtol=0, atol=0.00005)


def test_every_entry_becomes_q_star_where_every_move_is_tried_often():
    world = Lake(hole=-1)
    q, _ = last(run_many(world.mdp, 16, 8000, alpha=constant(1.0), epsilon=constant(1.0)))
    assert_allclose(q, np.broadcast_to(world.best[0], q.shape), rtol=0, atol=ROUNDING)


def test_the_document_s_table_lies_under_q_star_and_50_of_its_entries_are_there():
    best, _ = Lake().best
    there = np.abs(PRINTED - best) <= 0.00005 + 1e-9
    assert there.sum() == 50
    assert (~there).sum() == 14 and (PRINTED[~there] < best[~there]).all() and (PRINTED >= 0).all()


def test_success_is_exact_on_slippery_ice_too():
    world = Lake(slippery=True)
    assert_allclose(world.success_probability(td.epsilon_greedy(world.best[0].round(9), 0)), 0.7402, atol=0.00005)
    assert_allclose(world.best_success_probability(), 0.7442, atol=0.00005)
    assert world.greedy_path(world.best[0]) is None


def test_a_path_that_goes_nowhere_or_into_a_hole_has_no_length():
    world = Lake()
    into_a_hole = np.zeros((16, 4))
    into_a_hole[0, RIGHT] = into_a_hole[1, DOWN] = 1
    assert world.greedy_path(np.zeros((16, 4))) is None        # Left, against the wall
    assert world.greedy_path(into_a_hole) is None
    assert world.greedy_path(PRINTED) == [0, 4, 8, 9, 13, 14, 15]


# ---------------------------------------------------------------- what holds at every step


def worst(tables, best):
    """By how much min(Q*, 0) <= Q <= max(Q*, 0) was broken at worst; with Q* >= 0 this is 0 <= Q <= Q*."""
    return max(max((q - np.maximum(best, 0)).max(), (np.minimum(best, 0) - q).max()) for q in tables)


@pytest.mark.parametrize("hole", [0, -1])
def test_without_slipping_every_table_of_a_run_lies_between_zero_and_q_star(hole):
    world = Lake(hole=hole)
    state = State.zeros((16, 4), np.random.default_rng(3))
    loop = learn(world.env, state, gamma=0.99, alpha=constant(0.5), epsilon=constant(0.5))
    assert worst((state.q for _ in islice(loop, 2500)), world.best[0]) <= ROUNDING
    assert (state.q > 0).sum() > 20                             # it did learn


@st.composite
def certain_mdps(draw):
    """Any MDP in which moves are certain and rewards are >= 0, and an alpha."""
    n, m = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    after = draw(arrays((n, m), st.integers(0, n - 1))).astype(int)
    terminal = draw(arrays((n,), st.sampled_from([0.0, 0.0, 1.0])))
    return MDP(np.eye(n)[after], draw(arrays((n, m), eighths(0, 4))), draw(eighths(0, 0.875)), 0, terminal)


@given(certain_mdps(), eighths(0.125, 1), eighths(0, 1), st.integers(0, 9))
@example(Lake().mdp, 0.5, 0.5, 0)
def test_where_moves_are_certain_and_rewards_not_negative_zero_q_q_star_stay_in_this_order(mdp, alpha, epsilon, seed):
    tables = (q for q, _ in run_many(mdp, 3, 40, seed, alpha=constant(alpha), epsilon=constant(epsilon), horizon=7))
    best = mdp.solve()[0]
    assert worst(tables, best) <= ROUNDING * max(1, best.max())


@pytest.mark.parametrize("factor", [1.001, -1])
def test_the_bounds_would_notice_a_wrong_target(factor, monkeypatch):
    right = td.q_target
    monkeypatch.setattr(td, "q_target", lambda *args: factor * right(*args))
    world = Lake()
    assert worst((q for q, _ in run_many(world.mdp, 16, 3000, alpha=constant(0.5))), world.best[0]) > 1e-4


def test_on_slippery_ice_luck_lifts_an_entry_above_q_star_though_never_below_zero():
    world = Lake(slippery=True)
    best, best_v = world.best
    tables = [q.copy() for q, _ in islice(run_many(world.mdp, 64, 3000, alpha=constant(0.5)), 0, None, 50)]
    assert max((q - best).max() for q in tables) > 0.1
    assert min(q.min() for q in tables) >= 0
    # Why: at Q* the mean of a move's targets is Q*, and the target of arriving in the goal is above it.
    targets = world.mdp.reward + world.mdp.gamma * best_v
    assert_allclose((world.mdp.transition * targets).sum(axis=2), best, rtol=0, atol=1e-9)
    assert targets[14, DOWN, 15] == 1 and best[14].max() < 0.9


# ---------------------------------------------------------------- ties


@pytest.mark.parametrize(("ties", "epsilon", "probability"), [
    ("share", 0.1, 0.01393980), ("share", 0.5, 0.01393980), ("first", 0.1, 5.41665e-6), ("first", 0.5, 0.001402649)])
def test_how_rarely_an_episode_on_a_table_of_zeros_reaches_the_goal(ties, epsilon, probability):
    policy = td.epsilon_greedy(np.zeros((16, 4)), epsilon, ties=ties)
    assert_allclose(Lake().success_probability(policy), probability, rtol=1e-6)


def test_taking_the_first_of_equals_learns_nothing_where_sharing_does():
    mdp = Lake().mdp
    learned = {ties: last(run_many(mdp, 16, 4000, epsilon=constant(0.1), ties=ties))[0].any(axis=(1, 2))
               for ties in ("first", "share")}
    assert not learned["first"].any() and learned["share"].mean() > 0.9


# ---------------------------------------------------------------- the loops run on the formula


@pytest.mark.parametrize("slippery", [False, True])
def test_a_run_in_the_environment_is_the_formula_step_by_step(slippery):
    state, steps = run_one(Lake(slippery=slippery), 600, alpha=falling(0.5, 0.1))
    q, visits = np.zeros((16, 4)), np.zeros((16, 4), int)
    for t in steps:
        visits[t.s, t.a] += 1
        alpha = 0.5 / (1 + 0.1 * (visits[t.s, t.a] - 1))
        q = td.q_learning_update(q, t.s, t.a, t.reward, t.s_next, alpha, 0 if t.terminated else 0.99)
    assert_array_equal(state.q, q)
    assert_array_equal(state.visits, visits)


@given(st.integers(1, 3).flatmap(lambda n: arrays((n, 2, n), st.just(0.0)).flatmap(
    lambda z: st.lists(probs_of(n), min_size=2 * n, max_size=2 * n).map(lambda p: np.reshape(p, z.shape)))),
    eighths(0.125, 1), st.integers(0, 9))
def test_many_runs_are_the_formula_bit_by_bit(transition, alpha, seed):
    n = len(transition)
    mdp = MDP(transition, np.arange(2 * n).reshape(n, 2) / 4, 0.875, 0, np.arange(n) == n - 1 if n > 1 else None)
    expected = np.zeros((3, n, 2))
    for q, t in run_many(mdp, 3, 25, seed, alpha=constant(alpha), horizon=4):
        for i in range(3):
            discount = 0 if t.terminated[i] else 0.875
            expected[i] = td.q_learning_update(expected[i], t.s[i], t.a[i], t.reward[i], t.s_next[i], alpha, discount)
        assert_array_equal(q, expected)


@pytest.mark.parametrize("slippery", [False, True])
def test_the_moves_put_together_are_the_tensors(slippery):
    mdp = Lake(slippery=slippery, hole=-1).mdp
    m = moves(mdp)
    assert m.probs.shape == (64, 3 if slippery else 1)
    transition, reward = np.zeros((64, 16)), np.zeros((64, 16))
    row = np.repeat(np.arange(64), m.probs.shape[1])
    np.add.at(transition, (row, m.s_next), m.probs.ravel())
    np.add.at(reward, (row, m.s_next), m.probs.ravel() * m.reward)
    assert_array_equal(transition.reshape(16, 4, 16), mdp.transition)
    assert_array_equal(reward.reshape(16, 4, 16), mdp.transition * mdp.reward)
    assert_array_equal(m.terminated, mdp.terminal[m.s_next])
    assert_array_equal(m.discount, np.where(m.terminated, 0, 0.99))


def test_many_runs_start_again_at_the_horizon_and_the_last_transition_stays_as_it_was():
    ring = MDP(np.eye(4)[[[1], [2], [3], [0]]], np.zeros(4), 0.5, 0)
    steps = [t for _, t in run_many(ring, 2, 7, horizon=3)]
    assert_array_equal([t.s for t in steps], [[s, s] for s in (0, 1, 2, 0, 1, 2, 0)])
    assert_array_equal([t.s_next for t in steps], [[s, s] for s in (1, 2, 3, 1, 2, 3, 1)])


def test_an_episode_that_is_cut_off_still_counts_what_may_follow():
    env = gymnasium.make("FrozenLake-v1", is_slippery=False, max_episode_steps=1)
    state = State.zeros((16, 4), np.random.default_rng(0))
    state.q[0, DOWN], state.q[4, DOWN] = 0.25, 1.0
    t = next(learn(env, state, gamma=0.5, alpha=constant(0.5), epsilon=constant(0.0)))
    assert (t.s, t.a, t.s_next, t.terminated) == (0, DOWN, 4, False)
    assert state.q[0, DOWN] == 0.25 + 0.5 * (0.5 * 1.0 - 0.25) and state.episode == 1


def test_nothing_follows_an_episode_that_ended_whatever_its_row_says():
    state = State.zeros((16, 4), np.random.default_rng(0))
    state.q[5] = 1.0                                            # a hole, right of 4
    state.q[0, DOWN] = state.q[4, RIGHT] = 0.25
    loop = learn(lake.make(), state, gamma=1.0, alpha=constant(0.5), epsilon=constant(0.0))
    assert [(t.s_next, t.terminated) for t in islice(loop, 2)] == [(4, False), (5, True)]
    assert state.q[4, RIGHT] == 0.25 + 0.5 * (0 - 0.25)


# ---------------------------------------------------------------- seeds and resuming


def test_the_same_seed_is_the_same_run_and_another_is_not():
    first, again, other = (run_one(Lake(slippery=True), 500, seed)[1] for seed in (0, 0, 1))
    assert first == again != other


def command(*options, folder=None):
    return main(["train", "q-learning", "--quiet", *(["--run-dir", str(folder)] if folder else []), *options])


def contents(folder):
    with np.load(folder / "state.npz") as saved:
        facts = json.loads(saved["facts"].item())
        facts.pop("seconds")
        return saved["q"].tobytes(), saved["visits"].tobytes(), facts, (folder / "metrics.jsonl").read_text()


@pytest.mark.parametrize("options", [
    (), ("--slippery", "--hole-reward", "-1", "--alpha-decay", "0.01", "--epsilon-final", "0.1")])
def test_a_run_stopped_within_an_episode_and_resumed_ends_in_the_same_bits(options, tmp_path):
    options = (*options, "--save-every", "150", "--seed", "5")
    assert command("--steps", "900", *options, folder=tmp_path / "whole") == 0
    assert command("--steps", "450", *options, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts")[2]["actions"]                         # within an episode
    assert command("--steps", "900", "--resume", *options, folder=tmp_path / "parts") == 0
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


@pytest.mark.parametrize("forgotten", ["rng", "actions"])
def test_a_state_that_forgot_something_would_be_noticed(forgotten, tmp_path):
    options = ("--save-every", "150", "--slippery")
    for name, steps in (("whole", "900"), ("parts", "450")):
        command("--steps", steps, *options, folder=tmp_path / name)
    path = tmp_path / "parts" / "state.npz"
    with np.load(path) as saved:
        arrays, facts = {k: saved[k] for k in ("q", "visits")}, json.loads(saved["facts"].item())
    facts[forgotten] = [] if forgotten == "actions" else np.random.default_rng(0).bit_generator.state
    np.savez(path, facts=np.array(json.dumps(facts)), **arrays)
    command("--steps", "900", "--resume", *options, folder=tmp_path / "parts")
    assert contents(tmp_path / "parts")[0] != contents(tmp_path / "whole")[0]


def test_a_killed_run_s_unfinished_and_younger_metrics_are_written_again(tmp_path):
    options = ("--save-every", "100")
    command("--steps", "300", *options, folder=tmp_path / "whole")
    command("--steps", "200", *options, folder=tmp_path / "killed")
    with open(tmp_path / "killed" / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 300, "episode": 0}\n{"step": 4')
    command("--steps", "300", "--resume", *options, folder=tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_run_killed_before_its_first_save_begins_again(tmp_path):
    for name in ("whole", "killed"):
        command("--steps", "120", folder=tmp_path / name)
    for name in ("state.npz", "result.json"):
        (tmp_path / "killed" / name).unlink()
    command("--steps", "120", "--resume", folder=tmp_path / "killed")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


# ---------------------------------------------------------------- the command


@pytest.mark.both_backends
def test_the_last_line_is_json_with_the_final_figures(tmp_path, capsys):
    assert command("--map", "4x4", "--no-slippery", "--hole-reward", "0", "--gamma", ".99", "--alpha", ".5",
                   "--steps", "3000", "--seed", "0", "--json", folder=tmp_path) == 0
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert (figures["steps"], figures["path_length"], figures["success_probability"]) == (3000, 6, 1.0)
    assert figures["path_error"] < 0.00005 and figures["max_error"] <= 1 and figures["seconds"] > 0
    assert figures == json.loads((tmp_path / "result.json").read_text()) and err == ""


def test_without_json_it_prints_lines_and_progress_goes_to_standard_error(tmp_path, capsys):
    assert main(["train", "q-learning", "--episodes", "3", "--map", "8x8", "--run-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "episodes                  3" in out and "3/3" in err


def test_runs_without_a_folder_get_one_each_and_resume_takes_the_newest(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert [command("--steps", "5", "--seed", s) for s in "012"] == [0, 0, 0]
    names = ["q-learning", "q-learning-2", "q-learning-3"]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names
    capsys.readouterr()
    assert command("--steps", "9", "--seed", "2", "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["run_dir"] == "runs/q-learning-3"


@pytest.mark.parametrize(("options", "message"), [
    (["--alpha", "0"], "--alpha is 0.0; expected a number in (0, 1]"),
    (["--alpha-decay", "-1"], "--alpha-decay is -1.0; expected a finite number >= 0"),
    (["--gamma", "1.5"], "--gamma is 1.5; expected a number in [0, 1]"),
    (["--epsilon", "nan"], "--epsilon is nan; expected a number in [0, 1]"),
    (["--epsilon", "-0.5"], "--epsilon is -0.5; expected a number in [0, 1]"),
    (["--epsilon-final", "2"], "--epsilon-final is 2.0; expected a number in [0, 1]"),
    (["--epsilon-steps", "0"], "--epsilon-steps is 0; expected an integer >= 1"),
    (["--seed", "-1"], "--seed is -1; expected an integer >= 0"),
    (["--steps", "0"], "--steps is 0; expected an integer >= 1"),
    (["--episodes", "0"], "--episodes is 0; expected an integer >= 1"),
    (["--episodes", "1", "--steps", "1"], "--episodes is 1; expected either episodes or steps, not both"),
    (["--save-every", "0"], "--save-every is 0; expected an integer >= 1"),
    (["--resume"], "expected a folder that holds a run; without resume one is started")])
def test_bad_arguments_are_one_line_and_status_2_and_nothing_is_written(options, message, tmp_path, capsys):
    assert command(*options, folder=tmp_path / "new") == 2
    out, err = capsys.readouterr()
    assert message in err and err.count("\n") == 1 and out == "" and not (tmp_path / "new").exists()


def test_a_run_is_never_overwritten_and_resumed_with_its_own_choices_only(tmp_path, capsys):
    command("--steps", "50", folder=tmp_path)
    before = contents(tmp_path)
    for options, message in [
            ((), "a folder that holds no run yet; resume continues the one in it"),
            (("--resume", "--gamma", "0.9"), "--gamma is 0.9; expected 0.99, with which the run in"),
            (("--resume", "--slippery"), "--slippery is True; expected False, with which the run in")]:
        capsys.readouterr()
        assert command("--steps", "90", *options, folder=tmp_path) == 2
        assert message in capsys.readouterr().err and contents(tmp_path) == before


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04cut off"])
def test_a_damaged_state_is_named(content, tmp_path, capsys):
    command("--steps", "20", folder=tmp_path)
    (tmp_path / "state.npz").write_bytes(content)
    assert command("--steps", "20", "--resume", folder=tmp_path) == 2
    assert "expected a state that this command saved" in capsys.readouterr().err


# ---------------------------------------------------------------- schedules and bad input


@given(eighths(0.125, 1), eighths(0, 4), st.integers(1, 50))
def test_the_step_size_starts_at_alpha_and_falls_as_one_over_n(alpha, decay, n):
    size = falling(alpha, decay)
    assert size(1) == alpha
    assert_allclose(alpha / size(n), 1 + decay * (n - 1))
    assert_allclose(size(np.array([1, n])), [size(1), size(n)])


@given(eighths(0, 1), eighths(0, 1), st.integers(1, 50))
def test_epsilon_goes_in_a_straight_line_and_then_stays(first, last_one, steps):
    epsilon = linear(first, last_one, steps)
    assert epsilon(0) == first and epsilon(steps) == epsilon(7 * steps) == last_one
    assert_allclose(np.diff([epsilon(t) for t in range(steps + 1)]), (last_one - first) / steps, atol=1e-12)


MANY = {"horizon": 5, "alpha": constant(0.1), "epsilon": constant(0.5), "rng": np.random.default_rng(0)}


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: falling(0), ValueError, r"alpha is 0; expected a number in \(0, 1\]"),
    (lambda: falling(0.5, -1), ValueError, "decay is -1; expected a finite number >= 0"),
    (lambda: linear(2, 0, 5), ValueError, r"first is 2; expected a number in \[0, 1\]"),
    (lambda: linear(1, 0, 0), ValueError, "steps is 0; expected an integer >= 1"),
    (lambda: State.zeros((2, 2), 0), TypeError, "rng is 0; expected a numpy.random.Generator"),
    (lambda: lake.make("5x5"), ValueError, "map is '5x5'; expected one of '4x4', '8x8'"),
    (lambda: lake.make(hole=1), ValueError, "the reward of a hole is 1; expected one of 0, -1"),
    (lambda: run_one(Lake(), 1, gamma=2), ValueError, r"discount is 2; expected a number in \[0, 1\]"),
    (lambda: run_one(Lake(), 1, ties="last"), ValueError, "ties is 'last'; expected one of 'first', 'share'"),
    (lambda: run_one(Lake(), 1, alpha=constant(2)), ValueError, r"alpha is 2; expected a number in \[0, 1\]"),
    (lambda: next(learn_many(Lake().mdp, np.zeros((2, 4, 16)), **MANY)), ValueError,
     r"q is \(\(2, 4, 16\), 'float64'\); expected a contiguous float64 array \(2, 16, 4\)"),
    (lambda: next(learn_many(Lake().mdp, np.zeros((2, 16, 4), np.float32), **MANY)), ValueError, "q is .*float32"),
    (lambda: next(learn_many(Lake().mdp, np.zeros((2, 16, 4)), **{**MANY, "horizon": 0})), ValueError,
     "horizon is 0; expected an integer >= 1"),
    (lambda: next(learn_many(Lake().mdp, np.zeros((2, 16, 4)), **{**MANY, "rng": None})), TypeError,
     "rng is None; expected a numpy.random.Generator")])
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
