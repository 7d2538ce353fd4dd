"""Talk of months with facts planted in it, and the questions that ask for them in other words.

Everything comes from a seed. Distractors use the words of the planted facts in other senses, because a
corpus in which the right message is the only one with the right word measures nothing.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from instar.core.records import Message

ADA = "ada"
DIARY = "diary"
GARDEN = "garden-club"


class Planted(NamedTuple):
    """A statement, and the question it answers."""

    said: str
    question: str
    author: str = ADA
    channel: str = DIARY


PLANTED = (
    Planted("My birthday is 3 May, by the way.", "When is my birthday?"),
    Planted("I finally moved to Porto, the flat has a tiny balcony.", "Where do I live?"),
    Planted("I work as a bridge inspector these days.", "What do I do for a living?"),
    Planted("I'm allergic to cashews, so no pesto from the deli for me.", "What am I allergic to?"),
    Planted("My sister is called Mirela.", "What is my sister's name?"),
    Planted("We named the tortoise Sputnik because it never hurries.", "What did we name the tortoise?"),
    Planted("My favourite colour is petrol blue.", "What is my favorite color?"),
    Planted("My blood type is O negative.", "Which blood type do I have?"),
    Planted("The spare key hangs behind the water meter.", "Where is the spare key?"),
    Planted("Dr. Okafor said my knee needs six weeks of rest.", "How long does my knee need to rest?"),
    Planted("My locker at the pool is number 88.", "What's the number of my locker at the pool?"),
    Planted("I drive an old green Volvo estate.", "What car do I drive?"),
    Planted("The choir concert is on 14 June in Saint Anne's church.", "When is the choir concert?"),
    Planted("Grandfather's violin was made in Cremona in 1821.", "When was grandfather's violin made?"),
    Planted("I proposed to Jonas on the ferry to Korčula.", "Where did I propose to Jonas?"),
    Planted("The plumber, Mr. Zielinski, charges forty euros an hour.", "How much does the plumber charge?"),
    Planted("I can't stand coriander.", "What herb can I not stand?"),
    Planted("My thesis is about the acoustics of tunnels.", "What is my thesis about?"),
    Planted("The wifi at the cabin only works next to the fireplace.", "Where in the cabin does the wifi work?"),
    Planted("I promised Leander to lend him the telescope in August.", "Who did I promise to lend the telescope to?"),
    Planted("My first computer was a second-hand Amiga.", "What was my first computer?"),
    Planted("We met at a chess tournament in Lyon.", "Where did we meet, at which tournament?"),
    Planted("The dentist appointment got moved to Thursday the 9th at 15:40.", "When is my dentist appointment?"),
    Planted("I broke my left wrist when I fell off the hay wagon.", "How did I break my wrist?"),
    Planted("Remember that the alarm in the workshop is switched off with the brass lever.", "How is the workshop alarm switched off?"),
    Planted("My mother's birthday is June 7.", "When is my mother's birthday?"),
    Planted("I'm reading The Makioka Sisters for the second time.", "Which novel am I reading for the second time?"),
    Planted("The lease of the studio ends on the last of September.", "When does the lease of my studio end?"),
    Planted("I weigh my flour because cups lie, 62 percent hydration is my bread.", "What hydration does my bread have?"),
    Planted("My passport expires in March 2031.", "When does my passport expire?"),
    Planted("Uncle Bertil keeps bees behind the old brickyard.", "Who keeps bees?"),
    Planted("I am afraid of escalators, ever since Brussels.", "What am I afraid of?"),
    Planted("My boss is Henrike.", "What is my boss called?"),
    Planted("I learned Portuguese from radio dramas.", "How did I learn Portuguese?"),
    Planted("The scholarship pays 940 euros a month.", "How much does my scholarship pay?"),
    Planted("I sold the accordion to a man from Trieste.", "Who did I sell the accordion to?"),
    Planted("Slugs leave tomatoes alone if you ring them with crushed shells.", "What did Old Tag say about tomatoes?", "Old Tag", GARDEN),
    Planted("Never water the orchids from above, they rot.", "What did Marguerite say about orchids?", "Marguerite", GARDEN),
    Planted("The frost came on 12 October last year and took my dahlias.", "When did the frost take Old Tag's dahlias?", "Old Tag", GARDEN),
    Planted("Compost needs a brown layer for every green one.", "What does Bo say about compost?", "Bo", GARDEN),
    Planted("I would prune the quince in February, before the sap rises.", "When would Marguerite prune the quince?", "Marguerite", GARDEN),
    Planted("Our greenhouse heater burns olive pits.", "What did Bo tell us about the greenhouse heater?", "Bo", GARDEN),
)  # fmt: skip

PARAPHRASED = (
    Planted("We're getting married on the 21st of September in my aunt's orchard.", "When is my wedding?"),
    Planted("The vet put Biscuit on a grain-free diet.", "What kind of food does Biscuit eat?"),
    Planted("Our streaming password is taped under the router.", "Where is the streaming password?"),
    Planted("I ran my first half marathon in 1:58.", "How fast did I run my half marathon?"),
    Planted("Tomasz recommended the ramen place on Kirchstrasse.", "Which restaurant did Tomasz recommend?"),
    Planted("My flight to Oslo leaves at 6:45 on Friday.", "What time is my flight to Oslo?"),
    Planted("I left the blue umbrella at the cinema.", "Where did I leave my umbrella?"),
    Planted("Mum's surgery is scheduled for Tuesday.", "When is my mother's operation?"),
    Planted("I quit smoking three years ago.", "When did I stop smoking?"),
    Planted("We painted the nursery yellow.", "What colour is the nursery?"),
    Planted("I'm learning to play the cello with Ms. Adeyemi.", "Who teaches me cello?"),
    Planted("The rent went up to 1,150 a month.", "How much is my rent?"),
    Planted("I studied marine biology in Kiel.", "What did I study?"),
    Planted("Greta and I broke up in November.", "When did Greta and I split up?"),
    Planted("Our cat has been called Pixel since the shelter days.", "What's my cat's name?"),
    Planted("I take the 7:12 train every morning.", "Which train do I take in the morning?"),
    Planted("My grandmother came from Lviv.", "Where was my grandmother from?"),
    Planted("I've got two kids, Lina and Noah.", "What are my kids called?"),
    Planted("I hate the smell of lavender.", "Which smell do I hate?"),
    Planted("Our anniversary is on the 2nd of February.", "When is our anniversary?"),
    Planted("I have a meeting with the notary at ten on Monday.", "When do I meet the notary?"),
    Planted("My therapist suggested writing a letter to my father.", "What did my therapist suggest?"),
    Planted("I'm saving for a trip to Patagonia.", "Where do I want to travel?"),
    Planted("The doctor prescribed 20 mg of omeprazole.", "What medicine did the doctor prescribe?"),
    Planted("I usually go climbing on Wednesdays.", "What do I do on Wednesdays?"),
    Planted("My brother Emil is a firefighter in Graz.", "What is my brother's job?"),
    Planted("I parked on level 3, row F.", "Where did I park?"),
    Planted("I grew up on a farm near Tartu.", "Where did I grow up?"),
    Planted("The tomatoes on my balcony are called Black Krim.", "Which tomato variety do I grow?"),
    Planted("I dyed my hair red last week.", "What colour is my hair?"),
)  # fmt: skip
"""Facts asked for in words most of which the statement does not hold: harder, and not tuned for."""

REPLACED = (
    ("I live in Ghent.", "My birthday is 30 April, as every year.", "I work as a waiter.", "My boss is Olof."),
    ("Ghent", "30 April", "waiter", "Olof"),
)
"""Said first and overtaken by a planted statement: what they say must not be the answer."""

UNANSWERED = (
    "What is my shoe size?",
    "When does my train to Vienna leave?",
    "Which vaccine did I get last?",
    "What is the name of my parrot?",
    "How tall is the lighthouse?",
    "Who repaired the harpsichord?",
    "What did Old Tag say about submarines?",
    "Where did I bury the treasure?",
    "Which insurance company do I use?",
    "What is my star sign?",
    "How many marathons have I run?",
    "Why did the aquarium close?",
)

_SUBJECTS = "the neighbours,the bus,the printer,my coat,the cat next door,the baker,the radio,our hallway,the tram,the old bicycle,the weather,the library,the kettle,the landlord's dog,the window,the market,the museum,a colleague,the lift,the balcony".split(
    ","
)
_DEEDS = "was late again,made a strange noise,looked lovely in the morning,needs some work,kept me awake,was full of people,smelled of paint,surprised everyone,is back to normal,got wet in the rain,was closed for the day,seems smaller than before,cost more than expected,fell over twice,was the talk of the street".split(
    ","
)
_TAILS = "and I laughed,which was fine,so I went home early,but nobody minded,as usual,at least until noon,and that was that,so we had soup instead,before the meeting,while it snowed,after lunch,near the station".split(
    ","
)
_DISTRACTORS = (
    "The {thing} in the shop window was nothing special {day}.", "Someone on the tram talked about {thing} all the way {day}.",
    "I dreamt of {thing} again {day}.", "A film about {thing} was on {day}, rather long.", "There was a sign about {thing} at the corner {day}.",
    "The paper had two pages on {thing} {day}.", "Jonas joked about {thing} over breakfast {day}.",
)  # fmt: skip
_THINGS = "birthdays,a balcony,bridges,cashews,sisters,a tortoise,colours,blood,keys,knees,lockers,a Volvo,choirs,violins,ferries,plumbers,coriander,tunnels,wifi,telescopes,computers,chess,dentists,wrists,alarms,mothers,novels,studios,bread,passports,bees,escalators,bosses,Portuguese,scholarships,accordions,tomatoes,orchids,frost,compost,quinces,heaters,lighthouses,trains,insurance,marathons,aquariums".split(
    ","
)
_DAYS = "on Monday,on Tuesday,on Wednesday,on Friday,on Saturday,this morning,tonight,yesterday".split(",")
_ASKED = (
    "Did you sleep well?",
    "What shall we cook tonight?",
    "Is it going to rain?",
    "Do you like bridges?",
    "When is the next bus?",
)


def months_of_talk(
    seed: int, *, count: int, planting: tuple[Planted, ...] = PLANTED
) -> tuple[list[Message], dict[str, str]]:
    """Return `count` messages in order, and for every planted statement the id of its message."""
    rng = random.Random(seed)
    places = sorted(rng.sample(range(count // 10, count - count // 10), len(planting)))
    planted = dict(zip(places, rng.sample(planting, len(planting)), strict=True))
    early = dict(zip(rng.sample(range(count // 10), len(REPLACED[0])), REPLACED[0], strict=True))
    start = datetime(2025, 1, 6, 8, tzinfo=UTC)
    messages, ids = [], {}
    for place in range(count):
        fact = planted.get(place) or (Planted(early[place], "") if place in early else _chat(rng))
        message = _message(place, fact, start + timedelta(minutes=90 * place + rng.randrange(60)))
        messages.append(message)
        if place in planted:
            ids[fact.said] = message.id
    return messages, ids


def _chat(rng: random.Random) -> Planted:
    channel = DIARY if rng.random() < 0.7 else GARDEN
    author = ADA if channel == DIARY else rng.choice(("Old Tag", "Marguerite", "Bo", ADA))
    kind = rng.random()
    if kind < 0.1:
        return Planted(rng.choice(_ASKED), "", author, channel)
    if kind < 0.35:
        return Planted(
            rng.choice(_DISTRACTORS).format(thing=rng.choice(_THINGS), day=rng.choice(_DAYS)), "", author, channel
        )
    text = f"{rng.choice(_SUBJECTS)} {rng.choice(_DEEDS)} {rng.choice(_TAILS)}."
    return Planted(text[0].upper() + text[1:], "", author, channel)


def _message(place: int, fact: Planted, at: datetime) -> Message:
    return Message(
        id=f"m{place:05d}",
        channel=fact.channel,
        author=fact.author,
        person=fact.author,
        text=fact.said,
        sent_at=at,
        shared=fact.channel == GARDEN,
    )
