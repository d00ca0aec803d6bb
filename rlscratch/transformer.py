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

This is GPT-2.  Llama and Qwen2 differ in five choices of the Config (RMS norm, rotary positions, a gated network,
keys that heads share, fewer biases), which blocks.py explains; what is said above holds for them, too.

Names and layouts of the parameters are those of Hugging Face's GPT-2: matrices are (in, out).

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
Leaves out: dropout of the attention probabilities, which never exist as a whole here.
"""
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rlscratch import blocks, check, kernels
from rlscratch.autograd import Tensor
from rlscratch.autograd import functions as f
from rlscratch.blocks import Config, numbers, shapes
from rlscratch.check import Array
from rlscratch.kernels.models import STEP

TENSOR = 1000           # bytes of a parameter besides its numbers, about
AT_A_TIME = 4096        # tokens of prompts that one call reads


@dataclass
class Cache:
    """What attention needs of the tokens so far, for one batch.

    keys     L arrays (B, K, blocks, D, 16), K heads of keys, tokens in blocks of 16
    values   L arrays (B, K, 16 blocks, D)
    lengths  (B,)   how many tokens of each sequence it holds
    output   (C, V) the output matrix, turned: rows of it are read for each token, and its columns never
    """

    keys: list[Array]
    values: list[Array]
    lengths: Array
    output: Array | None = None

    def rows(self, index: Any) -> "Cache":
        """The sequences at these places, a slice or an array as in NumPy: fewer, reordered, or some twice.

        As in NumPy a slice shares memory with this cache, and an array copies; so does a slice with a step, since
        the core reads rows that lie side by side.
        """
        def part(array: Array) -> Array:
            chosen = array[index]
            return chosen if chosen.flags.c_contiguous else chosen.copy()

        return Cache([part(keys) for keys in self.keys], [part(values) for values in self.values],
                     part(self.lengths), self.output)


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
        C, L, T = config.width, config.layers, config.context
        check.memory(self.dtype.itemsize * numbers(config) + TENSOR * 12 * L, size=(C, L), called="width and layers")
        check.memory(24 * T * config.sizes[2] * (config.positions == "rotary"), context=T)
        self._parameters = {
            name: Tensor(np.zeros(shape, self.dtype) if rng is None
                         else blocks.initial(name, shape, config.layers, rng, self.dtype), requires_grad=True)
            for name, shape in shapes(config)}
        self._blocks = [{name.removeprefix(f"h.{layer}."): p for name, p in self._parameters.items()
                         if name.startswith(f"h.{layer}.")} for layer in range(config.layers)]
        self._turns = blocks.turns(config, self.dtype)
        self._body = blocks.body(config, self._parameters, self._turns)

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
        p, (B, T) = self._parameters, tokens.shape
        x = f.embedding(p["wte.weight"], tokens)
        if "wpe.weight" in p:
            x = x + f.embedding(p["wpe.weight"], np.arange(T))
        places = np.tile(np.arange(T), (B, 1))
        drop = partial(self._dropped, rng=rng) if rng is not None and self.config.dropout else None
        x = drop(x) if drop else x
        for parameters in self._blocks:
            x = blocks.block(x, parameters, self.config, self._turns, places, drop)
        return blocks.norm(x, p, "ln_f", self.config)

    def logp(self, tokens: Any, temperature: float = 1.0, hidden: Tensor | None = None,
             entropy: bool = False, where: Any = None) -> Any:
        """log p(token t | tokens before t), (B, T), natural log; column 0, which nothing precedes, is 0.

        tokens       (B, T)     as in hidden
        temperature  > 0        divides the logits
        hidden       (B, T, C)  model.hidden(tokens), if it is there already
        entropy      True adds (B, T): the entropy of the distribution that token t was drawn from
        where        (B, T)     1 for tokens that are asked for; others are 0 then, and cost no logits.  None: all
        """
        tokens = self._checked(tokens)
        hidden = self.hidden(tokens) if hidden is None else self._fitting(hidden, tokens)
        if where is not None:
            where = check.mask(where=where)
            check.shape(tokens.shape, "that of tokens", where=where)
            if where[:, 1:].any():
                return self._logp_where(hidden, tokens, where[:, 1:], temperature, entropy)
        following = np.zeros_like(tokens)           # the last column has no next token: any id will do
        following[:, :-1] = tokens[:, 1:]
        results = f.chosen_logp(self._logits(hidden), following, temperature, entropy=entropy)
        if where is not None:                       # nothing is asked for
            results = tuple(result * 0 for result in results) if entropy else results * 0
        return tuple(map(delayed, results)) if entropy else delayed(results)

    def _logp_where(self, hidden: Tensor, tokens: Array, where: Array, temperature: float, entropy: bool) -> Any:
        """As logp, from the rows of hidden that stand before the tokens asked for, where (B, T - 1)."""
        row, before = where.nonzero()
        asked = f.embedding(hidden.reshape(-1, self.config.width), row * tokens.shape[1] + before)
        results = f.chosen_logp(self._logits(asked), tokens[row, before + 1], temperature, entropy=entropy)
        place = np.full(tokens.shape, len(row))     # of a 0 behind the results
        place[row, before + 1] = np.arange(len(row))

        def put(result: Tensor) -> Tensor:
            padded = f.concatenate([result, np.zeros(1, result.dtype)])
            return f.embedding(padded.reshape(-1, 1), place).reshape(*tokens.shape)

        return tuple(map(put, results)) if entropy else put(results)

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
        (_, K, D, _), blocks = self.config.sizes, -(-room // STEP)
        cache = Cache([np.empty((B, K, blocks, D, STEP), self.dtype) for _ in self._blocks],
                      [np.empty((B, K, blocks * STEP, D), self.dtype) for _ in self._blocks], np.zeros(B, np.int64),
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
        c, weights = self.config, [part.data if part.__class__ is Tensor else part for part in self._body]
        return weights, cache.output, cache.keys, cache.values, cache.lengths, c.heads, c.exact_gelu, c.eps

    # ---------------------------------------------------------------- parts

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
