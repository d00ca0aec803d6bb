"""Examine a function: with which convention does it agree, what is it nearest to, which laws does it break?

    print(examine(my_loss, like="grpo"))

Agreement is of gradients: training sees nothing else.  A gradient agrees if it equals a convention's, or a multiple of
it, plus beta times a KL's where the function takes a reference; multiple and beta are found by least squares, and
said.  Where none agrees, the nearest is named with the smallest thing that tells the two apart: factors by row, or the
token at which they differ most.

The verdict is never "pass" alone.  `ok` is true if the function agrees with what it says that it is, `like`, up to a
KL, and breaks no law.
"""
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from rlscratch.check import Array
from rlscratch.conformance import laws
from rlscratch.conformance.candidates import Candidate, NoNumber
from rlscratch.conformance.contracts import CONTRACTS, Convention, conventions
from rlscratch.conformance.names import LIKE, kind_of

NEARLY = 1e-6           # an eps of 1e-8 in a denominator is no other convention, but said


class Match(NamedTuple):
    """A convention, what it was multiplied with, and how far from it the function is (0: it agrees)."""

    tags: dict[str, str]
    factor: float
    distance: float
    convention: Convention
    beta: float = 0.0
    value: float = 0.0


class Verdict(NamedTuple):
    """What is known of a function.

    like      what it said it is
    agrees    every convention that it cannot be told from, the claimed kind first
    nearest   if there is none
    breaches  (law, sentence) of laws that it breaks
    notes     conventions that users should know of
    ok        it is what it said, and breaks no law
    """

    like: str
    agrees: list[Match]
    nearest: Match | None
    breaches: list[tuple[str, str]]
    notes: list[str]
    ok: bool
    detail: str = ""

    def __str__(self) -> str:
        lines = []
        if not self.agrees and self.nearest is None:
            return self.detail
        if self.agrees:
            first, *others = self.agrees
            lines.append(f"{'has the wrong sign: it is minus' if first.factor < 0 else 'agrees with'} {said(first)}")
            lines += [f"    cannot be told from {said(other)}" for other in others[:2]]
            lines += [f"    nor from {len(others) - 2} more"] if len(others) > 2 else []
            if not is_like(first.tags, self.like):
                lines.append(f"    which is not {self.like}: {parting(first.tags, self.like)}")
        else:
            lines.append(f"agrees with no known convention; nearest is {said(self.nearest)}: {self.detail}")
        lines += [f"breaks the law of {sentence}" for _, sentence in self.breaches]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)


def examine(function: Callable[..., Any], like: str, framework: str = "numpy", names: dict[str, str] | None = None,
            fixed: dict[str, Any] | None = None, grad: Callable[..., Any] | None = None) -> Verdict:
    """The verdict on a function.

    function   a loss or an advantage, NumPy, PyTorch or JAX
    like       what it says it is: "grpo", "ppo", "dpo", ...; the keys of names.LIKE and names.SHORT
    framework  "numpy", "torch" or "jax"
    names      its names of arguments -> ours, where names.ALIASES does not know them
    fixed      its arguments -> values to call it with
    grad       of a NumPy function: the function that returns its gradient

    Raises ValueError if the function cannot be called at all.

    >>> from rlscratch.formulas.grpo import group_advantage
    >>> print(examine(group_advantage, like="group_advantage"))
    agrees with z-score, ddof 1, eps 0
    """
    like = kind_of(like, [*inspect.signature(function).parameters, *(names or {}).values()])
    kind, _ = LIKE[like]
    contract = CONTRACTS[kind]
    batch = contract.batch()
    try:
        candidate = Candidate(function, contract, framework, names, fixed, grad)
        answer = _plain_answer(candidate, kind, batch)
    except NoNumber as nothing:
        return Verdict(like, [], None, [], [], False, str(nothing))
    found = sorted(matches(candidate, answer, kind), key=lambda match: match.distance)
    agrees = [match for match in found if match.distance <= 10 * candidate.tolerance]
    agrees = agrees or [match for match in found if match.distance < min(NEARLY, 1.01 * found[0].distance)]
    whole = [match for sign in (1, -1) for match in agrees if abs(match.factor - sign) < 1e-6]
    agrees = sorted(whole or agrees, key=lambda match: (not is_like(match.tags, like), abs(abs(match.factor) - 1)))
    heard = list(laws.breaches(candidate, kind, batch))
    broken = [(law, sentence) for law, sentence in heard if not sentence.startswith("note:")]
    if agrees and agrees[0].beta < 0 and agrees[0].factor < 0:
        broken.append(("sign", "the sign: the surrogate alone has the wrong one, the KL has the right one"))
    elif agrees and agrees[0].beta < 0:
        broken.append(("penalty", f"the penalty: the KL is rewarded, beta is {agrees[0].beta:.6g}"))
    notes = [sentence.removeprefix("note: ") for _, sentence in heard if sentence.startswith("note:")]
    if agrees and contract.returns == "a number" and abs(answer[0] - agrees[0].value) > 1e-5 * max(1, abs(answer[0])):
        notes.append(f"the value of the loss is {answer[0]:.6g} where that convention's is {agrees[0].value:.6g}; the "
                     "gradients are equal")
    meant = {"beta": f"{candidate.beta:.6g}"} if candidate.beta else {}
    if agrees and "beta" in agrees[0].tags and not any(meant.items() <= match.tags.items() for match in agrees):
        broken.append(("beta", f"its own beta: it is {candidate.beta:g}, and counts as {agrees[0].tags['beta']}"))
    nearest = None if agrees else next((match for match in found if _rows(answer[1], match) is not None), found[0])
    detail = "" if agrees else difference(answer[1] if answer[1] is not None else answer[0], nearest, batch)
    ok = bool(agrees) and is_like(agrees[0].tags, like) and abs(agrees[0].factor - 1) < 1e-6 and not broken
    return Verdict(like, agrees, nearest, broken, notes, ok, detail)


def _plain_answer(candidate: Candidate, kind: str, batch: dict[str, Any]) -> tuple[Any, Array | None]:
    """Value and gradient on the batch as it is; NoNumber where the value is NaN."""
    with np.errstate(all="ignore"):
        value, gradient = candidate(batch)
    if kind == "gae":                       # what stands under the mask is a note of the laws
        value = np.where(batch["mask"] == 1, value, 0)
    if np.isnan(value).any():
        said = "is nan" if np.ndim(value) == 0 else f"has nan in {np.isnan(value).sum()} of {np.size(value)} places"
        raise NoNumber(f"the answer {said} on a plain batch; no law is asked before it is a number")
    return value, gradient


def is_like(tags: dict[str, str], like: str, only: str | None = None) -> bool:
    """Whether a convention is what the name asks for, or is in one choice only."""
    _, wanted = LIKE[like]
    return all(tags[key].startswith(value) if key == "advantage" else tags[key] in (value, "the given weight")
               for key, value in wanted.items() if only in (None, key))


def parting(tags: dict[str, str], like: str) -> str:
    """The choices by which a convention is not what the name asks for, the aggregation say.

    >>> parting({"surrogate": "ppo", "aggregate": "token mean"}, "grpo")
    'the aggregate is token mean in the place of sequence mean'
    """
    _, wanted = LIKE[like]
    return ", ".join(f"the {key} is {tags[key]} in the place of {value}" for key, value in wanted.items()
                     if not is_like(tags, like, key))


def said(match: Match) -> str:
    """A convention in words."""
    words = [value if key in ("surrogate", "loss", "advantage", "estimator") else f"{key} {value}"
             for key, value in match.tags.items() if value != "none"]
    words += [f"to {match.distance:.0e}"] if 1e-9 < match.distance < NEARLY else []
    words += [f"times {abs(match.factor):.6g}"] if abs(abs(match.factor) - 1) > 1e-6 else []
    return ", ".join(words)


def matches(candidate: Candidate, answer: tuple[Any, Array | None], kind: str) -> list[Match]:
    """Every convention with its best multiple, and its best beta where a KL may be added."""
    value, gradient = answer
    def compared(value: Any, gradient: Array | None) -> Array:
        """The gradient if there is one, and values where they are one for each token."""
        arrays = [np.ravel(x) for x in (gradient, value if np.ndim(value) else None) if x is not None]
        return np.concatenate(arrays)

    found, target = [], compared(value, gradient)
    finite, length = np.nan_to_num(target), float(np.linalg.norm(target))
    for plain, term in conventions(kind, frozenset(candidate.takes)):
        if term is None:                    # those with a KL follow it
            base = compared(plain.value, plain.gradient)
            factor = _multiple(target, base)
            found.append(Match(plain.tags, factor, _distance(target, factor * base, length), plain,
                               value=np.sum(plain.value) * factor))
        else:
            columns = np.stack([base, np.ravel(term.gradient)], axis=1)
            (factor, beta), *_ = np.linalg.lstsq(columns, finite, rcond=None)
            if abs(factor) > 1e-6 and abs(beta / factor) > 1e-6:
                tags = plain.tags | term.tags | {"beta": f"{beta / factor:.6g}"}
                found.append(Match(tags, factor, _distance(target, columns @ [factor, beta], length), plain,
                                   beta / factor, plain.value * factor + term.value * beta))
    return found


def difference(gradient: Array, nearest: Match, batch: dict[str, Any]) -> str:
    """The smallest thing that tells the function from the nearest convention."""
    gradient = np.asarray(gradient, float)
    if not np.isfinite(gradient).all():
        return f"{int((~np.isfinite(gradient)).sum())} of {gradient.size} entries are not finite"
    convention = nearest.convention
    known = nearest.factor * np.asarray(convention.value if convention.gradient is None else convention.gradient)
    factors = _rows(gradient, nearest)
    if factors is not None:
        lengths = batch["mask"].sum(axis=1)
        each = ", ".join(f"{q:.4g} ({int(n)})" for q, n in zip(factors, lengths, strict=True) if np.isfinite(q))
        return f"the gradient of each row times (its length) {each}"
    place = np.unravel_index(np.argmax(np.abs(gradient - known)), gradient.shape)
    where = (f"token {place[1]} of row {place[0]}" if gradient.ndim == 2 else f"entry {place[0]}" if "k" not in batch
             else "answers {}, right {}, k {}".format(*(batch[name][place] for name in ("answers", "right", "k"))))
    return (f"{nearest.distance:.2g} away; most at {where}, {gradient[place]:.6g} in the place of {known[place]:.6g}")


def _rows(gradient: Array | None, match: Match) -> Array | None:
    """By what each row is multiplied, where the function and the convention differ in nothing else."""
    known = match.convention.gradient
    if gradient is None or np.ndim(known) != 2 or match.beta != 0 or not np.isfinite(gradient).all():
        return None
    live = np.abs(known) > 1e-12
    if live.any(axis=1).sum() < 2 or np.abs(gradient[~live]).max(initial=0) > 1e-8:
        return None
    quotients = [gradient[i][on] / known[i][on] for i, on in enumerate(live)]
    constant = all(np.ptp(q) < 1e-5 for q in quotients if len(q))
    return np.array([q[0] if len(q) else np.nan for q in quotients]) if constant else None


def _multiple(target: Array, base: Array) -> float:
    """The factor of least squares; 1 if it is as good as that."""
    if np.allclose(target, base, rtol=1e-12, atol=0) or not np.isfinite(target).all() or not base.any():
        return 1.0
    return float(target @ base / (base @ base)) or 1.0


def _distance(target: Array, base: Array, length: float) -> float:
    """How far, as a part of the length of the target; inf where that is not finite."""
    if not np.isfinite(length):
        return np.inf
    return float(np.linalg.norm(target - base) / max(length, 1e-12))
