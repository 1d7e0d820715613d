"""The last notifications of this instance, in memory."""

from collections import deque
from itertools import islice
from uuid import UUID

from domain.notification import Notification

KEPT = 1_000


class RecentNotifications:
    def __init__(self) -> None:
        self._newest_first: deque[Notification] = deque(maxlen=KEPT)

    def add(self, notification: Notification) -> None:
        self._newest_first.appendleft(notification)

    def listed(self, *, customer_id: UUID | None, before: UUID | None, limit: int) -> list[Notification]:
        found = (
            notification
            for notification in self._newest_first
            if customer_id in (None, notification.customer_id) and (before is None or notification.id < before)
        )
        return list(islice(found, limit))
