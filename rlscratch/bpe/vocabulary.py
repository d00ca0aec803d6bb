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

Leaves out: every setting of tokenizer.json that changes ids.  A file with other ones is refused.
"""
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from rlscratch import check
from rlscratch.files import write_atomic

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
_CHANGES_IDS = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges")
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
    words = json.loads(Path(vocab_json).read_text("utf-8"))
    if not isinstance(words, dict):
        check.fail(f"the content of {vocab_json}", words, "a JSON object from tokens to ids")
    lines = Path(merges_txt).read_text("utf-8").split("\n")
    if lines[0].startswith("#version"):
        lines[0] = ""
    return by_id(words), merges([line for line in lines if line], str(merges_txt))


def by_id(words: dict[str, int]) -> dict[int, bytes]:
    """From id to bytes; two tokens of one id are an error."""
    vocab = {i: hidden(word) for word, i in words.items()}
    if len(vocab) != len(words):
        check.fail("the number of different ids", len(vocab), f"{len(words)}, one for each token")
    return vocab


def merges(lines: Iterable[str | list[str]], where: str) -> list[tuple[bytes, bytes]]:
    """Merges written as "a b", or as [a, b] in newer files of Hugging Face."""
    pairs = []
    for number, line in enumerate(lines, 1):
        pair = line.split(" ") if isinstance(line, str) else line
        if len(pair) != 2 or not all(pair):
            check.fail(f"merge {number} of {where}", line, "two tokens with a space between them")
        pairs.append((hidden(pair[0]), hidden(pair[1])))
    return pairs


def write(folder: str | Path, model: dict, special_tokens: dict[str, int], words: Collection[str] = ()) -> None:
    """Write FOLDER/tokenizer.json, atomically; the folder is made if need be.

    model           its "type", "vocab" (text to id) and whatever else the type has
    special_tokens  text to id
    words           those of them that are words like any other
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    added = [{"id": i, "content": token, **_ADDED, "special": token not in words}
             for token, i in special_tokens.items()]
    content = {"version": "1.0", "added_tokens": added, **SETTINGS[model["type"]], "model": model}
    text = json.dumps(content, ensure_ascii=False, indent=1)
    write_atomic(folder / "tokenizer.json", lambda part: part.write_text(text + "\n", "utf-8"))


def read(folder: str | Path) -> tuple[dict, dict[str, int], frozenset[str]]:
    """The model of FOLDER/tokenizer.json, of a type in SETTINGS; its special tokens with their ids; which are words.

    What was added to a vocabulary as "special": false is one token wherever it occurs, but it means itself.
    """
    path = Path(folder) / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    model = content.get("model") if isinstance(content, dict) else None
    if isinstance(model, dict) and "merges" in model:       # older files, GPT-2's own among them, name no type
        model = {"type": "BPE", **model}
    if not isinstance(model, dict) or model.get("type") not in SETTINGS or not isinstance(model.get("vocab"), dict):
        check.fail(f"the model of {path}", model, "a vocab and a type, " + " or ".join(SETTINGS))
    _refuse_other_settings(str(path), content, model)
    added = {token["content"]: token for token in content.get("added_tokens", ())}
    return (model, {text: token["id"] for text, token in added.items()},
            frozenset(text for text, token in added.items() if token.get("special") is False))


def _refuse_other_settings(path: str, content: dict, model: dict) -> None:
    """Whatever would give other ids is an error; a post-processor of type ByteLevel changes no ids."""
    for name in ("normalizer", "pre_tokenizer"):
        found, wanted = content.get(name), SETTINGS[model["type"]][name]
        if found != wanted and (not found or {**(wanted or {}), **found} != wanted):
            check.fail(f"the {name} of {path}", found, f"{wanted}: others give other ids")
    post = content.get("post_processor")
    if post and post.get("type") != "ByteLevel":
        check.fail(f"the post_processor of {path}", post, "none: others give other ids")
    switches = {name: model.get(name) for name in _CHANGES_IDS}
    switches |= {name: content.get(name) for name in ("truncation", "padding")}
    for added in content.get("added_tokens", ()):
        switches |= {f"{name} of {added['content']!r}": added.get(name) for name in ("lstrip", "rstrip", "single_word")}
    for name, value in switches.items():
        if value:
            check.fail(f"{name} in {path}", value, "none: it gives other ids")


def of_type(kind: str, folder: str | Path) -> tuple[dict, dict[str, int], frozenset[str]]:
    """read, for a caller that can use one type only."""
    found = read(folder)
    if found[0]["type"] != kind:
        check.fail(f"the type of the model in {folder}", found[0]["type"], kind)
    return found
