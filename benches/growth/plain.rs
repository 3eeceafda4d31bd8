//! The peer: one table with the same bytes, by `SQLite` alone.

use std::error::Error;
use std::path::Path;

use rusqlite::{Connection, params};

use crate::filling::{DIM, id};

pub struct Plain(Connection);

impl Plain {
    pub fn open(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let connection = Connection::open(folder.join("plain.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full;
             CREATE TABLE IF NOT EXISTS samples
                 (number INTEGER PRIMARY KEY, image BLOB UNIQUE, about TEXT, label TEXT, vector BLOB)",
        )?;
        Ok(Self(connection))
    }

    /// Adds the rows from `from` on, below `to`, in one commit.
    pub fn add(&mut self, from: u64, to: u64) -> Result<(), Box<dyn Error>> {
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached(
                "INSERT OR REPLACE INTO samples (number, image, about, vector) VALUES (?1, ?2, ?3, ?4)",
            )?;
            let about = "x".repeat(120);
            for n in from..to {
                // The bytes of f16; which ones they are does not matter to a table.
                insert.execute(params![n, id(n), about, vec![n as u8; 2 * DIM]])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    pub fn label(&mut self, n: u64, label: &str) -> Result<(), Box<dyn Error>> {
        self.0.prepare_cached("UPDATE samples SET label = ?2 WHERE image = ?1")?.execute(params![id(n), label])?;
        Ok(())
    }

    /// A page after row `n`; how many rows it has.
    pub fn page(&self, n: u64, limit: u64) -> Result<usize, Box<dyn Error>> {
        let sql = "SELECT image, about, label FROM samples WHERE number > ?1 ORDER BY number LIMIT ?2";
        let mut select = self.0.prepare_cached(sql)?;
        let rows = select.query_map(params![n as i64 - 1, limit], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, String>(1)?, row.get::<_, Option<String>>(2)?))
        })?;
        Ok(rows.collect::<Result<Vec<_>, _>>()?.len())
    }

    /// Reads what a start reads: every row but its vector.
    pub fn all(&self) -> Result<usize, Box<dyn Error>> {
        self.page(0, i64::MAX as u64)
    }
}
