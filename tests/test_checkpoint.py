"""What is saved comes back bit for bit; a save that is killed at any moment leaves the one before it.

The kill is played at each place where a save touches the disk: there are few, and each is tried.
"""
import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load_file, save_file

from rlscratch import bpe, checkpoint, files
from rlscratch.blocks import STYLES
from rlscratch.generate import generate
from rlscratch.optim import SGD, AdamW
from rlscratch.transformer import Config, Transformer

CONFIG = Config(vocab_size=7, context=6, width=8, layers=2, heads=2)
KINDS = {"tied": {}, "untied": {"tied": False}, "with a head": {"value_head": True}, "exact GELU": {"exact_gelu": True},
         "other numbers": {"eps": 1e-6, "dropout": 0.1}}
LLAMAS = {"as Llama": STYLES["llama"] | {"tied": False, "heads": 4, "kv_heads": 2, "head_dim": 2, "inner": 20},
          "as Qwen2": STYLES["qwen2"] | {"heads": 2, "kv_heads": 1, "head_dim": 6, "inner": 5, "value_head": True},
          "with biases": STYLES["llama"] | {"kv_heads": 2, "head_dim": 4, "inner": 9, "biases": "all"},
          "with some": STYLES["llama"] | {"kv_heads": 2, "head_dim": 4, "inner": 9, "biases": "attention",
                                          "rotary_base": 50.0}}


def made(seed=0, dtype=np.float32, **changes):
    rng = np.random.default_rng(seed)
    model = Transformer(replace(CONFIG, **changes), rng, dtype)
    for p in model.parameters().values():
        p.data += rng.normal(0, 0.1, p.shape).astype(dtype)
    return model


def train(model, optimizer, rng, steps):
    """Steps whose tokens, and children, come from the generator."""
    for _ in range(steps):
        tokens = rng.spawn(1)[0].integers(7, size=(2, 6)) * (rng.random((2, 6)) < 0.9)
        optimizer.zero_grad()
        model.logp(tokens).backward(np.full((2, 6), -0.1))
        optimizer.step()


def assert_same_model(one, other):
    assert one.config == other.config
    assert one.dtype == other.dtype
    for name, p in one.parameters().items():
        assert_array_equal(p.data, other.parameters()[name].data, err_msg=name)


# ---------------------------------------------------------------- there and back

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("changes", [*KINDS.values(), *LLAMAS.values()], ids=[*KINDS, *LLAMAS])
def test_a_model_comes_back_bit_for_bit(tmp_path, changes, dtype):
    model = made(dtype=dtype, **changes)
    checkpoint.save(tmp_path, model)
    back = checkpoint.load(tmp_path)
    assert_same_model(model, back.model)
    assert (back.step, back.optimizer, back.rng, back.facts, back.arrays) == (0, {}, None, {}, {})


def test_all_that_belongs_to_a_run_comes_back(tmp_path):
    rng, arrays = np.random.default_rng(3), {"seen.ids": np.arange(5), "flags": np.array([True, False]),
                                             "number": np.array(2.5, np.float16)}
    facts = {"best": 1.5, "names": ["a", "b"], "nested": {"none": None}, "text": "été"}
    checkpoint.save(tmp_path / "new" / "folder", made(), step=12, rng=rng, facts=facts, arrays=arrays)
    back = checkpoint.load(tmp_path / "new" / "folder")
    assert (back.step, back.facts) == (12, facts)
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert_array_equal(back.arrays[name], array, strict=True)
    assert_array_equal(back.rng.random(4), rng.random(4))


@pytest.mark.parametrize("optimizer_of", [
    lambda p: AdamW(p, lr=1e-2, betas=(0.8, 0.95), decay=lambda name, t: t.ndim > 1),
    lambda p: SGD(p, lr=1e-2, momentum=0.9)], ids=["AdamW", "SGD"])
def test_a_run_that_was_stopped_and_resumed_ends_in_the_same_bits(tmp_path, optimizer_of):
    model, rng = made(), np.random.default_rng(1)
    optimizer = optimizer_of(model.parameters())
    train(model, optimizer, rng, 3)
    checkpoint.save(tmp_path, model, step=3, optimizer=optimizer.state_dict(), rng=rng)
    train(model, optimizer, rng, 3)
    back = checkpoint.load(tmp_path)
    resumed = optimizer_of(back.model.parameters())
    resumed.load_state_dict(back.optimizer)
    train(back.model, resumed, back.rng, 3)
    assert_same_model(model, back.model)


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was_its_children_too(tmp_path, kind):
    rng = np.random.Generator(getattr(np.random, kind)(np.random.SeedSequence(5, spawn_key=(2,))))
    rng.spawn(3)
    rng.random(7, dtype=np.float32)                                     # leaves half a word in the buffer
    checkpoint.save(tmp_path, made(), rng=rng)
    back = checkpoint.load(tmp_path).rng
    assert_array_equal(back.random(5, dtype=np.float32), rng.random(5, dtype=np.float32))
    assert_array_equal(back.spawn(1)[0].random(3), rng.spawn(1)[0].random(3))


def test_a_generator_s_bits_alone_would_not_be_enough():
    rng, same_bits = np.random.default_rng(0), np.random.default_rng(0)
    rng.spawn(1)
    assert rng.bit_generator.state == same_bits.bit_generator.state
    assert (rng.spawn(1)[0].random(3) != same_bits.spawn(1)[0].random(3)).any()


# ---------------------------------------------------------------- killed

class Killed(BaseException):
    """No handler of the code under test may catch it."""


def killed_after(monkeypatch, after):
    """Let `after` more of the calls that change a folder succeed, then be killed before the next, or within it."""
    left = [after]
    for name in ("replace", "fsync", "unlink"):
        monkeypatch.setattr(os, name, _counted(getattr(os, name), left))
    half = Path.write_bytes
    for name in ("write_text", "write_bytes"):
        monkeypatch.setattr(Path, name, _counted(getattr(Path, name), left, lambda path, *_: half(path, b"half")))


def _counted(call, left, begun=lambda *_: None):
    def counted(*args, **kwargs):
        if left[0] == 0:
            begun(*args)
            raise Killed
        left[0] -= 1
        return call(*args, **kwargs)

    return counted


def test_a_save_killed_at_any_moment_leaves_the_old_one_or_the_new_one_whole(tmp_path, monkeypatch):
    old, new, seen = made(1), made(2), []
    for after in range(40):
        folder = tmp_path / str(after)
        checkpoint.save(folder, old, step=1, arrays={"a": np.ones(2)}, facts={"which": "old"})
        with monkeypatch.context() as patch:
            killed_after(patch, after)
            try:
                checkpoint.save(folder, new, step=2, arrays={"a": np.zeros(3)}, facts={"which": "new"})
                finished = True
            except Killed:
                finished = False
        back = checkpoint.load(folder)
        assert_same_model(back.model, old if back.step == 1 else new)
        assert_array_equal(back.arrays["a"], np.ones(2) if back.step == 1 else np.zeros(3))
        assert back.facts == {"which": "old" if back.step == 1 else "new"}
        seen.append(back.step)
        checkpoint.save(folder, new, step=3)                            # and the next save leaves nothing over
        assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["checkpoint.json", "model"]
        if finished:
            break
    assert finished
    assert seen == sorted(seen)
    assert {1, 2} == set(seen)


def test_tensors_that_a_finished_save_must_have_left_are_told_from_those_of_a_first_one_that_was_killed(tmp_path):
    for name, told in ((".model-3.safetensors.77.part", 0), ("model-1.safetensors", 0), ("state-1.safetensors", 1),
                       ("model-2.safetensors", 2)):
        (tmp_path / name).write_bytes(b"")
        assert len(checkpoint.left_by_a_save(tmp_path)) == told


def test_files_cut_short_by_a_crash_are_removed_by_the_next_save(tmp_path):
    checkpoint.save(tmp_path, made())
    for name in (".model-9.safetensors.77.part", "state-4.safetensors", ".checkpoint.json.77.part"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "tokenizer.json").write_text("{}")                      # not ours
    checkpoint.save(tmp_path, made(1))
    assert_same_model(checkpoint.load(tmp_path).model, made(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint.json", "model-10.safetensors", "tokenizer.json"]


def test_what_cannot_be_kept_is_refused_before_anything_is_written(tmp_path):
    checkpoint.save(tmp_path, made(), facts={"which": "old"})
    before = sorted(path.name for path in tmp_path.iterdir())
    legacy = np.random.Generator(np.random.RandomState(0)._bit_generator)
    for wrong, error, message in (
            ({"facts": {"a": np.ones(2)}}, TypeError, "facts is .*expected what JSON can hold"),
            ({"arrays": {"a": np.ones(2, complex)}}, TypeError, "the dtype of arrays.a is .*expected real numbers"),
            ({"arrays": {"a": np.array(["text"])}}, TypeError, "the dtype of arrays.a is"),
            ({"step": -1}, ValueError, "step is -1; expected an integer >= 0"),
            ({"rng": 5}, TypeError, "rng is 5; expected a numpy.random.Generator"),
            ({"rng": legacy}, TypeError, "rng is .*expected a generator with a SeedSequence")):
        with pytest.raises(error, match=message):
            checkpoint.save(tmp_path, made(1), **wrong)
        assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert checkpoint.load(tmp_path).facts == {"which": "old"}


# ---------------------------------------------------------------- damage

def change_index(folder, **changes):
    """Another index, with a seal of its own: what a program would write, and no damage would leave."""
    path = folder / checkpoint.INDEX
    content = {**json.loads(path.read_text("utf-8")), **changes}
    del content[files.SEAL]
    files.write_json(path, content, seal=True)


def change_weights(folder, change):
    told = json.loads((folder / checkpoint.INDEX).read_text("utf-8"))["files"]
    path = folder / next(iter(told))
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    change_index(folder, files=told | {path.name: files.digest(path)})


DAMAGE = {
    "no checkpoint": (lambda f: (f / checkpoint.INDEX).unlink(), "expected the folder of a run that has saved"),
    "an index that is no JSON": (lambda f: (f / checkpoint.INDEX).write_text("{"), "checkpoint.json is no JSON: "),
    "an index that is a list": (lambda f: (f / checkpoint.INDEX).write_text("[]"), "expected one JSON object"),
    "an index without a seal": (lambda f: (f / checkpoint.INDEX).write_text("{}"), "the field 'sha256' of .*is mis"),
    "a field that is missing": (lambda f: files.write_json(f / checkpoint.INDEX, {"step": 1}, seal=True),
                                "the field 'files' of .*checkpoint.json is missing; it has 'step'"),
    "a field of another type": (lambda f: change_index(f, step="1"), "the field 'step' of .* is '1'; expected an in"),
    "a config with an unknown key": (lambda f: change_index(f, config={"depth": 3}), "expected what this version of"),
    "a config that cannot be": (lambda f: change_index(f, config={**vars(CONFIG), "heads": 3}), "width is 8; expected"),
    "more layers than memory": (lambda f: change_index(f, config={**vars(CONFIG), "layers": 10**9}), r"missing \['h.2"),
    "more words than memory": (lambda f: change_index(f, config={**vars(CONFIG), "vocab_size": 10**15}), "the shape"),
    "weights that are missing": (lambda f: (f / "model-1.safetensors").unlink(), "model-1.safetensors is 'missing'"),
    "weights cut short": (lambda f: os.truncate(f / "model-1.safetensors", 500), "model-1.safetensors is 'another c"),
    "weights of another run": (lambda f: checkpoint.to_huggingface(made(1), f) or os.replace(
        f / "model.safetensors", f / "model-1.safetensors"), "model-1.safetensors is 'another content than"),
    "a missing name": (lambda f: change_weights(f, lambda t: t.pop("ln_f.bias")), r"missing \['ln_f.bias'\]"),
    "an unknown name": (lambda f: change_weights(f, lambda t: t.update(x=np.ones(1))), r"unknown \['x'\]"),
    "another shape": (lambda f: change_weights(f, lambda t: t.update({"ln_f.bias": np.ones(9, np.float32)})),
                      r"the shape of ln_f.bias is \(9,\); expected \(8,\), which the config asks for in"),
    "another kind of number": (lambda f: change_weights(f, lambda t: t.update({"ln_f.bias": np.ones(8, int)})),
                               "the dtype of ln_f.bias in .*expected real numbers"),
}


@pytest.mark.parametrize("damage, message", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_says_what_is_wrong(tmp_path, damage, message):
    checkpoint.save(tmp_path, made())
    damage(tmp_path)
    with pytest.raises((ValueError, TypeError), match=message):
        checkpoint.load(tmp_path)


@pytest.mark.compiled_only("files know no backend")
@pytest.mark.parametrize("name", ["checkpoint.json", "model-1.safetensors", "state-1.safetensors"])
def test_a_flipped_bit_is_named_with_its_file_or_changes_nothing(name, tmp_path):
    rng, model = np.random.default_rng(0), made(layers=1)
    checkpoint.save(tmp_path, model, step=3, rng=rng, facts={"seconds": 1e-5}, arrays={"moments": np.arange(40.0)})
    path, unnoticed = tmp_path / name, 0
    whole = path.read_bytes()
    for place in rng.integers(8 * len(whole), size=300):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            back = checkpoint.load(tmp_path)
        except ValueError as said:
            assert name in str(said)
        else:                                           # 1e-05 and 1E-05 are one number
            unnoticed += 1
            assert (back.step, back.facts) == (3, {"seconds": 1e-5}) and name == checkpoint.INDEX
            assert_same_model(back.model, model)
    assert unnoticed <= 3


def test_a_full_disk_is_an_error_that_names_the_file_and_the_old_checkpoint_survives(tmp_path, monkeypatch):
    old = made(1)
    checkpoint.save(tmp_path, old)
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name, file in (("write_bytes", "model-2.safetensors"), ("write_text", checkpoint.INDEX)):
        with monkeypatch.context() as patch:
            patch.setattr(Path, name, full)
            with pytest.raises(OSError, match=rf"No space left on device: '.*{file}'$"):
                checkpoint.save(tmp_path, made(2))
        assert_same_model(checkpoint.load(tmp_path).model, old)
    checkpoint.save(tmp_path, made(2))
    assert len(list(tmp_path.iterdir())) == len(before)


# ---------------------------------------------------------------- Hugging Face

@pytest.mark.parametrize("changes", [*KINDS.values(), *LLAMAS.values()], ids=[*KINDS, *LLAMAS])
def test_a_model_goes_to_hugging_face_s_format_and_back(tmp_path, changes):
    model = made(**changes)
    checkpoint.to_huggingface(model, tmp_path)
    back = checkpoint.from_huggingface(tmp_path)
    assert back.config == replace(model.config, dropout=0.0)
    for name, p in model.parameters().items():
        assert_array_equal(back.parameters()[name].data, p.data)


def test_the_files_are_as_transformers_writes_them(tmp_path):
    checkpoint.to_huggingface(made(), tmp_path)
    described = json.loads((tmp_path / "config.json").read_text("utf-8"))
    expected = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 7, "n_positions": 6,
                "n_embd": 8, "n_layer": 2, "n_head": 2, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
                "tie_word_embeddings": True}
    assert {key: described[key] for key in expected} == expected
    tensors = load_file(tmp_path / "model.safetensors")
    assert tensors["transformer.h.1.mlp.c_fc.weight"].shape == (8, 32)          # (in, out), as Conv1D has it
    assert all(name.startswith("transformer.") for name in tensors)


def hugging_face_folder(folder, prefix="transformer.", drop=(), tensors=(), **described):
    """A folder as transformers writes it, made without us; the tensors by their names in ours."""
    folder.mkdir(exist_ok=True)
    config = {"model_type": "gpt2", "vocab_size": 7, "n_positions": 6, "n_embd": 8, "n_layer": 1, "n_head": 2,
              "attn_pdrop": 0.1, "resid_pdrop": 0.1, "embd_pdrop": 0.1, "n_ctx": 6, **described}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
    model = made(layers=1)
    ours = {name: p.data for name, p in model.parameters().items()}
    buffers = {"h.0.attn.bias": np.ones((1, 1, 6, 6), np.float32), "h.0.attn.masked_bias": np.array(-1e4, np.float32)}
    save_file({prefix + name: value for name, value in {**ours, **buffers}.items() if name not in drop}
              | dict(tensors), folder / "model.safetensors")
    return model


@pytest.mark.parametrize("prefix", ["transformer.", ""])
def test_a_folder_of_gpt_2_loads_with_or_without_the_prefix_and_ignores_masks(tmp_path, prefix):
    model = hugging_face_folder(tmp_path, prefix)
    assert_same_model(checkpoint.from_huggingface(tmp_path), model)


def test_a_second_name_of_the_embedding_is_ignored_and_an_output_matrix_is_not(tmp_path):
    head = np.full((7, 8), 0.5, np.float32)
    hugging_face_folder(tmp_path, tensors={"lm_head.weight": head})
    assert "lm_head.weight" not in checkpoint.from_huggingface(tmp_path).parameters()
    hugging_face_folder(tmp_path, tensors={"lm_head.weight": head}, tie_word_embeddings=False)
    assert_array_equal(checkpoint.from_huggingface(tmp_path).parameters()["lm_head.weight"].data, head)


def test_a_score_head_with_one_label_becomes_the_value_head(tmp_path):
    weight = np.arange(8, dtype=np.float32).reshape(1, 8)
    hugging_face_folder(tmp_path, tensors={"score.weight": weight})
    model = checkpoint.from_huggingface(tmp_path)
    assert model.config.value_head
    assert_array_equal(model.parameters()["score.weight"].data, weight)
    assert_array_equal(model.parameters()["score.bias"].data, 0)


def test_half_precision_is_widened(tmp_path):
    half = np.linspace(-1, 1, 56).reshape(7, 8).astype(np.float16)
    hugging_face_folder(tmp_path, drop=["wte.weight"], tensors={"transformer.wte.weight": half})
    model = checkpoint.from_huggingface(tmp_path, np.float64)
    assert_array_equal(model.parameters()["wte.weight"].data, half.astype(np.float64), strict=True)


@pytest.mark.parametrize("arguments, message", [
    ({"model_type": "mistral"}, "model_type in config.json is 'mistral'; expected one of 'gpt2', 'llama', 'qwen2'"),
    ({"activation_function": "relu"}, "activation_function in config.json is 'relu'; expected one of 'gelu_new'"),
    ({"add_cross_attention": True}, "add_cross_attention in config.json is True; expected False"),
    ({"n_inner": 16}, r"the shape of h.0.mlp.c_fc.weight is \(8, 32\); expected \(8, 16\)"),
    ({"n_inner": 0}, "inner is 0; expected an integer >= 1"),
    ({"drop": ["n_layer"]}, "the field 'n_layer' of .*config.json is missing"),
    ({"n_layer": "2"}, "the field 'n_layer' of .*config.json is '2'; expected an integer"),
    ({"n_layer": 2}, r"missing \['h.1.attn.c_attn.weight', .*expected the parameters of"),
    ({"n_layer": 10**9}, r"missing \['h.1.attn.c_attn.weight', .*expected the parameters of"),
    ({"n_embd": 10**9, "n_head": 1}, r"the shape of wte.weight is \(7, 8\); expected \(7, 1000000000\)"),
    ({"drop": ["wpe.weight"]}, r"missing \['wpe.weight'\]"),
    ({"tie_word_embeddings": False}, r"missing \['lm_head.weight'\]"),
    ({"n_positions": 5}, r"the shape of wpe.weight is \(6, 8\); expected \(5, 8\)"),
    ({"quantization_config": {"bits": 4}}, "quantization_config in config.json is {'bits': 4}; expected None"),
    ({"scale_attn_weights": "no"}, "the field 'scale_attn_weights' of .*config.json is 'no'; expected true or false"),
    ({"tensors": {"wpe.weight": np.ones((6, 8), np.float32)}},
     r"the names in .*model.safetensors is \['wpe.weight', 'transformer.wpe.weight'\]; expected one of the two"),
    ({"tensors": {"transformer.wpe.weight": np.diag([1, np.nan, 1, 1, 1, 1, 1, 1])[:6]}},
     r"wpe.weight\[1, 1\] in .*model.safetensors is nan; expected a finite number in float32"),
    ({"tensors": {"transformer.wpe.weight": np.full((6, 8), 1e300)}},
     r"wpe.weight\[0, 0\] in .*model.safetensors is 1e\+300; expected a finite number in float32"),
    ({"tensors": {"score.weight": np.ones((2, 8), np.float32)}}, r"the shape of score.weight is \(2, 8\)")])
def test_a_folder_that_is_no_gpt_2_says_why(tmp_path, arguments, message):
    hugging_face_folder(tmp_path, **arguments)
    with pytest.raises(ValueError, match=message):
        checkpoint.from_huggingface(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_says_which(tmp_path, name):
    hugging_face_folder(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=f"expected a folder with {name}"):
        checkpoint.from_huggingface(tmp_path)


def write_safetensors(path, tensors, kinds):
    """The format by hand: the length of the header, the header, the numbers."""
    header, data = {}, b""
    for name, array in tensors.items():
        header[name] = {"dtype": kinds.get(name, "F32"), "shape": array.shape,
                        "data_offsets": [len(data), len(data) + array.nbytes]}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_bfloat16_is_widened_to_what_it_stands_for(tmp_path):
    hugging_face_folder(tmp_path)
    bits = np.resize([0x3F80, 0xBE00, 0x3DCD, 0x0001], (7, 8)).astype(np.uint16)        # sign, 8 of exponent, 7 bits
    path = tmp_path / "model.safetensors"
    write_safetensors(path, load_file(path) | {"transformer.wte.weight": bits}, {"transformer.wte.weight": "BF16"})
    model = checkpoint.from_huggingface(tmp_path)
    stands_for = np.resize([1, -0.125, 205 / 2048, 2.0**-133], (7, 8)).astype(np.float32)
    assert_array_equal(model.parameters()["wte.weight"].data, stands_for, strict=True)


def test_a_dtype_that_nothing_here_reads_is_named(tmp_path):
    hugging_face_folder(tmp_path)
    write_safetensors(tmp_path / "model.safetensors", {"wte.weight": np.zeros((7, 8), np.uint8)},
                      {"wte.weight": "F8_E4M3"})
    with pytest.raises(ValueError, match=r"the dtype of wte.weight in .* is 'F8_E4M3'; expected one of F64, F32, F16"):
        checkpoint.from_huggingface(tmp_path)


def sharded(folder, **changes):
    """The folder of one file as a folder of two, the second beginning with ln_f."""
    path = folder / "model.safetensors"
    tensors, places = load_file(path), {}
    for number in (1, 2):
        some = {name: t for name, t in tensors.items() if (".ln_f" in name) == (number == 2)}
        save_file(some, folder / f"model-0000{number}-of-00002.safetensors")
        places |= dict.fromkeys(some, f"model-0000{number}-of-00002.safetensors")
    path.unlink()
    (folder / checkpoint.SHARDS).write_text(json.dumps({"metadata": {}, "weight_map": places | changes}), "utf-8")


def test_a_model_in_shards_is_the_model_in_one_file(tmp_path):
    model = hugging_face_folder(tmp_path)
    sharded(tmp_path)
    assert_same_model(checkpoint.from_huggingface(tmp_path), model)


@pytest.mark.parametrize(("changes", "message"), [
    ({"transformer.wpe.weight": "model-00002-of-00002.safetensors"}, "transformer.wpe.weight in .*2.* is 'missing'"),
    ({"transformer.wpe.weight": "../elsewhere.safetensors"}, "expected the name of a file beside it"),
    ({"transformer.wpe.weight": ""}, "the file of transformer.wpe.weight in .*index.json is ''; expected the name of"),
    ({"transformer.wpe.weight": ".."}, "the file of transformer.wpe.weight in .*index.json is '..'; expected the name"),
    ({"transformer.wpe.weight": 5}, "the field 'transformer.wpe.weight' of .* is 5; expected a text"),
    ({"transformer.wpe.weight": "gone.safetensors"}, "gone.safetensors.*expected a whole file of safetensors"),
    ({"h.7.x": "model-00001-of-00002.safetensors"}, "h.7.x in .* is 'missing'")])
def test_an_index_of_shards_that_does_not_fit_them_is_refused(changes, message, tmp_path):
    hugging_face_folder(tmp_path)
    sharded(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        checkpoint.from_huggingface(tmp_path)


def test_another_inner_width_is_loaded_and_saved(tmp_path):
    model = made(inner=12)
    assert model.parameters()["h.0.mlp.c_fc.weight"].shape == (8, 12)
    checkpoint.to_huggingface(model, tmp_path)
    assert_same_model(checkpoint.from_huggingface(tmp_path), model)
    checkpoint.save(tmp_path, model)
    assert_same_model(checkpoint.load(tmp_path).model, model)


@pytest.mark.parametrize(("said", "scales"), [
    ({"scale_attn_weights": False}, [2, 2]), ({"scale_attn_by_inverse_layer_idx": True}, [1, 1 / 2]),
    ({"scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}, [2, 1]), ({}, [1, 1])])
def test_another_scale_of_attention_goes_into_the_queries(said, scales, tmp_path):
    model = made(heads=2)                                   # D = 4, so attention divides by 2
    checkpoint.to_huggingface(model, tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | said), "utf-8")
    back = checkpoint.from_huggingface(tmp_path)
    for layer, scale in enumerate(scales):
        for part in ("weight", "bias"):
            q, kv = np.split(model.parameters()[f"h.{layer}.attn.c_attn.{part}"].data, [8], axis=-1)
            found = back.parameters()[f"h.{layer}.attn.c_attn.{part}"].data
            assert_array_equal(found, np.concatenate([scale * q, kv], axis=-1))


@pytest.mark.parametrize("umask", [0o022, 0o027])
def test_who_may_read_the_run_s_folder_may_read_every_file_of_a_checkpoint(umask, tmp_path):
    before = os.umask(umask)
    try:
        checkpoint.save(tmp_path, Transformer(Config(5, 4, 4, 1, 1), None), arrays={"a": np.ones(2)})
    finally:
        os.umask(before)
    files = list(tmp_path.iterdir())
    assert len(files) == 3 and {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~umask}


# ---------------------------------------------------------------- a Llama, and a Qwen2

def llama_folder(folder, drop=(), tensors=(), kind="llama", **described):
    """A folder as transformers writes it, made without us: our numbers, cut and turned by hand."""
    folder.mkdir(exist_ok=True)
    config = {"model_type": kind, "vocab_size": 7, "max_position_embeddings": 6, "hidden_size": 8,
              "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 5,
              "rms_norm_eps": 1e-5, "hidden_act": "silu", **described}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k not in drop}))
    model = made(layers=1, **STYLES[kind] | {"tied": False, "heads": 4, "kv_heads": 2, "inner": 5,
                                             "rotary_base": 10000.0})
    p, layer = {name: parameter.data for name, parameter in model.parameters().items()}, "model.layers.0."
    q, k, v = np.split(p["h.0.attn.c_attn.weight"], [8, 12], axis=1)
    gate, up = np.split(p["h.0.mlp.c_fc.weight"], 2, axis=1)
    theirs = {"model.embed_tokens.weight": p["wte.weight"], "model.norm.weight": p["ln_f.weight"],
              "lm_head.weight": p["lm_head.weight"], f"{layer}input_layernorm.weight": p["h.0.ln_1.weight"],
              f"{layer}post_attention_layernorm.weight": p["h.0.ln_2.weight"],
              f"{layer}self_attn.q_proj.weight": q.T, f"{layer}self_attn.k_proj.weight": k.T,
              f"{layer}self_attn.v_proj.weight": v.T, f"{layer}self_attn.o_proj.weight": p["h.0.attn.c_proj.weight"].T,
              f"{layer}mlp.gate_proj.weight": gate.T, f"{layer}mlp.up_proj.weight": up.T,
              f"{layer}mlp.down_proj.weight": p["h.0.mlp.c_proj.weight"].T,
              f"{layer}self_attn.rotary_emb.inv_freq": np.ones(1)}
    if kind == "qwen2":
        for name, part in zip("qkv", np.split(p["h.0.attn.c_attn.bias"], [8, 12]), strict=True):
            theirs[f"{layer}self_attn.{name}_proj.bias"] = part
    save_file({name: value.copy() for name, value in theirs.items() if name not in drop} | dict(tensors),
              folder / "model.safetensors")
    return model


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_folder_of_llama_or_qwen2_is_taken_apart_as_it_was_put_together(kind, tmp_path):
    model = llama_folder(tmp_path, kind=kind)
    assert_same_model(checkpoint.from_huggingface(tmp_path), model)


def test_what_is_written_for_llama_is_what_is_read(tmp_path):
    model = llama_folder(tmp_path / "theirs")
    checkpoint.to_huggingface(model, tmp_path / "ours")
    ours, theirs = (load_file(tmp_path / side / "model.safetensors") for side in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() - {"model.layers.0.self_attn.rotary_emb.inv_freq"}
    for name, tensor in ours.items():
        assert_array_equal(tensor, theirs[name], err_msg=name)


@pytest.mark.parametrize(("said", "base"), [
    ({}, 10000), ({"rope_theta": 500.0}, 500), ({"rope_theta": 500.0, "rope_scaling": None}, 500),
    ({"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}, 500),
    ({"rope_scaling": {"type": "default"}, "rope_theta": 500.0}, 500)])
def test_the_base_of_the_angles_is_found_where_either_version_writes_it(said, base, tmp_path):
    llama_folder(tmp_path, **said)
    assert checkpoint.from_huggingface(tmp_path).config.rotary_base == base


@pytest.mark.parametrize("said", [
    {"use_sliding_window": False, "sliding_window": 4096, "layer_types": ["full_attention"]}, {"hidden_act": "swish"},
    {"attention_dropout": 0.5, "pretraining_tp": 2, "head_dim": 2, "partial_rotary_factor": 1.0}])
def test_settings_that_change_no_number_are_taken(said, tmp_path):
    model = llama_folder(tmp_path, **said)
    for name, p in checkpoint.from_huggingface(tmp_path).parameters().items():
        assert_array_equal(p.data, model.parameters()[name].data)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"hidden_act": "gelu"}, "hidden_act in config.json is 'gelu'; expected 'silu'"),
    ({"use_sliding_window": True}, "use_sliding_window in config.json is True; expected False"),
    ({"layer_types": ["sliding_attention"]}, "an entry of layer_types in .* is 'sliding_attention'"),
    ({"layer_types": ["full_attention"] * 2}, "the length of layer_types in config.json is 2; expected 1"),
    ({"layer_types": []}, "the length of layer_types in config.json is 0; expected 1"),
    ({"layer_types": 3}, "the field 'layer_types' of .*config.json is 3; expected a list"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_type of rope_scaling .* is 'llama3'; expected 'd"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "type of rope_scaling in config.json is 'linear'"),
    ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type of rope_parameters .* is 'yarn'"),
    ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}, "rope_scaling": {"rope_type": "llama3",
      "factor": 8.0}}, "rope_type of rope_scaling in config.json is 'llama3'; expected 'default'"),
    ({"rope_parameters": {"full_attention": {"rope_type": "yarn"}}}, "full_attention of rope_parameters .*'yarn'"),
    ({"rope_parameters": {"rope_type": "default", "type": "linear"}}, "type of rope_parameters .* is 'linear'"),
    ({"rope_scaling": {"factor": 2.0}}, "factor of rope_scaling in config.json is 2.0; expected None"),
    ({"rope_parameters": {"rope_theta": 5e5}, "rope_scaling": {"rope_theta": 1e4}}, "is 10000.0; expected 500000.0"),
    ({"rope_theta": 5e5, "rope_parameters": {"rope_theta": 1e4}}, "rope_theta of rope_parameters .* is 10000.0; ex"),
    ({"rope_theta": 5e5, "rope_scaling": {"rope_theta": 1e4}}, "rope_theta of rope_scaling .* is 10000.0; expected"),
    ({"rope_scaling": 2.0}, "rope_scaling in config.json is 2.0; expected null or an object"),
    ({"rope_parameters": []}, r"rope_parameters in config.json is \[\]; expected null or an object"),
    ({"rope_theta": -1.0}, "rotary_base is -1.0; expected a finite number > 0"),
    ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor .* is 0.5"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor in config.json is 0.5; expected 1.0"),
    ({"quantization_config": {"bits": 4}}, "quantization_config in config.json is {'bits': 4}; expected None"),
    ({"mlp_bias": True}, "mlp_bias in config.json is True; expected False where attention_bias is False"),
    ({"attention_bias": "no"}, "the field 'attention_bias' of .*config.json is 'no'; expected true or false"),
    ({"attention_bias": True}, r"missing \['layers.0.self_attn.k_proj.bias', 'layers.0.self_attn.o_proj.bias'"),
    ({"kind": "qwen2", "tensors": {"model.layers.0.self_attn.o_proj.bias": np.ones(8, np.float32)}}, "unknown"),
    ({"tensors": {"embed_tokens.weight": np.ones((7, 8), np.float32)}},
     r"the names in .*model.safetensors is \['embed_tokens.weight', 'model.embed_tokens.weight'\]; expected one of"),
    ({"tensors": {"model.layers.0.self_attn.k_proj.weight": np.full((4, 8), -np.inf, np.float32)}},
     r"layers.0.self_attn.k_proj.weight\[0, 0\] in .*model.safetensors is -inf; expected a finite number in float32"),
    ({"head_dim": 4}, r"layers.0.self_attn.q_proj.weight is \(8, 8\); expected \(16, 8\)"),
    ({"head_dim": 3}, "the width of a head is 3; expected an even number"),
    ({"num_key_value_heads": 4}, r"layers.0.self_attn.k_proj.weight is \(4, 8\); expected \(8, 8\)"),
    ({"num_key_value_heads": 3}, "heads is 4; expected a multiple of kv_heads, which is 3"),
    ({"intermediate_size": 6}, r"layers.0.mlp.gate_proj.weight is \(5, 8\); expected \(6, 8\)"),
    ({"drop": ["intermediate_size"]}, "the field 'intermediate_size' of .*config.json is missing"),
    ({"drop": ["model.layers.0.mlp.up_proj.weight"]}, r"missing \['layers.0.mlp.up_proj.weight'\]"),
    ({"num_hidden_layers": 10**9}, r"missing \['layers.1.input_layernorm.weight'"),
    ({"max_position_embeddings": 10**13}, "context is 10000000000000; expected less: it would take .* GiB"),
    ({"tie_word_embeddings": True, "drop": ["model.norm.weight"]}, r"missing \['norm.weight'\]")])
def test_a_llama_that_is_another_model_than_its_config_says_is_refused_by_name(arguments, message, tmp_path):
    llama_folder(tmp_path, **arguments)
    with pytest.raises(ValueError, match=message):
        checkpoint.from_huggingface(tmp_path)


@pytest.mark.parametrize("changes", [
    {"norm": "rms"}, {"kv_heads": 1}, {"head_dim": 8}, {"biases": "none"}, STYLES["llama"] | {"gated": False}])
def test_blocks_that_no_architecture_has_are_not_written_for_transformers(changes, tmp_path):
    with pytest.raises(ValueError, match="expected the choices of GPT-2, of Llama or of Qwen2"):
        checkpoint.to_huggingface(made(**changes), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_small_checkpoint_that_is_at_hand_continues_a_text():
    if "RLSCRATCH_LLAMA" not in os.environ:
        pytest.skip("RLSCRATCH_LLAMA does not name a folder with a small Llama or Qwen2 of Hugging Face")
    folder = Path(os.environ["RLSCRATCH_LLAMA"])
    model, tokenizer = checkpoint.from_huggingface(folder), bpe.load(folder)
    prompt = tokenizer.encode("The capital of France is")
    first, again = (generate(model, [prompt], max_new_tokens=8, temperature=0) for _ in range(2))
    assert first.answers == again.answers
    said = -model.logp(np.array([prompt])).data[0, 1:].mean()
    assert said < 0.7 * np.log(model.config.vocab_size)             # a text is likelier than as many words at random
