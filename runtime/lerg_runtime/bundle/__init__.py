"""The bundle format: reading and writing it. `docs/bundle-format.md` is its specification."""

from __future__ import annotations

from lerg_runtime.bundle._added import AddedItems
from lerg_runtime.bundle._csr import InteractionRows
from lerg_runtime.bundle._entities import Entities
from lerg_runtime.bundle._features import FeatureColumn, FeatureMap
from lerg_runtime.bundle._files import new_folder
from lerg_runtime.bundle._history import History
from lerg_runtime.bundle._ids import IdMap, IntegerIds, TextIds, ids_from_values
from lerg_runtime.bundle._manifest import FORMAT, VERSION, FineTuneDefaults, Manifest
from lerg_runtime.bundle._packing import pack, unpack
from lerg_runtime.bundle._personal_manifest import PersonalManifest
from lerg_runtime.bundle._personal_writer import write_personal_bundle
from lerg_runtime.bundle._programs import ProgramSpec, TensorSpec
from lerg_runtime.bundle._reader import BundleFolder
from lerg_runtime.bundle._shape import ModelShape
from lerg_runtime.bundle._state import State, save_state
from lerg_runtime.bundle._trust import Trust
from lerg_runtime.bundle._ways import HistoryRule, ServingWays
from lerg_runtime.bundle._writer import check_replaceable, copy_bundle, write_bundle

__all__ = [
    "FORMAT",
    "VERSION",
    "AddedItems",
    "BundleFolder",
    "Entities",
    "FeatureColumn",
    "FeatureMap",
    "FineTuneDefaults",
    "History",
    "HistoryRule",
    "IdMap",
    "IntegerIds",
    "InteractionRows",
    "Manifest",
    "ModelShape",
    "PersonalManifest",
    "ProgramSpec",
    "ServingWays",
    "State",
    "TensorSpec",
    "TextIds",
    "Trust",
    "check_replaceable",
    "copy_bundle",
    "ids_from_values",
    "new_folder",
    "pack",
    "save_state",
    "unpack",
    "write_bundle",
    "write_personal_bundle",
]
