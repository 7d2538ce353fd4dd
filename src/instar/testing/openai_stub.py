"""A server on loopback that speaks the OpenAI chat completions form, for tests of whatever talks to one.

It is a real HTTP/1.1 server on a real socket in its own thread: what passes here passes on the wire.
It gives the answers it was told, in order, and after the last one repeats what it was asked. It keeps every request.

    with OpenAIStub() as stub:
        stub.will(Say("Hello"), Refuse(429, retry_after="1"), Drop("Hel"))
        OpenAICompatible(url=stub.url, ...)
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import msgspec

from instar.models.port import ToolCall

_STARTED_WITHIN_S = 30.0
_REASONS = {200: "OK", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}


class Say(msgspec.Struct, frozen=True):
    """A reply in words; streamed in these pieces, or sent whole to who does not ask for a stream."""

    pieces: str | tuple[str, ...]
    finish_reason: str = "stop"


class Call(msgspec.Struct, frozen=True):
    """A reply that asks for tools, their arguments streamed in two halves."""

    calls: tuple[ToolCall, ...]
    say: str = ""


class Refuse(msgspec.Struct, frozen=True):
    """An error status; the body is OpenAI's form unless given."""

    status: int
    message: str = "refused"
    code: str | None = None
    retry_after: str | None = None
    body: str | None = None
    location: str | None = None


class Drop(msgspec.Struct, frozen=True):
    """The connection is cut behind these pieces; with None, before the first byte of the answer."""

    pieces: tuple[str, ...] | None = None


class Hang(msgspec.Struct, frozen=True):
    """Nothing more is said behind these pieces, until the client leaves; with None, no answer is begun."""

    pieces: tuple[str, ...] | None = None
    comments: int = 0
    """Keep-alive comments sent before the silence."""
    finish_reason: str | None = None
    """Sent behind the pieces: the reply is complete, only its end does not come."""


class Raw(msgspec.Struct, frozen=True):
    """These bytes as the body, chunk by chunk."""

    chunks: tuple[bytes, ...]
    content_type: str = "text/event-stream"
    status: int = 200


Answer = Say | Call | Refuse | Drop | Hang | Raw


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, object]


class _Options(msgspec.Struct, frozen=True):
    include_usage: bool = False


class _WireMessage(msgspec.Struct, frozen=True):
    role: str
    content: object = None


class _WireRequest(msgspec.Struct, frozen=True):
    messages: list[_WireMessage]
    model: str = ""
    stream: bool = False
    stream_options: _Options | None = None


class OpenAIStub:
    """The server. `with` starts and stops it; `url` is its base URL with the version path."""

    def __init__(
        self, *, models: Sequence[str] = ("stub-model",), api_key: str = "", honours_stream: bool = True
    ) -> None:
        self._models = tuple(models)
        self._api_key = api_key
        self._honours_stream = honours_stream
        self._answers: deque[Answer] = deque()
        self.requests: list[Asked] = []
        """Every request, in order of arrival."""
        self.asked = threading.Semaphore(0)
        """Released once for each request of a completion that arrived."""
        self.left = threading.Semaphore(0)
        """Released once for each client that left before its answer ended."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="openai-stub", daemon=True)
        self._started = threading.Event()
        self._stopping = asyncio.Event()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def will(self, *answers: Answer) -> None:
        """Give these answers next, one for each request of a completion."""
        self._answers.extend(answers)

    @property
    def completions(self) -> list[Asked]:
        """The requests of completions among `requests`."""
        return [asked for asked in self.requests if asked.path.endswith("/chat/completions")]

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(_STARTED_WITHIN_S), "the stub did not come up"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._connection(reader, writer))
            connections.add(task)
            task.add_done_callback(connections.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stopping.wait()
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = _Wire(reader, writer)
        try:
            asked = await wire.request()
            if asked is not None:
                self.requests.append(asked)
                await self._answer(asked, wire)
        except ConnectionError:
            self.left.release()
        finally:
            writer.close()

    async def _answer(self, asked: Asked, wire: _Wire) -> None:
        if self._api_key and asked.headers.get("authorization") != f"Bearer {self._api_key}":
            await wire.refuse(Refuse(401, "Incorrect API key provided.", code="invalid_api_key"))
        elif asked.path == "/v1/models":
            await wire.whole(_listing(self._models))
        elif asked.path != "/v1/chat/completions" or asked.method != "POST":
            await wire.refuse(Refuse(404, body="404 page not found"))
        else:
            self.asked.release()
            await self._complete(asked, wire)

    async def _complete(self, asked: Asked, wire: _Wire) -> None:
        request = msgspec.convert(asked.body, _WireRequest)
        if request.model and request.model not in self._models:
            message = f"The model `{request.model}` does not exist"
            await wire.refuse(Refuse(404, message, code="model_not_found"))
            return
        answer = self._answers.popleft() if self._answers else Say(f"You said: {request.messages[-1].content}")
        if isinstance(answer, Refuse):
            await wire.refuse(answer)
        elif isinstance(answer, Raw):
            await wire.raw(answer)
        elif isinstance(answer, Drop | Hang):
            await self._break_off(answer, wire)
        elif request.stream and self._honours_stream:
            options = request.stream_options or _Options()
            await wire.stream(_chunks(answer, model=request.model, usage=options.include_usage))
        else:
            await wire.whole(_completion(answer, model=request.model))

    async def _break_off(self, answer: Drop | Hang, wire: _Wire) -> None:
        if answer.pieces is not None:
            await wire.begin("text/event-stream")
            for piece in answer.pieces:
                await wire.event(_chunk({"content": piece}, model=self._models[0]))
        if isinstance(answer, Drop):
            wire.cut()
            return
        if answer.finish_reason is not None:
            await wire.event(_chunk({}, model=self._models[0], finish_reason=answer.finish_reason))
        for _ in range(answer.comments):
            await wire.piece(b": still here\n\n")
        await wire.client_gone()
        self.left.release()


class _Wire:
    """HTTP/1.1 for one exchange: one request, one answer, closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> Asked | None:
        """Read one request; None when the client sent none."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        decoded = msgspec.json.decode(body, type=dict[str, object]) if body else {}
        return Asked(method=method, path=path, headers=headers, body=decoded)

    async def begin(self, content_type: str, *, status: int = 200, more: Sequence[tuple[str, str]] = ()) -> None:
        headers = [("content-type", content_type), ("transfer-encoding", "chunked"), ("connection", "close"), *more]
        lines = [
            f"HTTP/1.1 {status} {_REASONS.get(status, 'Status')}",
            *(f"{name}: {value}" for name, value in headers),
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
        await self._writer.drain()

    async def piece(self, text: bytes) -> None:
        self._writer.write(b"%x\r\n%s\r\n" % (len(text), text))
        await self._writer.drain()

    async def event(self, document: object) -> None:
        await self.piece(b"data: " + msgspec.json.encode(document) + b"\n\n")

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def whole(self, document: object) -> None:
        await self.raw(Raw((msgspec.json.encode(document),), "application/json"))

    async def raw(self, answer: Raw) -> None:
        await self.begin(answer.content_type, status=answer.status)
        for chunk in answer.chunks:
            await self.piece(chunk)
        await self.end()

    async def stream(self, chunks: Sequence[object]) -> None:
        await self.begin("text/event-stream; charset=utf-8")
        for chunk in chunks:
            await self.event(chunk)
        await self.piece(b"data: [DONE]\n\n")
        await self.end()

    async def refuse(self, answer: Refuse) -> None:
        error = {"message": answer.message, "type": "invalid_request_error", "param": None, "code": answer.code}
        text = answer.body if answer.body is not None else msgspec.json.encode({"error": error}).decode()
        named = (("retry-after", answer.retry_after), ("location", answer.location))
        kind = "application/json" if text.startswith("{") else "text/plain"
        await self.begin(kind, status=answer.status, more=[(name, value) for name, value in named if value])
        await self.piece(text.encode())
        await self.end()

    def cut(self) -> None:
        """End the connection without ending the answer."""
        self._writer.transport.abort()

    async def client_gone(self) -> None:
        """Return once the client closed its end."""
        while await self._reader.read(1_024):
            continue


def _chunk(delta: dict[str, object], *, model: str, finish_reason: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}


def _chunks(answer: Say | Call, *, model: str, usage: bool) -> list[dict[str, object]]:
    chunks = [_chunk({"role": "assistant", "content": ""}, model=model)]
    chunks += [_chunk({"content": piece}, model=model) for piece in _pieces(answer)]
    if isinstance(answer, Call):
        for index, call in enumerate(answer.calls):
            chunks += [_chunk({"tool_calls": [part]}, model=model) for part in _call_parts(index, call)]
    chunks.append(_chunk({}, model=model, finish_reason=_finish_reason(answer)))
    if usage:
        chunks.append({**_chunk({}, model=model), "choices": [], "usage": _usage(answer)})
    return chunks


def _call_parts(index: int, call: ToolCall) -> list[dict[str, object]]:
    half = len(call.arguments) // 2
    return [
        {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}},
        {"index": index, "function": {"arguments": call.arguments[:half]}},
        {"index": index, "function": {"arguments": call.arguments[half:]}},
    ]


def _completion(answer: Say | Call, *, model: str) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": "".join(_pieces(answer)), "refusal": None}
    if isinstance(answer, Call):
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.calls
        ]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    head = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": model}
    return {**head, "choices": [choice], "usage": _usage(answer)}


def _listing(models: Sequence[str]) -> dict[str, object]:
    data = [{"id": model, "object": "model", "created": 1, "owned_by": "stub"} for model in models]
    return {"object": "list", "data": data}


def _pieces(answer: Say | Call) -> tuple[str, ...]:
    if isinstance(answer, Call):
        return (answer.say,) if answer.say else ()
    return (answer.pieces,) if isinstance(answer.pieces, str) else answer.pieces


def _finish_reason(answer: Say | Call) -> str:
    return "tool_calls" if isinstance(answer, Call) else answer.finish_reason


def _usage(answer: Say | Call) -> dict[str, int]:
    reply_tokens = len(_pieces(answer))
    return {"prompt_tokens": 5, "completion_tokens": reply_tokens, "total_tokens": 5 + reply_tokens}
