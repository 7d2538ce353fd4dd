# ruff: noqa: RUF001 - curly quotes are what people type
"""The responder without a language model: it answers by quoting what was recalled, and cites it.

It writes nothing of its own but the frame around a quotation. When nothing recalled answers a question it
says so. The first reply a conversation shows ends with one line on what answers and how to connect a model.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, ClassVar

import msgspec

from instar.models.port import ChatModel, Cited, Evidence, Finished, ModelEvent, Request, TextDelta
from instar.models.wording import folded, sentences, stem, stems, word_set, words

CLOSING = "(Quoted from memory; I am not a language model. To connect one, set INSTAR_MODEL_URL and INSTAR_MODEL_NAME.)"

ANSWER_MIN = 0.6  # measured on generated talk: below it, more answers are wrong than right
COVERAGE_MIN = 0.25  # a sentence that covers less of a question answers it only if it means nearly the same
MEANING_MIN = 0.3  # cosines below say nothing, with either embedder
MEANING_NEAR = 0.6  # a cosine from here on stands for covered words
STANDS_OUT_MIN = 0.44  # measured with MiniLM: the nearest message to a question nothing answers is below it
STANDS_OUT_BY = 0.12  # or has others as near beside it; what answers in other words stands alone
ASKED_SCORE = 2.0  # above every cosine: evidence the question asks for by name
PLAIN_MIN = 0.75  # from here on the quotation is given as the answer, below it as the closest there is
PLAIN_COVERAGE = 0.6  # the colour of the kitchen is not plainly the colour of the bathroom
PLAIN_NEAR = 0.7  # unless the meaning as a whole is that near
EVIDENCE_USUAL = 40  # with less, a word's frequency says little, and the weights are those of so many
UNSEEN_AS = 4  # a word that no evidence holds tells less than a rare one: it may be a paraphrase
QUOTE_MAX_CHARS = 400
QUOTES_MAX = 3
FACTS_QUOTED_MAX = 5  # more are listed without the messages' words
SPEAKER_QUOTES_MAX = 5  # "What did X say about Y?" asks for all of it
_NEARLY = 0.92  # a second quotation must be this close to the first
_SPEAKER_NEARLY = 0.7
_REPORTED_BONUS = 0.2
_REPORTED_COVERAGE = 0.45  # a report of the right person about another matter is no answer
_PLAIN_BONUS = 0.1
_FOUND_FIRST = 0.15
_SAID_LAST = 0.08
_CONTEXT_SHARE = 0.6  # what the rest of the message covers counts this much
_RELATED_SHARE = 0.8  # a related word counts nearly as much as the word itself


class Quotation(msgspec.Struct, frozen=True):
    """A sentence that may answer, and how well."""

    place: int
    sentence: str
    score: float
    plain: bool
    """True when it holds most of what was asked, in the shape that was asked for."""


class Answer(msgspec.Struct, frozen=True):
    """What to say and the evidence it rests on, by place."""

    text: str
    cited: tuple[int, ...] = ()


class ExtractiveResponder:
    """A `ChatModel` that is no language model."""

    kind: ClassVar[str] = "extractive"
    name: ClassVar[str] = "extractive responder"

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        answer = answered(request)
        if answer.cited:
            yield Cited(answer.cited)
        for piece in re.findall(r"\S+\s*", answer.text):
            yield TextDelta(piece)
        if not _said_before(request):
            yield TextDelta(f"\n{CLOSING}")
        yield Finished(reason="stop", responder_kind=self.kind, responder_name=self.name)

    async def close(self) -> None:
        """Nothing is held."""


def _said_before(request: Request) -> bool:
    """True when the conversation, as far as it is seen, already says what answers here."""
    return any(message.role == "assistant" and CLOSING in message.content for message in request.messages)


def answered(request: Request) -> Answer:
    """The answer to the newest message of `request`, from its evidence alone."""
    text = request.messages[-1].content
    evidence = request.evidence
    if any(each.kind == "forgotten" for each in evidence):
        return _forgotten([each for each in evidence if each.kind == "forgotten"])
    asked = [sentence for sentence in sentences(text) if _QUESTION.search(sentence)]
    learned = [each for each in evidence if each.kind == "learned"]
    if not asked:
        return _acknowledged(text, learned)
    found = _found(" ".join(asked), evidence)
    return Answer("\n".join([*_noted(learned), found.text]), found.cited)


_QUESTION = re.compile(
    r"[?？؟][\"'”’)\]]*\s*$|^(?:(?:so|and|but|ok|okay|well|hey|hi|hello|please|then)[, ]+)*"
    r"(?:who|whom|whose|what|which|where|when|why|how|do|does|did|is|are|am|was|were|can|could|will|would|should|"
    r"has|have|had|what's|who's|where's|when's|how's|tell me|remind me|show me|list|find|search|recall|summari[sz]e|describe|explain)\b",
    re.IGNORECASE,
)
_IDENTITY = re.compile(
    r"^\W*(?:who|what) are you\W*$|\bare you (?:an? )?(?:ai|bot|robot|human|person|language model|llm|real)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(r"^\W*(?:hi|hello|hey|hiya|good (?:morning|evening|afternoon))\b", re.IGNORECASE)
_THANKS = re.compile(r"^\W*(?:thanks?|thank you|thx|cheers)\b", re.IGNORECASE)
_SPEAKER = re.compile(
    r"\b(?:did|does|has|had|do)(?: it)? (?P<speaker>(?!i\b|you\b|we\b|it\b|my\b|they\b)[\w .'’-]{2,60}?) (?:ever )?"
    r"(?:say|says|said|tell|told|think|thinks|write|wrote|written|mention|mentioned|ask|asked|answer|suggest|recommend|explain|reply|feel)\b",
    re.IGNORECASE,
)
_REPORTED = re.compile(
    r"\b(?:say|says|said|tells?|told|thinks?|thought|wrote|writes?|mention(?:s|ed)|ask(?:s|ed)|answer(?:s|ed)|suggest(?:s|ed)|"
    r"recommend(?:s|ed)|explain(?:s|ed)|repl(?:ies|ied)|warn(?:s|ed)|advis(?:es|ed)|promis(?:es|ed)|according to)\b",
    re.IGNORECASE,
)
_OWN = re.compile(r"\b(?:my|i|i'm|i've|me|mine|myself)\b", re.IGNORECASE)

_NUMBER = re.compile(
    r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|dozen)\b"
)
_TIME = re.compile(
    r"\b(?:january|february|march|april|may|june|july|august|september|october|november|december|monday|tuesday|wednesday|"
    r"thursday|friday|saturday|sunday|today|tomorrow|yesterday|tonight|morning|evening|noon|midnight|week|month|year|spring|summer|"
    r"autumn|winter|christmas|easter|o'clock|(?:19|20)\d\d|\d{1,2}(?::\d\d|\.\d\d| ?[ap]m|th\b|st\b|rd\b|nd\b))"
)
_PROPER = re.compile(r"(?<=\s)[^\W\d_a-z]\w+|\b(?:called|named|name is|name's)\b")
_PLACE = re.compile(r"\b(?:in|at|near|on|to|from|under|behind|next to|inside|above|below|by)\b")
_REASON = re.compile(r"\b(?:because|since|so that|due to|reason|in order to)\b")
_WANTED = (
    (re.compile(r"\b(?:when|what (?:day|date|time|year|month)|which (?:day|date|year|month))\b"), _TIME, 0.15),
    (re.compile(r"\b(?:how (?:many|much|old|long|far|often|tall|big|heavy|fast)|number|code|pin|what time|size|price|cost)\b"), _NUMBER, 0.2),
    (re.compile(r"\b(?:who|whose|called|name)\b"), _PROPER, 0.12),
    (re.compile(r"\bwhere\b"), _PLACE, 0.08),
    (re.compile(r"\bwhy\b"), _REASON, 0.15),
)  # fmt: skip
"""What a kind of question wants to see in its answer, and how much that counts."""

_VAGUE = frozenset(
    stem(word)
    for word in word_set(
        "name call thing kind type sort many much time day date way lot people person new old get go come make take "
        "use want like give need one find long place happen number last first next good"
    )
)
"""Words that narrow a question a little."""

_RELATED: dict[str, int] = {
    stem(word): number
    for number, group in enumerate(
        (
            "job work profession occupation career employ trade", "film movie cinema", "car vehicle drive volvo",
            "doctor physician dr gp", "child son daughter baby", "flat apartment", "house home live",
            "holiday vacation trip", "wife husband partner spouse marry wedding marriage", "shop store",
            "favourite favorite best", "hate dislike detest", "ill sick illness", "begin start", "end finish",
            "mum mom mother", "dad father", "phone telephone mobile", "bike bicycle cycle", "colour color",
            "neighbour neighbor", "exam test", "allergic allergy", "born birthday", "present gift",
            "afraid scared fear phobia", "recommend suggest advise", "novel book", "town city village", "relocate move",
            "repair fix mend", "password code pin", "plane flight fly", "instrument play", "buy purchase bought",
            "meal dinner lunch", "salary earn pay", "cost price", "dog puppy", "cat kitten", "meeting appointment",
            "garden plant grow", "wine drink beer", "study degree university", "dentist tooth", "hospital surgery operation",
        )
    )
    for word in group.split()
}  # fmt: skip


def _found(question: str, evidence: Sequence[Evidence]) -> Answer:
    if _IDENTITY.search(question):
        return Answer("I am an agent without a language model: I remember what I am told and answer by quoting it.")
    facts = [place for place, each in enumerate(evidence) if each.kind == "fact" and each.score >= ASKED_SCORE]
    if facts:
        return _facts(facts, evidence)
    quotations = _quotations(question, evidence)
    if not quotations:
        return Answer("I have nothing about that yet.")
    return _quoted(quotations, evidence, speaker=_speaker(question))


def _facts(places: Sequence[int], evidence: Sequence[Evidence]) -> Answer:
    if len(places) > FACTS_QUOTED_MAX:
        lines = ["This is what you told me of yourself:", *(f"- {_stated(evidence[place])}" for place in places)]
    else:
        lines = [_fact(place, evidence) for place in places]
    return Answer("\n".join(dict.fromkeys(lines)), tuple(places))


def _fact(place: int, evidence: Sequence[Evidence]) -> str:
    fact = evidence[place]
    stated = _stated(fact)
    source = next(
        (each for each in evidence if each.kind != "fact" and each.message_id and each.message_id == fact.message_id and each.channel == fact.channel),
        None,
    )  # fmt: skip
    if source is None:
        return f"{stated} You told me{_on(fact)}." if fact.said_at else stated
    return f'{stated} You told me{_on(fact)}: "{_short(_sentence_with(fact.value or "", source.text))}"'


def _stated(fact: Evidence) -> str:
    return f"{to_second_person(fact.text).rstrip('.')}."


def _sentence_with(value: str, text: str) -> str:
    parts = sentences(text)
    return next((part for part in parts if value.casefold() in part.casefold()), parts[0] if parts else text)


def _quoted(quotations: Sequence[Quotation], evidence: Sequence[Evidence], *, speaker: str) -> Answer:
    best = quotations[0]
    count, nearly = (SPEAKER_QUOTES_MAX, _SPEAKER_NEARLY) if speaker else (QUOTES_MAX, _NEARLY)
    chosen = [each for each in quotations[:count] if each.score >= nearly * best.score]
    lines = [f'{_who(evidence[each.place])}{_on(evidence[each.place])}: "{_short(each.sentence)}"' for each in chosen]
    if not best.plain:
        lines.insert(0, "I am not sure that this answers it; it is the closest I have.")
    return Answer("\n".join(lines), tuple(each.place for each in chosen))


def _quotations(question: str, evidence: Sequence[Evidence]) -> list[Quotation]:
    """The best sentence of each piece of evidence that covers enough of the question, best first."""
    speaker = _speaker(question)
    heard = [each for each in evidence if _said_by(each, speaker)]
    asked = list(dict.fromkeys(stems(question)))
    if heard:
        asked = [each for each in asked if each not in stems(speaker)] or asked
    if not asked:
        return []
    allowed = [place for place, each in enumerate(evidence) if _may_answer(each, speaker, question, heard)]
    texts = {place: stems(evidence[place].text) for place in allowed}
    alone = _standing_out(allowed, evidence)
    weights = _weights(asked, list(texts.values()))
    found = [
        quotation
        for place in allowed
        if (quotation := _best_sentence(place, evidence[place], asked, weights, question, alone=alone)) is not None
    ]
    ranks = _ranks(allowed, evidence)
    found.sort(key=lambda each: (-(each.score + ranks[each.place] + _PLAIN_BONUS * each.plain), each.place))
    return _distinct(found, evidence)


def _ranks(places: Sequence[int], evidence: Sequence[Evidence]) -> dict[int, float]:
    """What being found first and being said last add: the newest word on a matter is the one that holds."""
    dated = sorted((each.said_at, place) for place in places if (each := evidence[place]).said_at is not None)
    newest = {place: (order + 1) / len(dated) for order, (_, place) in enumerate(dated)}
    return {
        place: _FOUND_FIRST / (1 + order) + _SAID_LAST * newest.get(place, 0.0) for order, place in enumerate(places)
    }


def _distinct(found: Sequence[Quotation], evidence: Sequence[Evidence]) -> list[Quotation]:
    """Each message and each wording once: a fact and the episode it came from are one source."""
    seen: set[object] = set()
    distinct = []
    for each in found:
        source = evidence[each.place]
        marks = {_source(source), folded(each.sentence)}
        if not marks & seen:
            distinct.append(each)
        seen |= marks
    return distinct


def _best_sentence(
    place: int, each: Evidence, asked: Sequence[str], weights: dict[str, float], question: str, *, alone: frozenset[int]
) -> Quotation | None:
    whole = set(stems(f"{each.text} {each.author_name or ''} {each.author or ''}"))
    best: Quotation | None = None
    for sentence in sentences(each.text):
        if _QUESTION.search(sentence):
            continue
        covered = _coverage(asked, set(stems(sentence)), whole, weights)
        near, wanted = max(0.0, min(each.score, 1.0) - MEANING_MIN), _wanted(question, sentence)
        score = covered + near + wanted + _reported(question, sentence, covered)
        answers = score >= ANSWER_MIN and (covered >= COVERAGE_MIN or each.score >= MEANING_NEAR)
        answers = answers or (place in alone and wanted >= 0)
        if answers and (best is None or score > best.score):
            holds_it = covered >= PLAIN_COVERAGE or each.score >= PLAIN_NEAR
            best = Quotation(place, sentence, score, plain=wanted >= 0 and holds_it and covered + near >= PLAIN_MIN)
    return best


def _coverage(asked: Sequence[str], sentence: set[str], whole: set[str], weights: dict[str, float]) -> float:
    """The weighted share of the question's words that the sentence, or less so its message, holds."""
    total = sum(weights[each] for each in asked)
    covered = sum(weights[each] * max(_match(each, sentence), _CONTEXT_SHARE * _match(each, whole)) for each in asked)
    return covered / total if total else 0.0


def _match(asked: str, told: set[str]) -> float:
    if asked in told:
        return 1.0
    group = _RELATED.get(asked)
    return _RELATED_SHARE if group is not None and any(_RELATED.get(each) == group for each in told) else 0.0


def _weights(asked: Sequence[str], texts: Sequence[Sequence[str]]) -> dict[str, float]:
    """Inverse document frequency over the evidence; vague words count a third."""
    count = max(len(texts), EVIDENCE_USUAL)
    holding = {each: sum(each in text for text in texts) for each in asked}
    return {
        each: math.log(1 + (count + 1) / (holding[each] or UNSEEN_AS)) * (0.3 if each in _VAGUE else 1.0)
        for each in asked
    }


def _wanted(question: str, sentence: str) -> float:
    """What the kind of question adds for a sentence of the shape it wants, and takes from one without."""
    asked = folded(question)
    wanted = [(shape, amount) for kind, shape, amount in _WANTED if kind.search(asked)]
    return sum(amount if shape.search(_seen_by(shape, sentence)) else -amount for shape, amount in wanted)


def _seen_by(shape: re.Pattern[str], sentence: str) -> str:
    return sentence if shape is _PROPER else folded(sentence)


def _reported(question: str, sentence: str, covered: float) -> float:
    """What it adds that somebody's words, asked for, are told by somebody else: "The vet thinks that ..."."""
    told = covered >= _REPORTED_COVERAGE and _speaker(question) and _REPORTED.search(sentence)
    return _REPORTED_BONUS if told else 0.0


def _may_answer(each: Evidence, speaker: str, question: str, heard: Sequence[Evidence]) -> bool:
    """True for what the speaker asked for said, or, when they never spoke here, for what others tell of them."""
    if each.kind in {"learned", "forgotten"}:
        return False
    if heard:
        return each in heard
    if speaker:
        told = set(stems(each.text))
        return any(_match(name, told) for name in stems(speaker))
    return each.own or not _OWN.search(question)


def _said_by(each: Evidence, speaker: str) -> bool:
    return bool(set(words(speaker)) & set(words(f"{each.author_name or ''} {each.author or ''}")))


def _standing_out(places: Sequence[int], evidence: Sequence[Evidence]) -> frozenset[int]:
    """The places of the one message whose meaning is near to the question and far from every other's."""
    nearest: dict[object, float] = {}
    for place in places:
        each = evidence[place]
        if each.score < ASKED_SCORE and not all(map(_QUESTION.search, sentences(each.text))):
            source = _source(each)
            nearest[source] = max(nearest.get(source, 0.0), each.score)
    best, second = [*sorted(nearest.values(), reverse=True), 0.0, 0.0][:2]
    if best < STANDS_OUT_MIN or best - second < STANDS_OUT_BY:
        return frozenset()
    return frozenset(place for place in places if nearest.get(_source(evidence[place])) == best)


def _source(each: Evidence) -> tuple[str | None, str | None]:
    return (each.channel, each.message_id or each.memory_id)


def _speaker(question: str) -> str:
    match = _SPEAKER.search(question)
    return match["speaker"] if match else ""


def _acknowledged(text: str, learned: Sequence[Evidence]) -> Answer:
    if learned:
        return Answer("\n".join(_noted(learned)))
    if _GREETING.search(text):
        return Answer("Hello. Tell me something to remember, or ask about what you have told me.")
    if _THANKS.search(text):
        return Answer("You are welcome.")
    return Answer("I will remember that." if _substance(text) else "All right.")


def _noted(learned: Sequence[Evidence]) -> list[str]:
    if not learned:
        return []
    stated = [to_second_person(each.text).rstrip(".") for each in learned]
    listed = "; ".join(each[:1].lower() + each[1:] if each.startswith("You") else each for each in stated)
    return [f"Noted: {listed}."]


def _forgotten(gone: Sequence[Evidence]) -> Answer:
    texts = [to_second_person(each.text).rstrip(".") for each in gone if each.text]
    if not texts:
        return Answer("I found nothing of that to forget.")
    return Answer(
        f'I have forgotten this: "{_short("; ".join(texts))}". The message itself stays in this conversation.'
    )


def _substance(text: str) -> bool:
    return len(stems(text)) > 0


def _who(each: Evidence) -> str:
    if each.own:
        return "You told me"
    return f"{each.author_name or each.author or 'Someone'} said"


def _on(each: Evidence) -> str:
    return f" on {each.said_at.date().isoformat()}" if each.said_at else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= QUOTE_MAX_CHARS else line[: QUOTE_MAX_CHARS - 2] + " …"


_SECOND = {
    "i": "you", "i'm": "you're", "i've": "you've", "i'd": "you'd", "i'll": "you'll", "my": "your", "mine": "yours",
    "me": "you", "myself": "yourself", "am": "are", "was": "were",
}  # fmt: skip


def to_second_person(text: str) -> str:
    """A statement in the first person, said to the one who made it: "My birthday is 3 May", "Your birthday ..."."""
    first_person = re.search(r"\bi\b", text, re.IGNORECASE) is not None

    def turned(match: re.Match[str]) -> str:
        word = match.group()
        if word.casefold() == "was" and not first_person:
            return word
        new = _SECOND[word.casefold().replace("’", "'")]
        return new.capitalize() if match.start() == 0 else new

    pattern = r"\b(?:i'm|i've|i'd|i'll|i|my|mine|me|myself|am|was)\b(?!['’])"
    return re.sub(pattern, turned, text.replace("’", "'"), flags=re.IGNORECASE)


if TYPE_CHECKING:
    _fulfils: type[ChatModel] = ExtractiveResponder
