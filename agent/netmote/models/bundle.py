"""A model bundle read from its directory: every byte that will be used is bounded, regular, and verified first.

    <name>/<version>/ model.onnx  golden.npz  MODEL_CARD.md  manifest.yaml  manifest.sig

Reads each file once and keeps the bytes: what was verified is what is used. Knows no runtime.
"""

import hashlib
import io
import os
import stat
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netmote.models.manifest import (
    CARD_FILE,
    GOLDEN_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Manifest,
    content_hash,
    read_manifest,
)
from netmote.models.onnx_graph import Graph, read_graph
from netmote.models.refusal import BundleRefused, Refusal
from netmote.models.signature import SIGNATURE_FILE, TrustedKeys, verify_manifest
from netmote.windows.schema import FeatureSchema

# Bytes. A detector for an edge sensor is kilobytes; megabytes are a mistake or an attack.
MOST_BYTES = {MODEL_FILE: 2**20, GOLDEN_FILE: 2**18, CARD_FILE: 2**16, MANIFEST_FILE: 2**16}
_MOST_SIGNATURE_BYTES = 256
INPUT, SCORE, CONTRIBUTION = "features", "score", "contribution"


@dataclass(frozen=True, slots=True, eq=False)
class Golden:
    """Inputs with the answers at the making of the bundle."""

    features: NDArray[np.float32]  # (rows, features)
    score: NDArray[np.float32]  # (rows,)
    contribution: NDArray[np.float32]  # (rows, features)


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A verified bundle: its manifest, the model's bytes and its graph, bound to a feature schema."""

    manifest: Manifest
    schema: FeatureSchema
    model: bytes
    graph: Graph
    golden: Golden
    size: int  # bytes of all files
    signed_by: (
        str | None
    )  # id of the trusted key that vouches for it; None: nobody was asked, or it is unsigned and that is allowed

    @property
    def content_hash(self) -> str:
        return content_hash(self.manifest)


def read_bundle(
    directory: Path, *, schemas: Iterable[FeatureSchema], trusted: TrustedKeys | None = None, allow_unsigned: bool = False
) -> Bundle:
    """Read and verify. Raises BundleRefused with the first reason found; never runs anything of the bundle.

    `trusted`: whose signature counts; None asks for none (a bundle that is part of the package). `allow_unsigned` lets a bundle
    without a signature pass; one whose signature is wrong, or of a stranger, never does.
    """
    _require_files(directory)
    documents = {name: _read(directory / name, most) for name, most in MOST_BYTES.items()}
    signed_by = None
    if trusted is not None:
        # First of all: nothing of a stranger's bundle is parsed.
        signed_by = _signer(directory, documents[MANIFEST_FILE], trusted, allow_unsigned=allow_unsigned)
    manifest = read_manifest(documents[MANIFEST_FILE])
    for name in (MODEL_FILE, GOLDEN_FILE, CARD_FILE):
        entry = manifest.files.get(name)
        if entry is None:
            raise BundleRefused(Refusal.MANIFEST, f"files.{name} is missing")
        if len(documents[name]) != entry.size or hashlib.sha256(documents[name]).hexdigest() != entry.sha256:
            raise BundleRefused(Refusal.CHECKSUM, f"{name} is not the file of the manifest")
    schema = _schema(manifest, schemas)
    graph = read_graph(documents[MODEL_FILE])
    if (graph.opset, graph.ir_version) != (manifest.opset, manifest.ir_version):
        raise BundleRefused(Refusal.OPSET, f"the manifest says opset {manifest.opset}, the model has {graph.opset}")
    if graph.metadata.get("schema_hash") != schema.hash:
        raise BundleRefused(Refusal.SCHEMA, "the model itself names another feature schema than the manifest")
    if graph.inputs != (INPUT,) or graph.outputs != (SCORE, CONTRIBUTION):
        raise BundleRefused(Refusal.INTERFACE, f"inputs {graph.inputs} and outputs {graph.outputs}")
    return Bundle(
        manifest=manifest,
        schema=schema,
        model=documents[MODEL_FILE],
        graph=graph,
        golden=_golden(documents[GOLDEN_FILE], len(schema)),
        size=sum(map(len, documents.values())),
        signed_by=signed_by,
    )


def _signer(directory: Path, manifest: bytes, trusted: TrustedKeys, *, allow_unsigned: bool) -> str | None:
    path = directory / SIGNATURE_FILE
    if not os.path.lexists(path):
        if allow_unsigned:
            return None
        raise BundleRefused(Refusal.UNSIGNED, f"{path} is not there: `netmote models sign`, or models.allow_unsigned: true")
    return verify_manifest(manifest, _read(path, _MOST_SIGNATURE_BYTES), trusted)


def _require_files(directory: Path) -> None:
    try:
        names = {path.name for path in directory.iterdir()}
    except OSError as error:
        raise BundleRefused(Refusal.MISSING_FILE, f"{directory}: {error.strerror}") from error
    foreign, missing = sorted(names - {*MOST_BYTES, SIGNATURE_FILE}), sorted(set(MOST_BYTES) - names)
    if foreign:
        raise BundleRefused(Refusal.UNEXPECTED_FILE, f"{foreign[0]!r} is none of the files of a bundle")
    if missing:
        raise BundleRefused(Refusal.MISSING_FILE, f"{directory / missing[0]} is not there")


def _read(path: Path, most: int) -> bytes:
    try:
        # O_NOFOLLOW and O_NONBLOCK: neither a link out of the bundle nor a pipe may be read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BundleRefused(Refusal.NOT_A_FILE, f"{path}: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BundleRefused(Refusal.NOT_A_FILE, f"{path} is not a regular file")
        document = file.read(most + 1)
    if len(document) > most:
        raise BundleRefused(Refusal.OVERSIZED, f"{path} has more than {most:,} bytes")
    return document


def _schema(manifest: Manifest, schemas: Iterable[FeatureSchema]) -> FeatureSchema:
    wanted = manifest.feature_schema
    for schema in schemas:
        if schema.hash == wanted.hash:
            if schema.names != wanted.features:
                raise BundleRefused(Refusal.SCHEMA, "the manifest lists other features than its schema hash stands for")
            return schema
    raise BundleRefused(
        Refusal.SCHEMA, f"made for {wanted.name} version {wanted.version} ({wanted.hash[:12]}), which is not computed here"
    )


def _golden(document: bytes, features: int) -> Golden:
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES[GOLDEN_FILE]:
                raise BundleRefused(Refusal.OVERSIZED, f"{GOLDEN_FILE} unpacks to more than {MOST_BYTES[GOLDEN_FILE]:,} bytes")
        with np.load(io.BytesIO(document), allow_pickle=False) as stored:
            golden = Golden(*(np.asarray(stored[name], np.float32) for name in (INPUT, SCORE, CONTRIBUTION)))
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError) as error:
        raise BundleRefused(Refusal.GOLDEN, f"{GOLDEN_FILE} cannot be read: {error}") from error
    rows = len(golden.score)
    if not rows or golden.features.shape != (rows, features) or golden.contribution.shape != (rows, features):
        raise BundleRefused(Refusal.GOLDEN, f"{GOLDEN_FILE} has shapes {golden.features.shape} and {golden.score.shape}")
    return golden
