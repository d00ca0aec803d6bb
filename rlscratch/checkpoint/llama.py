"""A Llama or a Qwen2 in Hugging Face's format.

Its matrices are (out, in), ours (in, out).  Queries, keys and values are three of theirs, and so are the two halves of
a gated network; ours stand side by side in one.  Settings that would change the numbers and that the Config has no
word for are refused by name: scaled rotary angles, a sliding window, another activation, quantised weights.

Where transformers computes in float32 whatever the model's dtype (angles, norms), we compute in the model's own.
"""
from collections.abc import Iterator
from typing import Any

from rlscratch import check
from rlscratch.blocks import BIASED, STYLES
from rlscratch.checkpoint.weights import Place, flag
from rlscratch.files import Fields
from rlscratch.transformer import Config, Transformer, shapes

PREFIX, BUFFERS = "model.", (".rotary_emb.inv_freq",)       # of angles, which older versions stored

_NAMES = {"wte": ("embed_tokens",), "ln_f": ("norm",), "ln_1": ("input_layernorm",), "lm_head": ("lm_head",),
          "ln_2": ("post_attention_layernorm",), "score": ("score",),
          "attn.c_attn": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
          "attn.c_proj": ("self_attn.o_proj",), "mlp.c_fc": ("mlp.gate_proj", "mlp.up_proj"),
          "mlp.c_proj": ("mlp.down_proj",)}
_MUST_BE = {"hidden_act": ("silu", "swish"), "use_sliding_window": (False, None), "partial_rotary_factor": (1.0, None)}
_UNSCALED = {"rope_type": "default", "type": "default", "partial_rotary_factor": 1.0}


def places(config: Config) -> Iterator[Place]:
    """Where each parameter lies in their file."""
    H, K, D, inner = config.sizes
    widths = {"attn.c_attn": (H * D, K * D, K * D), "mlp.c_fc": (inner, inner)}
    for name, shape in shapes(config):
        module, _, part = name.rpartition(".")
        layer, module = module.split(".", 2)[1:] if module.startswith("h.") else (None, module)
        turned = module in BIASED["all"] and part == "weight"
        before = "" if layer is None else f"layers.{layer}."
        theirs = {f"{before}{their}.{part}": (width, shape[0]) if turned else (*shape[:-1], width)
                  for their, width in zip(_NAMES[module], widths.get(module, shape[-1:]), strict=True)}
        yield Place(name, theirs, turned)


def config_of(described: Fields, value_head: bool) -> Config:
    """The shape that a config.json describes.  Raises ValueError for a setting that is not known here, by its name."""
    for key, options in _MUST_BE.items():
        if described.get(key, options[0]) not in options:
            check.fail(f"{key} in config.json", described[key], f"{options[0]!r}")
    kinds = None if described.get("layer_types") is None else described.get_as(list, "layer_types")
    for kind in kinds or ():
        check.one_of(("full_attention",), kind=kind, called="an entry of layer_types in config.json")
    V, T, C, L, H, inner = (described.get_as(int, key) for key in (
        "vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads",
        "intermediate_size"))
    if kinds is not None and len(kinds) != L:
        check.fail("the length of layer_types in config.json", len(kinds), f"{L}, which is num_hidden_layers")
    return Config(V, T, C, L, H, **(STYLES["llama"] | {
        "inner": inner, "kv_heads": described.get("num_key_value_heads"), "head_dim": described.get("head_dim"),
        "tied": described.get("tie_word_embeddings", False), "value_head": value_head,
        "eps": described.get("rms_norm_eps", 1e-6), "rotary_base": _rotary_base(described),
        "biases": _biases(described)}))


def _biases(described: Fields) -> str:
    if described["model_type"] == "qwen2":
        return "qkv"
    attention, network = (flag(described, f"{part}_bias", False) for part in ("attention", "mlp"))
    if network and not attention:
        check.fail("mlp_bias in config.json", network, "False where attention_bias is False")
    return "all" if network else "attention" if attention else "none"


def _rotary_base(described: Fields) -> float:
    """rope_theta, on its own or, as transformers 5 writes it, among rope_parameters."""
    on_its_own = described.get("rope_theta")
    bases = [] if on_its_own is None else [("rope_theta on its own", on_its_own)]
    for key in ("rope_parameters", "rope_scaling"):         # both may stand there, and either may scale
        given = {} if described.get(key) is None else described[key]
        if not isinstance(given, dict):
            check.fail(f"{key} in config.json", given, "null or an object")
        for setting, value in given.items():
            if setting == "rope_theta":
                bases.append((f"rope_theta of {key}", value))
            elif value is not None and value != _UNSCALED.get(setting):
                check.fail(f"{setting} of {key} in config.json", value,
                           f"{_UNSCALED.get(setting)!r}: angles that are not scaled")
    for name, base in bases[1:]:
        if base != bases[0][1]:
            check.fail(f"{name} in config.json", base, f"{bases[0][1]!r}, which is {bases[0][0]}")
    return bases[0][1] if bases else described.get("rope_theta", 10000.0)


def adapt(model: Transformer, described: Fields) -> None:
    """Nothing: all settings are the Config's."""


def described_by(config: Config) -> dict[str, Any]:
    """The config.json of a shape, but for what all architectures say."""
    H, K, D, inner = config.sizes
    return {"max_position_embeddings": config.context, "hidden_size": config.width, "intermediate_size": inner,
            "num_hidden_layers": config.layers, "num_attention_heads": H, "num_key_value_heads": K, "head_dim": D,
            "hidden_act": "silu", "rms_norm_eps": config.eps, "rope_theta": config.rotary_base,
            "rope_parameters": {"rope_theta": config.rotary_base, "rope_type": "default"}, "attention_dropout": 0.0,
            "attention_bias": config.biases in ("attention", "all"), "mlp_bias": config.biases == "all",
            "use_sliding_window": False}
