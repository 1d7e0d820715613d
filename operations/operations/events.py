"""Shows the events as they pass, until it is interrupted.

    events                    a line for each: when, who, what, of which order, and its figures
    events --order 0198c5f0   those of orders whose id begins like this
    events --json             each as the CloudEvents document that it is

It reads from a queue of its own, which goes with it and disturbs nobody. Events from before are not shown, nor what
passes faster than this terminal takes it: 1,000 messages wait at most.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Never

import orjson
from aio_pika.exceptions import ChannelNotFoundEntity
from chassis.ports.errors import reason_of

from operations.addresses import Refused, rabbitmq_url
from operations.following import connected, follow, waiting

LOOK_EVERY_SECONDS = 1.0
_NAMED_BEFORE = ("order_id", "customer_id", "expires_at")
_COLOURS = {"Failed": 31, "Unavailable": 31, "Cancelled": 33, "Released": 33, "Refunded": 33, "Completed": 32}
"""Of the terminal, by the end of the event's name: what failed, what is undone, what is done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--order", default="", metavar="ID", help="only of orders whose id begins like this")
    parser.add_argument("--json", action="store_true", help="whole documents, a line each")


def run(options: argparse.Namespace) -> int:
    shown = _document if options.json else _line

    def show(document: object) -> None:
        if isinstance(document, dict) and str(document.get("subject", "")).startswith(options.order):
            print(shown(document), flush=True)  # somebody may have put a pipe behind it

    url = rabbitmq_url()
    try:
        asyncio.run(_follow(url, show))
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # https://docs.python.org/3/library/signal.html
        return 0
    except ChannelNotFoundEntity as error:
        raise Refused(f"A service has no queue ({reason_of(error)}): start the services first.") from None
    except Exception as error:
        raise Refused(f"RabbitMQ does not answer ({reason_of(error)}): is the system up?", 2) from None


async def _follow(url: str, show: Callable[[object], None]) -> Never:
    """Raises what ends it."""
    arrived: asyncio.Queue[Sequence[object]] = asyncio.Queue()
    async with connected(url, "make events") as connection:
        looking = await connection.channel()
        await waiting(looking)
        await follow(await connection.channel(), arrived.put_nowait)
        print("Following the events: Ctrl+C ends it.", file=sys.stderr)
        looked_at = time.monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    for document in await arrived.get():
                        show(document)
            if time.monotonic() > looked_at + LOOK_EVERY_SECONDS:
                await waiting(looking)
                looked_at = time.monotonic()


def _document(document: Mapping[str, Any]) -> str:
    return orjson.dumps(document).decode()


def _line(document: Mapping[str, Any]) -> str:
    name, source = str(document.get("type", "")), str(document.get("source", ""))
    data = document.get("data")
    figures = {key: value for key, value in data.items() if key not in _NAMED_BEFORE} if isinstance(data, dict) else {}
    if isinstance(items := figures.get("items"), list):
        figures["items"] = len(items)
    said = " ".join(f"{key}={value}" for key, value in figures.items())
    again = "again, " if document.get("repeat") else ""
    colour = next((number for end, number in _COLOURS.items() if name.endswith(end)), 0)
    shown = f"\033[{colour}m{name:<21}\033[0m" if colour and sys.stdout.isatty() else f"{name:<21}"
    time, who = str(document.get("time", ""))[11:23], source.removesuffix("-service")
    return f"{time}  {who:<9}  {shown}  {document.get('subject')}  {again}{said}".rstrip()
