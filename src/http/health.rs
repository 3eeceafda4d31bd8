//! `GET /healthz` and `GET /readyz`: whether the process answers, and whether the daemon does its work.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::ports::{PictureSource, SampleViews};

/// How the daemon is, as far as clients have to know.
#[derive(Default)]
pub(super) struct Condition(Mutex<Now>);

#[derive(Default)]
struct Now {
    phase: Phase,
    /// Whether the store takes nothing.
    full: bool,
    pictures: Option<Arc<dyn PictureSource>>,
    views: Option<Arc<dyn SampleViews>>,
}

#[derive(Default)]
enum Phase {
    #[default]
    Starting,
    Running,
    Restarting,
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").field("ready", &self.ready()).finish()
    }
}

impl Condition {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pictures can be read until the restart.
    pub fn have_pictures(&self, pictures: Arc<dyn PictureSource>) {
        self.now().pictures = Some(pictures);
    }

    /// Samples can be looked at until the restart.
    pub fn have_views(&self, views: Arc<dyn SampleViews>) {
        self.now().views = Some(views);
    }

    /// The engine has started.
    pub fn running(&self) {
        self.now().phase = Phase::Running;
    }

    /// The engine ended, and another one is about to start.
    pub fn restarting(&self) {
        *self.now() = Now { phase: Phase::Restarting, ..Now::default() };
    }

    /// Whether changes can be stored.
    pub fn stores(&self, stores: bool) {
        self.now().full = !stores;
    }

    /// Where pictures are read; `None` until they can be.
    pub fn pictures(&self) -> Option<Arc<dyn PictureSource>> {
        self.now().pictures.clone()
    }

    /// Where samples are looked at; `None` until they can be.
    pub fn views(&self) -> Option<Arc<dyn SampleViews>> {
        self.now().views.clone()
    }

    fn ready(&self) -> Result<(), &'static str> {
        let now = self.now();
        match now.phase {
            Phase::Starting => Err("starting: the engine has not started yet\n"),
            Phase::Restarting => Err("restarting: the engine starts anew with other settings\n"),
            Phase::Running if now.full => {
                Err("nothing can be stored: make room on the disk, or let the daemon write; its log says why\n")
            }
            Phase::Running => Ok(()),
        }
    }
}

/// The routes.
pub(super) fn routes(condition: Arc<Condition>) -> axum::Router {
    axum::Router::new()
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(condition)
}

async fn ready(State(condition): State<Arc<Condition>>) -> (StatusCode, &'static str) {
    match condition.ready() {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_who_runs_and_can_store() {
        let condition = Condition::default();
        assert!(condition.ready().is_err_and(|why| why.starts_with("starting")));
        condition.running();
        assert_eq!(condition.ready(), Ok(()));
        condition.stores(false);
        assert!(condition.ready().is_err_and(|why| why.starts_with("nothing can be stored")));
        condition.stores(true);
        assert_eq!(condition.ready(), Ok(()));
        condition.stores(false);
        condition.restarting();
        assert!(condition.ready().is_err_and(|why| why.starts_with("restarting")));
        condition.running();
        assert_eq!(condition.ready(), Ok(()), "the next engine finds out by itself");
    }
}
