"""What a transformer is made of: the choices between GPT-2's blocks and Llama's, its parameters, and one block.

A block is the same in all of them, x + attention(norm(x)) and then x + network(norm(x)).  What differs are five
choices, each by itself; C channels, H heads of D channels:

    choice         GPT-2                            Llama, Qwen2
    -----------    -----------------------------    ---------------------------------------------------------------
    norm           layer: (x - mean) / deviation    rms: x / root of its mean square; no bias
    positions      learned: a vector a place is     rotary: queries and keys turn by an angle that grows with the
                   added to the token's             place, so scores depend on distances (kernels.reference.rotary)
    gated          no:  gelu(n W + b) W + b         yes: (silu(n W_g) * (n W_u)) W: one half of the first matrix's
                   inner width 4 C                  columns gates the other; 8 C / 3, as many numbers
    kv_heads       H: a key and a value a head      fewer: H / kv_heads queries share a key and a value, and the
                                                    cache is so much smaller
    biases         all                              none; Qwen2: qkv, of queries, keys and values

Rotary angles: at place p, pair d of a head turns by p base^(-2 d / D).  They are computed in float64 and then rounded,
for both dtypes.

Names are GPT-2's whatever the choices: c_attn (C, (H + 2 kv_heads) D) holds queries, keys, values; c_fc of a gated
network (C, 2 inner) holds W_g, then W_u.  Matrices are (in, out).

Source: Radford et al. 2019 (GPT-2); Touvron et al. 2023 (LLaMA); Ainslie et al. 2023 (shared keys); Yang et al. 2024
        (Qwen2).
Leaves out: attention over a sliding window, scaled angles for longer contexts, norms of queries and keys, experts.
"""
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlscratch import check
from rlscratch.autograd import Tensor
from rlscratch.autograd import functions as f
from rlscratch.autograd.affine import affine
from rlscratch.check import Array

MATRICES = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
BIASED = {"all": MATRICES, "attention": MATRICES[:2], "qkv": MATRICES[:1], "none": ()}
STYLES: dict[str, dict[str, Any]] = {       # what a Config needs beside sizes
    "gpt2": {}, "llama": {"norm": "rms", "positions": "rotary", "gated": True, "biases": "none"},
    "qwen2": {"norm": "rms", "positions": "rotary", "gated": True, "biases": "qkv", "rotary_base": 1e6}}


@dataclass(frozen=True)
class Config:
    """The shape of a transformer.

    vocab_size   V
    context      the most tokens that a sequence may have
    width        C, channels of a token
    layers       L, blocks
    heads        H, of queries
    tied         whether the output matrix is the embedding itself
    value_head   whether there is a head for values or rewards
    dropout      share of entries set to 0 behind the embedding and each branch, in calls that bring an rng
    exact_gelu   GELU with the normal distribution function instead of GPT-2's tanh form
    eps          added to the variance, or the mean square, in norms
    inner        channels before the last matrix of a block's network; None: 4 C, of a gated one 8 C / 3
    norm         "layer" or "rms"
    positions    "learned" or "rotary"
    gated        whether SwiGLU takes the place of GELU
    kv_heads     heads of keys and values, must divide heads; None: as many
    head_dim     D; None: C / heads, which must then be whole.  Even with rotary positions
    biases       which matrices have one: "all", "attention", "qkv" (not its output), "none"
    rotary_base  the larger, the slower the last pairs of channels turn
    """

    vocab_size: int
    context: int
    width: int
    layers: int
    heads: int
    tied: bool = True
    value_head: bool = False
    dropout: float = 0.0
    exact_gelu: bool = False
    eps: float = 1e-5
    inner: int | None = None
    norm: str = "layer"
    positions: str = "learned"
    gated: bool = False
    kv_heads: int | None = None
    head_dim: int | None = None
    biases: str = "all"
    rotary_base: float = 10000.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "width", "layers", "heads"):
            check.integer(1, size=getattr(self, name), called=name)
        for name in ("inner", "kv_heads", "head_dim"):
            if getattr(self, name) is not None:
                check.integer(1, size=getattr(self, name), called=name)
        for name, options in (("tied", (False, True)), ("value_head", (False, True)), ("exact_gelu", (False, True)),
                              ("gated", (False, True)), ("norm", ("layer", "rms")),
                              ("positions", ("learned", "rotary")), ("biases", tuple(BIASED))):
            check.one_of(options, choice=getattr(self, name), called=name)
        if self.head_dim is None and self.width % self.heads:
            check.fail("width", self.width, f"a multiple of heads, which is {self.heads}")
        if self.kv_heads is not None and self.heads % self.kv_heads:
            check.fail("heads", self.heads, f"a multiple of kv_heads, which is {self.kv_heads}")
        if self.positions == "rotary" and self.sizes[2] % 2:
            check.fail("the width of a head", self.sizes[2], "an even number with rotary positions")
        check.below_one(dropout=self.dropout)
        check.positive(eps=self.eps, rotary_base=self.rotary_base)

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """H, heads of keys, D, inner: what None stands for."""
        inner = self.inner or (8 * self.width // 3 if self.gated else 4 * self.width)
        return self.heads, self.kv_heads or self.heads, self.head_dim or self.width // self.heads, inner


# ---------------------------------------------------------------- parameters

def shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all parameters, from the bottom to the top."""
    C, (H, K, D, inner) = config.width, config.sizes
    ends = ((C, (H + 2 * K) * D), (H * D, C), (C, 2 * inner if config.gated else inner), (inner, C))
    yield "wte.weight", (config.vocab_size, C)
    if config.positions == "learned":
        yield "wpe.weight", (config.context, C)
    for layer in range(config.layers):
        for name, (inside, outside) in zip(MATRICES, ends, strict=True):
            if not name.endswith("c_proj"):
                yield from _of_norm(f"h.{layer}.ln_{1 if name.startswith('attn') else 2}", config)
            yield f"h.{layer}.{name}.weight", (inside, outside)
            if name in BIASED[config.biases]:
                yield f"h.{layer}.{name}.bias", (outside,)
    yield from _of_norm("ln_f", config)
    if not config.tied:
        yield "lm_head.weight", (config.vocab_size, C)
    if config.value_head:
        yield from (("score.weight", (1, C)), ("score.bias", (1,)))


def _of_norm(name: str, config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (config.width,)
    if config.norm == "layer":
        yield f"{name}.bias", (config.width,)


def numbers(config: Config) -> int:
    """How many numbers the parameters have.  One block is counted, whatever the number of blocks.

    >>> numbers(Config(vocab_size=7, context=6, width=8, layers=3, heads=2))
    2736
    """
    sizes = {name: math.prod(shape) for name, shape in shapes(replace(config, layers=1))}
    return sum(sizes.values()) + (config.layers - 1) * sum(n for name, n in sizes.items() if name.startswith("h."))


def memory_to_train(config: Config, batch: int, length: int) -> int:
    """Bytes that a step takes at the least, in float32: parameters, their gradients and two moments, and of each token
    its logits, and in each block what the way back needs.
    """
    return 16 * numbers(config) + 4 * batch * length * (config.vocab_size + 8 * config.width * config.layers)


def initial(name: str, shape: tuple[int, ...], layers: int, rng: np.random.Generator, dtype: np.dtype) -> Array:
    """GPT-2's: matrices normal with deviation .02, those that end a branch smaller, gains 1, biases 0."""
    if len(shape) == 1:
        return np.full(shape, "ln_" in name and name.endswith("weight"), dtype)
    deviation = 0.02 / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 0.02
    return (deviation * rng.standard_normal(shape)).astype(dtype)


def turns(config: Config, dtype: np.dtype) -> Array | None:
    """(context, D): of each place the cosines of its angles, then their sines; None without rotary positions.

    >>> turns(Config(1, 2, 4, 1, 1, **STYLES["llama"]), np.float64).round(4).tolist()     # angles 0, 0, then 1, .01
    [[1.0, 1.0, 0.0, 0.0], [0.5403, 1.0, 0.8415, 0.01]]
    """
    if config.positions == "learned":
        return None
    D = config.sizes[2]
    angles = np.outer(np.arange(config.context), config.rotary_base ** (-np.arange(0, D, 2) / D))
    found = np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(dtype)
    found.setflags(write=False)             # so the tape need not look whether it changed
    return found


def body(config: Config, parameters: Mapping[str, Tensor], turned: Array | None) -> list[Any]:
    """What kernels.decode reads, in its order: tensors, arrays that are constant, None where a model has none."""
    modules = ("ln_1", *MATRICES[:2], "ln_2", *MATRICES[2:])
    names = [f"h.{layer}.{name}" for layer in range(config.layers) for name in modules]
    found = {f"{name}.bias": np.zeros(config.sizes[3], next(iter(parameters.values())).dtype)
             for name in names if name.endswith("c_fc") and not config.gated} | dict(parameters)
    return [parameters["wte.weight"], parameters.get("wpe.weight"), turned,
            *(found.get(f"{name}.{part}") for name in (*names, "ln_f") for part in ("weight", "bias"))]


# ---------------------------------------------------------------- one block

Drop = Callable[[Tensor], Tensor] | None


def block(x: Tensor, p: Mapping[str, Tensor], config: Config, turned: Array | None, places: Array,
          drop: Drop) -> Tensor:
    """Attention, then the two-layer network, each added to what came in: (B, T, C).

    p       parameters of the block, by their names in it
    turned  turns(config, dtype)
    places  (B, T) of the tokens
    drop    dropout, for the end of a branch; None: none
    """
    (B, T, _), (H, K, D, inner) = x.shape, config.sizes
    n = norm(x, p, "ln_1", config)
    qkv = affine(n, p["attn.c_attn.weight"], p.get("attn.c_attn.bias")).reshape(B, T, H + 2 * K, D)
    if turned is not None:
        qkv = f.rotary(qkv, turned, places, H + K)
    x = _added(x, f.attention(qkv, K).reshape(B, T, H * D), p, "attn.c_proj", drop)
    n, b = norm(x, p, "ln_2", config), p.get("mlp.c_fc.bias")
    if config.gated:
        wide = f.swiglu(affine(n, p["mlp.c_fc.weight"], b))
    else:
        b = np.zeros(inner, x.dtype) if b is None else b
        wide = f.bias_gelu(f.linear(n, p["mlp.c_fc.weight"]), b, config.exact_gelu)
    return _added(x, wide, p, "mlp.c_proj", drop)


def norm(x: Tensor, p: Mapping[str, Tensor], name: str, config: Config) -> Tensor:
    """The norm of that name, (B, T, C)."""
    if config.norm == "rms":
        return f.rms_norm(x, p[f"{name}.weight"], config.eps)
    return f.layer_norm(x, p[f"{name}.weight"], p[f"{name}.bias"], config.eps)


def _added(x: Tensor, branch: Tensor, p: Mapping[str, Tensor], name: str, drop: Drop) -> Tensor:
    """The end of a branch: x + branch W + b."""
    W, b = p[f"{name}.weight"], p.get(f"{name}.bias")
    return affine(branch, W, b, x) if drop is None else x + drop(affine(branch, W, b))
