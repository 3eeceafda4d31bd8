//! Which backbone a start uses: the one that took over on this device, what `backbone.model` names, or the one that has
//! served until now where that name means another one since.
//!
//! An upgrade of the program never changes the backbone of a device. A bundled name may mean another model than before:
//! a package brought it, or its file was fetched or is gone. The embeddings and heads of the device are of the former
//! one, so that one serves on, and changing over is a person's act: a switch
//! ([`super::super::remote::BackboneSwitch`]), or another value of `backbone.model`. A manifest that is named by its path
//! is a person's own: what it says counts.

use serde::{Deserialize, Serialize};

use super::super::remote::{BackboneState, InstalledBackbone};
use super::super::write::Write;
use crate::words::EmbeddingSpace;

/// Names that versions without [`ServedBackbone`] offered: their stores do not say what was configured.
const NAMES_BEFORE: [&str; 2] = ["default", "default-int8"];

/// The backbone that served when the daemon last worked, with the setting that it served under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServedBackbone {
    /// The value of `backbone.model`.
    pub over: String,
    /// Its name, for people.
    pub name: String,
    /// Its embeddings on the CPU.
    pub space: EmbeddingSpace,
    /// The execution provider that computed others, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// A bundled backbone whose model is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledBackbone {
    /// Its bundled name.
    pub name: String,
    /// Its embeddings.
    pub space: EmbeddingSpace,
}

/// What a start finds.
#[derive(Debug, Clone, Copy)]
pub struct BackboneFacts<'a> {
    /// The value of `backbone.model`.
    pub configured: &'a str,
    /// Whether that is the path of a manifest.
    pub is_path: bool,
    /// The embeddings of what it means now; `None` where there is no such backbone.
    pub meant: Option<EmbeddingSpace>,
    /// The embeddings of the champion, or else of most samples; `None` in a store without either, which has nothing to
    /// lose.
    pub stored: Option<EmbeddingSpace>,
}

/// The backbone of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackboneChoice {
    /// One that took over on this device.
    Installed(InstalledBackbone),
    /// What `backbone.model` names.
    Configured,
    /// The bundled one that has served until now, though `backbone.model` means another one.
    Kept {
        /// Its bundled name.
        name: String,
    },
}

/// The backbone that has served until now is gone, and what its name means now has other embeddings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the images and heads of this device are of {was}, which backbone.model \"{configured}\" named until now and \
         which is not there any more; put its model back (install the package again; in a checkout: make setup), or set \
         backbone.model to another backbone: then all images are embedded again, and a new head has to be trained"
)]
pub struct BackboneGone {
    /// The name of the one that has served, for people.
    pub was: String,
    /// The value of `backbone.model`.
    pub configured: String,
}

impl BackboneState {
    /// The backbone of a start. `bundled` looks up the bundled ones, which is seldom needed.
    ///
    /// # Errors
    /// [`BackboneGone`], rather than embedding all images anew by a backbone that nobody chose.
    pub fn choose(
        &self,
        facts: BackboneFacts<'_>,
        bundled: impl FnOnce() -> Vec<BundledBackbone>,
    ) -> Result<BackboneChoice, BackboneGone> {
        if let Some(installed) = self.model(facts.configured) {
            return Ok(BackboneChoice::Installed(installed.clone()));
        }
        let space = match &self.served {
            Some(served) if served.over == facts.configured => Some(served.space),
            // A person changed the setting since.
            Some(_) => None,
            None => facts.stored.filter(|_| NAMES_BEFORE.contains(&facts.configured)),
        };
        let is_kept = |space: &EmbeddingSpace| facts.meant != Some(*space) && !facts.is_path && facts.stored.is_some();
        let Some(space) = space.filter(is_kept) else { return Ok(BackboneChoice::Configured) };
        let known = bundled().into_iter().find(|bundled| bundled.space == space);
        match (known, &self.served) {
            (Some(BundledBackbone { name, .. }), _) => Ok(BackboneChoice::Kept { name }),
            // What an older version did here is not known.
            (None, None) => Ok(BackboneChoice::Configured),
            (None, Some(ServedBackbone { name: was, .. })) => {
                Err(BackboneGone { was: was.clone(), configured: facts.configured.to_owned() })
            }
        }
    }

    /// The daemon is about to work with this backbone: what makes durable that it did. Nothing where that is known, and
    /// while one is on trial, which counts once it has held.
    #[must_use]
    pub fn serves(&mut self, served: ServedBackbone) -> Option<Write> {
        if self.trial.is_some() || self.served.as_ref() == Some(&served) {
            return None;
        }
        self.served = Some(served);
        Some(Write::BackboneState(Box::new(self.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::remote::{PreviousBackbone, Probation};
    use super::*;
    use crate::words::Digest;

    fn space(name: &str) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(name.as_bytes()), preprocessing: Digest::of(b"played"), dim: 1 }
    }

    fn served(over: &str, name: &str) -> ServedBackbone {
        ServedBackbone { over: over.into(), name: name.into(), space: space(name), provider: None }
    }

    fn installed(over: &str) -> InstalledBackbone {
        let manifest = "/state/backbones/net.yaml".into();
        InstalledBackbone { files: Digest::of(b"net"), manifest, over: over.into(), asked: None }
    }

    /// What a device is started with.
    struct Start<'a> {
        /// The value of `backbone.model`, and the backbone that it means now.
        configured: (&'a str, Option<&'a str>),
        served: Option<ServedBackbone>,
        /// What the embeddings in the store are of.
        stored: Option<&'a str>,
        /// Bundled backbones whose models are there: name and backbone.
        bundled: &'a [(&'a str, &'a str)],
        installed: Option<InstalledBackbone>,
    }

    /// `default` has become the large one; the former one is called `photo`.
    const NOW: &[(&str, &str)] = &[("default", "large"), ("fast", "quick"), ("photo", "small")];
    /// The large one was not fetched, or is gone: the small one takes its place under its name.
    const WITHOUT: &[(&str, &str)] = &[("photo", "small")];

    fn start(configured: &'static str, meant: &'static str) -> Start<'static> {
        let configured = (configured, Some(meant).filter(|meant| !meant.is_empty()));
        Start { configured, served: None, stored: Some("any"), bundled: NOW, installed: None }
    }

    fn check(what: &str, start: &Start<'_>, expected: &str) {
        let Start { configured: (configured, meant), served, stored, bundled, installed } = start;
        let state = BackboneState { served: served.clone(), installed: installed.clone(), ..BackboneState::default() };
        let facts = BackboneFacts {
            configured,
            is_path: crate::words::is_manifest_path(configured),
            meant: meant.map(space),
            stored: stored.map(space),
        };
        let there = || {
            let one = |(name, of): &(&str, &str)| BundledBackbone { name: (*name).into(), space: space(of) };
            bundled.iter().map(one).collect()
        };
        let chosen = match state.choose(facts, there) {
            Ok(BackboneChoice::Installed(_)) => "installed".to_owned(),
            Ok(BackboneChoice::Configured) => "configured".to_owned(),
            Ok(BackboneChoice::Kept { name }) => format!("kept {name}"),
            Err(gone) => format!("{} is gone", gone.was),
        };
        assert_eq!(chosen, expected, "{what}");
    }

    #[test]
    fn an_upgrade_keeps_the_backbone_and_a_person_changes_it() {
        let (default, small) = (|| start("default", "large"), served("default", "small"));
        check("a new device", &Start { stored: None, ..default() }, "configured");
        check("nothing changed", &Start { served: Some(small.clone()), ..start("default", "small") }, "configured");
        check("the name means another one since", &Start { served: Some(small.clone()), ..default() }, "kept photo");
        check(
            "the setting was changed",
            &Start { served: Some(small.clone()), ..start("fast", "quick") },
            "configured",
        );
        check(
            "to the name of what serves",
            &Start { served: Some(small.clone()), ..start("photo", "small") },
            "configured",
        );
        check(
            "and back, after it served under that name",
            &Start { served: Some(served("photo", "small")), ..default() },
            "configured",
        );
        check("to a path", &Start { served: Some(small), ..start("/srv/mine.yaml", "mine") }, "configured");
        check(
            "the manifest at the path was edited",
            &Start { served: Some(served("/srv/mine.yaml", "before")), ..start("/srv/mine.yaml", "mine") },
            "configured",
        );
        check(
            "the name is not bundled any more, its backbone is",
            &Start { served: Some(served("old", "small")), ..start("old", "") },
            "kept photo",
        );
    }

    #[test]
    fn a_file_that_comes_changes_nothing_and_one_that_goes_is_missed() {
        let fallback = || Some(served("default", "small"));
        let without = |served| Start { served, bundled: WITHOUT, ..start("default", "small") };
        check("the fallback serves", &without(fallback()), "configured");
        check("the file has come", &Start { served: fallback(), ..start("default", "large") }, "kept photo");
        check("the file has gone", &without(Some(served("default", "large"))), "large is gone");
        let empty = |start| Start { stored: None, ..start };
        let come = Start { served: fallback(), ..start("default", "large") };
        check("the file has come, and nothing is stored yet", &empty(come), "configured");
        let gone = without(Some(served("default", "large")));
        check("the file has gone, and nothing was stored", &empty(gone), "configured");
        let replaced = Start { served: Some(served("default", "former")), ..start("default", "large") };
        check("a package replaced it, and the former one is bundled nowhere", &replaced, "former is gone");
        let unknown = Start { served: Some(served("old", "former")), ..start("old", "") };
        check("neither name nor backbone is bundled any more", &unknown, "former is gone");
    }

    #[test]
    fn a_store_of_an_older_version_is_taken_to_be_of_an_unchanged_setting() {
        let before = |configured, meant| Start { stored: Some("small"), ..start(configured, meant) };
        check("default", &before("default", "large"), "kept photo");
        check("default-int8", &before("default-int8", "large-int8"), "kept photo");
        check("a name that it did not have", &before("fast", "quick"), "configured");
        check("a path", &before("/srv/mine.yaml", "mine"), "configured");
        check(
            "of a backbone that is bundled nowhere",
            &Start { stored: Some("signed"), ..start("default", "large") },
            "configured",
        );
        check("without samples", &Start { stored: None, ..start("default", "large") }, "configured");
    }

    #[test]
    fn what_took_over_on_the_device_serves_until_the_setting_is_changed() {
        let over = |over| Start {
            installed: Some(installed(over)),
            served: Some(served("default", "signed")),
            ..start("default", "large")
        };
        check("over this setting", &over("default"), "installed");
        check("over another one", &Start { served: None, ..over("photo") }, "configured");
    }

    #[test]
    fn what_served_is_remembered_once_and_not_before_a_trial_has_ended() {
        let mut state = BackboneState::default();
        assert!(matches!(state.serves(served("default", "small")), Some(Write::BackboneState(_))));
        assert!(state.serves(served("default", "small")).is_none());
        state.trial = Some(Probation::new(PreviousBackbone::default()));
        assert!(state.serves(served("default", "large")).is_none());
        assert_eq!(state.served, Some(served("default", "small")), "it comes back when the trial fails");
    }
}
