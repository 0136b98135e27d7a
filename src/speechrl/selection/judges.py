"""Ask other recognisers: those that listen here, and those that listened elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from speechrl.config.load import resolve_path
from speechrl.data.prompts import load_audio
from speechrl.errors import ConfigError, DataError, ModelError
from speechrl.rewards.scorers.clips import SAMPLE_RATE_HZ
from speechrl.rewards.scorers.recogniser import LANGUAGES, PACKAGED, load_recogniser_judge, weights_version
from speechrl.selection.shards import Shards
from speechrl.text.json_lines import json_lines
from speechrl.text.normalise import primary_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from speechrl.config.selection import JudgeConfig, JudgesConfig
    from speechrl.rewards.scorers.recogniser import Recogniser
    from speechrl.selection.pool import Item
    from speechrl.selection.probe import Progress

BATCH_SIZE = 16


def ask_judges(
    items: Sequence[Item],
    config: JudgesConfig,
    folder: Path,
    progress: Progress,
    load: Callable[..., Recogniser] = load_recogniser_judge,
    shard_size: int = 64,
) -> dict[str, dict[str, str]]:
    """What each judge takes each utterance for.

    Recognisers leave shards in `folder/judges/NAME-LANGUAGE-SETTINGS/`, and are loaded only where one is missing; a
    multilingual one is loaded for each language in turn. Of one that is a folder, its files are among the settings.

    Args:
        items: The pool.
        config: Who is asked.
        folder: Where shards are.
        progress: Is told.
        load: Loads a recogniser by name; takes `window` and `language`.
        shard_size: Utterances a shard.

    Returns:
        Item key -> {judge: text}; a judge that was not asked, or has nothing, is absent.

    Raises:
        ConfigError: A judge is named twice.
        DataError: A file of hypotheses cannot be read.
        SpeechRLError: A recogniser cannot be loaded.
    """
    _refuse_namesakes(config)
    opinions: dict[str, dict[str, str]] = {item.key: {} for item in items}
    for name, language, part, shards in _hearings(items, config, folder):
        missing = [item for item in part if item.key not in shards.rows]
        if missing:
            recogniser = load(name, window=config.window, language=language)
            _listen(recogniser, missing, shards, shard_size, name, progress)
        for item in part:
            opinions[item.key][name] = str(shards.rows[item.key]["text"])
    for name, path in config.hypotheses.items():
        texts = read_hypotheses(Path(path).expanduser())
        for item in items:
            if item.cut.id in texts:
                opinions[item.key][name] = texts[item.cut.id]
    return opinions


def _place(name: str, language: str, window: str) -> str:
    """A folder name for what a recogniser says with these settings; of a hub name, whatever its revision."""
    folder = resolve_path(name)
    files = [] if name in PACKAGED else sorted(path for path in folder.rglob("*") if path.is_file())
    stats = [(str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    settings = hashlib.sha256(repr((name, window, weights_version(name), stats)).encode()).hexdigest()[:8]
    return re.sub(r"[^\w.+-]+", "_", f"{name}-{language}-{settings}")


def see_that_judges_can_judge(
    items: Sequence[Item],
    config: JudgesConfig,
    folder: Path,
    load: Callable[..., Recogniser] = load_recogniser_judge,
    *,
    must_agree: bool = False,
) -> None:
    """See that judges are there and can agree, before hours of work: load each once, read the hypotheses, count them.

    Args:
        items: See `ask_judges`.
        config: See `ask_judges`.
        folder: See `ask_judges`.
        load: See `ask_judges`.
        must_agree: What they agree on is the reference of the pool.

    Raises:
        ConfigError: A quorum, or with `must_agree` two judges, that no language of the pool has.
        DataError: A file of hypotheses that cannot be read, or has none for this pool.
        SpeechRLError: As `ask_judges`; it names the judge.
    """
    _refuse_namesakes(config)
    _refuse_strange_hypotheses(items, config)
    _refuse_too_few(items, config, must_agree=must_agree)
    for name, language, part, shards in _hearings(items, config, folder):
        if any(item.key not in shards.rows for item in part):
            try:
                load(name, window=config.window, language=language)
            except ModelError as error:
                raise ModelError(
                    f"judges.recognisers: {name}, asked about {len(part)} utterances in {language!r}: {error}; "
                    "`languages` says which ones a judge is asked about"
                ) from error


def _refuse_strange_hypotheses(items: Sequence[Item], config: JudgesConfig) -> None:
    """Hypotheses of another pool, or under other ids, would be no opinion at all, in silence."""
    ids = {item.cut.id for item in items}
    for name, path in config.hypotheses.items():
        texts = read_hypotheses(Path(path).expanduser())
        if not ids.intersection(texts):
            theirs, ours = next(iter(texts), "none"), items[0].cut.id
            raise DataError(
                f"judges.hypotheses.{name}: {path} has no id of the pool (it has {theirs!r}, the pool {ours!r}); "
                "give it the ids of the manifest, or leave it out"
            )


def _refuse_too_few(items: Sequence[Item], config: JudgesConfig, *, must_agree: bool) -> None:
    """One judge agrees with nobody."""
    languages = dict.fromkeys(primary_language(item.language) for item in items)
    able = {
        language: [judge.name for judge in config.recognisers if _hears(judge, language)]
        + list(config.hypotheses)
        for language in languages
    }
    most = max(map(len, able.values()), default=0)
    if config.quorum is not None and config.quorum > most:
        raise ConfigError(
            f"judges.quorum is {config.quorum}, but at most {most} judges hear an utterance; lower it"
        )
    wanted = config.quorum or 2
    for language, judges in able.items():
        if must_agree and len(judges) < wanted:
            who = ", ".join(judges) or "nobody"
            raise ConfigError(
                f"labels: judges: references are what {wanted} judges agree on, and {language!r} is heard by {who}; "
                "name more under judges.recognisers (with their `languages`), or give judges.hypotheses"
            )


def _hears(judge: JudgeConfig, language: str) -> bool:
    """Whether a judge is asked about a language: what its `languages` say, else what is known of its weights."""
    known = judge.languages if judge.languages is not None else LANGUAGES.get(judge.name)
    return known is None or language in {primary_language(name) for name in known}


def _refuse_namesakes(config: JudgesConfig) -> None:
    names = [judge.name for judge in config.recognisers] + list(config.hypotheses)
    if len(set(names)) < len(names):
        raise ConfigError(f"judges: a name comes twice in {', '.join(names)}")


def _hearings(
    items: Sequence[Item], config: JudgesConfig, folder: Path
) -> Iterator[tuple[str, str, list[Item], Shards]]:
    """Name of a judge, language, the items of that language that it is asked about, and where its opinions are."""
    spoken = dict.fromkeys(primary_language(item.language) for item in items)
    for judge in config.recognisers:
        for language in (one for one in spoken if _hears(judge, one)):
            part = [item for item in items if primary_language(item.language) == language]
            yield (
                judge.name,
                language,
                part,
                Shards(folder / "judges" / _place(judge.name, language, config.window)),
            )


def read_hypotheses(path: Path) -> dict[str, str]:
    """Id -> text of a JSONL file of rows `{"id", "hypothesis"}`.

    Raises:
        DataError: There is no such file, or a row lacks one of the two or comes twice.
    """
    if not path.is_file():
        raise DataError(f"judges.hypotheses: {path} does not exist")
    texts: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"judges.hypotheses: {path} is not UTF-8 ({error.reason}); save it as UTF-8"
        ) from error
    for number, line in json_lines(lines):
        try:
            row = json.loads(line)
            name, text = row["id"], row["hypothesis"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f'{path}, row {number}: {error}; write {{"id": ..., "hypothesis": ...}} on each line'
            ) from error
        if not isinstance(name, str) or not isinstance(text, str) or name in texts:
            raise DataError(f"{path}, row {number}: id and hypothesis must be text, and each id come once")
        texts[name] = text
    return texts


def _listen(
    recogniser: Recogniser,
    items: Sequence[Item],
    shards: Shards,
    shard_size: int,
    name: str,
    progress: Progress,
) -> None:
    done = 0
    for start in range(0, len(items), shard_size):
        rows = []
        for first in range(start, min(start + shard_size, len(items)), BATCH_SIZE):
            batch = items[first : min(first + BATCH_SIZE, start + shard_size)]
            clips = [(load_audio(item.cut, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ) for item in batch]
            for item, text in zip(batch, recogniser.transcribe(clips), strict=True):
                rows.append({"key": item.key, "id": item.cut.id, "text": text})
            done += len(batch)
            progress(name, done, len(items))
        shards.add(rows)
