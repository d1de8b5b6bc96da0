"""Training: `python -m lte_core train base | sft | nano`. The work is in `lte_core.training`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train a model.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="A folder with manifest.jsonl and its images.")]
Out = Annotated[Path, typer.Option(help="Folder for the result; an interrupted run in it is continued.")]


@app.command()
def base(
    data: Data,
    out: Out,
    see: Annotated[int, typer.Option(help="Samples of the vision-only stage.")] = 10_000,
    speak: Annotated[int, typer.Option(help="Samples of the stage with both replies.")] = 26_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Make lte-nano's base from a folder that `trace synth` wrote."""
    from lte_core.dataset.manifest import ManifestError
    from lte_core.dataset.synth import VOCABULARY, Kind, SynthError
    from lte_core.training import nano
    from lte_core.training.pretrain import PretrainConfig, Pretraining
    from lte_core.training.recipe import progress_line
    from lte_core.training.scenes import examples

    config = PretrainConfig(see_samples=see, speak_samples=speak, seed=seed, threads=threads, device=device)
    tokenizer = nano.make_tokenizer(VOCABULARY, [kind.value for kind in Kind])
    try:
        Pretraining(examples(data), tokenizer, out, config).run(lambda p: typer.echo(progress_line(p)))
    except (SynthError, ManifestError, ValueError, OSError) as problem:
        raise typer.BadParameter(str(problem), param_hint="--data") from problem


@app.command()
def sft(
    data: Data,
    model: Annotated[Path, typer.Option(help="Directory of the model to start from.")],
    out: Out,
    learning_rate: Annotated[float, typer.Option(help="2e-5 is the paper's.")] = 2e-5,
    epochs: Annotated[int, typer.Option(min=1)] = 1,
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
) -> None:
    """Teach both queries by supervised fine-tuning (TRL)."""
    from lte_core.dataset.manifest import ManifestError, read_manifest
    from lte_core.inference.checkpoint import Checkpoint
    from lte_core.training.sft import Lesson, SftConfig, TrainingError, train_sft

    config = SftConfig(learning_rate=learning_rate, epochs=epochs, batch_size=batch_size, seed=seed)
    try:
        samples = [line.sample for line in read_manifest(data / "manifest.jsonl")]
        lessons = [Lesson(s, data / s.image) for s in samples if s.split in (None, "train")]
        metrics = train_sft(lessons, model, out, Checkpoint.load(model), config)
    except (ManifestError, TrainingError, OSError) as problem:
        raise typer.BadParameter(str(problem), param_hint="--data") from problem
    typer.echo(f"{len(lessons)} samples, loss {metrics['train_loss']:.3f}; the model is in {out}")


@app.command()
def nano(
    out: Out,
    photos: Annotated[Path | None, typer.Option(help="Folder with photos for backgrounds and plain pictures.")] = None,
    test_scenes: Annotated[int, typer.Option(min=1, help="Unseen scenes to measure on.")] = 1_200,
    start: Annotated[Path | None, typer.Option(help="An earlier nano, to be trained further.")] = None,
    single_round: Annotated[
        bool, typer.Option("--single-round", help="The control: one look at the full 448 px. Its I-Acc is what counts.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Rebuild the model that ships: scenes, base, SFT, and its numbers on unseen scenes."""
    from lte_core.dataset.synth import SynthError
    from lte_core.evaluation.card import calibrate, measure
    from lte_core.training.nano import VocabularyError
    from lte_core.training.recipe import SINGLE_ROUND, Recipe, build
    from lte_core.training.sft import TrainingError

    recipe = SINGLE_ROUND if single_round else Recipe()
    base = replace(recipe.base, start=str(start) if start else None, threads=threads, device=device)
    recipe = replace(recipe, base=base, sft=replace(recipe.sft, threads=threads))
    try:
        model = build(out, photos, recipe, typer.echo)
        calibrate(model, out, test_scenes // 2, 9000, photos)
        numbers = measure(model, out, test_scenes, 9001, photos)
    except (SynthError, TrainingError, VocabularyError, OSError) as problem:
        raise typer.BadParameter(str(problem)) from problem
    own = numbers["own"]
    typer.echo(f"Acc {own['acc']:.3f}, I-Acc {own['i_acc']:.3f}, IoU {own['iou']:.3f}; the model is in {model}")
