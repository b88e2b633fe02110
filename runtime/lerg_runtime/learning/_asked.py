"""What callers ask of fine-tuning and of its memory plan, checked and completed by the bundle's defaults."""

from __future__ import annotations

from lerg_runtime._arguments import batch_size, candidates, whole
from lerg_runtime.bundle._manifest import Manifest
from lerg_runtime.learning._optimiser import OptimiserOptions
from lerg_runtime.learning._training import FineTuneOptions
from lerg_runtime.planning._phases import MemoryPlan
from lerg_runtime.serving._core import OpenBundle

__all__ = ["finetune_options", "memory_plan"]


def finetune_options(
    manifest: Manifest,
    *,
    epochs: int,
    optimiser: str,
    learning_rate: float | None,
    momentum: float | None,
    batch: int | None,
    replay: int | None,
    negative_candidates: int | None,
    seed: int,
    force: bool,
) -> FineTuneOptions:
    """See `Recommender.finetune`. Raises InputError for a value that cannot be."""
    return FineTuneOptions(
        epochs=whole(epochs, "epochs", least=1),
        batch=batch_size(manifest, batch),
        optimiser=OptimiserOptions.choose(
            optimiser, learning_rate=learning_rate, momentum=momentum, defaults=manifest.finetune
        ),
        replay=None if replay is None else whole(replay, "replay", least=0),
        negative_candidates=candidates(manifest, negative_candidates),
        seed=whole(seed, "seed", least=0),
        force=force,
    )


def memory_plan(
    bundle: OpenBundle, *, batch: int | None, optimiser: str, new_interactions: int, threads: int
) -> MemoryPlan:
    """See `Recommender.plan`. Raises InputError for a value that cannot be."""
    manifest = bundle.manifest
    options = OptimiserOptions.choose(optimiser, learning_rate=1.0, momentum=None, defaults=manifest.finetune)
    return bundle.plan(
        bundle.workload(
            optimiser=options.name,
            batch=batch_size(manifest, batch),
            lanes=whole(threads, "threads", least=1),
            new_interactions=new_interactions,
        )
    )
