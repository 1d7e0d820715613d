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
    order_service_port: int = 8001
    inventory_service_port: int = 8002
    payment_service_port: int = 8003
    notification_service_port: int = 8004

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

    def refusals(self) -> Iterator[str]:
        if self.in_production:
            yield "The console is for development only so far: it does not start with ENVIRONMENT=production"
            return
        yield from super().refusals()
