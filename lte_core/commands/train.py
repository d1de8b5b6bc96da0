"""Training: `python -m lte_core train base | sft | grpo | lte | nano`. The work is in `lte_core.training`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, cast

import typer

from lte_core.commands.evaluate_more import ablate
from lte_core.commands.telling import training
from lte_core.commands.train_lte import calibrate, grpo, lte, sft
from lte_core.commands.train_options import data_of, told

app = typer.Typer(help="Train a model.", no_args_is_help=True)
for command in (lte, sft, grpo):
    app.command()(cast("Callable[..., None]", command))

Data = Annotated[Path, typer.Option(help="A folder with manifest.jsonl and its images.")]
Out = Annotated[Path, typer.Option(help="Folder for the result; an interrupted run in it is continued.")]
Start = Annotated[Path | None, typer.Option(help="An earlier base, to be trained further.")]


@app.command()
def base(
    data: Data,
    out: Out,
    see: Annotated[int, typer.Option(help="Samples of the vision-only stage.")] = 10_000,
    speak: Annotated[int, typer.Option(help="Samples of the stage with both replies.")] = 26_000,
    start: Start = None,
    learning_rate: Annotated[float, typer.Option(help="The highest one of each stage.")] = 1.5e-3,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Make lte-nano's base from a folder that `trace synth` wrote."""
    from lte_core.dataset.synth import VOCABULARY, Kind
    from lte_core.training import nano
    from lte_core.training.nano_build import checkpoint, progress_line
    from lte_core.training.pretrain import PretrainConfig, Pretraining
    from lte_core.training.scenes import examples

    config = PretrainConfig(
        see_samples=see, speak_samples=speak, learning_rate=learning_rate, seed=seed, threads=threads, device=device,
        start=str(start) if start else None,
    )  # fmt: skip
    tokenizer = nano.make_tokenizer(VOCABULARY, [kind.value for kind in Kind])
    with told():
        Pretraining(examples(data), tokenizer, out, config).run(lambda p: typer.echo(progress_line(p)))
        checkpoint().save(out)


@app.command()
def nano(
    out: Out,
    photos: Annotated[
        Path | None, typer.Option(help="Folder with photos: every other one for training, the rest for the test.")
    ] = None,
    scenes: Annotated[int, typer.Option("--test-scenes", min=1, help="Unseen scenes to measure on.")] = 2_000,
    start: Start = None,
    only_once: Annotated[
        bool, typer.Option("--single-round", help="The control: one look at the full 448 px.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """A model like the one that ships, from nothing: scenes, base, the recipe, and its numbers on unseen scenes."""
    from lte_core.training.nano_build import NanoRecipe, build, halves, single_round, test_scenes

    with told():
        train_photos, test_photos = halves(photos, out) if photos else (None, None)
        recipe = single_round(NanoRecipe()) if only_once else NanoRecipe()
        base = replace(recipe.base, start=str(start) if start else None, threads=threads, device=device)
        recipe = replace(recipe, base=base, lte=recipe.lte.on(threads, device))
        model = build(out, train_photos, recipe, typer.echo, training)
        calibrate(model, data_of(out / "train", 0), threads, device)
        unseen = test_scenes(out, scenes, test_photos)
    looks, once = ([], [f"trained for it={model}"]) if only_once else ([str(model)], [])
    ablate(unseen, out / "ablate", model=looks, base=str(out / "base"), single=once, threads=threads)
