"""`models`: the bundled models and the architectures of the zoo."""

from __future__ import annotations

import argparse
import json

from strokenext.record.find import bundled
from strokenext.zoo import list_models


def run(options: argparse.Namespace) -> int:
    """Print them for a person, or as JSON; returns 0."""
    models, zoo = [config.to_dict() for config in bundled()], [row.to_dict() for row in list_models()]
    if options.json:
        print(json.dumps({"bundled": models, "zoo": zoo}, indent=2))
        return 0
    print("Bundled models, for --model:")
    for model in models:
        mark = ", experimental" if model["experimental"] else ""
        print(f"  {model['name']:<28} {model['task']:<10} threshold {model['threshold']:.3f}{mark}")
    print("\nArchitectures (two classes):")
    for row in zoo:
        print(f"  {row['name']:<28} {row['kind']:<13} {row['params']:>12,} parameters  {row['title']}")
    return 0
