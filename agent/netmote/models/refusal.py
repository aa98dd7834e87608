"""Why a model bundle is not used: one named reason each, shown in `netmote models list`, in status and in metrics."""

from enum import StrEnum

from netmote.errors import NetmoteError


class Refusal(StrEnum):
    """The reasons."""

    MISSING_FILE = "missing-file"
    UNEXPECTED_FILE = "unexpected-file"  # something lies in the bundle that is none of its files, such as a pickle
    NOT_A_FILE = "not-a-file"  # a link, a device, a directory where a regular file belongs
    OVERSIZED = "oversized"
    CHECKSUM = "checksum"
    UNSIGNED = "unsigned"
    BAD_SIGNATURE = "bad-signature"  # it does not fit the manifest, or is none
    UNTRUSTED_KEY = "untrusted-key"
    MANIFEST = "manifest"
    SCHEMA = "schema"  # made for features that this version does not compute
    NOT_ONNX = "not-onnx"
    IR_VERSION = "ir-version"
    OPSET = "opset"
    OPERATOR = "operator"
    EXTERNAL_DATA = "external-data"
    INTERFACE = "inputs-outputs"  # not those of a detector
    RUNTIME = "runtime"  # the runtime cannot load or run it
    NOT_FINITE = "not-finite"  # answers NaN or infinity
    GOLDEN = "golden-vectors"  # answers differ from those at its making
    SLOW = "slow"


class BundleRefused(NetmoteError):
    """This bundle is not used; the others are."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
