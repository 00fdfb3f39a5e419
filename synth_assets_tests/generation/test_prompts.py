"""Prompts: the same inputs make the same text, what is shared stands first, and nobody's text becomes a template."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.errors import SpecError
from synth_assets.generation import recipes
from synth_assets.generation.language.prompts import Prompts
from synth_assets.generation.language.protocol import Message
from synth_assets.generation.language.schema import RecordSchema
from synth_assets.generation.recipes import Recipe, list_recipes, load_recipe
from synth_assets.spec import DatasetSpec
from synth_assets_tests.builders import seed_rows, text_spec

FIELDS = [
    {"name": "text", "type": "text", "description": "What the customer writes.", "language": "de"},
    {"name": "mass", "type": "number", "description": "Weight of the parcel", "unit": "kg"},
    {"name": "intent", "type": "category", "role": "target"},
    {"name": "urgent", "type": "boolean"},
]
SPEC = text_spec(description="Letters to a parcel service.", fields=FIELDS, strata={"by": ["intent", "urgent"]})
ROWS = [
    {"text": "Wo ist mein Paket?", "mass": 1.5, "intent": "delivery", "urgent": True},
    {"text": "Bitte zahlen Sie zurück.", "mass": 12.0, "intent": "refund", "urgent": False},
]
LINES = ['{"text":"Wo ist es?","mass":1.0}', '{"text":"Es fehlt etwas.","mass":2.0}']


def make_prompts(spec: DatasetSpec = SPEC, recipe: Recipe | None = None) -> Prompts:
    rows = ROWS if spec is SPEC else [{"text": "hello", "intent": "a"}]
    return Prompts(recipe or load_recipe("few_shot"), RecordSchema.build(spec, seed_rows(spec, rows)))


def complete(prompts: Prompts, stratum: str = "delivery|true", lines: list[str] = LINES) -> str:
    prompt = prompts.render(stratum, lines, chat=False)
    assert isinstance(prompt, str)
    return prompt


def chat(prompts: Prompts, stratum: str = "delivery|true", lines: list[str] = LINES) -> tuple[Message, ...]:
    prompt = prompts.render(stratum, lines, chat=True)
    assert isinstance(prompt, tuple)
    return prompt


def shared_start(one: str, other: str) -> str:
    return one[
        : next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    ]


def recipe_of(source: str, *names: str) -> Recipe:
    return Recipe("mine", "generate", "", "digest", dict.fromkeys(names or ("completion", "system", "user"), source))


# ---- what a prompt says


def test_a_completion_ends_with_the_exemplars_one_a_line() -> None:
    assert complete(make_prompts()) == (
        "Letters to a parcel service.\n"
        "text: What the customer writes.\n"
        "mass: Weight of the parcel, in kg\n"
        "intent: delivery\n"
        "urgent: True\n"
        "One JSON object a line:\n"
        '{"text":"Wo ist es?","mass":1.0}\n'
        '{"text":"Es fehlt etwas.","mass":2.0}\n'
    )


def test_a_chat_is_told_the_fields_by_the_system_and_stratum_and_exemplars_by_the_user() -> None:
    system, user = chat(make_prompts())
    assert (system.role, user.role) == ("system", "user")
    assert "Letters to a parcel service." in system.content
    assert "- text (text): What the customer writes., written in de\n" in system.content
    assert "- mass (number): Weight of the parcel, in kg\n" in system.content
    assert "intent" not in system.content
    assert "- intent: delivery\n- urgent: True\n" in user.content
    assert user.content.index(LINES[0]) < user.content.index(LINES[1])


def test_a_data_set_without_description_goes_by_its_name() -> None:
    assert complete(make_prompts(text_spec()), "a").startswith("messages\n")
    assert "\nmessages\n" in chat(make_prompts(text_spec()), "a")[0].content


@pytest.mark.parametrize("recipe", list_recipes())
def test_every_recipe_has_all_templates_and_needs_no_exemplars(recipe: str) -> None:
    prompts = make_prompts(recipe=load_recipe(recipe))
    assert complete(prompts, lines=[])
    assert all(message.content for message in chat(prompts, lines=[]))
    assert "Examples of the kind" not in chat(prompts, lines=[])[1].content


# ---- the same prompt again, and prefixes that a cache can keep

lines = st.lists(st.dictionaries(st.just("text"), st.text(max_size=20), min_size=1).map(json.dumps), max_size=5)


@given(lines)
def test_the_same_inputs_make_the_same_prompt(exemplars: list[str]) -> None:
    for is_chat in (True, False):
        again = make_prompts().render("refund|false", list(exemplars), chat=is_chat)
        assert make_prompts().render("refund|false", tuple(exemplars), chat=is_chat) == again


@given(lines, lines)
def test_requests_of_a_stratum_share_everything_before_their_exemplars(one: list[str], other: list[str]) -> None:
    prompts = make_prompts()
    first, second = complete(prompts, lines=one), complete(prompts, lines=other)
    start = first.removesuffix("".join(f"{line}\n" for line in one))
    assert len(shared_start(first, second)) >= len(start)
    assert start.endswith("urgent: True\nOne JSON object a line:\n")
    users = [chat(prompts, lines=each)[1].content for each in (["x"], ["y"])]
    assert "urgent: True" in shared_start(*users)


def test_strata_share_everything_before_their_values() -> None:
    prompts = make_prompts()
    both = [complete(prompts, stratum) for stratum in ("delivery|true", "refund|false")]
    assert shared_start(*both).endswith("Weight of the parcel, in kg\nintent: ")


@given(lines, st.sampled_from(["delivery|true", "refund|false"]))
def test_all_chats_of_a_data_set_have_one_system_message(exemplars: list[str], stratum: str) -> None:
    assert chat(make_prompts(), stratum, exemplars)[0] == chat(make_prompts())[0]


# ---- text stays text

HOSTILE = [
    "{{ 7*7 }}",
    "{% raw %}",
    "{% endfor %}{{ description }}",
    "{# gone #}",
    "{{ ''.__class__.__mro__ }}",
    "}}{{",
    "# for x in exemplars",
    "a\nb\r\n\u2028c",
    "\"quotes' <b>&amp;",
    "%(name)s {0} $x",
    "\x00\u202etxt",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_an_exemplar_is_shown_as_it_is(text: str) -> None:
    for line in (text, json.dumps({"text": text}, ensure_ascii=False)):
        assert complete(make_prompts(), lines=[line]).endswith(f"a line:\n{line}\n")
        assert f"\n{line}\nWrite one new example" in chat(make_prompts(), lines=[line])[1].content


@given(st.lists(st.text(max_size=40), max_size=4))
def test_exemplars_are_never_read_as_a_template(exemplars: list[str]) -> None:
    assert complete(make_prompts(), lines=exemplars).endswith("a line:\n" + "".join(f"{x}\n" for x in exemplars))


@pytest.mark.parametrize("text", HOSTILE)
def test_descriptions_and_the_values_of_a_stratum_are_shown_as_they_are(text: str) -> None:
    fields = [
        {"name": "text", "type": "text", "description": f"<{text}>"},
        {"name": "intent", "type": "category", "role": "target"},
    ]
    spec = text_spec(description=f"[{text}]", fields=fields)
    schema = RecordSchema.build(spec, seed_rows(spec, [{"text": "hello", "intent": text}]))
    prompts = Prompts(load_recipe("few_shot"), schema)
    system, user = chat(prompts, text, [])
    for wanted, said in ((f"[{text}]", system.content), (f"<{text}>", system.content), (f": {text}\n", user.content)):
        assert wanted in said
        assert wanted in complete(prompts, text, [])


# ---- recipes that cannot be used

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ fields.__class__ }}",
    "{{ exemplars|attr('__class__') }}",
    "{{ '{0.__class__}'.format(exemplars) }}",
    "{{ cycler.__init__.__globals__.os.system('true') }}",
    "{{ lipsum.__globals__ }}",
    "{{ lipsum() }}",
    "{{ exemplars|random }}",
    "{{ self.__init__.__globals__ }}",
    "{{ os.environ }}",
    "{{ exemplars.append('x') }}",
    "{{ fields[0].update(name='x') }}",
    "{{ given.clear() }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_reaches_nothing_but_what_it_is_given(source: str) -> None:
    prompts = make_prompts(recipe=recipe_of(source))
    with pytest.raises(SpecError, match=r"recipe mine: completion\.jinja: "):
        complete(prompts)


MISTAKES = [
    "{{ nothing }}",
    "{{ given.nothing }}",
    "{{ exemplars[99] }}",
    "{% for x in exemplars %}",
    "{{ 'x'|nothing }}",
    "{{ 1 / 0 }}",
    "{{ description + 1 }}",
    "{% include 'user.jinja' %}",
    "{% import 'os' as os %}",
    "{% for i in range(1000000000) %}{% endfor %}",
    "{{ 'é'.encode('ascii') }}",
]


@pytest.mark.parametrize("source", MISTAKES)
def test_a_template_that_fails_is_named(source: str) -> None:
    with pytest.raises(SpecError, match=r"recipe mine: system\.jinja: "):
        chat(make_prompts(recipe=recipe_of(source)))


@pytest.mark.parametrize(
    ("there", "is_chat", "missing"),
    [
        (("completion",), True, "system"),
        (("completion", "system"), True, "user"),
        (("system", "user"), False, "completion"),
    ],
)
def test_a_missing_template_is_named_with_what_needs_it(there: tuple[str, ...], is_chat: bool, missing: str) -> None:
    prompts = make_prompts(recipe=recipe_of("x", *there))
    with pytest.raises(SpecError, match=rf"recipe mine has no {missing}\.jinja.*generation\.prompt"):
        prompts.render("delivery|true", [], chat=is_chat)


# ---- finding recipes


@pytest.fixture
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A folder of recipes with one of its own."""
    monkeypatch.setattr(recipes, "RECIPES", tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "recipe.yaml").write_text("name: mine\nuse: generate\ndescription: of my own\n")
    (tmp_path / "mine" / "completion.jinja").write_text("{{ dataset }}\n{{ exemplars[0] }}\n")
    return tmp_path / "mine"


def test_a_recipe_is_its_folder(folder: Any) -> None:
    recipe = load_recipe("mine")
    assert (recipe.description, list(recipe.templates)) == ("of my own", ["completion"])
    assert complete(make_prompts(recipe=recipe)) == f"messages\n{LINES[0]}\n"


def test_a_recipes_digest_changes_with_each_of_its_files_and_nothing_else(folder: Any) -> None:
    digests = [load_recipe("mine").digest]
    for name, text in (("completion.jinja", "x"), ("user.jinja", "x"), ("user.jinja", "y"), ("notes/why.md", "z")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
        digests.append(load_recipe("mine").digest)
    assert all(one != other for one, other in pairwise(digests))
    (folder / "notes" / "empty").mkdir()
    assert load_recipe("mine").digest == digests[-1]


def test_an_unknown_recipe_is_told_with_those_that_there_are(folder: Any) -> None:
    with pytest.raises(SpecError, match=r"generation\.recipe: 'yours' is no recipe to generate with; there are: mine"):
        load_recipe("yours")
