"""Prints the OpenAPI document of the service in this folder: `python -m chassis.testing.openapi`."""

import json
import sys
from pathlib import Path

from chassis.testing.running import NOWHERE, load_main

if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    nowhere = {"DATABASE_URL": f"postgresql://{NOWHERE}/none", "RABBITMQ_URL": f"amqp://{NOWHERE}/"}
    main = load_main(Path.cwd(), ENVIRONMENT="development", **nowhere)
    print(json.dumps(main.app.openapi(), indent=2, ensure_ascii=False))
