//! The backbone that serves the store of a configuration: the facts for the engine's choice
//! ([`BackboneState::choose`]), and the manifest that it comes to.

use crate::backbone::{BadManifest, Manifest, bundled};
use crate::config::Config;
use crate::engine::{BackboneChoice, BackboneFacts, BackboneGone, BackboneState, BundledBackbone};
use crate::store::{Reader, SpacesInUse, StoreError};
use crate::words::{EmbeddingSpace, is_manifest_path};

/// The backbone that the daemon of a configuration runs with.
#[derive(Debug)]
pub struct BackboneInUse {
    /// Its manifest.
    pub manifest: Manifest,
    /// Why it is this one.
    pub choice: BackboneChoice,
    /// The value of `backbone.model`.
    configured: String,
    /// The manifest of what this means now.
    meant: Option<Manifest>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NoBackbone {
    /// There is no usable manifest.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// The one that has served until now is gone.
    #[error(transparent)]
    Gone(#[from] BackboneGone),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackboneInUse {
    /// Finds it by the configuration, the store as far as there is one, and the bundled backbones. Models are read for the
    /// channels of inner tensors alone.
    ///
    /// # Errors
    /// [`NoBackbone`].
    pub fn find(config: &Config) -> Result<Self, NoBackbone> {
        match Reader::open(&config.store.path, SpacesInUse::default()) {
            Ok(reader) => Self::of_store(config, &reader.startup_state()?.backbone, || reader.prevailing_space()),
            Err(StoreError::Missing { .. }) => Self::configured(config),
            Err(error) => Err(error.into()),
        }
    }

    /// What `backbone.model` means, whatever the store holds.
    ///
    /// # Errors
    /// [`NoBackbone::Manifest`].
    pub fn configured(config: &Config) -> Result<Self, NoBackbone> {
        Self::of_store(config, &BackboneState::default(), || Ok(None))
    }

    /// The same for a store that remembers `state`; `stored` looks up the embeddings in it, which is seldom needed.
    fn of_store(
        config: &Config,
        state: &BackboneState,
        stored: impl FnOnce() -> Result<Option<EmbeddingSpace>, StoreError>,
    ) -> Result<Self, NoBackbone> {
        let configured = &config.backbone.model;
        let meant = Manifest::resolve(configured);
        let served = state.served.as_ref().map(|served| served.space);
        // One whose model is missing may not know its width: it is the same all the same, and fails when it is opened.
        let of_served = |meant: EmbeddingSpace| {
            served.filter(|served| EmbeddingSpace { dim: served.dim, ..meant } == *served).unwrap_or(meant)
        };
        let meant_space = meant.as_ref().ok().map(|meant| of_served(meant.space()));
        let is_as_before = meant_space.is_some() && meant_space == served;
        let facts = BackboneFacts {
            configured,
            is_path: is_manifest_path(configured),
            meant: meant_space,
            stored: if is_as_before { None } else { stored()? },
        };
        let choice = match (state.choose(facts, bundled_ones), &meant) {
            (Ok(choice), _) => choice,
            // What is wrong with the manifest says more.
            (Err(_), Err(BadManifest::Wrong(_) | BadManifest::Unreadable { .. })) => BackboneChoice::Configured,
            (Err(gone), _) => return Err(gone.into()),
        };
        let (manifest, meant) = match &choice {
            BackboneChoice::Installed(installed) => (Manifest::load(&installed.manifest)?, meant.ok()),
            BackboneChoice::Configured => (meant?, None),
            BackboneChoice::Kept { name } => (bundled::resolve(name)?, meant.ok()),
        };
        // Which embeddings a provider made is known from when the daemon last opened it.
        let is_served = served.is_some_and(|served| of_served(manifest.space()) == served);
        let provider = state.served.as_ref().filter(|_| is_served).and_then(|served| served.provider.clone());
        let manifest = manifest.on(provider);
        Ok(Self { manifest, choice, configured: configured.clone(), meant })
    }

    /// What a person may want to know: `backbone.model` means another backbone than the one that serves.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let BackboneChoice::Kept { name } = &self.choice else { return None };
        let (configured, serves) = (&self.configured, &self.manifest.name);
        let serves_on = format!("{serves} ({name}), of which the images and heads here are, serves on");
        match &self.meant {
            // Somebody else's place: there is nothing to change over to.
            Some(Manifest { stands_in: Some(_), .. }) => None,
            Some(meant) => Some(format!(
                "a better backbone may be there: backbone.model {configured:?} is {} now, and {serves_on}; 'edgetuned \
                 backbone switch {configured}' compares the two and changes over",
                meant.name
            )),
            None => Some(format!(
                "backbone.model {configured:?} names no backbone any more, and {serves_on}: set backbone.model to {name:?}"
            )),
        }
    }
}

/// The bundled backbones whose models are there.
fn bundled_ones() -> Vec<BundledBackbone> {
    let manifests = bundled::all().into_iter().filter_map(|(name, path)| Some((name, Manifest::load(&path).ok()?)));
    let there = manifests.filter(|(_, manifest)| manifest.file.is_file());
    there.map(|(name, manifest)| BundledBackbone { name, space: manifest.space() }).collect()
}
