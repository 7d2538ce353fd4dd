"""The responder without a language model quotes, cites, and says so when it has nothing."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from instar.models.extractive import ASKED_SCORE, CLOSING, ExtractiveResponder, answered, to_second_person
from instar.models.port import ChatMessage, Cited, Evidence, Finished, Request, TextDelta

AT = datetime(2026, 3, 1, tzinfo=UTC)


def asked(question: str, *evidence: Evidence) -> Request:
    return Request(messages=(ChatMessage(role="user", content=question),), evidence=evidence)


def told(text: str, number: int = 1, **fields: object) -> Evidence:
    return Evidence(
        **{"text": text, "score": 0.4, "kind": "episode", "message_id": f"m{number}", "channel": "cli", "author": "ada",
           "said_at": AT, **fields}
    )  # fmt: skip


def test_a_fact_asked_for_is_stated_dated_and_quoted() -> None:
    fact = told("My birthday is 3 May", kind="fact", score=ASKED_SCORE, attribute="birthday", value="3 May")
    source = told("We talked long. My birthday is 3 May, you know!", score=ASKED_SCORE)
    answer = answered(asked("When is my birthday?", fact, source))
    assert answer.text == 'Your birthday is 3 May. You told me on 2026-03-01: "My birthday is 3 May, you know!"'
    assert answer.cited == (0,)


def test_the_sentence_that_covers_the_question_is_quoted_and_cited() -> None:
    answer = answered(
        asked(
            "Where is the spare key?",
            told("Keys are small."),
            told("It rained. The spare key hangs behind the meter.", 2),
        )
    )
    assert answer.text == 'You told me on 2026-03-01: "The spare key hangs behind the meter."'
    assert answer.cited == (1,)


@pytest.mark.parametrize("question", ["What is my shoe size?", "Who repaired the harpsichord?", "Where is Atlantis?"])
def test_nothing_is_invented(question: str) -> None:
    answer = answered(asked(question, told("The boat is blue."), told("My passport is old.", 2)))
    assert answer == answered(asked(question))
    assert answer.text == "I have nothing about that yet."
    assert answer.cited == ()


def test_a_weak_match_is_called_one() -> None:
    answer = answered(asked("Which colour is the neighbour's boat?", told("The boat is wooden.", score=0.5)))
    assert answer.text.startswith("I am not sure that this answers it; it is the closest I have.\n")
    assert answer.cited == (0,)


def test_others_are_quoted_by_name_and_only_the_one_asked_about() -> None:
    tag = told("Ring tomatoes with shells.", 1, author="u1", author_name="Old Tag", own=False)
    bo = told("Tomatoes need sun.", 2, author="bo", own=False)
    answer = answered(asked("What did Old Tag say about tomatoes?", bo, tag))
    assert answer.text == 'Old Tag said on 2026-03-01: "Ring tomatoes with shells."'
    assert answer.cited == (1,)


def test_a_question_about_oneself_is_not_answered_with_the_words_of_others() -> None:
    other = told("My dentist is Dr. Bo.", author="tag", own=False)
    assert answered(asked("Who is my dentist?", other)).cited == ()


def test_a_question_is_not_an_answer() -> None:
    assert answered(asked("Where is the spare key?", told("Where is the spare key?"))).cited == ()


def test_what_was_learned_is_acknowledged_in_the_second_person() -> None:
    learned = told("My birthday is 3 May", kind="learned"), told("I live in Leeds", kind="learned")
    assert answered(asked("My birthday is 3 May and I live in Leeds.", *learned)).text == (
        "Noted: your birthday is 3 May; you live in Leeds."
    )
    assert answered(asked("The boat is blue.")).text == "I will remember that."
    assert answered(asked("hello")).text.startswith("Hello.")


def test_what_was_forgotten_is_confirmed() -> None:
    gone = told("My birthday is 3 May", kind="forgotten")
    assert answered(asked("Forget my birthday", gone)).text.startswith(
        'I have forgotten this: "Your birthday is 3 May".'
    )
    assert answered(asked("Forget my hat", told("", kind="forgotten"))).text == "I found nothing of that to forget."


def test_several_values_are_all_given() -> None:
    tea = told("I like tea", 1, kind="fact", score=ASKED_SCORE, attribute="likes", value="tea")
    figs = told("I like figs", 2, kind="fact", score=ASKED_SCORE, attribute="likes", value="figs")
    answer = answered(asked("What do I like?", tea, figs))
    assert answer.text.splitlines() == [
        "You like tea. You told me on 2026-03-01.",
        "You like figs. You told me on 2026-03-01.",
    ]
    assert answer.cited == (0, 1)


def test_many_facts_are_listed_and_all_cited() -> None:
    many = [told(f"I like fruit {n}", n, kind="fact", score=ASKED_SCORE, value=f"fruit {n}") for n in range(6)]
    answer = answered(asked("What do you know about me?", *many))
    assert answer.text.splitlines()[:2] == ["This is what you told me of yourself:", "- You like fruit 0."]
    assert answer.cited == tuple(range(6))


def test_it_says_what_it_is_when_asked() -> None:
    assert "without a language model" in answered(asked("Who are you?")).text


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("My birthday is 3 May", "Your birthday is 3 May"),
        ("I am from Ghent", "You are from Ghent"),
        ("I was born in 1990", "You were born in 1990"),
        ("My sister is called Mia", "Your sister is called Mia"),
        ("I'm fond of my bike", "You're fond of your bike"),
        ("I do not like it when it was me", "You do not like it when it were you"),
    ],
)
def test_statements_are_turned_to_the_one_who_made_them(first: str, second: str) -> None:
    assert to_second_person(first) == second


async def test_the_stream_cites_first_speaks_says_what_it_is_and_finishes_last() -> None:
    request = asked("Where is the spare key?", told("The spare key hangs behind the meter."))
    events = [event async for event in ExtractiveResponder().stream(request)]
    assert events[0] == Cited((0,))
    assert isinstance(events[-1], Finished)
    assert (events[-1].responder_kind, events[-1].responder_name) == ("extractive", "extractive responder")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text.endswith(f"\n{CLOSING}")
    assert "not a language model" in CLOSING


async def test_what_it_is_is_said_once_in_the_conversation_it_sees() -> None:
    request = asked("Where is the spare key?", told("The spare key hangs behind the meter."))
    earlier = ChatMessage(role="assistant", content=f"Hello.\n{CLOSING}")
    request = msgspec.structs.replace(request, messages=(earlier, *request.messages))
    events = [event async for event in ExtractiveResponder().stream(request)]
    assert CLOSING not in "".join(event.text for event in events if isinstance(event, TextDelta))


def test_what_somebody_is_told_to_have_said_is_found_under_their_title() -> None:
    iron = told("Dr. Menon said my iron level was 11.", score=0.56)
    answer = answered(asked("What did the doctor say about my iron?", iron, told("My iron is hot.", 2)))
    assert "iron level was 11" in answer.text
    assert answer.cited[0] == 0


def test_a_report_of_the_right_person_on_another_matter_is_no_answer() -> None:
    answer = answered(asked("What did the doctor say about my knee?", told("Dr. Menon said my iron was low.")))
    assert answer.text == "I have nothing about that yet."


def test_somebody_who_spoke_here_is_quoted_and_not_what_others_tell_of_them() -> None:
    bob = told("The boat leaks.", author="bob", own=False)
    answer = answered(asked("What did Bob say about the boat?", told("Bob said the boat is fine.", 2), bob))
    assert answer.cited == (1,)


def test_the_one_message_near_in_meaning_is_the_closest_there_is() -> None:
    near = told("We're getting married on the 14th of September.", score=0.55)
    far = told("The soup was cold.", 2, score=0.2)
    assert answered(asked("When is the big day?", near, far)).cited == (0,)


def test_one_of_several_equally_near_messages_answers_nothing() -> None:
    several = [told(text, place, score=0.55) for place, text in enumerate(["The soup was cold.", "The lamp broke."])]
    assert answered(asked("What of the harpsichord?", *several)).cited == ()


def test_what_lacks_half_of_what_was_asked_is_called_a_weak_match() -> None:
    answer = answered(
        asked("What colour is the bathroom ceiling?", told("The kitchen has the colour sand.", score=0.68))
    )
    assert answer.text.startswith("I am not sure that this answers it")
