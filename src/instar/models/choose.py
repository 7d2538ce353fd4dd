"""From settings to a model."""

from __future__ import annotations

from instar.core.clock import Clock
from instar.core.settings import ModelSettings
from instar.models.port import ChatModel
from instar.models.router import Router


def choose_model(settings: ModelSettings, *, clock: Clock) -> ChatModel | None:
    """Return the model the settings name, with its fallback if there is one; None when they name none.

    Nothing is connected yet. Raises `SettingInvalid` for a URL or key that cannot be one.
    """
    if not settings.url.strip():
        return None
    preferred = _compatible(settings, settings.url, settings.name, settings.api_key, clock)
    if not settings.fallback_url.strip():
        return preferred
    fallback = _compatible(settings, settings.fallback_url, settings.fallback_name, settings.fallback_api_key, clock)
    return Router([preferred, fallback], clock=clock)


def _compatible(settings: ModelSettings, url: str, name: str, api_key: str, clock: Clock) -> ChatModel:
    from instar.models.openai_compatible import OpenAICompatible  # httpx loads only where a model is set

    return OpenAICompatible(
        url=url,
        name=name,
        api_key=api_key,
        temperature=settings.temperature,
        timeout_s=settings.timeout_s,
        clock=clock,
    )
