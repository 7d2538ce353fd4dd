"""Whose conversation each imported message belongs to, and whether it was said among several people.

It takes two readings of a source: the first meets every channel's people, the second gives each message its
`person` and `shared`. A channel with two or more humans is shared. An agent's message belongs to the one it
replies to, else to the person who spoke last before it; what stands before anyone spoke belongs to the only
human, if there is one. So erasing a person reaches the answers they got and what tools wrote for them.
"""

from __future__ import annotations

import msgspec

from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message


class Attribution:
    """Call `meet` for every message, then `attributed` for every message in the same order."""

    def __init__(self) -> None:
        self._humans: dict[ChannelId, tuple[PersonId, ...]] = {}
        self._asked_for: set[tuple[ChannelId, MessageId]] = set()
        self._spoke_last: dict[ChannelId, PersonId] = {}
        self._person_of: dict[tuple[ChannelId, MessageId], PersonId] = {}

    def meet(self, message: Message) -> None:
        """Note who speaks in the channel, and which message is replied to."""
        if message.role == "person":
            known = self._humans.get(message.channel, ())
            if len(known) < 2 and message.author not in known:
                self._humans[message.channel] = (*known, message.author)
        elif message.reply_to is not None:
            self._asked_for.add((message.channel, message.reply_to))

    def attributed(self, message: Message) -> Message:
        """The message with its `person` and `shared`."""
        person = message.person or self._person(message)
        if message.role == "person":
            self._spoke_last[message.channel] = message.author
        if person is not None and (message.channel, message.id) in self._asked_for:
            self._person_of[message.channel, message.id] = person
        shared = len(self._humans.get(message.channel, ())) > 1
        return msgspec.structs.replace(message, person=person, shared=shared)

    def _person(self, message: Message) -> PersonId | None:
        if message.role == "person":
            return message.author
        if message.reply_to is not None and (message.channel, message.reply_to) in self._person_of:
            return self._person_of[message.channel, message.reply_to]
        if message.channel in self._spoke_last:
            return self._spoke_last[message.channel]
        humans = self._humans.get(message.channel, ())
        return humans[0] if len(humans) == 1 else None
