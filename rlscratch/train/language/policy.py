"""A model that answers texts with texts: rollouts, log-probabilities and updates on one path.

    answer      prompts -> template -> generate, at the policy's temperature, with no filter     a Batch
    outputs     rows -> log pi of each token at the same temperature, values, entropies          (B, T)
    update      the same, with a graph; a seed from a formula; backward, clip, one step of the optimiser

Every array (B, T) belongs to the tokens it stands beside and is 0 where the mask is.  The head says the value of the
state before token t where token t - 1 stands, so `value` is read one place further left, and its seed goes back there.

What is sampled is what is trained: log-probabilities at collection equal those at training, and the ratio
is 1 before the first update, but for the rounding of float32.  `deviation` measures it on every batch, and
a run in which it exceeds MOST_DEVIATION stops, since its ratios would be about another distribution than the one
that answered.  Hence no top-k, top-p or penalty here, and no dropout: they change the distribution on one
side only.  Temperature 0 is for measuring.

An answer that reaches max_new_tokens ends there, without an end token; `cut` says so.  It is terminal all the same:
what it might have earned later is not its due.
"""
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rlscratch import check, generate
from rlscratch.autograd import backward, no_grad
from rlscratch.check import Array
from rlscratch.formulas import ppo
from rlscratch.generate.rollout import streams
from rlscratch.optim import AdamW, clip_grad_norm
from rlscratch.tasks.task import RewardError, Task
from rlscratch.train.language.chat import Chat, Rows, texts
from rlscratch.transformer import Transformer

MOST_DEVIATION = 1e-3
AT_ONCE = 512           # rows of one pass; more are cut into parts, for the sake of memory
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

    Raises ValueError for a tokenizer that does not fit the model, for a model with dropout, and for temperature 0.
    """

    model: Transformer
    chat: Chat
    max_new_tokens: int
    temperature: float = 1.0

    def __post_init__(self) -> None:
        check.temperature(temperature=self.temperature)
        check.integer(1, self.model.config.context, max_new_tokens=self.max_new_tokens)
        if self.chat.tokenizer.vocab_size != self.model.config.vocab_size:
            check.fail("the vocabulary of the tokenizer", self.chat.tokenizer.vocab_size,
                       f"{self.model.config.vocab_size} tokens, as the model has")
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
        written = {prompt: self.chat.prompt(prompt) for prompt in prompts}
        asked, batch = [written[prompt] for prompt in prompts], None
        own = streams(check.generator(rng=rng), len(asked))
        for part in _parts(len(asked), AT_ONCE):
            rollout = generate.generate(
                self.model, asked[part], max_new_tokens=self.max_new_tokens, rng=own[part],
                temperature=self.temperature if temperature is None else temperature, stop=[self.chat.end],
                pad=self.chat.pad)
            answers = Batch(prompts[part], [self.chat.text(ids) for ids in rollout.answers],
                            Rows(rollout.tokens, rollout.mask, rollout.lengths), rollout.logp, ~rollout.finished)
            batch = answers if batch is None else batch.followed_by(answers, self.chat.pad)
        return batch

    def logp(self, rows: Rows) -> Array:
        """log pi of the chosen tokens, (B, T), 0 elsewhere; no graph."""
        return outputs(self.model, rows, self.temperature)["logp"]

    def with_model(self, model: Transformer) -> "Policy":
        """The same with another model."""
        return replace(self, model=model)


Score = Callable[[Batch], Array]          # rewards (B,) of a batch: a task's own function, or a reward model


def by_task(task: Task) -> Score:
    """The task's own reward function."""
    return lambda batch: task.rewards(batch.prompts, batch.texts)


def scored(score: Score, batch: Batch) -> Array:
    """The rewards, (B,), float64: as many as there are answers, and finite.

    Raises RewardError, with the prompt and the answer, where one is not.
    """
    given = score(batch)
    try:
        rewards = np.asarray(given, float)
    except (TypeError, ValueError):
        rewards = None
    if rewards is None or rewards.shape != (len(batch),):
        found = f"are {given!r:.80}" if rewards is None else f"have the shape {rewards.shape}"
        raise RewardError(f"the rewards {found}; expected the shape ({len(batch)},), a number for each answer; the "
                          f"first answer is {batch.texts[0]!r} to the prompt {batch.prompts[0]!r}")
    if not np.isfinite(rewards).all():
        i = int(np.isfinite(rewards).argmin())
        raise RewardError(f"the reward of the answer {batch.texts[i]!r} to the prompt {batch.prompts[i]!r} is "
                          f"{rewards[i]}; expected a finite number")
    return rewards


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


# ---------------------------------------------------------------- passes

def outputs(model: Transformer, rows: Rows, temperature: float = 1.0, wanted: Sequence[str] = ("logp",),
            ) -> dict[str, Array]:
    """What the model says of rows, without a graph: arrays (B, T) by name, 0 where the mask is.

    wanted  among OUTPUTS: logp, of the chosen token, natural log; entropy, in nats, of the distribution that it was
            drawn from; value, what the head says before the token is chosen; score, what it says once it stands there

    Equal rows are read once.
    """
    different, place = np.unique(rows.tokens, axis=0, return_inverse=True)
    found: dict[str, list[Array]] = {name: [] for name in wanted}
    with no_grad():
        for part in _parts(len(different), AT_ONCE):
            for name, (_, array) in _pass(model, different[part], temperature, wanted).items():
                found[name].append(array)
    mask = rows.mask.astype(model.dtype)
    return {name: np.concatenate(arrays)[place.ravel()] * mask for name, arrays in found.items()}


def update(model: Transformer, optimizer: AdamW, rows: Rows,
           objective: Callable[[slice, dict[str, Array]], Mapping[str, Array]], *, temperature: float = 1.0,
           wanted: Sequence[str] = ("logp",), max_norm: float = 1.0, at_once: int | None = None) -> float:
    """One step of the optimiser; returns the norm of the gradient before it was cut to max_norm.

    objective  (which rows, what `outputs` would say of them) -> dL/doutput of each output, (B, T), by name;
               what stands where the mask is 0 does not count
    wanted     as in outputs
    max_norm   > 0, of the gradient of all parameters together
    at_once    rows of one pass, None: AT_ONCE.  Larger batches are cut and their gradients added, so an objective
               brings weights that were made for the whole; a mean over prompts, whose rows belong together, takes
               all at once

    Raises ValueError for rows longer than the context, RuntimeError where numbers have grown beyond all bounds; the
    parameters do not change then.
    """
    check.integer(1, model.config.context, **{"the number of tokens of the longest row": rows.tokens.shape[1]})
    at_once = check.integer(1, at_once=AT_ONCE if at_once is None else at_once)
    mask = rows.mask.astype(model.dtype)
    optimizer.zero_grad()
    try:
        for part in _parts(len(rows.tokens), at_once):
            found = _pass(model, rows.tokens[part], temperature, wanted)
            seeds = objective(part, {name: array * mask[part] for name, (_, array) in found.items()})
            backward([(found[name][0], _seed(name, mask[part] * seed)) for name, seed in seeds.items()])
        norm = clip_grad_norm(optimizer, max_norm)
    except ValueError as grown:
        raise RuntimeError(f"{grown}; a smaller --lr keeps the numbers small") from grown
    optimizer.step()
    return norm


def deviation(logp: Array, logp_old: Array, mask: Array) -> float:
    """The largest |ratio - 1| over the chosen tokens, arrays (B, T).  Raises RuntimeError above MOST_DEVIATION."""
    largest = np.abs(mask * (ppo.ratio(logp, logp_old) - 1)).max().item()
    if largest > MOST_DEVIATION:
        raise RuntimeError(f"before the update a ratio is {largest:.2g} away from 1; expected at most "
                           f"{MOST_DEVIATION}: the answers were not sampled from the distribution that is trained")
    return largest


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))


def _pass(model: Transformer, tokens: Array, temperature: float, wanted: Sequence[str]) -> dict[str, tuple[Any, Array]]:
    """Tensors by name, and their data as they are aligned with the tokens."""
    for name in wanted:
        check.one_of(OUTPUTS, wanted=name)
    hidden, found = model.hidden(tokens), {}
    if "entropy" in wanted:
        found["logp"], found["entropy"] = model.logp(tokens, temperature, hidden, entropy=True)
    elif "logp" in wanted:
        found["logp"] = model.logp(tokens, temperature, hidden)
    if "value" in wanted or "score" in wanted:
        found["value"] = found["score"] = model.value(hidden)
    return {name: (found[name], _to_the_right(found[name].data) if name == "value" else found[name].data)
            for name in wanted}


def _to_the_right(said: Array) -> Array:
    """What the head said at token t - 1, beside token t."""
    moved = np.zeros_like(said)
    moved[:, 1:] = said[:, :-1]
    return moved


def _seed(name: str, seed: Array) -> Array:
    """dL/dtensor from dL/doutput: _to_the_right backwards."""
    if name != "value":
        return seed
    moved = np.zeros_like(seed)
    moved[:, :-1] = seed[:, 1:]
    return moved
