"""The page for people: `uvicorn main:app --port 8000`. The composition root: adapters are built only here."""

from collections.abc import Mapping, Sequence

import httpx
from chassis.http.access import Guard, Part
from chassis.http.app import create_app
from chassis.runtime import logs
from chassis.runtime.guard import guard_of
from chassis.runtime.jobs import Periodic
from chassis.runtime.settings import load
from fastapi import FastAPI

from api import acts as acts_api
from api import breaking as breaking_api
from api import login as login_api
from api import page, stream
from application.acts import Acts
from application.looking import Looking
from application.ports import Breaking, Feed, Operators, Services
from application.watching import Watching
from infrastructure.breaking import Breaker
from infrastructure.feed import EventFeed
from infrastructure.operators import OperatorsTool
from infrastructure.services import HttpServices
from settings import Settings

SERVICE = "console"
LOOK_EVERY_SECONDS = 1.0


def compose(
    watching: Watching,
    feed: Feed,
    services: Services,
    operators: Operators,
    breaking: Breaking,
    *,
    parts: Sequence[Part],
    guard: Guard,
    login: Mapping[str, str],
) -> FastAPI:
    """The page on these adapters, of which `parts` have to be started. `login` is what people sign in with."""
    looking = Looking(watching, feed, services, operators)
    acts = Acts(services, watching)
    watch = Periodic("watching", LOOK_EVERY_SECONDS, looking.turn)
    pictures = stream.Pictures(looking)
    found = create_app(
        service=SERVICE,
        version="1.0.0",
        summary="Shows what happens to every order, and lets people act on it.",
        routers=[
            page.router(),
            login_api.router(login),
            stream.router(pictures, services),
            acts_api.router(acts, services, operators),
        ],
        parts=[*parts, acts, watch],
        checks={"watching": watch.problem},
        ready=(),
        guard=guard,
        development=[breaking_api.router(breaking, watching, acts)],
    )
    found.add_middleware(page.PageHeaders, issuer=login.get("issuer", ""))
    return found


settings = load(Settings)
logs.configure(SERVICE, settings)
watching = Watching()
feed = EventFeed(settings.reader("rabbitmq_url"), watching.take)
client = httpx.AsyncClient(timeout=10)
services = HttpServices(settings.urls, settings.internal_urls, client)
breaker = Breaker(settings.urls, client, settings.reader("rabbitmq_url"))
operators = OperatorsTool(
    settings.reader("database_url"), settings.reader("rabbitmq_url"), verified=settings.in_production
)
app = compose(
    watching,
    feed,
    services,
    operators,
    breaker,
    parts=[services, feed],
    guard=guard_of(settings),
    login=settings.login,
)
