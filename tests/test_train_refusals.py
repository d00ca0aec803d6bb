"""The commands that train transformers refuse what will not do: status 2, one line, and nothing is written."""
from dataclasses import replace

import numpy as np
import pytest

from letters import LETTERS, begin, contents, hasten, letters, plant, result, run
from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.bpe import Tokenizer
from rlscratch.cli import train as cli
from rlscratch.train.language import dpo, grpo, ppo, reward_model, worlds
from rlscratch.train.language.chat import Chat
from rlscratch.train.tabular import worlds as tables
from rlscratch.transformer import Config, Transformer

pytestmark = pytest.mark.compiled_only("what is refused is so before any kernel is called")


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    """The task under two names."""
    hasten(monkeypatch)
    plant(monkeypatch, letters())
    plant(monkeypatch, letters("preferences"))


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    return begin(tmp_path_factory.mktemp("begun") / "sft")


def refused(capsys, status):
    said = capsys.readouterr()
    assert status == 2 and said.out == "" and said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(("name", "more", "says"), [
    ("grpo", ("--group", "1"), "--group is 1; expected an integer >= 2"),
    ("grpo", ("--beta", "-0.5"), "--beta is -0.5; expected a finite number >= 0"),
    ("grpo", ("--eps-low", "2"), "--eps-low is 2.0; expected a number in [0, 1]"),
    ("grpo", ("--temperature", "0"), "--temperature is 0.0; expected a finite number > 0 (greedy"),
    ("ppo", ("--beta", "-1"), "--beta is -1.0; expected a finite number >= 0"),
    ("ppo", ("--steps", "0"), "--steps is 0; expected an integer >= 1"),
    ("ppo", ("--save-every", "0"), "--save-every is 0; expected an integer >= 1"),
    ("dpo", ("--beta", "0"), "--beta is 0.0; expected a finite number > 0"),
    ("dpo", ("--answers", "1"), "--answers is 1; expected an integer >= 2"),
    ("reward-model", ("--noise", "-1"), "--noise is -1.0; expected a finite number >= 0"),
    ("sft", ("--lr", "nan"), "--lr is nan; expected a finite number > 0"),
    ("sft", ("--seed", "-1"), "--seed is -1; expected an integer >= 0"),
    ("expert-iteration", ("--kept", "0"), "--kept is 0; expected an integer >= 1"),
    ("sft", ("--words", "mine.txt"), "--words is 'mine.txt'; expected no words with the task addition: only eve"),
    ("grpo", ("--init", "nowhere"), "--init nowhere: folder is 'nowhere'; expected the folder of a run that has saved"),
    ("ppo", ("--reward-model", "nowhere"), "--reward-model nowhere: folder is 'nowhere'; expected the folder of a run"),
])
def test_bad_arguments_are_one_line_and_status_2_and_nothing_is_written(name, more, says, tmp_path, capsys):
    assert says in refused(capsys, run(name, tmp_path / "new", *more))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("name", "more", "there_are"), [
    ("grpo", ("--variant", "drgrpo"), [*grpo.variants.VARIANTS]), ("ppo", ("--kl-penalty", "k1"), [*ppo.KL_PENALTIES]),
    ("ppo", ("--kl-penalty", "k3"), [*ppo.KL_PENALTIES]), ("dpo", ("--loss", "kto"), [*dpo.LOSSES]),
    ("reward-model", ("--loss", "dpo"), [*reward_model.LOSSES]), ("sft", ("--task", "banana"), [*worlds.NAMES]),
    ("ppo", ("--task", "banana"), [*tables.NAMES, *worlds.NAMES])])
def test_an_unknown_word_is_answered_with_those_there_are(name, more, there_are, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(name, tmp_path / "new", *more)
    err = capsys.readouterr().err
    assert stopped.value.code == 2 and all(f"'{word}'" in err for word in there_are) and err.count("\n") == 1


@pytest.mark.parametrize(("argv", "says"), [
    (("ppo", "--task", "ice-cream", "--kl-penalty", "k2-loss"), "--kl-penalty is 'k2-loss'; expected no such "
     "option with --task ice-cream: it is for every-third-character, addition"),
    (("ppo", "--init", "runs/sft"), "--init is 'runs/sft'; expected no such option with --task frozen-lake: it is "),
    (("grpo", "--words", "mine.txt"), "--words is 'mine.txt'; expected no such option with --task frozen-lake: it is "
     "for every-third-character\n"),
    (("grpo", "--task", "pasta", "--reward-model", "x"), "--reward-model is 'x'; expected no such option with --task "),
    (("ppo", "--task", "addition", "--episodes", "5"), "--episodes is 5; expected no such option with --task addition: "
     "it is for frozen-lake, frozen-lake-slippery"),
    (("grpo", "--task", "ice-cream", "--minibatches", "5"), "--minibatches is 5; expected no such option with --task "),
])
def test_an_option_of_the_other_kind_of_task_is_named_with_the_tasks_it_is_for(argv, says, tmp_path, capsys):
    assert says in refused(capsys, main(["train", *argv, "--run-dir", str(tmp_path / "new")]))
    assert not (tmp_path / "new").exists()


def test_every_choice_of_both_methods_reaches_the_one_that_it_is_for(begun, tmp_path, capsys):
    for name, command_ in (("ppo", cli.PPO), ("grpo", cli.GRPO)):
        every = {choice.name for choice in (*command_.tables.choices, *command_.text.choices)}
        with pytest.raises(SystemExit):
            main(["train", name, "--help"])
        said = capsys.readouterr().out
        assert all(f"--{choice.replace('_', '-')}" in said for choice in every)
        assert said.index("the learner:") < said.index("text tasks alone:")
        assert ("lakes and bandits alone:" in said) == (name == "ppo")
    assert run("ppo", tmp_path / "text", "--steps", "1", "--clip", "0.1", "--init", begun) == 0
    assert result(tmp_path / "text")["clip"] == 0.1


@pytest.mark.parametrize(("content", "says"), [
    ("", "the text in "), ("  \n", "words is []; expected at least one word"),
    ("Ubiquitous\nincomprehensibilities\n", "words[1] is 'incomprehensibilities'; expected 5 to 12 ASCII letters"),
    ("Ubiquitous\nubiquitous\n", "words[1] is 'ubiquitous'; expected words that differ")])
@pytest.mark.parametrize("name", ["sft", "grpo"])
def test_unusable_words_are_refused(name, content, says, tmp_path, capsys):
    (tmp_path / "words.txt").write_text(content, "utf-8")
    more = ("--words", tmp_path / "words.txt")
    assert says in refused(capsys, run(name, tmp_path / "new", *more, task="every-third-character"))
    assert not (tmp_path / "new").exists()


def test_words_of_one_s_own_are_trained_on_and_told_apart(tmp_path, monkeypatch, capsys):
    plant(monkeypatch, letters(), longest=6, name="every-third-character")
    path = tmp_path / "words.txt"
    path.write_text("Ubiquitous transformer reward policy gradient kangaroo sampling tokens\n", "utf-8")
    more = ("--steps", "2", "--words", path)
    assert run("sft", tmp_path / "run", *more, task="every-third-character") == 0
    assert result(tmp_path / "run")["words"].startswith("8 words, SHA-256 ")
    path.write_text("Ubiquitous transformer reward policy gradient kangaroo sampling prompt\n", "utf-8")
    assert run("sft", tmp_path / "run", *more, "--resume", task="every-third-character") == 2
    assert "--words is '8 words, SHA-256 " in capsys.readouterr().err


@pytest.mark.parametrize("name", ["sft", "grpo"])
def test_answers_longer_than_the_context_are_found_before_anything_is_written(name, tmp_path, monkeypatch, capsys):
    task = replace(letters(), teacher=lambda prompt, rng: "abcdefgh")
    plant(monkeypatch, task)
    assert "'abcdefgh', and its prompt is 12; expected at most 7, the context of the model" in refused(
        capsys, run(name, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_task_that_nobody_shows_how_to_do_has_no_fine_tuning(tmp_path, monkeypatch, capsys):
    task = replace(letters(), teacher=None)
    plant(monkeypatch, task)
    assert "task.teacher is None; expected somebody who shows how" in refused(capsys, run("grpo", tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_a_reward_model_that_has_nothing_to_learn_leaves_no_folder(begun, tmp_path, monkeypatch, capsys):
    plant(monkeypatch, letters(reward=lambda prompt, answer: 1.0))
    assert "expected answers to one prompt whose rewards differ" in refused(
        capsys, run("reward-model", tmp_path / "new", "--init", begun))
    assert not (tmp_path / "new").exists()


def model_in(folder, tokenizer, vocab_size=None, context=7, head=False):
    config = Config(vocab_size or tokenizer.vocab_size, context, 16, 1, 1, value_head=head)
    checkpoint.save(folder, Transformer(config, np.random.default_rng(0)))
    tokenizer.save(folder)
    return folder


@pytest.mark.parametrize(("made", "says"), [
    (lambda folder: model_in(folder, Chat.learn(["ab"]).tokenizer),
     "a character of the text is 'c'; expected one of the vocabulary's 6 tokens"),
    (lambda folder: model_in(folder, Tokenizer.train("", 256), 200),
     "the vocabulary of the tokenizer is 256; expected an integer in [1, 200]"),
    (lambda folder: model_in(folder, Chat.learn([LETTERS]).tokenizer, 50),
     "the vocabulary of the tokenizer is 12; expected 50 tokens, as the model has"),
    (lambda folder: model_in(folder, Chat.learn([LETTERS]).tokenizer, context=5),
     "is 5; expected at least 7 tokens: a prompt and an answer of addition"),
], ids=["unknown characters", "less than its tokenizer", "another vocabulary", "short context"])
def test_a_policy_that_does_not_fit_is_refused(made, says, tmp_path, capsys):
    err = refused(capsys, run("grpo", tmp_path / "new", "--init", made(tmp_path / "init")))
    assert err.startswith(f"rlscratch: --init {tmp_path / 'init'}: ") and says in err
    assert not (tmp_path / "new").exists()


def test_a_reward_model_is_one_and_a_policy_is_one(begun, tmp_path, capsys):
    assert run("reward-model", tmp_path / "rm", "--steps", "2", "--init", begun) == 0
    assert run("ppo", tmp_path / "ppo", "--steps", "2", "--init", begun) == 0
    capsys.readouterr()
    for folder, made_by in ((tmp_path / "ppo", "train ppo"), (begun, "train sft")):     # a critic gives no scores
        assert f"expected the run of a reward model; this is one of {made_by}" in refused(
            capsys, run("grpo", tmp_path / "new", "--init", begun, "--reward-model", folder))
    assert "expected the run of a policy; this is one of train reward-model" in refused(
        capsys, run("grpo", tmp_path / "new", "--init", tmp_path / "rm"))
    headless = model_in(tmp_path / "headless", Chat.learn([LETTERS]).tokenizer)
    assert "this model has no head for scores" in refused(
        capsys, run("grpo", tmp_path / "new", "--init", begun, "--reward-model", headless))
    assert not (tmp_path / "new").exists()


def test_a_reward_model_reads_the_policy_s_tokens(begun, tmp_path, capsys):
    other = model_in(tmp_path / "other", Chat.learn([LETTERS + "xyz"]).tokenizer, head=True)
    assert "expected one with the policy's tokens" in refused(
        capsys, run("grpo", tmp_path / "new", "--init", begun, "--reward-model", other))
    same = model_in(tmp_path / "same", Chat.load(begun).tokenizer, head=True)
    assert run("grpo", tmp_path / "new", "--steps", "1", "--init", begun, "--reward-model", same) == 0


def test_a_folder_in_the_way_is_not_written_into(tmp_path, capsys):
    assert run("sft", tmp_path / "run" / "sft", "--steps", "2") == 0
    capsys.readouterr()
    assert "expected a folder without sft/, where this run keeps its own" in refused(
        capsys, run("grpo", tmp_path / "run", "--steps", "2"))
    assert run("grpo", tmp_path / "run", "--steps", "2", "--init", tmp_path / "run" / "sft") == 0     # but may be read
    mine = model_in(tmp_path / "mine", Chat.learn([LETTERS]).tokenizer)
    before = contents(mine)
    capsys.readouterr()
    assert "expected another folder than that of init" in refused(capsys, run("grpo", mine, "--init", mine))
    assert contents(mine) == before


def test_a_model_of_another_shape_is_no_state_to_go_on_from(tmp_path, monkeypatch, capsys):
    assert run("sft", tmp_path, "--steps", "2") == 0
    plant(monkeypatch, letters(), width=32)
    capsys.readouterr()
    err = refused(capsys, run("sft", tmp_path, "--steps", "2", "--resume"))
    assert "the model in the run's folder is Config(" in err


@pytest.mark.parametrize("method", [grpo, ppo, dpo, reward_model])
def test_from_python_a_method_that_begins_with_a_policy_asks_for_it(method):
    with pytest.raises(ValueError, match=r"stages\.policy is None; expected a policy, as sft\.METHOD\.learn leaves it"):
        next(method.METHOD.learn(worlds.make("ice-cream-text")))
