"""Adds to OpenAPI the schemas of bodies that routes read and write themselves, which FastAPI can't see."""

from typing import Any

from fastapi import FastAPI
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
    """Adds the schemas that `reference` has named to the app's OpenAPI document."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = generate()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for name, model in _models.items():
            schema = model.model_json_schema(ref_template=_TEMPLATE)
            for inner, definition in schema.pop("$defs", {}).items():
                schemas.setdefault(inner, definition)
            schemas.setdefault(name, schema)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way
