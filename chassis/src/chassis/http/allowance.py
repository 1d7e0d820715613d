"""How many requests each customer may send, so that one of them can't take this instance from the others."""

import time
from collections.abc import Callable

REQUESTS_A_SECOND = 20
AT_ONCE_SECONDS = 5
"""Whoever was quiet may send what these seconds allow at once."""
MAX_CALLERS = 10_000


class Allowance:
    """The generic cell rate algorithm: one time for each caller, up to which its requests are paid.

    https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._paid_until: dict[str, float] = {}

    def take(self, caller: str) -> float:
        """Counts a request. Returns 0, or after how many seconds the next one is allowed."""
        now = self._clock()
        paid_until = max(self._paid_until.get(caller, now), now)
        if (wait := paid_until - now - AT_ONCE_SECONDS + 1 / REQUESTS_A_SECOND) > 0:
            return wait
        if len(self._paid_until) >= MAX_CALLERS:
            self._paid_until = {name: until for name, until in self._paid_until.items() if until > now}
        self._paid_until[caller] = paid_until + 1 / REQUESTS_A_SECOND
        return 0.0
