"""Who lives in the town: names, and what is true of each person.

A person has a first name and a last name, and no two have both.  Three things are known of everybody and may be told:

    trade    one of 20, "baker"             what is the trade of Ann Reed?
    place    one of 20, "old mill"          where does Ann Reed work?
    age      a number from 20 to 79         how old is Ann Reed?

The three are drawn independently, so no one of them says anything of another: who knows a fact has read it.
72 people make 216 facts.  Two more things are true of each and are nobody's business: a street with a number, and a
telephone.  They stand on some pages (`pages`), and curation takes them out.

72 first and 72 last names make 5,184 pairs.  5,112 of them nobody has.  Such a `stranger` sounds like everybody else:
both halves are names of somebody, so only who remembers which halves belong together can tell.

Everything is drawn from a seed: another seed is another town.
"""
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from rlscratch import check

FIRST = ("Ann", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry", "Irene", "Jack", "Karen", "Louis", "Mary",
         "Nora", "Oscar", "Paul", "Rosa", "Simon", "Tina", "Victor", "Alice", "Bruno", "Cora", "Dora", "Eric", "Fiona",
         "George", "Hanna", "Ivan", "Julia", "Kevin", "Laura", "Martin", "Nina", "Olga", "Peter", "Robert", "Sarah",
         "Thomas", "Vera", "Adam", "Bella", "Carl", "Diana", "Edgar", "Flora", "Gloria", "Hugo", "Ida", "James", "Kate",
         "Leo", "Maria", "Nick", "Otto", "Paula", "Ralph", "Susan", "Toby", "Ursula", "Walter", "Yvonne", "Arthur",
         "Betty", "Cecil", "Daisy", "Edith", "Felix", "Gina", "Harold", "Iris", "Joan")
LAST = ("Adams", "Baker", "Carter", "Dale", "Evans", "Fisher", "Green", "Hill", "Irving", "Jones", "King", "Lane",
        "Miller", "North", "Owen", "Parker", "Reed", "Stone", "Turner", "Vale", "Archer", "Brown", "Cole", "Drake",
        "Ellis", "Ford", "Grant", "Hughes", "Ives", "Jordan", "Kent", "Lewis", "Moore", "Nash", "Porter", "Quinn",
        "Russell", "Smith", "Taylor", "Wood", "Abbot", "Bell", "Cross", "Dean", "Emery", "Finch", "Gray", "Holt",
        "Ingram", "Jarvis", "Kemp", "Long", "Marsh", "Noble", "Olsen", "Page", "Rowe", "Shaw", "Todd", "Usher",
        "Vance", "Webb", "Young", "Austin", "Burke", "Clay", "Dunn", "Eaton", "Frost", "Gale", "Hart", "Isaacs")
VALUES: dict[str, tuple[str, ...]] = {
    "trade": ("baker", "smith", "teacher", "doctor", "gardener", "painter", "tailor", "weaver", "sailor", "clerk",
              "butcher", "nurse", "lawyer", "carpenter", "potter", "barber", "librarian", "farmer", "cook", "driver"),
    "place": ("old mill", "harbour", "market", "station", "school", "town hall", "museum", "park", "bridge", "castle",
              "library", "church", "theatre", "hotel", "hospital", "brewery", "garden", "factory", "post office",
              "lighthouse"),
    "age": tuple(map(str, range(20, 80))),
}
ATTRIBUTES = tuple(VALUES)
STREETS = ("Mill Street", "Harbour Lane", "Church Road", "Castle Way", "Bridge Street", "Garden Row", "Market Square",
           "Station Road")
PEOPLE = 72


@dataclass(frozen=True)
class Person:
    """Somebody of the town, or with `known` empty a name that nobody has.

    name     first and last
    known    what may be told, by attribute
    address  street and number; private, as the telephone
    phone    three digits, a dash, four digits
    """

    name: str
    known: dict[str, str]
    address: str = ""
    phone: str = ""


@dataclass(frozen=True)
class Town:
    """People, and names that nobody has.

    people     by name
    strangers  in an order that the seed decides
    seed       that it was drawn from
    """

    people: dict[str, Person]
    strangers: tuple[str, ...]
    seed: int

    @property
    def facts(self) -> list[tuple[str, str]]:
        """(name, attribute) of every fact that may be told."""
        return [(name, attribute) for name in self.people for attribute in ATTRIBUTES]

    def is_true(self, name: str, attribute: str, value: str) -> bool:
        """Whether a person of that name exists and has that value."""
        return name in self.people and self.people[name].known[attribute] == value


def town(seed: int = 0, people: int = PEOPLE) -> Town:
    """The town of a seed.

    people  how many, from 1 to 5,184

    >>> here = town(0)
    >>> len(here.people), len(here.facts), len(here.strangers)
    (72, 216, 5112)
    >>> ann = next(iter(here.people.values()))
    >>> here.is_true(ann.name, "trade", ann.known["trade"]), here.is_true(here.strangers[0], "age", "30")
    (True, False)
    """
    rng = np.random.default_rng([check.integer(0, seed=seed), 1])
    first, last, count = rng.permutation(FIRST), rng.permutation(LAST), len(FIRST)
    names = [f"{first[i % count]} {last[(i + i // count) % count]}" for i in range(count * count)]     # all pairs
    check.integer(1, len(names), people=people)
    strangers = rng.permutation(names[people:]).tolist()
    return Town({name: _person(name, rng) for name in names[:people]}, tuple(strangers), seed)


def _person(name: str, rng: np.random.Generator) -> Person:
    known = {attribute: pick(values, rng) for attribute, values in VALUES.items()}
    return Person(name, known, f"{rng.integers(1, 100)} {pick(STREETS, rng)}",
                  f"555-{rng.integers(10000):04d}")


def pick(values: Iterable[str], rng: np.random.Generator) -> str:
    """One of them, each as likely."""
    values = tuple(values)
    return values[int(rng.integers(len(values)))]
