//! Changes as bytes of a record, and back.
//!
//! Only what comes with every image is recorded, and only where it is certain that the database will take it: a record
//! that was acknowledged and then refused would be in the way of every start.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::super::columns::{decode_vector, encode_vector, path_bytes};
use crate::engine::{FileDisposition, FileStamp, Look, NewSample, OutboxMessage, Predicted, Write};
use crate::words::{Digest, EmbeddingSpace, Label, Origin, Precision, SampleId, SourceId, TaskId, Timestamp};

/// Spaces with their numbers in the database.
pub(in crate::store) type Numbers = [(EmbeddingSpace, i64)];

/// The payload of a record with these changes; `None` where one of them is not for the redo log.
pub(super) fn encode(writes: &[Write], numbers: &Numbers, precision: Precision) -> Option<Vec<u8>> {
    let mut out = Encoder { bytes: vec![u8::from(precision == Precision::F16)], numbers, precision };
    writes.iter().try_for_each(|write| out.write(write))?;
    Some(out.bytes)
}

/// The changes in a payload, and how their embeddings are stored; `None` where it is none of [`encode`]'s.
pub(super) fn decode(payload: &[u8], numbers: &Numbers) -> Option<(Vec<Write>, Precision)> {
    let mut from = Decoder { left: payload, numbers };
    let precision = if from.byte()? == 1 { Precision::F16 } else { Precision::F32 };
    let mut writes = Vec::new();
    while !from.left.is_empty() {
        writes.push(from.write()?);
    }
    Some((writes, precision))
}

const SAMPLE: u8 = 1;
const EMBEDDING: u8 = 2;
const LOOK: u8 = 3;
const FILE: u8 = 4;
const OUTBOX: u8 = 5;
const DELETE_MESSAGE: u8 = 6;
const THUMBNAIL: u8 = 7;
const STATE_RECORD: u8 = 8;

struct Encoder<'a> {
    bytes: Vec<u8>,
    numbers: &'a Numbers,
    precision: Precision,
}

impl Encoder<'_> {
    fn write(&mut self, write: &Write) -> Option<()> {
        match write {
            Write::Sample(sample) => {
                self.kind(SAMPLE);
                self.sample(sample)?;
            }
            Write::Embedding { id, space, embedding } => {
                self.kind(EMBEDDING);
                self.id(id);
                self.embedding(space, embedding)?;
            }
            Write::Look { task, id, space } => {
                self.kind(LOOK);
                self.block(task.as_str().as_bytes())?;
                self.id(id);
                self.space(space)?;
            }
            Write::File { path, stamp, fate } => {
                self.kind(FILE);
                self.block(path_bytes(path))?;
                self.count(stamp.size)?;
                self.number(stamp.mtime_ns);
                self.number(stamp.ctime_ns);
                match fate {
                    FileDisposition::Sample(id) => {
                        self.flag(true);
                        self.id(id);
                    }
                    FileDisposition::Quarantined(reason) => {
                        self.flag(false);
                        self.block(reason.as_bytes())?;
                    }
                }
            }
            Write::Outbox(message) => {
                self.kind(OUTBOX);
                self.count(message.seq)?;
                self.block(message.topic.to_string().as_bytes())?;
                self.block(&message.payload)?;
                self.number(message.made_at.0);
            }
            Write::DeleteMessage { seq } => {
                self.kind(DELETE_MESSAGE);
                self.count(*seq)?;
            }
            Write::Thumbnail { id, jpeg } => {
                self.kind(THUMBNAIL);
                self.id(id);
                self.block(jpeg)?;
            }
            Write::StateRecord { task, record } => {
                self.kind(STATE_RECORD);
                self.block(task.as_str().as_bytes())?;
                self.block(&serde_json::to_vec(record).ok()?)?;
            }
            _ => return None,
        }
        Some(())
    }

    fn sample(&mut self, sample: &NewSample) -> Option<()> {
        self.id(&sample.id);
        self.flag(sample.origin.path().is_some());
        match &sample.origin {
            Origin::File(path) => self.block(path_bytes(path))?,
            Origin::Source(source) => self.block(source.as_str().as_bytes())?,
        }
        self.count(sample.bytes)?;
        self.number(sample.arrived_at.0);
        self.count(sample.embeddings.len() as u64)?;
        sample.embeddings.iter().try_for_each(|(space, embedding)| self.embedding(space, embedding))?;
        self.id(&sample.group);
        self.count(sample.looks.len() as u64)?;
        for Look { task, space, predicted } in &sample.looks {
            self.block(task.as_str().as_bytes())?;
            self.space(space)?;
            self.flag(predicted.is_some());
            if let Some(Predicted { label, probability, head }) = predicted {
                // What the table would refuse is refused at once, and not when the log is brought into it.
                if !(0.0..=1.0).contains(probability) {
                    return None;
                }
                self.block(label.as_str().as_bytes())?;
                self.bytes.extend(probability.to_le_bytes());
                self.count(*head)?;
            }
        }
        for blob in [&sample.thumbnail, &sample.picture] {
            self.flag(blob.is_some());
            blob.iter().try_for_each(|bytes| self.block(bytes))?;
        }
        Some(())
    }

    fn embedding(&mut self, space: &EmbeddingSpace, embedding: &[f32]) -> Option<()> {
        self.space(space)?;
        (embedding.len() == space.dim).then_some(())?;
        self.block(&encode_vector(embedding, self.precision))
    }

    fn space(&mut self, space: &EmbeddingSpace) -> Option<()> {
        let (_, number) = self.numbers.iter().find(|(known, _)| known == space)?;
        self.number(*number);
        Some(())
    }

    fn kind(&mut self, kind: u8) {
        self.bytes.push(kind);
    }

    fn flag(&mut self, flag: bool) {
        self.bytes.push(flag.into());
    }

    fn id(&mut self, id: &SampleId) {
        self.bytes.extend(id.0.0);
    }

    fn number(&mut self, number: i64) {
        self.bytes.extend(number.to_le_bytes());
    }

    /// A number that a column takes.
    fn count(&mut self, count: u64) -> Option<()> {
        self.number(i64::try_from(count).ok()?);
        Some(())
    }

    fn block(&mut self, block: &[u8]) -> Option<()> {
        self.bytes.extend(u32::try_from(block.len()).ok()?.to_le_bytes());
        self.bytes.extend(block);
        Some(())
    }
}

struct Decoder<'a> {
    left: &'a [u8],
    numbers: &'a Numbers,
}

impl<'a> Decoder<'a> {
    fn write(&mut self) -> Option<Write> {
        Some(match self.byte()? {
            SAMPLE => Write::Sample(Box::new(self.sample()?)),
            EMBEDDING => {
                let id = self.id()?;
                let (space, embedding) = self.embedding()?;
                Write::Embedding { id, space, embedding }
            }
            LOOK => Write::Look { task: self.task()?, id: self.id()?, space: self.space()? },
            FILE => {
                let path = self.path()?;
                let stamp = FileStamp { size: self.count()?, mtime_ns: self.number()?, ctime_ns: self.number()? };
                let fate = if self.flag()? {
                    FileDisposition::Sample(self.id()?)
                } else {
                    FileDisposition::Quarantined(self.text()?.to_owned())
                };
                Write::File { path, stamp, fate }
            }
            OUTBOX => Write::Outbox(OutboxMessage {
                seq: self.count()?,
                topic: self.text()?.parse().ok()?,
                payload: self.block()?.to_vec(),
                made_at: Timestamp(self.number()?),
            }),
            DELETE_MESSAGE => Write::DeleteMessage { seq: self.count()? },
            THUMBNAIL => Write::Thumbnail { id: self.id()?, jpeg: self.block()?.to_vec() },
            STATE_RECORD => {
                let task = self.task()?;
                Write::StateRecord { task, record: Box::new(serde_json::from_slice(self.block()?).ok()?) }
            }
            _ => return None,
        })
    }

    fn sample(&mut self) -> Option<NewSample> {
        let id = self.id()?;
        let origin =
            if self.flag()? { Origin::File(self.path()?) } else { Origin::Source(SourceId::new(self.text()?).ok()?) };
        let (bytes, arrived_at) = (self.count()?, Timestamp(self.number()?));
        let embeddings = (0..self.count()?).map(|_| self.embedding()).collect::<Option<_>>()?;
        let group = self.id()?;
        let looks = (0..self.count()?).map(|_| self.look()).collect::<Option<_>>()?;
        let (mut thumbnail, mut picture) = (None, None);
        self.blob(&mut thumbnail)?;
        self.blob(&mut picture)?;
        Some(NewSample { id, origin, bytes, arrived_at, embeddings, group, looks, thumbnail, picture })
    }

    fn look(&mut self) -> Option<Look> {
        let (task, space) = (self.task()?, self.space()?);
        let predicted = if self.flag()? {
            let label = Label::new(self.text()?).ok()?;
            let probability = f32::from_le_bytes(self.take(4)?.try_into().ok()?);
            Some(Predicted { label, probability, head: self.count()? })
        } else {
            None
        };
        Some(Look { task, space, predicted })
    }

    fn embedding(&mut self) -> Option<(EmbeddingSpace, Vec<f32>)> {
        let space = self.space()?;
        let mut embedding = Vec::with_capacity(space.dim);
        decode_vector(self.block()?, space.dim, &mut embedding)?;
        Some((space, embedding))
    }

    fn space(&mut self) -> Option<EmbeddingSpace> {
        let number = self.number()?;
        self.numbers.iter().find(|(_, known)| *known == number).map(|(space, _)| *space)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, left) = self.left.split_at_checked(count)?;
        self.left = left;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn flag(&mut self) -> Option<bool> {
        self.byte().map(|byte| byte == 1)
    }

    fn number(&mut self) -> Option<i64> {
        Some(i64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<u64> {
        u64::try_from(self.number()?).ok()
    }

    fn id(&mut self) -> Option<SampleId> {
        Some(SampleId(Digest(self.take(32)?.try_into().ok()?)))
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let length = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(length).ok()?)
    }

    /// Bytes that may be missing.
    fn blob(&mut self, into: &mut Option<Vec<u8>>) -> Option<()> {
        if self.flag()? {
            *into = Some(self.block()?.to_vec());
        }
        Some(())
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.block()?).ok()
    }

    fn path(&mut self) -> Option<PathBuf> {
        self.block().map(|bytes| PathBuf::from(OsStr::from_bytes(bytes)))
    }

    fn task(&mut self) -> Option<TaskId> {
        TaskId::new(self.text()?).ok()
    }
}
