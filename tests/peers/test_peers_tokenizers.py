"""tokenizer.json as Hugging Face's tokenizers saves it: the same ids, or a refusal that names the setting.

Each kind is made by their library, saved by it, opened by ours, and compared on random texts that are dense in what
tokenizers disagree on: contractions in both cases, digits, line ends, spaces, marks behind letters, special tokens.
"""
import json

import numpy as np
import pytest

from rlscratch.bpe import Tokenizer, splitter
from rlscratch.bpe.vocabulary import hidden

theirs = pytest.importorskip("tokenizers", reason="tokenizers is not installed: pip install '.[peers]'")
AddedToken, models, pre, post = theirs.AddedToken, theirs.models, theirs.pre_tokenizers, theirs.processors
normalizers, decoders, trainers = theirs.normalizers, theirs.decoders, theirs.trainers

TEXT = ("She sells sea shells, doesn't she?  We'LL see 12345 of them.\r\n\r\nThe caf\u00e9's na\u00efve "
        "\u65e5\u672c\u8a9e text: x\u0301 e\u0301 100% \ufb01ne\t\tend\n") * 30
PIECES = ["she", " sells", " sea", " sea?", "'s", "'S", "'\u017f", "'ll", "'LL", "'re", " ", "  ", "\n", "\r\n", "\t",
          "7", "1234567", "\u0663", "\u00e9", "e\u0301", "\u0301", "\ufb01", "\u00c5", "\u212b", "\u65e5\u672c", "?!",
          " \u2014", "\U0001f642", "\u00a0", "\u200b", "\u2028", "K", "\u212a", "\u0131"]
SPECIAL = ["<|endoftext|>", "<e>", "ab", "abc"]
QWEN2, LLAMA3 = splitter.PATTERNS[2:]


def byte_level(**changes):
    return pre.ByteLevel(**{"add_prefix_space": False, "use_regex": True, **changes})


def by_pattern(pattern):
    return pre.Sequence([pre.Split(theirs.Regex(pattern), "isolated"), byte_level(use_regex=False)])


def made(pre_tokenizer=None, normalizer=None, processor=None, decoder=True, special=(), model=None, **options):
    """A tokenizer of their library, trained on TEXT."""
    one = theirs.Tokenizer(models.BPE(**options))
    one.pre_tokenizer = pre_tokenizer or byte_level()
    if normalizer:
        one.normalizer = normalizer
    if decoder:
        one.decoder = decoders.ByteLevel()
    one.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False))
    if special:
        one.add_tokens([token for token in special if isinstance(token, AddedToken)])
        one.add_special_tokens([token for token in special if isinstance(token, str)])
    if processor:
        one.post_processor = processor(one)
    return one


def changed(one, change):
    """The same after a change of its file."""
    content = json.loads(one.to_str())
    change(content)
    return theirs.Tokenizer.from_str(json.dumps(content))


def as_texts(content):
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]


def template(single, special=()):
    return lambda one: post.TemplateProcessing(single=single, special_tokens=[(t, one.token_to_id(t)) for t in special])


KINDS = {
    "bytes and merges": lambda: made(),
    "without a type": lambda: changed(made(), lambda content: content["model"].pop("type")),
    "merges as texts": lambda: changed(made(), as_texts),
    "no decoder": lambda: made(decoder=False),
    "offsets not trimmed": lambda: made(pre_tokenizer=byte_level(trim_offsets=False)),
    "special tokens": lambda: made(special=SPECIAL),
    "words": lambda: made(special=[AddedToken("Tbilisi"), AddedToken(" sea?", normalized=False), "<e>"]),
    "special tokens that are normalized": lambda: made(
        special=[AddedToken("<|endoftext|>", special=True, normalized=True)]),
    "an unknown token": lambda: made(unk_token="<unk>", special=["<unk>"]),
    "empty affixes": lambda: changed(made(), lambda content: content["model"].update(
        continuing_subword_prefix="", end_of_word_suffix="")),
    "a post-processor for offsets": lambda: made(processor=lambda one: post.ByteLevel(trim_offsets=False)),
    "a template that adds nothing": lambda: made(processor=template("$A")),
    "several post-processors that add nothing": lambda: made(
        processor=lambda one: post.Sequence([post.ByteLevel(), template("$A")(one)])),
    "GPT-2's pattern, written out": lambda: made(by_pattern(splitter.PATTERNS[1])),
    "Qwen2": lambda: made(by_pattern(QWEN2), normalizers.NFC(), lambda one: post.ByteLevel(), special=SPECIAL[:2]),
    "Llama 3": lambda: made(by_pattern(LLAMA3), special=SPECIAL[:1], ignore_merges=True),
    "pieces that are tokens": lambda: changed(made(ignore_merges=True), lambda content: content["model"][
        "vocab"].update({"ĠsellsĠ": 900, "cafÃ©": 901, "We": 902})),
    "NFC": lambda: made(normalizer=normalizers.NFC()),
    "a sequence of NFC": lambda: made(normalizer=normalizers.Sequence([normalizers.NFC()])),
    "ids with gaps": lambda: changed(made(), lambda content: content["model"]["vocab"].update({"ĠĠĠĠ": 1000})),
}


def texts(seed, count=300):
    rng = np.random.default_rng(seed)
    some = PIECES + SPECIAL + ["Tbilisi"]
    for _ in range(count):
        yield "".join(rng.choice(some, size=rng.integers(0, 12)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_that_is_opened_gives_their_ids(kind, tmp_path):
    one = KINDS[kind]()
    one.save(str(tmp_path / "tokenizer.json"))
    ours = Tokenizer.load(tmp_path)
    ours.save(tmp_path / "again")
    again = Tokenizer.load(tmp_path / "again")
    opened = theirs.Tokenizer.from_file(str(tmp_path / "again" / "tokenizer.json"))
    for text in [TEXT, *texts(len(kind))]:
        ids = one.encode(text).ids
        assert ours.encode(text) == again.encode(text) == opened.encode(text).ids == ids, text
        assert list(ours.encode_iterable([text[:5], text[5:]])) == ids, text


def test_ordinary_text_has_their_ids_of_a_tokenizer_without_special_tokens():
    plain = made()
    content = json.loads(plain.to_str())
    vocab = {i: hidden(token) for token, i in content["model"]["vocab"].items()}
    ours = Tokenizer(vocab, [tuple(map(hidden, merge)) for merge in content["model"]["merges"]], SPECIAL)
    for text in texts(0):
        assert ours.encode_ordinary(text) == plain.encode(text).ids


REFUSED = {
    "add_prefix_space": lambda: made(byte_level(add_prefix_space=True)),
    "use_regex": lambda: made(byte_level(use_regex=False)),
    "pre_tokenizer": lambda: made(pre.Sequence([pre.Digits(individual_digits=True), byte_level()])),
    "pattern": lambda: made(by_pattern(r"\d+|\D+")),
    "behavior": lambda: made(pre.Sequence([pre.Split(theirs.Regex(QWEN2), "removed"), byte_level(use_regex=False)])),
    "normalizer": lambda: made(normalizer=normalizers.Lowercase()),
    "post_processor": lambda: made(special=["<e>"], processor=template("<e> $A", ["<e>"])),
    "lstrip": lambda: made(special=[AddedToken("<mask>", lstrip=True)]),
    "rstrip": lambda: made(special=[AddedToken("<mask>", rstrip=True)]),
    "single_word": lambda: made(special=[AddedToken("sea", single_word=True)]),
    "dropout": lambda: changed(made(), lambda content: content["model"].update(dropout=0.1)),
    "truncation": lambda: changed(made(), lambda content: content.update(truncation={
        "direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0})),
    "padding": lambda: changed(made(), lambda content: content.update(padding={
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "!"})),
    "normalized": lambda: made(special=[AddedToken("ab", normalized=True), AddedToken("bc", normalized=False)]),
}


def test_a_word_that_is_a_token_already_is_refused(tmp_path):
    made(special=[AddedToken(" sea")]).save(str(tmp_path / "tokenizer.json"))       # a second id for the same bytes
    with pytest.raises(ValueError, match=r"vocab\[\d+\] is b' sea'; expected a token of its own; id \d+ has it"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("setting", REFUSED)
def test_a_setting_that_would_give_other_ids_is_named(setting, tmp_path):
    REFUSED[setting]().save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match=rf"{setting}.* (of|in) .*tokenizer.json is .*: it gives other ids"):
        Tokenizer.load(tmp_path)
