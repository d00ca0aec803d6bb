"""A policy is a language model with a chat template.  This file is the one path from prompts to new weights.

    answer       prompts -> template -> generate, at the policy's temperature, with no filter         a Batch
    Experience   answers with all that their epochs need: log-probabilities, advantages, weights      arrays (B, T)
    forward      rows -> log pi of each token at the same temperature, values, entropies              Tensors (B, T)
    update       forward; seeds from a formula; backward; clip the norm; one step of the optimiser

The entry [b, t] of every Tensor and array (B, T) belongs to token t of row b.  Tokens that the policy did not choose
have 0 in every array, and in the seeds that enter `backward`: they do not count.

The policy is trained on the distribution that it is sampled from (train.on_policy).  So there is no top-k, top-p,
penalty or dropout here: each would change one of the two distributions alone.  Temperature 0 is for evaluation.

An answer that reaches max_new_tokens stops without an end token, and `cut` is True.  It counts as terminated: nothing
is added for what it could have earned later.
"""
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import numpy as np

from rlscratch import check, generate
from rlscratch.autograd import Tensor, backward, no_grad
from rlscratch.check import Array
from rlscratch.generate.rollout import streams
from rlscratch.optim import AdamW, clip_grad_norm
from rlscratch.tasks import tools
from rlscratch.tasks.task import Task, numbers
from rlscratch.train import distributed
from rlscratch.train.language.chat import Chat, Rows, of_each, texts
from rlscratch.transformer import Transformer, delayed

AT_ONCE = 512           # rows of one pass; more are cut into parts, for the sake of memory
LARGE = 8               # widths of a vocabulary whose logits cost more than to leave out those that nobody asks for
OUTPUTS = ("logp", "entropy", "value", "score")


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts and the policy's answers to them, as texts and as rows.

    prompts, texts  B texts each
    rows            tokens, mask, lengths
    logp            (B, T)  of each chosen token when it was chosen, natural log; 0 elsewhere
    cut             (B,)    True where an answer reached its maximum length and has no end
    """

    prompts: list[str]
    texts: list[str]
    rows: Rows
    logp: Array
    cut: Array

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def tokens(self) -> int:
        """How many tokens were chosen."""
        return int(self.rows.mask.sum())

    def at(self, index: Array) -> "Batch":
        """The answers at these places, (N,), no wider than they need to be."""
        rows = self.rows.at(index)
        return Batch([self.prompts[i] for i in index], [self.texts[i] for i in index], rows,
                     self.logp[index, :rows.tokens.shape[1]], self.cut[index])

    def followed_by(self, other: "Batch", pad: int) -> "Batch":
        """Both as one, padded to the same width."""
        width = max(self.rows.tokens.shape[1], other.rows.tokens.shape[1])

        def both(*pair: Array, filler: int = 0) -> Array:
            return np.concatenate([np.pad(x, ((0, 0), (0, width - x.shape[1])), constant_values=filler) for x in pair])

        rows = Rows(both(self.rows.tokens, other.rows.tokens, filler=pad), both(self.rows.mask, other.rows.mask),
                    np.concatenate([self.rows.lengths, other.rows.lengths]))
        return Batch(self.prompts + other.prompts, self.texts + other.texts, rows, both(self.logp, other.logp),
                     np.concatenate([self.cut, other.cut]))


@dataclass(frozen=True, eq=False)
class Policy:
    """A model, its template, and how it is sampled.

    max_new_tokens  of an answer, its end included; at most the context
    temperature     > 0   of sampling, and so of the distribution that is trained
    tool            what answers may ask: the text of a call -> the text of its result (tasks.tools); None: nothing

    Raises ValueError for a tokenizer that does not fit the model, for a model with dropout, and for temperature 0.
    """

    model: Transformer
    chat: Chat
    max_new_tokens: int
    temperature: float = 1.0
    tool: Callable[[str], str] | None = None

    def __post_init__(self) -> None:
        check.temperature(temperature=self.temperature)
        check.integer(1, self.model.config.context, max_new_tokens=self.max_new_tokens)
        if self.chat.tokenizer.vocab_size != self.model.config.vocab_size:
            check.fail("the vocabulary of the tokenizer", self.chat.tokenizer.vocab_size,
                       f"{self.model.config.vocab_size} tokens, as the model has")
        if self.tool is not None and self.chat.tool is None:
            check.fail("the special tokens of the tokenizer", sorted(self.chat.tokenizer.special_tokens),
                       f"{tools.TOOL} and {tools.RESULT}, too, for a policy that has a tool")
        if self.model.config.dropout:
            check.fail("dropout", self.model.config.dropout,
                       "0: with dropout a model is trained on other distributions than it answers from")

    def answer(self, prompts: Sequence[str], rng: np.random.Generator, temperature: float | None = None) -> Batch:
        """One answer to each prompt.

        rng          each prompt's stream is spawned from it by its place, whatever AT_ONCE is
        temperature  another one than the policy's; 0 for the likeliest tokens

        Raises ValueError or TypeError for no prompts, and for one that is no text, holds a mark or is too long.
        """
        prompts = texts("prompts", prompts)
        written = of_each(self.chat.prompt, prompts)
        asked = [written[prompt] for prompt in prompts]
        own = streams(check.generator(rng=rng), len(asked))
        with distributed.share(distributed.parts(len(asked), AT_ONCE)) as (mine, found):
            for part in mine:
                rollout = self._generate(
                    self.model, asked[part], max_new_tokens=self.max_new_tokens, rng=own[part],
                    temperature=self.temperature if temperature is None else temperature, stop=[self.chat.end],
                    pad=self.chat.pad)
                rows, said = Rows(rollout.tokens, rollout.mask, rollout.lengths), [*map(tuple, rollout.replies)]
                read = {ids: self.chat.text(list(ids)) for ids in {*said}}      # equal answers are read once
                found.append(Batch(prompts[part], [read[ids] for ids in said], rows, rollout.logp, ~rollout.finished))
        return reduce(lambda some, more: some.followed_by(more, self.chat.pad), found)

    @property
    def _generate(self) -> Callable[..., generate.Rollout]:
        if self.tool is None:
            return generate.generate
        return partial(generate.generate_with_tool, **self.chat.asking(self.tool))

    def logp(self, rows: Rows) -> Array:
        """log pi of the chosen tokens, (B, T), 0 elsewhere; no graph."""
        return outputs(self.model, rows, self.temperature)["logp"]

    def with_model(self, model: Transformer) -> "Policy":
        """The same with another model."""
        return replace(self, model=model)


Score = Callable[[Batch], Array]          # rewards (B,) of a batch: a task's own function, or a reward model


def by_task(task: Task) -> Score:
    """The task's own reward function; where work is shared, one process judges an answer."""
    def score(batch: Batch) -> Array:
        with distributed.share(distributed.parts(len(batch), AT_ONCE)) as (mine, found):
            found.extend(task.rewards(batch.prompts[part], batch.texts[part]) for part in mine)
        return np.concatenate(found)

    return score


def scored(score: Score, batch: Batch) -> Array:
    """The rewards, (B,), float64: as many as there are answers, and finite.

    Raises RewardError, with the prompt and the answer, where one is not.
    """
    return numbers(score(batch), batch.prompts, batch.texts)


def surprise(batch: Batch) -> float:
    """The mean of -log pi over the chosen tokens, nats: what is expected of it is the mean entropy where they stood."""
    return -(batch.logp.sum(dtype=float) / batch.tokens).item()


def copied(model: Transformer, rng: np.random.Generator | None = None) -> Transformer:
    """A model of its own with the same parameters, of the same dtype.  A frozen reference is such a copy.

    rng  the copy has a value head; one that the model lacks begins with numbers drawn from it.  None: no new head
    """
    config = model.config if rng is None else replace(model.config, value_head=True)
    copy = Transformer(config, rng, model.dtype)
    for name, parameter in model.parameters().items():
        copy.parameters()[name].data[...] = parameter.data
    return copy


# ---------------------------------------------------------------- experience

@dataclass(frozen=True, eq=False)
class Experience:
    """Answers with all that their epochs need, each array (B, T) and 0 where the policy chose nothing.

    rows          tokens, mask, lengths
    logp_old      log pi_old of each token, natural log
    logp_ref      log pi_ref
    advantage     A_t, in units of reward; (B, 1) where all tokens of an answer share it
    weight        how much each token counts (formulas.weights); made for a minibatch as a whole
    copies        (B,)  how many equal answers a row stands for
    values_old    V_t when the answers were collected, in units of reward; None without a critic
    value_target  what the critic aims at, A_t + V_t before whitening
    """

    rows: Rows
    logp_old: Array
    logp_ref: Array
    advantage: Array
    weight: Array
    copies: Array
    values_old: Array | None = None
    value_target: Array | None = None

    @classmethod
    def of(cls, batch: Batch, logp_ref: Array, advantage: Array, **critic: Array) -> "Experience":
        """Of answers as they were drawn, each token with weight 1 until a minibatch gives it another."""
        return cls(batch.rows, batch.logp, logp_ref, advantage, batch.rows.mask, np.ones(len(batch)), **critic)

    def __len__(self) -> int:
        return len(self.copies)

    @property
    def tokens(self) -> int:
        """How many tokens were chosen."""
        return int(self.rows.mask.sum())

    def at(self, index: Array) -> "Experience":
        """Of the answers at these places, (N,), no wider than they need to be."""
        rows = self.rows.at(index)
        width = rows.tokens.shape[1]
        arrays = {name: array[index, :width] for name, array in vars(self).items()
                  if name not in ("rows", "copies") and array is not None}
        return replace(self, rows=rows, copies=self.copies[index], **arrays)

    def merged(self) -> "Experience":
        """Equal answers with one advantage as one row with the weight of all: every loss is linear in the weights."""
        first, place = _distinct(self.rows.tokens, self.advantage)
        weight = np.zeros((len(first), self.weight.shape[1]))
        np.add.at(weight, place, self.weight)
        some = self.at(first)
        return replace(some, weight=weight[:, :some.rows.tokens.shape[1]], copies=np.bincount(place, self.copies))


def _distinct(*columns: Array) -> tuple[Array, Array]:
    """Of equal rows the first: the places of M rows that differ, (M,), and which of them each row equals, (N,)."""
    _, first, place = np.unique(np.column_stack(columns), axis=0, return_index=True, return_inverse=True)
    return first, place.ravel()


# ---------------------------------------------------------------- passes

def forward(model: Transformer, tokens: Array, mask: Array, temperature: float = 1.0,
            wanted: Sequence[str] = ("logp",)) -> dict[str, Tensor]:
    """What the model says of tokens (B, T), on the graph: Tensors (B, T) by name, each entry beside its token.

    mask    (B, T)  where it is 0, nobody asks: of a large vocabulary no logits are made there
    wanted  among OUTPUTS: logp, of the token, natural log; entropy, in nats, of the distribution that it was drawn
            from; value, what the head says before the token is chosen; score, what it says once it stands there
    """
    for name in wanted:
        check.one_of(OUTPUTS, wanted=name)
    hidden, said = model.hidden(tokens), {}
    where = mask if model.config.vocab_size >= LARGE * model.config.width else None
    if "entropy" in wanted:
        said["logp"], said["entropy"] = model.logp(tokens, temperature, hidden, entropy=True, where=where)
    elif "logp" in wanted:
        said["logp"] = model.logp(tokens, temperature, hidden, where=where)
    if "value" in wanted or "score" in wanted:
        said["score"] = model.value(hidden)
    if "value" in wanted:
        said["value"] = delayed(said["score"])
    return {name: said[name] for name in wanted}


def outputs(model: Transformer, rows: Rows, temperature: float = 1.0, wanted: Sequence[str] = ("logp",),
            ) -> dict[str, Array]:
    """The same without a graph: arrays (B, T) by name, 0 where the mask is.  Equal rows are read once."""
    first, place = _distinct(rows.tokens, rows.mask)
    with no_grad(), distributed.share(distributed.parts(len(first), AT_ONCE)) as (mine, found):
        for part in mine:
            said = forward(model, rows.tokens[first[part]], rows.mask[first[part]], temperature, wanted)
            found.append({name: tensor.data for name, tensor in said.items()})
    mask = rows.mask.astype(model.dtype)
    return {name: array[place] * mask for name, array in _joined(found).items()}


def _joined(found: list[dict[str, Array]]) -> dict[str, Array]:
    """What was said of parts, as that of the whole."""
    return {name: np.concatenate([some[name] for some in found]) for name in found[0]}


# (which rows, what `outputs` would say of them) -> dL/doutput of each output, (B, T), by name
Objective = Callable[[slice, dict[str, Array]], Mapping[str, Array]]


def backpropagate(model: Transformer, rows: Rows, objective: Objective, *, temperature: float = 1.0,
                  wanted: Sequence[str] = ("logp",), at_once: int | None = None) -> dict[str, Array]:
    """Add the gradient of an objective to the parameters' gradients; what the model said, as `outputs` has it.

    objective  the seeds; what they are where the mask is 0 does not count
    wanted     as in forward
    at_once    rows of one pass, None: AT_ONCE.  Larger batches are cut and their gradients added, so an objective
               brings weights that were made for the whole; a mean over prompts, whose rows belong together, takes
               all at once

    Raises ValueError for rows longer than the context, RuntimeError where numbers have grown beyond all bounds.
    """
    check.integer(1, model.config.context, width=rows.tokens.shape[1],
                  called="the number of tokens of the longest row")
    count, whole = len(rows.tokens), at_once is not None and at_once >= len(rows.tokens)
    at_once = check.integer(1, at_once=AT_ONCE if at_once is None else at_once)
    mask = rows.mask.astype(model.dtype)
    if whole and distributed.sharing():                     # no process has all rows: they are read once for the seeds
        with _within_bounds():
            all_seeds = objective(slice(0, count), outputs(model, rows, temperature, wanted))
        objective = lambda part, _: {name: seed[part] for name, seed in all_seeds.items()}          # noqa: E731
    with distributed.gradient(model.parameters(), count, at_once) as (mine, found):
        for part in mine:
            tensors = forward(model, rows.tokens[part], rows.mask[part], temperature, wanted)
            found.append({name: tensor.data * mask[part] for name, tensor in tensors.items()})
            with _within_bounds():
                seeds = objective(part, found[-1])
                backward([(tensors[name], mask[part] * seed) for name, seed in seeds.items()])
    return _joined(found)


def descend(optimizer: AdamW, max_norm: float = 1.0) -> float:
    """One step along the parameters' gradients, cut to max_norm > 0 together; the norm before.

    Raises RuntimeError, and changes no parameter, where the norm has grown beyond all bounds.
    """
    with _within_bounds():
        norm = clip_grad_norm(optimizer, max_norm)
    optimizer.step()
    return norm


def update(model: Transformer, optimizer: AdamW, rows: Rows, objective: Objective, *, max_norm: float = 1.0,
           **options: Any) -> tuple[float, dict[str, Array]]:
    """A whole step: the norm of the gradient, and what the model said before it.

    options  temperature, wanted, at_once; arguments and errors as in backpropagate and descend
    """
    optimizer.zero_grad()
    said = backpropagate(model, rows, objective, **options)
    return descend(optimizer, max_norm), said


@contextmanager
def _within_bounds() -> Iterator[None]:
    try:
        yield
    except ValueError as grown:
        raise RuntimeError(f"{grown}; a smaller lr keeps the numbers small") from grown
