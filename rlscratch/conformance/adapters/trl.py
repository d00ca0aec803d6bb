"""TRL, written for 1.16.0: the losses of its trainers, called unbound with a stand-in for the trainer."""
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from rlscratch.conformance.adapters import Adapted

ONE = SimpleNamespace(num_processes=1, gather=lambda x: x, reduce=lambda x, reduction: x, sync_gradients=False)
CHOICES = {"use_bias_correction_kl": True, "delta": None, "steps_per_generation": 1, "sapo_temperature_pos": 1.0,
           "sapo_temperature_neg": 1.05}


def adapted() -> list[Adapted]:
    """GRPOTrainer by loss_type, KL and level; RLOOTrainer."""
    import torch
    from trl import GRPOTrainer, RLOOTrainer

    def trainer(loss_type: str, beta: float, level: str, epsilon_high: float, **choices: Any) -> SimpleNamespace:
        return SimpleNamespace(
            loss_type=loss_type, beta=beta, importance_sampling_level=level, epsilon_low=.2, epsilon_high=epsilon_high,
            args=SimpleNamespace(**CHOICES | choices), model=SimpleNamespace(training=True), accelerator=ONE,
            aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False,
            vllm_importance_sampling_correction=False, current_gradient_accumulation_steps=1, max_completion_length=8,
            use_adaptive_entropy=False, _entropy_bonus_enabled=False, _metrics=defaultdict(lambda: defaultdict(list)))

    def grpo(loss_type: str, beta: float = 0.0, level: str = "token", epsilon_high: float = .2, **choices: Any) -> Any:
        def loss(logp: Any, logp_old: Any, logp_ref: Any, advantage: Any, mask: Any) -> Any:
            stub = trainer(loss_type, beta, level, epsilon_high, **choices)
            stub._get_per_token_logps_and_entropies = lambda *a, **k: (logp, torch.zeros_like(logp), None)
            ids = torch.zeros(logp.shape, dtype=torch.long)
            return GRPOTrainer._compute_loss(stub, stub.model, {
                "prompt_ids": ids[:, :0], "prompt_mask": ids[:, :0], "completion_ids": ids, "completion_mask": mask,
                "advantages": advantage, "old_per_token_logps": logp_old, "ref_per_token_logps": logp_ref,
                "num_items_in_batch": mask.sum()})
        return loss

    def rloo(logp: Any, logp_old: Any, advantage: Any, mask: Any) -> Any:
        stub = trainer("", 0.0, "", .2)
        stub._get_per_token_logps_and_entropies = lambda *a, **k: (logp, torch.zeros_like(logp), None)
        ids = torch.zeros(logp.shape, dtype=torch.long)
        return RLOOTrainer._compute_loss(stub, stub.model, {
            "prompt_ids": ids[:, :0], "prompt_mask": ids[:, :0], "completion_ids": ids, "completion_mask": mask,
            "advantages": advantage, "old_logps": (logp_old * mask).sum(1)})

    ppo, through = "ppo, range 0.8 to 1.2, aggregate ", ", KL in the loss k3 times the ratio, beta 0.04"
    return [
        Adapted("GRPOTrainer, loss_type grpo", grpo("grpo"), "grpo", f"{ppo}sequence mean"),
        Adapted("the same, beta .04", grpo("grpo", .04), "grpo", f"{ppo}sequence mean{through}"),
        Adapted("the same, use_bias_correction_kl=False", grpo("grpo", .04, use_bias_correction_kl=False), "grpo",
                f"{ppo}sequence mean, KL in the loss k3, beta 0.04"),
        Adapted("GRPOTrainer, loss_type bnpo", grpo("bnpo"), "dapo", f"{ppo}token mean"),
        Adapted("GRPOTrainer, loss_type dr_grpo", grpo("dr_grpo"), "dr_grpo", f"{ppo}constant length"),
        Adapted("GRPOTrainer, loss_type dapo", grpo("dapo", epsilon_high=.28), "dapo",
                "ppo, range 0.8 to 1.28, aggregate token mean"),
        Adapted("GRPOTrainer, loss_type grpo, delta 3", grpo("grpo", delta=3.0), "dual_clip",
                "dual clip, range 0.8 to 1.2, 3, aggregate sequence mean"),
        Adapted("GRPOTrainer, loss_type grpo, level sequence", grpo("grpo", level="sequence"), "gspo",
                "gspo, range 0.8 to 1.2, aggregate sequence mean"),
        Adapted("GRPOTrainer, loss_type luspo, level sequence", grpo("luspo", level="sequence"), "luspo",
                "gspo, range 0.8 to 1.2, aggregate sequence sum"),
        Adapted("GRPOTrainer, loss_type cispo, epsilon_high unset", grpo("cispo"), "cispo",
                "cispo, range 0 to 0.2, aggregate token mean"),
        Adapted("GRPOTrainer, loss_type cispo, epsilon_high 5", grpo("cispo", epsilon_high=5.0), "cispo",
                "cispo, range 0 to 5, aggregate token mean"),
        Adapted("GRPOTrainer, loss_type sapo", grpo("sapo"), "sapo",
                "sapo, range tau 1, 1.05, aggregate sequence mean"),
        Adapted("RLOOTrainer", rloo, "ppo_clip", "ppo of whole answers, range 0.8 to 1.2, aggregate sequence sum"),
    ]
