"""What waits to be opened: for how long, how much of it, whose, and on a disk that takes no more."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo.settings import MEBI, Settings, parse
from demo.storage.limits import MOST_UPLOADS, CrowdedError, Limits, QuotaError
from demo.storage.scratch import StorageError
from demo.storage.upload import GONE
from demo.storage.uploads import FORM_BYTES, Uploads
from strokenext import errors
from tests.helpers.page_desk import taken, waiting

Make = Callable[..., Uploads]
BIG = b"x" * (2 * MEBI)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Uploads]]:
    """Uploads in the test's folder, or another."""
    made: list[Uploads] = []

    def build(
        limits: Limits | None = None, root: Path = tmp_path, clock: Callable[[], float] = time.monotonic
    ) -> Uploads:
        made.append(Uploads(limits, root, clock))
        return made[-1]

    yield build
    for uploads in made:
        uploads.close()
        assert uploads.size == 0


def test_files_of_one_upload_come_in_the_order_that_is_asked_for(make: Make) -> None:
    uploads = make()
    first, second, third = waiting(uploads, b"one", b"", BIG)
    assert taken(uploads, [third, first]) == [BIG, b"one"]
    assert taken(uploads, [second]) == [b""]
    assert len(uploads) == 0


def test_no_file_on_the_disk_has_a_name(make: Make, tmp_path: Path) -> None:
    uploads = make()
    names = waiting(uploads, BIG)
    assert list(tmp_path.iterdir()) == []
    assert taken(uploads, names) == [BIG]


def test_an_upload_nobody_opens_is_gone_after_minutes_and_one_that_arrives_stays(make: Make) -> None:
    clock = Clock()
    uploads = make(Limits(lifetime=120), clock=clock)
    names = waiting(uploads, b"old")
    clock.now = 60
    later = waiting(uploads, b"young")
    with uploads.arriving("a") as arriving:
        arriving.begin_file()
        clock.now = 120
        uploads.sweep()
        assert len(uploads) == 2
        arriving.write(b"late")
    with pytest.raises(errors.NotFoundError, match=GONE):
        taken(uploads, names)
    assert taken(uploads, later) == [b"young"]
    assert taken(uploads, arriving.names) == [b"late"]
    assert Settings().upload_seconds <= 300


def test_what_waits_for_a_reader_who_has_gone_goes(make: Make) -> None:
    uploads = make()
    gone, stays = waiting(uploads, BIG, owner="a"), waiting(uploads, b"x", owner="b")
    uploads.leave("a")
    assert uploads.size == 1
    with pytest.raises(errors.NotFoundError, match=GONE):
        taken(uploads, gone)
    assert taken(uploads, stays) == [b"x"]


def test_an_upload_that_breaks_off_leaves_nothing(make: Make) -> None:
    uploads = make()

    def cut() -> None:
        with uploads.arriving("a") as upload:
            upload.begin_file()
            upload.write(BIG)
            assert uploads.size == len(BIG)
            raise ConnectionAbortedError

    with pytest.raises(StorageError):
        cut()
    assert (len(uploads), uploads.size) == (0, 0)


class TestKept:
    """What a page has opened and may open again, so that its reader need not send it twice."""

    LIMITS = Limits(total=7 * MEBI, each=4 * MEBI, count=2, lifetime=180)

    def test_it_is_read_again_and_again_until_it_is_forgotten(self, make: Make, tmp_path: Path) -> None:
        uploads = make()
        names = waiting(uploads, b"one", BIG, owner="a")
        kept = uploads.keep(names, "a")
        for _ in range(3):
            assert kept.read(list) == [b"one", BIG]
        assert list(tmp_path.iterdir()) == []
        assert uploads.size == len(BIG) + 3
        kept.forget()
        assert uploads.size == 0
        for again in (kept.ask, lambda: kept.read(list)):
            with pytest.raises(errors.NotFoundError, match=GONE):
                again()

    def test_nobody_else_can_ask_for_it_before_or_after(self, make: Make) -> None:
        uploads = make()
        with uploads.arriving("a", session="a") as sent:
            sent.begin_file()
            sent.write(b"secret")
        with pytest.raises(errors.NotFoundError, match=GONE):
            uploads.keep(sent.names, "b")
        kept = uploads.keep(sent.names, "a")
        for page in ("a", "b", ""):  # its names are used up
            with pytest.raises(errors.NotFoundError, match=GONE):
                uploads.keep(sent.names, page)
        assert kept.read(list) == [b"secret"]

    def test_it_belongs_to_the_page_that_opened_it_and_goes_with_it(self, make: Make) -> None:
        """Also where it was sent before that page had its key."""
        uploads = make()
        kept = uploads.keep(waiting(uploads, BIG, owner="at 127.0.0.1"), "a")
        uploads.leave("at 127.0.0.1")
        assert kept.read(list) == [BIG]
        uploads.leave("a")
        assert uploads.size == 0
        with pytest.raises(errors.NotFoundError, match=GONE):
            kept.read(list)

    def test_it_is_gone_when_nobody_has_asked_for_it_for_minutes(self, make: Make) -> None:
        clock = Clock()
        uploads = make(self.LIMITS, clock=clock)
        kept = uploads.keep(waiting(uploads, b"x", owner="a"), "a")
        for clock.now in (100, 200, 300):  # each time within 180 s of the last
            uploads.sweep()
            assert kept.read(list) == [b"x"]
        clock.now = 480
        uploads.sweep()
        assert len(uploads) == 0

    def test_it_makes_room_for_what_is_sent_next(self, make: Make) -> None:
        """In bytes and in number, of one reader and of all; the quota holds all the while."""
        clock = Clock()
        uploads = make(self.LIMITS, clock=clock)
        first, second = (uploads.keep(waiting(uploads, BIG, owner="a"), "a") for _ in range(2))
        for clock.now, kept in enumerate((second, first)):
            kept.read(list)
        waiting(uploads, b"small", owner="a")  # a third one, and only two are allowed
        with pytest.raises(errors.NotFoundError, match=GONE):
            second.read(list)  # was read longest ago
        assert first.read(list) == [BIG]
        waiting(uploads, BIG, BIG, owner="b")
        assert first.read(list) == [BIG]
        with uploads.arriving("c", 2 * MEBI + 100_000):
            assert uploads.size <= self.LIMITS.total
        with pytest.raises(errors.NotFoundError, match=GONE):
            first.read(list)

    def test_what_was_not_read_yet_makes_no_room(self, make: Make) -> None:
        uploads = make(self.LIMITS)
        kept = uploads.keep(waiting(uploads, BIG, owner="a"), "a")
        with pytest.raises(QuotaError):
            waiting(uploads, BIG, b"x", owner="a")
        kept.read(list)
        kept.ask()  # it is about to be read again
        with pytest.raises(QuotaError):
            waiting(uploads, BIG, b"x", owner="a")
        assert kept.read(list) == [BIG]
        assert taken(uploads, waiting(uploads, BIG, BIG, owner="a"), "a") == [BIG, BIG]


class TestLimits:
    LIMITS = Limits(total=6 * MEBI, each=4 * MEBI, count=3, lifetime=180)

    def test_bytes_of_one_reader(self, make: Make) -> None:
        """By what is declared and by what comes; the next reader has room, and so has this one when it is opened."""
        uploads = make(self.LIMITS)
        names = waiting(uploads, BIG, owner="a")
        with (
            pytest.raises(QuotaError, match=r"4 MiB that one reader may have here\. Wait 3 minutes"),
            uploads.arriving("a", 3 * MEBI),
        ):
            raise AssertionError
        with pytest.raises(QuotaError, match="4 MiB"):
            waiting(uploads, BIG, b"x", owner="a")
        assert uploads.size == 2 * MEBI
        waiting(uploads, BIG, owner="b")
        taken(uploads, names)
        waiting(uploads, BIG, owner="a")
        assert QuotaError.http_status == 507

    def test_uploads_of_one_reader(self, make: Make) -> None:
        uploads = make(self.LIMITS)
        for _ in range(3):
            waiting(uploads, b"x", owner="a")
        with pytest.raises(QuotaError, match="3 of your uploads wait"):
            waiting(uploads, b"x", owner="a")
        waiting(uploads, b"x", owner="b")

    def test_bytes_of_all_readers_pass(self, make: Make) -> None:
        uploads = make(self.LIMITS)
        waiting(uploads, BIG, owner="a")
        with uploads.elsewhere("", 3 * MEBI + FORM_BYTES), pytest.raises(CrowdedError, match="Try again"):
            waiting(uploads, BIG, owner="b")
        waiting(uploads, BIG, owner="b")
        with pytest.raises(CrowdedError, match="other readers"), uploads.elsewhere("", 3 * MEBI + FORM_BYTES):
            raise AssertionError
        assert uploads.size == 4 * MEBI
        assert CrowdedError.http_status == 503

    def test_requests_that_keep_their_files_count_as_they_come(self, make: Make) -> None:
        uploads = make(self.LIMITS)
        waiting(uploads, BIG, owner="at x")
        with uploads.elsewhere("at x", 0) as came:
            for size in (MEBI // 2, MEBI, 2 * MEBI + FORM_BYTES):
                came(size)
            assert uploads.size == 4 * MEBI
            with pytest.raises(QuotaError):
                came(2 * MEBI + FORM_BYTES + 1)
            with uploads.elsewhere("at y", 0) as other:
                other(MEBI + FORM_BYTES)
                with pytest.raises(CrowdedError), uploads.elsewhere("at z", 2 * MEBI + FORM_BYTES):
                    raise AssertionError
        assert uploads.size == 2 * MEBI  # nothing is left of what was refused either

    def test_uploads_of_all_readers(self, make: Make) -> None:
        uploads = make()
        for number in range(MOST_UPLOADS):
            waiting(uploads, b"", owner=str(number))
        with pytest.raises(CrowdedError):
            waiting(uploads, b"", owner="another")

    def test_they_are_settings_and_the_largest_request_has_room(self) -> None:
        given = ["--max-stored=300", "--max-stored-each=100", "--uploads-each=2", "--upload-seconds=60"]
        limits = Limits.of(parse(given, {}))
        assert (limits.total, limits.each, limits.count, limits.lifetime) == (300 * MEBI, 256 * MEBI, 2, 60)
        assert Limits.of(parse(["--max-upload=4096"], {})).total == 4096 * MEBI
        assert Limits.of(Settings()) == Limits()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(place)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


class TestDisk:
    def test_a_full_one_is_a_sentence_and_a_line_without_names(
        self, make: Make, full: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        uploads = make(root=full)
        first = waiting(uploads, BIG)
        with pytest.raises(StorageError, match=r"^The disk of this server is full.* then send the file again\.$"):
            waiting(uploads, BIG, BIG, BIG)
        assert uploads.size == 2 * MEBI
        with pytest.raises(StorageError, match="is full"), uploads.arriving("a", 3 * MEBI):
            raise AssertionError  # it says so before anything is sent
        assert [record.getMessage() for record in caplog.records] == ["the disk takes no upload: ENOSPC"] * 2
        assert taken(uploads, first) == [BIG]
        assert taken(uploads, waiting(uploads, BIG)) == [BIG]

    def test_it_takes_what_is_sent_next_where_something_is_only_kept(self, make: Make, full: Path) -> None:
        uploads = make(root=full)
        kept = uploads.keep(waiting(uploads, BIG), "a")
        assert kept.read(list) == [BIG]
        names = waiting(uploads, BIG, BIG[:MEBI], declared=3 * MEBI)
        assert taken(uploads, names) == [BIG, BIG[:MEBI]]
        with pytest.raises(errors.NotFoundError, match=GONE):
            kept.read(list)

    def test_small_uploads_need_none(self, make: Make, full: Path) -> None:
        uploads = make(root=full)
        (full / "other").write_bytes(b"x" * (4 * MEBI - 4096))
        assert taken(uploads, waiting(uploads, b"small")) == [b"small"]

    @pytest.mark.parametrize("kind", ["read-only", "missing"])
    def test_one_that_cannot_be_written_is_a_sentence(self, make: Make, full: Path, kind: str) -> None:
        root = full
        if kind == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(full)], check=True)
        else:
            (full / "file").touch()
            root = full / "file" / "inner"
        uploads = make(root=root)
        for declared in (0, len(BIG)):
            with pytest.raises(StorageError, match="make that folder writable"):
                waiting(uploads, BIG, declared=declared)
        assert len(uploads) == 0

    def test_a_limit_on_files_of_the_process_is_one_too(self, make: Make) -> None:
        """RLIMIT_FSIZE: EFBIG, since Python ignores the signal."""
        resource = pytest.importorskip("resource")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        uploads = make()
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEBI, hard))
        try:
            with pytest.raises(StorageError, match="is full"):
                waiting(uploads, BIG)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
