"""How often a search finds the one memory that answers: recall@5, @10, @20, without any language model.

The corpus is generated with exact labels: people tell names, codes, dates, likes and dislikes, corrections,
and things whose question shares no word with the answer, among much talk of the same kind. Beside the hybrid
stand its two legs alone and words re-ordering the meaning leg's ten best, which is what systems without a
union do.

Run: `python benchmarks/recall.py [--people N] [--embedder auto|minilm|hashing]`. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from instar.core.clock import ManualClock
from instar.core.ids import MemoryId, PersonId
from instar.core.records import Memory, Scope
from instar.embeddings.choose import choose_embedder
from instar.stores.memories.embedded import EmbeddedMemoryStore
from instar.stores.memories.port import Hit
from instar.stores.segment.files import MemoryFiles

NOW = datetime(2026, 3, 12, 12, tzinfo=UTC)
DEPTHS = (5, 10, 20)
SEARCHED = 200
METHODS = ("hybrid", "meaning only", "words only", "meaning top 10, words re-order")

NAMES = "Ada Bruno Chiara Deniz Elif Farid Greta Hanna Igor Jonas Katya Liam Mara Nils Olga Pavel Rosa Sven Tara Uwe Vera Wim Yara Zeno".split()
RELATIONS = "sister brother mother father cousin aunt uncle neighbour boss dentist teacher roommate grandmother landlord".split()
PLACES = "bike lock;garden gate;locker at the gym;office door;basement;safe;garage;alarm;suitcase;mailbox".split(";")
CITIES = "Oslo Lisbon Gdansk Turin Ghent Malmo Porto Graz Bergen Leipzig Seville Tartu Cork Split Basel Nantes".split()
FOODS = "olives mushrooms aubergines anchovies coriander liquorice pumpkin oysters beetroot marzipan lentils radishes".split()
EVENTS = (
    "went to the opera with {n};climbed the hill behind {c};broke my phone on the stairs;met {n} at the harbour;"
    "sold my old bicycle to {n};took the night train to {c};had a tooth pulled;planted two apple trees;"
    "lost my keys in {c};finished the book that {n} lent me;painted the kitchen;got stuck in a lift with {n}"
).split(";")
CHAT = (
    "I had coffee with {n} and we talked about {f}.;The weather in {c} was awful today.;{n} sent me a picture of {c}.;"
    "My {r} wants to cook {f} for everyone.;I could not sleep because of the noise from the street.;"
    "{n} and {m} are planning a trip to {c}.;I saw a film about {c} and it was rather long.;"
    "My {r} asked about the {p} again.;We bought {f} at the market in {c}.;{n} said that {m} likes {f}.;"
    "The trains from {c} were late again.;I was thinking about {n} today.;My {r} forgot the birthday of {n}.;"
    "There was a long meeting about nothing.;{n} told me a story about a teacher in {c}."
).split(";")
PARAPHRASES = (
    ("I was born on the ninth of June.", "When is my birthday?"),
    ("I earn my living by repairing violins.", "What is my job?"),
    ("Peanuts make my throat swell up.", "Am I allergic to anything?"),
    ("We tied the knot in a tiny chapel.", "Where did I get married?"),
    ("My little girl just learned to walk.", "How is my daughter doing?"),
    ("I gave up cigarettes in spring.", "When did I stop smoking?"),
    ("The doctor says my blood pressure is too high.", "Do I have any health problems?"),
    ("I cannot stand being in a crowded lift.", "What am I afraid of?"),
    ("My old terrier sleeps on the sofa all day.", "Do I have a pet?"),
    ("I am saving up for a sailing boat.", "What do I want to buy?"),
    ("I grew up on a farm near the border.", "Where did I spend my childhood?"),
    ("On Tuesdays I sing bass in a choir.", "What music do I make?"),
    ("I swapped my car for a cargo bike.", "How do I get around?"),
    ("My exam results arrive at the end of the month.", "When will I know whether I passed the test?"),
    ("I take my coffee black, without anything in it.", "Do I put milk or sugar in my drink?"),
    ("Mathematics was torture for me at school.", "Which subject did I hate as a pupil?"),
    ("I speak Portuguese with my in-laws.", "Which languages do I know?"),
    ("The landlord is kicking us out in autumn.", "Why do I have to move?"),
    ("I wrote a thesis about moths.", "What did I study at university?"),
    ("I am up at five every morning.", "Am I an early bird?"),
)


@dataclass(frozen=True)
class Question:
    """A question, what it is about, and the ids that answer it."""

    kind: str
    person: PersonId
    text: str
    answers: frozenset[str]
    wrong: frozenset[str] = frozenset()
    """What was corrected since; it must not be found at all."""


class Corpus:
    """What a person told, and what to ask. The same seed gives the same corpus."""

    def __init__(self, person: str, seed: int, talk: int) -> None:
        self.person = PersonId(person)
        self.random = random.Random(f"{seed} {person}")
        self.memories: list[Memory] = []
        self.corrections: list[tuple[MemoryId, Memory]] = []
        self.questions: list[Question] = []
        for told in (
            self._names,
            self._codes,
            self._dates,
            self._weeks,
            self._likes,
            self._corrected,
            self._other_words,
        ):
            told()
        for _ in range(talk):
            self._told(self._line(self.random.choice(CHAT)), self._some_time(), "episode")

    def _some_time(self) -> datetime:
        return NOW - timedelta(minutes=self.random.randrange(60 * 24 * 700))

    def _line(self, template: str) -> str:
        name, other = self.random.sample(NAMES, 2)
        draw = self.random.choice
        return template.format(n=name, m=other, c=draw(CITIES), f=draw(FOODS), r=draw(RELATIONS), p=draw(PLACES))

    def _memory(self, text: str, at: datetime, kind: str = "fact") -> Memory:
        number = len(self.memories) + len(self.corrections)
        return Memory(
            id=MemoryId(f"{self.person}-{number:05d}"), person=self.person, kind=kind, text=text, created_at=at
        )  # type: ignore[arg-type]

    def _told(self, text: str, at: datetime, kind: str = "fact") -> str:
        self.memories.append(self._memory(text, at, kind))
        return self.memories[-1].id

    def _ask(self, kind: str, text: str, *answers: str, wrong: Sequence[str] = ()) -> None:
        self.questions.append(Question(kind, self.person, text, frozenset(answers), frozenset(wrong)))

    def _names(self) -> None:
        for relation, name in zip(RELATIONS, self.random.sample(NAMES, len(RELATIONS)), strict=True):
            told = self._told(f"My {relation} is called {name}.", self._some_time())
            self._ask("names", f"What is the name of my {relation}?", told)

    def _codes(self) -> None:
        for place in PLACES:
            code = f"{self.random.choice('KLMX')}{self.random.randrange(1000, 9999)}"
            told = self._told(f"The code of the {place} is {code}.", self._some_time(), "note")
            self._ask("codes", f"How do I open the {place}?", told)
            self._ask("codes", f"What is {code} for?", told)

    def _dates(self) -> None:
        days = self.random.sample(range(1, 360), len(EVENTS))
        for day, event in zip(days, EVENTS, strict=True):
            at = datetime(2025, 1, 1, 9, tzinfo=UTC) + timedelta(days=day)
            told = self._told(f"On {at.day} {at:%B} I {self._line(event)}.", at + timedelta(days=40), "episode")
            self._ask("dates", f"What did I do on {at.day} {at:%B}?", told)

    def _weeks(self) -> None:
        for weeks, phrase in ((1, "last week"), (2, "two weeks ago"), (3, "three weeks ago")):
            at = NOW - timedelta(days=NOW.weekday() - self.random.randrange(7) + 7 * weeks)
            told = self._told(f"The boat club met at {self._line('{c}')} to repair the pier.", at, "episode")
            self._ask("time expressions", f"Where did the boat club meet {phrase}?", told)
        for _ in range(25):
            self._told(
                f"The boat club met at {self._line('{c}')} to repair the pier.",
                self._some_time() - timedelta(days=60),
                "episode",
            )

    def _likes(self) -> None:
        foods = self.random.sample(FOODS, len(FOODS))
        for food in foods[::2]:
            self._ask("negations", f"Do I like {food}?", self._told(f"I do not like {food} at all.", self._some_time()))
        for food in foods[1::2]:
            self._ask("negations", f"Do I like {food}?", self._told(f"I love {food}.", self._some_time()))

    def _corrected(self) -> None:
        first, second = self.random.sample(CITIES, 2)
        old = self._told(f"I live in {first}.", self._some_time())
        new = self._memory(f"I moved, I live in {second} now.", NOW - timedelta(days=3))
        self.corrections.append((MemoryId(old), new))
        self._ask("corrections", "Where do I live?", new.id, wrong=[old])
        self._ask("corrections", "Which city is my home?", new.id, wrong=[old])

    def _other_words(self) -> None:
        for statement, question in PARAPHRASES:
            self._ask("other words", question, self._told(statement, self._some_time()))


def order_of(method: str, hits: Sequence[Hit]) -> list[str]:
    """The ids in the order another method would have given, taken from the ranks in `why`."""
    if method == "hybrid":
        return [hit.memory.id for hit in hits]
    if method == "words only":
        return _by_rank({hit.memory.id: hit.why.word_rank for hit in hits})
    near = _by_rank({hit.memory.id: hit.why.meaning_rank for hit in hits})
    if method == "meaning only":
        return near
    words = {hit.memory.id: hit.why.word_rank or SEARCHED for hit in hits}
    return sorted(near[:10], key=lambda memory_id: words[memory_id])


def _by_rank(ranks: dict[MemoryId, int | None]) -> list[str]:
    return [memory_id for _, memory_id in sorted((rank, memory_id) for memory_id, rank in ranks.items() if rank)]


class Tally:
    """Found and asked, by method, kind and depth."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, int], float] = defaultdict(float)
        self.asked: dict[str, int] = defaultdict(int)
        self.corrected_found = 0

    def count(self, question: Question, hits: Sequence[Hit]) -> None:
        for kind in (question.kind, "all"):
            self.asked[kind] += 1
            for method in METHODS:
                order = order_of(method, hits)
                for depth in DEPTHS:
                    share = len(question.answers.intersection(order[:depth])) / len(question.answers)
                    self.found[method, kind, depth] += share
        self.corrected_found += len(question.wrong.intersection(hit.memory.id for hit in hits))

    def recall(self, method: str, kind: str, depth: int) -> float:
        return self.found[method, kind, depth] / self.asked[kind]

    def table(self) -> Iterator[str]:
        yield f"{'questions':<18}{'asked':>7}  " + "".join(f"{method:>32}" for method in METHODS)
        for kind in sorted(self.asked, key=lambda each: (each == "all", each)):
            cells = ("/".join(f"{self.recall(method, kind, depth):.3f}" for depth in DEPTHS) for method in METHODS)
            yield f"{kind:<18}{self.asked[kind]:>7}  " + "".join(f"{cell:>32}" for cell in cells)


async def measured(people: int, talk: int, seed: int, embedder_kind: str) -> tuple[str, Tally, int]:
    """Tell everything, ask everything."""
    embedder = choose_embedder(embedder_kind)
    store = await EmbeddedMemoryStore.open(
        MemoryFiles(), clock=ManualClock(NOW), epoch=1, forget_key=bytes(32), embedder=embedder
    )
    tally, told = Tally(), 0
    corpora = [Corpus(f"person-{number}", seed, talk) for number in range(people)]
    for corpus in corpora:
        await store.remember(corpus.memories)
        for old, new in corpus.corrections:
            await store.supersede(old, new)
        told += len(corpus.memories) + len(corpus.corrections)
    for corpus in corpora:
        for question in corpus.questions:
            hits = await store.search(question.text, scope=Scope(corpus.person), limit=SEARCHED, now=NOW)
            tally.count(question, hits)
    await store.close()
    return embedder.name, tally, told


def main(arguments: Sequence[str] = ()) -> int:
    """Print the table and the JSON line; 1 when the hybrid is not at least as good as its better leg."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--talk", type=int, default=600, help="other things each person said")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--embedder", default="auto")
    given = parser.parse_args(arguments)
    name, tally, told = asyncio.run(measured(given.people, given.talk, given.seed, given.embedder))
    print(f"{told:,} memories of {given.people} people; {name}; recall@5/@10/@20")
    print("\n".join(tally.table()))
    print(f"corrected statements found: {tally.corrected_found}")
    figures = {
        method: {f"@{depth}": round(tally.recall(method, "all", depth), 4) for depth in DEPTHS} for method in METHODS
    }
    better = max(figures["meaning only"]["@10"], figures["words only"]["@10"])
    held = figures["hybrid"]["@10"] >= better and tally.corrected_found == 0
    print(
        json.dumps(
            {
                "benchmark": "recall",
                "memories": told,
                "embedder": name,
                "recall": figures,
                "corrected_found": tally.corrected_found,
                "held": held,
            }
        )
    )
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
