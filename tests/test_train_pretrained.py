"""A pretrained model is given the marks of the chat template: old logits stay, new rows are near the mean.

A tokenizer of 6 letters and a model of 16 channels; 4 marks make 10 tokens.
"""
import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import letters
from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.blocks import STYLES
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.formulas.distribution import softmax
from rlscratch.train.language import pretrained, worlds
from rlscratch.train.language.chat import SPECIAL, Chat
from rlscratch.transformer import Config, Transformer


def model(vocab_size=6, dropout=0.0, tied=True, dtype=np.float64, context=16, heads=1, **blocks):
    config = Config(vocab_size, context, 16, 1, heads, tied=tied, dropout=dropout, **blocks)
    made = Transformer(config, np.random.default_rng(0), dtype)
    for parameter in made.parameters().values():
        parameter.data += 0.5 * np.random.default_rng(1).standard_normal(parameter.shape)
    return made


@pytest.mark.parametrize("tied", [True, False])
def test_logits_of_old_tokens_are_the_same_numbers_and_a_mark_is_no_likelier_than_a_token_on_average(tied):
    small, tokens = model(tied=tied), np.random.default_rng(2).integers(6, size=(5, 9))
    grown = pretrained.grown(small, 6, 10, np.random.default_rng(3))
    before, after = small(tokens).data, grown(tokens).data
    assert_allclose(after[..., :6], before, rtol=0, atol=1e-12)         # a product of matrices of another shape
    p = softmax(after)
    assert (p[..., 6:] <= (1 - pretrained.MOVED) / 6 + pretrained.MOVED * p[..., :6].max(axis=-1, keepdims=True)).all()
    rows = grown.parameters()["wte.weight"].data[6:]
    assert len(np.unique(rows, axis=0)) == 4                            # each mark has a row of its own
    again = pretrained.grown(small, 6, 10, np.random.default_rng(3))
    assert_array_equal(again.parameters()["wte.weight"].data[6:], rows)


def test_rows_near_zero_would_say_nothing_but_marks():
    small = model()
    small.parameters()["ln_f.bias"].data[...] = -30 * small.parameters()["wte.weight"].data.mean(axis=0)
    grown, tokens = pretrained.grown(small, 6, 10, np.random.default_rng(3)), np.zeros((1, 3), int)
    assert softmax(grown(tokens).data)[..., 6:].sum() < 3 * 0.41          # 4 of 10 tokens, at 3 places
    grown.parameters()["wte.weight"].data[6:] = 0
    assert softmax(grown(tokens).data)[..., 6:].sum() > 2.9


def test_rows_of_padding_are_dropped_and_dropout_is_turned_off(tmp_path):
    checkpoint.save(tmp_path, model(vocab_size=8, dropout=0.2))
    CharacterTokenizer("abcdef").save(tmp_path)
    grown, chat = pretrained.load(tmp_path, np.random.default_rng(0))
    assert grown.config.vocab_size == chat.tokenizer.vocab_size == 10 and grown.config.dropout == 0
    assert [chat.user, chat.assistant, chat.end, chat.pad] == [6, 7, 8, 9]


def test_a_model_that_has_the_marks_is_as_it_was(tmp_path):
    chat = Chat.learn(["abcdef"])
    checkpoint.save(tmp_path, small := model(vocab_size=10))
    chat.tokenizer.save(tmp_path)
    found, known = pretrained.load(tmp_path, np.random.default_rng(0))
    assert known.tokenizer.vocab == chat.tokenizer.vocab
    for name, parameter in found.parameters().items():
        assert_array_equal(parameter.data, small.parameters()[name].data)


@pytest.mark.parametrize("tokenizer", [CharacterTokenizer("abcdef"), Tokenizer.train("to be or not to be", 258),
                                       CharacterTokenizer("ab", ["<|end|>"])], ids=["characters", "bpe", "one mark"])
def test_special_tokens_are_added_behind_and_all_other_ids_stay(tokenizer, tmp_path):
    missing = [mark for mark in SPECIAL if mark not in tokenizer.special_tokens]
    more = tokenizer.with_special(missing)
    assert {i: token for i, token in more.vocab.items() if i < tokenizer.vocab_size} == tokenizer.vocab
    assert more.vocab_size == tokenizer.vocab_size + len(missing) and set(SPECIAL) == set(more.special_tokens)
    assert more.encode("ab<|pad|>")[:-1] == tokenizer.encode("ab")
    more.save(tmp_path)
    assert type(more).load(tmp_path).vocab == more.vocab


# ---------------------------------------------------------------- through the command line

@pytest.fixture(autouse=True)
def planted(monkeypatch):
    letters.hasten(monkeypatch)
    letters.plant(monkeypatch, letters.letters())


def gpt2(folder, **blocks):
    """A folder as transformers writes it, with GPT-2's two files of a tokenizer."""
    tokenizer = Tokenizer.train("abc abc", 257)
    checkpoint.to_huggingface(model(tokenizer.vocab_size, dtype=np.float32, **blocks), folder)
    tokenizer.save(folder)
    known = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(known["vocab"]), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(known["merges"]) + "\n", "utf-8")
    return folder


def llama(folder):
    """The same for a Llama."""
    return gpt2(folder, tied=False, heads=4, kv_heads=2, **STYLES["llama"])


def pretrain(folder):
    text = folder.parent / "text.txt"
    text.write_text("abcdefgh " * 100, "utf-8")
    assert main(["pretrain", "--text", str(text), "--run-dir", str(folder), "--tokenizer", "characters", "--steps", "3",
                 "--context", "16", "--width", "16", "--layers", "1", "--heads", "1", "--quiet"]) == 0
    return folder


OTHERS = pytest.mark.compiled_only("one flow is run on NumPy, too")


@pytest.mark.parametrize("made", [pytest.param(gpt2, marks=OTHERS), llama, pytest.param(pretrain, marks=OTHERS)])
def test_pretraining_fine_tuning_rewards_and_policy_gradients_are_one_flow_on_one_model(made, tmp_path):
    init = made(tmp_path / "init")
    before = letters.contents(init)
    assert letters.run("sft", tmp_path / "sft", "--steps", "2", "--init", init) == 0
    assert letters.contents(init) == before
    assert letters.result(tmp_path / "sft")["init"].split(",")[0] in ("a model", "pretrain")
    assert letters.run("reward-model", tmp_path / "rm", "--steps", "2", "--init", tmp_path / "sft") == 0
    more = ("--steps", "2", "--init", tmp_path / "sft")
    assert letters.run("ppo", tmp_path / "ppo", *more, "--reward-model", tmp_path / "rm") == 0
    assert letters.run("grpo", tmp_path / "grpo", *more) == letters.run("dpo", tmp_path / "dpo", *more) == 0
    start = checkpoint.load(init).model if made is pretrain else checkpoint.from_huggingface(init)
    for name in ("sft", "rm", "ppo", "grpo", "dpo"):
        found = checkpoint.load(tmp_path / name).model.config
        assert found == replace(start.config, vocab_size=start.config.vocab_size + 4, dropout=0.0,
                                value_head=name in ("rm", "ppo"))
    world = worlds.make("addition")
    first = world.policy(init).model.parameters()["wte.weight"].data
    assert np.abs(checkpoint.load(tmp_path / "sft").model.parameters()["wte.weight"].data - first).max() < 0.02


def test_a_policy_gradient_begins_with_a_pretrained_model_too(tmp_path):
    assert letters.run("grpo", tmp_path / "run", "--steps", "1", "--init", pretrain(tmp_path / "pretrain")) == 0


@pytest.mark.compiled_only("kernels have no state to save")
def test_the_marks_of_a_resumed_run_are_those_that_it_began_with(tmp_path, capsys):
    more = ("--steps", "4", "--save-every", "2", "--init", pretrain(tmp_path / "pretrain"))
    assert letters.run("sft", tmp_path / "run", *more) == 0
    before = letters.contents(tmp_path / "run")
    assert letters.run("sft", tmp_path / "run", *more, "--resume") == 0
    assert letters.contents(tmp_path / "run") == before
    assert letters.run("sft", tmp_path / "run", "--resume") == 0                # where it began is remembered
    assert letters.contents(tmp_path / "run") == before


def test_a_context_that_does_not_hold_a_prompt_and_an_answer_is_refused(tmp_path, capsys):
    checkpoint.save(tmp_path / "init", model(8, dtype=np.float32, context=5))
    CharacterTokenizer("abcdefgh").save(tmp_path / "init")
    assert letters.run("sft", tmp_path / "run", "--init", tmp_path / "init") == 2
    err = capsys.readouterr().err
    assert "is 5; expected at least 7 tokens: a prompt and an answer of addition" in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()
