"""Which test proves the formula behind an entry, by the formula's dotted name."""

FORMULAS, ROLLOUTS = "rlscratch.formulas.", "rlscratch.documents.d003_distributions_to_policies.rollouts."
DISTRIBUTION, GRADIENT = "tests/test_formulas_distribution.py::", "tests/test_formulas_policy_gradient.py::"
DOCUMENTS, KL, PPO = "tests/test_documents.py::", "tests/test_formulas_kl.py::", "tests/test_formulas_ppo.py::"
GRPO, RETURNS, TD = "tests/test_formulas_grpo.py::", "tests/test_formulas_returns.py::", "tests/test_formulas_td.py::"

PROOFS = {
    "rlscratch.check.probabilities": "tests/test_check.py::test_probabilities_are_non_negative_and_add_to_1",
    FORMULAS + "cross_entropy.cross_entropy_loss":
        "tests/test_formulas_cross_entropy.py::test_the_loss_is_the_weighted_sum_and_its_gradient_the_derivative",
    FORMULAS + "distribution.softmax": DISTRIBUTION + "test_softmax_is_the_definition",
    FORMULAS + "distribution.log_softmax": DISTRIBUTION + "test_softmax_is_the_definition",
    FORMULAS + "distribution.top_k": DISTRIBUTION + "test_top_k_keeps_k_and_of_equals_the_first",
    FORMULAS + "distribution.top_p": DISTRIBUTION + "test_top_p_keeps_what_whole_numbers_say_in_both_dtypes",
    FORMULAS + "distribution.expected_reward":
        DISTRIBUTION + "test_the_mean_over_queries_is_the_document_s_double_sum",
    FORMULAS + "distribution.expected_reward_grad":
        DISTRIBUTION + "test_the_gradient_of_expected_reward_is_its_derivative",
    FORMULAS + "grpo.group_advantage": GRPO + "test_the_advantage_ignores_the_scale_and_the_origin_of_reward",
    FORMULAS + "grpo.grpo_loss": GRPO + "test_the_document_s_loss_is_reinforce_by_another_name",
    FORMULAS + "kl.kl": KL + "test_kl_is_the_sum_it_says_is_never_negative_and_is_zero_at_home",
    FORMULAS + "kl.kl_k1": KL + "test_k1_and_k3_are_unbiased",
    FORMULAS + "kl.kl_coefficient":
        KL + "test_the_coefficient_times_the_score_is_the_gradient_and_the_1_is_a_baseline",
    FORMULAS + "kl.kl_optimal_policy":
        KL + "test_the_optimum_is_worth_beta_log_z_and_every_other_policy_less_by_its_kl",
    FORMULAS + "policy_gradient.score": GRADIENT + "test_score_is_the_gradient_of_log_pi",
    FORMULAS + "policy_gradient.log_derivative_estimate":
        GRADIENT + "test_the_log_derivative_trick_gives_the_gradient_of_expected_reward",
    FORMULAS + "policy_gradient.batch_mean_baseline":
        GRADIENT + "test_the_batch_mean_shrinks_the_gradient_by_one_in_n",
    FORMULAS + "ppo.ratio": PPO + "test_the_ratio_undoes_itself_and_is_one_for_the_policy_that_sampled",
    FORMULAS + "ppo.clip_ratio": PPO + "test_each_of_the_six_regions_has_the_loss_and_the_gradient_of_the_table",
    FORMULAS + "ppo.ppo_clip_loss": PPO + "test_the_gradient_is_the_derivative_of_the_loss",
    FORMULAS + "preference.ranking_grad":
        "tests/test_formulas_preference.py::test_each_gradient_is_the_derivative_of_its_loss",
    FORMULAS + "returns.discounted_return": RETURNS + "test_each_reward_to_go_is_the_discounted_return_of_the_rest",
    FORMULAS + "returns.td_errors": RETURNS + "test_gae_at_lam_0_is_the_td_error",
    FORMULAS + "td.q_target": TD + "test_the_target_takes_the_largest_of_each_row",
    FORMULAS + "td.q_learning_update":
        TD + "test_an_update_moves_one_entry_a_share_alpha_of_the_way_and_leaves_the_argument",
    FORMULAS + "td.epsilon_greedy":
        TD + "test_epsilon_greedy_is_a_distribution_that_explores_evenly_and_favours_the_best",
    "rlscratch.bpe.Tokenizer.encode": "tests/test_bpe.py::test_encoding_is_what_the_definition_says",
    "rlscratch.mdp.MDP.solve":
        "tests/test_mdp.py::test_the_best_values_solve_the_bellman_equation_and_some_policy_has_them",
    "rlscratch.mdp.MDP.from_gymnasium": DOCUMENTS + "test_the_lake_is_the_map_of_the_document",
    "rlscratch.documents.rows_and_bars.share": DOCUMENTS + "test_bars_are_counted_by_hand",
    "rlscratch.documents.rows_and_bars.blocks": DOCUMENTS + "test_bars_are_counted_by_hand",
    ROLLOUTS + "sorts": DOCUMENTS + "test_code_answers_are_judged_by_running_them",
    ROLLOUTS + "agree": DOCUMENTS + "test_code_answers_are_judged_by_running_them",
    "rlscratch.documents.d004_fundamentals.every_third": DOCUMENTS + "test_every_third_character_is_counted_by_hand",
}
