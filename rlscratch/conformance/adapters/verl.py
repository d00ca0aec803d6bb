"""veRL, written for 0.9.1: trainer/ppo/core_algos.py, with stand-ins for ray, tensordict and omegaconf."""
import importlib
from importlib import util
from pathlib import Path
from typing import Any

from rlscratch.conformance.adapters import Adapted, standing_in


class Config(dict):
    """What an ActorConfig is asked for."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


def algorithms() -> Any:
    """The module core_algos."""
    home = Path(util.find_spec("verl").submodule_search_locations[0])
    packages = {"verl": home, "verl.utils": home / "utils", "verl.trainer": home / "trainer",
                "verl.trainer.ppo": home / "trainer" / "ppo", "verl.workers": home / "workers"}
    groupwise = {"as_torch_index": None, "group_mean_std": None}            # of the vectorised advantages alone
    with standing_in({name: str(folder) for name, folder in packages.items()}, tensordict={"TensorDict": dict},
                     omegaconf={"DictConfig": Config}, verl__trainer__config={"AlgoConfig": type("AlgoConfig", (), {})},
                     verl__workers__config={"ActorConfig": Config}):
        import sys
        vars(sys.modules["verl.utils"]).update(groupwise)
        return importlib.import_module("verl.trainer.ppo.core_algos")


def adapted() -> list[Adapted]:
    """Policy losses by name and aggregation, advantages, the value loss, and the estimators of a KL."""
    import numpy as np
    import torch
    core = algorithms()

    def policy(name: str, mode: str = "token-mean", **choices: Any) -> Any:
        config = Config({"clip_ratio": .2, "clip_ratio_c": 3.0, "global_batch_info": {}, "tau_pos": 1.0,
                         "tau_neg": 1.05} | choices)

        def loss(log_probs: Any, old_log_probs: Any, advantages: Any, response_mask: Any) -> Any:
            spread = advantages.reshape(-1, 1) * torch.ones_like(log_probs)
            return core.get_policy_loss_fn(name)(old_log_probs, log_probs, spread, response_mask, mode, config)
        return loss

    def advantage(function: Any, **choices: Any) -> Any:
        def of(rewards: Any) -> Any:
            groups, size = rewards.shape
            each = rewards.reshape(-1, 1).clone()
            index = np.repeat(np.arange(groups), size)
            return function(each, torch.ones_like(each), index, **choices)[0].reshape(groups, size)
        return of

    def value(vpreds: Any, returns: Any, values: Any, response_mask: Any) -> Any:
        return core.compute_value_loss(vpreds, returns, values, response_mask, .5)

    ranges, aggregate = "range 0.8 to 1.2", "aggregate"
    losses = [
        ("vanilla", "token-mean", "dual_clip", f"dual clip, {ranges}, 3, {aggregate} token mean"),
        ("vanilla", "seq-mean-token-sum", "dual_clip", f"dual clip, {ranges}, 3, {aggregate} sequence sum"),
        ("vanilla", "seq-mean-token-mean", "dual_clip", f"dual clip, {ranges}, 3, {aggregate} sequence mean"),
        ("vanilla", "seq-mean-token-sum-norm", "dual_clip", f"dual clip, {ranges}, 3, {aggregate} the batch's width"),
        ("gspo", "seq-mean-token-mean", "gspo", f"gspo, {ranges}, {aggregate} sequence mean"),
        ("cispo", "token-mean", "cispo", f"cispo, {ranges}, {aggregate} token mean"),
        ("sapo", "seq-mean-token-mean", "sapo", f"sapo, range tau 1, 1.05, {aggregate} sequence mean"),
        ("geo_mean", "", "gmpo", f"gmpo, range e^-0.2 to e^0.2, {aggregate} sequence mean"),
    ]
    kls = [("kl", "k1", "k1"), ("k2", "k2", "k2"), ("low_var_kl", "k3", "k3"), ("k3+", "k3", "k3, with k2's gradient"),
           ("abs", "k1", "|d|")]
    return [
        *(Adapted(f"loss_mode {name}, loss_agg_mode {mode or 'any'}", policy(name, mode), like, expected)
          for name, mode, like, expected in losses),
        Adapted("adv_estimator grpo", advantage(core.compute_grpo_outcome_advantage), "group_advantage",
                "z-score, ddof 1, eps 1e-06"),
        Adapted("the same, norm_adv_by_std_in_grpo=False",
                advantage(core.compute_grpo_outcome_advantage, norm_adv_by_std_in_grpo=False), "group_advantage",
                "r - mean"),
        Adapted("adv_estimator rloo", advantage(core.compute_rloo_outcome_advantage), "rloo_advantage",
                "r - mean of the others"),
        Adapted("adv_estimator gae", core.compute_gae_advantage_return, "gae",
                "GAE, gamma 0.9, lam 0.8, tokens between turns gone, whitened ddof 1"),
        Adapted("cliprange_value 0.5", value, "clipped_value_loss",
                f"half the square, form larger, reach 0.5, {aggregate} token mean"),
        *(Adapted(f"kl_penalty {name}", lambda logp, ref_logp, name=name: core.kl_penalty(logp, ref_logp, name), like,
                  expected) for name, like, expected in kls),
    ]
