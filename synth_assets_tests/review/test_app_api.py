"""The app's API against its own description, by schemathesis."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from synth_assets_tests.models import REQUIRE_VARIABLE
from synth_assets_tests.review_apps import HOST, make_site

_MISSING = "" if find_spec("schemathesis") else "needs pip package schemathesis"
if _MISSING and os.environ.get(REQUIRE_VARIABLE) == "1":
    raise RuntimeError(f"{REQUIRE_VARIABLE}=1, but {_MISSING}")


@pytest.mark.skipif(bool(_MISSING), reason=_MISSING)
def test_no_request_gets_an_answer_that_the_description_does_not_allow(tmp_path: Path) -> None:
    import schemathesis
    from hypothesis import HealthCheck, given, settings
    from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

    site = make_site(tmp_path, n=50)
    ada = site.sign_in("Ada")
    cookie = f"{site.settings.cookie}={ada.client.cookies[site.settings.cookie]}"
    headers = {"Accept": "application/json", "cookie": cookie, "x-csrf-token": ada.csrf, "host": HOST}
    schema = schemathesis.openapi.from_asgi("/openapi.json", site.app, headers=headers)
    operations = [one.ok() for one in schema.get_all_operations()]
    assert len(operations) == 7

    # what is refused depends on the review's state, which the description cannot hold; the session is always sent
    left_out = [positive_data_acceptance, negative_data_rejection, ignored_auth]
    seen: set[int] = set()
    for operation in operations:
        strategy = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE) | operation.as_strategy()

        @given(strategy)
        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def hold(case: schemathesis.Case) -> None:
            seen.add(case.call_and_validate(headers=headers, excluded_checks=left_out).status_code)

        hold()
    assert {200, 400, 404, 422} <= seen
    assert 401 not in seen
    assert all(example.startswith("e0") for example, *_ in site.decisions())
