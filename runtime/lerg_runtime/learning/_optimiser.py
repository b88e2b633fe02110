"""Adam and SGD over the two parameters of the program `finetune`: the latent codebook and its step.

The step of LSQ (arXiv 1902.08153) is some thousand times smaller than a weight. Its gradient is scaled so
that plain descent moves it by the same share as the weights; Adam undoes that scale, so with Adam the step
has a learning rate of its own. It must stay positive, and is kept from falling below a tiny share of where
it began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lerg_runtime.bundle._manifest import FineTuneDefaults
from lerg_runtime.engine._engine import native
from lerg_runtime.errors import InputError

__all__ = ["OPTIMISERS", "OptimiserOptions", "Updater"]

OPTIMISERS = ("adam", "sgd")
_LEAST_STEP_SHARE = 1e-3

_Allocate = Callable[[tuple[int, ...], str], np.ndarray]


@dataclass(frozen=True, slots=True)
class OptimiserOptions:
    """What updates the parameters.

    Attributes:
        name: `adam` or `sgd`.
        learning_rate: of the codebook; of the step too with SGD.
        step_learning_rate: of the step with Adam; None scales `learning_rate` by step / mean |codebook|.
        beta1, beta2, eps: of Adam.
        momentum: of SGD; 0 keeps no velocity.
    """

    name: str
    learning_rate: float
    step_learning_rate: float | None
    beta1: float
    beta2: float
    eps: float
    momentum: float

    @classmethod
    def choose(
        cls, name: str, *, learning_rate: float | None, momentum: float | None, defaults: FineTuneDefaults
    ) -> OptimiserOptions:
        """The caller's choice, completed by the bundle's defaults.

        Raises:
            InputError: no such optimiser, or a value that cannot be.
        """
        if name not in OPTIMISERS:
            raise InputError(f"optimiser is {name!r}; it must be {' or '.join(map(repr, OPTIMISERS))}")
        kept = defaults.momentum if momentum is None else momentum
        if not 0.0 <= kept < 1.0:
            raise InputError(f"momentum is {kept}; it must be at least 0 and below 1")
        own: float | None = defaults.learning_rate
        if name == "sgd":
            # Steps of one direction add up to 1 / (1 - momentum) of one.
            plain = defaults.sgd_learning_rate
            own = None if plain is None else plain * (1.0 - kept)
        rate = own if learning_rate is None else learning_rate
        if rate is None:
            raise InputError(f"this bundle has no default learning rate for {name!r}; give learning_rate")
        if not 0.0 < rate < float("inf"):
            raise InputError(f"learning_rate is {rate}; it must be above 0 and finite")
        # A learning rate of the caller's scales the step's as it scales the codebook's.
        step_rate = defaults.step_learning_rate
        if step_rate is not None:
            step_rate *= rate / defaults.learning_rate
        return cls(name, float(rate), step_rate, defaults.beta1, defaults.beta2, defaults.eps, float(kept))


class Updater:
    """The optimiser's state, and one update at a time.

    Args:
        options: which optimiser.
        codebook: float32 [c, d], updated in place.
        step: float32 [1] or [c], updated in place.
        allocate: memory of the state.
    """

    def __init__(
        self, options: OptimiserOptions, codebook: np.ndarray, step: np.ndarray, *, allocate: _Allocate
    ) -> None:
        self._options = options
        self._parameters = (codebook, step)
        self._least_step = step * np.float32(_LEAST_STEP_SHARE)
        self._rates = (options.learning_rate, _step_rate(options, codebook, step))
        moments = 2 if options.name == "adam" else int(options.momentum > 0)
        self._moments = [
            [allocate(array.shape, "float32") for _ in range(moments)] for array in self._parameters
        ]
        for states in self._moments:
            for state in states:
                state[...] = 0.0
        self._updates = 0

    def update(
        self, codebook_gradient: np.ndarray, step_gradient: np.ndarray, *, rate_share: float = 1.0
    ) -> None:
        """Move the parameters by one step against the gradients, float32 of the same shapes.

        Args:
            rate_share: of the learning rates, what this step uses.
        """
        self._updates += 1
        options = self._options
        gradients = (codebook_gradient, step_gradient)
        for array, gradient, states, full_rate in zip(
            self._parameters, gradients, self._moments, self._rates, strict=True
        ):
            rate = full_rate * rate_share
            if options.name == "adam":
                native().adam_step(
                    array,
                    gradient,
                    *states,
                    step=self._updates,
                    learning_rate=rate,
                    beta1=options.beta1,
                    beta2=options.beta2,
                    eps=options.eps,
                )
            else:
                velocity = states[0] if states else None
                native().sgd_step(array, gradient, velocity, learning_rate=rate, momentum=options.momentum)
        step = self._parameters[1]
        np.maximum(step, self._least_step, out=step)


def _step_rate(options: OptimiserOptions, codebook: np.ndarray, step: np.ndarray) -> float:
    if options.name == "sgd":
        return options.learning_rate
    if options.step_learning_rate is not None:
        return options.step_learning_rate
    size = float(np.mean([np.abs(row).mean() for row in codebook]))
    return options.learning_rate * float(step.mean()) / max(size, float(np.finfo(np.float32).tiny))
