"""What generated text holds and real text seldom does: boilerplate, placeholders, damaged encoding, markup.

Here: the forms and their patterns (Rust regular expressions, as polars takes them). Not here: when a form is a fault
(rules.py), what an engine asks again for (generation/refusals.py).
"""

from __future__ import annotations

BOILERPLATE, PLACEHOLDER, DAMAGE, MARKUP = "boilerplate", "placeholder", "encoding_damage", "markup"

_B = r"(?-u:\b)"  # the ASCII word border: Unicode's takes a regular expression off its fast path
_NOT = r"(?:can(?:'|’| ?no)?t|am unable to|am not able to|(?:'|’)m unable to|(?:'|’)m not able to|won(?:'|’)t)"
_MODEL = r"(?:ai|artificial intelligence|(?:large )?language model|virtual assistant|chatbot)"
_SERVE = r"(?:help|assist|fulfill|comply|provide|generate|create|answer|produce|continue with|discuss|engage|do that)"
_FILL = rf"(?:insert|enter|add|type|fill in|your|placeholder){_B}"
_SLOT = (
    r"(?:(?:first|last|full|middle|user|customer|client|recipient|sender|company|business|organi[sz]ation|product|"
    r"service|brand|city|street|home|mailing|billing|shipping|order|account|card|phone|telephone|mobile|contact|e-?mail|"
    r"job|start|end|due|current|today'?s|transaction|tracking|reference|invoice|employee|manager|manager's)[ _-]?)*"
    r"(?:name|number|id|date|address|e-?mail|phone|city|company|title|amount|url|location|person|signature)"
    r"(?:[ _-]?\d+)?"
)
_OWN = r"(?:text|answer|name|message|content|title|question|response|input|output)"
_ACT = r"(?:add|write|fill|insert|complete|finish|fix|implement)"
_C1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"  # bytes 80–9F in Windows-1252
_C1251 = "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџЎўЈ¤Ґ¦§Ё©Є«¬®Ї°±Ііґµ¶·ё№є»јЅѕї"  # bytes 80–BF in Windows-1251
_TAG = r"p|div|span|br|b|i|u|ul|ol|li|a|h[1-6]|table|tr|td|th|strong|em|img|html|body|head|script|pre|code"

_ALTERNATIVES: dict[str, tuple[str, list[str]]] = {
    "bracket_slot": (PLACEHOLDER, [rf"(?i:\[(?:{_FILL}[^\]\n]*|{_SLOT})\])"]),
    "angle_slot": (PLACEHOLDER, [rf"<(?i:{_FILL})[^>\n]*>", r"<[A-Z]+(?:[ _-][A-Z]+)+>"]),
    "brace_slot": (PLACEHOLDER, [r"\{\{ ?[A-Za-z_][\w .-]*\}\}", rf"(?i:\{{(?:{_FILL}[^}}\n]*|{_SLOT})\}})"]),
    "template_variable": (PLACEHOLDER, [r"\$\{[A-Za-z_][\w.]*\}", r"%\([a-z_]+\)[sd]"]),
    "special_token": (
        PLACEHOLDER,
        [r"<(?:unk|pad|mask|bos|eos|/s)>", r"<\|[a-z_]+\|>", r"\[(?:UNK|PAD|MASK|CLS|SEP)\]"],
    ),
    "lorem_ipsum": (PLACEHOLDER, ["(?i:lorem ipsum|dolor sit amet)"]),
    "to_do": (
        PLACEHOLDER,
        [
            rf"{_B}(?:TODO|FIXME|TBD)(?::|\(| {_ACT}{_B})",
            rf"[\[<(](?:TODO|FIXME|TBD|XXX+){_B}",
            r"^\s*(?:TODO|FIXME|TBD|XXX+)\W*$",
            rf"{_B}(?:Dear|Mr\.?|Mrs\.?|Ms\.?|Hi|Hello|[Nn]ame:|[Nn]ame is) XXX",
        ],
    ),
    "text_here": (PLACEHOLDER, [rf"(?i:{_B}(?:your (?:own )?{_OWN}(?: goes)?|{_OWN} goes) here{_B})"]),
    "sample_contact": (
        PLACEHOLDER,
        [
            rf"(?i:{_B}(?:your\.?(?:name|email)?|first(?:name)?\.?last(?:name)?|user(?:name)?|name|e?mail|someone|"
            rf"john\.?doe|jane\.?doe)@(?:example|e?mail|domain|company|website|your(?:company|domain))\.(?:com|org|net){_B})",
            rf"(?i:{_B}www\.(?:example|your(?:website|domain|company))\.(?:com|org|net){_B})",
            rf"{_B}Anytown{_B}",
            r"\(?123\)?[ -]456-7890",
        ],
    ),
    "about_itself": (
        BOILERPLATE,
        [
            rf"(?i:{_B}(?:as|i(?:'|’)?m(?: just| only)?|i am(?: just| only)?) an? {_MODEL}{_B})",
            rf"(?i:{_B}my (?:knowledge cut-?off|training data){_B})",
        ],
    ),
    "refusal": (
        BOILERPLATE,
        [
            rf"(?i:{_B}i(?:(?:'|’)m| am) sorry,? (?:but )?(?:as an|i ?{_NOT} {_SERVE}){_B})",
            rf"(?i:{_B}i ?{_NOT} (?:fulfill|comply with|(?:assist|help)(?: you)? with) (?:this|that|your request){_B})",
        ],
    ),
    "preamble": (
        BOILERPLATE,
        [
            rf"(?i:^\W*(?:sure|certainly|of course|absolutely){_B}(?: thing)?[,.!:–—-]* ?(?:here(?:(?:'|’)?s| is| are)|"
            rf"i(?:(?:'|’)d| would) be (?:happy|glad)){_B})",
        ],
    ),
    "replacement_character": (DAMAGE, ["\ufffd", "ï¿½", "锟斤拷"]),
    "control_character": (DAMAGE, ["[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]"]),
    "mojibake": (  # UTF-8 read as Latin-1, as Windows-1252 or as Windows-1251
        DAMAGE,
        [
            "[ÂÃ][\u0080-\u00bf]",
            f"Ã[{''.join(sorted(set(_C1252) - set('’”')))}]",
            "â€|â[\u0080-\u009f]|ð[Ÿ\u009f]|ï»¿",
            f"(?:[ÐÑ][\u0080-\u00bf{_C1252}]){{2}}",
            f"(?:[РС][{_C1251}]){{3}}",
        ],
    ),
    "html_tag": (MARKUP, [rf"(?i:</?(?:{_TAG})(?:\s[^<>\n]*)?/?>)"]),
    "html_entity": (MARKUP, [r"&(?:amp|lt|gt|nbsp|quot|apos|#[0-9]+|#x[0-9a-fA-F]+);"]),
    "markdown_emphasis": (MARKUP, [r"\*\*[^*\s][^*\n]*\*\*", r"(?:^|\s)__[^_\s][^_\n]*__"]),
    "markdown_heading": (MARKUP, [r"(?m:^#+ \S)"]),
    "markdown_code": (MARKUP, ["```"]),
    "markdown_link": (MARKUP, [r"\]\((?:https?://|www\.|/|#)"]),
    "markdown_table": (MARKUP, [r"(?m:^\|.*\|.*\|\s*$)"]),
}

FORMS: dict[str, tuple[str, str]] = {form: (reason, "|".join(parts)) for form, (reason, parts) in _ALTERNATIVES.items()}
"""Form → reason and pattern; of several forms in a text the first one is told."""
