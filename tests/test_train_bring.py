"""What users bring, trained on through the command line: each format, each method that takes it, and what is refused.

Sums of two digits below 4; models of 16 channels, a few steps.
"""
import json

import pytest
from numpy.testing import assert_array_equal

import letters
from letters import contents, hasten, metrics, result
from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.tasks.task import split
from rlscratch.train.language import data, reward_model, sft, worlds
from test_train_command import assert_same_bits, killed, samples, shortened
from test_train_data import written

SUMS = {f"{a}+{b}=": str(a + b) for a in range(4) for b in range(4)}
REWARD = """
def score(prompts, completions, answer, **columns):
    assert set(columns) == {"level"} and len(columns["level"]) == len(prompts)
    return [float(c == a) + len(c) / 8 for c, a in zip(completions, answer)]

def forgetful(prompts, completions):
    return [0.0] * len(prompts)

number = 7
"""
TASK = """
from rlscratch.tasks.task import Task

def sums():
    return Task("sums", [f"{a}+1=" for a in range(4)], lambda p, a: float(a == right(p, None)) + len(a) / 8,
                lambda p, a: a == right(p, None), held_out=["4+1="], teacher=right)

def right(prompt, rng):
    return str(int(prompt[0]) + 1)

ready = sums()
"""
pytestmark = pytest.mark.compiled_only("files are read in Python; each method is trained on NumPy, too, in "
                                       "test_train_command.py")
SMALL = {**letters.SMALL, "dpo": ("--batch", "6", "--max-kl", "0"), "reward-model": ("--batch", "4")}
SHAPE = ("--width", "16", "--layers", "1")


def offered(tmp_path):
    """A file of each format, by the option that takes it."""
    (tmp_path / "r.py").write_text(REWARD, "utf-8")
    (tmp_path / "t.py").write_text(TASK, "utf-8")
    lines = {
        "prompts": [{"prompt": p, "answer": a, "level": 1} for p, a in SUMS.items()],
        "demonstrations": [{"prompt": p, "completion": a} for p, a in SUMS.items()],
        "messages": [{"messages": [{"role": "user", "content": p}, {"role": "assistant", "content": a}]}
                     for p, a in SUMS.items()],
        "preferences": [{"prompt": p, "chosen": a, "rejected": "66"} for p, a in SUMS.items()],
        "rankings": [{"prompt": p, "completions": ["66", a, "00"], "ranking": [3, 1, 2]} for p, a in SUMS.items()],
        "labels": [{"prompt": p, "completion": c, "label": c == a} for p, a in SUMS.items() for c in (a, "66")],
        "grades": [{"prompt": p, "completion": c, "label": 5 if c == a else 1.5} for p, a in SUMS.items()
                   for c in (a, "66")]}
    return {name: written(tmp_path, *some, name=f"{name}.jsonl") for name, some in lines.items()} | {
        "reward": f"{tmp_path / 'r.py'}:score", "task": f"{tmp_path / 't.py'}:sums", "folder": tmp_path}


@pytest.fixture(autouse=True)
def hastened(monkeypatch):
    hasten(monkeypatch)
    monkeypatch.setattr(sft, "METHOD", shortened(sft.METHOD, 3, batch=8))
    monkeypatch.setattr(reward_model, "METHOD", shortened(reward_model.METHOD, 3, batch=4))


@pytest.fixture
def files(tmp_path):
    return offered(tmp_path)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The folder of a policy that was fine-tuned on the demonstrations."""
    files = offered(tmp_path_factory.mktemp("begun"))
    more = ("--demonstrations", files["demonstrations"], "--steps", "3", "--max-new-tokens", "4", *SHAPE)
    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        assert train("sft", files["folder"] / "sft", "--batch", "8", *more, small=False) == 0
    return files["folder"] / "sft"


def train(name, folder, *more, small=True, quiet=("--quiet",)):
    return main(["train", name, "--run-dir", str(folder), *(SMALL[name] if small else ()), *quiet, *map(str, more)])


def refused(capsys, status):
    said = capsys.readouterr()
    assert status == 2 and said.out == "" and said.err.count("\n") == 1
    return said.err


# ---------------------------------------------------------------- each format trains

@pytest.mark.both_backends
@pytest.mark.parametrize("kind", ["demonstrations", "messages"])
@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_demonstrations_are_imitated(kind, tokenizer, files):
    more = ("--demonstrations", files[kind], "--steps", "40", "--lr", "0.02", "--tokenizer", tokenizer, *SHAPE)
    assert train("sft", files["folder"] / "run", *more) == 0
    lines, config = metrics(files["folder"] / "run"), result(files["folder"] / "run")
    assert lines[-1]["loss"] < lines[0]["loss"] / 2 and "teacher_accuracy" not in config
    assert config["max_new_tokens"] == 2 and config["width"] == 16 and config["tokenizer"] == tokenizer
    assert config["demonstrations"].startswith(f"{files[kind].stat().st_size} bytes, SHA-256 ")


@pytest.mark.parametrize("name", ["ppo", "grpo", "expert-iteration"])
def test_a_reward_of_one_s_own_is_maximised(name, files, begun):
    more = ("--prompts", files["prompts"], "--reward", files["reward"], "--init", begun, "--steps", "2")
    assert train(name, files["folder"] / "run", *more) == 0
    config = json.loads((files["folder"] / "run" / "config.json").read_text("utf-8"))
    assert config["task"] is None and config["reward_function"].startswith("score, ")
    assert all(one["reward_after"] >= 0 for one in samples(files["folder"] / "run"))


@pytest.mark.both_backends
@pytest.mark.parametrize("kind", ["preferences", "rankings", "labels", "grades"])
def test_what_people_said_makes_a_reward_model(kind, files, begun):
    option = "--labels" if kind in ("labels", "grades") else "--preferences"
    more = (option, files[kind], "--init", begun, "--steps", "40", "--lr", "0.01")
    assert train("reward-model", files["folder"] / "run", *more) == 0
    found = result(files["folder"] / "run")
    assert found["learned_accuracy"] > 0.9 and 0 <= found["held_out_accuracy"] <= 1
    assert found["loss"] == ("ratings" if option == "--labels" else "pairs") and found["rankings"] is None


def test_few_labels_are_measured_on_what_they_teach_and_equal_ones_teach_nothing(files, begun, capsys):
    init, right = begun, [prompt for prompt in SUMS if prompt in split(SUMS, data.HELD_OUT)[0]]
    held = next(prompt for prompt in SUMS if prompt not in right)
    lines = [{"prompt": right[0], "completion": "1", "label": True},
             {"prompt": right[1], "completion": "1", "label": False},
             {"prompt": held, "completion": "1", "label": True}]
    path = written(files["folder"], *lines, name="few.jsonl")
    assert train("reward-model", files["folder"] / "run", "--labels", path, "--init", init, "--steps", "2") == 0
    found = result(files["folder"] / "run")
    assert "held_out_accuracy" not in found and 0 <= found["learned_accuracy"] <= 1
    path = written(files["folder"], lines[0], lines[2], name="few.jsonl")
    capsys.readouterr()
    for name, more in (("reward-model", ("--init", init)), ("reward-model", ()), ("grpo", ())):
        err = refused(capsys, train(name, files["folder"] / "new", "--labels", path, *more))
        assert "--labels is 1.0; expected labels that differ" in err and not (files["folder"] / "new").exists()


@pytest.mark.parametrize(("name", "figure"), [("dpo", "preferred"), ("reward-model", "accuracy")])
def test_a_share_is_called_held_out_only_where_lines_are_held_out(name, figure, files, begun):
    path = written(files["folder"], {"prompt": "1+1=", "chosen": "2", "rejected": "3"}, name="one.jsonl")
    more = ("--preferences", path, "--init", begun, "--steps", "2")
    assert train(name, files["folder"] / "run", *more) == 0
    found = result(files["folder"] / "run")
    assert f"learned_{figure}" in found and f"held_out_{figure}" not in found


@pytest.mark.parametrize("kind", ["preferences", "rankings"])
def test_preferences_make_a_policy_without_a_reward_model(kind, files, begun):
    more = ("--preferences", files[kind], "--init", begun, "--steps", "20")
    assert train("dpo", files["folder"] / "run", *more) == 0
    assert result(files["folder"] / "run")["held_out_preferred"] > 0.9
    assert metrics(files["folder"] / "run")[-1]["preferred"] > 0.9


@pytest.mark.parametrize(("name", "where"), [("sft", "sums"), ("grpo", "ready"), ("dpo", "sums"),
                                             ("reward-model", "ready")])
def test_a_task_in_python_is_trained_on(name, where, files):
    more = ("--task", f"{files['folder'] / 't.py'}:{where}", "--steps", "2")
    small = letters.SMALL if name in ("dpo", "reward-model") else SMALL
    assert train(name, files["folder"] / "run", *small[name], *SHAPE, *more, small=False) == 0
    found = result(files["folder"] / "run")
    assert found["task"].startswith(f"sums, {where}, ") and found["max_new_tokens"] == 2


def test_a_task_of_an_installed_module_is_named_by_it(files, monkeypatch):
    monkeypatch.syspath_prepend(files["folder"])
    assert train("sft", files["folder"] / "run", "--task", "t:sums", "--steps", "1", *SHAPE) == 0
    assert result(files["folder"] / "run")["task"].startswith("sums, sums, ")
    assert train("sft", files["folder"] / "run", "--task", "t:sums", "--resume", small=False) == 0


def test_demonstrations_and_preferences_are_the_whole_of_rlhf_and_stages_know_them(files):
    more = ("--demonstrations", files["messages"], "--preferences", files["preferences"], "--steps", "2", *SHAPE)
    assert train("ppo", files["folder"] / "run", *more) == 0
    for stage in ("sft", "reward-model"):
        config = json.loads((files["folder"] / "run" / stage / "config.json").read_text("utf-8"))
        assert config["demonstrations"] and config["preferences"] and config["max_new_tokens"] == 3
    assert "proxy" in result(files["folder"] / "run")
    assert checkpoint.load(files["folder"] / "run").model.config.width == 16


def test_without_demonstrations_the_policy_imitates_what_people_like_best(files):
    assert train("dpo", files["folder"] / "run", "--preferences", files["rankings"], "--steps", "1", *SHAPE) == 0
    assert (files["folder"] / "run" / "sft" / "result.json").exists()
    world = worlds.own(*_task_of(files["rankings"]))
    prompts, answers = world.shown(4)
    assert dict(zip(prompts, answers, strict=True)) == {prompt: SUMS[prompt] for prompt in world.task.prompts}


def _task_of(path):
    found = data.read(preferences=path)
    return data.task("x", found), found


def test_every_demonstration_is_seen_and_none_of_a_held_out_prompt(files):
    found = data.Data(pairs=[(prompt, answer) for prompt, right in SUMS.items() for answer in (right, "7")])
    world = worlds.own(data.task("x", found), found)
    assert sorted(zip(*world.shown(1), strict=True)) == sorted(
        (prompt, answer) for prompt in world.task.prompts for answer in (SUMS[prompt], "7"))


# ---------------------------------------------------------------- resuming

def test_a_run_on_files_that_was_killed_and_resumed_ends_in_the_same_bits(files, monkeypatch):
    more = ("--demonstrations", files["demonstrations"], "--preferences", files["preferences"], "--steps", "4",
            "--save-every", "2", *SHAPE)
    assert train("ppo", files["folder"] / "whole", *more) == 0
    with monkeypatch.context() as patch:
        killed(patch, 2, "train ppo")
        assert train("ppo", files["folder"] / "parts", *more) == 130
    assert train("ppo", files["folder"] / "parts", *more[:4], "--resume", small=False) == 0     # files alone
    for part in ("", "sft", "reward-model"):
        assert_same_bits(files["folder"] / "whole" / part, files["folder"] / "parts" / part)


@pytest.mark.parametrize(("option", "changed"), [("--prompts", "prompts"), ("--reward", "reward")])
def test_other_data_or_another_reward_is_no_resume(option, changed, files, begun, capsys):
    more = ("--prompts", files["prompts"], "--reward", files["reward"], "--init", begun, "--steps", "2")
    assert train("grpo", files["folder"] / "run", *more) == 0
    before = contents(files["folder"] / "run")
    path = files["prompts"] if changed == "prompts" else files["folder"] / "r.py"
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    capsys.readouterr()
    assert f"{option} is '" in refused(capsys, train("grpo", files["folder"] / "run", *more, "--resume"))
    assert contents(files["folder"] / "run") == before


def test_the_same_data_elsewhere_are_the_same(files):
    more = ("--steps", "2", *SHAPE)
    assert train("sft", files["folder"] / "run", "--demonstrations", files["demonstrations"], *more) == 0
    moved = files["demonstrations"].rename(files["folder"] / "moved.jsonl")
    assert train("sft", files["folder"] / "run", "--demonstrations", moved, *more, "--resume") == 0


def test_what_files_hold_decides_and_not_when_they_are_read(files):
    more = ("--demonstrations", files["demonstrations"], "--steps", "3", *SHAPE)
    assert train("sft", files["folder"] / "a", *more) == train("sft", files["folder"] / "b", *more) == 0
    a, b = (checkpoint.load(files["folder"] / name).model.parameters() for name in "ab")
    for name in a:
        assert_array_equal(a[name].data, b[name].data)


# ---------------------------------------------------------------- what is refused, before anything is written

@pytest.mark.parametrize(("name", "more", "says"), [
    ("grpo", ("--prompts", "{prompts}"), "--reward is None; expected FILE.py:function, which pays for answers to"),
    ("grpo", ("--reward", "{reward}"), "--reward is '"),
    ("grpo", ("--prompts", "{prompts}", "--reward", "{reward}"), "--init is None; expected the folder of a "),
    ("sft", ("--prompts", "{prompts}", "--reward", "{reward}", "--init", "{begun}"),
     "--demonstrations is None; expected a file of answers to imitate"),
    ("grpo", ("--prompts", "{prompts}", "--reward", "{folder}/r.py:forgetful", "--init", "{begun}"),
     "--reward is 'forgetful'; expected a function of prompts, completions, answer, level, or with **columns"),
    ("grpo", ("--prompts", "{prompts}", "--reward", "{folder}/r.py:number", "--init", "{begun}"), "--reward is 7; "),
    ("grpo", ("--prompts", "{prompts}", "--reward", "{folder}/r.py:no", "--init", "{begun}"), "has score, forgetful"),
    ("grpo", ("--prompts", "{prompts}", "--reward", "nowhere:score", "--init", "{begun}"), "--reward is 'nowhere:"),
    ("grpo", ("--prompts", "{folder}/no.jsonl"), "no.jsonl: No such file or directory; give the path of a file"),
    ("dpo", ("--demonstrations", "{demonstrations}"), "--preferences is None; expected a file of what people prefer"),
    ("dpo", ("--labels", "{labels}"), "--preferences is None; expected a file of comparisons; labels are grades"),
    ("reward-model", ("--labels", "{labels}", "--loss", "pairs"), "--loss is 'pairs'; expected 'ratings'"),
    ("reward-model", ("--labels", "{labels}", "--preferences", "{preferences}"), "expected either labels or "),
    ("dpo", ("--preferences", "{preferences}", "--rankings", "9"), "--rankings is 9; expected none: the file has all"),
    ("sft", ("--demonstrations", "{preferences}"), 'line 1: the field "completion" is missing; expected {"prompt"'),
    ("sft", ("--demonstrations", "{demonstrations}", "--task", "addition"), "--task is 'addition'; expected none: "),
    ("sft", ("--task", "{task}", "--demonstrations", "{demonstrations}"), "expected nothing beside the task"),
    ("sft", ("--task", "{folder}/t.py:right"), "--task is \"TypeError: right() missing 2 required positional argu"),
    ("sft", ("--task", "{folder}/r.py:number"), "--task is 7; expected a rlscratch.tasks.task.Task, or a function"),
    ("sft", ("--task", "addition", "--width", "32"), "--width is 32; expected no such option with the task addition"),
    ("sft", ("--demonstrations", "{demonstrations}", "--width", "20"), "--width is 20; expected a multiple of 16"),
    ("sft", ("--demonstrations", "{demonstrations}", "--tokenizer", "words"), "--tokenizer is 'words'; expected "),
    ("sft", ("--demonstrations", "{demonstrations}", "--words", "w.txt"), "expected no words with a task of your own"),
    ("sft", ("--demonstrations", "{demonstrations}", "--init", "{begun}", "--layers", "3"), "--layers is 3; "),
    ("sft", ("--demonstrations", "{demonstrations}", "--max-new-tokens", "1"),
     "the number of tokens of the answer '0' is 2; expected at most 1, max_new_tokens"),
    ("dpo", ("--preferences", "{folder}/long.jsonl", "--init", "{begun}"), "is 10; expected at least 11 tokens: a "),
    ("dpo", ("--preferences", "{folder}/strange.jsonl", "--init", "{begun}"),
     "strange.jsonl, line 2, is 'x'; expected one of the model's 14 tokens: leave it out or begin with a model whose"),
    ("dpo", ("--preferences", "{folder}/strange.jsonl", "--init", "{begun}", "--max-new-tokens", "2"),
     "a character of --preferences"),
    ("grpo", ("--prompts", "{folder}/spaced.jsonl", "--reward", "{reward}", "--init", "{begun}"),
     "spaced.jsonl, line 1, is ' '"),
])
def test_what_does_not_go_together_or_does_not_fit_is_one_line_and_nothing_is_written(name, more, says, files, begun,
                                                                                     capsys):
    written(files["folder"], {"prompt": "1+1=", "chosen": "2", "rejected": "3333"}, name="long.jsonl")
    written(files["folder"], {"prompt": "1+1=", "chosen": "2", "rejected": "3"},
            {"prompt": "1+1=", "chosen": "2", "rejected": "x"}, name="strange.jsonl")
    written(files["folder"], {"prompt": "1 +1=", "answer": "2", "level": 1}, name="spaced.jsonl")
    where = {**files, "begun": begun}
    capsys.readouterr()
    status = train(name, files["folder"] / "new", *(part.format(**where) for part in more))
    assert says in refused(capsys, status)
    assert not (files["folder"] / "new").exists()


def test_a_reward_that_breaks_on_the_way_is_told_and_the_run_goes_on_from_its_save(files, begun, capsys):
    (files["folder"] / "r.py").write_text(
        "import json\ndef score(prompts, completions, **columns):\n    return [json.loads('\\n')]\n", "utf-8")
    more = ("--prompts", files["prompts"], "--reward", files["reward"], "--init", begun, "--steps", "2")
    capsys.readouterr()
    assert train("grpo", files["folder"] / "run", *more) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"is an error in {files['folder'] / 'r.py'}, line 3, JSONDecodeError: Expecting value: line 2 col" in err


def test_files_are_for_text_and_not_for_tables(files, capsys):
    err = refused(capsys, train("ppo", files["folder"] / "new", "--task", "frozen-lake", "--prompts", files["prompts"],
                                small=False))
    assert "expected no such option with --task frozen-lake: it is for every-third-character" in err
