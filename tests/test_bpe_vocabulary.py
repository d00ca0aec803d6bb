"""What a vocabulary may be, and its files: GPT-2's two, and tokenizer.json."""
import json
import os

import pytest
from hypothesis import given

from rlscratch.bpe import Tokenizer, characters
from rlscratch.bpe.tokenizer import BYTES
from rlscratch.bpe.vocabulary import ALPHABET
from texts import SPECIAL, texts

pytestmark = pytest.mark.compiled_only("calls no kernel", kernels=())

TEXT = "she sells sea shells, it's 漢字" + "".join(SPECIAL)
ALL = dict(enumerate(BYTES))
bytes_alone = Tokenizer(ALL, [])
trained = Tokenizer.train(TEXT, 256 + 20 + len(SPECIAL), SPECIAL)


def same(a, b):
    return (a.vocab, a.merges, a.special_tokens) == (b.vocab, b.merges, b.special_tokens)


@pytest.mark.parametrize("tokenizer", [
    trained, bytes_alone, Tokenizer.train("", 258, ["end of text", "é€ Ġ"]),
    Tokenizer(ALL | {900: b"ab"}, [(b"a", b"b")], ["ab"])])
def test_what_is_saved_is_loaded(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "new" / "folder")
    loaded = Tokenizer.load(tmp_path / "new" / "folder")
    assert same(loaded, tokenizer)
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["tokenizer.json"]


@given(texts)
def test_whatever_was_learned_is_loaded(tmp_path_factory, text):
    tokenizer = Tokenizer.train(text, 256 + 10 + len(SPECIAL), SPECIAL)
    folder = tmp_path_factory.getbasetemp() / "learned"
    tokenizer.save(folder)
    assert same(Tokenizer.load(folder), tokenizer)


def test_a_special_token_is_written_where_hugging_face_looks_for_it(tmp_path):
    """In its vocabulary by its own text; if that would be written otherwise there, only among the added tokens."""
    vocab = ALL | {256: b" s", 257: b"<s>", 258: b"a b"}
    Tokenizer(vocab, [(b" ", b"s")], [" s", "<s>", "a b"]).save(tmp_path)
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    assert [(added["id"], added["content"]) for added in content["added_tokens"]] == [
        (256, " s"), (257, "<s>"), (258, "a b")]
    assert list(content["model"]["vocab"].items())[256:] == [("Ġs", 256), ("<s>", 257), ("a b", 258)]
    assert content["model"]["merges"] == ["Ġ s"]


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    trained.save(tmp_path)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        bytes_alone.save(tmp_path)
    assert same(Tokenizer.load(tmp_path), trained)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_alphabet_of_gpt2_writes_every_byte_as_one_visible_character():
    assert sorted(ALPHABET) == list(range(256)) and len(set(ALPHABET.values())) == 256
    assert all(character.isprintable() and not character.isspace() for character in ALPHABET.values())
    assert (ALPHABET[ord("a")], ALPHABET[ord(" ")], ALPHABET[ord("\n")], ALPHABET[0xad]) == ("a", "Ġ", "Ċ", "Ń")


@pytest.mark.parametrize("header", ["", "#version: 0.2\n"])
def test_files_in_the_form_of_gpt2_s_are_read(header, tmp_path):
    vocab, merges = tmp_path / "vocab.json", tmp_path / "merges.txt"
    words = [f'"{c}": {i}' for i, c in enumerate(ALPHABET.values()) if c not in '"\\']
    words += [r'"\"": 1', r'"\\": 59', '"Ġs": 256', '"##": 257', '"<|end of é|>": 258']
    vocab.write_text("{" + ", ".join(words) + "}", "utf-8")
    merges.write_text(header + "Ġ s\n# #\n", "utf-8")
    tokenizer = Tokenizer.from_gpt2(vocab, merges)
    assert tokenizer.merges == [(b" ", b"s"), (b"#", b"#")] and tokenizer.special_tokens == {"<|end of é|>": 258}
    assert tokenizer.encode(" s##<|end of é|>!") == [256, 257, 258, 0]


# ---------------------------------------------------------------- what is refused

@pytest.mark.parametrize(("vocab", "merges", "error", "message"), [
    ({i: t for i, t in ALL.items() if i != 7}, [], ValueError, r"a byte that vocab lacks is b'\\x07'; .* all 256"),
    (list(BYTES), [], TypeError, r"vocab is \[.*expected a dict from ids to bytes"),
    (ALL | {256: "ab"}, [], TypeError, r"vocab\[256\] is 'ab'; expected bytes"),
    (ALL | {256: b""}, [], ValueError, r"vocab\[256\] is b''; expected some bytes"),
    (ALL | {256: b"a"}, [], ValueError, r"vocab\[256\] is b'a'; expected a token of its own; id 97 has it"),
    (ALL | {-1: b"ab"}, [], ValueError, r"an id of vocab is -1; expected an integer >= 0"),
    (ALL | {256.0: b"ab"}, [], TypeError, r"an id of vocab is 256.0; expected an integer >= 0"),
    (ALL, [(b"a", b"b")], ValueError, r"merges\[0\] is \(b'a', b'b'\); expected tokens .* has no b'ab'"),
    (ALL | {256: b"abc"}, [(b"a", b"bc")], ValueError, r"merges\[0\] is .*; it has no b'bc'"),
    (ALL | {256: b"ab"}, [(b"a", b"b"), (b"a", b"b")], ValueError,
     r"merges\[1\] is .*; expected a pair that is not in the list already, as merges\[0\]"),
    (ALL | {256: b"ab"}, ["ab"], TypeError, r"merges\[0\] is 'ab'; expected a pair of bytes"),
    (ALL | {256: b"ab"}, [b"ab"], TypeError, r"merges\[0\] is b'ab'; expected a pair of bytes"),
    (ALL | {256: b"ab"}, [(b"a", b"b", b"c")], TypeError, r"merges\[0\] is .*; expected a pair of bytes"),
])
def test_parts_that_do_not_fit_are_named(vocab, merges, error, message):
    with pytest.raises(error, match=message):
        Tokenizer(vocab, merges)


@pytest.mark.parametrize(("content", "message"), [
    ('{"model": {"type": "Unigram", "vocab": {}}}', "the model of .*; expected a vocab and a type, BPE or WordLevel"),
    ("[]", r"tokenizer.json is \[\]; expected one JSON object"),
    ('{"model": {"type": "BPE", "vocab": []}}', "the model of .*; expected a vocab"),
    ('{"model": {"type": "BPE", "vocab": {"a": "0"}}, "pre_tokenizer": {"type": "ByteLevel"}}',
     "the field 'a' of .*tokenizer.json is '0'; expected an integer"),
    ('{"model": {"type": "BPE", "vocab": {}, "merges": [5]}, "pre_tokenizer": {"type": "ByteLevel"}}',
     "merge 1 of .* is 5; expected two tokens"),
    ('{"model": {"type": "BPE", "vocab": {}, "merges": 5}, "pre_tokenizer": {"type": "ByteLevel"}}',
     "the field 'merges' of .* is 5; expected a list"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": [{"id": 0}]}',
     "the field 'content' of .*tokenizer.json is missing; it has 'id'"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": ["a"]}',
     "an added token of .* is 'a'; expected an object"),
    ('{"model": {"type": "WordLevel", "vocab": {"a": 0}}, "pre_tokenizer": {"type": "Split"}}',
     "the type of the model in .* is 'WordLevel'; expected BPE"),
    ('{"model": {"type": "BPE", "vocab": {}}, "normalizer": {"type": "NFKC"}, "pre_tokenizer": {"type": "ByteLevel"}}',
     "the normalizer of .* is .*NFKC.*; expected none, or NFC: it gives other ids"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": true}}',
     "add_prefix_space of the pre_tokenizer of .* is True; expected false: it gives other ids"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel", "use_regex": false}}',
     "use_regex of the pre_tokenizer of .* is False; expected false behind Split, and else true"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": ['
     '{"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": false}, '
     '{"type": "ByteLevel", "use_regex": false}]}}',
     "the pattern of the pre_tokenizer of .*; expected one of rlscratch.bpe.splitter.PATTERNS"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "added_tokens": '
     '[{"id": 0, "content": "ab", "normalized": true}, {"id": 1, "content": "bc", "normalized": false}]}',
     "normalized of 'ab' in .* is True; expected false, as of 'bc', with which it may overlap: it gives other ids"),
    ('{"model": {"type": "BPE", "vocab": {}}}', "the pre_tokenizer of .* is None"),
    ('{"model": {"type": "BPE", "vocab": {}, "byte_fallback": true}, "pre_tokenizer": {"type": "ByteLevel"}}',
     "byte_fallback in .* is True; expected none"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, '
     '"post_processor": {"type": "TemplateProcessing"}}', "the post_processor of .*TemplateProcessing"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, '
     '"added_tokens": [{"id": 0, "content": "<s>", "lstrip": true}]}', "lstrip of '<s>' in .* is True; expected none"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, '
     '"truncation": {"max_length": 3, "stride": 0}}', "truncation in .* is .*max_length.*; expected none: it gives"),
    ('{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"type": "ByteLevel"}, "padding": {"pad_id": 0}}',
     "padding in .* is .*; expected none: it gives other ids"),
    ('{"model": {"vocab": {}, "unk_token": "?"}}', "the model of .*; expected a vocab and a type, BPE or WordLevel"),
    ("{", "tokenizer.json is no JSON: Expecting property name"),
])
def test_a_file_that_would_give_other_ids_is_refused(content, message, tmp_path):
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("kind", [{"type": "BPE"}, {}], ids=["typed", "without a type, as GPT-2's own"])
def test_a_file_as_hugging_face_writes_gpt2_s_is_read(kind, tmp_path):
    words = {character: i for i, character in enumerate(ALPHABET.values())} | {"Ġt": 256, "<s>": 257}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    (tmp_path / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "pre_tokenizer": byte_level,
        "added_tokens": [{"id": 257, "special": True, "content": "<s>", "single_word": False, "lstrip": False}],
        "post_processor": byte_level | {"trim_offsets": False}, "decoder": byte_level,
        "model": {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", **kind, "vocab": words,
                  "merges": [["Ġ", "t"]]}}), "utf-8")
    assert Tokenizer.load(tmp_path).encode("! t<s>") == [0, 256, 257]
    (tmp_path / "vocab.json").write_text("{}", "utf-8")         # beside it stand the two older files, as GPT-2's do
    (tmp_path / "merges.txt").write_text("", "utf-8")
    assert characters.load(tmp_path).encode("! t<s>") == [0, 256, 257]


@pytest.mark.parametrize("tokenizer", [Tokenizer(ALL, [], ["Tbilisi", "<s>"]),
                                       characters.CharacterTokenizer("Tbils", ["Tbilisi", "<s>"])])
def test_a_token_that_was_added_as_a_word_is_one_token_and_stays_a_word(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    assert type(tokenizer).load(tmp_path).words == tokenizer.words == frozenset()
    content = json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))
    content["added_tokens"][0]["special"] = False
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
    for _ in range(2):
        loaded = type(tokenizer).load(tmp_path)
        assert loaded.words == {"Tbilisi"} and same(loaded, tokenizer)
        assert loaded.encode("Tbilisi<s>") == tokenizer.encode("Tbilisi<s>") and len(loaded.encode("Tbilisi")) == 1
        loaded.save(tmp_path)


@pytest.mark.parametrize(("vocab", "merges", "message"), [
    ("[]", "", r"vocab.json is \[\]; expected one JSON object"),
    ('{"a": 0, "b": 0}', "", "the number of different ids is 1; expected 2"),
    ('{"a": 0}', "a b\na", "merge 2 of .*merges.txt is 'a'; expected two tokens with a space between them"),
    ('{"a": 0}', "a b c", "merge 1 of .* is 'a b c'"), ('{"\\ud800": 0}', "", "a token of the vocabulary is"),
])
def test_files_not_in_gpt2_s_form_are_named(vocab, merges, message, tmp_path):
    (tmp_path / "vocab.json").write_text(vocab, "utf-8")
    (tmp_path / "merges.txt").write_text(merges, "utf-8")
    with pytest.raises(ValueError, match=message):
        Tokenizer.from_gpt2(tmp_path / "vocab.json", tmp_path / "merges.txt")
