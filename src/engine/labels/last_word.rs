//! Who has the last word on a label (decision 27; for users `docs/labels.md`).
//!
//! A label is an act: of a person, or of a folder. A person acts by saying so. A folder acts when the class by folder
//! of an image's living files changes, whatever their paths: so a file that is renamed within its class, copied beside
//! itself or mounted elsewhere says nothing, and one that is moved back says something. The latest act wins.
//!
//! This file is the whole rule. Which files live, and when they were looked at, is found out in `class_folders`.

use super::super::write::LabelSource;

/// Where the living files of an image lie, by their class folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lies<C> {
    /// It has no living file.
    Nowhere,
    /// Only in places without a class.
    Unclassed,
    /// In the folders of one class, and perhaps in places without one.
    In(C),
    /// In the folders of several classes.
    Divided,
}

/// What was decided for an image so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing<C> {
    /// Its class by folder when that last changed.
    pub folder: Option<C>,
    /// Who gave its label, or took it away; `None` where nobody ever did.
    pub spoke_last: Option<LabelSource>,
}

/// What a folder does to an image's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderAct<C> {
    /// Nothing: the label stays as it is.
    Silent,
    /// It gives this label.
    Gives(C),
    /// It takes away the label that it gave.
    TakesBack,
    /// Two folders contradict each other: the label stays, and a person is asked to remove one of the files.
    Contradicts,
}

/// The class by folder from now on, and what the folder does, when files came or went.
pub(super) fn by_files<C: Copy + PartialEq>(standing: Standing<C>, lies: Lies<C>) -> (Option<C>, FolderAct<C>) {
    match lies {
        Lies::Nowhere => (standing.folder, FolderAct::Silent),
        Lies::Divided => (standing.folder, FolderAct::Contradicts),
        Lies::In(class) if standing.folder == Some(class) => (standing.folder, FolderAct::Silent),
        Lies::In(class) => (Some(class), FolderAct::Gives(class)),
        Lies::Unclassed if standing.folder.is_none() || is_person(standing.spoke_last) => (None, FolderAct::Silent),
        Lies::Unclassed => (None, FolderAct::TakesBack),
    }
}

/// The same when no file changed but the settings that say which folders are classes: that is nobody's act, so what a
/// person said stays.
pub(super) fn by_settings<C: Copy + PartialEq>(standing: Standing<C>, lies: Lies<C>) -> (Option<C>, FolderAct<C>) {
    match by_files(standing, lies) {
        (folder, _) if is_person(standing.spoke_last) => (folder, FolderAct::Silent),
        decided => decided,
    }
}

/// Whether a label from this source is a person's act.
pub(super) fn is_person(source: Option<LabelSource>) -> bool {
    source.is_some_and(|source| source != LabelSource::Folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: Option<LabelSource> = Some(LabelSource::Folder);
    const PERSONS: [Option<LabelSource>; 3] =
        [Some(LabelSource::Mqtt), Some(LabelSource::Import), Some(LabelSource::Undo)];

    fn standing(folder: Option<char>, spoke_last: Option<LabelSource>) -> Standing<char> {
        Standing { folder, spoke_last }
    }

    #[test]
    fn a_folder_speaks_when_the_class_by_folder_changes_and_only_then() {
        for spoke_last in [None, FOLDER].into_iter().chain(PERSONS) {
            let by = |folder, lies| by_files(standing(folder, spoke_last), lies);
            assert_eq!(by(None, Lies::In('b')), (Some('b'), FolderAct::Gives('b')), "the first file in a class folder");
            assert_eq!(by(Some('a'), Lies::In('b')), (Some('b'), FolderAct::Gives('b')), "moved, {spoke_last:?}");
            assert_eq!(by(Some('b'), Lies::In('b')), (Some('b'), FolderAct::Silent), "another path, {spoke_last:?}");
            assert_eq!(by(Some('b'), Lies::Nowhere), (Some('b'), FolderAct::Silent), "deleted, {spoke_last:?}");
            assert_eq!(by(None, Lies::Unclassed), (None, FolderAct::Silent), "no class, {spoke_last:?}");
            assert_eq!(by(Some('a'), Lies::Divided), (Some('a'), FolderAct::Contradicts), "two, {spoke_last:?}");
        }
    }

    #[test]
    fn a_place_without_a_class_takes_back_what_a_folder_gave_and_nothing_else() {
        assert_eq!(by_files(standing(Some('a'), FOLDER), Lies::Unclassed), (None, FolderAct::TakesBack));
        for person in PERSONS {
            assert_eq!(by_files(standing(Some('a'), person), Lies::Unclassed), (None, FolderAct::Silent));
        }
    }

    #[test]
    fn other_settings_give_labels_where_no_person_spoke() {
        for (lies, folder, act) in [
            (Lies::In('b'), Some('b'), FolderAct::Gives('b')),
            (Lies::Unclassed, None, FolderAct::TakesBack),
            (Lies::Divided, Some('a'), FolderAct::Contradicts),
            (Lies::Nowhere, Some('a'), FolderAct::Silent),
        ] {
            assert_eq!(by_settings(standing(Some('a'), FOLDER), lies), (folder, act));
            for person in PERSONS {
                assert_eq!(by_settings(standing(Some('a'), person), lies), (folder, FolderAct::Silent));
            }
        }
    }
}
