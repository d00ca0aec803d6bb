"""Laws: what must hold of a function whatever its conventions, each with the sentence that is said where it does not.

A law takes a candidate and yields breaches.  It needs no formula to compare with: it asks the function about two
batches of which the answers must be related.  The sentences name the smallest thing that shows it, a token or a row.
A note, which begins "note:", is no breach: a convention that users should know of.

For what is trained with a split batch, one law looks like a breach of most libraries.  A token mean that is made
anew for each half cannot add up to the whole.  It is a note where the function has no argument for the normaliser.
"""
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rlscratch.check import Array
from rlscratch.conformance.candidates import STEP, Candidate

Law = Callable[[Candidate, dict[str, Any]], Iterator[str]]
FILLERS = {"logp": -1.25, "logp_old": -2.5, "logp_ref": -.75, "values": -1.25, "values_old": -2.5, "returns": .75}


def close(a: Any, b: Any, candidate: Candidate) -> bool:
    """Equal as sharply as the candidate's gradient allows; inf and NaN are equal to nothing."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    scale = max(1e-3, np.abs(b).max(initial=0)) if np.isfinite(b).all() else 1
    finite = np.isfinite(a).all() and np.isfinite(b).all()
    return bool(finite and np.abs(a - b).max(initial=0) <= 10 * candidate.tolerance * scale)


def by_token(batch: dict[str, Any], change: Callable[[Array], Array]) -> dict[str, Any]:
    """The batch with every (B, T) array changed."""
    shape = batch["mask"].shape
    return {name: change(x) if np.shape(x) == shape else x for name, x in batch.items()}


def by_row(batch: dict[str, Any], rows: Any) -> dict[str, Any]:
    """The batch with some of its rows, or all in another order."""
    return {name: x[rows] if isinstance(x, np.ndarray) else x for name, x in batch.items()}


# ---------------------------------------------------------------- losses over tokens

def mask_hides(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """What stands under the mask changes nothing, not even as -inf."""
    value, gradient = candidate(batch)
    out = batch["mask"] == 0
    if np.abs(gradient[out]).max(initial=0) > candidate.tolerance:
        row, token = np.argwhere(out & (np.abs(gradient) > candidate.tolerance))[0]
        yield f"the mask: token {token} of row {row} is masked and has the gradient {gradient[row, token]:.6g}"
    junk = by_token(batch, lambda x: x)
    for name in FILLERS.keys() & batch.keys():
        junk[name] = np.where(out, FILLERS[name], batch[name])
    other, slope = candidate(junk)
    if not (close(other, value, candidate) and close(slope[~out], gradient[~out], candidate)):
        yield f"the mask: other numbers under it change the loss from {value:.6g} to {other:.6g}"
        return
    for name in (name for name in FILLERS if name in candidate.takes):
        try:
            other, slope = candidate(batch | {name: np.where(out, -np.inf, batch[name])})
        except ValueError:                              # it says so, and nobody trains on
            continue
        if not (close(other, value, candidate) and close(slope[~out], gradient[~out], candidate)):
            yield f"note: -inf under the mask in {name} gives the loss {other:.6g}: 0 times inf; where() would not"
            return


def padding(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Two more columns of padding change nothing."""
    value, gradient = candidate(batch)
    wide = by_token(batch, lambda x: np.pad(x, ((0, 0), (0, 2))))
    other, slope = candidate(wide)
    if not close(slope[:, :-2], gradient, candidate):
        live = np.abs(gradient) > candidate.tolerance
        factor = (slope[:, :-2][live] / gradient[live]).mean() if live.any() else np.nan
        yield (f"padding: two columns of padding multiply the gradient by {factor:.6g}; the width of the batch is in "
               "the normaliser")
    elif not close(other, value, candidate):
        yield f"padding: two columns of padding change the loss from {value:.6g} to {other:.6g}"


def order(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Answers in another order, groups kept together, have the same loss, and gradients in that order."""
    value, gradient = candidate(batch)
    turned = np.arange(len(gradient)).reshape(-1, batch["group"])[::-1, ::-1].ravel()
    other, slope = candidate(by_row(batch, turned))
    if not (close(other, value, candidate) and close(slope, gradient[turned], candidate)):
        yield f"the order: answers in another order change the loss from {value:.6g} to {other:.6g}"


def splitting(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Two halves, their gradients added or averaged, are the whole."""
    _, gradient = candidate(batch)
    half = len(gradient) // 2
    pieces = [candidate(by_row(batch, part))[1] for part in (slice(None, half), slice(half, None))]
    added = np.concatenate(pieces)
    if close(added, gradient, candidate) or close(added / 2, gradient, candidate):
        return
    live = [np.abs(part) > candidate.tolerance for part in (gradient[:half], gradient[half:])]
    factors = [(piece[on] / whole[on]).mean() / 2 if on.any() else np.nan for piece, whole, on in zip(
        pieces, (gradient[:half], gradient[half:]), live, strict=True)]
    said = (f"two halves, averaged, give the first {factors[0]:.4g} and the second {factors[1]:.4g} times its gradient "
            "in the whole")
    yield (f"micro-batches: {said}" if "weight" in candidate.takes else
           f"note: weights are made anew for each micro-batch: {said}")


def on_policy(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """At pi = pi_old = pi_ref the gradient is REINFORCE's: minus the advantage, times a weight that no token owns."""
    if not candidate.takes & {"advantage"}:
        return
    same = batch | {"logp_old": batch["logp"], "logp_ref": batch["logp"], "ratio": batch["mask"] * 0 + 1}
    other = same | {"advantage": batch["advantage"][::-1] * [1, 2, .5, 1, 3, 1]}
    each = []
    for one in (same, other):
        gradient = candidate(one)[1]
        if not np.isfinite(gradient).all():
            yield "on policy: the gradient is not finite at pi = pi_old"
            return
        each.append(-gradient / one["advantage"][:, None])
    on = batch["mask"] == 1
    if (each[0][on] < -candidate.tolerance).all():
        yield "on policy: the gradient has the wrong sign: descending the loss lowers what has a positive advantage"
    elif not close(each[1], each[0], candidate):
        row, token = np.unravel_index(np.argmax(np.abs(each[1] - each[0])), on.shape)
        yield (f"on policy: at pi = pi_old the gradient is no multiple of the advantage at token {token} of row {row}: "
               f"weight {each[0][row, token]:.4g} with one advantage, {each[1][row, token]:.4g} with another")
    elif not (each[0][on] > candidate.tolerance).all():
        row, token = np.argwhere(on & (each[0] <= candidate.tolerance))[0]
        yield f"on policy: token {token} of row {row} has no gradient though nothing is clipped at ratio 1"


def scaling(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Advantages twice as large have gradients twice as large, where no KL is in the loss."""
    if "advantage" not in candidate.takes:
        return
    at_home = batch | {"logp_ref": batch["logp"]}
    none, once, twice = (candidate(at_home | {"advantage": k * batch["advantage"]})[1] for k in (0, 1, 2))
    if not close(twice - none, 2 * (once - none), candidate):
        yield "scale: advantages twice as large do not have gradients twice as large"


def derivative(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Central differences of the loss are the gradient."""
    if candidate.tolerance > 1e-7:
        return                                          # it was differentiated that way
    first = candidate.contract.first
    value, gradient = candidate(batch)
    if np.array_equal(np.float32(value), value):
        return                                          # a float32 loss has no differences so small
    numeric = np.zeros(gradient.shape)
    for place in np.ndindex(gradient.shape):
        ends = []
        for sign in (1, -1):
            moved = batch[first].copy()
            moved[place] += sign * STEP
            ends.append(np.sum(candidate(batch | {first: moved})[0]))
        numeric[place] = (ends[0] - ends[1]) / (2 * STEP)
    wrong = np.abs(numeric - gradient) > 1e-5 * max(1.0, np.abs(gradient).max())
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        said = f"the gradient at {place} is {gradient[place]:.6g}, differences of the loss say {numeric[place]:.6g}"
        yield f"the derivative: {said}" if candidate.given else f"note: a part of the loss is held (detached): {said}"


def empty_rows(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A row without a chosen token leaves everything finite."""
    gone = batch["mask"] * (np.arange(len(batch["mask"])) != 1)[:, None]
    value, gradient = candidate(by_token(batch, lambda x: x * gone))
    if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
        yield f"empty rows: an answer without a chosen token makes the loss {value:.6g}"


def single_precision(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """float32 in gives what float64 gives, to rounding."""
    _, gradient = candidate(batch)
    short = {name: x.astype(np.float32) if isinstance(x, np.ndarray) else x for name, x in batch.items()}
    try:
        _, slope = candidate(short)
    except Exception as error:                          # whatever a stranger's code may raise
        yield f"dtype: float32 fails: {type(error).__name__}: {error}"
        return
    if candidate.tolerance < 1e-7 and np.abs(slope - gradient).max() > 1e-4 * max(1.0, np.abs(gradient).max()):
        yield "dtype: float32 and float64 give different gradients"


# ---------------------------------------------------------------- advantages

def shift(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """The origin of rewards means nothing."""
    value, _ = candidate(batch)
    moved, _ = candidate(batch | {"rewards": batch["rewards"] + 8})
    if not close(moved, value, candidate):
        yield "shift: 8 added to all rewards changes the advantages: nothing is compared with"


def flat_groups(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A group in which all earn the same is finite and teaches nothing, in floats too."""
    for constant in (1.0, .1):
        rewards = batch["rewards"].copy()
        rewards[1] = constant
        value, _ = candidate(batch | {"rewards": rewards})
        if not np.isfinite(value).all():
            yield f"flat groups: equal rewards of {constant:g} have the advantage {value[1].tolist()[0]}"
        elif np.abs(value[1]).max() > 1e-6:
            yield f"flat groups: equal rewards of {constant:g} have the advantages {np.round(value[1], 6).tolist()}"


def groups_apart(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """What one prompt earns says nothing of another."""
    value, _ = candidate(batch)
    rewards = batch["rewards"].copy()
    rewards[0] = [4, -1, 2]
    other, _ = candidate(batch | {"rewards": rewards})
    if not close(other[1:], value[1:], candidate):
        yield "note: rewards of one prompt change the advantages of another: statistics of the batch"


def answers_turn(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Answers of a group in another order have their advantages in that order."""
    value, _ = candidate(batch)
    turned, _ = candidate(batch | {"rewards": batch["rewards"][:, ::-1].copy()})
    if not close(turned[:, ::-1], value, candidate):
        yield "the order: answers of a group in another order have other advantages"


def better_is_more(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A better answer of a group has no smaller advantage."""
    value, _ = candidate(batch)
    ranks = np.argsort(batch["rewards"], axis=1)
    if (np.diff(np.take_along_axis(value, ranks, axis=1), axis=1) < -candidate.tolerance).any():
        yield "the sign: within a group a better answer has a smaller advantage"


# ---------------------------------------------------------------- pairs and estimators

def far_pairs(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A margin of some thousands on the wrong side is finite, and its gradient is too."""
    far = batch | {"chosen": batch["chosen"] - 20000, "rejected": batch["rejected"]}
    value, gradient = candidate(far)
    if not (np.isfinite(value).all() and np.isfinite(gradient).all()):
        yield f"overflow: a chosen answer 20000 nats behind has the loss {value:.6g}: log(1 + exp) written out"


def common_shift(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A constant of the prompt, added to both answers, changes nothing."""
    value, _ = candidate(batch)
    moved, _ = candidate(batch | {"chosen": batch["chosen"] - 1, "rejected": batch["rejected"] - 1})
    if not close(moved, value, candidate):
        yield ("note: the loss does not see differences alone: both answers 1 nat lower change it from "
               f"{value:.6g} to {moved:.6g}")


def twice_the_pairs(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Every pair twice is the same mean."""
    value, _ = candidate(batch)
    doubled, _ = candidate({n: np.concatenate([x, x]) if isinstance(x, np.ndarray) else x for n, x in batch.items()})
    if not close(doubled, value, candidate):
        yield f"note: every pair twice multiplies the loss by {doubled / value:.4g}: pairs are added, not averaged"


def wins_descend(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Where the chosen answer is far behind, the gradient raises it."""
    _, gradient = candidate(batch | {"chosen": batch["chosen"] - 20})
    if not (gradient < 0).all():
        yield "the sign: descending the loss does not raise a chosen answer that is behind"


def estimates_kl(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """The mean over all words of a distribution is KL(policy || reference), or the note says what it is."""
    p, q = np.array([.5, .25, .125, .125]), np.array([.125, .25, .25, .375])
    value, _ = candidate(batch | {"logp": np.log(p), "logp_ref": np.log(q)})
    exact, mean = p @ np.log(p / q), p @ value
    if not close(mean, exact, candidate):
        yield f"note: it is biased as an estimate of KL(policy || reference): {mean:.6f} in the mean, KL is {exact:.6f}"


def zero_at_home(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Equal policies are at distance 0."""
    value, _ = candidate(batch | {"logp_ref": batch["logp"]})
    if not close(value, 0 * value, candidate):
        yield f"zero: equal policies have the distance {np.ravel(value)[0]:.6g}"


# ---------------------------------------------------------------- values

def pulls_home(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A value is pulled to its return, and has no gradient there."""
    fresh = batch | {"values_old": batch["values"]}
    _, gradient = candidate(fresh)
    if (gradient * (batch["values"] - batch["returns"]) < -candidate.tolerance).any():
        yield "the sign: descending the loss moves a value away from its return"
    _, gradient = candidate(batch | {"values": batch["returns"], "values_old": batch["returns"]})
    if np.abs(gradient).max() > 10 * candidate.tolerance:
        row, token = np.unravel_index(np.argmax(np.abs(gradient)), gradient.shape)
        yield f"home: a value that equals its return has the gradient {gradient[row, token]:.6g}, {(row, token)}"


def future_alone(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """A reward changes no advantage of a later token, nor of another row, unless the batch is whitened."""
    value, _ = candidate(batch)
    rewards = batch["rewards"].copy()
    rewards[1, 1] += 4
    moved = np.abs(candidate(batch | {"rewards": rewards})[0] - value) > 1e-9
    if moved[[0, 2]].any():
        yield "note: a reward of one answer changes the advantages of another: statistics of the batch"
    elif moved[1, 2:].any():
        yield "the arrow of time: a reward changes the advantage of a later token"


def masked_values(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Values of tokens that nobody chose are not read, and their own advantages are 0."""
    on = batch["mask"] == 1
    value, _ = candidate(batch)
    other, _ = candidate(batch | {"values": np.where(on, batch["values"], 4)})
    if not close(other[on], value[on], candidate):
        yield "the mask: the value of a token that nobody chose changes the advantages of others"
    if value[~on].any():
        yield f"note: tokens that nobody chose have advantages, such as {value[~on][value[~on] != 0][0]:.6g}"


# ---------------------------------------------------------------- counts

def only_chances(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Between 0 and 1: 0 where none is right, 1 where fewer than k are wrong."""
    for value, n, c, k in zip(candidate(batch)[0], batch["answers"], batch["right"], batch["k"], strict=True):
        certain = 0.0 if c == 0 else 1.0 if n - c < k else None         # what k of them hold is no question of chance
        if not 0 <= value <= 1 or (certain is not None and abs(value - certain) > 1e-9):
            yield f"chances: answers {n}, right {c}, k {k} give {value:.6g}" + (
                ", which is no probability" if certain is None else f" where it is certain: {certain:g}")
            return


def large_counts(candidate: Candidate, batch: dict[str, Any]) -> Iterator[str]:
    """Thousands of answers overflow nothing."""
    large = {name: np.array([count]) for name, count in (("answers", 5000), ("right", 2500), ("k", 1000))}
    try:
        finite = np.isfinite(candidate(large)[0]).all()
    except OverflowError:
        finite = False
    if not finite:
        yield "large counts: 5000 answers, 2500 right, k 1000 overflow: a product of ratios, or integers, would not"


LAWS: dict[str, tuple[Law, ...]] = {
    "policy": (mask_hides, padding, order, splitting, on_policy, scaling, derivative, empty_rows, single_precision),
    "advantage": (shift, flat_groups, groups_apart, answers_turn, better_is_more),
    "pairs": (wins_descend, far_pairs, common_shift, twice_the_pairs, derivative, single_precision),
    "kl": (zero_at_home, estimates_kl, derivative, single_precision),
    "value": (mask_hides, padding, order, splitting, pulls_home, derivative, empty_rows, single_precision),
    "gae": (future_alone, masked_values),
    "counts": (only_chances, large_counts),
}


def breaches(candidate: Candidate, kind: str, batch: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(law, sentence) for every law of a contract that does not hold; a law that fails to run is one of them."""
    for law in LAWS[kind]:
        try:
            with np.errstate(all="ignore"):
                for sentence in law(candidate, batch):
                    yield law.__name__, sentence
        except Exception as error:                      # whatever a stranger's code may raise
            yield law.__name__, f"{law.__name__.replace('_', ' ')}: it fails: {type(error).__name__}: {error}"
