"""The tree of errors that workers raise on purpose; anything else is a defect.

UmiakError
├── ConfigError          a config, endpoint map or credential file is wrong: names the file, the field, the fix
├── MessageError         bytes from a wire are not what the contract says
├── IdentityError        a token is missing, forged or not allowed to do this
├── ArtefactError        a model folder is incomplete, altered or does not fit its card
├── ReleaseError         a release is unsigned, signed by a stranger, out of order or for another line
├── InvalidInput         a photo or tensor from outside cannot be used (4xx, the worker lives on)
├── InvalidPrediction    a model answered non-finite or mis-shaped numbers
├── Refused              the other side said no (4xx): asking the same again is pointless
└── Unavailable          the other side is away or too slow; trying again later is right
"""


class UmiakError(Exception):
    """Base of every error that Umiak raises on purpose; its text is one line for a person."""


class ConfigError(UmiakError):
    """A config, endpoint map or credential is wrong; the text names the file, the field and the fix."""


class MessageError(UmiakError):
    """Bytes received do not follow the wire format."""


class IdentityError(UmiakError):
    """The caller did not prove who it is, or is not allowed to do this."""


class ArtefactError(UmiakError):
    """A model artefact is incomplete, altered or inconsistent."""


class ReleaseError(UmiakError):
    """A release record must not be trusted or does not apply here."""


class InvalidInput(UmiakError):
    """Input from outside cannot be used; the caller gets a 4xx and nothing changes."""


class InvalidPrediction(UmiakError):
    """A model's output is not finite or has the wrong shape."""


class Refused(UmiakError):
    """The other side answered 4xx; `status` is the HTTP status and the text is what it said."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Unavailable(UmiakError):
    """The other side did not answer in time; the work is kept and tried again."""
