"""`python -m training evaluate`: a checkpoint of any system and a manifest to a result file.

Pixels go through the checkpoint's own preprocessing and the network as `strokenext` verifies it. Thresholds and
temperature are those stored in the checkpoint: nothing is chosen on the data evaluated here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from strokenext.errors import DataError, OptionError
from strokenext.record.find import resolve
from strokenext.record.weights import load_network
from training.data.manifest import read_manifest
from training.measure.compare import compare, table
from training.measure.result import read_result
from training.splits.split import read_split
from training.systems import SYSTEMS, system_for
from training.terminal import progress_bar
from training.train.evaluation import Evaluation, files_record
from training.train.provenance import training_record


def parser() -> tuple[argparse.ArgumentParser, dict[str, list[argparse.Action]]]:
    """The command's flags, and for each system those that are its own."""
    p = argparse.ArgumentParser(prog="python -m training evaluate", description=__doc__.splitlines()[0])
    p.add_argument("--model", help="checkpoint folder, bundled name or Hub id")
    p.add_argument("--manifest", type=Path)
    p.add_argument("--split", type=Path, help="split file; without it every labelled image is evaluated")
    p.add_argument("--part", default="test")
    p.add_argument("--source", action="append", default=[], help="only this source; repeat for several")
    p.add_argument("--run", type=Path, help="run the model came from: the result says how it was trained")
    p.add_argument("--out", type=Path, help="result file, JSON")
    p.add_argument("--device", default="cpu")
    compared = "compare result files, the first with each"
    p.add_argument("--compare", type=Path, nargs="+", metavar="RESULT", help=compared)
    return p, {s.name: s.flags(p.add_argument_group(s.name)) for s in SYSTEMS}


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0."""
    flags, own = parser()
    o = flags.parse_args(argv)
    if o.compare:
        print(table(compare([read_result(file) for file in o.compare])))
        return 0
    if not (o.model and o.manifest and o.out):
        raise DataError("Give --model, --manifest and --out, or --compare with result files.")
    folder, config = resolve(o.model)
    system = system_for(config)
    for action in (a for name, actions in own.items() if name != system.name for a in actions):
        if getattr(o, action.dest) != action.default:
            raise OptionError(f"{action.option_strings[0]} means nothing for {config.name}, a {system.name}. Omit it.")
    manifest, split = read_manifest(o.manifest), read_split(o.split) if o.split else None
    data, training = files_record(o.manifest, o.split), training_record(o.run) if o.run else None
    model = load_network(folder, config).to(o.device)
    with progress_bar("evaluate") as progress:
        options = {action.dest: getattr(o, action.dest) for action in own[system.name]}
        given = Evaluation(manifest, split, o.part, o.source, training, data, o.device, options, progress=progress)
        results = system.evaluate(model, config, given)
    for result, beside in results:
        print(result.summary())
        print(f"written to {result.write(o.out.with_name(f'{beside}.json') if beside else o.out)}")
    return 0
