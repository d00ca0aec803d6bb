"""The transformer with Llama's and Qwen2's blocks against Hugging Face's on PyTorch: logits, gradients, the cache.

Their model is initialised at random, written by transformers and loaded by us; and the other way round.

    float64    to 1e-9 of the largest entry
    float32    to 1e-4

Whatever a model's dtype, theirs computes angles, norms and the softmax of attention in float32.  In float64 that costs
nine digits, so for that comparison the casts are held off (`in_double`); without, they agree to 1e-6.
"""
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from rlscratch import checkpoint
from rlscratch.blocks import STYLES
from rlscratch.generate import generate
from rlscratch.transformer import Config, Transformer

pytestmark = pytest.mark.filterwarnings("ignore")                  # theirs; ours are errors everywhere else
torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[peers]'")
transformers = pytest.importorskip("transformers", reason="transformers is not installed: pip install '.[peers]'")

KINDS = {"Llama": ("Llama", {}), "Llama, tied, all keys its own": ("Llama", {"num_key_value_heads": 6,
                                                                             "tie_word_embeddings": True}),
         "Llama with biases": ("Llama", {"attention_bias": True, "mlp_bias": True}),
         "Llama with some, wider heads": ("Llama", {"attention_bias": True, "head_dim": 10}),
         "Llama, another base and eps": ("Llama", {"rope_theta": 100.0, "rms_norm_eps": 1e-2}),
         "Qwen2": ("Qwen2", {}), "Qwen2, one key, tied": ("Qwen2", {"num_key_value_heads": 1,
                                                                    "tie_word_embeddings": True})}
DTYPES = {np.float32: 1e-4, np.float64: 1e-9}


@pytest.fixture
def in_double(monkeypatch):
    """In a model of theirs what it casts to float32 stays in float64, and its angles are computed anew."""
    def begin(model):
        monkeypatch.setattr(torch, "float32", torch.float64)
        monkeypatch.setattr(torch, "float", torch.float64)
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        rotary, config = model.model.rotary_emb, model.config
        D = config.head_dim if getattr(config, "head_dim", None) else config.hidden_size // config.num_attention_heads
        given = getattr(config, "rope_parameters", None) or {"rope_theta": config.rope_theta}
        rotary.inv_freq = given["rope_theta"] ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
        return model

    return begin


def theirs(kind, **changes):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{
        "vocab_size": 61, "max_position_embeddings": 24, "hidden_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 80, "bos_token_id": None,
        "eos_token_id": None, **changes})
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():                                          # gains, biases and attention should count
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return model


def both(folder, kind, changes, dtype):
    model = theirs(kind, **changes)
    model.save_pretrained(folder)
    tokens = np.random.default_rng(0).integers(61, size=(3, 24))
    return model.to(getattr(torch, dtype.__name__)), checkpoint.from_huggingface(folder, dtype), tokens


def assert_close(ours, theirs, tolerance, **named):
    ours, theirs = np.asarray(ours), theirs.detach().numpy() if isinstance(theirs, torch.Tensor) else theirs
    assert ours.dtype == theirs.dtype
    assert_allclose(ours, theirs, rtol=0, atol=tolerance * np.abs(theirs).max(), **named)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES.items(), ids=["float32", "float64"])
@pytest.mark.parametrize(("kind", "changes"), KINDS.values(), ids=KINDS)
def test_logits_and_the_gradient_of_every_parameter_agree(tmp_path, in_double, kind, changes, dtype, tolerance):
    model, ours, tokens = both(tmp_path, kind, changes, dtype)
    model = in_double(model) if dtype is np.float64 else model
    logits = model(torch.tensor(tokens)).logits
    assert_close(ours(tokens).data, logits, tolerance)
    seed = np.random.default_rng(1).normal(size=tokens.shape).astype(dtype)
    ours.logp(tokens).backward(seed)
    logp = (logits - torch.logsumexp(logits, dim=-1, keepdim=True))[:, :-1]
    logp.gather(-1, torch.tensor(tokens)[:, 1:, None])[..., 0].backward(torch.tensor(seed[:, 1:]))
    gradients = {name.removeprefix("model."): p.grad.numpy() for name, p in model.named_parameters()}
    if "lm_head.weight" in gradients and ours.config.tied:
        del gradients["lm_head.weight"]
    count = 0
    for name, found, turned in checkpoint.llama.places(ours.config):
        pieces = [gradients[their].T if turned else gradients[their] for their in found]
        assert_close(ours.parameters()[name].grad, np.concatenate(pieces, axis=-1), tolerance, err_msg=name)
        count += len(pieces)
    assert count == len(gradients)


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_their_float64_is_ours_to_the_precision_of_their_casts(tmp_path, kind):
    model, ours, tokens = both(tmp_path, kind, {}, np.float64)
    logits = model(torch.tensor(tokens)).logits
    assert_close(ours(tokens).data, logits, 1e-6)
    with pytest.raises(AssertionError):
        assert_close(ours(tokens).data, logits, 1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES.items(), ids=["float32", "float64"])
@pytest.mark.parametrize(("kind", "changes"), KINDS.values(), ids=KINDS)
def test_logits_with_a_cache_agree(tmp_path, in_double, kind, changes, dtype, tolerance):
    model, ours, tokens = both(tmp_path, kind, changes, dtype)
    model = in_double(model) if dtype is np.float64 else model
    logits, cache = ours.start(tokens[:, :20], [20, 5, 13])
    expected = model(torch.tensor(tokens)).logits
    assert_close(logits, expected[torch.arange(3), torch.tensor([19, 4, 12])], tolerance)
    for _ in range(4):
        logits = ours.step(cache, tokens[np.arange(3), cache.lengths])
        assert_close(logits, expected[torch.arange(3), torch.tensor(cache.lengths - 1)], tolerance)


@pytest.mark.parametrize(("kind", "changes"), [KINDS["Llama"], KINDS["Qwen2"]], ids=["Llama", "Qwen2"])
def test_the_likeliest_answer_is_the_one_that_they_generate(tmp_path, kind, changes):
    model, ours, tokens = both(tmp_path, kind, changes, np.float32)
    answer = generate(ours, [tokens[0, :6]], max_new_tokens=16, temperature=0).answers[0]
    said = model.generate(torch.tensor(tokens[:1, :6]), max_new_tokens=16, do_sample=False, pad_token_id=0)
    assert answer == said[0, 6:].tolist()


@pytest.mark.parametrize("wrong", ["base", "eps", "order of keys"])
def test_the_comparison_notices_what_is_off(tmp_path, wrong):
    model, ours, tokens = both(tmp_path, "Llama", {}, np.float32)
    changes = {"base": {"rotary_base": 9000.0}, "eps": {"eps": 1e-4}}.get(wrong, {})
    other = Transformer(Config(**{**vars(ours.config), **changes}), None)
    for name, p in other.parameters().items():
        p.data[...] = ours.parameters()[name].data
    if wrong == "order of keys":
        keys = other.parameters()["h.0.attn.c_attn.weight"].data[:, 48:64]
        keys[...] = np.roll(keys, 8, axis=1)
    with pytest.raises(AssertionError):
        assert_close(other(tokens).data, model(torch.tensor(tokens)).logits, 1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_and_shards_are_read_as_they_are_written(tmp_path, dtype):
    model = theirs("Llama").to(dtype)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    model = type(model).from_pretrained(tmp_path, dtype=torch.float32)          # whose angles were not halved
    ours, tokens = checkpoint.from_huggingface(tmp_path), np.random.default_rng(0).integers(61, size=(3, 24))
    assert_close(ours(tokens).data, model(torch.tensor(tokens)).logits, 1e-4)


@pytest.mark.parametrize("changes", [
    STYLES["llama"] | {"kv_heads": 2, "tied": False}, STYLES["llama"] | {"biases": "all", "head_dim": 10},
    STYLES["llama"] | {"biases": "attention", "eps": 1e-3, "rotary_base": 50.0}, STYLES["qwen2"] | {"kv_heads": 1}])
def test_what_we_write_transformers_reads(tmp_path, changes):
    ours = Transformer(Config(61, 24, 48, 2, 6, **changes), np.random.default_rng(0))
    for p in ours.parameters().values():
        p.data += np.random.default_rng(1).normal(0, 0.1, p.shape).astype(np.float32)
    checkpoint.to_huggingface(ours, tmp_path)
    model, told = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not told["unexpected_keys"]
    assert not set(told["missing_keys"]) - {"lm_head.weight"}      # tied: the embedding under a second name
    tokens = np.random.default_rng(0).integers(61, size=(2, 24))
    assert_close(ours(tokens).data, model.eval()(torch.tensor(tokens)).logits, 1e-4)


@pytest.mark.parametrize(("kind", "changes"), [
    ("Llama", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}), ("Llama", {"hidden_act": "gelu"}),
    ("Qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ("Mistral", {"sliding_window": 4})])
def test_what_would_change_the_numbers_is_refused_as_they_write_it(tmp_path, kind, changes):
    theirs(kind, **changes).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"in config\.json is"):
        checkpoint.from_huggingface(tmp_path)


def test_their_score_head_becomes_our_value_head(tmp_path):
    config = theirs("Llama").config
    config.num_labels, config.pad_token_id = 1, 0
    judge = transformers.LlamaForSequenceClassification(config).eval()
    judge.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["architectures"] == [type(judge).__name__]
    ours, tokens = checkpoint.from_huggingface(tmp_path), np.random.default_rng(0).integers(1, 61, size=(3, 24))
    assert_close(ours.value(ours.hidden(tokens)).data[:, -1], judge(torch.tensor(tokens)).logits[:, 0], 1e-4)
