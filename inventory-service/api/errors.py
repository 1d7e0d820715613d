"""The HTTP statuses of the domain's errors."""

from functools import partial

from chassis.http import problems

from domain.errors import ItemNotFound

STATUSES: dict[type[Exception], int] = {ItemNotFound: 404}
documented = partial(problems.documented, own=STATUSES)
