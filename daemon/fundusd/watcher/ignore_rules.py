"""Recognise by their paths or first bytes the files and folders that are never captures."""

from __future__ import annotations

import os
import re
import unicodedata
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from fundusd.domain.decoding import MediaType
from fundusd.domain.files import IgnoreReason
from fundusd.files.media_type import detect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from fundusd.files.tiff_directories import ReadAt

_UNFINISHED = (b".tmp", b".part", b".filepart", b".crdownload", b".partial")
_HIDDEN = (b".", b"~$")  # "." includes ._ of macOS
_SYSTEM = frozenset({b"thumbs.db", b"desktop.ini"})
_SET = re.compile(r"\[!?+(\]?+[^\]/]*)\]")  # of characters in a glob, as fnmatch reads it
_RANGE = re.compile(r"(.)-(.)")
_MAX_DOUBLE_STARS = 3  # more would be slow in deep folders
_CAPTURES = (b".jpg", b".jpeg", b".jpe", b".png", b".tif", b".tiff", b".dcm", b".dicom")

# folders in which storage keeps deleted files, older versions, thumbnails and its own records; a
# word that a clinic might choose as a name for a folder, such as "snapshot", is not in the list
_STORAGE_FOLDERS = frozenset(
    (
        # Synology, QNAP, Asustor, TerraMaster, Buffalo
        *(b"@eadir", b"#recycle", b"#snapshot", b"@sharesnap", b"@tmp", b"@recycle"),
        *(b"@recently-snapshot", b"@recently_snapshot", b".@__thumb", b"@transcode", b"trashbox"),
        # NetApp, Isilon, VNX, Ceph, ZFS, Btrfs, GlusterFS, Lustre, Samba
        *(b".snapshot", b"~snapshot", b".ckpt", b".snap", b".snapshots", b".zfs", b".glusterfs"),
        *(b".lustre", b".recycle", b"recycle", b".trashcan"),
        # Windows
        *(b"$recycle.bin", b"recycler", b"recycled", b"recycle bin", b"recyclebin", b"$extend"),
        *(b"system volume information", b"$windows.~bt", b"$windows.~ws", b"config.msi"),
        *(b"dfsrprivate", b"recycle.bin"),
        # macOS
        *(b".trashes", b".trash", b".spotlight-v100", b".fseventsd", b".temporaryitems"),
        *(b".documentrevisions-v100", b".appledouble", b".appledb", b".appledesktop"),
        *(b"network trash folder", b"temporary items", b"thevolumesettingsfolder"),
        b"backups.backupdb",
        # Linux
        b"lost+found",
        # Nextcloud and ownCloud, Syncthing, Resilio, Dropbox, Google Drive, GoodSync
        *(b"files_trashbin", b"files_versions", b".stversions", b".stfolder", b".sync"),
        *(b".dropbox.cache", b".tmp.drivedownload", b".tmp.driveupload", b"_gsdata_"),
    )
)
_NUMBERED_STORAGE_FOLDERS = re.compile(
    rb"\.trash-\d+"  # Linux, by user
    rb"|found\.\d{3}"  # Windows chkdsk
    rb"|network recycle bin( \d+)?"  # QNAP
    rb"|_nas_recycle_.*"  # Thecus
    rb"|@gmt-\d{4}\.\d\d\.\d\d-\d\d\.\d\d\.\d\d"  # snapshots of Samba and Windows servers
)

# photographs of any camera, with no, one and two folders above them: globs that match all of a line
# would ignore everything
_LAYOUTS = (
    (b"IMG_0001.jpg", b"OD.dcm", b"scan.png", b"7.tif"),
    (b"P1/IMG_0001.jpg", b"visit/OD.dcm", b"2026/scan.png", b"a/7.tif"),
    (b"P1/visit/IMG_0001.jpg", b"2026/11/OD.dcm", b"a/b/scan.png", b"export/P2/7.tif"),
)


class IgnoreRules:
    """The rules by which the files and folders of an inbox are ignored.

    All paths are relative to the inbox. Letter case does not matter.
    """

    def __init__(self, globs: Sequence[str] = ()) -> None:
        """Take the globs of the camera's settings.

        Raises ValueError if a glob is invalid, or if together they match every photograph.
        """
        self._folder_globs, self._file_globs = [], []
        for glob in globs:
            components = components_of(glob)
            self._folder_globs.append(components)
            if not glob.endswith("/"):
                self._file_globs.append(components)
        if any(map(self._passes_over, _LAYOUTS)):
            raise ValueError("together must not match every photograph")

    def _passes_over(self, layout: Sequence[bytes]) -> bool:
        """Return whether all these photographs are ignored."""
        for path in layout:
            folder = os.path.dirname(path)  # noqa: PTH120  bytes
            if self.of_file(path) is None and not self.covers(folder):
                return False
        return True

    def of_file(self, path: bytes) -> IgnoreReason | None:
        """Return why a file is ignored, or None if it is not.

        Its folders are not considered.

        >>> IgnoreRules().of_file(b"IMG_0001.jpg.part"), IgnoreRules().of_file(b"IMG_0001.jpg")
        (<IgnoreReason.TEMPORARY_NAME: 'temporary_name'>, None)
        """
        if _is_temporary(_name(path)):
            return IgnoreReason.TEMPORARY_NAME
        return _excluded(path, self._file_globs)

    def of_folder(self, path: bytes) -> IgnoreReason | None:
        """Return why a folder is ignored with everything in it, or None if it is not.

        >>> IgnoreRules(["test/"]).of_folder(b"P1/Test"), IgnoreRules().of_folder(b"P1/@Recycle")
        (<IgnoreReason.EXCLUDED: 'excluded'>, <IgnoreReason.STORAGE_FOLDER: 'storage_folder'>)
        """
        name = _name(path)
        if name in _STORAGE_FOLDERS or _NUMBERED_STORAGE_FOLDERS.fullmatch(name):
            return IgnoreReason.STORAGE_FOLDER
        if _is_temporary(name):
            return IgnoreReason.TEMPORARY_NAME
        return _excluded(path, self._folder_globs)

    def covers(self, folder: bytes) -> bool:
        """Return whether a folder or any folder above it is ignored."""
        while folder:
            if self.of_folder(folder) is not None:
                return True
            folder = os.path.dirname(folder)  # noqa: PTH120  bytes
        return False


@lru_cache(maxsize=64)
def rules_of(globs: tuple[str, ...] = ()) -> IgnoreRules:
    """Return the rules for an inbox with these globs."""
    return IgnoreRules(globs)


def components_of(glob: str) -> list[str]:
    """Return the parts of a glob between its slashes, ready for comparison.

    A glob without a slash matches a name in any folder, otherwise it matches a path relative to the
    inbox. Each part is a pattern of fnmatch, and `**` matches any number of folders. A slash at the
    end restricts the glob to folders. Raises ValueError if the glob is invalid.

    >>> components_of("*.PDF"), components_of("service/**/*.tif")
    (['**', '*.pdf'], ['service', '**', '*.tif'])
    """
    if "\\" in glob:
        raise ValueError("must separate folders with /, not with a backslash")
    if glob.startswith("/"):
        raise ValueError("must be relative to the inbox, so it must not begin with /")
    components = _comparable(glob.removesuffix("/")).split("/")
    if not {"", ".", ".."}.isdisjoint(components):
        raise ValueError("must name every folder; an empty name, . and .. match nothing")
    if components.count("**") > _MAX_DOUBLE_STARS:
        raise ValueError(f"must not contain ** more than {_MAX_DOUBLE_STARS} times")
    _require_closed_sets(components)
    if len(components) == 1:
        components.insert(0, "**")
    for layout in _LAYOUTS:
        if all(_excluded(path, [components]) for path in layout):
            raise ValueError("must not match every photograph")
    return components


def _require_closed_sets(components: Sequence[str]) -> None:
    """Raise ValueError if a set of characters is not closed, or matches no character."""
    rest = "/".join(components)
    while "[" in rest:
        closed = _SET.match(rest, rest.index("["))
        if closed is None:
            raise ValueError("must close each [ with ] before the next /; [[] matches a [ itself")
        for first, last in _RANGE.findall(closed[1]):
            if first > last:
                raise ValueError(
                    f"must not contain [{first}-{last}]: in a range such as [a-z], the first "
                    "character must be the lower one"
                )
        rest = rest[closed.end() :]


def _excluded(path: bytes, globs: Sequence[Sequence[str]]) -> IgnoreReason | None:
    if globs:
        names = _comparable(os.fsdecode(path)).split("/")
        if any(_matches(names, components) for components in globs):
            return IgnoreReason.EXCLUDED
    return None


def _comparable(text: str) -> str:
    return unicodedata.normalize("NFC", text).lower()  # macOS writes accents as separate characters


def _matches(names: Sequence[str], components: Sequence[str]) -> bool:
    """Return whether a path, given as the names in it, matches a glob."""
    if not components:
        return not names
    first, rest = components[0], components[1:]
    if first == "**" and rest:
        return any(_matches(names[skipped:], rest) for skipped in range(len(names)))
    if first == "**":
        return bool(names)
    return bool(names) and fnmatchcase(names[0], first) and _matches(names[1:], rest)


def _name(path: bytes) -> bytes:
    return os.path.basename(path).lower()  # noqa: PTH119  bytes


def _is_temporary(name: bytes) -> bool:
    return name.endswith(_UNFINISHED) or name.startswith(_HIDDEN) or name in _SYSTEM


def claims_capture(name: bytes) -> bool:
    """Return whether a file's name suggests that the file is a capture.

    >>> claims_capture(b"OD.JPG"), claims_capture(b"report.pdf")
    (True, False)
    """
    return name.lower().endswith(_CAPTURES)


def kind_of(path: bytes, read: ReadAt) -> MediaType | IgnoreReason | None:
    """Return the format of a file's content, or the reason why it is not that of a capture.

    Return None for a file of unknown format that is only named like a capture. It is not ignored:
    the decoder reports what is wrong.
    """
    kind = detect(read)
    if isinstance(kind, MediaType):
        return kind
    if kind is None and claims_capture(path):
        return None
    return kind or IgnoreReason.SIDECAR


def named_like_captures(
    folder: Path,
    rules: IgnoreRules,
    on_error: Callable[[OSError], None] | None = None,
) -> Iterator[bytes]:
    """Yield the relative path of each file below `folder` whose name suggests a capture.

    Links are not followed.
    """
    root, pending = os.fsencode(folder), [b""]
    while pending:
        directory = pending.pop()  # not by os.walk, whose recursion ends at a thousand levels
        try:
            with os.scandir(os.path.join(root, directory)) as listing:  # noqa: PTH118  bytes
                entries = list(listing)
        except OSError as error:
            if on_error is not None:
                on_error(error)
            continue
        for entry in entries:
            path = os.path.join(directory, entry.name)  # noqa: PTH118  bytes
            if entry.is_dir(follow_symlinks=False):
                if rules.of_folder(path) is None:
                    pending.append(path)
            elif _may_be_capture(entry) and rules.of_file(path) is None:
                yield path


def _may_be_capture(entry: os.DirEntry[bytes]) -> bool:
    is_named_so = claims_capture(entry.name) or b"." not in entry.name
    return is_named_so and not entry.is_symlink()
