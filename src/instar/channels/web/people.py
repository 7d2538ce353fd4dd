"""Everyone the agent knows: what is known of each, and how to have it forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from instar.agent.remember import save_profile
from instar.channels.web.form import form_of
from instar.channels.web.paging import part_of
from instar.channels.web.site import Site, see_other, site_of
from instar.core.errors import PersonUnknown
from instar.core.ids import PersonId
from instar.core.records import EmotionSample, Profile


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """One person in the list."""

    person: PersonId
    messages: int
    memories: int
    profile: Profile | None


async def people_page(request: Request) -> Response:
    """List everyone who wrote, has a profile, or is remembered."""
    site = site_of(request)
    messages, memories = await _counts(site)
    part = part_of(sorted({*messages, *memories, *await site.home.profiles.people()}), request)
    known = [await _known(site, person, messages, memories) for person in part.rows]
    return site.page(request, "people.html", part=part, people=known)


async def person_page(request: Request) -> Response:
    """Show what is known of one person."""
    site = site_of(request)
    return site.page(request, "person.html", known=await _person(site, request), wrong="", key_of=sample_key)


async def forget_person(request: Request) -> Response:
    """Erase a person everywhere once their id was typed, and show the receipt."""
    site = site_of(request)
    known = await _person(site, request)
    typed = (await form_of(request)).get("typed", "").strip()
    if typed != known.person:
        return site.page(request, "person.html", status=400, known=known, wrong=typed, key_of=sample_key)
    await site.turns.stop_all(person=known.person)
    receipt = await site.home.forget(known.person)
    site.turns.drop_explanations()
    return site.page(request, "forgotten.html", person=known.person, receipt=receipt)


async def delete_emotion(request: Request) -> Response:
    """Take one estimate of feeling, or all of them, out of a profile."""
    site = site_of(request)
    known = await _person(site, request)
    chosen = (await form_of(request)).get("sample", "")
    if known.profile is not None:
        await save_profile(site.home, known.person, lambda profile: _without(profile, chosen))
    return see_other(f"/people/{quote(known.person, safe='')}", done="estimate-deleted")


def sample_key(sample: EmotionSample) -> str:
    """Return what names one sample of a profile in a form."""
    return f"{sample.at.isoformat() if sample.at else ''} {sample.label} {sample.source_message_id or ''}"


def _without(profile: Profile, chosen: str) -> Profile:
    kept = tuple(s for s in profile.emotion_samples if chosen not in {"all", sample_key(s)})
    return replace(profile, emotion_samples=kept, escalation_count=0 if not kept else profile.escalation_count)


async def _person(site: Site, request: Request) -> Known:
    person = PersonId(request.path_params["person"])
    known = await _known(site, person, *await _counts(site))
    if not (known.messages or known.memories or known.profile):
        raise PersonUnknown(
            f"nobody here is {person!r}",
            why="they never wrote, or were forgotten",
            next="`instar people` lists everyone",
        )
    return known


async def _known(
    site: Site, person: PersonId, messages: Mapping[PersonId, int], memories: Mapping[PersonId, int]
) -> Known:
    stored = await site.home.profiles.load(person)
    return Known(
        person=person,
        messages=messages.get(person, 0),
        memories=memories.get(person, 0),
        profile=stored.profile if stored else None,
    )


async def _counts(site: Site) -> tuple[Mapping[PersonId, int], Mapping[PersonId, int]]:
    """Messages and memories of everyone who has any."""
    written = await site.home.conversations.people()
    return {count.person: count.messages for count in written}, await site.home.memories.counts()
