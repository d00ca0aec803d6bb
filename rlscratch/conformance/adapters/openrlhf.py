"""OpenRLHF, written for 0.11.2: models/loss.py, with a stand-in for deepspeed."""
import importlib
from importlib import util
from pathlib import Path
from typing import Any

from rlscratch.conformance.adapters import Adapted, standing_in


def adapted() -> list[Adapted]:
    """PolicyLoss, ValueLoss, PairWiseLoss, LogExpLoss, DPOLoss."""
    home = Path(util.find_spec("openrlhf").submodule_search_locations[0])
    with standing_in({"openrlhf": str(home), "openrlhf.models": str(home / "models")}, deepspeed={}):
        losses = importlib.import_module("openrlhf.models.loss")

    def policy(**choices: Any) -> Any:
        module = losses.PolicyLoss(**choices)

        def loss(log_probs: Any, old_log_probs: Any, advantages: Any, action_mask: Any) -> Any:
            return module(log_probs, old_log_probs, advantages.reshape(-1, 1) + 0 * log_probs, action_mask)
        return loss

    def critic(**choices: Any) -> Any:
        module = losses.ValueLoss(**choices)

        def loss(values: Any, old_values: Any, returns: Any, action_mask: Any) -> Any:
            return module(values, old_values, returns, action_mask)
        return loss

    def dpo(**choices: Any) -> Any:
        module = losses.DPOLoss(.1, **choices)

        def loss(policy_chosen_logps: Any, policy_rejected_logps: Any, reference_chosen_logps: Any,
                 reference_rejected_logps: Any) -> Any:
            return module(policy_chosen_logps, policy_rejected_logps, reference_chosen_logps, reference_rejected_logps)
        return loss

    def scores(module: Any) -> Any:
        return lambda chosen_reward, reject_reward: module(chosen_reward, reject_reward)

    return [
        Adapted("PolicyLoss()", policy(), "ppo_clip", "ppo, range 0.8 to 1.2, aggregate token mean"),
        Adapted("PolicyLoss(token_level_loss=False)", policy(token_level_loss=False), "grpo",
                "ppo, range 0.8 to 1.2, aggregate sequence mean"),
        Adapted("PolicyLoss(dual_clip=3)", policy(dual_clip=3.0), "dual_clip",
                "dual clip, range 0.8 to 1.2, 3, aggregate token mean"),
        Adapted("PolicyLoss(policy_loss_type='gspo')", policy(policy_loss_type="gspo"), "gspo",
                "gspo, range 0.8 to 1.2, aggregate sequence mean"),
        Adapted("ValueLoss()", critic(), "value_loss", "half the square, aggregate token mean"),
        Adapted("ValueLoss(.5)", critic(clip_eps=.5), "clipped_value_loss",
                "half the square, form larger, reach 0.5, aggregate token mean"),
        Adapted("DPOLoss(.1)", dpo(), "dpo", "DPO, beta 0.1"),
        Adapted("DPOLoss(.1, label_smoothing=.1)", dpo(label_smoothing=.1), "cdpo", "cDPO, flip 0.1, beta 0.1"),
        Adapted("DPOLoss(.1, ipo=True)", dpo(ipo=True), "ipo", "IPO, beta 0.1"),
        Adapted("PairWiseLoss()", scores(losses.PairWiseLoss()), "reward_model", "Bradley-Terry"),
        Adapted("LogExpLoss()", scores(losses.LogExpLoss()), "reward_model", "Bradley-Terry"),
    ]
