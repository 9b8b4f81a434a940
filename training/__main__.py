"""`python -m training STAGE ...`: runs one stage; a deliberate error is a sentence and an exit code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from strokenext.errors import StrokeNeXtError

#: Stage to the module with its `main(argv) -> int`, and what it does.
STAGES = {
    "prepare": ("data.prepare", "folders of head CT to a manifest"),
    "split": ("splits.command", "a manifest to a seeded split file"),
    "audit": ("splits.audit", "leakage between the parts of a split; exit code 1 when a grouped one leaks"),
    "cache": ("commands.cache", "the slices of a manifest, framed once, to one array file"),
    "train": ("commands.train", "a recipe to a checkpoint"),
    "finish": ("commands.finish", "a run to a calibrated model folder with its card"),
    "evaluate": ("commands.evaluate", "a checkpoint and a manifest to a result file"),
    "explain": ("explain.check", "whether a checkpoint's heat maps mean anything, on slices with lesion masks"),
    "experiments": ("experiments.command", "a plan of models and protocols: train, finish, evaluate each, resumable"),
    "figure": (
        "report.batch_figure",
        "a batch of slices as one picture: true label, predicted label, confidence, evidence",
    ),
    "scores": ("report.figures", "result files to pictures of their confusion matrices and ROC curves"),
    "teknofest": ("data.teknofest", "slices to a picture of the TEKNOFEST preparation, step by step"),
    "gate": ("gate.check", "how often the scope gate refuses head CT and lets other pictures through"),
    "orientation": ("inputs.command", "the network that finds which way up a head is, from cached slices"),
    "inputs": ("inputs.check", "what is said of pictures turned, in other windows and of other sources"),
    "examples": ("drawing.phantom.files", "the bundled examples, synthetic heads, into a folder"),
    "patients": ("drawing.phantom.patients", "synthetic patients in the form of ct_ich, to try a pipeline on"),
    "benchmark": ("report.cost", "parameters, operations, latency, throughput and memory of the models"),
    "remeasure": ("results.remeasure", "the measures of result files anew from the predictions they hold"),
    "report": ("report.command", "result files to one HTML page and a PDF"),
    "readme": ("report.documents", "the tables of README and docs/, from the same files; --check reports drift"),
    "publish": ("publish", "a checkpoint or the Space to the Hub, or to a folder with --dry-run"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage named first. Returns its exit code; 64 for an unknown stage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m training STAGE ...\n")
        for name, (_, what) in STAGES.items():
            print(f"  {name:11s} {what}")
        print("\npython -m training STAGE --help lists the flags of one.")
        return 0 if arguments else 64
    if arguments[0] not in STAGES:
        print(f"There is no stage '{arguments[0]}'. The stages are: {', '.join(STAGES)}.", file=sys.stderr)
        return 64
    stage = import_module(f"training.{STAGES[arguments[0]][0]}")
    try:
        return int(stage.main(arguments[1:]) or 0)
    except StrokeNeXtError as problem:
        print(problem, file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
