"""The commands that train transformers: what a run leaves, how it stops, fails, and goes on.

Equal bits are asked for everywhere: of parameters, averages, generator, figures.  What a save forgot would show.
"""
import json
import shutil
from dataclasses import replace
from itertools import pairwise

import pytest
from numpy.testing import assert_array_equal

from letters import DRAW, begin, contents, hasten, letters, metrics, pays, plant, result, run
from rlscratch import checkpoint, files, memory
from rlscratch.__main__ import main
from rlscratch.cli import train as cli
from rlscratch.formulas.kl import adaptive_beta
from rlscratch.report import curves
from rlscratch.tasks.task import Task
from rlscratch.train.language import command, dpo, expert_iteration, grpo, ppo, reward_model, sft, stages, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.model_run import ModelRun

OTHER_SAVES = pytest.mark.compiled_only("each method is resumed from one of its saves on NumPy, too")
METHODS = {m.METHOD.name: m.METHOD for m in (sft, reward_model, ppo, grpo, dpo, expert_iteration)}
LATER = [name for name in METHODS if name != "sft"]


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    """The task under two names."""
    hasten(monkeypatch)
    plant(monkeypatch, letters())
    plant(monkeypatch, letters("preferences"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("begun") / "sft")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """whole(method, *options): the folder of a run that nothing stops, made once and left as it is."""
    made = {}

    def ended(name, *more, task="addition"):
        said = (name, task, *map(str, more))
        if said not in made:
            made[said] = tmp_path_factory.mktemp("whole") / "run"
            assert run(name, made[said], *more, task=task) == 0
        return made[said]

    return ended


def assert_same_bits(one, other):
    """Parameters, optimiser, generator, facts, metrics, samples and figures."""
    a, b = checkpoint.load(one), checkpoint.load(other)
    for name, parameter in a.model.parameters().items():
        assert_array_equal(b.model.parameters()[name].data, parameter.data, err_msg=name)
    assert a.optimizer.keys() == b.optimizer.keys()
    for name, state in a.optimizer.items():
        if isinstance(state, dict):
            for key in state:
                assert_array_equal(b.optimizer[name][key], state[key], err_msg=f"{name} {key}")
        else:
            assert_array_equal(b.optimizer[name], state, err_msg=name)
    assert a.rng.bit_generator.state == b.rng.bit_generator.state
    assert a.rng.bit_generator.seed_seq.state == b.rng.bit_generator.seed_seq.state
    assert (a.step, a.facts["learner"], a.facts["report"]) == (b.step, b.facts["learner"], b.facts["report"])
    assert metrics(one) == metrics(other)
    assert {**result(one), "seconds": 0, "run_dir": ""} == {**result(other), "seconds": 0, "run_dir": ""}
    assert samples(one) == samples(other)


def samples(folder):
    path = folder / "samples.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def killed(patch, step, command=None):
    """A run that is interrupted where it would save step `step` (of the command, where several run)."""
    keep = ModelRun.keep

    def stop(self, at, *state):
        if at == step and command in (None, self.config["command"]):
            raise KeyboardInterrupt
        keep(self, at, *state)

    patch.setattr(ModelRun, "keep", stop)


def starting(name, begun):
    return () if name == "sft" else ("--init", begun)


# ---------------------------------------------------------------- what a run leaves

@pytest.mark.compiled_only("files know no backend; each method is run on NumPy below")
@pytest.mark.parametrize("name", METHODS)
def test_a_run_leaves_a_line_a_step_its_model_its_tokenizer_its_figures_and_samples(name, begun, tmp_path, capsys,
                                                                                   monkeypatch):
    if name in ("ppo", "reward-model"):
        monkeypatch.setattr(curves, "training", DRAW)
    assert run(name, tmp_path / "run", "--steps", "5", "--save-every", "2", "--json", *starting(name, begun)) == 0
    out, err = capsys.readouterr()
    assert err == "" and json.loads(out) == result(tmp_path / "run") and out.count("\n") == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    for line in lines:
        assert {METHODS[name].shown, "gradient_norm", "tokens_per_second", "seconds"} <= set(line)
        assert line["tokens_per_second"] > 0
    saved = checkpoint.load(tmp_path / "run")
    assert saved.step == 5 and Chat.load(tmp_path / "run").tokenizer.vocab_size == saved.model.config.vocab_size
    assert (tmp_path / "run" / "training_curves.svg").exists() == (name in ("ppo", "reward-model"))
    if name == "reward-model":
        assert samples(tmp_path / "run") is None and 0 <= result(tmp_path / "run")["held_out_accuracy"] <= 1
    else:
        assert [one["prompt"] for one in samples(tmp_path / "run")] == ["g", "h"]
        assert all({"before", "after", "reward_before", "reward_after"} < set(one) for one in samples(tmp_path / "run"))


@pytest.mark.parametrize("name", METHODS)
def test_config_tells_every_choice_and_what_the_run_began_with(name, begun, whole):
    folder = whole(name, "--steps", "5", "--save-every", "2", *starting(name, begun))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert {choice.name for choice in METHODS[name].choices} <= set(config)
    assert {"command", "task", "seed", "steps", "words", "version"} <= set(config)
    assert config["steps"] == 5
    if name != "sft":
        assert config["init"].startswith("train sft, SHA-256 ")


def test_unless_quiet_a_run_shows_its_answers_before_and_after_and_where_its_figures_are(begun, tmp_path, capsys):
    assert run("grpo", tmp_path / "run", "--steps", "2", "--init", begun, quiet=()) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert "train grpo: 100%" in err and lines[-1] == f"figures: {tmp_path / 'run' / 'training_curves.svg'}"
    assert lines[-5].split() == ["prompt", "before,", "sampled", "reward", "after,", "sampled", "reward"]
    shown = samples(tmp_path / "run")[0]
    assert lines[-3].startswith("g") and f"{shown['reward_after']:g}" in lines[-3]
    assert "held out accuracy" in out and "prompt" not in out


def test_answers_that_no_terminal_can_show_are_shortened_and_quoted(tmp_path):
    one = {"prompt": "p" * 100, "before": "a\nb", "after": "", "reward_before": 1.0, "reward_after": 0.25}
    (tmp_path / "samples.json").write_text(json.dumps([one]), "utf-8")
    line = cli.beside(tmp_path).splitlines()[2]
    assert line.startswith("p" * 57 + "...  'a\\nb'") and line.split()[-1] == "0.25"
    assert cli.beside(tmp_path / "nothing") == ""


def test_a_text_task_keeps_freed_memory_and_a_table_does_not_need_to(begun, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(memory, "keep_freed", lambda: told.append(1))
    assert run("grpo", tmp_path / "run", "--steps", "1", "--init", begun) == 0 and told == [1]
    assert main(["train", "grpo", "--steps", "1", "--quiet", "--run-dir", str(tmp_path / "lake")]) == 0 and told == [1]


def test_the_command_is_called_from_python_too(tmp_path, capsys):
    args = command.arguments(sft.METHOD, task="addition", steps=2, batch=4, shown=1, quiet=True, run_dir=str(tmp_path))
    found = command.train(sft.METHOD, args, show=False)
    assert capsys.readouterr().out == "" and result(found.folder)["steps"] == 2
    with pytest.raises(ValueError, match="argument is 'step'; expected one of 'task'"):
        command.arguments(sft.METHOD, step=2)


# ---------------------------------------------------------------- resuming

@pytest.mark.parametrize("step", [
    pytest.param(2, marks=OTHER_SAVES, id="first save"), pytest.param(4, id="second save"),
    pytest.param(5, marks=OTHER_SAVES, id="last save")])
@pytest.mark.parametrize("name", METHODS)
def test_a_run_that_was_killed_and_resumed_ends_in_the_same_bits(name, step, begun, whole, tmp_path, monkeypatch):
    more = ("--steps", "5", "--save-every", "2", *starting(name, begun))
    with monkeypatch.context() as patch:
        killed(patch, step)
        assert run(name, tmp_path / "parts", *more) == 130
    assert not (tmp_path / "parts" / "result.json").exists()
    assert len(metrics(tmp_path / "parts")) == step                    # its line was written before it was killed
    assert run(name, tmp_path / "parts", *more, "--resume") == 0
    assert_same_bits(whole(name, *more), tmp_path / "parts")


@pytest.mark.compiled_only("kernels have no state to save")
def test_what_is_imitated_beside_is_imitated_in_a_resumed_run_too(begun, whole, tmp_path, monkeypatch):
    def beside(model, rng):
        model.parameters()["wte.weight"].grad += rng.standard_normal(model.parameters()["wte.weight"].shape)

    given, more = stages.given, ("--steps", "3", "--save-every", "1", "--init", begun)
    alone = whole("grpo", *more)
    monkeypatch.setattr(stages, "given", lambda *of: (replace(given(*of)[0], beside=beside), given(*of)[1]))
    assert run("grpo", tmp_path / "whole", *more) == 0
    with monkeypatch.context() as patch:
        killed(patch, 1)
        assert run("grpo", tmp_path / "parts", *more) == 130
    assert run("grpo", tmp_path / "parts", *more, "--resume") == 0
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    assert metrics(tmp_path / "whole") != metrics(alone)


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("forgotten", ["rng", "learner", "step"])
def test_what_a_save_forgot_would_be_noticed(forgotten, begun, whole, tmp_path, monkeypatch):
    more = ("--steps", "6", "--save-every", "3", "--init", begun)
    with monkeypatch.context() as patch:
        killed(patch, 6)
        assert run("ppo", tmp_path / "parts", *more) == 130
    path = tmp_path / "parts" / "checkpoint.json"
    index = files.read_json(path, sealed=True)
    if forgotten == "rng":
        index["rng"]["seed"]["n_children_spawned"] = 0
    elif forgotten == "learner":
        index["facts"]["learner"] = {}                                 # beta is back where it began
    else:
        index["step"] = 2                                              # the schedule is a step behind
    files.write_json(path, index, seal=True)
    assert run("ppo", tmp_path / "parts", *more, "--resume") == 0
    right, wrong = (checkpoint.load(one).model.parameters() for one in (whole("ppo", *more), tmp_path / "parts"))
    assert any((right[name].data != wrong[name].data).any() for name in right)


@pytest.mark.compiled_only("kernels have no state to save")
def test_beta_follows_its_target_across_a_resume(begun, tmp_path, monkeypatch):
    more = ("--steps", "6", "--save-every", "2", "--init", begun)
    with monkeypatch.context() as patch:
        killed(patch, 4)
        assert run("ppo", tmp_path / "run", *more) == 130
    assert run("ppo", tmp_path / "run", *more, "--resume") == 0
    lines = metrics(tmp_path / "run")
    for line, following in pairwise(lines):
        assert following["beta"] == adaptive_beta(line["beta"], line["kl"], 0.01, ppo.GAIN) != line["beta"]


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("name", ["sft", "ppo", "dpo", "reward-model"])
def test_to_resume_what_has_ended_changes_nothing(name, begun, tmp_path, capsys):
    more = ("--steps", "3", "--json", *starting(name, begun))
    assert run(name, tmp_path, *more) == 0
    before = contents(tmp_path)
    assert run(name, tmp_path, *more, "--resume") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and before == contents(tmp_path)


@pytest.mark.compiled_only("kernels have no state to save")
def test_dpo_stops_when_it_is_far_enough_and_stays_stopped(begun, tmp_path, monkeypatch):
    more = ("--steps", "40", "--lr", "0.02", "--max-kl", "0.05", "--save-every", "3", "--init", begun)
    assert run("dpo", tmp_path / "whole", *more) == 0
    lines = metrics(tmp_path / "whole")
    assert lines[-1]["enough"] and not any(line.get("enough") for line in lines[:-1])
    end = len(lines)
    assert result(tmp_path / "whole")["steps"] == end < 40 and lines[-1]["kl"] > 0.05
    with monkeypatch.context() as patch:
        killed(patch, end)
        assert run("dpo", tmp_path / "parts", *more) == 130
    assert run("dpo", tmp_path / "parts", *more, "--resume") == 0
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")
    assert run("dpo", tmp_path / "parts", *more, "--resume") == 0
    assert_same_bits(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize(("other", "says"), [
    (("--lr", "0.5"), "--lr is 0.5; expected 0.001"), (("--steps", "9"), "--steps is 9; expected 3"),
    (("--variant", "rloo"), "--variant is 'rloo'; expected 'grpo'"), (("--seed", "4"), "--seed is 4; expected 0"),
    (("--task", "preferences"), "--task is 'preferences'; expected 'addition'")])
def test_another_choice_than_before_is_no_resume(other, says, begun, whole, capsys):
    more = ("--steps", "3", "--lr", "0.001", "--init", begun)
    folder = whole("grpo", *more)
    before = contents(folder)
    assert run("grpo", folder, *more, *other, "--resume") == 2
    assert says in capsys.readouterr().err and contents(folder) == before


def test_the_model_that_a_run_began_with_is_known_by_its_content(begun, tmp_path, capsys):
    more = ("--steps", "2")
    assert run("grpo", tmp_path / "run", *more, "--init", begun) == 0
    shutil.copytree(begun, tmp_path / "moved")
    assert run("grpo", tmp_path / "run", *more, "--init", tmp_path / "moved", "--resume") == 0
    assert run("sft", tmp_path / "other", "--steps", "4") == 0
    assert run("grpo", tmp_path / "run", *more, "--init", tmp_path / "other", "--resume") == 2
    assert "--init is 'train sft, SHA-256 " in capsys.readouterr().err


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize("name", LATER)
def test_the_folder_that_a_run_begins_with_is_never_written(name, begun, tmp_path):
    before = contents(begun)
    assert run(name, tmp_path / "run", "--steps", "3", "--save-every", "1", "--init", begun) == 0
    assert contents(begun) == before
    whole = checkpoint.load(tmp_path / "run").model.parameters()
    assert any((whole[name].data != p.data).any() for name, p in checkpoint.load(begun).model.parameters().items())


# ---------------------------------------------------------------- stages

@pytest.fixture
def short(monkeypatch):
    """Stages that a run trains for itself, with few steps."""
    monkeypatch.setattr(sft, "METHOD", shortened(sft.METHOD, 4, batch=8, shown=2))
    monkeypatch.setattr(reward_model, "METHOD", shortened(reward_model.METHOD, 4, batch=4, rankings=8, answers=3))


def shortened(method, steps, **defaults):
    return replace(method, steps={"": steps}, choices=tuple(
        replace(choice, defaults={"": defaults[choice.name]}) if choice.name in defaults else choice
        for choice in method.choices))


def test_stages_are_trained_in_folders_of_the_run_and_print_nothing_of_their_own(short, tmp_path, capsys):
    assert run("ppo", tmp_path / "run", "--steps", "3", "--json", task="preferences", quiet=()) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1 and json.loads(out)["command"] == "train ppo" and "proxy" in json.loads(out)
    assert all(f"train {name}: 100%" in err for name in ("sft", "reward-model", "ppo"))
    for name in ("sft", "reward-model"):
        assert result(tmp_path / "run" / name)["command"] == f"train {name}"
    assert all("gold" in line for line in metrics(tmp_path / "run"))


def test_a_task_that_pays_by_itself_needs_no_reward_model(short, tmp_path):
    assert run("grpo", tmp_path / "run", "--steps", "2") == 0
    assert (tmp_path / "run" / "sft").exists() and not (tmp_path / "run" / "reward-model").exists()


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize(("at", "stage"), [(2, "train sft"), (4, "train sft"), (2, "train reward-model"),
                                           (4, "train reward-model"), (2, "train ppo")])
def test_a_run_killed_in_any_stage_goes_on_there_and_ends_in_the_same_bits(at, stage, short, whole, tmp_path,
                                                                           monkeypatch):
    more = ("--steps", "4", "--save-every", "2")
    with monkeypatch.context() as patch:
        killed(patch, at, stage)
        assert run("ppo", tmp_path / "parts", *more, task="preferences") == 130
    assert run("ppo", tmp_path / "parts", *more, "--resume", task="preferences") == 0
    for part in ("", "sft", "reward-model"):
        assert_same_bits(whole("ppo", *more, task="preferences") / part, tmp_path / "parts" / part)


@pytest.mark.compiled_only("a run in stages is made on NumPy above")
def test_stages_of_the_run_are_what_the_commands_alone_would_have_made(short, tmp_path):
    assert run("ppo", tmp_path / "run", "--steps", "2", task="preferences") == 0
    assert run("sft", tmp_path / "sft", "--steps", "4", task="preferences") == 0
    assert run("reward-model", tmp_path / "rm", "--steps", "4", "--init", tmp_path / "sft", task="preferences") == 0
    assert_same_bits(tmp_path / "run" / "sft", tmp_path / "sft")
    assert_same_bits(tmp_path / "run" / "reward-model", tmp_path / "rm")
    given = ("--init", tmp_path / "sft", "--reward-model", tmp_path / "rm")
    assert run("ppo", tmp_path / "given", "--steps", "2", *given, task="preferences") == 0
    assert metrics(tmp_path / "given") == metrics(tmp_path / "run")
    assert result(tmp_path / "given")["reward_model"].startswith("train reward-model, SHA-256 ")


def test_a_reward_model_is_saved_as_it_was_when_it_reported(begun, tmp_path):
    assert run("reward-model", tmp_path / "rm", "--steps", "4", "--init", begun) == 0
    world = worlds.make("addition")
    policy, proxy = world.policy(begun), world.reward_model(tmp_path / "rm")
    said = reward_model.feedback.gathered(world, policy, rankings=8, answers=3, noise=1.0)
    assert abs(proxy(said.batch).mean()) < 1e-5


# ---------------------------------------------------------------- a reward that breaks

class Short(Task):
    """A task that loses a reward after so many calls."""

    calls = 0

    def rewards(self, prompts, answers):
        Short.calls += 1
        found = super().rewards(prompts, answers)
        return found[1:] if Short.calls > 4 else found


def breaking(how):
    """(reward, kind of task) that break after 40 rewards, or 4 batches."""
    left = iter(range(40))

    def reward(prompt, answer):
        if how == "number" or next(left, None) is not None:
            return pays(prompt, answer)
        if how == "raises":
            raise ZeroDivisionError("division by zero")
        return float("nan")

    Short.calls = 0
    return {"reward": reward, "kind": Short if how == "number" else Task}


@pytest.mark.compiled_only("kernels have no state to save")
@pytest.mark.parametrize(("how", "says"), [
    ("nan", "is nan; expected a finite number"), ("raises", ", ZeroDivisionError: division by zero; expect"),
    ("number", "the rewards have the shape (11,); expected ")])
@pytest.mark.parametrize("name", ["ppo", "grpo", "expert-iteration"])
def test_a_reward_that_breaks_stops_the_run_and_the_last_save_goes_on(name, how, says, begun, whole, tmp_path,
                                                                      monkeypatch, capsys):
    more = ("--steps", "6", "--save-every", "1", "--init", begun)
    plant(monkeypatch, letters(**breaking(how)))
    assert run(name, tmp_path / "broken", *more) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and says in err
    assert " answer " in err and " to the prompt '" in err
    assert checkpoint.load(tmp_path / "broken").step == len(metrics(tmp_path / "broken")) >= 1
    assert not (tmp_path / "broken" / "result.json").exists()
    plant(monkeypatch, letters())
    assert run(name, tmp_path / "broken", *more, "--resume") == 0
    assert_same_bits(whole(name, *more), tmp_path / "broken")


@pytest.mark.parametrize("name", ["sft", "ppo", "grpo", "reward-model"])
def test_numbers_that_explode_end_the_run_with_one_line(name, begun, tmp_path, capsys):
    assert run(name, tmp_path / "run", "--steps", "40", "--lr", "1e20", *starting(name, begun)) == 1
    err = capsys.readouterr().err
    assert err.startswith("rlscratch: step ") and err.count("\n") == 1
    assert "a smaller lr keeps the numbers small" in err
