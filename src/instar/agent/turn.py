"""One turn, from a message to its reply: receive, recall, respond, remember.

A turn is a durable workflow: killed anywhere, it goes on when the agent starts again, and its reply is
stored once. A message delivered again, even at the same moment, is answered with the reply there is.
When the model fails nothing is stored as a reply; the message stays, and asking again tries again.

What is made durable, and what for: before the first word, side by side and while memories are looked up, the
workflow (so that a kill does not leave a message without its reply) and the message (so that no reply
stands alone). Killed between the two, a message without its workflow is answered when it is delivered again.
After the last word the draft (what was shown is what is stored, and nothing is stored for a person who was
forgotten meanwhile), the reply, and what was learned. Recalling is repeated after a kill; it changes nothing.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self

import blake3
import msgspec

from instar.agent.citation import attributed, citations_kept, citations_of
from instar.agent.context import request_for
from instar.agent.facts import Told, asks_to_forget, told_in
from instar.agent.forgetting import Forgotten, forget_on_request
from instar.agent.recall import Recall, last_topic, recall
from instar.agent.remember import remember
from instar.agent.reply import Citation, Recalled, Replied, Reply, ReplyDelta, TurnEvent, reply_id_of
from instar.agent.running import Running
from instar.agent.stores import Stores
from instar.core.clock import Clock, IdSource, SystemClock, UlidSource
from instar.core.errors import MessageUnknown, ModelError, ModelReplyInvalid, NotFound, RecordInvalid
from instar.core.ids import ChannelId, MessageId, PersonId
from instar.core.records import Message, MessageRef, Responder, checked_message
from instar.core.settings import AgentSettings
from instar.models.extractive import ExtractiveResponder
from instar.models.port import ChatModel, Cited, Evidence, Finished, Request, TextDelta
from instar.orchestration.engine.local import LocalEngine
from instar.orchestration.step import Run
from instar.stores.workflows.port import Workflow

TURN = "turn"
_ALLOWED_CONTROLS = frozenset("\n\t")


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """A reply that is made and not yet in its conversation."""

    text: str
    responder: Responder
    citations: tuple[Citation, ...] = ()


class Stopped(Exception):
    """The listeners left before the first word: there is no reply, and asking again makes one."""


class Agent:
    """Answers messages from what a home knows. Use it as an async context manager, or call `resume` and `close`."""

    def __init__(
        self,
        home: Stores,
        *,
        model: ChatModel | None = None,
        settings: AgentSettings = AgentSettings(),  # noqa: B008 - frozen
        clock: Clock | None = None,
        ids: IdSource | None = None,
    ) -> None:
        self._home = home
        self._model = model or ExtractiveResponder()
        self._settings = settings
        self._clock = clock or SystemClock()
        self._ids = ids or UlidSource(self._clock)
        self._engine = LocalEngine(home.workflows)
        self._running: dict[MessageId, Running] = {}

    async def ask(
        self,
        text: str,
        *,
        person: PersonId | str,
        channel: ChannelId | str = "cli",
        message_id: MessageId | str | None = None,
        shared: bool = False,
    ) -> Reply:
        """Return the reply to `text`; it is in the conversation, and what was told is remembered.

        `message_id` is the sender's id of the message: the same id again gives the same reply. `shared` says
        that others hear it. Raises `RecordInvalid` or `RecordTooLarge` before anything is written, and
        `ModelError` when the model fails; then the message is kept and asking again tries again.
        """
        message = self._received(text, person, channel, message_id, shared=shared)
        return await _last(self._events(message, shows=False))

    async def stream(
        self,
        text: str,
        *,
        person: PersonId | str,
        channel: ChannelId | str = "cli",
        message_id: MessageId | str | None = None,
        shared: bool = False,
    ) -> AsyncGenerator[TurnEvent, None]:
        """Yield the turn as it happens: what was recalled, the reply piece by piece, the whole reply.

        Closing the iterator early stops the reply; what was shown of it is stored as the reply.
        """
        message = self._received(text, person, channel, message_id, shared=shared)
        async with aclosing(self._events(message, shows=True)) as events:
            async for event in events:
                yield event

    async def resume(self) -> Sequence[Reply]:
        """Finish the turns that a killed process left, and return their replies.

        A turn whose model fails stays begun for the next time; its sender may also send it again.
        """
        replies: list[Reply] = []
        for begun in await self._engine.unfinished(TURN):
            message = msgspec.msgpack.decode(begun.input, type=Message)
            try:
                replies.append(await _last(self._under_way(message).listen(shows=False)))
            except (ModelError, RecordInvalid, MessageUnknown):
                continue
        return replies

    async def close(self) -> None:
        """End the replies under way where they stand and release the model."""
        await asyncio.gather(*(running.stop() for running in list(self._running.values())))
        await self._model.close()

    async def __aenter__(self) -> Self:
        await self.resume()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- the turn ------------------------------------------------------------------------------

    async def _turn(self, message: Message, running: Running, run: Run) -> Reply:
        message, known = await self._received_and_recalled(message)
        running.publish(Recalled(message_id=message.id, hits=known.hits))
        told = told_in(message, topic=last_topic(known.window, message.author, known.profile.facts))
        draft = await run.step("respond", lambda: self._respond(message, known, told, running, run), Draft)
        reply = await self._answer(message, draft)
        await remember(self._home, message, told, settings=self._settings)
        return reply

    async def _received_and_recalled(self, message: Message) -> tuple[Message, Recall]:
        """Store the message and look up what bears on it, at once when it is new.

        One stored earlier comes first: its place tells which messages stand in front of it.
        """
        if await self._home.conversations.get(message.channel, message.id) is not None:
            message = await self._receive(message)
            return message, await self._recall(message)
        known, stored = await asyncio.gather(self._recall(message), self._receive(message), return_exceptions=True)
        if isinstance(stored, BaseException):
            raise stored
        if isinstance(known, BaseException):
            raise known
        return stored, known

    async def _recall(self, message: Message) -> Recall:
        return await recall(self._home, message, settings=self._settings, now=self._clock.now())

    async def _receive(self, message: Message) -> Message:
        """Store the message, unless it is there; refuse one whose id stands for something else."""
        await self._home.conversations.append(message)
        stored = await self._home.conversations.get(message.channel, message.id)
        if stored is None:
            raise _deleted(message)
        if not _same_delivery(stored, message):
            raise _taken(message)
        return stored

    async def _respond(self, message: Message, known: Recall, told: Told, running: Running, run: Run) -> Draft:
        forgotten = await self._forgotten(message, known, run)
        if forgotten is not None:
            known = await self._recall(message)
        news = _news(message, told, forgotten)
        request = request_for(message, known, settings=self._settings, forgot=forgotten is not None)
        return await self._generated(msgspec.structs.replace(request, evidence=(*news, *request.evidence)), running)

    async def _forgotten(self, message: Message, known: Recall, run: Run) -> Forgotten | None:
        request = asks_to_forget(message.text)
        if request is None:
            return None
        return await run.step(
            "forget", lambda: forget_on_request(self._home, message, request, window=known.window), Forgotten
        )

    async def _answer(self, message: Message, draft: Draft) -> Reply:
        """Store the reply under the id derived from its message; one stored earlier stays."""
        appended = await self._home.conversations.append(
            Message(
                id=reply_id_of(message.channel, message.id),
                channel=message.channel,
                author=PersonId(self._settings.name),
                role="agent",
                person=message.author,
                text=draft.text,
                sent_at=self._clock.now(),
                reply_to=message.id,
                citations=tuple(MessageRef(each.channel, each.message_id) for each in draft.citations),
                responder=draft.responder,
                shared=message.shared,
            )
        )
        kept = await self._kept_reply(message) if appended.already_there else None
        return kept or Reply(
            reply=draft.text,
            reply_id=appended.message.id,
            message_id=message.id,
            responder=draft.responder,
            citations=draft.citations,
        )

    # --- generating ----------------------------------------------------------------------------

    async def _generated(self, request: Request, running: Running) -> Draft:
        """The whole reply, or as much of it as was shown when the listeners left."""
        cited: list[int] = []
        generation = asyncio.create_task(self._spoken(request, running, cited))
        stopping = asyncio.create_task(running.stopping.wait())
        await asyncio.wait({generation, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if generation.done():
            return await self._drafted(*generation.result(), request.evidence, cited)
        generation.cancel()
        await asyncio.wait({generation})
        if not running.shown_text().strip():
            raise Stopped
        responder = self._responder()
        return await self._drafted(running.shown_text(), responder, request.evidence, cited)

    async def _spoken(self, request: Request, running: Running, cited: list[int]) -> tuple[str, Responder]:
        pieces: list[str] = []
        responder = self._responder()
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, TextDelta) and event.text:
                    pieces.append(event.text)
                    running.publish(ReplyDelta(text=event.text))
                elif isinstance(event, Cited):
                    cited.extend(event.evidence)
                elif isinstance(event, Finished):
                    responder = Responder(kind=event.responder_kind, name=event.responder_name)
        text = "".join(pieces)
        if not text.strip():
            raise _empty(responder)
        return text, responder

    async def _drafted(
        self, text: str, responder: Responder, evidence: Sequence[Evidence], cited: Sequence[int]
    ) -> Draft:
        resting_on = [evidence[place] for place in cited] or (
            attributed(text, evidence) if responder.kind != "extractive" else []
        )
        return Draft(text=text, responder=responder, citations=await citations_of(self._home, resting_on))

    # --- deliveries ----------------------------------------------------------------------------

    def _received(self, text: str, person: str, channel: str, message_id: str | None, *, shared: bool) -> Message:
        return checked_message(
            Message(
                id=MessageId(_printable("message id", message_id or self._ids.new())),
                channel=ChannelId(_printable("channel", channel)),
                author=PersonId(_printable("person", person)),
                person=PersonId(person),
                text=_sayable(text),
                sent_at=self._clock.now(),
                shared=shared,
            )
        )

    async def _events(self, message: Message, *, shows: bool) -> AsyncGenerator[TurnEvent, None]:
        """The events of this message's turn: of one under way, of one finished, or of a new one."""
        reply_id = reply_id_of(message.channel, message.id)
        while (running := self._running.get(reply_id)) is not None and running.stopping.is_set():
            await running.ended()
        if running is None and (reply := await self._kept_reply(message)) is not None:
            yield Replied(reply=reply)
            return
        async with aclosing(self._under_way(message).listen(shows=shows)) as events:
            async for event in events:
                yield event

    def _under_way(self, message: Message) -> Running:
        """The turn of this message, begun if it is not under way."""
        reply_id = reply_id_of(message.channel, message.id)
        running = self._running.get(reply_id)
        if running is not None:
            if not _same_delivery(running.message, message):
                raise _taken(message)
            return running

        async def driven(running: Running) -> None:
            try:
                await self._driven(message, running)
            finally:
                del self._running[reply_id]

        self._running[reply_id] = running = Running(message, driven)
        return running

    async def _driven(self, message: Message, running: Running) -> None:
        workflow = Workflow(
            id=_key(TURN, message.channel, message.id, message.author, message.text),
            name=TURN,
            person=message.author,
            input=msgspec.msgpack.encode(message),
        )
        try:
            reply = await self._engine.run(
                workflow,
                lambda run: self._turn(message, running, run),
                ends_on=(ModelError, RecordInvalid, MessageUnknown, Stopped),
            )
        except Stopped:
            return
        except NotFound:
            finished_elsewhere = await self._kept_reply(message)
            if finished_elsewhere is None:
                raise
            reply = finished_elsewhere
        running.publish(Replied(reply=reply))

    async def _kept_reply(self, message: Message) -> Reply | None:
        """The reply stored for this very message, with its citations; None when there is none yet."""
        reply_id = reply_id_of(message.channel, message.id)
        stored = await self._home.conversations.get(message.channel, reply_id)
        if stored is None:
            return None
        asked = await self._home.conversations.get(message.channel, message.id)
        if stored.person != message.author or (asked is not None and not _same_delivery(asked, message)):
            raise _taken(message)
        return Reply(
            reply=stored.text,
            reply_id=stored.id,
            message_id=message.id,
            responder=stored.responder or self._responder(),
            citations=await citations_kept(self._home, stored),
        )

    def _responder(self) -> Responder:
        return Responder(kind=self._model.kind, name=self._model.name)


async def _last(events: AsyncGenerator[TurnEvent, None]) -> Reply:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Replied):
                return event.reply
    raise AssertionError("a turn that is listened to ends with its reply or with an error")


def _key(*parts: str) -> str:
    return blake3.blake3("\x00".join(parts).encode()).hexdigest(length=16)


def _same_delivery(known: Message, message: Message) -> bool:
    return known.author == message.author and (known.text == message.text or known.edited_at is not None)


def _news(message: Message, told: Told, forgotten: Forgotten | None) -> list[Evidence]:
    """What this very message changes, for a responder that says so: kinds "learned" and "forgotten"."""
    learned = [(fact.text, fact.attribute, fact.value) for fact in told.facts]
    noted = [(note, None, None) for note in told.notes if not told.facts]
    news = [
        Evidence(text=text, score=0.0, kind="learned", author=message.author, attribute=attribute, value=value)
        for text, attribute, value in [*learned, *noted]
    ]
    if forgotten is not None:
        gone = forgotten.texts or ("",)
        news += [Evidence(text=text, score=0.0, kind="forgotten", author=message.author) for text in gone]
    return news


def _sayable(text: str) -> str:
    """`text` with line ends as newlines; refuse what is empty or holds control characters."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise RecordInvalid("the message is empty", why="there is nothing to answer", next="write something")
    return _printable("message", text, allowed=_ALLOWED_CONTROLS)


def _printable(what: str, text: str, *, allowed: frozenset[str] = frozenset()) -> str:
    for place, character in enumerate(text):
        if unicodedata.category(character) == "Cc" and character not in allowed:
            raise RecordInvalid(
                f"the {what} holds the control character U+{ord(character):04X} at character {place + 1}",
                why="control characters are not speech; terminals and logs act on them",
                next="take it out, or decode the source with the right encoding",
            )
    return text


def _taken(message: Message) -> RecordInvalid:
    return RecordInvalid(
        f"message id {message.id!r} of channel {message.channel!r} stands for another message",
        why="an id names one message; giving its reply out again would answer something else",
        next="send the message with an id of its own, or without one",
    )


def _deleted(message: Message) -> MessageUnknown:
    return MessageUnknown(
        f"message {message.id!r} of channel {message.channel!r} was deleted",
        why="a late delivery does not bring back what was deleted or forgotten",
        next="send the message again with an id of its own, or without one",
    )


def _empty(responder: Responder) -> ModelReplyInvalid:
    return ModelReplyInvalid(
        f"{responder.name} answered without a word",
        why="the stream ended before any text; a reply that only asks for tools is not one, as none are offered",
        next="ask again, or try another model: set INSTAR_MODEL_NAME",
    )
