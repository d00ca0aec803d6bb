"""GPT-2's transformer: from tokens to the distribution of the next one.

A batch of tokens (B, T) becomes vectors of C channels, one a token, which L blocks refine; the last
vectors, compared with the embedding of every word, are logits.  Shapes on the right:

    x = wte[tokens] + wpe[0 .. T-1]              what the token is, and where              (B, T, C)
    L times:
        n = layer_norm(x)                                                                  (B, T, C)
        q, k, v = n W + b                        c_attn, split into H heads of D = C / H   (B, T, 3, H, D)
        a[i] = sum_{j <= i} p[i,j] v[j]          p[i] = softmax over j of q[i] . k[j] / sqrt(D)
                                                 each head by itself                       (B, T, H, D)
        x = x + a W + b                          c_proj: heads mix, the block adds         (B, T, C)
        n = layer_norm(x)                                                                  (B, T, C)
        x = x + gelu(n W + b) W + b              c_fc, c_proj: each token by itself        (B, T, 4C), (B, T, C)
    h = layer_norm(x)                            `hidden`                                  (B, T, C)
    logits = h wte'                              tied; else h lm_head'                     (B, T, V)
    value = h . score + b                        a number a token, if there is a head      (B, T)

Attention is the one place where tokens meet, and there token i sees j <= i alone: logits at i are
those of token i + 1 given tokens 0 .. i.  So what stands to the right of a token, padding above all,
changes nothing before it, and batches padded on the right need no mask.

Norms stand before the two branches of a block and x passes by both ("pre-norm"): every block adds to
x, and the gradient reaches the bottom by the same road.  2 L branches add up, so their last
matrices begin smaller by 1 / sqrt(2 L).

A cache keeps k and v of past tokens.  One more token then needs its own q, k, v alone, not those of
all the others again: start() takes the prompts, step() a token each.  With the compiled core the
logits are those of the whole sequence, bit for bit, whatever else is in the batch.

Names and layouts of the parameters are those of Hugging Face's GPT-2: matrices are (in, out).

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
Leaves out: dropout of the attention probabilities, which never exist as a whole here; rotary
positions, grouped heads, gated layers.
"""
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlscratch import check, kernels
from rlscratch.autograd import Tensor
from rlscratch.autograd import functions as f
from rlscratch.autograd.affine import affine
from rlscratch.check import Array

TENSOR = 1000           # bytes of a parameter besides its numbers, about
AT_A_TIME = 4096        # tokens of prompts that one call reads
STEP = 16               # the cache has room for a multiple of so many tokens (kernels.attention_cached)


@dataclass(frozen=True)
class Config:
    """The shape of a transformer.

    vocab_size  V
    context     the most tokens that a sequence may have
    width       C, channels of a token
    layers      L, blocks
    heads       H, must divide width
    tied        whether the output matrix is the embedding itself
    value_head  whether there is a head for values or rewards
    dropout     share of entries set to 0 behind the embedding and each branch, in calls that bring an rng
    exact_gelu  GELU with the normal distribution function instead of GPT-2's tanh form
    eps         added to the variance in layer norms
    inner       channels between the two layers of a block's network; None: 4 C
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

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context", "width", "layers", "heads"):
            check.integer(1, size=getattr(self, name), called=name)
        if self.inner is not None:
            check.integer(1, inner=self.inner)
        for name in ("tied", "value_head", "exact_gelu"):
            check.one_of((False, True), flag=getattr(self, name), called=name)
        if self.width % self.heads:
            check.fail("width", self.width, f"a multiple of heads, which is {self.heads}")
        check.below_one(dropout=self.dropout)
        check.positive(eps=self.eps)


def shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all parameters, from the bottom to the top."""
    C, inner = config.width, config.inner or 4 * config.width
    yield from (("wte.weight", (config.vocab_size, C)), ("wpe.weight", (config.context, C)))
    for layer in range(config.layers):
        for name, inside, outside in (("attn.c_attn", C, 3 * C), ("attn.c_proj", C, C),
                                      ("mlp.c_fc", C, inner), ("mlp.c_proj", inner, C)):
            if not name.endswith("c_proj"):
                norm = f"h.{layer}.ln_{1 if name.startswith('attn') else 2}"
                yield from ((f"{norm}.weight", (C,)), (f"{norm}.bias", (C,)))
            yield from ((f"h.{layer}.{name}.weight", (inside, outside)), (f"h.{layer}.{name}.bias", (outside,)))
    yield from (("ln_f.weight", (C,)), ("ln_f.bias", (C,)))
    if not config.tied:
        yield "lm_head.weight", (config.vocab_size, C)
    if config.value_head:
        yield from (("score.weight", (1, C)), ("score.bias", (1,)))


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


def _initial(name: str, shape: tuple[int, ...], layers: int, rng: np.random.Generator, dtype: np.dtype) -> Array:
    """GPT-2's: matrices normal with deviation .02, those that end a branch smaller, gains 1, biases 0."""
    if len(shape) == 1:
        return np.full(shape, "ln_" in name and name.endswith("weight"), dtype)
    deviation = 0.02 / math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 0.02
    return (deviation * rng.standard_normal(shape)).astype(dtype)


@dataclass
class Cache:
    """What attention needs of the tokens so far, for one batch.

    keys     L arrays (B, H, D, room)
    values   L arrays (B, H, room, D)
    lengths  (B,)   how many tokens of each sequence it holds
    output   (C, V) the output matrix, turned: rows of it are read for each token, and its columns never
    """

    keys: list[Array]
    values: list[Array]
    lengths: Array
    output: Array | None = None

    def rows(self, index: Any) -> "Cache":
        """The sequences at these places, a slice or an array as in NumPy: fewer, reordered, or some twice.

        As in NumPy a slice shares memory with this cache, and an array copies.
        """
        return Cache([keys[index] for keys in self.keys], [values[index] for values in self.values],
                     self.lengths[index], self.output)


class Transformer:
    """The model.  It holds parameters, and nothing that a call would change.

    config  its shape
    rng     where its first parameters are drawn from; None: all 0, for weights to be loaded
    dtype   float32 or float64
    """

    def __init__(self, config: Config, rng: np.random.Generator | None, dtype: Any = np.float32) -> None:
        self.config, self.dtype = config, np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            check.fail("dtype", str(self.dtype), "float32 or float64", TypeError)
        if rng is not None:
            check.generator(rng=rng)
        C, L = config.width, config.layers
        check.memory(self.dtype.itemsize * numbers(config) + TENSOR * 12 * L, size=(C, L), called="width and layers")
        self._parameters = {
            name: Tensor(np.zeros(shape, self.dtype) if rng is None
                         else _initial(name, shape, config.layers, rng, self.dtype), requires_grad=True)
            for name, shape in shapes(config)}
        self._blocks = [{name.removeprefix(f"h.{layer}."): p for name, p in self._parameters.items()
                         if name.startswith(f"h.{layer}.")} for layer in range(config.layers)]
        self._body = list(self._parameters.values())[:4 + 12 * config.layers]      # all but the heads

    def __repr__(self) -> str:
        c = self.config
        return (f"Transformer({c.layers} layers, {c.heads} heads, width {c.width}, context {c.context}, "
                f"{c.vocab_size} tokens, {self.num_params:,} parameters, {self.dtype})")

    def parameters(self) -> dict[str, Tensor]:
        """All parameters by name; the embedding once, also when it is the output matrix."""
        return dict(self._parameters)

    @property
    def num_params(self) -> int:
        """How many numbers there are to learn."""
        return numbers(self.config)

    # ---------------------------------------------------------------- with a graph

    def __call__(self, tokens: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Logits (B, T, V): at t those of token t + 1.  Arguments as in hidden."""
        return self._logits(self.hidden(tokens, rng))

    def hidden(self, tokens: Any, rng: np.random.Generator | None = None) -> Tensor:
        """h, (B, T, C): what logits and values are read off, so that one pass serves both.

        tokens  (B, T)  ids in [0, V), T at most the context; padded on the right with any id
        rng     turns dropout on

        Raises ValueError for a context that overflows and for ids outside the vocabulary.
        """
        tokens = self._checked(tokens)
        if rng is not None:
            check.generator(rng=rng)
        p = self._parameters
        x = f.embedding(p["wte.weight"], tokens) + f.embedding(p["wpe.weight"], np.arange(tokens.shape[1]))
        x = self._dropped(x, rng)
        for block in self._blocks:
            x = self._block(x, block, rng)
        return f.layer_norm(x, p["ln_f.weight"], p["ln_f.bias"], self.config.eps)

    def logp(self, tokens: Any, temperature: float = 1.0, hidden: Tensor | None = None,
             entropy: bool = False) -> Any:
        """log p(token t | tokens before t), (B, T), natural log; column 0, which nothing precedes, is 0.

        tokens       (B, T)     as in hidden
        temperature  > 0        divides the logits
        hidden       (B, T, C)  model.hidden(tokens), if it is there already
        entropy      True adds (B, T): the entropy of the distribution that token t was drawn from
        """
        tokens = self._checked(tokens)
        hidden = self.hidden(tokens) if hidden is None else self._fitting(hidden, tokens)
        following = np.zeros_like(tokens)           # the last column has no next token: any id will do
        following[:, :-1] = tokens[:, 1:]
        results = f.chosen_logp(self._logits(hidden), following, temperature, entropy=entropy)
        return tuple(map(delayed, results)) if entropy else delayed(results)

    def value(self, hidden: Tensor) -> Tensor:
        """One number a token, (B, T), from model.hidden(tokens): a value, or a reward at the last token."""
        if not self.config.value_head:
            check.fail("value_head", False, "True in the Config of a model that is asked for values")
        values = f.linear(hidden, self._parameters["score.weight"], transposed=True)
        return (values + self._parameters["score.bias"]).reshape(hidden.shape[:-1])

    # ---------------------------------------------------------------- with a cache, without a graph

    def start(self, prompts: Any, lengths: Any = None, room: int | None = None) -> tuple[Array, Cache]:
        """Read prompts; the logits after each, (B, V), and the cache.

        prompts  (B, T)  ids, padded on the right
        lengths  (B,)    of the prompts, in [1, T]; None: all T
        room     >= T    how many tokens a sequence may grow to; None: the context
        """
        prompts = self._checked(prompts)
        B, T = prompts.shape
        lengths = np.full(B, T) if lengths is None else check.ids(T + 1, ndim=1, lengths=lengths)
        check.shape((B,), "one length a prompt", lengths=lengths)
        if not lengths.all():
            check.fail(f"lengths[{lengths.argmin()}]", 0, "at least 1: there is no distribution before the first token")
        room = check.integer(T, self.config.context, room=self.config.context if room is None else room)
        H, D, space = self.config.heads, self.config.width // self.config.heads, -(-room // STEP) * STEP
        cache = Cache([np.empty((B, H, D, space), self.dtype) for _ in self._blocks],
                      [np.empty((B, H, space, D), self.dtype) for _ in self._blocks], np.zeros(B, np.int64),
                      np.ascontiguousarray(self._output.data.T))
        return self._read(cache, prompts, lengths), cache

    def step(self, cache: Cache, tokens: Any) -> Array:
        """One more token a sequence; the logits after it, (B, V).  The cache grows in place.

        tokens  (B,)  ids
        """
        tokens = check.ids(self.config.vocab_size, ndim=1, tokens=tokens)
        check.shape(cache.lengths.shape, "one token a sequence of the cache", tokens=tokens)
        most = min(self.config.context, cache.values[0].shape[2])
        if cache.lengths.max() >= most:
            check.fail(f"the length of sequence {cache.lengths.argmax()}", cache.lengths.max() + 1,
                       f"at most {most}, the context of the model or the room of the cache")
        return self._read(cache, tokens[:, None], np.ones_like(tokens))

    def _read(self, cache: Cache, tokens: Array, lengths: Array) -> Array:
        """Some rows at a time: between two calls Python sees an interrupt."""
        rows, found = max(1, AT_A_TIME // tokens.shape[1]), []
        for i in range(0, len(tokens), rows):
            part = cache if len(tokens) <= rows else cache.rows(slice(i, i + rows))
            found.append(kernels.decode(np.ascontiguousarray(tokens[i:i + rows]), lengths[i:i + rows] - 1,
                                        *self._decoded(part)))
        cache.lengths += lengths
        return found[0] if len(found) == 1 else np.concatenate(found)

    def answer(self, cache: Cache, logits: Array, u: Array, stops: Array, **knobs: Any) -> tuple[Array, Array, Array]:
        """Whole answers at once, those that step() and kernels.sample() would give: ids, logp (B, N), counts (B,).

        logits  (B, V)  as start() returned them
        u       (B, N)  a uniform for each token of each answer
        stops   (V,)    bool, which tokens end an answer
        knobs   as in kernels.sample
        """
        return kernels.answer(logits, u, stops, *self._decoded(cache), **knobs)

    def _decoded(self, cache: Cache) -> tuple:
        """What kernels.decode wants of the model and the cache."""
        c, weights = self.config, [parameter.data for parameter in self._body]
        return weights, cache.output, cache.keys, cache.values, cache.lengths, c.heads, c.exact_gelu, c.eps

    # ---------------------------------------------------------------- the architecture

    def _block(self, x: Tensor, p: dict[str, Tensor], rng: np.random.Generator | None) -> Tensor:
        """Attention, then the two-layer network, each added to what came in: (B, T, C)."""
        (B, T, C), H = x.shape, self.config.heads
        n = f.layer_norm(x, p["ln_1.weight"], p["ln_1.bias"], self.config.eps)
        qkv = affine(n, p["attn.c_attn.weight"], p["attn.c_attn.bias"])
        a = f.attention(qkv.reshape(B, T, 3, H, C // H)).reshape(B, T, C)
        x = self._added(x, a, p["attn.c_proj.weight"], p["attn.c_proj.bias"], rng)
        n = f.layer_norm(x, p["ln_2.weight"], p["ln_2.bias"], self.config.eps)
        inner = f.bias_gelu(f.linear(n, p["mlp.c_fc.weight"]), p["mlp.c_fc.bias"], self.config.exact_gelu)
        return self._added(x, inner, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"], rng)

    def _added(self, x: Tensor, branch: Tensor, W: Tensor, b: Tensor, rng: np.random.Generator | None) -> Tensor:
        """The end of a branch: x + branch W + b."""
        if rng is None or not self.config.dropout:
            return affine(branch, W, b, x)
        return x + self._dropped(affine(branch, W, b), rng)

    def _logits(self, hidden: Tensor) -> Tensor:
        return f.linear(hidden, self._output, transposed=True)

    @property
    def _output(self) -> Tensor:
        return self._parameters["wte.weight" if self.config.tied else "lm_head.weight"]

    def _dropped(self, x: Tensor, rng: np.random.Generator | None) -> Tensor:
        """Each entry 0 with probability `dropout`, the others divided by 1 - dropout: the mean stays."""
        if rng is None or not self.config.dropout:
            return x
        kept = 1 - self.config.dropout
        return x * ((rng.random(x.shape) < kept) / kept).astype(self.dtype)

    # ---------------------------------------------------------------- checks

    def _checked(self, tokens: Any) -> Array:
        tokens = check.ids(self.config.vocab_size, ndim=2, tokens=tokens)
        if tokens.size == 0 or tokens.shape[1] > self.config.context:
            check.fail("the shape of tokens", tokens.shape,
                       f"(B, T), B and T at least 1, T at most {self.config.context}, the context")
        return np.ascontiguousarray(tokens)

    def _fitting(self, hidden: Tensor, tokens: Array) -> Tensor:
        check.shape((*tokens.shape, self.config.width), "as model.hidden(tokens) returns it", hidden=hidden)
        return hidden


def delayed(x: Tensor) -> Tensor:
    """(B, T), each column one place to the right, behind a column of zeros.

    What was said at token t - 1 of the token that follows, its log-probability or the value before it, so stands
    beside token t itself.
    """
    return f.concatenate([np.zeros((len(x.data), 1), x.dtype), x[:, :-1]], axis=1)
