"""The API's documentation as one plain page made from its OpenAPI description: no script, no network."""

from __future__ import annotations

import json
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; } body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
padding: 0 1rem; } code, pre { font: 14px/1.45 ui-monospace, monospace; } pre { overflow: auto; padding: .75rem;
border: 1px solid #8886; border-radius: 6px; } table { border-collapse: collapse; width: 100%; } td, th { text-align:
left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8885; } h2 { margin-top: 2.5rem; }
"""


def render(spec: dict[str, Any], base: str) -> str:
    """One HTML page for an OpenAPI description; `base` is the address to show in the examples."""
    routes = [
        _route(method.upper(), path, operation, base)
        for path, methods in spec["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = [_schema(name, schema) for name, schema in spec.get("components", {}).get("schemas", {}).items()]
    title = escape(spec["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{title}</h1>'
        f"<p>{escape(spec['info'].get('description', ''))}</p>"
        f'<p>Machine-readable: <a href="openapi.json">openapi.json</a>. Page: <a href="./">the viewer</a>.</p>'
        f"{''.join(routes)}<h2>Values</h2>{''.join(schemas)}</html>"
    )


def _route(method: str, path: str, operation: dict[str, Any], base: str) -> str:
    rows = []
    body = operation.get("requestBody", {}).get("content", {})
    for kind, content in body.items():
        for name, field in content["schema"].get("properties", {}).items():
            need = "required" if name in content["schema"].get("required", ()) else "optional"
            default = f", default {json.dumps(field['default'])}" if "default" in field else ""
            rows.append((name, f"{_type(field)}, {need}{default}", field.get("description", "") + f" ({kind})"))
    answers = [
        (status, _answer(answer), answer.get("description", ""))
        for status, answer in operation.get("responses", {}).items()
    ]
    example = operation.get("x-example")
    return (
        f"<h2><code>{method} {escape(path)}</code></h2><p>{escape(operation.get('description', ''))}</p>"
        + (_table(("field", "type", "meaning"), rows) if rows else "")
        + (f"<pre>{escape(example.replace('{base}', base))}</pre>" if example else "")
        + _table(("status", "answer", "when"), answers)
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    rows = [(key, _type(field), field.get("description", "")) for key, field in schema.get("properties", {}).items()]
    return f'<h3 id="{escape(name)}">{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p>' + _table(
        ("name", "type", "meaning"), rows
    )


def _answer(answer: dict[str, Any]) -> str:
    return " or ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values())


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    kind = str(field.get("const", field.get("format") or field.get("type", "value")))
    return f"list of {_type(field['items'])}" if kind == "array" and "items" in field else kind


def _table(head: tuple[str, ...], rows: list[tuple[str, str, str]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr>{cells}</table>"
