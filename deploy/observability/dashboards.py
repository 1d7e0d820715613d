"""Makes of dashboards.toml what Grafana reads, in dashboards/: python3 deploy/observability/dashboards.py [--check]"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

DESCRIPTION = Path(__file__).with_name("dashboards.toml")
FOLDER = Path(__file__).with_name("dashboards")
_COLUMNS, _HEIGHT = 3, 8
_WIDTH = 24 // _COLUMNS  # of Grafana's grid

Table = dict[str, Any]


def grafana(name: str, dashboard: Table) -> Table:
    """https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/"""
    return {
        "uid": f"order-processing-{name}",
        "title": dashboard["title"],
        "tags": ["order-processing"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["order-processing"], "title": "", "asDropdown": False}],
        "panels": [_panel(number, *its) for number, its in enumerate(dashboard["panels"].items())],
    }


def _panel(number: int, title: str, panel: Table) -> Table:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": panel.get("kind", "timeseries"),
        "title": title,
        "description": panel["question"],
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel["unit"], "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel["queries"].items())
        ],
    }


def main(check: bool) -> int:
    described = tomllib.loads(DESCRIPTION.read_text()).items()
    texts = {FOLDER / f"{name}.json": json.dumps(grafana(name, its), indent=2) + "\n" for name, its in described}
    stray = set(FOLDER.glob("*.json")) - set(texts)
    wrong = [path for path, text in texts.items() if not path.exists() or path.read_text() != text] + sorted(stray)
    for path in wrong:
        print(f"{path.name} {'is not as dashboards.toml says: run dashboards.py' if check else 'written'}")
        if not check:
            path.write_text(texts[path]) if path in texts else path.unlink()
    return int(check and bool(wrong))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
