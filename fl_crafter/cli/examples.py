"""Examples that `--help` shows below each command."""

import typer

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": (
        "fl-crafter demo",
        "fl-crafter demo --data celeba --root celeba --out out/celeba --people 20",
    ),
    "doctor": ("fl-crafter doctor", "fl-crafter doctor --json"),
    "craft": (
        "fl-crafter craft photographs --out features.safetensors",
        "fl-crafter craft photographs --out features.safetensors --utility-budget 0.1",
        "fl-crafter craft photographs --out shards --ray",
    ),
    "attack": (
        "fl-crafter attack features.safetensors --out seen --budget smoke",
        "fl-crafter attack out/quick/crafter/transcript.safetensors --out seen --defence crafter",
        "fl-crafter attack theirs.safetensors --out seen --encoder package.module:function",
    ),
    "evaluate": (
        "fl-crafter evaluate --root celeba --faces 80 --seeds 1 --defences none,crafter:0.1:10",
        "fl-crafter evaluate --root celeba --budget smoke --people 10 --seeds 1 --defences none",
    ),
    "report": ("fl-crafter report out/demo", "fl-crafter report out/evaluation"),
    "data check": ("fl-crafter data check celeba celeba", "fl-crafter data check lfw lfw --json"),
    "data split": ("fl-crafter data split celeba celeba --people 160 --out celeba/roles.csv",),
    "train encoder": ("fl-crafter train encoder --root celeba --out checkpoints",),
    "train prior": ("fl-crafter train prior --root celeba --out checkpoints",),
    "train decoder": ("fl-crafter train decoder --root celeba --name eavesdropper_decoder",),
    "train amortiser": ("fl-crafter train amortiser --root celeba --out checkpoints",),
    "train advlearn": ("fl-crafter train advlearn --root celeba --out advlearn.safetensors",),
    "train disco": ("fl-crafter train disco --root celeba --out disco.safetensors --ratio 0.9",),
    "train tiprdc": ("fl-crafter train tiprdc --root celeba --out tiprdc.safetensors",),
    "study run": ("fl-crafter study run smoke --root celeba",),
    "study human build": (
        "fl-crafter study human build --root celeba --defence none --defence crafter",
    ),
    "study human score": ("fl-crafter study human score out/human/key.json answers.json",),
    "bench crafting": ("fl-crafter bench crafting --images 32 --seeds 3",),
    "bench designs": ("fl-crafter bench designs --images 16",),
    "bench round": ("fl-crafter bench round --rounds 4",),
    "bench scale": ("fl-crafter bench scale --clients 10,100",),
    "bench clients": ("fl-crafter bench clients --root CELEBA",),
    "bench gpu": ("fl-crafter bench gpu --root CELEBA",),
    "bench labels": ("fl-crafter bench labels --data orl",),
}
"""By command, as it is typed after `fl-crafter`."""


def add_examples(app: typer.Typer, *, before: str = "") -> None:
    """Give every command of an app its examples as the end of its help.

    Args:
        app: with all its commands.
        before: name of the group that the app is, with a space behind.
    """
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        lines = [f"  {example}" for example in EXAMPLES[f"{before}{name}"]]
        command.epilog = "\n\n".join(["Examples:", *lines])
    for group in app.registered_groups:
        assert group.typer_instance is not None and group.name is not None
        add_examples(group.typer_instance, before=f"{before}{group.name} ")
