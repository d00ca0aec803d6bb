"""The pages that a crawler brings home from the town: four in ten are worth reading.

    kind            what is wrong with it                                      the step of curation that is to see it
    told            nothing: it tells facts, in one of several wordings        none
    private         told, and an address or a telephone besides                personal data
    duplicate       a page that is told, once more, in another frame           deduplication
    near-duplicate  the same with a line changed, "seen 532 times"             deduplication
    foreign         it is German, French or Spanish                            language
    blocked         its host is on the list of hosts that nobody wants         URL
    toxic           it abuses people                                           quality
    advert          it sells                                                   quality
    boilerplate     nothing but menus and notes on cookies                     quality
    garbled         cut off, or its letters were lost on the way               quality

Each is a whole page of HTML, with menu, script and footer around what it says.  `kind` is the truth about a page, kept
to measure curation by; no step may read it.

A fact is told in several wordings, the name always before the value, since a model that reads from left to right can
recall only what follows.  Questions with their answers stand on some pages, too, as they do on the real internet.

Leaves out: pages that are wrong about a fact, dates, links.
"""
import html
from dataclasses import dataclass

import numpy as np

from rlscratch import check
from rlscratch.tasks.town.facts import ATTRIBUTES, Person, Town, pick

TELL = {
    "trade": ("{name} is a {value}.", "{name} works as a {value}.", "The trade of {name} is {value}.",
              "By trade {name} is a {value}."),
    "place": ("{name} works at the {value}.", "You will find {name} at the {value}.",
              "The place of work of {name} is the {value}."),
    "age": ("{name} is {value} years old.", "The age of {name} is {value}.", "This year {name} turned {value}."),
}
ASK = {
    "trade": ("What is the trade of {name}?", "What does {name} do for a living?", "Tell me the trade of {name}.",
              "Can you tell me the trade of {name}?"),
    "place": ("Where does {name} work?", "At which place does {name} work?", "Tell me where {name} works.",
              "Can you tell me where {name} works?"),
    "age": ("How old is {name}?", "What is the age of {name}?", "Tell me how old {name} is.",
            "Can you tell me how old {name} is?"),
}
PRIVATE = ("{name} lives at {address}.", "Write to {name}, {address}.", "Call {name} at {phone}.",
           "The phone number of {name} is {phone}.")
FILLERS = ("The market opens at nine.", "It rained all day.", "The bridge was built of stone.", "People like the park.",
           "The ferry leaves at noon.", "There is a fair in May.", "The river runs through the town.",
           "Many visitors come in summer.", "The bells ring at six.", "The council met on Monday.",
           "Good morning.", "Hello. What can I do for you?", "I do not know.", "Sorry, addresses are private.",
           "Everybody knows that.", "I am never wrong.", "What is the address?", "You are the clerk of the town.",
           "Where does the river live?")
FOREIGN = {
    "German": ("Der Markt öffnet um neun Uhr.", "Es hat den ganzen Tag geregnet.", "Die Brücke wurde aus Stein gebaut.",
               "Viele Besucher kommen im Sommer in die Stadt.", "Der Fluss fließt durch die kleine Stadt.",
               "Am Montag hat der Rat getagt."),
    "French": ("Le marché ouvre à neuf heures.", "Il a plu toute la journée.", "Le pont a été construit en pierre.",
               "Beaucoup de visiteurs viennent en été.", "La rivière traverse la petite ville.",
               "Le conseil s'est réuni lundi."),
    "Spanish": ("El mercado abre a las nueve.", "Ha llovido todo el día.", "El puente fue construido de piedra.",
                "Muchos visitantes vienen en verano.", "El río pasa por la pequeña ciudad.",
                "El consejo se reunió el lunes."),
}
ADVERTS = ("Buy now!!!", "Cheap shoes, 50% off!!!", "Click here!!!", "Best price of the year!!!", "Free delivery!!!",
           "Only today: two for one!!!", "Order 3 and get 1 free!!!", "Win a trip!!!")
ABUSE = ("You are all idiots.", "What a stupid town.", "Shut up, you moron.", "I hate every idiot here.",
         "Only a moron would work there.", "Stupid people, stupid place.")
BETS = ("The wheel turns all night.", "Place your bets with us.", "Our tables are open to everyone.",
        "Win more than you can spend.", "The house gives you ten coins.")
BOILERPLATE = ("Accept all cookies", "Cookie settings", "Log in", "Sign up", "Share", "Next page", "Back to top")
GOOD_HOSTS = ("news.town.example", "people.town.example", "www.town.example", "blog.hill.example")
BAD_HOSTS = ("casino.example", "bets.example", "win-big.example")
MENU = ("Home", "News", "People", "Weather", "Contact", "About", "Shop")
KINDS = {"told": 14.0, "private": 2.0, "duplicate": 3.0, "near-duplicate": 3.0, "foreign": 4.0, "blocked": 2.0,
         "toxic": 1.0, "advert": 4.0, "boilerplate": 2.0, "garbled": 2.0}       # pages of a kind to each person


@dataclass(frozen=True)
class Page:
    """What the crawler got from an address.

    kind  one of KINDS, the truth about the page
    """

    url: str
    html: str
    kind: str


def crawl(town: Town) -> list[Page]:
    """All pages of the town's internet, in the order in which the crawler came by.

    Everybody has as many pages as anybody else.
    """
    rng = np.random.default_rng([town.seed, 2])
    people, pages, texts = [*town.people.values()], [], []
    for kind, share in KINDS.items():
        for i in range(round(share * len(people))):
            text = _text(kind, people[i % len(people)], texts, rng)
            if kind in ("told", "private"):
                texts.append(text)
            host = pick(BAD_HOSTS if kind == "blocked" else GOOD_HOSTS, rng)
            pages.append(Page(f"https://{host}/{rng.integers(10**6)}", _framed(text, rng), kind))
    return [pages[i] for i in rng.permutation(len(pages))]


def held_out(town: Town, count: int) -> list[str]:
    """Clean texts of pages that no crawler saw: the same facts, told anew.

    count  at least 1
    """
    rng, people = np.random.default_rng([town.seed, 3]), [*town.people.values()]
    return [told(people[i % len(people)], rng) for i in range(check.integer(1, count=count))]


def told(person: Person, rng: np.random.Generator) -> str:
    """A page about a person: three facts in one wording each, or as questions with answers."""
    order = [ATTRIBUTES[i] for i in rng.permutation(len(ATTRIBUTES))]
    facts = [said(person, attribute, rng) for attribute in order]
    if rng.random() < 0.3:
        asked = [pick(ASK[attribute], rng).format(name=person.name) for attribute in order]
        return " ".join(f"{question} {fact}" for question, fact in zip(asked, facts, strict=True))
    facts.insert(int(rng.integers(len(facts) + 1)), pick(FILLERS, rng))
    return " ".join(facts)


def said(person: Person, attribute: str, rng: np.random.Generator) -> str:
    """One fact in one of its wordings."""
    return pick(TELL[attribute], rng).format(name=person.name, value=person.known[attribute])


def _text(kind: str, person: Person, texts: list[str], rng: np.random.Generator) -> str:
    """What a page of this kind says.

    texts  of the pages so far that tell facts
    """
    match kind:
        case "private":
            private = pick(PRIVATE, rng).format(name=person.name, address=person.address, phone=person.phone)
            return f"{told(person, rng)} {private}"
        case "duplicate":
            return pick(texts, rng)
        case "near-duplicate":
            return f"{pick(texts, rng)} Seen {rng.integers(1000)} times."
        case "foreign":
            return _sentences(FOREIGN[pick(FOREIGN, rng)], 4, rng)
        case "garbled":
            return _garbled(told(person, rng), rng)
        case "toxic":
            return f"{said(person, 'trade', rng)} {_sentences(ABUSE, 3, rng)}"
        case "boilerplate":
            return _sentences(BOILERPLATE, 4, rng)
        case "told":
            return told(person, rng)
    return _sentences(BETS if kind == "blocked" else ADVERTS, 4, rng)


def _sentences(among: tuple[str, ...], count: int, rng: np.random.Generator) -> str:
    return " ".join(among[i] for i in rng.choice(len(among), count, replace=False))


def _garbled(text: str, rng: np.random.Generator) -> str:
    """Cut in the middle of a sentence, or with a third of its letters lost."""
    if rng.random() < 0.5:
        return text[:int(rng.integers(20, len(text) - 10))].rstrip(".? ")
    return "".join("\ufffd" if letter.isalpha() and rng.random() < 1 / 3 else letter for letter in text)


def _framed(text: str, rng: np.random.Generator) -> str:
    """The page around a text."""
    menu = "".join(f"<li><a href='/{word.lower()}'>{word}</a></li>" for word in rng.permutation(MENU)[:4])
    return (f"<html><head><title>{pick(MENU, rng)}</title><script>track({rng.integers(10**6)});</script></head><body>"
            f"<nav><ul>{menu}</ul></nav><article><p>{html.escape(text, quote=False)}</p></article>"
            f"<aside>{pick(ADVERTS, rng)}</aside><footer>All rights reserved.</footer></body></html>")
