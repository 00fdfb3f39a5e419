"""What each detector finds and what it must leave alone, by example."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth_assets.seeds.pii import find_pii

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n-----END RSA PRIVATE KEY-----"


def found(text: str, language: str = "en") -> list[tuple[str, str]]:
    rows = find_pii(pl.Series([text]), language=language).rows(named=True)
    return [(row["entity"], text[row["start"] : row["end"]]) for row in rows]


@pytest.mark.parametrize(
    ("entity", "text", "value"),
    [
        ("EMAIL_ADDRESS", "write to Anna.Berg+x@mail.example.co.uk.", "Anna.Berg+x@mail.example.co.uk"),
        ("EMAIL_ADDRESS", "请联系zhang@example.com谢谢", "zhang@example.com"),
        ("EMAIL_ADDRESS", "john (at) example (dot) com", "john (at) example (dot) com"),
        ("EMAIL_ADDRESS", "info@müller.de", "info@müller.de"),
        ("URL", "see https://Example.com/a?b=c#d, ok", "https://Example.com/a?b=c#d"),
        ("URL", "(www.example.org)", "www.example.org"),
        ("URL", "on example.com/path now", "example.com/path"),
        ("CREDIT_CARD", "pay with 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("CREDIT_CARD", "5500-0000-0000-0004", "5500-0000-0000-0004"),
        ("CREDIT_CARD", "amex 378282246310005", "378282246310005"),
        ("CREDIT_CARD", "2223003122003222", "2223003122003222"),
        ("CREDIT_CARD", "my card 503867297114", "503867297114"),
        ("IBAN_CODE", "DE89 3704 0044 0532 0130 00", "DE89 3704 0044 0532 0130 00"),
        ("IBAN_CODE", "to gb82west12345698765432 please", "gb82west12345698765432"),
        ("IP_ADDRESS", "host 192.168.1.20 is down", "192.168.1.20"),
        ("IP_ADDRESS", "dns 8.8.4.4", "8.8.4.4"),
        ("IP_ADDRESS", "at 2001:db8::8a2e:370:7334 ok", "2001:db8::8a2e:370:7334"),
        ("MAC_ADDRESS", "00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E"),
        ("CRYPTO", "to 1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "1BoatSLRHtKNngkdXEeobR76b53LETtpyT"),
        ("CRYPTO", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
        ("CRYPTO", "0x52908400098527886E0F7030069857D2E4169EE7", "0x52908400098527886E0F7030069857D2E4169EE7"),
        ("US_SSN", "SSN 536-90-4399", "536-90-4399"),
        ("US_SSN", "my social security number is 536904399", "536904399"),
        ("US_ITIN", "912-75-1234", "912-75-1234"),
        ("UK_NHS", "NHS number 943 476 5919", "943 476 5919"),
        ("UK_NINO", "national insurance AB 12 34 56 C", "AB 12 34 56 C"),
        ("AU_TFN", "tax file number 876 543 210", "876 543 210"),
        ("IN_AADHAAR", "aadhaar 2345 6789 0124", "2345 6789 0124"),
        ("PASSPORT", "Passport No. X1234567", "X1234567"),
        ("DRIVER_LICENSE", "driver's license number: F1234567", "F1234567"),
        ("BANK_ACCOUNT", "my account number is 12345678", "12345678"),
        ("DATE_OF_BIRTH", "born on March 3, 1980", "March 3, 1980"),
        ("DATE_OF_BIRTH", "DOB: 03/12/1980", "03/12/1980"),
        ("PHONE_NUMBER", "Call me at (415) 555-2671 tomorrow", "(415) 555-2671"),
        ("PHONE_NUMBER", "+44 20 7946 0958", "+44 20 7946 0958"),
        ("PHONE_NUMBER", "my mobile is 5551234567", "5551234567"),
        ("PHONE_NUMBER", "reach me on 07911 123456", "07911 123456"),
        ("PHONE_NUMBER", "Fax: 259.735.7502x459", "259.735.7502x459"),
        ("PHONE_NUMBER", "Tel. 0041 44 668 18 00", "0041 44 668 18 00"),
        ("STREET_ADDRESS", "I live at 221B Baker Street", "221B Baker Street"),
        ("STREET_ADDRESS", "at 1600 Elm Avenue, Springfield, IL 62704.", "1600 Elm Avenue, Springfield, IL 62704"),
        ("STREET_ADDRESS", "P.O. Box 1234", "P.O. Box 1234"),
        ("STREET_ADDRESS", "send it to 45 elm street", "45 elm street"),
        ("STREET_ADDRESS", "she lives at 12 Lillepi 4", "12 Lillepi 4"),
        ("SECRET", "key AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("SECRET", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
        ("SECRET", f"Authorization: Bearer {JWT}", JWT),
        ("SECRET", KEY, KEY),
        ("SECRET", 'api_key = "f3a9c1d27b6e48059a1c"', "f3a9c1d27b6e48059a1c"),
        ("SECRET", "my password is hunter22", "hunter22"),
        ("SECRET", "postgres://admin:s3cret@db/x", "postgres://admin:s3cret@"),
    ],
)  # fmt: skip
def test_finds(entity, text, value):
    assert (entity, value) in found(text)


@pytest.mark.parametrize(
    ("language", "entity", "text", "value"),
    [
        ("de", "DE_TAX_ID", "Steuer-ID 86095742719", "86095742719"),
        ("de", "DE_SOCIAL_SECURITY", "RVNR 65170839J003", "65170839J003"),
        ("de", "STREET_ADDRESS", "Hauptstraße 5, 10115 Berlin", "Hauptstraße 5"),
        ("de", "DATE_OF_BIRTH", "geboren am 3. März 1980", "3. März 1980"),
        ("de", "PHONE_NUMBER", "Rufen Sie unter Telefon 030 901820 an", "030 901820"),
        ("de", "PERSON", "Herr Müller hat angerufen", "Müller"),
        ("es", "ES_NIF", "DNI 12345678Z", "12345678Z"),
        ("es", "ES_NIE", "NIE X1234567L", "X1234567L"),
        ("es", "STREET_ADDRESS", "Calle Mayor, 12", "Calle Mayor, 12"),
        ("es", "PERSON", "Me llamo José Ruiz", "José Ruiz"),
        ("fr", "STREET_ADDRESS", "12 bis, rue de la Paix", "12 bis, rue de la Paix"),
        ("fr", "PHONE_NUMBER", "tél : 06 12 34 56 78", "06 12 34 56 78"),
        ("it", "IT_FISCAL_CODE", "codice fiscale RSSMRA85T10A562S", "RSSMRA85T10A562S"),
        ("it", "STREET_ADDRESS", "Via Roma 3", "Via Roma 3"),
        ("pl", "PL_PESEL", "PESEL 44051401359", "44051401359"),
        ("pl", "STREET_ADDRESS", "ul. Marszałkowska 12", "ul. Marszałkowska 12"),
        ("fi", "FI_PERSONAL_IDENTITY_CODE", "131052-308T", "131052-308T"),
        ("sv", "SE_PERSONNUMMER", "personnummer 811218-9876", "811218-9876"),
        ("ko", "KR_RRN", "RRN 960121-1234560", "960121-1234560"),
        ("tr", "TR_NATIONAL_ID", "TC Kimlik 10000000146", "10000000146"),
        ("ru", "PERSON", "Иван Петрович Сидоров", "Иван Петрович Сидоров"),
    ],
)
def test_finds_in_other_languages(language, entity, text, value):
    assert (entity, value) in found(text, language)


@pytest.mark.parametrize(
    "text",
    [
        "order NV-204518 shipped",
        "Order 4512 7788 2211 arrived",
        "invoice 2023-11-0045",
        "the years 2019-2020, 1999 2000",
        "$1,299.99 or €1.299,99",
        "ISBN 978-3-16-148410-0",
        "version 1.2.3.4 of the tool, fig. 3.2.1.1",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
        "sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2024-01-31 12:30:45, 31/12/2024 10:00",
        "1500 - 135 - 141 envelopes",
        "120 - 45 - 30 = 45",
        "population 1 234 567",
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
        "scores: 98 87 76 65 54",
        "flight LH 1234 at 10:30",
        "x = 3.14159265358979; y = 0.1234567",
        "tracking number 1Z999AA10123456784",
        "WHERE id = 1234567890 AND t < 1700000000000",
        "lat 52.520008, lon 13.404954",
        "the password is incorrect, reset my password please",
        'token = get_token(1); password = os.environ["X1"]',
        "api_key=<your key here>",
        '@app.route("/index"); react@18.2.0; x @ y',
        "a 10 minute walk down the street, then a 5 hour drive",
        "In 2005 Wall Street crashed",
        "the 3 Amigos way",
        "the first apartment 359.60",
        "I was born in 1980",
        "call 911",
        "Windows 10 Home, Python 3.11.4",
        "4111 1111 1111 1112",
        "DE89 3704 0044 0532 0130 01",
    ],
)
def test_leaves_alone(text):
    assert found(text) == []


@given(st.integers(min_value=10**14, max_value=10**15 - 1))
def test_a_card_number_needs_its_check_digit(body):
    digits = f"4{str(body)[1:]}"
    doubled = [int(digit) * (2 if position % 2 == 0 else 1) for position, digit in enumerate(digits)]
    check = -sum(value - 9 if value > 9 else value for value in doubled) % 10
    assert found(f"pay with {digits}{check} now") == [("CREDIT_CARD", f"{digits}{check}")]
    assert "CREDIT_CARD" not in dict(found(f"pay with {digits}{(check + 1) % 10} now"))
