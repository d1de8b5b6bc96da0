"""`train sft | grpo | lte` as they are typed. The work is in `lte_core.training`; calibration in `lte_core.evaluation`.

Under `accelerate launch -m lte_core train …` the same commands run in several processes.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lte_core.commands import train_options as options
from lte_core.commands.telling import counting, training
from lte_core.inference.crop_sources import CropSource

if TYPE_CHECKING:
    from lte_core.training.chain import LteConfig
    from lte_core.training.config import GrpoConfig, TrainConfig
    from lte_core.training.lessons import TrainingData

MOST_TO_CALIBRATE = 600
ERROR = 0.08  # share of wrong verdicts that is allowed outside the uncertain band


def sft(
    data: options.Data,
    model: options.Base,
    out: options.Out,
    recipe: Annotated[str | None, typer.Option(help="Take the stage [sft] of this recipe.")] = None,
    learning_rate: options.Rate = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: options.Batch = None,
    accumulate: options.Accumulate = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    patience: Annotated[
        int | None, typer.Option(min=1, help="End after so many evaluations on the split val without a lower loss.")
    ] = None,
    eval_steps: Annotated[int | None, typer.Option(min=1, help="Steps between evaluations.")] = None,
    missing: Annotated[float | None, typer.Option(min=0, max=1, help="Share of boxes that Examine lacks.")] = None,
    distractors: Annotated[float | None, typer.Option(min=0, max=1, help="Chance of a crop without evidence.")] = None,
    unrelated: Annotated[float | None, typer.Option(min=0, max=1, help="Share with such crops alone.")] = None,
    jitter: Annotated[float | None, typer.Option(min=0, max=1, help="How far boxes are moved, of their size.")] = None,
    freeze: options.Freeze = None,
    lora_rank: options.Lora = None,
    gradient_checkpointing: options.Checkpointing = None,
    save_steps: options.SaveSteps = None,
    report_to: options.ReportTo = None,
    threads: options.Threads = None,
    device: options.Device = None,
    plan: options.Plan = False,
    devices: options.Devices = None,
) -> None:
    """Teach both queries by supervised fine-tuning (TRL)."""
    given = dict(locals())
    from lte_core.inference.load import find
    from lte_core.training.chain import LteConfig, read_recipe
    from lte_core.training.config import SftConfig
    from lte_core.training.sft import train_sft

    with options.told():
        config = SftConfig() if recipe is None else _stage(read_recipe(recipe).sft, recipe, "sft")
        crops = {name: given[name] for name in ("missing", "distractors", "unrelated", "jitter")}
        shares = replace(config.crops, **{name: value for name, value in crops.items() if value is not None})
        config = options.changed(config, _of(given, SftConfig) | {"crops": shares})
        if plan:
            options.show_plan(LteConfig(sft=config), model, devices)
            return
        base, read = find(model), options.data_of(data, config.seed)
        with options.claimed(out), training("sft") as report:
            made = train_sft(read, base, out, _checkpoint(base), config, report)
        losses = [line["loss"] for line in made["history"] if "loss" in line]
        last = f", loss {losses[-1]:.3f}" if losses else ""
        options.say(f"{made['samples']} samples{last}; the model is in {out}")


def grpo(
    segment: Annotated[str, typer.Option(help="locate (Query 1) or examine (Query 2).")],
    data: options.Data,
    model: options.Base,
    out: options.Out,
    recipe: Annotated[str | None, typer.Option(help="Take this segment's stage of this recipe.")] = None,
    learning_rate: options.Rate = None,
    generations: Annotated[int | None, typer.Option(min=2, help="Replies a question (G). The paper: 4.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Without it, one pass over the samples.")] = None,
    beta: Annotated[float | None, typer.Option(min=0, help="Weight of the KL term.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Of the replies that are drawn.")] = None,
    crops: Annotated[CropSource | None, typer.Option(help="Whose regions Examine is shown.")] = None,
    extra_penalty: options.Penalty = None,
    iou_start: Annotated[float | None, typer.Option(min=0, help="Weight of R_IoU at the start (ours).")] = None,
    iou_end: Annotated[float | None, typer.Option(min=0, help="And at the end.")] = None,
    dual_verdict: Annotated[bool, typer.Option("--dual-verdict", help="R_C on Query 1, too.")] = False,
    no_bleu: Annotated[bool, typer.Option("--no-bleu", help="Without R_BLEU.")] = False,
    vllm_url: Annotated[str | None, typer.Option("--vllm-url", help="A server of `trl vllm-serve`.")] = None,
    batch_size: options.Batch = None,
    accumulate: options.Accumulate = None,
    samples: options.Samples = None,
    seed: options.Seed = None,
    freeze: options.Freeze = None,
    lora_rank: options.Lora = None,
    gradient_checkpointing: options.Checkpointing = None,
    save_steps: options.SaveSteps = None,
    report_to: options.ReportTo = None,
    threads: options.Threads = None,
    device: options.Device = None,
    plan: options.Plan = False,
    devices: options.Devices = None,
) -> None:
    """Train one segment by group relative policy optimisation (TRL)."""
    given = dict(locals())
    from lte_core.inference.load import find
    from lte_core.training.chain import LteConfig
    from lte_core.training.config import Segment
    from lte_core.training.grpo import train_grpo

    with options.told():
        config = _grpo_config(given)
        if plan:
            stages = LteConfig(locate=config) if segment == Segment.LOCATE else LteConfig(examine=config)
            options.show_plan(stages, model, devices)
            return
        base, read = find(model), options.data_of(data, config.seed)
        with options.claimed(out), training(segment) as report:
            made = train_grpo(read, base, out, _checkpoint(base), config, report)
        options.say(f"{made['samples']} samples; the model is in {out}")


def _grpo_config(given: dict[str, Any]) -> GrpoConfig:
    """What the options and the recipe say. Raises TrainingError for options that belong to the other segment."""
    from lte_core.training.chain import read_recipe
    from lte_core.training.config import GrpoConfig, Segment, TrainingError

    segment, recipe = given["segment"], given["recipe"]
    if segment not in set(Segment):
        raise TrainingError(f"expected --segment locate or examine, got {segment!r}")
    weights = ("extra_penalty", "iou_start", "iou_end")
    elsewhere = ("no_bleu", "crops") if segment == Segment.LOCATE else ("dual_verdict", *weights)
    if wrong := [name for name in elsewhere if given[name]]:
        raise TrainingError(f"--{wrong[0].replace('_', '-')} does nothing in segment {segment}")
    config = GrpoConfig() if recipe is None else _stage(getattr(read_recipe(recipe), segment), recipe, segment)
    rewards = _rewards(
        config.rewards, given["dual_verdict"], given["no_bleu"], **{name: given[name] for name in weights}
    )
    return replace(options.changed(config, _of(given, GrpoConfig)), rewards=rewards, segment=Segment(segment))


def lte(
    data: options.Data,
    model: options.Base,
    out: options.Out,
    recipe: options.Recipe = "nano",
    seed: options.Seed = None,
    dual_verdict: Annotated[bool, typer.Option("--dual-verdict", help="R_C on Query 1, too.")] = False,
    no_bleu: Annotated[bool, typer.Option("--no-bleu", help="Without R_BLEU.")] = False,
    crops: Annotated[CropSource | None, typer.Option(help="Whose regions segment Examine is shown.")] = None,
    vllm_url: Annotated[str | None, typer.Option("--vllm-url", help="A server of `trl vllm-serve`.")] = None,
    report_to: options.ReportTo = None,
    threads: options.Threads = None,
    device: options.Device = None,
    plan: options.Plan = False,
    devices: options.Devices = None,
) -> None:
    """The whole of it: SFT, segment Locate, segment Examine, calibration. An interrupted run goes on."""
    given = dict(locals())
    from lte_core.inference.load import find
    from lte_core.training.chain import read_recipe, train_lte

    with options.told():
        config = _varied(read_recipe(recipe), given)
        if plan:
            options.show_plan(config, model, devices)
            return
        stages = config.stages()
        base, read = find(model), options.data_of(data, stages[0][1].seed if stages else 0)
        with options.claimed(out):
            train_lte(read, base, out, config, training)
            options.say(f"the model is in {out}")
            calibrate(out, read, threads, device)


def _stage(config: Any, recipe: str, name: str) -> Any:
    """Raises TrainingError when the recipe has no such stage."""
    from lte_core.training.config import TrainingError

    if config is None:
        raise TrainingError(f"The recipe {recipe!r} has no stage [{name}].")
    return config


def _varied(config: LteConfig, given: dict[str, Any]) -> LteConfig:
    """The recipe with what was given on the command line, in all its stages."""
    common = {name: given[name] for name in ("seed", "report_to", "threads", "device")}
    sft = config.sft and options.changed(config.sft, common)
    locate, examine = (stage and options.changed(stage, {**common, "vllm_url": given["vllm_url"]})
                       for stage in (config.locate, config.examine))  # fmt: skip
    dual, no_bleu = given["dual_verdict"], given["no_bleu"]
    locate = locate and replace(locate, rewards=_rewards(locate.rewards, dual, no_bleu))
    examine = examine and options.changed(examine, {"crops": given["crops"]})
    examine = examine and replace(examine, rewards=_rewards(examine.rewards, dual, no_bleu))
    return replace(config, sft=sft, locate=locate, examine=examine)


def _rewards(config: Any, dual_verdict: bool, no_bleu: bool, **weights: float | None) -> Any:
    given = {name: value for name, value in weights.items() if value is not None}
    if dual_verdict:
        given["locate_verdict"] = 1.0
    if no_bleu:
        given["bleu"] = 0.0
    return replace(config, **given)


def _of(given: dict[str, Any], config: type[TrainConfig]) -> dict[str, Any]:
    """The options that are settings of this kind of training."""
    names = {field.name for field in fields(config)} - {"segment"}
    return {name: value for name, value in given.items() if name in names}


def _checkpoint(base: Path) -> Any:
    from lte_core.inference.checkpoint import Checkpoint

    return Checkpoint.load(base).for_other_weights()


def calibrate(model: Path, data: TrainingData, threads: int | None, device: str | None) -> None:
    """Temperatures and band on the split val, which no stage trained on; without one the model keeps its own. Done
    once: what `train.json` tells is done."""
    from lte_core.evaluation.fitting import LEAST, fit
    from lte_core.inference.detector import LocateThenExamine
    from lte_core.inference.load import LoadConfig, load_model
    from lte_core.training.record import add, is_main, read

    if not is_main() or "calibration" in read(model):
        return
    lessons = data.val[:MOST_TO_CALIBRATE]
    if len(lessons) < LEAST:
        options.say(f"not calibrated: the split val has {len(lessons)} samples, and it takes {LEAST}", err=True)
        return
    root = Path("/")  # joined with an absolute path, it gives way
    samples = [replace(lesson.sample, image=str(lesson.image.absolute())) for lesson in lessons]
    detector = LocateThenExamine(*load_model(str(model), LoadConfig(device=device, threads=threads)))
    with counting("calibrate", len(samples)) as show:
        try:
            fitted = fit(detector, samples, root, ERROR, show)
        except ValueError as problem:
            options.say(f"not calibrated: {problem}", err=True)
            return
    fitted.checkpoint.save(model)
    add(model, "calibration", fitted.record())
    options.say(
        f"calibrated on {len(samples)} samples (Acc {fitted.scores.acc:.3f}): "
        f"temperature {fitted.checkpoint.temperature_examine:.2f}"
    )
