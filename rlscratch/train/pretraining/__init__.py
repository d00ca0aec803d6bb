"""From text to a base model that predicts the next token.

In reading order:

    curation        from the pages of a crawler to a text
    text            files, and the language reference that ships with Python
    corpus          a text in two parts, learned from and held out, as tokens
    pretrain        the loop and the command
    bits_per_byte   how well the held-out part is predicted, beside gzip, xz and counting
    n_gram          counting, the rival
"""
