"""The chat model: messages in, typed events out."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from instar.core.ids import ChannelId, MemoryId, MessageId


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """The model asks for a tool to be run."""

    id: str
    name: str
    arguments: str
    """JSON text, as the model wrote it."""


class ChatMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a request."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool the model may ask for."""

    name: str
    description: str
    parameters: dict[str, object]
    """JSON Schema of the arguments."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Something recalled for this turn, best first in the request."""

    text: str
    score: float
    kind: str
    """A `MemoryKind`, or "window" for a message of the current conversation."""
    memory_id: MemoryId | None = None
    message_id: MessageId | None = None
    channel: ChannelId | None = None
    author: str | None = None
    author_name: str | None = None
    said_at: datetime | None = None
    own: bool = True
    """True when it is about, or by, the person who asks."""
    attribute: str | None = None
    value: str | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn asks of a model."""

    messages: tuple[ChatMessage, ...]
    """System prompt first, the person's newest message last."""
    evidence: tuple[Evidence, ...] = ()
    """The recalled material by itself; language models get it inside `messages`, as quoted data."""
    tools: tuple[Tool, ...] = ()
    temperature: float | None = None
    """None: the model's own setting."""
    tokens_max: int | None = None


class TextDelta(msgspec.Struct, frozen=True):
    """The next piece of the reply."""

    text: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the server counted them."""

    prompt_tokens: int
    reply_tokens: int


class Cited(msgspec.Struct, frozen=True):
    """The evidence the reply rests on, by place in `Request.evidence`."""

    evidence: tuple[int, ...]


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """The last event of a stream."""

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    responder_kind: str
    """Either "model" for a language model, "extractive" or "scripted" otherwise."""
    responder_name: str


ModelEvent = TextDelta | ToolCall | Usage | Cited | Finished


class ChatModel(Protocol):
    """The port. Each sentence of a docstring is a clause of `contract.py`."""

    @property
    def kind(self) -> str:
        """Either "model" for a language model, "extractive" or "scripted" otherwise."""

    @property
    def name(self) -> str:
        """How people should read it."""

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """Yield the reply piece by piece; the last event is `Finished`.

        Closing the iterator early stops the work behind it. Failures raise a `ModelError`, never an
        empty reply. Retries happen before the first event only.
        """

    async def close(self) -> None:
        """Release connections. Closing twice is harmless."""
