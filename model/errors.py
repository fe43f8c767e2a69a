"""All errors of the model's runtime.

::

    ModelError
    ├── CheckpointError               a checkpoint folder cannot be used; it is refused whole
    │   ├── CheckpointMissing         the folder or one of its files is not there
    │   ├── CheckpointDamaged         a file does not have the content its manifest states
    │   ├── CheckpointIncompatible    readable, but not for this version of the program
    │   └── CheckpointOccupied        a folder that holds other things is not written over
    ├── SentenceEncoderError          note sentences cannot be embedded
    │   ├── SentenceEncoderMissing    the weights are not installed
    │   ├── SentenceEncoderDamaged    the weights are not the ones the model was trained with
    │   └── SentenceEncoderUnsupported  a folder whose encoder cannot be exported
    └── RecordError                   the record breaks a rule of model/record.py

Messages name the file and the expectation, and hold no patient data beyond ids.
"""

from __future__ import annotations


class ModelError(Exception):
    """The model cannot be loaded or cannot answer."""


class CheckpointError(ModelError):
    """A checkpoint folder cannot be used."""


class CheckpointMissing(CheckpointError):
    """The folder or one of its files is not there."""


class CheckpointDamaged(CheckpointError):
    """A file does not have the content that its manifest states."""


class CheckpointIncompatible(CheckpointError):
    """The checkpoint is intact, but made for another version of this program."""


class CheckpointOccupied(CheckpointError):
    """The folder holds what is not a checkpoint's, and is not written over."""


class SentenceEncoderError(ModelError):
    """Note sentences cannot be embedded."""


class SentenceEncoderMissing(SentenceEncoderError):
    """The weights of the sentence encoder are not installed."""


class SentenceEncoderDamaged(SentenceEncoderError):
    """The weights are not the ones that the model was trained with."""


class SentenceEncoderUnsupported(SentenceEncoderError):
    """The folder does not hold an encoder that can be exported and served."""


class RecordError(ModelError):
    """The record breaks a rule of model/record.py."""
