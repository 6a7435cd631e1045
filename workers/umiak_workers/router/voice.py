"""What a router says by MQTT: that it is there, and one small summary per answer. Losing any of it loses nothing."""

import asyncio
import json
from collections.abc import Callable

from umiak_workers.adapters.mqtt import Link, Note
from umiak_workers.contract import topics
from umiak_workers.contract.config import RouterConfig
from umiak_workers.contract.messages import Answer


def presence(config: RouterConfig, up: bool, at: float) -> Note:
    """Birth (retained), farewell, or last will of this edge's router."""
    topic = topics.presence(config.namespace, config.resource, config.edge)
    return Note(topic, json.dumps({"up": up, "at": round(at, 3)}).encode(), retain=True)


def summary(answer: Answer) -> bytes | None:
    """An answer in at most topics.LARGEST bytes: extras go first; None if even that is not enough.

    Confidences of boxes, of which there may be a hundred, are never in it.
    """
    told = answer.model_copy(update={"scores": answer.scores.model_copy(update={"confidences": None})})
    for left_out in (set[str](), {"cloud_models"}, {"cloud_models", "stages_milliseconds"}):
        text = told.model_dump_json(exclude_none=True, exclude=left_out).encode()
        if len(text) <= topics.LARGEST:
            return text
    return None


class Voice:
    """Speaks for one router over a link; `link` is None where there is no broker."""

    def __init__(self, config: RouterConfig, link: Link | None) -> None:
        self._config = config
        self._link = link
        self._topic = topics.summary(config.namespace, config.resource, config.edge)

    def hello(self, at: float) -> None:
        """Birth; said again on every reconnect."""
        if self._link:
            self._link.publish(presence(self._config, True, at))

    def tell(self, answer: Answer) -> None:
        """A summary, if the broker is there."""
        text = summary(answer)
        if self._link and text:
            self._link.publish(Note(self._topic, text))

    def on_settings(self, hint: Callable[[], None]) -> None:
        """Call `hint` in the running loop whenever settings are said to have changed."""
        if self._link:
            loop = asyncio.get_running_loop()
            topic = topics.settings_hint(self._config.namespace, self._config.resource)
            self._link.subscribe(topic, lambda _topic, _payload: _hand_over(loop, hint))


def _hand_over(loop: asyncio.AbstractEventLoop, hint: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(hint)
