"""Texts in another language are told with certainty; short texts, names, numbers, languages of the seeds are not."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth_assets.discriminators.language import Language, accepted_languages
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

SENTENCES = {
    "en": "I have been waiting for my new card for three weeks now.",
    "de": "Ich warte jetzt schon seit drei Wochen auf meine neue Karte.",
    "nl": "Ik wacht nu al drie weken op mijn nieuwe kaart van de bank.",
    "sv": "Jag har väntat på mitt nya kort i tre veckor nu.",
    "fr": "J'attends ma nouvelle carte depuis maintenant trois semaines.",
    "es": "Llevo tres semanas esperando mi nueva tarjeta del banco.",
    "pt": "Estou há três semanas à espera do meu novo cartão do banco.",
    "it": "Sto aspettando la mia nuova carta ormai da tre settimane.",
    "ro": "Aștept de trei săptămâni să primesc noul meu card de la bancă.",
    "pl": "Od trzech tygodni czekam na moją nową kartę z banku.",
    "cs": "Už tři týdny čekám na svou novou kartu z banky.",
    "tr": "Üç haftadır bankadan yeni kartımın gelmesini bekliyorum.",
    "vi": "Tôi đã chờ thẻ mới của mình ba tuần nay rồi.",
    "id": "Saya sudah menunggu kartu baru saya selama tiga minggu.",
    "fi": "Olen odottanut uutta korttiani jo kolme viikkoa.",
    "hu": "Már három hete várok az új kártyámra a banktól.",
    "ru": "Я уже три недели жду свою новую карту из банка.",
    "el": "Περιμένω τη νέα μου κάρτα εδώ και τρεις εβδομάδες.",
    "ar": "أنا أنتظر بطاقتي الجديدة منذ ثلاثة أسابيع.",
    "hi": "मैं तीन हफ़्तों से अपने नए कार्ड का इंतज़ार कर रहा हूँ।",
    "zh": "我等我的新银行卡已经等了三个星期了。",
    "ja": "新しいカードをもう三週間も待っています。",
    "ko": "새 카드를 벌써 삼 주째 기다리고 있습니다.",
    "th": "ฉันรอบัตรใหม่ของฉันมาสามสัปดาห์แล้ว",
}


def spec_in(language: str) -> DatasetSpec:
    return text_spec(fields=[{"name": "text", "type": "text", "language": language}], strata={"by": []})


def judge(language: Language, *texts: str | None) -> pl.DataFrame:
    ids = [f"c{i}" for i in range(len(texts))]
    return language.judge(pl.DataFrame({"example_id": ids, "text": pl.Series(texts, dtype=pl.String)}))


def passes(tag: str, *texts: str | None) -> list[bool]:
    return judge(Language(spec_in(tag)), *texts)["passed"].to_list()


def fit(tag: str, texts: list[str]) -> Language:
    spec = spec_in(tag)
    return Language.fit(spec, seed_rows(spec, [{"text": text} for text in texts]))


@pytest.mark.parametrize("tag", SENTENCES)
def test_a_sentence_passes_in_a_field_of_its_language(tag: str) -> None:
    assert passes(tag, SENTENCES[tag]) == [True]


@pytest.mark.parametrize("tag", [tag for tag in SENTENCES if tag != "en"])
def test_a_sentence_of_another_language_falls_in_an_english_field(tag: str) -> None:
    verdict = judge(Language(spec_in("en")), SENTENCES[tag]).row(0, named=True)
    assert (verdict["passed"], verdict["reason"], verdict["threshold"]) == (False, "other_language", 0.9)
    assert verdict["score"] >= 0.9
    assert json.loads(verdict["evidence"]) == {"field": "text", "language": tag}


@pytest.mark.parametrize("tag", ["de", "fr", "tr", "ru", "ar", "zh", "ja", "hi"])
def test_an_english_sentence_falls_in_a_field_of_another_language(tag: str) -> None:
    assert passes(tag, SENTENCES["en"]) == [False]


@pytest.mark.parametrize(("tag", "text"), [("zh", "ja"), ("ru", "el"), ("ar", "ru"), ("ko", "ja"), ("de", "th")])
def test_another_script_is_certain(tag: str, text: str) -> None:
    assert judge(Language(spec_in(tag)), SENTENCES[text])["score"].to_list() == [1.0]


def test_what_says_nothing_about_its_language_passes() -> None:
    silent = [
        "",
        None,
        "Danke schön",
        "Gabriel García Márquez",
        "Universität Zürich",
        "12,50 € + 3 %",
        "a = foo(b) + [c]",
    ]
    silent += ["x1 y2 z3 w4 = 17 * 25 - 3", "Привет", "你好", "https://beispiel.de/karte?id=17&x=9"]
    assert passes("en", *silent) == [True] * len(silent)


def test_capitals_are_read_like_small_letters() -> None:
    assert passes("en", SENTENCES["en"].upper(), SENTENCES["de"].upper()) == [True, False]


def test_a_word_of_another_language_within_a_sentence_passes() -> None:
    assert passes("en", "The word Götterdämmerung is used in English too, 你好.") == [True]


def test_a_language_of_the_seeds_is_accepted_beside_the_field_s() -> None:
    seeds = [f"{SENTENCES['en']} {i}" for i in range(80)] + [f"{SENTENCES['fr']} {i}" for i in range(20)]
    language = fit("en", seeds)
    assert dict(language.accepted)["text"] == ("en", "fr", "sco")
    other_french = "Pourquoi est-ce que mon paiement a été refusé hier soir ?"
    assert judge(language, other_french, SENTENCES["de"], SENTENCES["en"])["passed"].to_list() == [True, False, True]


def test_a_single_seed_in_another_language_changes_nothing() -> None:
    seeds = [f"{SENTENCES['en']} {i}" for i in range(99)] + [SENTENCES["fr"]]
    language = fit("en", seeds)
    assert dict(language.accepted)["text"] == ("en", "sco")
    assert judge(language, SENTENCES["fr"])["passed"].to_list() == [False]


def test_seeds_that_are_all_in_another_language_than_stated_are_no_fault() -> None:
    language = fit("en", [f"{SENTENCES['de']} Nummer {i}" for i in range(50)])
    assert judge(language, "Warum wurde meine Zahlung gestern abgelehnt?")["passed"].to_list() == [True]


def test_words_that_seeds_hold_need_no_model() -> None:
    jargon = "Do you convert to Euro?"
    assert passes("en", jargon) == [False]  # the model alone takes it for Italian
    seeds = ["Do you take Euro?", "How do I convert it?", "Where do you ship to?"] * 10
    assert judge(fit("en", [f"{seed} {i}" for i, seed in enumerate(seeds)]), jargon)["passed"].to_list() == [True]


def test_a_lower_certainty_in_the_contract_rejects_more() -> None:
    doubtful = "Wer gewann den Super Bowl XLIX?"
    sure, unsure = (Language(text_spec(quality={"language_certainty": certainty})) for certainty in (0.99, 0.5))
    frame = pl.DataFrame({"example_id": ["c"], "text": [doubtful], "intent": ["ask"]})
    assert (sure.judge(frame)["passed"][0], unsure.judge(frame)["passed"][0]) == (True, False)
    assert sure.version != unsure.version


TWO = text_spec(
    fields=[
        {"name": "source", "type": "text", "language": "en"},
        {"name": "target", "type": "text", "language": "de-AT"},
        {"name": "body", "type": "code"},
    ],
    strata={"by": []},
)


def test_every_field_is_held_to_its_own_language_and_code_to_none() -> None:
    frame = pl.DataFrame(
        {
            "example_id": ["right", "wrong"],
            "source": [SENTENCES["en"], SENTENCES["en"]],
            "target": [SENTENCES["de"], SENTENCES["en"]],
            "body": [SENTENCES["ru"], SENTENCES["ru"]],
        }
    )
    verdicts = Language(TWO).judge(frame)
    assert verdicts["passed"].to_list() == [True, False]
    assert json.loads(verdicts["evidence"][1]) == {"field": "target", "language": "en"}


@pytest.mark.parametrize(
    ("tag", "languages"),
    [
        ("pt-BR", {"pt"}),
        ("zh-Hant-TW", {"zh", "yue", "wuu"}),
        ("nb_NO", {"no", "nn"}),
        ("sr-Latn", {"sr", "hr", "bs", "sh"}),
        ("fil", {"tl"}),
        ("qya", {"qya"}),
    ],
)
def test_tags_are_read_as_the_model_s_languages(tag: str, languages: set[str]) -> None:
    assert accepted_languages([tag]) == languages


@pytest.mark.parametrize("tag", ["und", "mul", "zxx"])
def test_a_field_of_no_stated_language_takes_all(tag: str) -> None:
    assert passes(tag, SENTENCES["de"], SENTENCES["ru"]) == [True, True]


def test_of_a_language_that_the_model_does_not_know_only_the_script_is_judged() -> None:
    assert passes("zu", SENTENCES["de"], SENTENCES["ru"]) == [True, False]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_gets_a_certainty_and_its_neighbors_do_not_matter(texts: list[str]) -> None:
    language = Language(spec_in("en"))
    together = judge(language, *texts)
    assert together["score"].is_between(0, 1).all()
    assert together["score"].to_list() == [judge(language, text)["score"][0] for text in texts]
