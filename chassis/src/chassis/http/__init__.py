"""HTTP: the application, problem details, bodies, pages, health and the OpenAPI document."""
