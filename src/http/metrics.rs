//! `GET /metrics`, and the count of all requests by the pattern of their route.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::replies::ReplyRouter;
use crate::ports::Metrics;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4";

/// The route.
pub(super) fn routes(metrics: Arc<dyn Metrics>, replies: Arc<ReplyRouter>) -> axum::Router {
    axum::Router::new().route("/metrics", get(scrape)).with_state((metrics, replies))
}

async fn scrape(State((metrics, replies)): State<(Arc<dyn Metrics>, Arc<ReplyRouter>)>) -> Response {
    ([(header::CONTENT_TYPE, TEXT)], metrics.text(replies.watchers())).into_response()
}

/// Has an answer remember the route that it comes from, for [`count`].
pub(super) async fn remember_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut answer = next.run(request).await;
    if let Some(route) = route {
        answer.extensions_mut().insert(route);
    }
    answer
}

/// Counts an answer to a request that came at `since`.
pub(super) fn count<B>(metrics: &dyn Metrics, answer: &axum::http::Response<B>, since: Instant) {
    let route = answer.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    metrics.answered(route, answer.status().as_u16(), since.elapsed());
}
