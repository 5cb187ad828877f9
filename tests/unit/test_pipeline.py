"""The declaration of the steps agrees with their modules and with the tables."""

import importlib

import pytest

from jobs import pipeline
from jobs.lake import schemas

TABLES = {table.name for table in schemas.TABLES}


@pytest.mark.parametrize("step", pipeline.STEPS, ids=lambda step: step.name)
def test_step_names_a_module_and_existing_tables(step):
    assert callable(importlib.import_module(f"jobs.steps.{step.name}").main)
    assert {*step.reads, *step.writes} <= TABLES | {*pipeline.OTHER_STORES}


def test_step_reads_what_an_earlier_step_wrote():
    """PLAYS comes from the stream, FMA_METADATA from an import; the music is there."""
    written = {"MUSIC", "PLAYS", "FMA_METADATA"}
    for step in pipeline.STEPS:
        assert {*step.reads} <= written, step.name
        written |= {*step.writes}


def test_ingest_and_train_are_all_steps_in_order():
    assert (*pipeline.INGEST, *pipeline.TRAIN) == tuple(step.name for step in pipeline.STEPS)
