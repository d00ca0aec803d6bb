"""Pre-training: the transformer learns to predict the next token of a text, from nothing.

    until the steps or the minutes are over:
        tokens  <- windows that begin anywhere in the training part           (B, T)
        logp    <- model.logp(tokens)                                         (B, T)
        logp.backward(cross_entropy_grad(logp, weight))      the loss is outside the graph
        gradients longer than 1 are cut to length 1
        AdamW, its step size warmed up and then falling along a cosine

The weight is 1 / (B (T - 1)) for every token but the first of a window, which nothing precedes.  What
the loss says is in formulas.cross_entropy, what is measured in held_out, where the text comes from in
text.  At each save the held-out part is measured and the model continues the training part; nothing
is chosen by what the measure says, the last model is the result.

The schedule runs over --steps, or over the clock with --minutes, measuring and saving included.  With
--steps a run that was stopped and resumed ends in the same bits as one that was not.  With --minutes
it resumes too, its clock going on from the last save, but the speed of the machine has a say in the
step sizes, so no two runs are equal.

Little text, many passes.  What keeps the model from learning the text by heart is that it is small, and
dropout; `train_bits_per_byte` against `held_out_bits_per_byte` shows how far that goes.  (Dropout is for
learning to predict alone: where a policy's ratios are formed, no training loop here has any.)  The
reference in 1279 steps of the default model, 18 passes, in bits per byte:

    dropout     learned from     held out      gzip 1.95, the 5-gram 1.90, xz 1.41
      .1            1.03           1.75
      .2            1.27           1.73

So the 5-gram is passed, after some 500 of the steps; xz is not, as it copies word for word what articles
have in common (text), and 128 tokens of context hold no other article.

Source: document 002, the phase of pre-training; Radford et al. 2019 (the model and its loss);
        Loshchilov and Hutter 2019 (AdamW).
Leaves out: mixed precision, accumulating gradients over small batches.
"""
import argparse
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from rlscratch import check
from rlscratch.blocks import STYLES, memory_to_train
from rlscratch.check import Array
from rlscratch.formulas.cross_entropy import cross_entropy_grad, cross_entropy_loss
from rlscratch.formulas.weights import token_mean
from rlscratch.optim import AdamW, clip_grad_norm, warmup_cosine
from rlscratch.train import distributed
from rlscratch.train import run as runs
from rlscratch.train.model_run import ModelRun
from rlscratch.train.pretraining import bits_per_byte, text
from rlscratch.train.pretraining.corpus import Corpus
from rlscratch.transformer import Config, Transformer

STEPS = 2000
SHORTEST = 8                    # tokens of a context
LONGEST_GRADIENT = 1.0
FLOOR = 0.05                    # of the peak step size, at the end of the cosine
SIZES = ("batch", "context", "width", "layers")
BETAS = (0.9, 0.95)             # the second, below Adam's .999: thousands of steps, not millions


def learn(model: Transformer, optimizer: AdamW, ids: Array, rng: np.random.Generator, *, batch: int,
          lr: Callable[[], float]) -> Iterator[float]:
    """Step by step for as long as the caller asks; yields the loss in nats per token, before the step.

    ids    (N,)  tokens to learn from, at least as many as the model's context
    rng          gives windows and, if the model has any, dropout; with the optimizer's state and the
                 parameters it is all that the next step depends on
    batch        windows of a step
    lr     ()    the step size of this step
    """
    length = model.config.context
    mask = np.ones((check.integer(1, batch=batch), length))
    mask[:, 0] = 0
    weight = token_mean(mask)
    while True:
        tokens = text.windows(ids, length, batch, rng)
        own = distributed.streams(rng, batch)
        optimizer.zero_grad()
        with distributed.gradient(model.parameters(), batch, batch) as (mine, losses):
            for part in mine:
                logp = model.logp(tokens[part], hidden=model.hidden(tokens[part], own[part.start]))
                losses.append(cross_entropy_loss(logp.data, weight[part]))
                logp.backward(cross_entropy_grad(logp.data, weight[part]))
        clip_grad_norm(optimizer, LONGEST_GRADIENT)
        optimizer.lr = lr()
        optimizer.step()
        yield sum(losses)


# ---------------------------------------------------------------- the command

@dataclass
class Schedule:
    """How far a run has come, and the step size there: by steps, or by the clock.

    steps, minutes  how long it shall take; one of them is None
    lr              the peak of the step size
    warmup          the share of the run after which it is reached
    step, before    steps made, and seconds that earlier parts of the run took
    """

    steps: int | None
    minutes: float | None
    lr: float
    warmup: float
    step: int = 0
    before: float = 0.0
    begin: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """That the run has taken."""
        return self.before + time.perf_counter() - self.begin

    @property
    def share(self) -> float:
        """Of the run that is over; 1 or more when it has ended."""
        return self.seconds / (60 * self.minutes) if self.steps is None else self.step / self.steps

    def rate(self) -> float:
        """The step size now."""
        total, done = (10**6, int(1e6 * self.share)) if self.steps is None else (self.steps, self.step)
        return warmup_cosine(done, self.lr, FLOOR * self.lr, round(self.warmup * total), total)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `rlscratch pretrain` (rlscratch.cli.pretrain)."""
    group = parser.add_argument_group("the text")
    group.add_argument("--text", nargs="+", metavar="FILE",
                       help=f"files in UTF-8 (default: the language reference that ships with Python){runs.UNSAID}")
    group.add_argument("--tokenizer", choices=text.TOKENIZERS, default="bpe",
                       help="merges learned from the training part, none, or one token a character")
    group.add_argument("--vocab-size", type=int, default=1024, metavar="V", help="tokens of the bpe tokenizer")
    group = parser.add_argument_group("the model")
    group.add_argument("--context", type=int, default=128, metavar="T", help="tokens that it sees at once")
    group.add_argument("--width", type=int, default=192, metavar="C", help="channels of a token")
    group.add_argument("--layers", type=int, default=4, metavar="L", help="blocks")
    group.add_argument("--heads", type=int, default=6, metavar="H", help="attention heads; must divide the width")
    group.add_argument("--style", choices=tuple(STYLES), default="gpt2",
                       help="whose blocks: Llama's and Qwen2's have RMS norm, rotary positions and gated networks")
    group.add_argument("--kv-heads", type=int, metavar="K",
                       help=f"heads of keys and values, must divide the heads (default: as many){runs.UNSAID}")
    group.add_argument("--dropout", type=float, default=0.2, metavar="P", help="share of entries dropped, in [0, 1)")
    group = parser.add_argument_group("the learner")
    group.add_argument("--minutes", type=float, metavar="M",
                       help=f"train for so long instead of for --steps{runs.UNSAID}")
    group.add_argument("--batch", type=int, default=16, metavar="B", help="windows of a step")
    group.add_argument("--lr", type=float, default=2e-3, help="largest step size")
    group.add_argument("--warmup", type=float, default=0.05, metavar="SHARE",
                       help="share of the run in which the step size rises to it, in [0, 1]")
    group.add_argument("--weight-decay", type=float, default=0.1, metavar="D", help="AdamW's, on matrices")
    runs.add_arguments(parser, "pretrain", save_every=200, explain_steps=f"{STEPS}", shared=True)


CHOICES = ("tokenizer", "vocab_size", "context", "width", "layers", "heads", "style", "kv_heads", "dropout", "minutes",
           "batch", "lr", "warmup", "weight_decay", "seed")


def train(args: argparse.Namespace, show: bool = True) -> ModelRun:
    """The command: train, save, print; the run, for what is to be drawn of it.

    show  whether the final figures are printed

    Raises ValueError or TypeError for bad arguments, before anything is written.
    """
    schedule = _schedule(args)
    check.integer(0, seed=args.seed)
    check.integer(1, batch=args.batch)
    check.integer(256, vocab_size=args.vocab_size)
    check.non_negative(weight_decay=args.weight_decay)
    check.integer(SHORTEST, context=args.context)
    content = text.reference() if args.text is None else text.read(args.text)
    corpus = Corpus.of(content, args.tokenizer, args.vocab_size)
    if corpus.start < SHORTEST:
        check.fail("the number of tokens to learn from", corpus.start,
                   f"at least {SHORTEST}; give a longer text, or several")
    if corpus.start < args.context:
        check.fail("context", args.context, f"at most {corpus.start}, the tokens that there are to learn from; "
                   "lower it, or give a longer text, or several")
    config = Config(corpus.tokenizer.vocab_size, args.context, args.width, args.layers, args.heads,
                    dropout=args.dropout, kv_heads=args.kv_heads, **STYLES[args.style])
    check.memory(memory_to_train(config, args.batch, args.context),
                 sizes=tuple(getattr(args, name) for name in SIZES), called=" x ".join(SIZES))
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    folder = ModelRun(args, "pretrain", {"text": f"{len(content.encode())} bytes, SHA-256 {digest}...",
                                         "steps": schedule.steps, **{key: getattr(args, key) for key in CHOICES}},
                      command="pretrain")
    if distributed.leads():
        corpus.tokenizer.save(folder.folder)
    _loop(folder, corpus, schedule, config, show)
    return folder


def _loop(folder: ModelRun, corpus: Corpus, schedule: Schedule, config: Config, show: bool) -> None:
    choices = folder.config
    model, optimizer, rng = _state(folder, schedule, config)
    tokens = choices["batch"] * config.context                          # of a step
    figures = folder.checkpoint.facts["figures"] if folder.checkpoint else {}
    losses, last = [], schedule.seconds
    with folder.progress(*_extent(schedule)) as bar:
        steps = learn(model, optimizer, corpus.learned, rng, batch=choices["batch"], lr=schedule.rate)
        while schedule.share < 1:
            losses.append(_step(steps, schedule))
            schedule.step += 1
            speed = len(losses) * tokens / (schedule.seconds - last)
            bar.set_postfix_str(f"step {schedule.step}, loss {losses[-1]:.3f}, {speed:,.0f} tokens/s", refresh=False)
            bar.update(min(_extent(schedule)[:2]) - bar.n)
            if schedule.step % folder.save_every == 0 or schedule.share >= 1:
                figures = {"train_bits_per_byte": corpus.in_training(sum(losses) / len(losses)),
                           "held_out_bits_per_byte": corpus.held_out(model), "tokens_per_second": round(speed)}
                sample = corpus.sample(model, np.random.default_rng([choices["seed"], schedule.step]))
                folder.tell(bar, f"held out {figures['held_out_bits_per_byte']:.3f} bits per byte: {sample!r}")
                facts = {"seconds": schedule.seconds, "figures": figures}
                folder.save_model(schedule.step, model, optimizer, rng, facts, seconds=round(schedule.seconds, 3),
                                  **figures, sample=sample)
                losses, last = [], schedule.seconds
    others = bits_per_byte.rivals(corpus.train, corpus.held)
    folder.finish({"steps": schedule.step, "tokens": schedule.step * tokens, "parameters": model.num_params, **figures,
                   **{f"{name}_bits_per_byte": bits for name, bits in others.items()},
                   "seconds": round(schedule.seconds, 3)}, show)


def _step(steps: Iterator[float], schedule: Schedule) -> float:
    """The loss of the next step.  One that fails is no bad argument: the numbers grew beyond all bounds."""
    try:
        return next(steps)
    except ValueError as grown:
        raise RuntimeError(f"step {schedule.step}: {grown}; a smaller lr keeps the numbers small") from grown


def _state(folder: ModelRun, schedule: Schedule, config: Config) -> tuple[Transformer, AdamW, np.random.Generator]:
    """New, or what the resumed run saved; the schedule goes on from there."""
    saved, choices = folder.checkpoint, folder.config
    rng = saved.rng if saved else np.random.default_rng(choices["seed"])
    model = saved.model if saved else Transformer(config, rng)
    optimizer = AdamW(model.parameters(), choices["lr"], BETAS, weight_decay=choices["weight_decay"],
                      decay=lambda _, parameter: parameter.ndim > 1)
    if saved:
        optimizer.load_state_dict(saved.optimizer)
        schedule.step, schedule.before = saved.step, saved.facts["seconds"]
    schedule.begin = time.perf_counter()
    return model, optimizer, rng


def _extent(schedule: Schedule) -> tuple[int, int, str]:
    """Of the progress bar: the whole, how much of it is done, its unit."""
    if schedule.steps is None:
        return round(60 * schedule.minutes), int(schedule.seconds), "s"
    return schedule.steps, schedule.step, "step"


def _schedule(args: argparse.Namespace) -> Schedule:
    """By --steps or by --minutes, checked under the names of the options."""
    if args.minutes is not None and args.steps is not None:
        check.fail("minutes", args.minutes, "either minutes or steps, not both")
    if args.minutes is not None:
        if distributed.sharing():
            check.fail("minutes", args.minutes, "steps with processes, whose clocks differ")
        check.positive(minutes=args.minutes)
    steps = STEPS if args.steps is None else check.integer(1, steps=args.steps)
    check.positive(lr=args.lr)
    check.between(0, 1, warmup=args.warmup)
    return Schedule(None if args.minutes is not None else steps, args.minutes, args.lr, args.warmup)
