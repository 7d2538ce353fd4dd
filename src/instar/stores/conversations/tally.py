"""Listings of channels and of people, counted from the places of messages.

A channel is counted when it is first listed and again after it changed; nothing is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec

from instar.core.ids import ChannelId, PersonId
from instar.core.records import Role
from instar.stores.conversations.port import ChannelSummary, PersonCount

PEOPLE_LISTED_MAX = 100  # of one channel; a summary is a line, not a member list


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message stands, and what listings say of it. Key: channel, id, variant."""

    position: int
    author: PersonId
    role: Role
    shared: bool
    sent_at: datetime | None


Places = Callable[[ChannelId | None], Iterable[tuple[ChannelId, Place]]]
"""Every place with its channel, or those of one channel."""


class Tallies:
    """Counts by channel, kept while nothing changes."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._tallies: dict[ChannelId, _Tally] | None = None
        self._changed: set[ChannelId] = set()

    def channels(self) -> Sequence[ChannelSummary]:
        """Every channel that holds a message, by id."""
        tallies = self._counted()
        return [_summary(channel, tallies[channel]) for channel in sorted(tallies)]

    def people(self) -> Sequence[PersonCount]:
        """Everyone who wrote a message with role person, by id."""
        written: Counter[PersonId] = Counter()
        for tally in self._counted().values():
            written.update(tally.written)
        return [PersonCount(person=person, messages=written[person]) for person in sorted(written)]

    def changed(self, channels: Iterable[ChannelId]) -> None:
        """Count these channels again before the next answer."""
        self._changed.update(channels)

    def forget(self) -> None:
        """Count everything again before the next answer."""
        self._tallies = None

    def _counted(self) -> dict[ChannelId, _Tally]:
        if self._tallies is None:
            self._tallies = {}
            self._count(None)
        for channel in self._changed:
            self._tallies.pop(channel, None)
            self._count(channel)
        self._changed.clear()
        return self._tallies

    def _count(self, channel: ChannelId | None) -> None:
        assert self._tallies is not None, "the caller began them"
        for in_channel, place in self._places(channel):
            tally = self._tallies.get(in_channel)
            if tally is None:
                tally = self._tallies[in_channel] = _Tally()
            tally.add(place)


class _Tally:
    """The counts of one channel."""

    def __init__(self) -> None:
        self.messages = 0
        self.shared = False
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        self.written: Counter[PersonId] = Counter()
        self.appeared: dict[PersonId, int] = {}
        """Position of each person's first message."""

    def add(self, place: Place) -> None:
        self.messages += 1
        self.shared = self.shared or place.shared
        if place.sent_at is not None:
            self.first_at = place.sent_at if self.first_at is None else min(self.first_at, place.sent_at)
            self.last_at = place.sent_at if self.last_at is None else max(self.last_at, place.sent_at)
        if place.role == "person":
            self.written[place.author] += 1
            self.appeared[place.author] = min(place.position, self.appeared.get(place.author, place.position))


def _summary(channel: ChannelId, tally: _Tally) -> ChannelSummary:
    return ChannelSummary(
        channel=channel,
        messages=tally.messages,
        people=tuple(sorted(tally.appeared, key=tally.appeared.__getitem__)[:PEOPLE_LISTED_MAX]),
        shared=tally.shared,
        first_at=tally.first_at,
        last_at=tally.last_at,
    )
