"""The HTTP statuses of the domain's errors."""

from functools import partial

from chassis.http import problems

from domain.errors import PaymentNotFound

STATUSES: dict[type[Exception], int] = {PaymentNotFound: 404}
documented = partial(problems.documented, own=STATUSES)
