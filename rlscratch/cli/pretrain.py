"""rlscratch pretrain: the training of train.language.pretrain, and when it ends its learning curve."""
import argparse
import sys

import numpy as np

from rlscratch import memory
from rlscratch.train import distributed
from rlscratch.train.pretraining import pretrain

add_arguments = pretrain.add_arguments


def run(args: argparse.Namespace) -> int:
    """Train, save, print, draw; 0.  Raises ValueError or TypeError for bad arguments."""
    memory.keep_freed()         # this process is ours: a step's arrays are used again by the next one
    with np.errstate(over="ignore", invalid="ignore"):      # numbers that explode end the run, with one line
        folder = pretrain.train(args).folder
        if not distributed.leads():
            return 0
        from rlscratch.report import curves  # to load what draws takes longer than to load the rest
        path = curves.of_finished(folder, curves.pretraining)
    if path and not args.quiet:
        print(f"learning curve: {path}", file=sys.stderr)
    return 0
