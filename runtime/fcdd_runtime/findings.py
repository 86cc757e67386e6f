"""What was found in a study besides its numbers: one table of all kinds, and how much each of them weighs.

A study is scored, scored with doubts, or not scored. Only what cannot be computed is an error; where a number can be
computed, but may not be the one that is wanted, the study is put to review; all else is a note.
"""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "review", "note"]

SIDES = {"R": "right", "L": "left"}
"""How sentences name a laterality."""


@dataclass(frozen=True)
class Kind:
    """One kind of finding."""

    severity: Severity
    meaning: str
    """What is the case, as a clause."""
    advice: str
    """What to do, as a clause; empty where there is nothing to do."""


@dataclass(frozen=True)
class Finding:
    """A doubt or a note about one study."""

    code: str
    """A key of `KINDS`."""
    sentence: str
    """Names what was found; without patient, date or UID."""

    @property
    def to_review(self) -> bool:
        """Whether a person has to look at the study before its numbers count."""
        return KINDS[self.code].severity == "review"


KINDS: dict[str, Kind] = {
    # Errors: there is no number.
    "nothing-to-read": Kind("error", "the input holds no MR image that can be read", "give a breast MRI study"),
    "damaged": Kind("error", "a slice that is needed cannot be decoded or placed", "export the study again"),
    "limits": Kind(
        "error",
        "reading took more memory or time than any study needs, or ended the process that read",
        "check the files with another viewer",
    ),
    "two-patients": Kind("error", "the files of one study name different patients", "part them by patient"),
    "no-decoder": Kind("error", "the pixels need a decoder that is not there", "install it, or convert the files"),
    "missing-slice": Kind("error", "a slice is missing inside or at the end of a volume", "export the study again"),
    "no-volume": Kind("error", "slices of a phase make no regular volume", "export the study again"),
    "unequal-grids": Kind(
        "error", "the two phases do not lie on one grid", "choose other phases with --pre and --post"
    ),
    "no-pair": Kind("error", "there are no two volumes that could be subtracted", "give the whole study"),
    "mixed-phases": Kind("error", "slices of several times are mixed in one phase", "remove the repeats"),
    "no-such-phase": Kind("error", "a phase that was asked for is not there", "see what there is: fcdd-score --list"),
    "no-image": Kind("error", "nothing is brighter after contrast, or the image has no width", "give other phases"),
    "side-unknown": Kind("error", "nobody can tell which breast is shown", "add Laterality to the headers"),
    "no-reference": Kind("error", "a network of two inputs has nothing to compare with", "give --reference"),
    "no-source": Kind(
        "error", "a result refers to a slice that is not in the study", "score the study that is written"
    ),
    # To review: the number may not be the one that is wanted.
    "contrast-unclear": Kind(
        "review", "it is unclear whether contrast arrived between the two phases", "look at the subtraction"
    ),
    "phases-ambiguous": Kind(
        "review", "other phases could be meant; the likeliest were taken", "choose with --pre and --post"
    ),
    "order-unclear": Kind(
        "review", "attributes contradict each other about the order of phases", "choose with --pre and --post"
    ),
    "pre-missing": Kind("review", "the phase taken as before contrast seems to lie after it", "give the whole study"),
    "post-missing": Kind("review", "the first phase after contrast seems to be missing", "give the whole study"),
    "incomplete": Kind("review", "less has come than the headers promise", "send the study again"),
    "unread-files": Kind("review", "files could not be read, and anything may be in them", "export them again"),
    "repositioned": Kind(
        "review", "the phases have different frames of reference", "check that the patient did not move between them"
    ),
    "repeated-slices": Kind("review", "slices repeat a position and phase; the first was taken", "remove the repeats"),
    "equal-uids": Kind("review", "different slices share one SOP Instance UID", "export the study again"),
    "no-dynamic-t1": Kind("review", "the sequence is no dynamic T1", "give the dynamic series"),
    "not-breast": Kind("review", "the headers name another part of the body", "give a breast study"),
    "ruled-out-chosen": Kind("review", "a person chose a series that is no phase by its headers", "check the choice"),
    "sides-differ": Kind(
        "review", "the breasts are shown in different phases or at different times", "choose alike phases"
    ),
    "not-all-scored": Kind("review", "a volume of the same protocol lies elsewhere and was not scored", "look at it"),
    "side-unclear": Kind("review", "headers and image disagree about which breasts are shown", "check the sides"),
    "no-sternum": Kind("review", "no sternum was found, the image was halved", "check the two images"),
    "no-skin": Kind("review", "the skin of a breast was not found, its image was not cropped", "look at the image"),
    "air-enhances": Kind("review", "air beside a breast enhances; its image was not cropped", "look at the image"),
    "no-breast": Kind("review", "one side of the field of view shows no breast", "check that there is none"),
    "no-enhancement": Kind("review", "a breast hardly enhances", "look at the subtraction"),
    "oblique": Kind("review", "the acquisition is turned against the patient's axes", "compare with the MIP"),
    "patient-unclear": Kind(
        "review", "patient's names differ in spelling, or files name no patient", "check whose images they are"
    ),
    "blank-slices": Kind(
        "review", "slices hold one value in many rows or all, as damaged files do", "look at the slices"
    ),
    "supine": Kind("review", "the patient did not lie prone", "score prone examinations"),
    "unlike-verified": Kind(
        "review", "grey values are unlike those that the model was verified on", "check the recipe"
    ),
    # Notes.
    "copied-slices": Kind("note", "files are there twice; copies were left out", ""),
    "lossy": Kind("note", "the images were, or may have been, compressed with loss", ""),
    "two-slabs": Kind("note", "one series shows both breasts with a gap between them", ""),
    "absent-number": Kind("note", "some slices lack a number that tells phases apart; another told them apart", ""),
    "instance-number": Kind("note", "nothing but InstanceNumber told the phases apart", ""),
    "other-order": Kind("note", "an attribute that follows the reconstruction orders the phases otherwise", ""),
    "several-before": Kind("note", "several phases lie before contrast; the last was taken", ""),
    "passed-over": Kind("note", "a phase with a beginning uptake, or motion, was passed over", ""),
    "says-contrast": Kind("note", "the description of the phase before contrast names a contrast agent", ""),
    "not-used": Kind("note", "another volume at the same place was not used", ""),
    "interpolated": Kind("note", "a phase was interpolated onto the grid of the other", ""),
    "jitter": Kind("note", "the phases' positions differ a little", ""),
    "one-breast": Kind("note", "one side of the field of view shows no breast, as the headers say", ""),
    "not-cut": Kind("note", "the image of one breast is not cut behind the chest wall", ""),
}
"""By code."""
