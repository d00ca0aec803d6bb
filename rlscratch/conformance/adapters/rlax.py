"""rlax, written for 0.1.9: the clipped surrogate of one sequence of steps."""
from typing import Any

from rlscratch.conformance.adapters import Adapted


def adapted() -> list[Adapted]:
    """clipped_surrogate_pg_loss on the chosen tokens of the batch, one after the other."""
    import jax.numpy as jnp
    import rlax

    def surrogate(logp: Any, logp_old: Any, advantage: Any, mask: Any) -> Any:
        on = jnp.nonzero(mask.ravel())[0]
        spread = (advantage.reshape(-1, 1) * jnp.ones_like(mask)).ravel()[on]
        return rlax.clipped_surrogate_pg_loss(jnp.exp(logp - logp_old).ravel()[on], spread, .2)

    return [Adapted("clipped_surrogate_pg_loss, epsilon .2", surrogate, "ppo_clip",
                    "ppo, range 0.8 to 1.2, aggregate token mean", "jax")]
