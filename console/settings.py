"""The page's settings; every variable is described in .env.example."""

from collections.abc import Iterator

from chassis.runtime.settings import PostgresSettings, ServiceSettings


class Settings(PostgresSettings, ServiceSettings):
    order_service_url: str = ""
    """The addresses of the service's replicas, with blanks between; a host's name stands for a replica at each of its
    addresses."""
    inventory_service_url: str = ""
    payment_service_url: str = ""
    notification_service_url: str = ""
    order_service_internal_url: str = ""
    """Where the replicas serve health and metrics, if elsewhere: in production at their INTERNAL_ADDRESS."""
    inventory_service_internal_url: str = ""
    payment_service_internal_url: str = ""
    notification_service_internal_url: str = ""
    order_service_port: int = 8001
    inventory_service_port: int = 8002
    payment_service_port: int = 8003
    notification_service_port: int = 8004
    oidc_client_id: str = ""
    """As what the page is known to the issuer, a public client."""

    @property
    def urls(self) -> dict[str, list[str]]:
        """The addresses of each service's replicas, by its name."""
        given = {
            "order-service": (self.order_service_url, self.order_service_port),
            "inventory-service": (self.inventory_service_url, self.inventory_service_port),
            "payment-service": (self.payment_service_url, self.payment_service_port),
            "notification-service": (self.notification_service_url, self.notification_service_port),
        }
        return {name: urls.split() or [f"http://127.0.0.1:{port}"] for name, (urls, port) in given.items()}

    @property
    def internal_urls(self) -> dict[str, list[str]]:
        """Where each service's replicas serve health and metrics, by its name."""
        given = {
            "order-service": self.order_service_internal_url,
            "inventory-service": self.inventory_service_internal_url,
            "payment-service": self.payment_service_internal_url,
            "notification-service": self.notification_service_internal_url,
        }
        return {name: given[name].split() or urls for name, urls in self.urls.items()}

    @property
    def login(self) -> dict[str, str]:
        """What the page must know to sign somebody in; nothing in development, where nobody is checked."""
        return {"issuer": self.oidc_issuer, "client_id": self.oidc_client_id} if self.in_production else {}

    def refusals(self) -> Iterator[str]:
        yield from super().refusals()
        if self.in_production and not self.oidc_client_id:
            yield "OIDC_CLIENT_ID is not set, and ENVIRONMENT=production needs it (see .env.example)"
