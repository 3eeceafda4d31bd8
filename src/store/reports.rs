//! Reports of trainings and events that are kept when their messages are gone.

use rusqlite::{OptionalExtension, params};

use super::commit::Applier;
use super::error::{Fault, StoreError};
use super::reader::Reader;
use crate::engine::KeptReport;
use crate::wire::views::{MAX_EVENTS, MAX_TRAININGS};
use crate::words::TaskId;

/// Bytes of a task's held-out answers; beyond them those of its oldest trainings go before their reports do.
const ANSWERS_BYTES: usize = 4_194_304;

/// A training whose held-out answers are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredTraining {
    /// Its number.
    pub training: u64,
    /// Its `train/result`, as JSON.
    pub report: Vec<u8>,
    /// For [`crate::eval::HeldOutAnswers::from_bytes`].
    pub answers: Vec<u8>,
}

impl Applier<'_> {
    pub(super) fn keep(&self, report: &KeptReport) -> Result<(), Fault> {
        match report {
            KeptReport::Event { seq, task, payload } => {
                self.run(
                    "INSERT INTO events (seq, task, report) VALUES (?1, ?2, ?3) ON CONFLICT (seq) DO NOTHING",
                    params![seq, task, payload],
                )?;
                self.run(
                    "DELETE FROM events WHERE seq <= (SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?1)",
                    [MAX_EVENTS],
                )
            }
            KeptReport::Training { task, training, payload, answers } => {
                self.task(task)?;
                let answers = (!answers.is_empty()).then(|| answers.to_bytes());
                self.run(
                    "INSERT INTO trainings (task, training, report, answers) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (task, training) DO NOTHING",
                    params![task, training, payload, answers],
                )?;
                self.run(
                    "DELETE FROM trainings WHERE task = ?1 AND training <=
                         (SELECT training FROM trainings WHERE task = ?1 ORDER BY training DESC LIMIT 1 OFFSET ?2)",
                    params![task, MAX_TRAININGS],
                )?;
                self.run(
                    "UPDATE trainings SET answers = NULL WHERE task = ?1 AND answers IS NOT NULL AND ?2 <
                         (SELECT sum(length(answers)) FROM trainings AS later
                          WHERE later.task = ?1 AND later.training >= trainings.training)
                     AND training < (SELECT max(training) FROM trainings WHERE task = ?1)",
                    params![task, ANSWERS_BYTES],
                )
            }
        }
    }
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// The latest results of a task's trainings as JSON, newest first.
    pub fn trainings(&self, task: &TaskId, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let sql = "SELECT report FROM trainings WHERE task = ?1 ORDER BY training DESC LIMIT ?2";
            let mut select = connection.prepare_cached(sql)?;
            Ok(select.query_map(params![task, limit], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// The latest events as JSON, newest first.
    pub fn events(&self, limit: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT report FROM events ORDER BY seq DESC LIMIT ?1")?;
            Ok(select.query_map([limit], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// A task's training of this number, or the last one, if its held-out answers are kept.
    pub fn answered_training(
        &self,
        task: &TaskId,
        training: Option<u64>,
    ) -> Result<Option<AnsweredTraining>, StoreError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached(
                "SELECT training, report, answers FROM trainings
                 WHERE task = ?1 AND (?2 IS NULL OR training = ?2) AND answers IS NOT NULL
                 ORDER BY training DESC LIMIT 1",
            )?;
            let found = find.query_row(params![task, training], |row| {
                Ok(AnsweredTraining { training: row.get(0)?, report: row.get(1)?, answers: row.get(2)? })
            });
            Ok(found.optional()?)
        })
    }
}
