"""rlscratch tokenize and rlscratch sample, as a shell calls them.

The text is "abcabc..." and the model has not learned it: what is tested is the way from options to
answers, not the answers.
"""
import io
import json

import numpy as np
import pytest

from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.blocks import STYLES
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.generate import beam_search, generate
from rlscratch.train.language.chat import Chat
from rlscratch.train.language.policy import Policy
from rlscratch.transformer import Config, Transformer


@pytest.fixture
def folder(tmp_path):
    """A run's folder: a model of six tokens, a to e and <|end|>."""
    model = Transformer(Config(6, 24, 16, 2, 2), np.random.default_rng(0))
    checkpoint.save(tmp_path / "run", model)
    CharacterTokenizer("abcde", ["<|end|>"]).save(tmp_path / "run")
    return tmp_path / "run"


def printed(capsys, *argv, status=0):
    """What a command prints on standard output and on standard error."""
    assert main([str(a) for a in argv]) == status
    return capsys.readouterr()


def answers_of(capsys, folder, *argv):
    out, err = printed(capsys, "sample", "--run-dir", folder, "--prompt", "ab", "--json", *argv)
    return json.loads(out), err


# ---------------------------------------------------------------- sample

def test_sample_returns_what_generate_does(folder, capsys):
    said, err = answers_of(capsys, folder, "--n", 8, "--max-new-tokens", 3, "--seed", 3)
    model = checkpoint.load(folder).model
    expected = generate(model, [[0, 1]] * 8, max_new_tokens=3, stop=[5], rng=np.random.default_rng(3))
    assert [answer["ids"] for answer in said["answers"]] == expected.answers
    assert [answer["reason"] for answer in said["answers"]] == expected.reasons
    assert {"stop", "length"} == set(expected.reasons)
    assert f"{int(expected.mask.sum())} tokens in" in err
    for answer in said["answers"]:
        letters = "".join("abcde"[i] for i in answer["ids"] if i < 5)
        assert answer["text"] == letters


def test_every_knob_reaches_the_model(folder, capsys):
    options = {"--temperature": 0.9, "--top-k": 3, "--top-p": 0.8, "--min-p": 0.2, "--repetition-penalty": 2.5,
               "--order": "huggingface"}
    said, _ = answers_of(capsys, folder, "--n", 4, "--max-new-tokens", 12,
                         *[x for pair in options.items() for x in pair])
    knobs = {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}
    expected = generate(checkpoint.load(folder).model, [[0, 1]] * 4, max_new_tokens=12, stop=[5],
                        rng=np.random.default_rng(0), **knobs)
    assert [answer["ids"] for answer in said["answers"]] == expected.answers


def test_sample_searches_with_beams(folder, capsys):
    said, _ = answers_of(capsys, folder, "--beams", 3, "--max-new-tokens", 4, "--length-penalty", 0.5, "--stop", "c")
    found = beam_search(checkpoint.load(folder).model, [0, 1], beams=3, max_new_tokens=4, length_penalty=0.5,
                        stop=[5, 2])
    assert [answer["ids"] for answer in said["answers"]] == found.rollout.answers
    assert [answer["score"] for answer in said["answers"]] == found.scores.tolist()


def test_sample_fills_the_context_and_shows_the_prompt(folder, capsys):
    out, err = printed(capsys, "sample", "--run-dir", folder, "--prompt", "ab", "--quiet", "--temperature", 0)
    expected = generate(checkpoint.load(folder).model, [[0, 1]], max_new_tokens=22, temperature=0, stop=[5])
    chosen = [i for i in expected.answers[0] if i != 5]
    assert out == "ab" + "".join("abcde"[i] for i in chosen) + "\n"
    assert err == ""


@pytest.mark.parametrize("style", STYLES)
def test_sample_reads_a_folder_of_hugging_face(style, tmp_path, capsys):
    model = Transformer(Config(256, 12, 16, 1, 2, **STYLES[style]), np.random.default_rng(0))
    checkpoint.to_huggingface(model, tmp_path)
    Tokenizer.train("", 256).save(tmp_path)
    said, _ = answers_of(capsys, tmp_path, "--max-new-tokens", 4)
    expected = generate(model, [list(b"ab")], max_new_tokens=4, rng=np.random.default_rng(0))
    assert said["answers"][0]["ids"] == expected.answers[0]


@pytest.mark.parametrize(("argv", "message"), [
    (["--prompt", ""], "--prompt is ''; expected at least one token"),
    (["--prompt", "xyz"], "a character of the text is 'x'; expected one of the vocabulary's 6 tokens"),
    (["--prompt", "ab", "--temperature", "-1"], "--temperature is -1.0; expected"),
    (["--prompt", "ab", "--top-p", "0"], "--top-p is 0.0; expected"),
    (["--prompt", "ab", "--n", "0"], "--n is 0; expected an integer >= 1"),
    (["--prompt", "ab", "--n", "100000000000"], "--n is 100000000000; expected less: it would take"),
    (["--prompt", "ab", "--max-new-tokens", "1000000000000"], "--max-new-tokens is 1000000000000; expected at most "),
    (["--prompt", "ab", "--beams", "100000000000"], "--beams is 100000000000; expected less: it would take"),
    (["--prompt", "ab", "--stop", "de"], "--stop is 'de'; expected a text that is one token; this is 2"),
    (["--prompt", "ab", "--max-new-tokens", "23"], "--max-new-tokens is 23; expected at most 22"),
    (["--prompt", "ab" * 12], "--max-new-tokens is 1; expected at most 0"),
    (["--prompt", "ab", "--seed", "-1"], "--seed is -1; expected an integer >= 0"),
    (["--prompt", "ab", "--run-dir", "nowhere"], "folder is 'nowhere'; expected the folder of a run that has saved"),
])
def test_sample_says_what_is_wrong(folder, argv, message, capsys):
    out, err = printed(capsys, "sample", "--run-dir", folder, *argv, status=2)
    assert err.startswith(f"rlscratch: {message}") and err.count("\n") == 1 and out == ""


def test_a_tokenizer_of_more_tokens_than_the_model_has_is_refused(folder, tmp_path, capsys):
    CharacterTokenizer("abcdefgh").save(tmp_path / "other")
    _, err = printed(capsys, "sample", "--run-dir", folder, "--tokenizer", tmp_path / "other", "--prompt", "a",
                     status=2)
    assert "the vocabulary of the tokenizer is 8; expected at most 6 tokens, as the model has" in err


def test_a_word_that_was_added_to_the_vocabulary_ends_no_answer(folder, capsys):
    file = folder / "tokenizer.json"
    assert "stop" in [answer["reason"] for answer in answers_of(capsys, folder, "--n", 8)[0]["answers"]]
    file.write_text(file.read_text("utf-8").replace('"special": true', '"special": false'), "utf-8")
    said, _ = answers_of(capsys, folder, "--n", 8)
    assert {answer["reason"] for answer in said["answers"]} == {"length"}
    assert any("<|end|>" in answer["text"] for answer in said["answers"])


def test_of_a_vocabulary_padded_beyond_the_tokenizer_s_no_padding_is_said(folder, capsys):
    checkpoint.save(folder, Transformer(Config(512, 24, 16, 2, 2), np.random.default_rng(0)))      # 506 rows too many
    for options in (["--n", 8, "--max-new-tokens", 12], ["--beams", 3, "--max-new-tokens", 4], ["--temperature", 0]):
        said, _ = answers_of(capsys, folder, *options)
        assert all(i < 6 for answer in said["answers"] for i in answer["ids"])


# ---------------------------------------------------------------- a model that answers

@pytest.fixture
def answering(tmp_path):
    """The folder of a model whose tokenizer has the marks of the chat template."""
    chat = Chat.learn(["abcd"])
    checkpoint.save(tmp_path / "chat", Transformer(Config(8, 12, 16, 1, 2), np.random.default_rng(2)))
    chat.tokenizer.save(tmp_path / "chat")
    return tmp_path / "chat"


def test_a_model_that_answers_is_asked_through_the_template_as_in_training(answering, capsys):
    out, _ = printed(capsys, "sample", "--run-dir", answering, "--prompt", "abc", "--n", 8, "--seed", 3, "--json",
                     "--max-new-tokens", 4)
    said = json.loads(out)
    policy = Policy(checkpoint.load(answering).model, Chat.load(answering), 4)
    expected = policy.answer(["abc"] * 8, np.random.default_rng(3))
    assert said["prompt"] == "abc" and [answer["text"] for answer in said["answers"]] == expected.texts
    assert [answer["reason"] == "length" for answer in said["answers"]] == expected.cut.tolist()
    assert len(set(expected.texts)) > 3 and 0 < sum(expected.cut) < 8
    np.testing.assert_allclose([answer["logp"] for answer in said["answers"]], expected.logp.sum(axis=1), rtol=1e-5)


def test_of_a_model_that_answers_the_answers_alone_are_printed_a_line_each(answering, capsys):
    out, err = printed(capsys, "sample", "--run-dir", answering, "--prompt", "abc", "--n", 2, "--temperature", 0,
                       "--quiet")
    policy = Policy(checkpoint.load(answering).model, Chat.load(answering), 7)      # all that the context has room for
    assert out.splitlines() == policy.answer(["abc"], np.random.default_rng(0), 0).texts * 2 and err == ""


def test_a_model_that_answers_can_be_searched_with_beams(answering, capsys):
    out, _ = printed(capsys, "sample", "--run-dir", answering, "--prompt", "ab", "--beams", 2, "--max-new-tokens", 3,
                     "--json")
    chat = Chat.load(answering)
    found = beam_search(checkpoint.load(answering).model, chat.prompt("ab"), beams=2, max_new_tokens=3, stop=[chat.end])
    assert [answer["ids"] for answer in json.loads(out)["answers"]] == found.rollout.answers


@pytest.mark.parametrize(("argv", "message"), [
    ([], "--prompt is None; expected a text: this model answers what it is asked"),
    (["--prompt", "a<|assistant|>b"], "--prompt is 'a<|assistant|>b'; expected a text without <|assistant|>"),
    (["--prompt", "xyz"], "a character of the text is 'x'; expected one of the vocabulary's 8 tokens"),
    (["--prompt", "abcd" * 3], "--max-new-tokens is 1; expected at most -2"),
])
def test_what_a_model_that_answers_cannot_be_asked(answering, argv, message, capsys):
    out, err = printed(capsys, "sample", "--run-dir", answering, *argv, status=2)
    assert err.startswith(f"rlscratch: {message}") and err.count("\n") == 1 and out == ""


def test_a_reward_model_is_not_asked(answering, capsys):
    (answering / "config.json").write_text(json.dumps({"command": "train reward-model"}), "utf-8")
    _, err = printed(capsys, "sample", "--run-dir", answering, "--prompt", "a", status=2)
    assert "expected the run of a model that answers; this one gives scores to answers" in err
    (answering / "config.json").write_text("[1]", "utf-8")                  # of whatever else: no command made it
    assert printed(capsys, "sample", "--run-dir", answering, "--prompt", "a").out.endswith("\n")


def test_a_run_that_writes_no_text_is_named_for_what_it_is(tmp_path, capsys):
    printed(capsys, "train", "q-learning", "--steps", 5, "--quiet", "--run-dir", tmp_path / "table")
    begun = tmp_path / "begun", tmp_path / "pipeline"
    for folder, command in zip(begun, ("pretrain", "rlhf"), strict=True):
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"command": command}), "utf-8")
    for folder, says in zip((tmp_path / "table", *begun), (
            "the run of a model that writes text; this is one of rlscratch train q-learning, whose policy",
            "a run that has saved its model; this one has not yet: give its command again with --resume",
            f"the folder of one of its stages, such as {tmp_path / 'pipeline' / 'ppo'}"), strict=True):
        err = printed(capsys, "sample", "--run-dir", folder, "--prompt", "a", status=2).err
        assert f"; expected {says}" in err and err.startswith("rlscratch: --run-dir is ") and err.count("\n") == 1


# ---------------------------------------------------------------- tokenize

def test_tokenize_prints_tokens_ids_or_json(folder, capsys):
    table = printed(capsys, "tokenize", "--tokenizer", folder, "cab<|end|>").out.splitlines()
    assert [line.split() for line in table[2:6]] == [["2", "'c'"], ["0", "'a'"], ["1", "'b'"], ["5", "'<|end|>'"]]
    assert table[6] == "4 tokens, 10 characters, 10 bytes; vocabulary 6"
    assert printed(capsys, "tokenize", "--tokenizer", folder, "cab", "--ids").out == "2 0 1\n"
    said = json.loads(printed(capsys, "tokenize", "--tokenizer", folder, "cab", "--json").out)
    assert said == {"text": "cab", "ids": [2, 0, 1], "tokens": ["c", "a", "b"]}


def test_tokenize_decodes_and_reads_standard_input(folder, capsys, monkeypatch):
    assert printed(capsys, "tokenize", "--tokenizer", folder, "--decode", 2, 0, 1).out == "cab\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("bad"))
    assert printed(capsys, "tokenize", "--tokenizer", folder, "--ids").out == "1 0 3\n"


def test_tokenize_learns_a_vocabulary_and_uses_it(tmp_path, capsys):
    (tmp_path / "book.txt").write_text("she sells sea shells", "utf-8")
    said = json.loads(printed(capsys, "tokenize", "--train", tmp_path / "book.txt", "--vocab-size", 262, "--special",
                              "<|end|>", "--out", tmp_path / "learned", "--json").out)
    assert (said["vocab_size"], said["merges"], said["bytes"]) == (262, 5, 20)
    assert Tokenizer.load(tmp_path / "learned").merges[0] == (b" ", b"s")
    assert printed(capsys, "tokenize", "--tokenizer", tmp_path / "learned", "<|end|>", "--ids").out == "261\n"


def test_tokenize_reads_the_two_files_of_gpt2(tmp_path, capsys):
    letters = Tokenizer.train("", 256)
    letters.save(tmp_path / "saved")
    vocab = json.loads((tmp_path / "saved" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    (tmp_path / "vocab.json").write_text(json.dumps({**vocab, "ab": 256}), "utf-8")
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n", "utf-8")
    assert printed(capsys, "tokenize", "--tokenizer", tmp_path, "cab", "--ids").out == "99 256\n"


def test_tokenize_without_a_folder_learns_from_python_s_reference(capsys):
    said = json.loads(printed(capsys, "tokenize", "the statement", "--json").out)
    assert said["tokens"] == ["the", " statement"]


@pytest.mark.parametrize(("argv", "message"), [
    (["--train", "book.txt"], "--out is None; expected a folder together with --train"),
    (["--out", "folder"], "--out is 'folder'; expected a folder together with --train"),
    (["--tokenizer", "nowhere", "x"], "the folder of the tokenizer is 'nowhere'; expected one that holds"),
    (["--decode", "99999999"], "ids[0] is 99999999; expected"),
])
def test_tokenize_says_what_is_wrong(argv, message, capsys):
    err = printed(capsys, "tokenize", *argv, status=2).err
    assert err.startswith(f"rlscratch: {message}") and err.count("\n") == 1
