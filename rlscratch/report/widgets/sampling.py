"""The sampling bench: one row of the documents through every filter, and draws from what is left.

The order is that of rlscratch.generate: repetition penalty, temperature, top-k, top-p, min-p.  The n-th draw uses the
n-th uniform of the seed, whatever the settings, so two settings are compared on the same luck.
"""
from collections.abc import Mapping
from typing import Any

import numpy as np

from rlscratch import kernels
from rlscratch.documents.d003_distributions_to_policies import distributions as d003
from rlscratch.formulas.distribution import entropy, min_p, repetition_penalty, softmax, top_k, top_p
from rlscratch.report.widgets import parts
from rlscratch.report.widgets.parts import shown, tag

# Words and logits; where the document prints probabilities, their logarithms.
ROWS = {
    "The weather is ___": (("sunny", "rainy", "cloudy", "nice", "terrible", "purple", "quantum"),
                           np.log(d003.WEATHER)),
    "The movie was ___": (("good", "great", "bad", "okay", "amazing", "terrible", "boring", "purple"),
                          np.log(d003.MOVIE)),
    "The capital of France is ___": (("Paris", "Lyon", "Nice", "fourth", "fifth"), np.log(d003.FRANCE)),
    "2 + 2 equals ___": (("4", "four", "2", "5"), np.log(d003.SUM_OF_2_AND_2)),
    "Hello ___": (("world", "there", "!", "everyone"), np.array(d003.LOGITS)),
}
MOST = max(len(words) for words, _ in ROWS.values())
BEGIN = {"prompt": next(iter(ROWS)), "temperature": 1.0, "top_k": MOST, "top_p": 1.0, "min_p": 0.0, "penalty": 1.0,
         "before": 0, "seed": 1, "draws": 0}
ROW, LEFT, LONG = 30, 74, 216       # height of a word's line, where bars begin, how long a probability of 1 is


def data() -> dict[str, Any]:
    """Words and logits by prompt."""
    return {prompt: {"words": words, "logits": logits.tolist()} for prompt, (words, logits) in ROWS.items()}


def numbers(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings make of the row: probs before and after, how often each word was drawn, entropy in nats."""
    logits = ROWS[settings["prompt"]][1]
    previous = np.arange(min(settings["before"], len(logits)))
    penalised = repetition_penalty(logits, previous, settings["penalty"])
    row = softmax(penalised, settings["temperature"])
    for filter_, setting in ((top_k, "top_k"), (top_p, "top_p"), (min_p, "min_p")):
        row = filter_(row, settings[setting])
    luck = np.array([parts.uniform(settings["seed"], n) for n in range(settings["draws"])])
    drawn = kernels.draw(np.tile(row, (len(luck), 1)), luck) if len(luck) else np.zeros(0, int)
    with np.errstate(divide="ignore"):
        nats = entropy(np.log(row))
    return {"base": softmax(logits), "probs": row, "counts": np.bincount(drawn, minlength=len(row)), "entropy": nats}


def said(found: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """The same in a sentence."""
    left, words = np.count_nonzero(found["probs"]), ROWS[settings["prompt"]][0]
    best = int(found["probs"].argmax())
    return (f"{left} of {len(words)} words can be drawn; {words[best]} has {shown(found['probs'][best])}. "
            f"Entropy {shown(found['entropy'])} nats. Draws: {settings['draws']}.")


def fragment() -> str:
    """The figure."""
    found, words = numbers(BEGIN), ROWS[BEGIN["prompt"]][0]
    picture = []
    for i in range(MOST):
        off, y = i >= len(words), ROW * i
        p = 0.0 if off else found["probs"][i]
        picture += [
            tag("text", "" if off else words[i], k=f"word{i}", x=0, y=y + 15, off=off),
            tag("rect", k=f"base{i}", class_="w-ghost", x=LEFT, y=y + 3, width=LONG * p, height=15, off=off),
            tag("rect", k=f"bar{i}", class_="w-a", x=LEFT, y=y + 3, width=LONG * p, height=15, off=off),
            tag("rect", k=f"drawn{i}", class_="w-b", x=LEFT, y=y + 20, width=0, height=6, off=off),
            tag("text", shown(p, 3), k=f"p{i}", x=LEFT + LONG * p + 5, y=y + 15, off=off)]
    controls = (
        parts.choice("prompt", "Text so far", dict(zip(ROWS, ROWS, strict=True))),
        parts.slider("temperature", "Temperature", 0.1, 3, 0.05, BEGIN["temperature"]),
        parts.slider("top_k", "Top-k: words kept", 1, MOST, 1, BEGIN["top_k"], 0),
        parts.slider("top_p", "Top-p: probability to hold", 0.05, 1, 0.05, BEGIN["top_p"]),
        parts.slider("min_p", "Min-p: share of the largest", 0, 1, 0.05, BEGIN["min_p"]),
        parts.slider("penalty", "Repetition penalty", 0.5, 3, 0.1, BEGIN["penalty"], 1),
        parts.slider("before", "Words said before, likeliest first", 0, 4, 1, BEGIN["before"], 0),
        parts.slider("draws", "Draws", 0, 500, 1, BEGIN["draws"], 0),
        parts.number("seed", "Seed", 0, 9999, BEGIN["seed"]),
        parts.buttons(parts.step("Draw one", "draws", 1), parts.play("Keep drawing", "draws", 5, 60),
                      parts.button("No draws", draws=0),
                      parts.button("All filters off", **{k: v for k, v in BEGIN.items() if k not in (
                          "prompt", "draws", "seed")})))
    return parts.figure(
        "sampling", "Sampling bench.",
        "Wide bars: the probability of each word with these settings; outlines: before them. Thin bars: how often "
        "each word was drawn. Lower the temperature, then cut with top-k or top-p, then draw.",
        picture, ROW * MOST, controls, said(found, BEGIN), data())
