"""A container's health check: ends with 0 if /health says that all is well, and prints what it says.

/health and not /health/ready, so that "healthy" in `docker compose ps`, and the end of `docker compose up --wait`, mean
that orders go through. Compose restarts nothing for it; an orchestrator that does would look at /health/live.
"""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=8)
connection.request("GET", "/health")
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(answer.status != 200)
