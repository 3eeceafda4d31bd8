//! Who may sign updates: ed25519 keys in PEM files.

use base64ct::{Base64, Encoding};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::words::Digest;

/// A public key whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKey {
    key: VerifyingKey,
}

/// The keys of this device, in the order of its configuration; none means that no update is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedKeys(pub Vec<TrustedKey>);

/// A private key, and with it the right to sign.
pub struct Signer {
    key: SigningKey,
}

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No public key in PEM form.
    #[error("expected an ed25519 public key in PEM form (BEGIN PUBLIC KEY): {0}")]
    Public(String),
    /// No private key in PEM form.
    #[error("expected an ed25519 private key in PEM form (BEGIN PRIVATE KEY): {0}")]
    Private(String),
    /// A public key that anybody can sign for.
    #[error(
        "this public key is of small order, so that anybody could sign for it; make one with 'edgetuned update keygen'"
    )]
    Weak,
}

impl TrustedKey {
    /// Reads `SubjectPublicKeyInfo` in PEM form, as `keygen` and OpenSSL write it.
    ///
    /// # Errors
    /// [`BadKey`] for anything else, and for keys of small order.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let key = VerifyingKey::from_public_key_pem(text.trim()).map_err(|error| BadKey::Public(error.to_string()))?;
        if key.is_weak() { Err(BadKey::Weak) } else { Ok(Self { key }) }
    }

    /// Its id, as messages show it: the first twelve hexadecimal digits of the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn id(&self) -> String {
        Digest::of(self.key.as_bytes()).short()
    }

    /// Whether `signature` is this key's over `message`; signatures that more than one message could have are refused.
    fn signed(&self, message: &[u8], signature: &Signature) -> bool {
        self.key.verify_strict(message, signature).is_ok()
    }
}

impl TrustedKeys {
    /// The key whose signature over `message` this base64 text is.
    pub(super) fn signer_of(&self, message: &[u8], signature: &str) -> Option<&TrustedKey> {
        let bytes = Base64::decode_vec(signature).ok()?;
        let signature = Signature::from_slice(&bytes).ok()?;
        self.0.iter().find(|key| key.signed(message, &signature))
    }

    /// Their ids, for messages.
    pub(super) fn ids(&self) -> String {
        self.0.iter().map(TrustedKey::id).collect::<Vec<_>>().join(", ")
    }
}

impl Signer {
    /// A key made of 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// Reads PKCS#8 in PEM form, as `keygen` and OpenSSL write it.
    ///
    /// # Errors
    /// [`BadKey::Private`] for anything else; nothing of the text is in the message.
    pub fn from_pem(text: &str) -> Result<Self, BadKey> {
        let key = SigningKey::from_pkcs8_pem(text.trim()).map_err(|error| BadKey::Private(error.to_string()))?;
        Ok(Self { key })
    }

    /// PKCS#8 in PEM form, without the public key, since OpenSSL before 3.5 does not read it with one.
    ///
    /// # Panics
    /// Never: 32 bytes always have such a form.
    #[must_use]
    pub fn to_pem(&self) -> String {
        let pair = KeypairBytes { secret_key: self.key.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).expect("32 bytes in a fixed frame").to_string()
    }

    /// Its public key as a PEM file has it.
    ///
    /// # Panics
    /// Never: 32 bytes always have such a form.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.key.verifying_key().to_public_key_pem(LineEnding::LF).expect("32 bytes in a fixed frame")
    }

    /// Its public key.
    #[must_use]
    pub fn public(&self) -> TrustedKey {
        TrustedKey { key: self.key.verifying_key() }
    }

    /// Its signature over `message`, in base64.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        Base64::encode_string(&self.key.sign(message).to_bytes())
    }
}
