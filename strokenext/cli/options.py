"""The flags of the command line, and the words of its --help."""

from __future__ import annotations

import argparse
import math

from .exits import EXIT_CODES

FORMATS = """\
JSON  {"schema": "strokenext-predictions/1", "version", "task", "interrupted",
       "results": [{"path", "case", "kind": "slice"|"series", "study", "series", "description", "files",
                    "prediction": {...}}],
       "left_out": [{"path", "reason"}], "errors": [{"path", "code", "message"}]}
      "prediction" has the keys input, task, label, probabilities, probability, decision, threshold, band,
      interval, logit, gate, heat, provenance, cautions; of a triage, presence and subtype, each in that form. A model
      of whole series (--model) gives one such answer per series, with planes, judged, peak and slices (gate, heat).
CSV   one line per image and question, for a series one for the whole and one per slice, and one per file left out:
      path, kind, slice, task, label, decision, probability, threshold, band_low, band_high, interval_low,
      interval_high, logit, gate_accepted, gate_reason, heat_peak, model, weights_sha256, error, study, series, file,
      cautions (as code: sentence, several with " | " between them), case
      A text that a spreadsheet would run as a formula starts with an apostrophe.

Research use only. Not a medical device.
"""
EPILOG = f"{EXIT_CODES}\n{FORMATS}"


def build_parser() -> argparse.ArgumentParser:
    """The parser of `python -m strokenext`."""
    parser = argparse.ArgumentParser(
        prog="python -m strokenext",
        description="Stroke on non-contrast head CT: a probability with its evidence, for files, folders and globs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="predict | segment | models | info")
    _add_predict(commands)
    _add_segment(commands)
    models = commands.add_parser("models", help="list the bundled models and the architectures")
    models.add_argument("--json", action="store_true", help="as JSON on standard output")
    info = commands.add_parser("info", help="say what a file is, without anything about the patient")
    info.add_argument("file", help="DICOM, PNG, JPEG, NIfTI, zip, or a folder with one series")
    return parser


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = commands.add_parser(
        "predict",
        help="judge images and series",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    predict.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="files, folders (searched to the bottom; every series of each is judged) or globs",
    )
    predict.add_argument(
        "--task", choices=("presence", "subtype", "triage"), help="default: what --model answers, else presence"
    )
    predict.add_argument("--json", metavar="FILE", help="write everything as JSON; - is standard output")
    predict.add_argument("--csv", metavar="FILE", help="write a table; - is standard output")
    predict.add_argument("--overlays", metavar="FOLDER", help="write each picture with its evidence as PNG")
    _add_names(predict)
    predict.add_argument("--force", action="store_true", help="judge images outside the model's scope too")
    predict.add_argument("--threshold", type=_probability, help="operating threshold 0..1 instead of the model's own")
    predict.add_argument(
        "--model",
        help="bundled name, folder or Hub owner/repo, of slices or of whole series; in a triage the presence model",
    )
    predict.add_argument("--subtype-model", help="the subtype model of a triage")
    predict.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")
    predict.add_argument("--no-explain", dest="explain", action="store_false", help="leave out the evidence map")


def _add_segment(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    segment = commands.add_parser(
        "segment",
        help="mark lesions on slices",
        description="Marks lesions with a segmentation model and writes, for each slice, a folder with overlay.png, "
        "labels.png (0 nothing, 1 the model's first class, 2 the second), slice.png and prediction.json.",
    )
    segment.add_argument("paths", nargs="+", metavar="PATH", help="files, folders or globs, as for predict")
    segment.add_argument("--model", help="bundled name, folder or Hub owner/repo; by default the bundled one")
    segment.add_argument("--out", default="segmentation", metavar="FOLDER", help="where the folders go (segmentation)")
    segment.add_argument("--json", metavar="FILE", help="all regions in one file; - is standard output")
    _add_names(segment)
    segment.add_argument("--force", action="store_true", help="mark images outside the model's scope too")
    segment.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps (default auto)")


def _add_names(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--case-names",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="call each case by its study, series, slice thickness and date too, in every file and picture; they may "
        "name the patient. Without, by the name of its file alone (default: without)",
    )


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"the threshold is a number from 0 to 1, not '{text}'")
    return value
