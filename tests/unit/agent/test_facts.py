from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instar.agent.facts import asked_facts, asks_to_forget, is_chatter, is_question, is_singular, told_in
from instar.core.records import Fact, Message


def said(text: str, **fields: object) -> Message:
    return Message(**{"id": "m1", "channel": "cli", "author": "ada", "person": "ada", "text": text, **fields})


def facts(text: str, **fields: object) -> list[tuple[str, str]]:
    return [(fact.attribute, fact.value) for fact in told_in(said(text, **fields)).facts]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("My name is Ada Lovelace.", [("name", "Ada Lovelace")]),
        ("Hi, I'm Ada!", [("name", "Ada")]),
        ("Call me Bo", [("name", "Bo")]),
        ("My birthday is 3 May.", [("birthday", "3 May")]),
        ("my birthday’s on June 7th", [("birthday", "June 7th")]),
        ("I was born on 12 March 1990 in Kyiv", [("birthday", "12 March 1990")]),
        ("I'm 34 years old.", [("age", "34")]),
        ("I live in Leeds, and my sister is called Mia.", [("lives in", "Leeds"), ("sister", "Mia")]),
        ("I moved to Porto last week.", [("lives in", "Porto")]),
        ("I'm from a small village near Ghent.", [("from", "a small village near Ghent")]),
        ("I work as a baker.", [("job", "baker")]),
        ("My landlord's name is Mr. Okonkwo.", [("landlord", "Mr. Okonkwo")]),
        ("My dentist is Dr. Albrecht on Mill Street.", []),
        ("I'm a nurse.", [("job", "nurse")]),
        ("I work for the city library.", [("employer", "the city library")]),
        ("I'm allergic to peanuts and shellfish.", [("allergy", "peanuts and shellfish")]),
        ("I love dark chocolate because it is bitter.", [("likes", "dark chocolate")]),
        ("I don't like olives.", [("dislikes", "olives")]),
        ("I prefer tea over coffee", [("prefers", "tea over coffee")]),
        ("My favorite color is green", [("favourite colour", "green")]),
        ("My dog's name is Biscuit.", [("dog", "Biscuit")]),
        ("I have a cat named Tofu.", [("cat", "Tofu")]),
        ("My wife is Carla.", [("wife", "Carla")]),
        ("My brother Tom lives in Rome.", [("brother", "Tom")]),
        ("My locker code is 4411.", [("locker code", "4411")]),
        ("My mother's birthday is June 7.", [("mother's birthday", "June 7")]),
        ("I speak Portuguese.", [("speaks", "Portuguese")]),
        ("I'm vegetarian.", [("diet", "vegetarian")]),
        ("I grew up in Łódź.", [("from", "Łódź")]),
        ("My name is Zoë.", [("name", "Zoë")]),
    ],
)
def test_a_statement_about_oneself_is_a_fact(text: str, found: list[tuple[str, str]]) -> None:
    assert facts(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "Do I live in Rome?",
        "do you know that my name is Bob",
        "If my name is Bob, what then?",
        "I wish I lived in Paris.",
        "I used to live in Ghent.",
        "She said my name is Carl.",
        'The song goes "my name is Luka".',
        "> my birthday is 1 January",
        "My name isn't Bob.",
        "I am not allergic to cats.",
        "I never lived in Oslo.",
        "I like it.",
        "My day is terrible.",
        "I'm tired.",
        "Mia loves tomatoes.",
        "Imagine I live in a castle.",
        "Maybe I live in a dream.",
        "Forget that I live in Rome.",
        "`my name is x`",
    ],
)
def test_questions_wishes_denials_and_reports_are_no_facts(text: str) -> None:
    assert facts(text) == []


@pytest.mark.parametrize("fields", [{"role": "agent"}, {"role": "system"}, {"hidden": True}, {"selected": False}])
def test_only_what_a_person_visibly_said_states_facts(fields: dict[str, object]) -> None:
    assert facts("My name is Ada.", **fields) == []


def test_a_fact_names_the_message_it_comes_from() -> None:
    (fact,) = told_in(said("My birthday is 3 May.")).facts
    assert (fact.source_channel, fact.source_message_id, fact.text) == ("cli", "m1", "My birthday is 3 May")


@pytest.mark.parametrize(
    "text", ["No, it is 5 May", "Sorry, I meant 5 May", "actually it's 5 May.", "No, 5 May, not 4 May."]
)
def test_a_correction_means_what_was_talked_about_last(text: str) -> None:
    (fact,) = told_in(said(text), topic="birthday").facts
    assert (fact.attribute, fact.value, fact.text) == ("birthday", "5 May", "My birthday is 5 May")


def test_a_correction_without_a_topic_states_nothing() -> None:
    assert facts("No, it is 5 May") == []


def test_the_same_fact_twice_in_a_message_is_one() -> None:
    assert facts("My name is Ada. My name is Ada.") == [("name", "Ada")]


def test_what_one_asks_to_remember_is_a_note() -> None:
    assert told_in(said("Please remember that the spare key is under the pot.")).notes == (
        "the spare key is under the pot",
    )
    assert told_in(said("Do you remember when we met?")).notes == ()


def test_one_current_value_is_held_where_a_person_has_one() -> None:
    assert all(is_singular(each) for each in ("name", "birthday", "lives in", "wife", "favourite tree"))
    assert not any(is_singular(each) for each in ("likes", "sister", "dog", "allergy"))


@pytest.mark.parametrize(
    ("question", "attribute"),
    [
        ("When is my birthday?", "birthday"),
        ("when was I born", "birthday"),
        ("What do I do for a living?", "job"),
        ("Where do I live?", "lives in"),
        ("Do you know my name?", "name"),
        ("What's my sister's name?", "sister"),
        ("What is my favorite colour?", "favourite colour"),
        ("What am I allergic to?", "allergy"),
    ],
)
def test_a_question_asks_for_the_attribute_it_names(question: str, attribute: str) -> None:
    known = [
        Fact(attribute=each, value="v", text=f"My {each} is called v" if each == "sister" else f"My {each} is v")
        for each in ("name", "birthday", "job", "lives in", "sister", "favourite colour", "allergy", "likes")
    ]
    assert [fact.attribute for fact in asked_facts(question, known)] == [attribute]


def test_a_question_about_a_sister_is_not_one_for_her_name() -> None:
    sister = Fact(attribute="sister", value="Mia", text="My sister is called Mia")
    assert asked_facts("What does my sister grow?", [sister]) == []
    assert asked_facts("When is the sister ship due?", [sister]) == []


def test_questions_and_chatter_are_told_from_statements() -> None:
    assert is_question("When is my birthday?")
    assert is_question("Hello! what did I say about the boat")
    assert not is_question("The boat is blue. Do you like it?")
    assert is_chatter("ok thanks!")
    assert not is_chatter("thanks, the boat is blue")


def test_a_request_to_forget_is_understood() -> None:
    assert (request := asks_to_forget("Please forget my birthday.")) is not None
    assert request.about == "my birthday"
    assert (last := asks_to_forget("forget that")) is not None
    assert last.about == ""
    assert asks_to_forget("I always forget my keys") is None


@given(st.text(max_size=200))
def test_no_text_breaks_the_rules(text: str) -> None:
    told = told_in(said(text or "x"), topic="birthday")
    assert all(fact.value.strip() == fact.value and fact.value for fact in told.facts)


def test_what_is_said_not_to_hold_is_told_apart() -> None:
    told = told_in(said("Correction: I am allergic to hazelnuts, not walnuts."))
    assert [fact.value for fact in told.facts] == ["hazelnuts"]
    assert [(fact.attribute, fact.value) for fact in told.denied] == [("allergy", "walnuts")]
    assert [fact.value for fact in told_in(said("I am not allergic to cats.")).denied] == ["cats"]


@pytest.mark.parametrize(
    "text", ["No car. Just the key.", "No way!", "Actually I went home.", "Sorry, the bus was late."]
)
def test_an_exclamation_is_no_correction(text: str) -> None:
    assert told_in(said(text), topic="birthday").facts == ()


def test_a_question_for_everything_asks_for_every_fact() -> None:
    known = [
        Fact(attribute="name", value="Ada", text="My name is Ada"),
        Fact(attribute="likes", value="figs", text="t"),
    ]
    assert asked_facts("What do you know about me?", known) == known
    assert asked_facts("What do you know about bees?", known) == []
