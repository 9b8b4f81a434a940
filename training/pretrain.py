"""Dense pre-training of one encoder: `python -m training pretrain --cache DIR --run DIR [--steps N]`.

Reads top to bottom as the recipe. Interrupted, the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from strokenext.models.strokenext import Encoder
from strokenext.preprocess import stack_channels

from .batches import Examples, Mixture, Pools, loader
from .data import Cache, open_cache
from .dense import DenseEncoder, class_loss, dense_loss
from .engine import Average, framed_rows, load_state, logits_of, parameter_groups, save_state, schedule
from .metrics import auroc


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training pretrain", description=__doc__)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--encoder", default="atto")
    parser.add_argument("--sources", default="ct_ich,phe_sich")
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--average", type=float, default=0.998, help="decay of the averaged weights")
    parser.add_argument(
        "--start-from", type=Path, help="run folder whose averaged weights to go on from, at a new size"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=300, help="steps between checkpoints and scores")
    return parser


def scores(model: DenseEncoder, cache: Cache, size: int) -> dict[str, float]:
    """AUROC on real validation slices, and on the ischemic ones of AISD against validation normals."""
    out: dict[str, float] = {}
    chosen = {
        f"{source}:{label}": cache.where(source=source, role="validation", hemorrhage=label)
        for source in ("ct_ich", "phe_sich")
        for label in (0, 1)
    }
    chosen["mbh"] = cache.where(source="mbh")
    chosen["aisd"] = cache.where(source="aisd")
    logits = {k: logits_of(lambda x: model(x)[0], framed_rows(cache, rows, size)) for k, rows in chosen.items()}
    p = {k: torch.softmax(torch.from_numpy(v), 1).numpy() for k, v in logits.items()}

    def area(positive: str, negative: str, value: int) -> float:
        a, b = p[positive], p[negative]
        score = [1 - v[:, 0] if value < 0 else v[:, value] for v in (a, b)]
        return round(auroc(np.r_[np.ones(len(a)), np.zeros(len(b))], np.concatenate(score)), 3)

    pairs = (("ct_ich:1", "ct_ich:0"), ("phe_sich:1", "phe_sich:0"), ("mbh", "ct_ich:0"), ("aisd", "ct_ich:0"))
    for positive, negative in pairs:
        out[f"{positive}/{negative}"] = area(positive, negative, -1)
    out["subtype aisd/mbh"] = area("mbh", "aisd", 2)
    return out


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    args.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    cache = open_cache(args.cache)
    pools = Pools(cache, "train", tuple(args.sources.split(",")))

    # LayerScale starts at 0.5: from 1e-6 a network without ImageNet weights barely moves for thousands of steps.
    model: nn.Module = DenseEncoder(Encoder(args.encoder, layer_scale=0.5)).to(memory_format=torch.channels_last)
    if args.start_from is not None:
        model.load_state_dict(load_state(args.start_from / "last.pt")["average"])
    average = Average(model, args.average)
    optimiser = torch.optim.AdamW(parameter_groups(model, 0.05), lr=args.rate, betas=(0.9, 0.99))
    first = 0
    last = args.run / "last.pt"
    if last.exists():
        state = load_state(last)
        model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        first = int(state["step"])

    todo = (args.steps - first) * args.batch
    examples = Examples(pools, args.size, Mixture(), args.seed, first * args.batch, todo)
    started, losses = time.monotonic(), []
    for step, (grey, labels, dense, known) in enumerate(loader(examples, args.batch), start=first):
        for group in optimiser.param_groups:
            group["lr"] = args.rate * schedule(step, args.steps)
        model.train()
        x = stack_channels(grey, "stroke").to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            classes, outlines = model(x)
        loss = class_loss(classes.float(), labels) + dense_loss(outlines.float(), dense, known)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        average.update(model, step)
        losses.append(loss.item())
        if (step + 1) % 50 == 0:
            pace = (time.monotonic() - started) / (step + 1 - first)
            print(f"step {step + 1} loss {np.mean(losses[-50:]):.3f} {pace:.2f} s/step", flush=True)
        if (step + 1) % args.every == 0 or step + 1 == args.steps:
            save_state(last, model=model.state_dict(), average=average.model.state_dict(),
                       optimiser=optimiser.state_dict(), step=step + 1)  # fmt: skip
            result = {"step": step + 1, "loss": float(np.mean(losses[-args.every :]))}
            result |= scores(average.model, cache, args.size)  # type: ignore[arg-type]
            with (args.run / "history.jsonl").open("a") as handle:
                handle.write(json.dumps(result) + "\n")
            print(result, flush=True)
    return 0
