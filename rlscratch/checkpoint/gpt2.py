"""A GPT-2 in Hugging Face's format.  Names are ours but for a prefix, and so is the layout: matrices are (in, out)."""
from typing import Any

from rlscratch import check
from rlscratch.checkpoint.weights import flag, same
from rlscratch.files import Fields
from rlscratch.transformer import Config, Transformer

PREFIX = "transformer."
BUFFERS = (".attn.bias", ".attn.masked_bias")       # causal masks that older versions stored
places = same

_ACTIVATIONS = {"gelu_new": False, "gelu_pytorch_tanh": False, "gelu_fast": False, "gelu_accurate": False,
                "gelu": True, "gelu_python": True}          # name -> whether it is the exact GELU


def config_of(described: Fields, value_head: bool) -> Config:
    """The shape that a config.json describes."""
    if described.get("add_cross_attention", False):
        check.fail("add_cross_attention in config.json", described["add_cross_attention"],
                   "False: GPT-2's architecture")
    activation = described.get("activation_function", "gelu_new")
    check.one_of(tuple(_ACTIVATIONS), activation=activation, called="activation_function in config.json")
    sizes = (described.get_as(int, key) for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"))
    return Config(*sizes, inner=described.get("n_inner"), tied=described.get("tie_word_embeddings", True),
                  value_head=value_head, exact_gelu=_ACTIVATIONS[activation],
                  eps=described.get("layer_norm_epsilon", 1e-5))


def adapt(model: Transformer, described: Fields) -> None:
    """Attention divides q . k by sqrt(D).  Where a config has another scale, the queries are larger or smaller."""
    C, H = model.config.width, model.config.heads
    plain = 1.0 if flag(described, "scale_attn_weights", True) else (C // H) ** 0.5
    by_layer = flag(described, "scale_attn_by_inverse_layer_idx", False)
    for layer in range(model.config.layers):
        scale = plain / (layer + 1) if by_layer else plain
        if scale != 1:
            for name in ("weight", "bias"):
                model.parameters()[f"h.{layer}.attn.c_attn.{name}"].data[..., :C] *= scale


def described_by(config: Config) -> dict[str, Any]:
    """The config.json of a shape, but for what all architectures say."""
    return {"add_cross_attention": False, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
            "n_positions": config.context, "n_embd": config.width, "n_layer": config.layers, "n_head": config.heads,
            "n_inner": config.inner, "activation_function": "gelu" if config.exact_gelu else "gelu_new",
            "layer_norm_epsilon": config.eps, "embd_pdrop": config.dropout, "resid_pdrop": config.dropout,
            "attn_pdrop": 0.0}
