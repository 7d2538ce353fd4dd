"""From recalled evidence to citations, and from a stored reply back to them."""

from __future__ import annotations

from collections.abc import Sequence

from instar.agent.reply import Citation
from instar.agent.stores import Stores
from instar.core.records import Message
from instar.models.port import Evidence
from instar.models.wording import stems

_ATTRIBUTED_STEMS_MIN = 3
_ATTRIBUTED_SHARE = 0.6


async def citations_of(stores: Stores, evidence: Sequence[Evidence]) -> tuple[Citation, ...]:
    """The messages behind `evidence`, each once; evidence without a message cites nothing."""
    found: dict[tuple[str, str], Citation] = {}
    for each in evidence:
        if each.channel is None or each.message_id is None or (each.channel, each.message_id) in found:
            continue
        message = await stores.conversations.get(each.channel, each.message_id)
        if message is not None:
            found[(each.channel, each.message_id)] = _citation(message)
    return tuple(found.values())


async def citations_kept(stores: Stores, reply: Message) -> tuple[Citation, ...]:
    """The citations of a stored reply; a message deleted since is not cited any more."""
    cited = [await stores.conversations.get(each.channel, each.id) for each in reply.citations]
    return tuple(_citation(message) for message in cited if message is not None)


def attributed(text: str, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The evidence whose words stand in `text`: what a reply rests on when its author does not say."""
    said = set(stems(text))
    return [each for each in evidence if _rests_on(said, set(stems(each.text)))]


def _rests_on(said: set[str], told: set[str]) -> bool:
    return len(told & said) >= _ATTRIBUTED_STEMS_MIN and len(told & said) >= _ATTRIBUTED_SHARE * len(told)


def _citation(message: Message) -> Citation:
    return Citation(
        message_id=message.id,
        channel=message.channel,
        author=message.author,
        sent_at=message.sent_at,
        text=message.text,
    )
