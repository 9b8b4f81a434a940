"""Every sentence of the page; what is said about an answer itself is in `strokenext.show.words`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from strokenext import Slice, Volume

TITLE = "StrokeNeXt"
TAGLINE = "Stroke on non-contrast head CT"
NOTICE_LONG = (
    "For research and education. Not for diagnosis or treatment. Nothing you open here is stored: pictures stay in "
    "this server's memory. They are forgotten when you close them, within a minute after this page is closed, after "
    "a few minutes without a connection, and after {minutes:g} minutes without use. Files that hold several series "
    "wait {wait:g} minutes at most for you to choose another."
)

OPEN_LABEL = "Open a picture or series"
OPEN_HINT = "DICOM (no extension needed), PNG, JPG, NIfTI, a zip, or all files of a series."
DROP = "Drop files here, or click to choose"
FOLDER = "Open a folder"
DROP_HERE = "Drop files or a folder to open"
NOTHING_DROPPED = "What was dropped could not be read. Drop files, a folder or a zip."
SERIES = "Series in this upload"
WHICH_SERIES = "It is not clear which of these series is meant. Choose one; nothing is judged until then."
OTHER_SERIES = "Choose another series to open and judge it in place of this one."
SERIES_OPEN = "Open"
STUDY = "Study {number}"
NOT_USED = "Files that are in no series"
CHOOSE_FIRST = "Choose one of the series in the list. Nothing is judged until then."
EXAMPLES = "Examples"
EXAMPLE = "Example"
EXAMPLES_NOTE = "Synthetic phantoms made by this project. No patient."
NO_EXAMPLES = "No example files are installed."
EXAMPLE_LABELS = {
    "hemorrhage.dcm": "Hemorrhage",
    "infarct.dcm": "Infarct",
    "normal.dcm": "No lesion",
    "series_hemorrhage.zip": "Series, 16 slices",
    "hemorrhage.png": "PNG without HU",
}
CLOSE = "Close"
CANCEL = "Cancel"
CANCELLED = "Cancelled."
CUT = "The connection was lost, so the server stopped working on this."
AGAIN = "Judge"
PAGE_UNKNOWN = "This page was no longer known to the server. Open the picture again."
NOT_OPEN = "This picture is no longer open on this page."
NO_SLICE = "There is no such slice."

MODELS_LOADING = "Loading models. The page is ready."
MODELS_READY = "Models ready"
QUESTIONS = {"presence": "presence", "subtype": "type", "volume": "series", "segmentation": "marks"}

EMPTY_STAGE = "Open a head CT slice or series, or try an example."
EMPTY_ANSWER = "The model's answer appears here, with its threshold, its evidence and what it was trained on."
READING = "Reading the file."
PREDICTING = "The model is looking at the slice."
WAITING = "The models are still loading. The picture can be viewed; the answer follows."
UNEXPECTED = "Something went wrong on the server while working on this. Try again; its log has the details."
NOT_YET = "The answer for this slice is still being worked out. Try again in a moment."

SENDING = "Sending the file, {share} %."
UPLOAD_FAILED = "The file did not arrive: the connection was lost. Open it again."
UPLOAD_REFUSED = (
    "The file did not arrive: something between this page and the server refused it (HTTP {status}). It may be too "
    "large for it: send less at once, or ask whoever runs the server."
)
LINE_LOST = "The connection to the server is lost. Trying again."
SLICE_LOST = "Slice {slice} could not be fetched. Trying again."
SLICE_READING = "Reading slice {slice}."
SLICE_PENDING = "Slice {slice}: the answer follows when you rest on it."
SLICE_PROGRESS = "The model is looking at slice {done} of {total}."
EVIDENCE_OFF = "Decided against: not drawn."
EVIDENCE_FAINT = "Not decided for: drawn faint."
PREPARING = "Preparing the file."
MOVED_ON = "You went on before the file was ready. It was not saved."
SAVED = "{name} is in your downloads."
DOWNLOAD_LOST = "The file could not be fetched. Check the connection and try again."
#: What the page says by itself, while the server cannot be asked or has not answered yet.
IN_THE_BROWSER = (
    "EVIDENCE_OFF", "EVIDENCE_FAINT",
    "DROP_HERE", "NOTHING_DROPPED",
    "READING", "EMPTY_ANSWER", "CANCELLED", "COMMIT_MISSING", "HIDDEN", "SENDING", "UPLOAD_FAILED", "UPLOAD_REFUSED",
    "LINE_LOST", "SLICE_LOST", "SLICE_READING", "SLICE_PENDING", "SLICE_PROGRESS", "PREPARING", "MOVED_ON", "SAVED",
    "DOWNLOAD_LOST", "SERIES_OPEN", "STUDY", "CHOOSE_FIRST",
)  # fmt: skip

READER_FIRST = "Reader first"
READER_FIRST_INFO = (
    "Hide the model's answer until you commit your own. A wrong answer shown first misleads readers (PMC10235827)."
)
HIDDEN = "The model's answer is hidden until you commit your own reading."
COMMIT_LABEL = "Your reading"
COMMIT = "Commit and show the model"
COMMIT_MISSING = "Choose your reading first."
VERDICTS = ("No stroke seen", "Ischemic stroke", "Hemorrhagic stroke", "Cannot tell")

UNSAVED = "Your judgement is not saved"
UNSAVED_WHY = "What you chose or wrote about this case is in none of your downloads. If you go on, it is discarded."
STAY = "Stay with this case"
LEAVE = "Discard it and go on"

FORCE = "Judge anyway"
FORCED = "Judged on your request although the picture was refused. Read the numbers with that in mind."

THRESHOLD_LABEL = "Decision threshold (stroke or not)"
THRESHOLD_RESET = "Stored threshold"
METHOD_LABEL = "Evidence method"
TECHNICAL = "Technical"

FEEDBACK = "Do you agree with the model?"
FEEDBACK_NOTE = "Goes into the files you download and nowhere else."
OPINIONS = ("Agree", "Disagree", "Unsure")
DOWNLOADS = "Take away"

NO_HU = "No HU in this picture: it was windowed before. Use brightness and contrast; HU is never guessed."
BURNED_IN = "The file says that text is burned into the picture. It may name a patient."

SHORT = {
    "stroke": "Marked as stroke",
    "non-stroke": "Not marked as stroke",
    "indeterminate": "No decision",
}
REFUSED = "Not judged"
EXPERIMENTAL = "Experimental"
WHOLE = "Whole series, 3-D model"
WHOLE_TAG = "All slices at once"
MARKED = "Marked on this slice"
MARKED_NOTHING = "Nothing is marked on this slice."
NO_SUBTYPE = "The type is asked only when a stroke is marked or nothing is decided."


def models_ready(questions: Iterable[str]) -> str:
    """What the bar says once the models are there: which questions they answer."""
    named = " and ".join(QUESTIONS[question] for question in questions)
    return f"{MODELS_READY}: {named}" if named else MODELS_READY


def models_named(architectures: Mapping[str, str], device: str) -> str:
    """The architecture that answers each question, and where it computes."""
    questions: dict[str, list[str]] = {}
    for question, title in architectures.items():
        questions.setdefault(title, []).append(QUESTIONS[question])
    named = [f"{title} ({' and '.join(names)})" for title, names in questions.items()]
    return ", ".join([*named, device])


def threshold(value: float, band: tuple[float, float], stored: float | None) -> str:
    """The decision rule of this answer; `stored` is the model's own threshold."""
    rule = f"Threshold {value:.2f}, indeterminate from {band[0]:.2f} to {band[1]:.2f}."
    if stored is not None and abs(stored - value) > 1e-6:
        rule += f" The model's stored threshold is {stored:.2f}."
    return rule


def which_study(count: int) -> str:
    """The question where an upload holds several studies."""
    return (
        f"This holds {count} studies, perhaps of {count} patients. They are never read as one. "
        "Choose a series; nothing is judged until then."
    )


def series_name(number: int) -> str:
    """A series that has no description, or whose description is not to be shown."""
    return f"Series {number}"


def left_out(count: int, reason: str) -> str:
    """So many files that are in no series, and why."""
    return f"{count} {'file' if count == 1 else 'files'}: {reason}"


def series_progress(done: int, total: int) -> str:
    """While a series is being predicted."""
    return f"The model is looking at slice {done} of {total}."


def files(count: int) -> str:
    """Several files that were opened together."""
    return "1 file" if count == 1 else f"{count} files"


def numbered(number: int, thickness: float | None) -> str:
    """What a case is called where no name may be shown: its number on this page, and the slice thickness in mm."""
    return f"Case {number}" + ("" if thickness is None else f" · {thickness:g} mm")


def title(image: Slice | Volume) -> str:
    """What is open, in neutral words: kind, size, unit; never a file name."""
    first = image[0] if isinstance(image, Volume) else image
    kind = {"dicom": "DICOM", "png": "PNG", "jpeg": "JPEG", "nifti": "NIfTI"}.get(first.kind, first.kind.upper())
    unit = "HU" if first.unit == "HU" else "no HU"
    rows, columns = first.shape
    many = f", {len(image)} slices" if isinstance(image, Volume) else ""
    return f"{kind} {columns} × {rows}{many}, {unit}"
