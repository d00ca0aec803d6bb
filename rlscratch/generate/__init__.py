"""Answers from a language model: tokens drawn one by one, or the likeliest found by search.

In reading order:

    sampling       the loop that draws an answer to each prompt: generate; stream, token by token
    tools          the same with a tool that is asked on the way: generate_with_tool, stream_with_tool
    filters        from logits to a token: temperature, top-k, top-p, min-p, the repetition penalty
    beam_search    the likeliest answers, without trying them all
    rollout        what generation returns, Rollout, and what it asks of prompts and random streams

A function and its file are both called beam_search; here the name means the function.
"""
from rlscratch.generate.beam_search import Beams, beam_search
from rlscratch.generate.filters import filtered
from rlscratch.generate.rollout import Rollout
from rlscratch.generate.sampling import Within, generate, stream
from rlscratch.generate.tools import generate_with_tool, stream_with_tool

__all__ = ["Beams", "Rollout", "Within", "beam_search", "filtered", "generate", "generate_with_tool", "stream",
           "stream_with_tool"]
