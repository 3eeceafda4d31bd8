//! Answers of the device to its fleet: a statistics file, part by part, and scores of heads.

use std::cell::RefCell;

use crate::head::BackboneRef;
use crate::shared::fleet::{CannotShare, Labelled};
use crate::wire::command::{self, Spec as _, StatisticsPart};
use crate::wire::{Answer, ErrorCode};
use crate::words::{Digest, TaskId, error_chain};

/// The file whose parts are being asked for; a new one takes its place, and so does a restart.
#[derive(Debug, Default)]
pub(crate) struct StatisticsFile(RefCell<Option<File>>);

#[derive(Debug)]
struct File {
    task: TaskId,
    sha256: Digest,
    bytes: Vec<u8>,
}

impl StatisticsFile {
    /// The part of the file that is asked for; of a new file where it is the first one.
    pub fn part(
        &self,
        labelled: &Labelled<'_>,
        backbone: BackboneRef,
        min_class_count: u64,
        asked: &command::Statistics,
    ) -> Answer {
        let mut file = self.0.borrow_mut();
        if let Some(sha256) = asked.sha256 {
            let Some(file) = file.as_ref().filter(|file| file.sha256 == sha256 && file.task == *labelled.task) else {
                let reason = "these statistics are no longer there; ask for the first part of new ones";
                return Answer::error(ErrorCode::NotFound, reason);
            };
            return command::Statistics::answer(&StatisticsPart::of(&file.bytes, sha256, asked.offset, asked.length));
        }
        let values = asked.values.map(|values| values as usize);
        match labelled.statistics(backbone, min_class_count, values) {
            Ok(statistics) => {
                let bytes = statistics.to_bytes();
                let sha256 = Digest::of(&bytes);
                let part = StatisticsPart::of(&bytes, sha256, 0, asked.length);
                // What is asked for in one part is not asked for again.
                *file =
                    (part.bytes > u64::from(asked.length)).then(|| File { task: labelled.task.clone(), sha256, bytes });
                command::Statistics::answer(&part)
            }
            Err(error) => refused(&error),
        }
    }
}

/// A head measured on the device's labelled images.
pub(crate) fn score(labelled: &Labelled<'_>, head: &[u8]) -> Answer {
    match labelled.score(head) {
        Ok(score) => command::Score::answer(&score),
        Err(error) => refused(&error),
    }
}

fn refused(error: &CannotShare) -> Answer {
    let code = match error {
        CannotShare::Store(_) => ErrorCode::Failed,
        CannotShare::Head(_) => ErrorCode::BadRequest,
        _ => ErrorCode::NotPossible,
    };
    Answer::error(code, error_chain(error))
}
