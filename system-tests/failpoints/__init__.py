"""Named points at which a service of the real system can be made to die, as by kill -9.

The services know nothing of them: `uvicorn failpoints.build:app`, run from a service's folder, is that service with
the places below patched from outside. FAILPOINT_FILE names a file; writing a point's name into it arms the point in the
process that runs, without starting it anew. The first process to get there takes the file away, says so in its log and
kills itself; its successor is not armed.

    <point>            wherever it is reached
    <point>:<about>    only when it concerns that: a routing key, an event's type, a kind of gateway call, or the name
                       of the task at work (place_orders, cancel_orders, set_stock, enter_answers, consumer,
                       order deadlines, reminders)
"""

import asyncio
import os
import signal
from pathlib import Path

import orjson

POINTS = {
    "before-commit": "a transaction is complete, with its inbox and outbox rows, and not committed",
    "committed-before-publish": "a change was committed with its events, and nothing was done to publish them",
    "unconfirmed": "a message is about to go to the broker",
    "published-before-delete": "the broker has confirmed a message, whose rows are still in the outbox",
    "deleted": "the rows of confirmed messages were just deleted from the outbox",
    "swept-before-delete": "rows that a crash left behind were published, and not deleted; the sweeper's lock is held",
    "events-before-ack": "a batch of events was committed, and not acknowledged",
    "acked": "a batch of events was just acknowledged, and the next one not begun",
    "set-aside-before-ack": "an event was published to the retries or the dead letters, and not acknowledged",
    "lease-before-gateway": "an attempt and its lease were committed, and the gateway was not called",
    "answer-before-commit": "the gateway has charged, refunded or refused, and its answer is in memory only",
}

RETRIES, DEAD_LETTERS = "retries", "dead letters"
HANDLERS_FAIL = f"set-aside-before-ack:{RETRIES}"
"""While this is armed, events can't be handled, because nothing else leads there."""


def armed(file: Path) -> str:
    """The point that is armed, "" if none is."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def meets(file: Path, point: str, *about: str) -> bool:
    """Whether this is the point that is armed."""
    assert point in POINTS
    task = asyncio.current_task()
    subjects = (*about, task.get_name()) if task else about
    return armed(file) in (point, *(f"{point}:{subject}" for subject in subjects))


def reached(file: Path, point: str, *about: str) -> None:
    """Ends this process if the point is armed."""
    if meets(file, point, *about):
        say("died of a failpoint", point=armed(file))
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


async def reached_slowly(file: Path, point: str, *about: str) -> None:
    """The same, but what was let out before its time gets out first."""
    if meets(file, point, *about):
        await asyncio.sleep(0.3)
    reached(file, point, *about)


def say(event: str, **facts: str) -> None:
    """A line of the service's log that is there even if the process ends now."""
    os.write(2, orjson.dumps({"event": event, **facts}) + b"\n")
