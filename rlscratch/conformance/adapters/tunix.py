"""tunix, written for 0.1.7: advantages, the aggregation of losses and KLs, with stand-ins for flax and absl."""
import importlib
from importlib import util
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from rlscratch.conformance.adapters import Adapted, standing_in

HEADS = [("token-mean", "dapo", "token mean"), ("sequence-mean-token-mean", "grpo", "sequence mean"),
         ("seq-mean-token-sum", "ppo_clip", "sequence sum"),
         ("sequence-mean-token-scale", "ppo_clip", "the batch's width"),
         ("sequence-mean-token-sum-norm", "ppo_clip", "sequence sum")]


def adapted() -> list[Adapted]:
    """Advantages by estimator, PPO's surrogate under each loss_agg_mode, and KLs by method."""
    import jax.numpy as jnp
    home = Path(util.find_spec("tunix").submodule_search_locations[0])
    stub = MagicMock()                                      # decorators and names that these functions do not call
    with standing_in({"tunix": str(home), "tunix.rl": str(home / "rl")}, flax={"nnx": stub, "struct": stub},
                     flax__nnx={}, absl={"logging": stub}, tunix__sft={"utils": stub}):
        common, core = (importlib.import_module(f"tunix.rl.{name}") for name in ("common", "algo_core"))

    def advantage(function: Any) -> Any:
        return lambda rewards: jnp.asarray(function(rewards.ravel(), rewards.shape[1])).reshape(rewards.shape)

    def head(mode: str) -> Any:
        def loss(logp: Any, logp_old: Any, advantage: Any, mask: Any) -> Any:
            ratio, A = jnp.exp(logp - logp_old), advantage.reshape(-1, 1)
            return common.aggregate_loss(-jnp.minimum(ratio * A, jnp.clip(ratio, .8, 1.2) * A), mask, mode)
        return loss

    return [
        Adapted("advantage_estimator grpo", advantage(core.compute_advantages), "group_advantage",
                "z-score, ddof 1, eps 1e-06", "jax"),
        Adapted("advantage_estimator rloo", advantage(core.compute_rloo_advantages), "rloo_advantage",
                "r - mean of the others", "jax"),
        Adapted("advantage_estimator drgrpo", advantage(core.compute_drgrpo_advantages), "group_advantage", "r - mean",
                "jax"),
        *(Adapted(f"loss_agg_mode {mode}", head(mode), like, f"ppo, range 0.8 to 1.2, aggregate {aggregate}", "jax")
          for mode, like, aggregate in HEADS),
        *(Adapted(f"kl method {method}", lambda logp, ref_logp, method=method: common.compute_kl_divergence(
            logp, ref_logp, method), like, like, "jax") for method, like in (("kl", "k1"), ("mse_kl", "k2"),
                                                                             ("low_var_kl", "k3"))),
    ]
