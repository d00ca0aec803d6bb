"""What a vocabulary may be, and its files: GPT-2's pair of them, and the one that we write.

Bytes are no text, and JSON holds text.  GPT-2's files therefore write each byte as a character
that can be seen: a printable byte of Latin-1 as itself, the other 68 as the characters from 256 on,
in order.  So a space, byte 32, the 33rd of those, is chr(256 + 32):

>>> visible(b" the"), hidden("\\u0120the")
('Ġthe', b' the')

    vocab.json      {"!": 0, "\\"": 1, ..., "Ġthe": 262, ...}
    merges.txt      a merge a line, in the order learned: "Ġ t", "Ġ a", "h e", ...
    tokenizer.json  all of it and the special tokens, in the form of Hugging Face's tokenizers, which
                    opens it too.  One file, so that it is replaced as a whole or not at all

A tokenizer.json from elsewhere has settings that change ids.  These are read:

    pre_tokenizer    ByteLevel, or Split by a pattern of splitter.PATTERNS and then ByteLevel
    normalizer       none, or NFC
    model            BPE; with ignore_merges a piece that is a token is that token, whatever the merges say
    added_tokens     special ones, and ("special": false) words that are one token wherever they occur

A file with any other setting that would give other ids is refused, with that setting's name.
Leaves out: those settings; tokens that a post-processor adds.
"""
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlscratch import check
from rlscratch.bpe.splitter import GPT2_PATTERN, PATTERNS
from rlscratch.files import Fields, read_json, write_json

_PRINTABLE = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTABLE]
ALPHABET = {byte: chr(byte) for byte in _PRINTABLE} | {byte: chr(256 + n) for n, byte in enumerate(_OTHERS)}
_LETTERS = frozenset(ALPHABET.values())
_BYTES = {ord(character): byte for byte, character in ALPHABET.items()}

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SETTINGS = {
    "BPE": {
        "normalizer": None, "pre_tokenizer": _BYTE_LEVEL, "post_processor": None, "decoder": _BYTE_LEVEL},
    "WordLevel": {
        "normalizer": None, "post_processor": None, "decoder": {"type": "Fuse"},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}},
}
_CHANGES_IDS = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback")
_ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}


def visible(token: bytes) -> str:
    """Bytes as GPT-2's files write them."""
    return token.decode("latin-1").translate(ALPHABET)


def hidden(text: str) -> bytes:
    """The bytes that GPT-2's files mean.  A text that is not in their alphabet stands for itself, in UTF-8."""
    try:
        return text.translate(_BYTES).encode("latin-1") if _LETTERS.issuperset(text) else text.encode()
    except UnicodeEncodeError:
        check.fail("a token of the vocabulary", text, "characters; a lone surrogate is none")


def checked_vocab(vocab: Mapping[int, bytes]) -> dict[int, bytes]:
    """Ids >= 0 to bytes, no two to the same."""
    if not isinstance(vocab, Mapping):
        check.fail("vocab", vocab, "a dict from ids to bytes", TypeError)
    known = {}
    for i, token in vocab.items():
        check.integer(0, id=i, called="an id of vocab")
        if not isinstance(token, bytes):
            check.fail(f"vocab[{i}]", token, "bytes", TypeError)
        if not token or token in known:
            check.fail(f"vocab[{i}]", token, f"a token of its own; id {known[token]} has it" if token else "some bytes")
        known[token] = int(i)
    return {i: token for token, i in known.items()}


def checked_merges(merges: Iterable[tuple[bytes, bytes]], known: Mapping[bytes, int]) -> list[tuple[bytes, bytes]]:
    """Pairs of tokens of the vocabulary that make tokens of the vocabulary, each pair once."""
    checked = {}
    for rank, merge in enumerate(merges):
        name = f"merges[{rank}]"
        if not isinstance(merge, Sequence) or len(merge) != 2 or not all(isinstance(half, bytes) for half in merge):
            check.fail(name, merge, "a pair of bytes", TypeError)
        a, b = merge
        for token in (a, b, a + b):
            if token not in known:
                check.fail(name, merge, f"tokens of the vocabulary; it has no {token!r}")
        if (a, b) in checked:
            check.fail(name, merge, f"a pair that is not in the list already, as merges[{checked[a, b]}]")
        checked[a, b] = rank
    return list(checked)


# ---------------------------------------------------------------- files

def read_gpt2(vocab_json: str | Path, merges_txt: str | Path) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]:
    """The vocabulary, from id to bytes, and the merges of GPT-2's two files."""
    words = read_json(Path(vocab_json))
    try:
        lines = Path(merges_txt).read_bytes().decode("utf-8").split("\n")
    except UnicodeDecodeError as damage:
        check.fail(f"the text in {merges_txt}", damage.reason, "UTF-8")
    if lines[0].startswith("#version"):
        lines[0] = ""
    return by_id(words), merges([line.rstrip("\r") for line in lines if line.rstrip("\r")], str(merges_txt))


def by_id(words: Fields) -> dict[int, bytes]:
    """From id to bytes; two tokens of one id are an error."""
    vocab = {words.get_as(int, word): hidden(word) for word in words}
    if len(vocab) != len(words):
        check.fail("the number of different ids", len(vocab), f"{len(words)}, one for each token")
    return vocab


def merges(lines: Iterable[str | list[str]], where: str) -> list[tuple[bytes, bytes]]:
    """Merges written as "a b", or as [a, b] in newer files of Hugging Face."""
    pairs = []
    for number, line in enumerate(lines, 1):
        pair = line.split(" ") if isinstance(line, str) else line
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(half, str) and half for half in pair):
            check.fail(f"merge {number} of {where}", line, "two tokens with a space between them")
        pairs.append((hidden(pair[0]), hidden(pair[1])))
    return pairs


class Described(NamedTuple):
    """What a tokenizer.json says.

    model           its "type", "vocab" (text to id) and whatever else the type has
    special_tokens  text to id
    words           those of them that are words like any other
    pattern         what a piece is (splitter)
    normal_form     of Unicode, "NFC", into which text is brought first; None: it is taken as it is
    """

    model: dict[str, Any]
    special_tokens: dict[str, int]
    words: Collection[str] = frozenset()
    pattern: str = GPT2_PATTERN
    normal_form: str | None = None


def write(folder: str | Path, described: Described) -> None:
    """Write FOLDER/tokenizer.json, atomically; the folder is made if need be."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    added = [{"id": i, "content": token, **_ADDED, "special": token not in described.words}
             for token, i in described.special_tokens.items()]
    content = {"version": "1.0", "added_tokens": added, **SETTINGS[described.model["type"]], "model": described.model}
    if described.normal_form:
        content["normalizer"] = {"type": described.normal_form}
    if described.model["type"] == "BPE" and described.pattern != GPT2_PATTERN:
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            _split(described.pattern), {**_BYTE_LEVEL, "use_regex": False}]}
    write_json(folder / "tokenizer.json", content, ascii=False)


def read(folder: str | Path) -> Described:
    """What FOLDER/tokenizer.json says; its model is of a type in SETTINGS.

    What was added to a vocabulary as "special": false is one token wherever it occurs, but it means itself.
    """
    path = Path(folder) / "tokenizer.json"
    content = read_json(path)
    model = content.get("model")
    if isinstance(model, dict) and "merges" in model:       # older files, GPT-2's own among them, name no type
        model.setdefault("type", "BPE")
    if not isinstance(model, dict) or model.get("type") not in SETTINGS or not isinstance(model.get("vocab"), dict):
        check.fail(f"the model of {path}", model, "a vocab and a type, " + " or ".join(SETTINGS))
    added = content.get_as(list, "added_tokens") if content.get("added_tokens") is not None else []
    for token in added:
        if not isinstance(token, Fields):
            check.fail(f"an added token of {path}", token, "an object")
    _refuse_switches(str(path), content, added)
    _refuse_added_ids(str(path), content)
    if model["type"] == "WordLevel":
        for name in ("normalizer", "pre_tokenizer"):
            found, wanted = content.get(name), SETTINGS["WordLevel"][name]
            _refuse(found != wanted and (not isinstance(found, dict) or {**(wanted or {}), **found} != wanted),
                    f"the {name} of {path}", found, str(wanted))
        pattern, form = GPT2_PATTERN, None
    else:
        pattern, form = _pattern(str(path), content), _normal_form(str(path), content, added)
    return Described(model, {token.get_as(str, "content"): token.get_as(int, "id") for token in added},
                     frozenset(token["content"] for token in added if token.get("special") is False), pattern, form)


def of_type(kind: str, folder: str | Path) -> Described:
    """read, for a caller that can use one type only."""
    found = read(folder)
    if found.model["type"] != kind:
        check.fail(f"the type of the model in {folder}", found.model["type"], kind)
    return found


# ---------------------------------------------------------------- settings that would give other ids

def _refuse(other: object, name: str, value: object, expected: str = "none") -> None:
    if other:
        check.fail(name, value, f"{expected}: it gives other ids")


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _parts(path: str, content: Fields, name: str, inside: str) -> list[Fields]:
    """What a setting does one after the other: nothing, one thing, or a Sequence of several."""
    found = content.get(name)
    if found is None:
        return []
    parts = found.get(inside) if isinstance(found, Fields) and found.get("type") == "Sequence" else [found]
    if not isinstance(parts, list) or not all(isinstance(part, Fields) for part in parts):
        check.fail(f"the {name} of {path}", found, "an object with a type")
    return parts


def _pattern(path: str, content: Fields) -> str:
    """What a piece is, by the pre_tokenizer."""
    parts, where = _parts(path, content, "pre_tokenizer", "pretokenizers"), f"the pre_tokenizer of {path}"
    _refuse([part.get("type") for part in parts] not in (["ByteLevel"], ["Split", "ByteLevel"]), where,
            content.get("pre_tokenizer"), "ByteLevel, or Split and ByteLevel")
    *split, bytes_ = parts
    _refuse(bytes_.get("add_prefix_space"), f"add_prefix_space of {where}", True, "false")
    _refuse(bytes_.get("use_regex", True) is bool(split), f"use_regex of {where}", bytes_.get("use_regex"),
            "false behind Split, and else true")
    if not split:
        return GPT2_PATTERN
    for name, value in _split("").items():
        found = split[0].get(name)
        _refuse(name != "pattern" and found != value, f"{name} of {where}", found, repr(value))
    pattern = split[0].get_as(dict, "pattern").get("Regex")
    _refuse(pattern not in PATTERNS, f"the pattern of {where}", split[0]["pattern"],
            "one of rlscratch.bpe.splitter.PATTERNS")
    return pattern


def _normal_form(path: str, content: Fields, added: list[Fields]) -> str | None:
    """The normal form of the normalizer.  An added token that is looked for after it may be missed before it."""
    parts = _parts(path, content, "normalizer", "normalizers")
    _refuse([part for part in parts if part.get("type") != "NFC"], f"the normalizer of {path}",
            content.get("normalizer"), "none, or NFC")
    late = [token for token in added if token.get("normalized")]
    for token in late:
        text = token.get_as(str, "content")
        for other in added:
            first = not other.get("normalized") and _overlap(text, other.get_as(str, "content"))
            _refuse(first, f"normalized of {text!r} in {path}", True,
                    f"false, as of {other['content']!r}, with which it may overlap")
        _refuse(parts, f"normalized of {text!r} in {path}", True, "false beside a normalizer")
    return "NFC" if parts else None


def _overlap(one: str, other: str) -> bool:
    """Whether a text can hold both so that they share a character."""
    return one in other or other in one or any(
        a.endswith(b[:n]) for a, b in ((one, other), (other, one)) for n in range(1, min(len(a), len(b))))


def _refuse_switches(path: str, content: Fields, added: list[Fields]) -> None:
    switches = {name: content["model"].get(name) for name in _CHANGES_IDS}
    switches |= {name: content.get(name) for name in ("truncation", "padding")}
    for token in added:
        switches |= {f"{name} of {token['content']!r}": token.get(name) for name in ("lstrip", "rstrip", "single_word")}
    for name, value in switches.items():
        _refuse(value, f"{name} in {path}", value)


def _refuse_added_ids(path: str, content: Fields) -> None:
    """A post-processor may bring tokens of its own: a ByteLevel does not, and a template without any."""
    for part in _parts(path, content, "post_processor", "processors"):
        template = part.get("single") if part.get("type") == "TemplateProcessing" else None
        adds = any("SpecialToken" in piece for piece in template) if isinstance(template, list) else True
        _refuse(part.get("type") != "ByteLevel" and adds, f"the post_processor of {path}", part)
