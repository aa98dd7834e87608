"""The model card: what the manifest knows, for a person who decides whether to trust the model."""

from netmote.models.manifest import Agreement, Manifest


def model_card(manifest: Manifest, *, size: int) -> str:
    """Markdown; derived from the manifest alone, so that the two cannot disagree. `size`: bytes of the model file."""
    schema, training = manifest.feature_schema, manifest.training
    return "\n".join(
        [
            f"# {manifest.name} {manifest.version}",
            "",
            manifest.description,
            "",
            (
                f"- Input: {len(schema.features)} features of schema `{schema.name}` version {schema.version}, "
                f"windows of {schema.window_seconds:g} s every {schema.hop_seconds:g} s (hash `{schema.hash[:16]}`)."
            ),
            (
                "- Output: one score per window and the part of each feature in it; high is anomalous. "
                "The score has no threshold: each sensor calibrates it on its own traffic."
            ),
            (
                f"- Model file: {size:,} bytes, weights {manifest.quantisation.kind} ({manifest.quantisation.reason}), "
                f"ONNX opset {manifest.opset}."
            ),
            f"- Licence: {manifest.licence}. Made with {', '.join(f'{k} {v}' for k, v in manifest.libraries.items())}.",
            "",
            "## Trained on",
            "",
            (
                f"{training.windows_train:,} windows; {training.windows_validation:,} validated, {training.windows_calibration:,} calibrated, "
                f"{training.windows_test:,} tested. Split by time and by capture, never shuffled. Seed {training.seed}, "
                f"{training.epochs} epochs, data `{training.data_sha256[:16]}`."
            ),
            "",
            "| source | windows |",
            "| --- | ---: |",
            *(f"| {source} | {count:,} |" for source, count in training.sources.items()),
            "",
            f"{len(training.excluded):,} captures were left out, each with its reason in the manifest.",
            "",
            "## Measured on windows that trained nothing",
            "",
            "Threshold for the two rates: the 99 % quantile of the calibration windows.",
            "",
            "| attack | windows | AUC | robust z | random | true positives | false positives |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *(
                f"| {family} | {one.windows_attack:,} of {one.windows_attack + one.windows_benign:,} | {one.auc:.3f} | "
                f"{one.auc_robust_z:.3f} | {one.auc_random:.3f} | {one.true_positive_rate:.1%} | {one.false_positive_rate:.1%} |"
                for family, one in manifest.evaluation.items()
            ),
            "",
            "## Quantisation",
            "",
            *_gate("recorded windows", manifest.quantisation.recorded),
            *_gate("windows with injected extremes", manifest.quantisation.injected_extremes),
            *(f"- {kind} was refused: {reason}." for kind, reason in manifest.quantisation.refused.items()),
            "",
            "## Where it fails",
            "",
            *(f"- {limit}" for limit in manifest.known_limits),
            "",
        ]
    )


def _gate(where: str, one: Agreement | None) -> list[str]:
    if one is None:
        return []
    return [
        (
            f"- Against float32 on {one.windows:,} {where}: rank correlation {one.spearman:.4f}, alert agreement "
            f"{one.alert_agreement:.4f}, same top feature {one.same_top_contributor:.3f}, change with the batch {one.batch_invariance:.1e}."
        )
    ]
