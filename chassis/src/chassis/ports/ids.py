"""Identifiers: UUIDv7 (RFC 9562), which sort by time of creation and so keep indexes dense."""

from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

__all__ = ["RecentIds", "first_id", "uuid7"]

CLOCKS_DIFFER_BY = timedelta(hours=1)
"""More than the clock that made an id and the database's, which says when something was created, ever differ by."""


def first_id(since: datetime) -> UUID:
    """Below the id of everything that was created since then: where a search by time may stop."""
    return UUID(int=max(int((since - CLOCKS_DIFFER_BY).timestamp() * 1000), 0) << 80)


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
