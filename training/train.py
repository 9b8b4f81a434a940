"""Train a StrokeNeXt from a recipe: `python -m training train RECIPE.toml --cache DIR --encoder-from RUN --run DIR`.

Reads top to bottom as the recipe: data, model, optimiser, loop. Interrupted, the same command goes on where
it stopped and sees the same examples.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from strokenext.models.strokenext import Encoder, StrokeNeXt
from strokenext.preprocess import stack_channels

from .batches import HEMORRHAGIC, NORMAL, Examples, Pools, loader
from .config import Recipe, read_recipe
from .data import Cache, open_cache
from .dense import DenseEncoder, class_loss, dense_loss
from .engine import Average, framed_rows, load_state, logits_of, parameter_groups, save_state, schedule
from .metrics import auroc


class Pair(nn.Module):
    """A StrokeNeXt whose two encoders also keep their outline decoders while it learns."""

    def __init__(self, start: DenseEncoder) -> None:
        super().__init__()
        other = copy.deepcopy(start)
        self.decoders = nn.ModuleList([start.decoder, other.decoder])
        self.model = StrokeNeXt(start.encoder, other.encoder, classes=2)

    def forward(self, x: Tensor, outlines: bool = True) -> tuple[Tensor, list[Tensor]]:
        """Class logits (N, 2) and, where wanted, each encoder's outline logits (N, 2, S/4, S/4)."""
        stages = [e.maps(x) for e in (self.model.encoder_a, self.model.encoder_b)]
        logits = self.model.head(tuple(maps[-1] for maps in stages))
        drawn = zip(self.decoders, stages, strict=True) if outlines else ()
        return logits, [decoder(maps) for decoder, maps in drawn]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="python -m training train", description=__doc__)
    p.add_argument("recipe", type=Path)
    p.add_argument("--cache", type=Path, required=True, help="folder written by `python -m training cache`")
    p.add_argument("--encoder-from", type=Path, help="run folder of `python -m training pretrain`; none: from scratch")
    p.add_argument("--run", type=Path, required=True, help="checkpoints and history; resumed when it exists")
    p.add_argument("--workers", type=int, default=1, help="processes that draw examples; 0 draws them in this one")
    p.add_argument("--steps", type=int)
    p.add_argument("--size", type=int)
    p.add_argument("--batch", type=int)
    return p


def start_encoder(recipe: Recipe, run: Path | None) -> DenseEncoder:
    """A fresh encoder, or the averaged one that dense pre-training left in `run`."""
    dense = DenseEncoder(Encoder(recipe.encoder, layer_scale=0.5))
    if run is not None:
        dense.load_state_dict(load_state(run / "last.pt")["average"])
    return dense


def label_of(classes: Tensor, task: str) -> Tensor:
    """Normal / ischemic / hemorrhagic to the task's two classes."""
    return (classes != NORMAL).long() if task == "presence" else (classes == HEMORRHAGIC).long()


def learning_rate(recipe: Recipe, step: int) -> float:
    """Two phases, each with its own warm-up and cosine: the fusion head on frozen encoders, then everything, gently.

    A fresh head's first gradients would undo what the encoders learned (Kumar et al. 2022, arXiv 2202.10054).
    """
    if step < recipe.head_steps:
        return recipe.head_rate * schedule(step, recipe.head_steps, recipe.warmup)
    return recipe.rate * schedule(step - recipe.head_steps, recipe.steps - recipe.head_steps, recipe.warmup)


def scores(model: StrokeNeXt, cache: Cache, recipe: Recipe) -> dict[str, float]:
    """AUROC on real slices of validation patients, and of lesions simulated on their normal slices."""
    out: dict[str, float] = {}

    def positive(rows_or_grey: Tensor) -> np.ndarray:
        z = logits_of(model, rows_or_grey)
        return np.asarray(z[:, 1] - z[:, 0])

    if recipe.task == "presence":
        for source in recipe.sources:
            rows = [cache.where(source=source, role="validation", hemorrhage=h) for h in (0, 1)]
            if rows[0] and rows[1]:
                s = [positive(framed_rows(cache, r, recipe.size)) for r in rows]
                out[source] = auroc(np.repeat([0, 1], [len(v) for v in s]), np.concatenate(s))
    made = Examples(Pools(cache, "validation", recipe.sources), recipe.size, recipe.mixture, 777, 0, 384)
    batches = list(loader(made, 64, workers=0))
    grey, labels = torch.cat([b[0] for b in batches]), label_of(torch.cat([b[1] for b in batches]), recipe.task)
    out["augmented"] = auroc(labels.numpy(), positive(grey))
    return {k: round(v, 4) for k, v in out.items()}


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    recipe = read_recipe(args.recipe).override(steps=args.steps, size=args.size, batch=args.batch)
    args.run.mkdir(parents=True, exist_ok=True)
    about = {"recipe": recipe.to_dict(), "torch": torch.__version__, "machine": platform.machine()}
    (args.run / "run.json").write_text(json.dumps(about, indent=2))

    torch.manual_seed(recipe.seed)
    cache = open_cache(args.cache)
    pools = Pools(cache, "train", recipe.sources)

    pair = Pair(start_encoder(recipe, args.encoder_from))
    pair = pair.to(memory_format=torch.channels_last)
    average = Average(pair, recipe.average)
    optimiser = torch.optim.AdamW(parameter_groups(pair, recipe.weight_decay), lr=recipe.rate, betas=(0.9, 0.99))
    first, last = 0, args.run / "last.pt"
    if last.exists():
        state = load_state(last)
        pair.load_state_dict(state["pair"])
        average.model.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["rng"])
        first = int(state["step"])

    count = (recipe.steps - first) * recipe.batch
    examples = Examples(pools, recipe.size, recipe.mixture, recipe.seed, first * recipe.batch, count)
    started = time.monotonic()
    losses: list[float] = []
    for step, (grey, classes, dense, known) in enumerate(loader(examples, recipe.batch, args.workers), start=first):
        head_only = step < recipe.head_steps
        rate = learning_rate(recipe, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        pair.train()
        for part in (pair.model.encoder_a, pair.model.encoder_b, pair.decoders):
            part.requires_grad_(not head_only)
        x = stack_channels(grey, "stroke").to(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, outlines = pair(x, not head_only)
        loss = class_loss(logits.float(), label_of(classes, recipe.task))
        for outline in outlines:
            loss = loss + recipe.outline_weight / 2 * dense_loss(outline.float(), dense, known)
        optimiser.zero_grad(set_to_none=True)  # a frozen weight without gradient is left alone, decay included
        loss.backward()
        nn.utils.clip_grad_norm_(pair.parameters(), 2.0)
        optimiser.step()
        average.update(pair, step)
        losses.append(loss.item())
        done = step + 1
        if done % 25 == 0:
            pace = (time.monotonic() - started) / (done - first)
            left = pace * (recipe.steps - done) / 60
            print(f"step {done}/{recipe.steps} loss {np.mean(losses[-25:]):.3f} "
                  f"{recipe.batch / pace:.0f} images/s {left:.0f} min left", flush=True)  # fmt: skip
        if done % recipe.every == 0 or done == recipe.steps:
            save_state(last, pair=pair.state_dict(), average=average.model.state_dict(),
                       optimiser=optimiser.state_dict(), rng=torch.get_rng_state(), step=done)  # fmt: skip
            result = {"step": done, "loss": float(np.mean(losses[-recipe.every :]))}
            result["seconds"] = round(time.monotonic() - started, 1)
            result |= scores(average.model.model, cache, recipe)  # type: ignore[arg-type]
            with (args.run / "history.jsonl").open("a") as handle:
                handle.write(json.dumps(result) + "\n")
            print(result, flush=True)
    return 0
