"""`python -m training STAGE ...`: runs one stage; a deliberate error is a sentence and an exit code, no traceback."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from strokenext.errors import StrokeNeXtError

#: Stage to the module with its `main(argv) -> int`, and what it does.
STAGES = {
    "prepare": ("prepare", "folders of head CT to a manifest"),
    "split": ("splits", "a manifest to a seeded split file"),
    "audit": ("audit", "leakage between the parts of a split; exit code 1 when a grouped one leaks"),
    "cache": ("cache", "the slices of a manifest, framed once, to one array file"),
    "train": ("train", "a recipe to a checkpoint"),
    "finish": ("finish", "a run to a calibrated model folder with its card"),
    "evaluate": ("evaluate", "a checkpoint and a manifest to a result file"),
    "explain": ("explain_check", "whether a checkpoint's heat maps mean anything, on slices with lesion masks"),
    "experiments": ("experiments", "a plan of models and protocols: train, finish, evaluate each, resumable"),
    "figure": ("batch_figure", "a batch of slices as one picture: true label, predicted label, confidence, evidence"),
    "scores": ("score_figure", "result files to pictures of their confusion matrices and ROC curves"),
    "teknofest": ("teknofest", "slices to a picture of the TEKNOFEST preparation, step by step"),
    "benchmark": ("benchmark", "parameters, operations, latency, throughput and memory of the models"),
    "remeasure": ("remeasure", "the measures of result files anew from the predictions they hold"),
    "report": ("report", "result files to one HTML page and a PDF"),
    "readme": ("readme", "the README's tables, from the same files; --check says whether they have drifted"),
    "publish": ("publish", "a checkpoint or the Space to the Hub, or to a folder with --dry-run"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage named first. Returns its exit code; 64 for an unknown stage."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m training STAGE ...\n")
        for name, (_, what) in STAGES.items():
            print(f"  {name:10s} {what}")
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
