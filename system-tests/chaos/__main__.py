"""The command line: see the package's docstring."""

import argparse
import asyncio
import logging
import os
import random
import sys
import time
from pathlib import Path

import way
from chaos.acts import Acts
from chaos.catalogue import Catalogue
from chaos.plan import INSTANCES, plan
from chaos.report import Report
from chaos.shoppers import Shoppers
from chaos.stage import Stage, stage
from chaos.verdict import judge, quiet
from chaos.watch import Watch
from shop import Shop
from system import ROOT, Ended

QUIET_WITHIN_SECONDS = 300
"""After the last fault: the deadline (45 s), a lease (30 s), a minute to a decision's repeat, up to four to that of a
reservation that asked while nobody heard it, and more."""


def main() -> int:
    environment = os.environ
    parser = argparse.ArgumentParser(prog="python -m chaos", description="The real system under seeded faults.")
    parser.add_argument("--seed", type=int, default=environment.get("SEED") or random.randrange(2**32))
    parser.add_argument("--minutes", type=float, default=environment.get("MINUTES") or 2.0, help="of faults (2)")
    parser.add_argument("--rate", type=float, default=20.0, help="orders a second (20)")
    parser.add_argument("--logs", type=Path, help="where the services' logs go (.run/PROFILE/log/chaos)")
    options = parser.parse_args()
    profile = environment.get("ORDER_PROCESSING_PROFILE", "")
    if not profile:
        print(
            "ORDER_PROCESSING_PROFILE names no pair of servers that may be broken: use `make chaos`.", file=sys.stderr
        )
        return 2
    logging.disable()  # what the clients in here have to say of the servers' comings and goings
    # Of their own: the verdict reads them, and services of another run may have written beside them.
    logs = options.logs or ROOT / ".run" / profile / "log" / "chaos"
    logs.mkdir(parents=True, exist_ok=True)
    print(f"SEED={options.seed}: {options.minutes:g} minutes of faults, logs in {logs}", flush=True)
    try:
        report = asyncio.run(run(options.seed, options.minutes, options.rate, profile, logs))
    except Ended as error:
        print(error, file=sys.stderr)
        return 1
    print(report.text())
    return 1 if report.verdict.violations else 0


async def run(seed: int, minutes: float, rate: float, profile: str, logs: Path) -> Report:
    seconds = minutes * 60
    catalogue = Catalogue(seed, orders=int(rate * seconds))
    async with stage(profile, logs) as on:
        await _stock(on, catalogue)
        shoppers = Shoppers(on.order_urls(), catalogue, rate)
        acts, watch = Acts(on), Watch({instance: on.system.internal_urls[instance] for instance in INSTANCES})
        looking = asyncio.create_task(watch.look())
        shopping = asyncio.create_task(shoppers.shop(seconds))
        await acts.play(plan(seed, seconds), lambda line: print(line, flush=True))
        healed = time.monotonic()
        complaints = await _ended(on, shopping, catalogue)
        quiet_after_seconds = time.monotonic() - healed
        written = [service.log for service in on.system.services.values()]
        verdict = await judge(on.system, shoppers, catalogue, acts.poison, written)
        verdict.violations += complaints
        try:
            await on.system.healthy(*INSTANCES)
        except AssertionError as error:
            verdict.violations.append(str(error))
        looking.cancel()
        return Report(seed, minutes, acts, shoppers, watch, verdict, quiet_after_seconds, logs)


async def _stock(on: Stage, catalogue: Catalogue) -> None:
    async with way.client() as client:
        shop = Shop(on.system, client)
        for product, quantity in catalogue.stock().items():
            await shop.stock(quantity, product)


async def _ended(on: Stage, shopping: asyncio.Task[None], catalogue: Catalogue) -> list[str]:
    """Returns when every customer has an answer and nothing is under way any more, or what still is after so long."""
    try:
        async with asyncio.timeout(QUIET_WITHIN_SECONDS):
            await shopping
    except TimeoutError:
        return [f"Customers still have no answer {QUIET_WITHIN_SECONDS} s after the last fault."]
    return await quiet(on.system, catalogue.stock(), QUIET_WITHIN_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
