"""Optimisers, clipping and a schedule: from gradients to new parameters.

g is a parameter's gradient at step t = 1, 2, ..., eta the learning rate, lambda the weight decay.

SGD with momentum mu (PyTorch's form: the learning rate is outside the average):

    b <- mu b + g + lambda p        p <- p - eta b                                          (1)

AdamW: a mean m of the gradients and v of their squares, both starting at 0 and hence too small at first by
1 - beta^t, which is divided out; weights decay apart from it, in proportion to themselves:

    m <- beta1 m + (1 - beta1) g              v <- beta2 v + (1 - beta2) g^2                (2)
    p <- (1 - eta lambda) p - eta  m / (1 - beta1^t)  /  ( sqrt(v / (1 - beta2^t)) + eps )  (3)

At t = 1 the step is eta g / (|g| + eps): eta, whatever the size of the gradient.

Clipping by the global norm, over all parameters together, keeps the direction:

    n = sqrt( sum of g^2 over every entry of every gradient ),    g <- g min(1, c / n)      (4)

Warm-up and cosine: from 0 up to the peak in w steps, down to the floor by step T, and there it stays:

    eta_t = peak t / w                                                    t < w
          = floor + (peak - floor) (1 + cos(pi (t - w) / (T - w))) / 2    w <= t < T        (5)
          = floor                                                         t >= T

How parameters are kept.  An optimiser moves the data of its parameters into one flat array (one for each group of
equal decay and dtype), of which every Tensor.data becomes a view, and does the same with gradients and averages:
a step is then one call of a kernel and not one for each parameter.  Assigning another array to a parameter's .data
or .grad is allowed: the next step takes it in.  The next backward writes where this one did, so copy a gradient to
keep it.  A parameter whose .grad is None is left alone, with its averages and its own count of steps, as in PyTorch.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101 (3), whose decay PyTorch multiplies by eta, as here; Kingma & Ba
        2015, arXiv:1412.6980 (2); Pascanu et al. 2013, arXiv:1211.5063 (4); Loshchilov & Hutter 2017,
        arXiv:1608.03983 (5).
Leaves out: AMSGrad, Nesterov's momentum, dampening, learning rates for each group.
"""
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from rlscratch import check, kernels
from rlscratch.autograd import Tensor
from rlscratch.check import Array

Parameters = Mapping[str, Tensor] | Iterable[Tensor]
LINE = 64                                             # bytes; every parameter starts at a multiple of it


def named(parameters: Parameters) -> dict[str, Tensor]:
    """Parameters by name; those without names are called "0", "1", ...

    Raises TypeError for anything that is not a Tensor with requires_grad, ValueError for none or one given twice.
    """
    given = parameters if isinstance(parameters, Mapping) else {str(i): t for i, t in enumerate(parameters)}
    if not given:
        check.fail("parameters", parameters, "at least one Tensor")
    seen: dict[int, str] = {}
    for name, t in given.items():
        if not isinstance(t, Tensor) or not t.requires_grad:
            check.fail(f"parameters[{name!r}]", t, "a Tensor with requires_grad", TypeError)
        if id(t) in seen:
            check.fail(f"parameters[{name!r}]", f"the same Tensor as {seen[id(t)]!r}", "every parameter once")
        seen[id(t)] = name
    return dict(given)


class _Group:
    """Parameters of one dtype and one decay in one flat array, and their gradients and averages in others."""

    def __init__(self, parameters: dict[str, Tensor], decay: float, averages: tuple[str, ...]) -> None:
        self.parameters, self.decay = parameters, decay
        self.dtype = next(iter(parameters.values())).dtype
        unit = LINE // self.dtype.itemsize
        self.spans, start = {}, 0
        for name, t in parameters.items():
            self.spans[name] = slice(start, start + t.size)
            start += -(-t.size // unit) * unit
        self.flat = {what: self._zeros(start) for what in ("data", "grad", *averages)}
        self.steps = dict.fromkeys(parameters, 0)
        self.views = {what: {name: flat[self.spans[name]].reshape(t.shape) for name, t in parameters.items()}
                      for what, flat in self.flat.items()}
        for name, t in parameters.items():
            t._home = self.views["grad"][name]
        self.take_in()

    def _zeros(self, size: int) -> Array:
        raw = np.zeros(size * self.dtype.itemsize + LINE, np.uint8)
        start = -raw.ctypes.data % LINE
        return raw[start: start + size * self.dtype.itemsize].view(self.dtype)

    def take_in(self) -> None:
        """Data and gradients that are not in the flat arrays are copied there."""
        for name, t in self.parameters.items():
            for what in ("data", "grad"):
                held, view = getattr(t, what), self.views[what][name]
                if held is not None and held is not view:
                    check.shape(view.shape, "as the optimiser first saw it", held=held, called=f"{what} of {name}")
                    np.copyto(view, held)
                    setattr(t, what, view)

    def runs(self) -> list[tuple[slice, int]]:
        """Stretches of the flat arrays that one call can update, each with the number of the step that it makes."""
        found: list[tuple[slice, int]] = []
        joined = False                                # whether the parameter before this one ends the last stretch
        for name, t in self.parameters.items():
            span, step = self.spans[name], self.steps[name] + 1
            if t.grad is None:
                joined = False
            elif joined and found[-1][1] == step:
                found[-1] = slice(found[-1][0].start, span.stop), step
            else:
                found.append((span, step))
                joined = True
        return found


class _Optimizer:
    """What SGD and AdamW share: groups, gradients, state."""

    averages: tuple[str, ...] = ()
    settings: tuple[str, ...] = ("lr", "weight_decay")

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float,
                 decay: Callable[[str, Tensor], bool] | None) -> None:
        self.parameters = named(parameters)
        self.lr, self.weight_decay = check.non_negative(lr=lr, weight_decay=weight_decay)
        self.decays = {name: decay is None or bool(decay(name, t)) for name, t in self.parameters.items()}
        kinds: dict[tuple, dict[str, Tensor]] = {}
        for name, t in self.parameters.items():
            kinds.setdefault((t.dtype, self.decays[name]), {})[name] = t
        self.groups = [_Group(group, float(decays), self.averages) for (_, decays), group in kinds.items()]

    def step(self) -> None:
        """One update of every parameter that has a gradient.  The learning rate is self.lr, which may be assigned.

        Raises ValueError for a learning rate that is not a finite number >= 0 and for data of another shape.
        """
        check.non_negative(lr=self.lr, weight_decay=self.weight_decay)
        for group in self.groups:
            group.take_in()
        for group in self.groups:
            for run, step in group.runs():
                self._update(group, run, step)
            for name, t in group.parameters.items():
                group.steps[name] += t.grad is not None

    def _update(self, group: _Group, run: slice, step: int) -> None:
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients: the next backward writes them anew."""
        for t in self.parameters.values():
            t.grad = None

    def gradients(self) -> list[Array]:
        """All gradients, as few flat arrays; to change them in place is to change the parameters' gradients."""
        for group in self.groups:
            group.take_in()
        return [group.flat["grad"][run] for group in self.groups for run, _ in group.runs()]

    def state_dict(self) -> dict[str, Any]:
        """Everything that a continued run needs, copied: the settings, and by name the steps and each average."""
        state: dict[str, Any] = {name: getattr(self, name) for name in self.settings}
        state["steps"] = {name: n for group in self.groups for name, n in group.steps.items()}
        for what in self.averages:
            state[what] = {name: view.copy() for group in self.groups for name, view in group.views[what].items()}
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from state_dict().  Raises ValueError, before anything changes, for a state of other parameters."""
        wanted = {*self.settings, "steps", *self.averages}
        if set(state) != wanted:
            check.fail("the keys of state", sorted(state), str(sorted(wanted)))
        for what in ("steps", *self.averages):
            if set(state[what]) != set(self.parameters):
                check.fail(f"the names in state[{what!r}]", sorted(state[what]), str(sorted(self.parameters)))
        for what in self.averages:
            for name, t in self.parameters.items():
                held = np.asarray(state[what][name])
                check.shape(t.shape, f"like {name}", held=held, called=f"state[{what!r}][{name!r}]")
        for name in self.settings:
            setattr(self, name, tuple(state[name]) if isinstance(state[name], list) else state[name])
        for group in self.groups:
            for name in group.parameters:
                group.steps[name] = check.integer(0, steps=state["steps"][name])
                for what in self.averages:
                    np.copyto(group.views[what][name], state[what][name])


class SGD(_Optimizer):
    """Equation (1).

    parameters    dict[str, Tensor], or Tensors
    lr            eta, >= 0
    momentum      mu, in [0, 1); 0 needs no memory
    weight_decay  lambda, >= 0, added to the gradient (L2), for the parameters that decay(name, tensor) chooses;
                  None chooses all

    >>> p = Tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([p], lr=0.5)
    >>> (p * p).backward()
    >>> optimizer.step(); p.data.tolist()                          # the slope is 2
    [0.0]
    """

    settings = ("lr", "momentum", "weight_decay")

    def __init__(self, parameters: Parameters, lr: float, momentum: float = 0.0, weight_decay: float = 0.0,
                 decay: Callable[[str, Tensor], bool] | None = None) -> None:
        self.momentum = check.below_one(momentum=momentum)
        self.averages = ("b",) if momentum else ()
        super().__init__(parameters, lr, weight_decay, decay)

    def _update(self, group: _Group, run: slice, step: int) -> None:
        p, g = group.flat["data"][run], group.flat["grad"][run]
        if self.weight_decay * group.decay:
            g = g + self.weight_decay * p
        if self.momentum:
            b = group.flat["b"][run]
            b *= self.momentum
            b += g
            g = b
        p -= self.lr * g


class AdamW(_Optimizer):
    """Equations (2) and (3), with PyTorch's meaning and defaults.

    parameters    dict[str, Tensor], or Tensors
    lr            eta, >= 0
    betas         beta1, beta2, in [0, 1)
    eps           > 0, in units of the gradient, outside the root
    weight_decay  lambda, >= 0, for the parameters that decay(name, tensor) chooses; None chooses all, as PyTorch
                  does.  GPT-2's training decays matrices and no vectors: lambda name, t: t.ndim > 1

    The first step is eta long, whatever the gradient:

    >>> p = Tensor([1.0, 1.0], requires_grad=True)
    >>> optimizer = AdamW({"p": p}, lr=0.25, weight_decay=0.0)
    >>> (p * p).backward([1.0, -1000.0])
    >>> optimizer.step(); p.data.round(6).tolist()
    [0.75, 1.25]
    """

    averages = ("m", "v")
    settings = ("lr", "betas", "eps", "weight_decay")

    def __init__(self, parameters: Parameters, lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
                 weight_decay: float = 0.01, decay: Callable[[str, Tensor], bool] | None = None) -> None:
        beta1, beta2 = betas
        self.betas = check.below_one(beta1=beta1, beta2=beta2)
        self.eps = check.positive(eps=eps)
        super().__init__(parameters, lr, weight_decay, decay)

    def _update(self, group: _Group, run: slice, step: int) -> None:
        beta1, beta2 = self.betas
        kernels.adamw(*(group.flat[what][run] for what in ("data", "grad", "m", "v")), lr=self.lr, beta1=beta1,
                      beta2=beta2, eps=self.eps, weight_decay=self.weight_decay * group.decay, step=step)


def clip_grad_norm(parameters: Parameters | _Optimizer, max_norm: float, eps: float = 0.0) -> float:
    """Equation (4), in place; returns n, the norm before.

    parameters  dict[str, Tensor], or Tensors, or an optimiser, whose gradients lie in few arrays; parameters
                without a gradient count as 0
    max_norm    c, > 0
    eps         >= 0, added to n in the quotient; torch.nn.utils.clip_grad_norm_ has 1e-6

    Raises ValueError, and changes nothing, where the norm is not finite.

    >>> p = Tensor([0.0, 0.0], requires_grad=True)
    >>> p.grad = np.array([3.0, 4.0])
    >>> clip_grad_norm([p], 1.0), p.grad.round(6).tolist()
    (5.0, [0.6, 0.8])
    """
    max_norm, eps = check.positive(max_norm=max_norm), check.non_negative(eps=eps)
    if isinstance(parameters, _Optimizer):
        gradients = parameters.gradients()
    else:
        gradients = [t.grad for t in named(parameters).values() if t.grad is not None]
    norm = check.non_negative(norm=_norm(gradients), called="the norm of the gradients")
    if norm + eps > max_norm:
        for gradient in gradients:
            gradient *= max_norm / (norm + eps)
    return norm


def _norm(gradients: list[Array]) -> float:
    """n of (4).  Where the squares leave the range of floats, n = c sqrt( sum of (g / c)^2 ), c the largest |g|."""
    with contextlib.suppress(OverflowError), np.errstate(over="ignore"):      # of a square, or of their sum
        if np.finfo(float).tiny < (total := math.fsum(map(kernels.squared_norm, gradients))) < math.inf:
            return math.sqrt(total)
    largest = max((np.abs(g).max().item() for g in gradients), default=0.0)
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(math.fsum(kernels.squared_norm(gradient / largest) for gradient in gradients))


def warmup_cosine(step: int, peak: float, floor: float, warmup: int, total: int) -> float:
    """Equation (5): the learning rate of a step, counted from 0.

    peak, floor    >= 0     the highest learning rate and the last
    warmup, total  0 <= w <= T, T >= 1, in steps

    >>> [round(warmup_cosine(t, 1.0, 0.2, 2, 6), 6) for t in range(8)]
    [0.0, 0.5, 1.0, 0.882843, 0.6, 0.317157, 0.2, 0.2]
    """
    step = check.integer(0, step=step)
    peak, floor = check.non_negative(peak=peak, floor=floor)
    total = check.integer(1, total=total)
    warmup = check.integer(0, total, warmup=warmup)
    if step >= total:
        return floor
    if step < warmup:
        return peak * step / warmup
    return floor + (peak - floor) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2
