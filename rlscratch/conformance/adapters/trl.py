"""TRL, written for 1.16.0: the losses of its trainers, called unbound with a stand-in for the trainer."""
from collections import defaultdict
from types import SimpleNamespace
from typing import Any

from rlscratch.conformance.adapters import Adapted

ONE = SimpleNamespace(num_processes=1, device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x,
                      reduce=lambda x, reduction: x, sync_gradients=False)
CHOICES = {"use_bias_correction_kl": True, "delta": None, "steps_per_generation": 1, "sapo_temperature_pos": 1.0,
           "sapo_temperature_neg": 1.05}


def adapted() -> list[Adapted]:
    """GRPOTrainer by loss_type, KL and level; RLOOTrainer; DPOTrainer by loss_type, two tokens an answer."""
    import torch
    from trl import DPOTrainer, GRPOTrainer, RLOOTrainer

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

    def dpo(loss_type: str, smoothing: float = 0.0, divergence: str = "reverse_kl") -> Any:
        def loss(chosen: Any, rejected: Any, ref_chosen: Any, ref_rejected: Any) -> Any:
            logps = torch.cat([chosen, rejected])[:, None] / 2 * torch.ones(1, 2)
            said = SimpleNamespace(log_probs=logps, entropy=0 * logps, mean_logits=0 * logps, is_top1=logps > 0)
            stub = SimpleNamespace(
                model=SimpleNamespace(training=True), accelerator=ONE, aux_loss_enabled=False, ld_alpha=None,
                precompute_ref_logps=True, f_divergence_type=divergence, loss_types=[loss_type], loss_weights=[1.0],
                beta=.1, label_smoothing=smoothing, use_weighting=False,
                _metrics=defaultdict(lambda: defaultdict(list)), f_alpha_divergence_coef=1.0,
                args=SimpleNamespace(), _total_train_tokens=0, _tp_size=1)
            ids = torch.ones(logps.shape[0], 3, dtype=torch.long)             # a prompt of one token, then two
            given = {"input_ids": ids, "attention_mask": ids, "completion_mask": ids * torch.tensor([0, 1, 1]),
                     "ref_chosen_logps": ref_chosen, "ref_rejected_logps": ref_rejected}
            return DPOTrainer._compute_loss(stub, lambda **k: said, given, False)
        return loss

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
        Adapted("DPOTrainer, loss_type sigmoid", dpo("sigmoid"), "dpo", "DPO, beta 0.1"),
        Adapted("the same, label_smoothing .1", dpo("sigmoid", .1), "dpo", "DPO, beta 0.1"),
        Adapted("DPOTrainer, loss_type robust, label_smoothing .1", dpo("robust", .1), "rdpo",
                "rDPO, flip 0.1, beta 0.1"),
        Adapted("DPOTrainer, loss_type sigmoid, js_divergence", dpo("sigmoid", 0.0, "js_divergence"), "dpo",
                "f-DPO, jensen_shannon, beta 0.1"),
        Adapted("DPOTrainer, loss_type ipo (the mean over two tokens)", dpo("ipo"), "ipo",
                "IPO, beta 0.05, times 0.25"),
        Adapted("RLOOTrainer", rloo, "ppo_clip", "ppo of whole answers, range 0.8 to 1.2, aggregate sequence sum"),
    ]
