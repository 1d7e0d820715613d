"""Who calls, as use cases see it."""

from dataclasses import dataclass
from typing import Literal, get_args
from uuid import UUID

from pydantic import BaseModel

Role = Literal["customer", "staff", "auditor", "service"]
ROLES: frozenset[Role] = frozenset(get_args(Role))


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose token was verified, or UNCHECKED."""

    issuer: str
    subject: str
    roles: frozenset[Role]
    customer_id: UUID | None = None
    """Which customer the caller is, if it is one."""

    @property
    def name(self) -> str | None:
        """The same for every token of the caller, and nobody else's; None for UNCHECKED. A URL has no space."""
        return f"{self.issuer} {self.subject}" if self.issuer else None

    def is_any_of(self, *roles: Role) -> bool:
        return self.name is None or not self.roles.isdisjoint(roles)

    def is_customer(self, customer_id: UUID) -> bool:
        return "customer" in self.roles and self.customer_id == customer_id

    def may_see(self, customer_id: UUID) -> bool:
        """Whether the caller may see what belongs to that customer."""
        return self.is_any_of("staff", "auditor") or self.is_customer(customer_id)


UNCHECKED = Principal("", "", frozenset())
"""Everybody in development, where nobody is checked and everybody may do everything."""


class Trust(BaseModel):
    """Whose tokens are believed, and what their claims are called: settings of these names."""

    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_discovery_url: str = ""
    oidc_roles_claim: str = "roles"
    oidc_customer_claim: str = "sub"
    oidc_token_type: str = "at+jwt"  # noqa: S105 (a name)
    allow_development_issuer: bool = False

    @property
    def discovery_url(self) -> str:
        return self.oidc_discovery_url or f"{self.oidc_issuer.rstrip('/')}/.well-known/openid-configuration"
