"""A language model behind an OpenAI-compatible API: OpenAI, OpenRouter, Ollama, llama.cpp, LM Studio, vLLM.

`POST {url}/chat/completions`, streamed; a server that ignores `stream` and answers whole is understood too.
Before the first event a request that was throttled, failed or lost is sent again, at most `MODEL_RETRIES_MAX`
times. A parameter a server refuses to know is left out from then on. The API key is in one request header and
nowhere else: no error, log line or repr shows it.

Import this module where a model is chosen, not at the top: it loads httpx.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx
import msgspec

from instar.core.clock import Clock
from instar.core.errors import (
    ModelError,
    ModelFailed,
    ModelKeyRefused,
    ModelOverloaded,
    ModelReplyInvalid,
    ModelTimeout,
    ModelUnknown,
    ModelUnreachable,
    SettingInvalid,
)
from instar.core.limits import (
    KIB,
    MODEL_CONNECT_TIMEOUT_S,
    MODEL_READ_TIMEOUT_S,
    MODEL_REPLY_MAX_BYTES,
    MODEL_RETRIES_MAX,
    MODEL_RETRY_AFTER_MAX_S,
)
from instar.models.openai_wire import Assembly, WireFault, body_of, fault_in, model_ids
from instar.models.patience import Patience
from instar.models.port import ChatModel, ModelEvent, Request
from instar.models.server_sent_events import EventParser
from instar.telemetry.log import redact
from instar.telemetry.metrics import MODEL_FIRST_EVENT_S, MODEL_RETRIES

_log = logging.getLogger(__name__)

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504, 529})
BACKOFF_FIRST_S = 0.25  # doubles with each retry; half of it is chance, so that many clients do not return at once
TAIL_SILENCE_MAX_S = 2.0  # a complete reply waits no longer for the token count behind it
ERROR_BODY_READ_MAX_BYTES = 64 * KIB  # enough for every JSON error seen
ERROR_BODY_SHOWN_MAX_CHARS = 400  # an error is read by a person
MODELS_SHOWN_MAX = 12  # names offered when the one asked for is not there
LEAVABLE_PARAMETERS = ("stream_options", "temperature", "max_tokens")

_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_CONTEXT_SIGNS = ("context_length", "context length", "context size", "context window", "maximum context", "too long")


class _Failure(Exception):
    """A failed attempt: the error for the caller, and whether another attempt may help."""

    def __init__(self, error: ModelError, *, retry: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(error.what)
        self.error = error
        self.retry = retry
        self.retry_after_s = retry_after_s


class OpenAICompatible:
    """The port over HTTP. `client` makes the httpx client on first use; the default speaks to `url` directly."""

    kind = "model"

    def __init__(
        self,
        *,
        url: str,
        name: str = "",
        api_key: str = "",
        temperature: float = 0.7,
        timeout_s: float = MODEL_READ_TIMEOUT_S,
        clock: Clock,
        randomness: random.Random | None = None,
        client: Callable[[], httpx.AsyncClient] | None = None,
    ) -> None:
        self._url = tidy_url(url)
        self._model = name.strip()
        self._temperature = temperature
        self._timeout_s = timeout_s
        self._clock = clock
        self._random = randomness or random.Random()
        self._api_key = _checked_key(api_key)
        self._make_client = client or self._default_client
        self._client: httpx.AsyncClient | None = None
        self._closed = False
        self._left_out: set[str] = set()

    @property
    def name(self) -> str:
        return self._model or f"the model at {self._url.host}"

    def __repr__(self) -> str:
        return f"OpenAICompatible(url={_shown(self._url)!r}, name={self._model!r})"

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        retries = 0
        while True:
            begun = False
            try:
                async with aclosing(self._attempt(request)) as events:
                    async for event in events:
                        begun = True
                        yield event
            except _Failure as failure:
                if begun or not failure.retry or retries >= MODEL_RETRIES_MAX:
                    raise failure.error from failure.__cause__
                wait_s = self._wait_s(failure, retries)
                MODEL_RETRIES.inc(model=self.name, code=failure.error.code)
                _log.info("%s; asking again in %.1f s", failure.error.what, wait_s)
            else:
                return
            await self._clock.sleep(wait_s)
            retries += 1

    async def close(self) -> None:
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _attempt(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """One request, from its first byte to `Finished`. Raises `_Failure`."""
        asked_at = self._clock.monotonic()
        patience = Patience(self._timeout_s, clock=self._clock)
        first = True
        try:
            async with (
                self._answer(request, patience) as response,
                aclosing(self._events(response, patience)) as events,
            ):
                async for event in events:
                    if first:
                        MODEL_FIRST_EVENT_S.observe(self._clock.monotonic() - asked_at, model=self.name)
                        first = False
                    yield event
        except TimeoutError as error:
            raise _Failure(self._silent()) from error
        except httpx.RequestError as error:
            raise _Failure(self._lost(error), retry=not isinstance(error, httpx.ConnectTimeout)) from error
        except ModelError as error:
            raise _Failure(error) from error.__cause__

    @asynccontextmanager
    async def _answer(self, request: Request, patience: Patience) -> AsyncGenerator[httpx.Response, None]:
        """Send the request and give the answer with status 200; leave out what the server refuses to know."""
        while True:
            response = await self._send(request, patience)
            try:
                if response.status_code == httpx.codes.OK:
                    yield response
                    return
                body = await self._error_body(response, patience)
            finally:
                await response.aclose()
            parameter = self._refused_parameter(response, body, request)
            if parameter is None:
                raise await self._failure(response, body, patience)
            _log.warning("%s does not know %r; it is left out from now on", self.name, parameter)
            self._left_out.add(parameter)

    async def _send(self, request: Request, patience: Patience) -> httpx.Response:
        outgoing = self._open_client().build_request(
            "POST",
            self._endpoint("/chat/completions"),
            content=msgspec.json.encode(self._body(request)),
            headers={**self._headers(), "content-type": "application/json", "accept": "text/event-stream"},
        )
        async with patience.waiting():
            return await self._open_client().send(outgoing, stream=True)

    def _body(self, request: Request) -> dict[str, object]:
        body = body_of(request, model=self._model, temperature=self._temperature)
        if "max_tokens" in self._left_out and "max_tokens" in body:
            body["max_completion_tokens"] = body["max_tokens"]  # the name newer OpenAI models want
        return {name: value for name, value in body.items() if name not in self._left_out}

    async def _events(self, response: httpx.Response, patience: Patience) -> AsyncGenerator[ModelEvent, None]:
        """The events of one answer. Raises `_Failure`, and `TimeoutError` on silence."""
        assembly = Assembly(responder_name=self.name)
        marked = False
        async with aclosing(self._data(response, patience, assembly)) as pieces:
            async for data in pieces:
                if data == "[DONE]":
                    marked = True
                    break
                if _may_complain(data) and (fault := fault_in(data)) is not None:
                    raise self._complaint(fault)
                for event in assembly.feed(data):
                    yield event
        for last in assembly.end(marked=marked):
            yield last

    async def _data(
        self, response: httpx.Response, patience: Patience, assembly: Assembly
    ) -> AsyncGenerator[str | bytes, None]:
        """The data of each event, or the whole body when it is JSON.

        Once the reply is complete, an end that does not come is not waited for long, nor missed.
        """
        if "json" in response.headers.get("content-type", ""):
            yield await self._whole(response, patience)
            return
        _check_no_page(response, self._wrong_path_step())
        parser = EventParser(event_max_bytes=2 * MODEL_REPLY_MAX_BYTES)
        chunks = response.aiter_bytes()
        while True:
            try:
                async with patience.waiting():
                    chunk = await anext(chunks, None)
            except (TimeoutError, httpx.RequestError):
                if assembly.complete:
                    return
                raise
            for data in parser.end() if chunk is None else parser.feed(chunk):
                yield data
                patience = self._renewed(patience, assembly)
            if chunk is None:
                return

    def _renewed(self, patience: Patience, assembly: Assembly) -> Patience:
        if assembly.complete:
            return Patience(min(TAIL_SILENCE_MAX_S, self._timeout_s), clock=self._clock)
        patience.heard()
        return patience

    async def _whole(self, response: httpx.Response, patience: Patience) -> bytes:
        body = bytearray()
        async with aclosing(self._chunks(response, patience)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > 2 * MODEL_REPLY_MAX_BYTES:
                    raise ModelReplyInvalid(
                        f"{self.name} was stopped in its reply",
                        why=f"the answer passed {2 * MODEL_REPLY_MAX_BYTES:,} bytes",
                        next="ask for less at a time",
                    )
        return bytes(body)

    async def _error_body(self, response: httpx.Response, patience: Patience) -> bytes:
        body = b""
        async with aclosing(self._chunks(response, patience)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) >= ERROR_BODY_READ_MAX_BYTES:
                    break
        return body[:ERROR_BODY_READ_MAX_BYTES]

    async def _chunks(self, response: httpx.Response, patience: Patience) -> AsyncGenerator[bytes, None]:
        chunks = response.aiter_bytes()
        while True:
            async with patience.waiting():
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk

    def _refused_parameter(self, response: httpx.Response, body: bytes, request: Request) -> str | None:
        """The optional parameter of ours that a 400 or 422 complains of, if it does."""
        if response.status_code not in {400, 422}:
            return None
        fault = fault_in(body) or WireFault(message=_text(body))
        if _is_about_context(fault):
            return None
        sent = self._body(request)
        for parameter in LEAVABLE_PARAMETERS:
            if parameter in sent and (parameter == fault.param or parameter in fault.message):
                return parameter
        return None

    async def _failure(self, response: httpx.Response, body: bytes, patience: Patience) -> _Failure:
        status = response.status_code
        fault = fault_in(body) or WireFault(message=_text(body))
        said = self._said(status, fault)
        if status in {401, 403}:
            return _Failure(self._key_refused(status, said))
        if status in {404, 405, 410}:
            return _Failure(await self._unknown(fault, said, patience))
        if status in {408, 429} or status >= 500:
            return self._overloaded_or_failed(status, fault, said, self._retry_after_s(response))
        return _Failure(self._refused(response, fault, said))

    def _complaint(self, fault: WireFault) -> _Failure:
        """An error inside an answer with status 200."""
        status = int(fault.code) if fault.code.isdigit() else 0
        said = self._said(status, fault)
        if status == 429 or status >= 500:
            return self._overloaded_or_failed(status, fault, said, None)
        if "endpoint" in fault.message.lower():
            return _Failure(self._wrong_path(said))
        if _is_about_context(fault):
            return _Failure(self._too_long(said))
        return _Failure(
            ModelFailed(
                f"{self.name} failed while it replied",
                why=said,
                next="ask again; the server's log says more",
            )
        )

    def _overloaded_or_failed(self, status: int, fault: WireFault, said: str, retry_after_s: float | None) -> _Failure:
        spent = "insufficient_quota" in {fault.code, fault.param} or "quota" in fault.message.lower()
        too_long = retry_after_s is not None and retry_after_s > MODEL_RETRY_AFTER_MAX_S
        retry = (status in RETRIED_STATUSES) and not too_long and not (status == 429 and spent)
        if status not in {429, 529}:
            error: ModelError = ModelFailed(
                f"{self.name} failed", why=said, next="ask again; the log of the model's server says more"
            )
        elif spent:
            error = ModelOverloaded(
                f"{self.name} takes no more requests from this account",
                why=said,
                next="check the plan and billing of the account, or set another key: INSTAR_MODEL_API_KEY",
            )
        else:
            wait = f"in {retry_after_s:,.0f} s" if retry_after_s else "in a minute"
            error = ModelOverloaded(
                f"{self.name} is overloaded",
                why=said,
                next=f"ask again {wait}, or name a second model: INSTAR_MODEL_FALLBACK_URL",
            )
        return _Failure(error, retry=retry, retry_after_s=retry_after_s)

    def _key_refused(self, status: int, said: str) -> ModelKeyRefused:
        return ModelKeyRefused(
            f"{_shown(self._url)} refused the API key" if self._api_key else f"{_shown(self._url)} wants an API key",
            why=said,
            next="set INSTAR_MODEL_API_KEY to a key of this server"
            + ("; this one may not be allowed to use the model" if status == 403 and self._api_key else ""),
        )

    async def _unknown(self, fault: WireFault, said: str, patience: Patience) -> ModelUnknown:
        """The model's name or the path is wrong: the server's list of models tells which."""
        listed = await self._listed(patience)
        about_model = "model" in f"{fault.code} {fault.message}".lower()
        if not about_model and not listed:
            return self._wrong_path(said)
        names = ", ".join(listed[:MODELS_SHOWN_MAX]) + (", ..." if len(listed) > MODELS_SHOWN_MAX else "")
        return ModelUnknown(
            self._no_such_model(),
            why=f"{said}; it has: {names}" if listed else said,
            next="set INSTAR_MODEL_NAME to one of its models" + ("" if listed else ", as its own list names them"),
        )

    def _no_such_model(self) -> str:
        if not self._model:
            return f"{_shown(self._url)} wants the name of a model"
        return f"{_shown(self._url)} has no model named {self._model!r}"

    async def _listed(self, patience: Patience) -> list[str]:
        """Names in `/models`; empty when the server does not say."""
        client = self._open_client()
        question = client.build_request("GET", self._endpoint("/models"), headers=self._headers())
        try:
            async with patience.waiting():
                response = await client.send(question, stream=True)
            async with aclosing(response):
                return model_ids(await self._whole(response, patience)) if response.is_success else []
        except (TimeoutError, httpx.RequestError, ModelReplyInvalid):
            return []

    def _wrong_path(self, said: str) -> ModelUnknown:
        return ModelUnknown(
            f"nothing answers chat completions at {_shown(self._url)}", why=said, next=self._wrong_path_step()
        )

    def _wrong_path_step(self) -> str:
        if "/v1" in self._url.path:
            return "set INSTAR_MODEL_URL to the base URL of an OpenAI-compatible API"
        with_version = self._url.copy_with(path=self._url.path.rstrip("/") + "/v1")
        return f"the URL has no version path; try INSTAR_MODEL_URL={_shown(with_version)}"

    def _refused(self, response: httpx.Response, fault: WireFault, said: str) -> ModelError:
        if response.is_redirect:
            target = redact(response.headers.get("location", "elsewhere"), known=[self._api_key])
            return ModelFailed(
                f"{_shown(self._url)} sends requests elsewhere",
                why=f"it answered {response.status_code} with {target}",
                next="set INSTAR_MODEL_URL to where it points; a key is not sent to an address you did not set",
            )
        if response.status_code == 413 or _is_about_context(fault):
            return self._too_long(said)
        if "model" in fault.message.lower() and ("not a valid" in fault.message or "not_found" in fault.code):
            return ModelUnknown(
                self._no_such_model(),
                why=said,
                next="set INSTAR_MODEL_NAME to one of its models",
            )
        return ModelFailed(
            f"{self.name} refused the request",
            why=said,
            next="change what it complains of (`instar config show` lists the settings), or set another model",
        )

    def _too_long(self, said: str) -> ModelFailed:
        return ModelFailed(
            f"the conversation is too long for {self.name}",
            why=said,
            next="set a smaller INSTAR_AGENT_WINDOW, or a model with a larger context: INSTAR_MODEL_NAME",
        )

    def _silent(self) -> ModelTimeout:
        return ModelTimeout(
            f"{self.name} said nothing for {self._timeout_s:g} s",
            why=f"{_shown(self._url)} took the request and went silent; a large model may still be loading",
            next="ask again, or allow more time: INSTAR_MODEL_TIMEOUT_S",
        )

    def _lost(self, error: httpx.RequestError) -> ModelError:
        why = redact(_root_of(error), known=[self._api_key])[:ERROR_BODY_SHOWN_MAX_CHARS]
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return ModelUnreachable(
                f"no model answers at {_shown(self._url)}",
                why=why,
                next="start the model's server, or correct INSTAR_MODEL_URL (`instar config show` shows it)",
            )
        return ModelFailed(
            f"the connection to {self.name} was lost",
            why=why,
            next="ask again; the log of the model's server says why it hung up",
        )

    def _said(self, status: int, fault: WireFault) -> str:
        """What the server said, safe to show: secrets hidden, length bounded, one line."""
        text = " ".join(redact(fault.message, known=[self._api_key]).split())
        if len(text) > ERROR_BODY_SHOWN_MAX_CHARS:
            text = text[:ERROR_BODY_SHOWN_MAX_CHARS] + "..."
        head = f"the server answered {status}" if status else "the server answered with an error"
        return f"{head}: {text}" if text else head

    def _retry_after_s(self, response: httpx.Response) -> float | None:
        """RFC 9110, 10.2.3: seconds or an HTTP date; None when missing or unreadable."""
        text = response.headers.get("retry-after", "").strip()
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return float(text)
        try:
            at = parsedate_to_datetime(text)
        except ValueError:
            return None
        return max(0.0, (_as_utc(at) - self._clock.now()).total_seconds())

    def _wait_s(self, failure: _Failure, retries: int) -> float:
        if failure.retry_after_s is not None:
            return failure.retry_after_s
        most = BACKOFF_FIRST_S * 2**retries
        return float(self._random.uniform(most / 2, most))

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._api_key}"} if self._api_key else {}

    def _endpoint(self, path: str) -> httpx.URL:
        return self._url.copy_with(path=self._url.path.rstrip("/") + path)

    def _open_client(self) -> httpx.AsyncClient:
        if self._closed:
            raise ModelUnreachable(
                f"{self.name} is closed", why="its connections were released", next="open the agent again"
            )
        if self._client is None:
            self._client = self._make_client()
        return self._client

    def _default_client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=min(MODEL_CONNECT_TIMEOUT_S, self._timeout_s)),
            headers={"accept-encoding": "identity", "user-agent": "instar"},
            trust_env=self._url.host not in _LOOPBACK_HOSTS,
        )


def tidy_url(url: str) -> httpx.URL:
    """The base URL without a trailing slash or endpoint. Raises `SettingInvalid` when it is no HTTP URL."""
    text = url.strip()
    try:
        parsed = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise _url_invalid(text, str(error)) from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise _url_invalid(text, "it does not begin with http:// or https:// and a host")
    path = parsed.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return parsed.copy_with(path=path or "/", fragment=None)


def _url_invalid(text: str, why: str) -> SettingInvalid:
    meant = f"http://{redact(text)}" if text and "://" not in text else "http://127.0.0.1:11434/v1"
    return SettingInvalid(
        f"model.url is {redact(text)!r}", why=why, next=f"set INSTAR_MODEL_URL to a base URL such as {meant}"
    )


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingInvalid(
            "model.api_key is (hidden)",
            why="it holds a space, a line break or a character outside ASCII, which no key does",
            next="set INSTAR_MODEL_API_KEY to the key alone",
        )
    return key


def _root_of(error: BaseException) -> str:
    """The operating system's own words when it was the one who said no, else the library's."""
    if isinstance(error, httpx.ConnectTimeout):
        return "the connection was not made in time"
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, BaseExceptionGroup):
            found = found.exceptions[0]
        if isinstance(found, ssl.SSLError | socket.gaierror):
            return found.strerror or str(found)
        if isinstance(found, OSError) and found.errno:
            return os.strerror(found.errno)
        found = found.__cause__ or found.__context__
    return str(error) or type(error).__name__


def _shown(url: httpx.URL) -> str:
    """The URL without user, password and query."""
    return str(url.copy_with(userinfo=b"", query=None)).rstrip("/")


def _check_no_page(response: httpx.Response, step: str) -> None:
    if "text/html" in response.headers.get("content-type", ""):
        raise ModelReplyInvalid(
            "the model's URL answers with a web page", why="it should answer with a chat completion", next=step
        )


def _may_complain(data: str | bytes) -> bool:
    """Cheap and never wrong when it says no: spares most chunks a second parse."""
    text = data if isinstance(data, str) else data.decode(errors="replace")
    return '"error"' in text or '"detail"' in text


def _is_about_context(fault: WireFault) -> bool:
    said = f"{fault.code} {fault.message}".lower()
    return any(sign in said for sign in _CONTEXT_SIGNS)


def _as_utc(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _text(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    return "a web page" if text.startswith("<") else text


if TYPE_CHECKING:
    _fulfils: type[ChatModel] = OpenAICompatible
