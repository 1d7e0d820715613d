"""Identifiers: UUIDv7 (RFC 9562), which sort by time of creation and so keep indexes dense."""

from collections import OrderedDict
from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["RecentIds", "uuid7"]


class RecentIds:
    """The last ids seen, in memory: the inbox of a service without a database."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[UUID, None] = OrderedDict()

    def __contains__(self, event_id: UUID) -> bool:
        return event_id in self._ids

    def add(self, event_id: UUID) -> None:
        self._ids[event_id] = None
        self._ids.move_to_end(event_id)
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)
