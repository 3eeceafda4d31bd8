//! `request/score`: a head measured on the device's own labelled images.

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;

use super::{BadPayload, Effect, Spec};
use crate::fleet;

/// Measure a head on the labelled images, as numbers; it does not serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// The bytes of its file.
    pub head: Vec<u8>,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// A head file in base64.
    #[cfg_attr(test, schemars(extend("pattern" = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$")))]
    head: String,
}

impl Spec for Score {
    const NAME: &'static str = "score";
    const ABOUT: &'static str = "Measure a head on the labelled images, as numbers; it does not serve.";
    const EFFECT: Effect = Effect::Works;
    const SHAPE: &'static str = "{head}";
    type Arguments = Arguments;
    type Data = fleet::Score;

    fn check(Arguments { head }: Arguments) -> Result<Self, BadPayload> {
        let head = Base64::decode_vec(&head).map_err(|_| {
            let found = "'head' is no base64; send the bytes of a head file in base64".into();
            BadPayload::Json { what: Self::SHAPE, found }
        })?;
        Ok(Self { head })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_head_is_base64() {
        assert_eq!(read::<Score>(r#"{"head":"AAEC"}"#), Ok(Score { head: vec![0, 1, 2] }));
        assert!(read::<Score>(r#"{"head":"%"}"#).unwrap_err().contains("base64"));
    }
}
