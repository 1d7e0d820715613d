"""Asking the services how they are."""

import http.client
import json
import urllib.error
import urllib.request


def ask(port: int, path: str = "/health") -> tuple[int, str]:
    """Status and body of the answer; status 0 when there is none."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)


def is_well(name: str, status: int, body: str) -> bool:
    """Whether this service, and not another one on its port, has answered that all is well."""
    try:
        return status == 200 and json.loads(body)["service"] == name
    except (ValueError, LookupError, TypeError):
        return False
