"""The OpenAI chat completions form, both ways: a `Request` to a body, chunks and answers to events.

Source of the form: https://platform.openai.com/docs/api-reference/chat. What other servers leave out, send as
null, or send in an older shape is read where its meaning is plain. No input or output here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from instar.core.errors import ModelError, ModelFailed, ModelReplyInvalid
from instar.core.limits import MODEL_REPLY_MAX_BYTES
from instar.models.port import ChatMessage, Finished, ModelEvent, Request, TextDelta, Tool, ToolCall, Usage

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]

_NAME_ALLOWED = re.compile(r"[^\s<|\\/>]{1,64}")
_REASONS: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}


class WireFault(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says went wrong, in whichever shape it says it."""

    message: str
    code: str = ""
    param: str = ""


class _Function(msgspec.Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, object] | None = None


class _CallPart(msgspec.Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(msgspec.Struct, frozen=True):
    text: str | None = None


class _Delta(msgspec.Struct, frozen=True):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[_CallPart] | None = None


class _Choice(msgspec.Struct, frozen=True):
    index: int | None = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct, frozen=True):
    """A chunk of a stream and a whole answer: they differ in `delta` against `message`."""

    choices: list[_Choice] | None = None
    usage: _Usage | None = None


class _CallParts:
    """One tool call while it arrives."""

    def __init__(self, key: int) -> None:
        self.id = f"call-{key}"
        self.name = ""
        self.arguments = ""

    def add(self, part: _CallPart) -> int:
        """Take one part and return how many bytes it brought."""
        self.id = part.id or self.id
        if part.function is None:
            return 0
        arguments = part.function.arguments or ""
        text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
        self.name = self.name or part.function.name or ""
        self.arguments += text
        return len(text.encode(errors="replace"))


class Assembly:
    """One reply while it arrives: feed it each event's data, then ask for the end."""

    def __init__(self, *, responder_name: str) -> None:
        self._responder_name = responder_name
        self._calls: dict[int, _CallParts] = {}
        self._usage: Usage | None = None
        self._reason: str | None = None
        self._said = False
        self._size_bytes = 0

    @property
    def complete(self) -> bool:
        """True once the server gave a finish reason: only the usage may follow."""
        return self._reason is not None

    def feed(self, data: str | bytes) -> Iterator[TextDelta]:
        """Yield the text in one event. Raises `ModelReplyInvalid` when it is not in the promised form."""
        try:
            chunk = msgspec.json.decode(data, type=_Chunk)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _not_the_form(str(error)) from error
        if chunk.usage is not None:
            self._usage = Usage(
                prompt_tokens=chunk.usage.prompt_tokens or 0, reply_tokens=chunk.usage.completion_tokens or 0
            )
        for choice in chunk.choices or ():
            if choice.index in {0, None}:
                yield from self._take(choice)

    def end(self, *, marked: bool) -> Iterator[ModelEvent]:
        """Yield the whole tool calls, the usage and `Finished`; `marked` says that the server sent its end mark.

        Raises a `ModelError` when the reply stopped half-way or holds nothing.
        """
        if not marked and not self.complete:
            raise _broken_off() if self._said or self._calls else _nothing_came()
        self._check_content()
        for call in self._calls.values():
            if not call.name:
                raise _not_the_form("a tool call without a name")
            yield ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}")
        if self._usage is not None:
            yield self._usage
        yield Finished(reason=self._finish_reason(), responder_kind="model", responder_name=self._responder_name)

    def _take(self, choice: _Choice) -> Iterator[TextDelta]:
        part = choice.delta or choice.message
        if part is not None:
            text = _text(part)
            self._count(len(text.encode(errors="replace")) + len(part.reasoning_content or ""))
            self._take_calls(part)
            if text:
                self._said = self._said or not text.isspace()
                yield TextDelta(text)
        self._reason = choice.finish_reason or self._reason

    def _take_calls(self, part: _Delta) -> None:
        for call in part.tool_calls or ():
            key = self._key(call)
            self._count(self._calls.setdefault(key, _CallParts(key)).add(call))

    def _key(self, call: _CallPart) -> int:
        """The place of a call; servers that number none begin a new call with each new id."""
        if call.index is not None:
            return call.index
        for key, known in self._calls.items():
            if call.id == known.id:
                return key
        return len(self._calls) if call.id or not self._calls else len(self._calls) - 1

    def _count(self, size_bytes: int) -> None:
        self._size_bytes += size_bytes
        if self._size_bytes > MODEL_REPLY_MAX_BYTES:
            raise ModelReplyInvalid(
                f"{self._responder_name} was stopped in its reply",
                why=f"the reply passed {MODEL_REPLY_MAX_BYTES:,} bytes",
                next="ask for less at a time",
            )

    def _check_content(self) -> None:
        if self._reason == "error":
            raise _broken_off()
        if self._said or self._calls:
            return
        reason = self._finish_reason()
        if reason == "content_filter":
            raise ModelFailed(
                f"{self._responder_name} gave no reply",
                why="its content filter held the reply back",
                next="ask in other words, or set another model: INSTAR_MODEL_NAME",
            )
        if reason == "length":
            raise ModelReplyInvalid(
                f"{self._responder_name} gave an empty reply",
                why="it came to its token limit before the first word",
                next="set a smaller INSTAR_AGENT_WINDOW, or a model with a larger context: INSTAR_MODEL_NAME",
            )
        raise ModelReplyInvalid(
            f"{self._responder_name} gave an empty reply",
            why="it ended its reply without a word and without a tool call",
            next="ask again; if it stays so, set another model: INSTAR_MODEL_NAME",
        )

    def _finish_reason(self) -> FinishReason:
        if self._calls:
            return "tool_calls"
        return _REASONS.get((self._reason or "stop").lower(), "stop")


def body_of(request: Request, *, model: str, temperature: float) -> dict[str, object]:
    """The JSON body of a request that streams."""
    body: dict[str, object] = {
        "messages": [_message(message) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": temperature if request.temperature is None else request.temperature,
    }
    if model:
        body["model"] = model
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.tokens_max is not None:
        body["max_tokens"] = request.tokens_max
    return body


def fault_in(text: str | bytes) -> WireFault | None:
    """What a body or event complains of, or None when it is no complaint.

    Reads the shapes of OpenAI (`{"error": {"message", "code", "param"}}`), Ollama and LM Studio
    (`{"error": "..."}`), vLLM (`{"object": "error", "message"}`) and FastAPI (`{"detail": ...}`).
    """
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(document, dict):
        return None
    inner = document.get("error") or document.get("detail")
    if inner is None and document.get("object") == "error":
        inner = document
    if inner is None:
        return None
    if not isinstance(inner, dict):
        return WireFault(message=inner if isinstance(inner, str) else msgspec.json.encode(inner).decode())
    return WireFault(
        message=str(inner.get("message") or msgspec.json.encode(inner).decode()),
        code=str(inner.get("code") or inner.get("type") or ""),
        param=str(inner.get("param") or ""),
    )


def model_ids(body: bytes) -> list[str]:
    """The ids in an answer of `/models`; empty when it is not such an answer."""
    try:
        return [entry.id for entry in msgspec.json.decode(body, type=_Models).data]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return []


class _Model(msgspec.Struct, frozen=True):
    id: str


class _Models(msgspec.Struct, frozen=True):
    data: list[_Model]


def _message(message: ChatMessage) -> dict[str, object]:
    wire: dict[str, object] = {"role": message.role, "content": message.content}
    if message.name is not None and _NAME_ALLOWED.fullmatch(message.name):
        wire["name"] = message.name
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
        wire["content"] = message.content or None
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _tool(tool: Tool) -> dict[str, object]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _text(part: _Delta) -> str:
    if isinstance(part.content, list):
        return "".join(piece.text or "" for piece in part.content)
    return part.content or part.refusal or ""


def _not_the_form(why: str) -> ModelReplyInvalid:
    return ModelReplyInvalid(
        "the model's server sent something that is not a chat completion",
        why=why,
        next="check that model.url names an OpenAI-compatible API: `instar config show`",
    )


def _broken_off() -> ModelError:
    return ModelFailed(
        "the model stopped in the middle of its reply",
        why="its server ended the stream without a finish reason",
        next="ask again; the server's log says why it stopped",
    )


def _nothing_came() -> ModelError:
    return ModelReplyInvalid(
        "the model's server answered without a reply",
        why="the stream ended before its first word",
        next="check that model.url names an OpenAI-compatible API: `instar config show`",
    )
