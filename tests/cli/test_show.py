"""fundusd show and fundusd report exam, from the camera's file to the page."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from pypdf import PdfReader
from tests import daemon_cases, imaging_cases
from tests import ledger_cases as cases

from fundusd import cli
from fundusd.domain.clinical_terms import SAFETY_WORDS, Eye, EyeSource, Reason
from fundusd.domain.decoding import Content, MediaType, Preprocessing
from fundusd.domain.files import Stat
from fundusd.imaging.limits import Limits
from fundusd.ledger import Ledger, Source
from fundusd.reports.photographs import photographs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fundusd.ledger import Finding

RETINA = imaging_cases.retina(640, 600)
JPEG = imaging_cases.encode(RETINA, "JPEG")
OTHER_JPEG = imaging_cases.encode(RETINA, "JPEG", quality=60)
BURNED = imaging_cases.jpeg_dicom(RETINA, BurnedInAnnotation="YES")
CONTENT = Content(MediaType.JPEG, 640, 600, patient_id="PATIENT-7")
OF_CAPTIONED = replace(CONTENT, warnings=("text_in_surround",))
# in a file whose name says OS
OF_SWAPPED = replace(CONTENT, warnings=("turned",), measures=cases.RIGHT_EYE)
OF_TURNED = replace(CONTENT, warnings=("turned",))
SWAPPED = "he optic disc lies on the side of the other eye: check that the eyes were not swapped."
SENTENCE = f"T{SWAPPED}"
OF_BURNED = replace(CONTENT, media_type=MediaType.DICOM, warnings=("burned_in_annotation",))
SEVERE = (0.0, 0.0, 0.0, 5.0, 0.0)


@dataclass
class Clinic:
    """A site whose captures got results without a daemon."""

    place: daemon_cases.Site
    ledger: Ledger

    def add(
        self,
        name: str,
        data: bytes = JPEG,
        content: Content | None = CONTENT,
        reason: Reason | None = None,
    ) -> int:
        """Put a file into the inbox and record a result for it; return the capture's number."""
        status = daemon_cases.drop(self.place, name, data).stat()
        stat = Stat(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        file = replace(
            cases.found(name), camera_id="room1", stat=stat, digest=hashlib.sha256(data).hexdigest()
        )
        self.ledger.admit(file)
        self.ledger.record(
            [self._finding(claim, content, reason) for claim in self.ledger.claim(1)]
        )
        return int(cases.captures(self.ledger)[-1]["id"])

    @staticmethod
    def _finding(claim: object, content: Content | None, reason: Reason | None) -> Finding:
        if reason is not None:
            return cases.refusal(claim, reason, content)  # type: ignore[arg-type]
        return cases.finding(claim, content, SEVERE)  # type: ignore[arg-type]


@pytest.fixture
def clinic(tmp_path: Path, sqlite_url: str) -> Iterator[Clinic]:
    place = daemon_cases.site(tmp_path, sqlite_url)
    ledger = Ledger(f"sqlite:///{place.folder}/fundusd.db", site_key=cases.SITE_KEY)
    ledger.start(cases.release())
    ledger.register_camera("room1")
    yield Clinic(place, ledger)
    ledger.close()


@pytest.fixture
def fundusd(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Return a function that types a command, checks its exit status and returns its output."""
    monkeypatch.setenv("COLUMNS", "200")

    def typed(*words: object, code: int = 0) -> str:
        line = ["fundusd", *map(str, words), "--config", str(clinic.place.path)]
        monkeypatch.setattr("sys.argv", line)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        assert ended.value.code == code, printed.err
        return " ".join((printed.out + printed.err).split())

    return typed


def read(file: Path) -> tuple[str, int]:
    """Return the words of the pages of a file, and how many pictures are on them."""
    pages = PdfReader(file).pages
    words = " ".join(page.extract_text() for page in pages).split()
    # the pages of a file share their pictures
    return " ".join(words), len({image.name for page in pages for image in page.images})


def test_a_capture_is_told_of_in_words(fundusd: Callable[..., str], clinic: Clinic) -> None:
    text = fundusd("show", clinic.add("a_OD.jpg"))
    for part in (
        *(
            "Right eye (OD)",
            "The model suggests: referable. Severe DR (ICDR grade 3)",
            "Good enough to grade",
            "PATIENT-7",
            "score 0.",
        ),
        *("Have a human reader look at it", "not MedSigLIP's", "Release 1", SAFETY_WORDS),
    ):
        assert part in text


def test_a2_the_field_of_a_capture_is_shown_and_a_conflict_explained(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    assert "field not known" in fundusd("show", clinic.add("a_OD.jpg"))
    of_disc = clinic.add("b_OD.dcm", OTHER_JPEG, replace(CONTENT, field="disc"))
    page = tmp_path / "page.pdf"
    fundusd("show", of_disc, "--out", page)
    assert "optic disc" in read(page)[0]
    conflict = replace(CONTENT, field="disc", measures=cases.RIGHT_EYE | {"optic_disc_lead": 0.6})
    text = fundusd("show", clinic.add("c_OD.dcm", BURNED, conflict))
    assert "field not known" in text
    assert "check whether this is the macula or the optic disc" in text


def test_a_capture_is_told_of_in_json(fundusd: Callable[..., str], clinic: Clinic) -> None:
    answer = json.loads(fundusd("show", clinic.add("a_OD.jpg"), "--json"))
    assert (answer["eye"], answer["grade"], answer["notice"]) == ("R", 3, SAFETY_WORDS)
    assert answer["next"]
    assert "not MedSigLIP" in answer["warning"]


def test_the_warnings_of_a_capture_are_shown_in_words_and_as_codes(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    doubtful = clinic.add("a_OS.jpg", content=OF_SWAPPED)
    turned = clinic.add("b_OD.jpg", OTHER_JPEG, OF_TURNED)
    assert f"warning {SENTENCE}" in fundusd("show", doubtful)
    assert "warning" not in fundusd("show", turned)

    answer = json.loads(fundusd("show", doubtful, "--json"))
    assert answer["warnings"] == "turned, eye_contradicted"
    (sentence,) = answer["warnings_in_words"]
    assert sentence == SENTENCE
    answer = json.loads(fundusd("show", turned, "--json"))
    assert (answer["warnings"], answer["warnings_in_words"]) == ("turned", [])

    fundusd("show", doubtful, "--out", tmp_path / "card.pdf")
    assert f"WARNING {SENTENCE}" in read(tmp_path / "card.pdf")[0]


def test_an_exam_shows_the_warnings_of_all_captures_of_each_eye(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    clinic.add("a_OS.jpg", content=OF_SWAPPED)
    clinic.add("b_OS.jpg", JPEG + b"\0", replace(OF_SWAPPED, warnings=("grey",)))
    clinic.add("c_OD.jpg", OTHER_JPEG, OF_CAPTIONED)
    printed = fundusd("report", "exam", 1)
    fundusd("report", "exam", 1, "--pdf", tmp_path / "exam.pdf")
    text, _ = read(tmp_path / "exam.pdf")
    of_left, of_right = f"Captures 1, 2: t{SWAPPED}", "Capture 3: there is text beside the retina"
    assert of_left in printed
    assert of_right in printed
    assert f"Left eye (OS): {of_left}" in text
    assert f"Right eye (OD): {of_right}" in text
    assert "Capture 2: the picture has no colours." in printed
    assert "Other warnings: 1; see fundusd report exam." in text
    assert printed.index("Capture 3:") < printed.index("Left eye (OS)") < printed.index(SWAPPED)


def test_results_mark_the_captures_whose_warnings_concern_the_reader(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    clinic.add("b_OD.jpg", OTHER_JPEG, OF_TURNED)
    printed = fundusd("results")
    assert "!" not in printed
    clinic.add("a_OS.jpg", content=OF_SWAPPED)
    printed = fundusd("results")
    assert " 2 ! 20" in printed
    assert " 1 20" in printed
    assert "! There is a warning; fundusd show CAPTURE prints it." in printed
    rows, _ = json.JSONDecoder().raw_decode(fundusd("results", "--json"))  # a warning follows
    assert [row["warnings"] for row in rows] == ["turned, eye_contradicted", "turned"]


@pytest.mark.parametrize(
    ("reason", "parts"),
    [
        (
            Reason.TOO_DARK,
            [
                "Undecided. No grade",
                "Ungradable: too dark",
                "Take the photograph of the left eye again",
            ],
        ),
        (Reason.NOT_RETINA, ["Undecided", "Not graded: no colour retina in the picture"]),
    ],
)
def test_a_capture_without_a_grade_is_told_of_with_what_to_do(
    fundusd: Callable[..., str], clinic: Clinic, reason: Reason, parts: Sequence[str]
) -> None:
    text = fundusd("show", clinic.add("a_OS.jpg", reason=reason))
    for part in parts:
        assert part in text
    assert "The scores are not MedSigLIP's" in text


def test_a_capture_that_waits_or_whose_eye_is_disputed_is_told_of(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    disputed = clinic.add(
        "a_OD.jpg", content=replace(CONTENT, eye=Eye.LEFT, eye_source=EyeSource.IMAGE_LATERALITY)
    )
    clinic.ledger.admit(replace(cases.found("b.jpg", "b"), camera_id="room1"))
    assert "the sources disagree" in fundusd("show", disputed)
    text = fundusd("show", disputed + 1)
    for part in ("Not known yet: the capture is queued", "Wait for its result.", "none yet"):
        assert part in text


def test_in_a_pipe_no_line_is_filled_up_with_spaces(clinic: Clinic) -> None:
    clinic.add("a_OD.jpg")
    clinic.add("a_OS.jpg", JPEG + b"\0", reason=Reason.TOO_BRIGHT)
    for words in (["show", "1"], ["show", "2"], ["report", "exam", "1"]):
        command = [sys.executable, "-m", "fundusd", *words, "--config", str(clinic.place.path)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        lines = ended.stdout.splitlines()
        assert len(lines) > 10
        assert [line for line in lines if line != line.rstrip()] == []
        assert any(line.startswith("  next") for line in lines)


def test_a_file_that_is_no_photograph_of_anybody_is_shown_without_an_exam(
    fundusd: Callable[..., str], clinic: Clinic
) -> None:
    clinic.ledger.admit(replace(cases.found("x1.jpg", "x1"), camera_id="room1"))
    [claim] = clinic.ledger.claim(1)
    clinic.ledger.fail(claim, Reason.UNKNOWN_FORMAT, "unknown_format at attempt 1")
    text = fundusd("show", 1)
    for part in ("unknown format", "Contact IT", "It belongs to no exam", "Exam none"):
        assert part in text
    assert "Find out" not in text
    assert "see the exam" not in text
    refused = fundusd("correct", "exclude", "1", "--reason", "other", "--reader", "okafor", code=2)
    assert "belongs to no exam" in refused


def test_a_capture_is_drawn_with_its_photograph_and_without_its_path(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    number = clinic.add("SECRET_OD.jpg")
    fundusd("show", number, "--out", tmp_path / "card.pdf")
    text, pictures = read(tmp_path / "card.pdf")
    for part in ("Right eye (OD)", "REFERABLE", "As the model saw it", "room1", SAFETY_WORDS):
        assert part in text
    assert "SECRET" not in text
    assert pictures == 1


def test_a_visit_is_reported_in_words_or_as_a_page(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    clinic.add("a_OD.jpg")
    clinic.add("a_OS.jpg", JPEG + b"\0", reason=Reason.TOO_BRIGHT)
    printed = fundusd("report", "exam", 1)
    fundusd("report", "exam", 1, "--pdf", tmp_path / "exam.pdf")
    text, pictures = read(tmp_path / "exam.pdf")
    for part in (
        "The model suggests: referable diabetic retinopathy",
        "PATIENT-7",
        "Ungradable: too bright",
        "Left eye (OS)",
        SAFETY_WORDS,
    ):
        assert part in printed
        assert part in text
    assert pictures == 4  # large on the first page, small in the list of all


@pytest.mark.parametrize(
    ("name", "data", "content"),
    [("a_OD.dcm", BURNED, OF_BURNED), ("a_OD.jpeg", OTHER_JPEG, OF_CAPTIONED)],
    ids=["by the header", "by the pixels"],
)
def test_text_burned_into_a_picture_keeps_it_from_every_page_its_twin_too(
    fundusd: Callable[..., str],
    clinic: Clinic,
    tmp_path: Path,
    name: str,
    data: bytes,
    content: Content,
) -> None:
    clinic.add("a_OD.jpg")
    flagged = clinic.add(name, data, content)
    for command in (
        ("show", 1, "--out"),
        ("show", flagged, "--out"),
        ("report", "exam", 1, "--pdf"),
    ):
        fundusd(*command, tmp_path / "page.pdf")
        text, pictures = read(tmp_path / "page.pdf")
        assert "text is burned into the picture" in text
        assert pictures == 0


def test_text_burned_into_a_file_without_a_result_keeps_its_twin_from_every_page(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    clinic.add("a_OD.jpg")

    def pictures_on_its_page() -> int:
        fundusd("show", 1, "--out", tmp_path / "page.pdf")
        return read(tmp_path / "page.pdf")[1]

    file = replace(cases.found("a_OD.dcm", "cut short"), camera_id="room1")
    clinic.ledger.admit(file)
    assert pictures_on_its_page() == 1
    (claim,) = clinic.ledger.claim(1)
    assert clinic.ledger.postpone(claim, Reason.TRUNCATED, "cut short", 0.0, OF_BURNED)
    assert pictures_on_its_page() == 0
    (claim,) = clinic.ledger.claim(1)
    assert clinic.ledger.fail(claim, Reason.TRUNCATED, "cut short", OF_BURNED)
    assert pictures_on_its_page() == 0
    assert clinic.ledger.verify().broken_seq is None
    assert cases.captures(clinic.ledger)[-1]["warnings"] == '["burned_in_annotation"]'


def test_a_file_that_is_gone_or_another_one_by_now_leaves_a_sentence(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    number = clinic.add("a_OD.jpg")
    (clinic.place.inbox / "a_OD.jpg").write_bytes(JPEG + b"more")
    fundusd("show", number, "--out", tmp_path / "changed.pdf")
    (clinic.place.inbox / "a_OD.jpg").unlink()
    fundusd("report", "exam", 1, "--pdf", tmp_path / "gone.pdf")
    assert "a different file has this name now" in read(tmp_path / "changed.pdf")[0]
    text, pictures = read(tmp_path / "gone.pdf")
    assert "the file is no longer in the camera's folder" in text
    assert pictures == 0


def test_what_is_not_there_or_cannot_be_drawn_is_a_usage_error(
    fundusd: Callable[..., str], clinic: Clinic, tmp_path: Path
) -> None:
    number = clinic.add("a_OD.jpg")
    inbox = clinic.place.inbox
    assert "there is no capture 99" in fundusd("show", 99, code=2)
    assert "there is no exam 99" in fundusd("report", "exam", 99, code=2)
    assert "must end in .png" in fundusd("show", number, "--out", tmp_path / "card.gif", code=2)
    assert "must end in .pdf" in fundusd(
        "report", "exam", 1, "--pdf", tmp_path / "exam.png", code=2
    )
    assert "inbox of camera room1" in fundusd("show", number, "--out", inbox / "card.png", code=2)
    assert "cannot be written" in fundusd(
        "show", number, "--out", tmp_path / "none" / "card.png", code=2
    )
    assert [file.name for file in inbox.iterdir()] == ["a_OD.jpg"]


def test_words_need_no_library_of_pictures(clinic: Clinic) -> None:
    number = clinic.add("a_OD.jpg")
    script = """
import sys
from fundusd.cli.commands import command_line
for words in (["show", sys.argv[2]], ["report", "exam", "1"]):
    command_line(words)([*words, "--config", sys.argv[1]], standalone_mode=False)
assert not {"matplotlib", "numpy", "PIL", "pydicom", "torch", "structlog"} & set(sys.modules)
"""
    subprocess.run(
        [sys.executable, "-c", script, clinic.place.path, str(number)],
        check=True,
        capture_output=True,
    )


def source(name: str, data: bytes, camera_id: str = "room1") -> Source:
    digest = hashlib.sha256(data).hexdigest()
    return Source(
        len(name), camera_id, name.encode(), digest, Preprocessing.PAD_SQUARE, is_burned_in=False
    )


def test_ungradable_retinas_are_shown_and_what_else_is_refused_is_not(tmp_path: Path) -> None:
    """A hand or a face is not shown, nor burned-in text that the ledger does not know yet."""
    dark = imaging_cases.encode((RETINA * 0.15).astype(np.uint8), "PNG")
    wall = imaging_cases.encode(np.full((600, 640, 3), 160, np.uint8), "PNG")
    captioned = Image.fromarray(RETINA)
    ImageDraw.Draw(captioned).text((5, 5), "Phantom, P.", font=ImageFont.load_default(20))
    named = imaging_cases.encode(captioned, "PNG")
    files = {"a": dark, "bb": wall, "ccc": BURNED, "dddd": JPEG, "ggggggg": named}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    asked = [
        *(source(*named) for named in files.items()),
        source("eeeee", b""),
        source("ffffff", b"", "elsewhere"),
    ]
    shown = photographs(asked, {"room1": tmp_path}, Limits())

    assert [photograph.pixels is not None for photograph in shown.values()] == [
        True,
        False,
        False,
        True,
        False,
        False,
        False,
    ]
    for photograph, part in zip(
        shown.values(),
        [
            *("did not grade it", "", "burned in", "model saw", "burned in", "no longer"),
            "no camera elsewhere",
        ],
        strict=True,
    ):
        assert part in photograph.notes


def test_the_ledger_knows_where_captures_lie_and_which_shots_are_burned_in(ledger: Ledger) -> None:
    for number, (name, content) in enumerate(
        [
            ("P1/a.jpg", CONTENT),
            ("P1/a.dcm", OF_BURNED),
            ("P1/a-2.jpg", CONTENT),
            ("P2/a.jpg", CONTENT),
        ]
    ):
        ledger.admit(cases.found(name, str(number)))
        ledger.record([cases.finding(claim, content) for claim in ledger.claim(1)])
    sources = ledger.sources([1, 2, 3, 4, 99])
    assert [image.is_burned_in for image in sources] == [True, True, False, False]
    assert sources[0] == Source(
        1, cases.CAMERA, b"P1/a.jpg", cases.digest_of("0"), "pad-square/bilinear448", True
    )
    assert ledger.releases([1, 99]) == {1: cases.release()}
