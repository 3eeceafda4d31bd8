//! Somebody afar who makes heads, signs them, and sends the chunks that a device asks for.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use edgetuned::head::{BackboneRef, DenseHead, HeadRecord};
use edgetuned::update::{Signer, sign};
use edgetuned::words::{Digest, EmbeddingSpace, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rumqttc::QoS;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::daemon::{Listener, Message};
use crate::questions::Question;

const CHUNK: usize = 1024;

pub struct Vendor {
    folder: TempDir,
    signer: Signer,
    dice: ChaCha8Rng,
    version: u64,
    /// The head that was released last.
    file: Vec<u8>,
}

impl Vendor {
    pub fn new(seed: u64) -> Self {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::from_seed(&[7; 32]));
        std::fs::write(folder.path().join("vendor.pub"), signer.public_pem()).unwrap();
        Self { folder, signer, dice: ChaCha8Rng::seed_from_u64(seed ^ 0xbe4d), version: 0, file: Vec::new() }
    }

    /// The file with the public key.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("vendor.pub")
    }

    /// The manifest of the next version: a head that guesses at a question about pictures, which are embedded in `whole`.
    pub fn release(&mut self, question: &Question, whole: EmbeddingSpace) -> Vec<u8> {
        self.version += 1;
        let (classes, space) = (question.classes(), question.space(whole));
        let mut weight = || self.dice.random_range(-0.1..0.1);
        let weights = ndarray::Array2::from_shape_simple_fn((classes.len(), space.dim), &mut weight);
        let bias = ndarray::Array1::zeros(classes.len());
        let dense = DenseHead::linear(space, classes, weights, bias);
        let now = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64);
        let backbone = BackboneRef { name: "default".into(), sha256: space.backbone, dim: space.dim };
        self.file = HeadRecord::new(dense, 1, now, backbone.clone()).to_bytes();
        let expires = Timestamp(now.0 + 86_400_000);
        let members = question.about(json!({
            "v": 1, "kind": "head", "name": "guesses", "version": self.version, "size": self.file.len(),
            "sha256": Digest::of(&self.file), "chunk_bytes": CHUNK, "created": now, "expires": expires,
            "key_id": self.signer.public().id(), "backbone": backbone, "space": space,
        }));
        let Value::Object(members) = members else { unreachable!("the literal above is an object") };
        sign(members, &self.signer).unwrap().into_bytes()
    }

    /// Sends what this message asks for of the latest release.
    pub fn answer(&self, message: &Message, to: &Listener) {
        let sha256 = Digest::of(&self.file).to_string();
        if message.topic != "update/head/request" || message.json["sha256"] != sha256 {
            return;
        }
        for n in message.json["chunks"].as_array().unwrap().iter().filter_map(Value::as_u64) {
            let start = n as usize * CHUNK;
            let bytes = self.file[start..self.file.len().min(start + CHUNK)].to_vec();
            to.send_raw(&format!("update/head/chunk/{sha256}/{n}"), bytes, QoS::AtLeastOnce, false);
        }
    }
}
