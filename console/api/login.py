"""Who looks at the page: where people sign in, and who has. The page does the rest (static/login.js)."""

from collections.abc import Mapping

import orjson
from chassis.http.access import allows, caller
from chassis.http.problems import documented
from fastapi import APIRouter, Request, Response

from application.ports import AUTHORIZATION


def router(login: Mapping[str, str]) -> APIRouter:
    routes = APIRouter(prefix="/api", tags=["login"])

    @routes.get("/login")
    @allows("anybody")
    async def get_login() -> Response:
        """The issuer and the page's client id there; empty in development, where nobody has to sign in."""
        return Response(orjson.dumps(login), media_type="application/json")

    @routes.get("/caller", responses=documented())
    @allows("staff", "auditor")
    async def get_caller(request: Request) -> Response:
        """Who is signed in, and with which roles."""
        who = caller(request)
        return Response(orjson.dumps({"name": who.subject, "roles": sorted(who.roles)}), media_type="application/json")

    return routes


async def as_the_caller(request: Request) -> None:
    """A dependency of routes that ask the services."""
    AUTHORIZATION.set(request.headers.get("authorization"))
