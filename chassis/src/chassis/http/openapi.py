"""Adds to OpenAPI the schemas of bodies that routes read and write themselves, which FastAPI can't see."""

from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

_TEMPLATE = "#/components/schemas/{model}"
_models: dict[str, type[BaseModel]] = {}


def reference(model: type[BaseModel]) -> dict[str, str]:
    """A reference to the model's schema, which `complete` adds to the document."""
    _models[model.__name__] = model
    return {"$ref": _TEMPLATE.format(model=model.__name__)}


def header(description: str, *, required: bool = False, **schema: Any) -> dict[str, Any]:
    """A response header; `required` if it is always there."""
    return {"description": description, "required": required, "schema": {"type": "string"} | schema}


def complete(app: FastAPI) -> None:
    """Makes the app's OpenAPI document one that clients can be made from: with the schemas that `reference` has named,
    operations called as their functions are, and who may call them."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            route.operation_id = route.name
            if roles := getattr(route.endpoint, "allows", None):
                route.description += f"\n\nIn production for: {', '.join(sorted(roles))}."
                route.openapi_extra = {**(route.openapi_extra or {}), "security": [{}, {"token": []}]}
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        components = document.setdefault("components", {})
        components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
        schemas = components.setdefault("schemas", {})
        for name, model in _models.items():
            schema = model.model_json_schema(ref_template=_TEMPLATE)
            for inner, definition in schema.pop("$defs", {}).items():
                schemas.setdefault(inner, definition)
            schemas.setdefault(name, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
