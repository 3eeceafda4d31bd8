//! The bytes that are worth keeping: what would be written if nothing but the values were.

use std::error::Error;
use std::fmt;
use std::path::Path;

use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::engine::{FileDisposition, FileStamp, Look, NewSample, Write};
use edgetuned::head::BackboneRef;
use edgetuned::ports::Embedder;
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store};
use edgetuned::words::{Origin, SampleId, TaskId, Timestamp};
use rusqlite::{Connection, OpenFlags};

/// An image's values in the tables, on average.
pub struct Worth {
    embedding: f64,
    rows: f64,
    /// That reports the prediction; it is in no table when it was delivered.
    message: f64,
    thumbnail: f64,
}

impl Worth {
    /// Of the samples that came last into the store of a daemon that has ended.
    pub fn of(folder: &Path, images: u64, message: f64) -> Result<Self, Box<dyn Error>> {
        let connection = Connection::open_with_flags(folder.join("edgetuned.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mean = |sql: &str| -> Result<f64, Box<dyn Error>> {
            let newest = format!("(SELECT * FROM samples ORDER BY number DESC LIMIT {images}) AS samples");
            let sum: f64 = connection.query_row(&sql.replace("newest", &newest), [], |row| row.get(0))?;
            Ok(sum / images as f64)
        };
        let embedding = "SELECT total(length(vector)) FROM newest JOIN embeddings USING (image)";
        // A number has eight bytes, whatever SQLite makes of it.
        let samples = "SELECT total(length(samples.image) + length(burst) + length(path) + 16) FROM newest";
        let looks =
            "SELECT total(16 + coalesce(length(predicted) + 16, 0)) FROM newest JOIN task_samples ON sample = number";
        let files = "SELECT total(length(files.path) + 24 + length(files.image))
                     FROM newest JOIN files ON files.image = samples.image";
        let thumbnail = "SELECT total(length(jpeg)) FROM newest JOIN thumbnails ON sample = number";
        Ok(Self {
            embedding: mean(embedding)?,
            rows: mean(samples)? + mean(looks)? + mean(files)?,
            message,
            thumbnail: mean(thumbnail)?,
        })
    }

    /// All of them.
    pub fn bytes(&self) -> f64 {
        self.embedding + self.rows + self.message + self.thumbnail
    }
}

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { embedding, rows, message, thumbnail } = self;
        let all = self.bytes();
        write!(f, "{all:.0} bytes an image: embedding {embedding:.0}, rows {rows:.0}, message {message:.0}, ")?;
        write!(f, "thumbnail {thumbnail:.0}")
    }
}

/// Stores so many samples of `photo` in `folder`, as if they had come before.
pub fn fill(folder: &Path, samples: u64, thumbnails: bool) -> Result<(), Box<dyn Error>> {
    let backbone = OnnxBackbone::open(&Manifest::resolve("photo")?, 1)?;
    let space = backbone.space();
    let reference = BackboneRef { name: backbone.name().to_owned(), sha256: space.backbone, dim: space.dim };
    let spaces = SpacesInUse::whole(space);
    let mut store = Store::open(folder, &OpenOptions { spaces, backbone: &reference, precision: Precision::F16 })?;
    let task = TaskId::default();
    let writes = |n: u64| {
        let (id, path) = (SampleId::of(&n.to_le_bytes()), format!("/srv/camera/former/{n:08}.jpg"));
        let embedding = (0..space.dim as u64).map(|i| ((n + i) % 251) as f32 / 251.0).collect();
        let sample = NewSample {
            id,
            origin: Origin::File(path.clone().into()),
            bytes: 9_000,
            arrived_at: Timestamp(1_700_000_000_000 + n as i64),
            embeddings: vec![(space, embedding)],
            group: id,
            looks: vec![Look { task: task.clone(), space, predicted: None }],
            thumbnail: thumbnails.then(|| vec![n as u8; 3_800]),
            picture: None,
        };
        let stamp = FileStamp { size: 9_000, mtime_ns: n as i64, ctime_ns: 0 };
        let file = Write::File { path: path.into(), stamp, fate: FileDisposition::Sample(id) };
        [Write::Sample(Box::new(sample)), file]
    };
    for first in (0..samples).step_by(256) {
        store.commit(&(first..samples.min(first + 256)).flat_map(writes).collect::<Vec<_>>())?;
    }
    store.close()?;
    Ok(())
}
