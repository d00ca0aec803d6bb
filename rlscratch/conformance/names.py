"""How arguments may be called, and what a function may say that it is."""
import re
from collections.abc import Collection

from rlscratch import check

# Our name of an argument: what others call it, in small letters, without "_"; "logps" and "log_probs" are "logp".
ALIASES = {
    "logp": "logp newlogp logpnew policylogp logppolicy pilogp logppi pertokenlogp tokenlogp currlogp currentlogp "
            "logpcurrent actorlogp",
    "logp_old": "logpold oldlogp oldpertokenlogp oldpolicylogp behaviorlogp behaviourlogp samplinglogp samplerlogp old "
                "rolloutlogp",
    "logp_ref": "logpref reflogp refpertokenlogp refpolicylogp referencelogp logpreference ref",
    "advantage": "advantage advantages adv advs",
    "rewards": "rewards reward scores returns tokenlevelrewards tokenrewards",
    "values": "values value vpred vpreds newvalue newvalues valuepreds predictedvalues",
    "values_old": "valuesold oldvalue oldvalues valueold",
    "returns": "target targets valuetargets",
    "gamma": "gamma discount",
    "lam": "lam lambda lmbda gaelambda gaelam",
    "mask": "mask responsemask completionmask actionmask lossmask attentionmask masks",
    "weight": "weight weights",
    "ratio": "ratio",
    "group": "group groupsize numgenerations ngenerations samplesperprompt g",
    "length": "length maxlength maxlen maxcompletionlength maxresponselength generationmaxlength",
    "beta": "beta klcoef klcoeff betakl klbeta klweight",
    "eps": "eps epsilon clip clipeps clipepsilon cliprange clipratio cliprangevalue cliprangevf valueclip clipvalue",
    "eps_low": "epslow epsilonlow clipepslow clipratiolow cliprangelow low",
    "eps_high": "epshigh epsilonhigh clipepshigh clipratiohigh cliprangehigh high",
    "chosen": "chosen chosenlogp logpchosen policychosenlogp chosenreward chosenrewards chosenscore chosenscores "
              "rewardschosen rewardchosen",
    "rejected": "rejected rejectedlogp logprejected policyrejectedlogp rejectedreward rejectedrewards rejectedscore "
                "rejectedscores rewardsrejected rewardrejected rejectreward",
    "ref_chosen": "refchosen refchosenlogp referencechosenlogp",
    "ref_rejected": "refrejected refrejectedlogp referencerejectedlogp",
    "answers": "answers n numanswers numsamples nsamples total numtotal totalcount",
    "right": "right c correct numcorrect ncorrect numright correctcount passed",
    "k": "k",
}


def named(theirs: str) -> str | None:
    """Our name for an argument of theirs.

    >>> named("new_log_probs"), named("per_token_logps"), named("response_mask"), named("banana")
    ('logp', 'logp', 'mask', None)
    """
    plain = re.sub("logprob(abilit(y|ies)|s)?|logps", "logp", theirs.replace("_", "").lower())
    return next((ours for ours, others in ALIASES.items() if plain in others.split()), None)


# What a function says it is: its contract, and the tags that it must then have (each begins so).
LIKE: dict[str, tuple[str, dict[str, str]]] = {
    "reinforce": ("policy", {"surrogate": "reinforce"}),
    "ppo_clip": ("policy", {"surrogate": "ppo"}),
    "dual_clip": ("policy", {"surrogate": "dual clip"}),
    "grpo": ("policy", {"surrogate": "ppo", "aggregate": "sequence mean"}),
    "dr_grpo": ("policy", {"surrogate": "ppo", "aggregate": "constant length"}),
    "dapo": ("policy", {"surrogate": "ppo", "aggregate": "token mean"}),
    "gspo": ("policy", {"surrogate": "gspo", "aggregate": "sequence mean"}),
    "luspo": ("policy", {"surrogate": "gspo", "aggregate": "sequence sum"}),
    "cispo": ("policy", {"surrogate": "cispo"}),
    "gmpo": ("policy", {"surrogate": "gmpo"}),
    "sapo": ("policy", {"surrogate": "sapo"}),
    "group_advantage": ("advantage", {"advantage": "z-score"}),
    "rloo_advantage": ("advantage", {"advantage": "r - mean of the others"}),
    "pass_at_k": ("advantage", {"advantage": "gain in the best of"}),
    "dpo": ("pairs", {"loss": "DPO"}),
    "cdpo": ("pairs", {"loss": "cDPO"}),
    "rdpo": ("pairs", {"loss": "rDPO"}),
    "ipo": ("pairs", {"loss": "IPO"}),
    "reward_model": ("pairs", {"loss": "Bradley-Terry"}),
    "k1": ("kl", {"estimator": "k1"}),
    "k2": ("kl", {"estimator": "k2"}),
    "k3": ("kl", {"estimator": "k3"}),
    "value_loss": ("value", {"form": "none"}),
    "clipped_value_loss": ("value", {"form": "larger"}),
    "gae": ("gae", {"tokens between turns": "gone"}),
    "pass_at_k_estimate": ("counts", {"estimate": "unbiased"}),
}

# Other names of these.
SHORT = {"ppo": "ppo_clip", "rloo": "rloo_advantage", "drgrpo": "dr_grpo", "bradley_terry": "reward_model",
         "pass_at_k_advantage": "pass_at_k"}
FAMILIES = {"policy": "losses of a policy", "advantage": "advantages of groups", "pairs": "losses of pairs",
            "kl": "estimators of a KL", "value": "losses of values", "gae": "advantages of tokens",
            "counts": "estimates of pass@k"}


def kind_of(like: str, arguments: Collection[str]) -> str:
    """The key of LIKE that a name stands for, in any case and with "-" for "_".

    arguments  of the function: pass@k is an advantage of rewards, or an estimate from counts

    >>> kind_of("PPO", ["logp"]), kind_of("pass_at_k", ["rewards"]), kind_of("pass@k", ["n", "c", "k"])
    ('ppo_clip', 'pass_at_k', 'pass_at_k_estimate')
    """
    plain = like.lower().replace("-", "_").replace("@", "_at_") if isinstance(like, str) else like
    name = check.one_of(tuple(LIKE), like=SHORT.get(plain, plain))
    counts = name == "pass_at_k" and "right" in map(named, arguments)
    return "pass_at_k_estimate" if counts else name
