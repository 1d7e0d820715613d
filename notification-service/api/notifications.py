"""The notifications resource."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from chassis.http.access import allows, caller
from chassis.http.paging import PAGE, Cursor, Limit, page
from chassis.http.problems import Problem, documented
from chassis.http.requests import json_body, json_response, read_json
from fastapi import APIRouter, Query, Request, Response

from api.schemas import NotificationResponse, SendNotificationRequest
from application.ports import NotificationLog
from application.send_notifications import SendNotification
from domain.notification import Notification


def router(send: Callable[[SendNotification], Awaitable[Notification]], recent: NotificationLog) -> APIRouter:
    routes = APIRouter(prefix="/notifications", tags=["notifications"])

    @routes.post(
        "",
        status_code=201,
        response_model=NotificationResponse,
        responses=documented(400, 408, 413, 415, 422),
        openapi_extra=json_body(SendNotificationRequest),
    )
    @allows("staff")
    async def send_notification(request: Request) -> Response:
        """Tells a customer something."""
        body = await read_json(request, SendNotificationRequest)
        what = (body.customer_id, body.subject, body.message)
        notification = await send(SendNotification(*what, request.state.traceparent))
        return json_response(NotificationResponse.model_validate(notification), 201)

    @routes.get("", response_model=list[NotificationResponse], responses={**PAGE, **documented(404, 422)})
    @allows("customer", "staff", "auditor")
    async def get_notifications(
        request: Request,
        customer_id: Annotated[UUID | None, Query(description="Whose; without it, all one may see.")] = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response:
        """This instance's last 1,000 notifications, newest first."""
        whose = customer_id
        if not (reader := caller(request)).is_any_of("staff", "auditor"):
            whose = customer_id or reader.customer_id
            if whose is None or not reader.may_see(whose):
                raise Problem(404, "not-found", "There is no such customer.")
        rows = recent.listed(customer_id=whose, before=cursor, limit=limit + 1)
        return page(request, NotificationResponse, rows, limit)

    return routes
