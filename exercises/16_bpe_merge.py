"""One merge of byte-pair encoding: a pair of neighbours becomes one token wherever it stands.

Document 004, 2.1; examples 31 and 32.
Is it right?  rlscratch check exercises/16_bpe_merge.py
"""


def merge(tokens, pair):
    """A new list of tokens; the old one stays as it is.

    tokens  list of str
    pair    (left, right), two tokens

    Places are searched from left to right, and a token that was merged is not merged again: a a a
    with the pair a, a becomes aa a.
    """
    raise NotImplementedError
