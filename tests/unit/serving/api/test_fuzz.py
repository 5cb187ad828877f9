"""Requests that nobody would think of, made from the endpoint's own OpenAPI schema.

No 5xx, no answer that is not declared.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.failures import Failure, FailureGroup

from serving import app
from serving.rate_limit import TokenBucketLimiter
from tests import synthetic_lake

# Of each route; 31 routes in ten seconds.
EXAMPLES = 12


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """The schema of a running endpoint, MongoDB and Kafka away.

    Without the stream of events, which never ends.
    """
    folder = tmp_path_factory.mktemp("fuzz") / "lake"
    synthetic_lake.make(folder)
    application = app.create_app(folder, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    state = application.app.state.app_state
    state.event_limit = state.login_limit = TokenBucketLimiter(rate=1e9, burst=10**9)
    # schemathesis starts and ends the application itself.
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", application)
    # A schema cannot say which bytes are a listening history.
    yield schema.exclude(path=["/api/events/stream", "/api/history-import"])


@pytest.mark.slow
def test_every_route_answers_as_its_schema_says(api):
    """Not by schemathesis' own parametrisation, which knows no pytest 9."""
    wrong, tried = [], []
    for operation in (found.ok() for found in api.get_all_operations()):

        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def answers(case):
            case.call_and_validate()

        try:
            answers()
        except (Failure, FailureGroup) as failure:
            wrong.append(f"{operation.label}: {failure}")
        tried.append(operation.label)
    assert len(tried) > 25 and not wrong, "\n\n".join(wrong)
