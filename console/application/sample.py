"""How much the page looks at: all orders while it can keep up, else a part, chosen by the order's id so that all events
of an order are seen or none."""

import math
import zlib

EVENTS_PER_SECOND = 500
"""More are not looked at one by one."""


class Sample:
    def __init__(self) -> None:
        self.share = 1.0
        """1, 1/2, 1/4, ...: whoever is in a smaller part is in the larger ones too."""
        self._counted = 0

    def has(self, order_id: str) -> bool:
        return self.share == 1.0 or zlib.crc32(order_id.encode(errors="replace")) < self.share * 2**32

    def count(self, events: int) -> None:
        """Takes note that so many events came, looked at or not."""
        self._counted += events

    def turn(self, seconds: float) -> bool:
        """Chooses the part by what came in these last seconds. True if it is smaller than before."""
        rate, self._counted = self._counted / max(seconds, 0.001), 0
        wanted = 2.0 ** -math.ceil(math.log2(rate / EVENTS_PER_SECOND)) if rate > EVENTS_PER_SECOND else 1.0
        before, self.share = self.share, wanted if wanted < self.share else min(self.share * 2, wanted)
        return self.share < before
