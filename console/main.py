"""The page for people: `uvicorn main:app --port 8000`. The composition root: adapters are built only here."""

import httpx
from chassis.http.app import create_app
from chassis.runtime import logs
from chassis.runtime.guard import guard_of
from chassis.runtime.jobs import Periodic
from chassis.runtime.settings import load

from api import acts as acts_api
from api import page, stream
from application.acts import Acts
from application.looking import Looking
from application.watching import Watching
from infrastructure.feed import Feed
from infrastructure.operators import OperatorsTool
from infrastructure.services import HttpServices
from settings import Settings

SERVICE = "console"

settings = load(Settings)
logs.configure(SERVICE, settings)
watching = Watching()
feed = Feed(settings.reader("rabbitmq_url"), watching.take)
services = HttpServices(settings.urls, httpx.AsyncClient(timeout=10, limits=httpx.Limits(max_connections=100)))
operators = OperatorsTool(settings.reader("database_url"), settings.reader("rabbitmq_url"))
looking = Looking(watching, feed, services, operators)
acts = Acts(services, watching)
watch = Periodic("watching", 1.0, looking.turn)
app = create_app(
    service=SERVICE,
    version="1.0.0",
    summary="Shows what happens to every order, and lets people act on it.",
    routers=[
        page.router(),
        stream.router(stream.Pictures(looking), services),
        acts_api.router(acts, services, operators),
    ],
    parts=[services, feed, acts, watch],
    checks={"watching": watch.problem},
    ready=(),
    guard=guard_of(settings),
)
app.add_middleware(page.PageHeaders)
