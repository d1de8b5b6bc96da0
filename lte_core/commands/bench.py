"""Speed, as ratios measured side by side in one run: `python -m lte_core bench detect`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lte_core.evaluation.speed import Speed
    from lte_core.vlm.qwen import QwenVL

app = typer.Typer(help="Measure speed.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Measure speed."""


@app.command()
def detect(
    model: Annotated[str, typer.Option(help="A local model: lte-nano, a directory or a hub id.")] = "lte-nano",
    shape: Annotated[
        str | None, typer.Option(help="A randomly initialised Qwen2.5-VL instead: 0.1b, 3b, 7b, 32b.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="How many synthetic scenes.")] = 16,
    batch: Annotated[int, typer.Option(min=1, help="Images a batch.")] = 8,
    crops: Annotated[int, typer.Option(min=1, max=4, help="Areas that Examine is shown.")] = 2,
    side: Annotated[int, typer.Option(min=56, help="Size to which the scenes are scaled, in pixels.")] = 448,
    tokens: Annotated[int, typer.Option(min=8, help="Most tokens a reply, for a random model.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Both queries three ways: two plain `generate` calls, a shared prefix, a batch."""
    import numpy as np

    from lte_core.dataset.synth import compose
    from lte_core.evaluation.speed import measure
    from lte_core.inference.checkpoint import DEFAULT_CHECKPOINT
    from lte_core.inference.load import load_model
    from lte_core.vlm.base import VLMError
    from lte_core.vlm.qwen import QwenVL

    try:
        vlm, checkpoint = (random_model(shape, tokens), DEFAULT_CHECKPOINT) if shape else load_model(model)
    except VLMError as problem:
        raise typer.BadParameter(str(problem)) from problem
    if not isinstance(vlm, QwenVL):
        raise typer.BadParameter("expected a local model; a server's speed is measured where it runs")
    scenes = [compose(np.random.default_rng([77, i])).image.resize((side, side)) for i in range(images)]
    speed = measure(vlm, checkpoint, scenes, batch, crops)
    if as_json:
        typer.echo(json.dumps(asdict(speed)))
    else:
        show(speed)


def show(speed: Speed) -> None:
    """The table, and under it what belongs to no single row."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{speed.model}, {speed.parameters / 1e6:,.1f} M parameters, {speed.device}")
    for name in ("way", "s/image", "first token s", "Examine prefill s", "vision", "prefill", "decode", "score"):
        table.add_column(name, justify="left" if name == "way" else "right")
    for way in speed.ways:
        seconds = (way.seconds, way.first_token_s, way.examine_prefill_s)
        shares = (way.vision_share, way.prefill_share, way.decode_share, way.score_share)
        table.add_row(
            way.name,
            *("" if value is None else f"{value:.3f}" for value in seconds),
            *("" if value is None else f"{value:.0%}" for value in shares),
        )
    console = Console()
    console.print(table)
    console.print(
        f"{speed.images} images of {speed.side} px, {speed.tokens_per_image:.0f} tokens each, {speed.crops} crops. "
        "Examine's prefill takes "
        f"{speed.examine_prefill_ratio:.0%} of the plain one's. Peak memory {speed.peak_memory_gib:.2f} GiB."
    )
    if speed.decode_over_floor is not None:
        console.print(f"Decoding takes {speed.decode_over_floor:.1f} times the memory-bandwidth floor.")


def random_model(shape: str, tokens: int) -> QwenVL:
    """A Qwen2.5-VL of this shape with random weights and lte-nano's tokenizer: right for time, not for answers."""
    import torch
    from transformers import Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from lte_core.schema import ModelInfo
    from lte_core.training import nano
    from lte_core.training.shapes import shape_config
    from lte_core.vlm.base import Query
    from lte_core.vlm.qwen import QwenConfig, QwenVL

    tokenizer = nano.make_tokenizer(("the",), ("area",))
    try:
        config = shape_config(shape, tokenizer)
    except ValueError as problem:
        raise typer.BadParameter(str(problem), param_hint="--shape") from problem
    cuda = torch.cuda.is_available()
    with torch.device("cuda" if cuda else "cpu"):
        torch.set_default_dtype(torch.bfloat16 if cuda else torch.float32)
        model = Qwen2_5_VLForConditionalGeneration(config)
        torch.set_default_dtype(torch.float32)
    limits = dict.fromkeys(Query, tokens)
    info = ModelInfo(f"random weights, {shape}")
    return QwenVL(model, tokenizer, Qwen2VLImageProcessorPil(), info, QwenConfig(max_new_tokens=limits))
