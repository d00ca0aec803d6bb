"""Pre-training: the text and its parts, what is measured on the held-out one, counting, the loop, its command.

Of Python 3.11 the reference has 466,117 bytes, the held-out tenth 46,612.  Given the rest it needs, in
bits per byte, 1.945 by gzip, 1.902 by a Witten-Bell 5-gram, 1.409 by xz; 31.57% of its bytes stand in
runs of 24 that occur before.  A model that finds all of V tokens equally likely needs log2 V a token.

By hand, after "aab": P(a) = (2 + 2/256) / 5 = .4015625, and as a was followed by a and by b,
P(a | a) = (1 + 2 * .4015625) / (2 + 2) = .45078125.
"""
import json
import math
import sys
from itertools import islice
from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from rlscratch import checkpoint
from rlscratch.__main__ import main
from rlscratch.autograd import Tensor
from rlscratch.blocks import STYLES
from rlscratch.bpe import CharacterTokenizer, Tokenizer
from rlscratch.optim import AdamW
from rlscratch.report import curves
from rlscratch.train.model_run import ModelRun
from rlscratch.train.pretraining import bits_per_byte, n_gram, pretrain, text
from rlscratch.train.pretraining.corpus import Corpus
from rlscratch.transformer import Config, Transformer

RHYME = "Round and round the rugged rock the ragged rascal ran.  " * 12
pytestmark = pytest.mark.usefixtures("unsynced")
TINY = ("--tokenizer", "bytes", "--width", "16", "--layers", "1", "--heads", "2", "--context", "16", "--batch", "2",
        "--quiet")
few_bytes = st.binary(min_size=5, max_size=60).map(lambda data: bytes(byte % 4 for byte in data))


# ---------------------------------------------------------------- the text

@given(st.text(min_size=10, max_size=80))
@example("bytes and \N{GREEK SMALL LETTER PI}\N{SNOWMAN}\N{PENCIL}")
def test_the_parts_make_the_whole_and_the_last_is_a_tenth_of_the_bytes(content):
    train, held = text.split(content)
    assert train + held == content
    tenth = len(content.encode()) / 10
    assert tenth <= len(held.encode()) < tenth + 1 + 3              # at most three bytes to the character's beginning


@pytest.mark.parametrize("content", ["", "a", "\N{SNOWMAN}"])
def test_a_text_too_short_for_two_parts_is_refused(content):
    with pytest.raises(ValueError, match=r"the length of the text is \d; expected bytes enough"):
        text.split(content)


@pytest.mark.compiled_only("calls no kernel", kernels=())
def test_the_reference_comes_with_python_and_repeats_itself():
    content = text.reference()
    train, held = (part.encode() for part in text.split(content))
    assert 'The "while" statement' in content
    assert 0.1 < text.repeated(train, held) < 0.6
    if sys.version_info[:2] == (3, 11):
        assert (len(train) + len(held), len(held)) == (466_117, 46_612)
        assert_allclose(text.repeated(train, held), 0.3157, atol=5e-5)
        assert_allclose([*bits_per_byte.rivals(train, held).values()], [1.945, 1.409, 1.902], atol=2e-3)


def test_files_are_read_one_after_the_other(tmp_path):
    for name, content in (("a", "alpha\n"), ("b", "\N{GREEK SMALL LETTER BETA}")):
        (tmp_path / name).write_text(content, "utf-8")
    assert text.read([tmp_path / "a", tmp_path / "b"]) == "alpha\n\N{GREEK SMALL LETTER BETA}"


def test_a_text_keeps_the_line_ends_of_its_file(tmp_path):
    data = b'1,"a"\r\n2,"b"\n50%\r100%\r\r\n'
    (tmp_path / "table.csv").write_bytes(data)
    assert text.read([tmp_path / "table.csv"]).encode() == data


def test_files_without_text_are_refused_by_name(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=r"the text in .*empty is ''; expected at least one character"):
        text.read([tmp_path / "empty"])
    with pytest.raises(ValueError, match=r"the text in .*bytes is 'invalid start byte'; expected UTF-8"):
        text.read([tmp_path / "bytes"])
    with pytest.raises(FileNotFoundError):
        text.read([tmp_path / "missing"])


def test_tokenizers_by_name():
    whole, train = "abcabc\N{SNOWMAN}", "abcabc"
    assert text.tokenizer_of("bpe", whole, train, 257).vocab_size == 257
    assert text.tokenizer_of("bytes", whole, train, 1024).vocab_size == 256
    letters = text.tokenizer_of("characters", whole, train, 1024)
    assert isinstance(letters, CharacterTokenizer) and letters.vocab_size == 4      # the held-out snowman, too
    with pytest.raises(ValueError, match="tokenizer is 'words'; expected one of 'bpe', 'bytes', 'characters'"):
        text.tokenizer_of("words", whole, train, 1024)


def test_merges_are_learned_from_the_training_part_alone():
    train, held = text.split("ab" * 45 + "xy" * 5)
    tokenizer = text.tokenizer_of("bpe", train + held, train, 300)
    assert not any(b"x" in token for i, token in tokenizer.vocab.items() if i > 255)


@given(st.integers(1, 12), st.integers(0, 30), st.integers(1, 4), st.integers(0, 99))
def test_windows_are_pieces_of_the_text(length, more, number, seed):
    ids = np.arange(100, 100 + length + more)
    got = text.windows(ids, length, number, np.random.default_rng(seed))
    assert got.shape == (number, length)
    assert_array_equal(got - got[:, :1], np.broadcast_to(np.arange(length), got.shape))
    assert got.min() >= 100 and got.max() < 100 + length + more


def test_windows_begin_at_the_first_and_at_the_last_place_that_there_is():
    starts = text.windows(np.arange(5), 3, 64, np.random.default_rng(0))[:, 0]
    assert set(starts.tolist()) == {0, 1, 2}


def test_a_window_longer_than_the_text_is_refused():
    with pytest.raises(ValueError, match="the number of tokens is 3; expected at least 4"):
        text.windows([1, 2, 3], 4, 1, np.random.default_rng(0))


# ---------------------------------------------------------------- bits per byte

class Known:
    """A model whose log-probabilities are f(token before, token), and which counts what it is asked."""

    def __init__(self, context, f):
        self.config, self.f = SimpleNamespace(context=context), f

    def logp(self, tokens):
        logp = np.zeros(tokens.shape)
        logp[:, 1:] = self.f(tokens[:, :-1], tokens[:, 1:])
        return Tensor(logp)


@pytest.mark.parametrize("size", [2, 256, 1000])
def test_a_uniform_model_needs_log2_of_the_vocabulary_for_each_token(size):
    ids = np.arange(50) % size
    nats = bits_per_byte.nats(Known(8, lambda before, token: np.full(token.shape, -math.log(size))), ids, 11)
    assert_allclose(bits_per_byte.bits_per_byte(nats, 39), math.log2(size))
    assert_allclose(bits_per_byte.bits_per_byte(nats, 78), math.log2(size) / 2)          # tokens of two bytes


@given(st.integers(2, 9), st.integers(1, 20), st.integers(1, 60))
@example(6, 3, 6)
def test_every_held_out_token_is_predicted_once_and_from_the_token_before_it(context, start, count):
    ids = np.arange(start + count)
    model = Known(context, lambda before, token: np.where(token == before + 1, -2.0 ** (token % 20), -1e9))
    assert_allclose(bits_per_byte.nats(model, ids, start), (2.0 ** (ids[start:] % 20)).sum(), rtol=1e-12)


@given(st.integers(2, 9), st.integers(1, 20), st.integers(1, 60))
def test_each_token_has_half_a_context_before_it_or_all_that_there_is(context, start, count):
    ids = np.arange(start + count)
    windows, counted = bits_per_byte._windows(ids, start, context)
    for row, where in zip(windows, counted, strict=True):
        for place in np.flatnonzero(where):
            assert place >= min(row[place], context - context // 2)


def test_a_transformer_that_sees_the_whole_text_needs_what_its_log_probabilities_say():
    model = Transformer(Config(7, 12, 8, 1, 2), np.random.default_rng(0), np.float64)
    ids = np.random.default_rng(1).integers(0, 7, 12)
    assert_allclose(bits_per_byte.nats(model, ids, 5), -model.logp(ids[None]).data[0, 5:].sum(), rtol=1e-12)


def test_the_first_token_of_all_cannot_be_held_out():
    with pytest.raises(ValueError, match=r"start is 0; expected an integer in \[1, 3\]"):
        bits_per_byte.nats(Known(4, None), [1, 2, 3, 4], 0)


def test_compressors_copy_what_they_have_seen_and_gzip_forgets():
    noise = np.random.default_rng(0).integers(0, 256, 80_000, dtype=np.uint8).tobytes()
    needs = bits_per_byte.rivals(noise, noise[:4000], order=2)
    assert needs["xz"] < 1 and needs["gzip"] > 7.9                # 80 KB back: beyond gzip's window
    assert bits_per_byte.rivals(noise, noise[-4000:], order=2)["gzip"] < 1


# ---------------------------------------------------------------- counting

def test_witten_bell_by_hand():
    tables = n_gram.fit(b"aab", 2)
    assert_allclose(n_gram.probabilities(tables)[ord("a")], 0.4015625, rtol=1e-15)
    assert_allclose(n_gram.probabilities(tables, b"xa")[ord("a")], 0.45078125, rtol=1e-15)
    assert_array_equal(n_gram.probabilities(tables, b"x"), n_gram.probabilities(tables))      # x was never seen


@given(few_bytes, few_bytes, st.integers(1, 5))
@example(b"aab", b"a", 2)
@example(b"\xff" * 7, b"\xff\xff", 5)
def test_every_distribution_sums_to_one_and_leaves_nothing_out(learned, context, order):
    p = n_gram.probabilities(n_gram.fit(learned, min(order, len(learned))), context)
    assert_allclose(p.sum(), 1, rtol=1e-12)
    assert (p > 0).all()


def test_a_count_that_is_off_by_one_would_be_noticed(monkeypatch):
    right = n_gram.Table.context

    def wrong(table, contexts):
        total, *others = right(table, contexts)
        return total + 1, *others

    monkeypatch.setattr(n_gram.Table, "context", wrong)
    assert abs(n_gram.probabilities(n_gram.fit(b"aab", 2), b"a").sum() - 1) > 0.1


@given(few_bytes, few_bytes, st.integers(1, 7), st.integers(0, 4))
def test_the_bits_of_a_text_are_those_of_its_bytes_one_by_one(learned, other, order, start):
    tables = n_gram.fit(learned, min(order, len(learned)))
    alone = [-np.log2(n_gram.probabilities(tables, other[:i])[other[i]]) for i in range(start, len(other))]
    assert_allclose(n_gram.bits(tables, other, start), alone, rtol=1e-12)


def test_an_order_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"order is 8; expected an integer in \[1, 7\]"):
        n_gram.fit(b"abc", 8)
    with pytest.raises(ValueError, match="the length of text is 3; expected at least 4 bytes"):
        n_gram.fit(b"abc", 4)


# ---------------------------------------------------------------- the loop

def small(ids, dropout=0.0, dtype=np.float32):
    rng = np.random.default_rng(0)
    model = Transformer(Config(256, 16, 32, 1, 2, dropout=dropout), rng, dtype)
    optimizer = AdamW(model.parameters(), 0.0)
    return model, optimizer, pretrain.learn(model, optimizer, ids, rng, batch=8, lr=lambda: 1e-2)


def test_a_few_steps_learn_more_than_how_frequent_tokens_are():
    ids = np.frombuffer(text.reference()[:20_000].encode(), np.uint8)
    share = np.bincount(ids) / len(ids)
    entropy = -(share[share > 0] * np.log(share[share > 0])).sum()
    _, _, steps = small(ids)
    losses = list(islice(steps, 400))
    assert_allclose(losses[0], math.log(256), rtol=0.02)            # it begins knowing nothing
    assert np.mean(losses[-20:]) < entropy - 0.2


def test_the_seed_is_the_gradient_of_the_mean_over_predicted_tokens(monkeypatch):
    monkeypatch.setattr(pretrain, "LONGEST_GRADIENT", 1e9)
    ids = np.random.default_rng(3).integers(0, 256, 100)
    model, _, steps = small(ids, dtype=np.float64)
    other = small(ids, dtype=np.float64)[0]
    draws = np.random.default_rng(0)
    Transformer(model.config, draws)                                # the first draws made the parameters
    logp = other.logp(text.windows(ids, 16, 8, draws))
    loss = (logp[:, 1:] * -1.0).mean()
    loss.backward()
    assert_allclose(next(steps), loss.item(), rtol=1e-12)
    for name, parameter in model.parameters().items():
        assert_allclose(parameter.grad, other.parameters()[name].grad, rtol=1e-9, atol=1e-14, err_msg=name)


def test_long_gradients_are_cut_and_dropout_makes_a_difference(monkeypatch):
    ids = np.frombuffer(RHYME.encode(), np.uint8)
    monkeypatch.setattr(pretrain, "LONGEST_GRADIENT", 1e-3)
    _, optimizer, steps = small(ids)
    plain = list(islice(steps, 2))
    assert_allclose(math.sqrt(sum((g**2).sum() for g in optimizer.gradients())), 1e-3, rtol=1e-4)
    assert list(islice(small(ids, dropout=0.5)[2], 2)) != plain


# ---------------------------------------------------------------- the schedule

def test_the_step_size_rises_and_falls_over_the_steps_or_over_the_clock():
    steps = pretrain.Schedule(100, None, lr=1.0, warmup=0.1)
    clock = pretrain.Schedule(None, 1.0, lr=1.0, warmup=0.1)
    for share, wanted in ((0.05, 0.5), (0.1, 1.0), (0.55, (1 + pretrain.FLOOR) / 2), (1.0, pretrain.FLOOR)):
        steps.step, clock.before = round(100 * share), 60 * share
        clock.begin = perf_counter()
        assert_allclose(steps.rate(), wanted, rtol=1e-12)
        assert_allclose(clock.rate(), wanted, rtol=0.02)
        assert steps.share == share <= clock.share


# ---------------------------------------------------------------- the command

@pytest.fixture
def undrawn(monkeypatch):
    """No run draws its curve."""
    monkeypatch.setattr(curves, "pretraining", lambda folder: folder / "none.svg")


@pytest.fixture
def rhyme(tmp_path):
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME, "utf-8")
    return path


def command(rhyme, folder, *more):
    return main(["pretrain", "--text", str(rhyme), "--run-dir", str(folder), *TINY, *more])


def lines(folder):
    """The metrics but for what the clock says."""
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [{key: value for key, value in point.items() if key not in ("seconds", "tokens_per_second")}
            for point in points]


def test_a_run_leaves_its_model_its_tokenizer_its_curve_and_its_figures(rhyme, tmp_path, capsys):
    folder = tmp_path / "run"
    assert command(rhyme, folder, "--steps", "6", "--save-every", "4", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["steps"], result["tokens"]) == (6, 6 * 2 * 16)
    assert [point["step"] for point in lines(folder)] == [4, 6]
    saved = checkpoint.load(folder)
    corpus = Corpus.of(RHYME, "bytes")
    assert_allclose(result["held_out_bits_per_byte"], corpus.held_out(saved.model), rtol=1e-12)
    assert_allclose(result["xz_bits_per_byte"], bits_per_byte.rivals(corpus.train, corpus.held)["xz"])
    assert Tokenizer.load(folder).encode("rock") == list(b"rock")
    assert (folder / "learning_curve.svg").read_text("utf-8").startswith("<?xml")
    assert result["held_out_bits_per_byte"] < 8.2


@pytest.mark.parametrize("style", ["llama", "qwen2"])
def test_a_style_gives_its_blocks_and_the_run_tells_it(style, rhyme, undrawn, tmp_path, capsys):
    more = ("--style", style, "--kv-heads", "1", "--steps", "6", "--json")
    assert command(rhyme, tmp_path / "run", *more) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["style"], result["kv_heads"]) == (style, 1)
    model = checkpoint.load(tmp_path / "run").model
    assert model.config == Config(256, 16, 16, 1, 2, dropout=0.2, kv_heads=1, **STYLES[style])
    assert result["parameters"] == model.num_params and result["held_out_bits_per_byte"] < 8.1
    assert main(["sample", "--run-dir", str(tmp_path / "run"), "--prompt", "Round", "--max-new-tokens", "5"]) == 0
    assert capsys.readouterr().out.startswith("Round")


def killed_at(step, monkeypatch):
    save = ModelRun.save_model

    def stop(self, at, *args, **figures):
        if at == step:
            raise KeyboardInterrupt
        save(self, at, *args, **figures)

    monkeypatch.setattr(ModelRun, "save_model", stop)


@pytest.mark.parametrize(("step", "style"), [(3, ()), (6, ()), (6, ("--style", "llama", "--kv-heads", "1"))])
def test_a_run_that_was_killed_and_resumed_ends_in_the_same_bits(step, style, rhyme, undrawn, tmp_path, monkeypatch):
    more = ("--steps", "8", "--save-every", "3", "--dropout", "0.2", *style)
    assert command(rhyme, tmp_path / "whole", *more) == 0
    with monkeypatch.context() as patch:
        killed_at(step, patch)
        assert command(rhyme, tmp_path / "parts", *more) == 130
    assert command(rhyme, tmp_path / "parts", *more, "--resume") == 0
    whole, parts = (checkpoint.load(tmp_path / name) for name in ("whole", "parts"))
    for name, parameter in whole.model.parameters().items():
        assert_array_equal(parts.model.parameters()[name].data, parameter.data, err_msg=name)
    for name, state in whole.optimizer.items():
        for key, value in (state if isinstance(state, dict) else {"": state}).items():
            other = parts.optimizer[name][key] if key else parts.optimizer[name]
            assert_array_equal(other, value, err_msg=f"{name} {key}")
    assert whole.rng.bit_generator.state == parts.rng.bit_generator.state
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")


@pytest.mark.compiled_only("kernels have no state to save")
def test_an_index_that_is_lost_is_named_and_no_weights_are_removed(rhyme, undrawn, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        killed_at(4, patch)
        assert command(rhyme, tmp_path, "--steps", "6", "--save-every", "2") == 130
    (tmp_path / checkpoint.INDEX).rename(tmp_path / "kept")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    capsys.readouterr()
    assert command(rhyme, tmp_path, "--steps", "6", "--save-every", "2", "--resume") == 2
    said = capsys.readouterr().err
    assert "checkpoint.json is 'missing'; expected the last save, of which state-1.safetensors in" in said
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    (tmp_path / "kept").rename(tmp_path / checkpoint.INDEX)
    assert command(rhyme, tmp_path, "--steps", "6", "--save-every", "2", "--resume") == 0


@pytest.mark.compiled_only("kernels have no state to save")
def test_to_resume_what_has_ended_changes_nothing(rhyme, undrawn, tmp_path, capsys):
    assert command(rhyme, tmp_path / "run", "--steps", "2", "--json") == 0
    before = lines(tmp_path / "run")
    assert command(rhyme, tmp_path / "run", "--steps", "2", "--json", "--resume") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert {**first, "seconds": 0} == {**second, "seconds": 0} and lines(tmp_path / "run") == before


@pytest.mark.compiled_only("kernels have no state to save")
def test_to_resume_with_another_choice_is_an_error(rhyme, undrawn, tmp_path, capsys):
    assert command(rhyme, tmp_path / "run", "--steps", "2") == 0
    assert command(rhyme, tmp_path / "run", "--steps", "2", "--lr", "0.1", "--resume") == 2
    assert "--lr is 0.1; expected 0.002, with which the run" in capsys.readouterr().err


def test_minutes_are_kept(rhyme, undrawn, tmp_path, capsys):
    assert command(rhyme, tmp_path / "run", "--minutes", "0.01", "--json") == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["seconds"] >= 0.6 and result["steps"] >= 1 and result["minutes"] == 0.01


@pytest.mark.parametrize(("more", "says"), [
    (("--steps", "2", "--minutes", "1"), "--minutes is 1.0; expected either minutes or steps, not both"),
    (("--context", "900"), "--context is 900; expected at most 604, the tokens that there are to learn from"),
    (("--tokenizer", "words"), "invalid choice: 'words'"),
    (("--heads", "3"), "width is 16; expected a multiple of heads, which is 3"),
    (("--dropout", "1"), r"dropout is 1.0; expected a number in [0, 1)"),
    (("--minutes", "0"), "--minutes is 0.0; expected a finite number > 0"),
    (("--lr", "nan"), "--lr is nan; expected a finite number > 0"),
    (("--warmup", "2"), "--warmup is 2.0; expected a number in [0, 1]"),
    (("--vocab-size", "8"), "--vocab-size is 8; expected an integer >= 256"),
    (("--batch", "0"), "--batch is 0; expected an integer >= 1"),
    (("--text", "missing.txt"), "missing.txt"),
])
def test_bad_arguments_end_with_one_line_and_leave_no_folder(more, says, rhyme, tmp_path, capsys):
    try:
        status = command(rhyme, tmp_path / "run", *more)
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr().err
    assert status == 2 and says in said and len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("length", "says"), [
    (1, "the length of the text is 1; expected bytes enough to learn from nine tenths and to hold out one; give"),
    (8, "the number of tokens to learn from is 7; expected at least 8; give a longer text, or several"),
    (12, "--context is 16; expected at most 10, the tokens that there are to learn from; lower it, or give a longer"),
])
def test_a_text_that_is_too_short_is_refused_with_what_to_do(length, says, rhyme, tmp_path, capsys):
    rhyme.write_text(RHYME[:length], "utf-8")
    assert command(rhyme, tmp_path / "run", "--steps", "1") == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rlscratch: {says}") and said.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_run_whose_numbers_explode_fails_with_one_line(rhyme, tmp_path, capsys):
    assert command(rhyme, tmp_path / "run", "--steps", "40", "--lr", "1e9", "--warmup", "0") == 1
    said = capsys.readouterr().err
    assert "a smaller lr keeps the numbers small" in said and len(said.splitlines()) == 1


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "--help"])
    assert end.value.code == 0
    assert "example: rlscratch pretrain --minutes 4" in capsys.readouterr().out
