"""Liger, written for 0.8.5: the losses behind its fused heads, without the heads."""
from typing import Any

from rlscratch.conformance.adapters import Adapted


def adapted() -> list[Adapted]:
    """GRPO by loss_type, and DPO."""
    from liger_kernel.chunked_loss.dpo_loss import LigerFusedLinearDPOFunction
    from liger_kernel.chunked_loss.grpo_loss import LigerFusedLinearGRPOFunction

    def grpo(loss_type: str, **choices: Any) -> Any:
        def loss(logp: Any, logp_old: Any, logp_ref: Any, advantage: Any, mask: Any) -> Any:
            return LigerFusedLinearGRPOFunction.ppo_loss_fn(
                per_token_logps=logp, attention_mask=mask, advantages=advantage, full_attention_mask=mask,
                ref_per_token_logps=logp_ref, old_per_token_logps=logp_old, loss_type=loss_type,
                max_completion_length=8, **{"beta": 0.0} | choices)
        return loss

    def dpo(**choices: Any) -> Any:
        def loss(chosen: Any, rejected: Any, ref_chosen: Any, ref_rejected: Any) -> Any:
            target = chosen.new_zeros(2 * len(chosen), 1)                     # only its length counts: two a pair
            return LigerFusedLinearDPOFunction.preference_loss_fn(
                chosen, rejected, target, ref_chosen, ref_rejected, beta=.1, **choices)
        return loss

    ppo = "ppo, range 0.8 to 1.2, aggregate "
    return [
        Adapted("loss_type grpo, beta .04", grpo("grpo", beta=.04), "grpo",
                f"{ppo}sequence mean, KL in the loss k3, beta 0.04"),
        Adapted("the same, use_bias_correction_kl=True", grpo("grpo", beta=.04, use_bias_correction_kl=True), "grpo",
                f"{ppo}sequence mean, KL in the loss k3 times the ratio, beta 0.04"),
        Adapted("loss_type dapo", grpo("dapo"), "dapo", f"{ppo}token mean"),
        Adapted("loss_type dr_grpo", grpo("dr_grpo"), "dr_grpo", f"{ppo}constant length"),
        Adapted("loss_type cispo, epsilon_high 5", grpo("cispo", epsilon_high=5.0), "cispo",
                "cispo, range 0 to 5, aggregate token mean"),
        Adapted("loss_type luspo, level sequence", grpo("luspo", importance_sampling_level="sequence"), "luspo",
                "gspo, range 0.8 to 1.2, aggregate sequence sum"),
        Adapted("DPO, loss_type sigmoid", dpo(), "dpo", "DPO, beta 0.1"),
        Adapted("DPO, loss_type robust, label_smoothing .1", dpo(loss_type="robust", label_smoothing=.1), "rdpo",
                "rDPO, flip 0.1, beta 0.1"),
    ]
