"""dataset.yaml, the one file a user must write, as a model: every setting, its bounds and its description.

Here: the names that the rest of the house uses. Rooms: one module a group of sections, dataset (all of them), reading
(from the file). Not here: what the stages do with a setting.
"""

from synth_assets.spec.corpus import MAX_SHARE, MIN_SHARE, BudgetSpec, CostSpec, MixSpec, ReviewSpec, StudentSpec
from synth_assets.spec.dataset import DATASET_NAME, DatasetSpec
from synth_assets.spec.fields import FREE_TEXT_TYPES, NUMERIC_TYPES, FieldSpec, FieldType, Role, StrataSpec
from synth_assets.spec.generation import GenerationSpec, ServerSpec, VllmSpec, WatermarkSpec
from synth_assets.spec.quality import JudgeSpec, Level, QualitySpec, VerificationSpec
from synth_assets.spec.reading import MAX_SPEC_BYTES, StrictLoader, json_schema, load_spec, parse_spec, read_yaml
from synth_assets.spec.source import (
    UNKNOWN_LICENSE,
    ConsentBasis,
    ConsentSpec,
    CsvSpec,
    LiabilitySpec,
    SourceSpec,
    check_license,
    spdx_licensing,
)

__all__ = [
    "DATASET_NAME",
    "FREE_TEXT_TYPES",
    "MAX_SHARE",
    "MAX_SPEC_BYTES",
    "MIN_SHARE",
    "NUMERIC_TYPES",
    "UNKNOWN_LICENSE",
    "BudgetSpec",
    "ConsentBasis",
    "ConsentSpec",
    "CostSpec",
    "CsvSpec",
    "DatasetSpec",
    "FieldSpec",
    "FieldType",
    "GenerationSpec",
    "JudgeSpec",
    "Level",
    "LiabilitySpec",
    "MixSpec",
    "QualitySpec",
    "ReviewSpec",
    "Role",
    "ServerSpec",
    "SourceSpec",
    "StrataSpec",
    "StrictLoader",
    "StudentSpec",
    "VerificationSpec",
    "VllmSpec",
    "WatermarkSpec",
    "check_license",
    "json_schema",
    "load_spec",
    "parse_spec",
    "read_yaml",
    "spdx_licensing",
]
