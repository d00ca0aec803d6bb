"""Models and runs in folders.

In reading order:

    saved         a run's checkpoint, weights and state together: save, load, Checkpoint
    huggingface   folders that transformers wrote, or reads: from_huggingface, to_huggingface
    gpt2 llama    what an architecture's folder says, and what its tensors are called there
    weights       files of safetensors, and a model made of one
"""
from rlscratch.checkpoint.huggingface import SHARDS, from_huggingface, to_huggingface
from rlscratch.checkpoint.saved import INDEX, Checkpoint, left_by_a_save, load, save

__all__ = ["INDEX", "SHARDS", "Checkpoint", "from_huggingface", "left_by_a_save", "load", "save", "to_huggingface"]
