//! What is read beside the engine: `index`, `map`, `neighbours`, `trainings`, `events`, `confusion`, and the document that
//! describes all routes.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde::Serialize;

use super::health::Condition;
use super::image_name::image_name;
use super::routes::{json, refuse};
use super::turn::Turns;
use crate::ports::{NoView, SampleViews};
use crate::wire::ErrorCode;
use crate::wire::views::{DEFAULT_NEIGHBOURS, IndexData, MAX_EVENTS, MAX_NEIGHBOURS, MAX_TRAININGS};

/// Every route, for programs.
const OPENAPI: &str = include_str!("../../docs/openapi.json");
/// Columns in place of JSON.
const OCTETS: &str = "application/octet-stream";

/// The names of these routes below `/api/v1/`, for people who look for them.
pub(super) const NAMES: [&str; 7] =
    ["index", "map", "neighbours/<digits>", "trainings", "events", "confusion", "openapi.json"];

/// What the routes need. What goes through all embeddings has turns of its own.
#[derive(Clone)]
struct Views {
    condition: Arc<Condition>,
    lists: Turns,
    vectors: Turns,
}

/// The arguments of a query as they came.
type Arguments = Result<Query<BTreeMap<String, String>>, QueryRejection>;

/// The routes.
pub(super) fn routes(condition: Arc<Condition>) -> axum::Router {
    axum::Router::new()
        .route("/api/v1/index", get(index))
        .route("/api/v1/map", get(map))
        .route("/api/v1/neighbours/{image}", get(neighbours))
        .route("/api/v1/trainings", get(trainings))
        .route("/api/v1/events", get(events))
        .route("/api/v1/confusion", get(confusion))
        .with_state(Views { condition, lists: Turns::default(), vectors: Turns::default() })
        .route("/api/v1/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
}

async fn index(State(views): State<Views>, headers: HeaderMap, arguments: Arguments) -> Response {
    let wanted = Wanted::of(&headers);
    let read = move |views: &dyn SampleViews, asked: &Asked| {
        let task = views.task(asked.text("task"))?;
        if let Some(unchanged) = wanted.unchanged(&views.revision()) {
            return Ok(unchanged);
        }
        let index = views.index(&task)?;
        let data = || data(&IndexData::from(&*index));
        Ok(wanted.revised(&index.revision, data, || index.to_octets()))
    };
    views.answer(&views.lists, arguments, read).await
}

async fn map(State(views): State<Views>, headers: HeaderMap, arguments: Arguments) -> Response {
    let wanted = Wanted::of(&headers);
    let read = move |views: &dyn SampleViews, asked: &Asked| {
        let task = views.task(asked.text("task"))?;
        if let Some(unchanged) = wanted.unchanged(&views.revision()) {
            return Ok(unchanged);
        }
        let map = views.map(&task)?;
        let data = || data(&map.points().collect::<Vec<_>>());
        Ok(wanted.revised(&map.revision, data, || map.to_octets()))
    };
    views.answer(&views.vectors, arguments, read).await
}

async fn neighbours(State(views): State<Views>, uri: Uri, arguments: Arguments) -> Response {
    let image = image_name(&uri);
    let read = move |views: &dyn SampleViews, asked: &Asked| {
        let image = image.ok_or_else(|| {
            NoView::NotFound("there is no such image; name a sample by 64 or 16 digits of its SHA-256".into())
        })?;
        let number = asked.number("k", DEFAULT_NEIGHBOURS, 1..=MAX_NEIGHBOURS)?;
        let found = views.neighbours(&views.task(asked.text("task"))?, &image, number)?;
        Ok(ok(data(&found)))
    };
    views.answer(&views.vectors, arguments, read).await
}

async fn trainings(State(views): State<Views>, arguments: Arguments) -> Response {
    let read = |views: &dyn SampleViews, asked: &Asked| {
        let limit = asked.number("limit", MAX_TRAININGS, 1..=MAX_TRAININGS)?;
        Ok(ok(list(&views.trainings(&views.task(asked.text("task"))?, limit)?)))
    };
    views.answer(&views.lists, arguments, read).await
}

async fn events(State(views): State<Views>, arguments: Arguments) -> Response {
    let read = |views: &dyn SampleViews, asked: &Asked| {
        Ok(ok(list(&views.events(asked.number("limit", MAX_EVENTS, 1..=MAX_EVENTS)?)?)))
    };
    views.answer(&views.lists, arguments, read).await
}

async fn confusion(State(views): State<Views>, arguments: Arguments) -> Response {
    let read = |views: &dyn SampleViews, asked: &Asked| {
        let training = match asked.text("training") {
            None => None,
            Some(_) => Some(asked.number("training", 0, 0..=usize::MAX)? as u64),
        };
        Ok(ok(data(&views.confusion(&views.task(asked.text("task"))?, training)?)))
    };
    views.answer(&views.lists, arguments, read).await
}

impl Views {
    /// The answer that `read` makes, once it is its turn.
    async fn answer(
        &self,
        turns: &Turns,
        arguments: Arguments,
        read: impl FnOnce(&dyn SampleViews, &Asked) -> Result<Response, NoView> + Send + 'static,
    ) -> Response {
        let asked = match arguments {
            Ok(Query(arguments)) => Asked(arguments),
            Err(error) => return refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, error.to_string()),
        };
        let answer = turns.take(|| self.condition.views(), move |views| read(&*views, &asked)).await;
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(NoView::BadRequest(why))) => refuse(StatusCode::BAD_REQUEST, ErrorCode::BadRequest, why),
            Ok(Err(NoView::NotFound(why))) => refuse(StatusCode::NOT_FOUND, ErrorCode::NotFound, why),
            Ok(Err(NoView::Failed(why))) => refuse(StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Failed, why),
            Err(answer) => *answer,
        }
    }
}

/// What a query asks for.
struct Asked(BTreeMap<String, String>);

impl Asked {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn number(&self, name: &str, default: usize, bounds: RangeInclusive<usize>) -> Result<usize, NoView> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            let (least, most) = bounds.into_inner();
            let upwards = if most == usize::MAX { " or more".to_owned() } else { format!(" to {most}") };
            let found: String = text.chars().take(40).collect();
            NoView::BadRequest(format!("'{name}' is {found:?}, expected a number, {least}{upwards}"))
        })
    }
}

/// In which form a client wants what has a revision, and which it has.
struct Wanted {
    octets: bool,
    known: Vec<String>,
}

impl Wanted {
    fn of(headers: &HeaderMap) -> Self {
        let texts = |name: HeaderName| -> Vec<String> {
            let texts = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            texts.flat_map(|text| text.split(',')).map(|text| text.trim().to_owned()).collect()
        };
        let is_octets =
            |kind: &String| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OCTETS));
        Self { octets: texts(header::ACCEPT).iter().any(is_octets), known: texts(header::IF_NONE_MATCH) }
    }

    /// The answer to a client that has this revision already.
    fn unchanged(&self, revision: &str) -> Option<Response> {
        let is_this = |known: &String| known.trim_start_matches("W/").trim_matches('"') == revision;
        self.known.iter().any(is_this).then(|| {
            let headers = [(header::ETAG, tag(revision)), (header::VARY, "Accept".to_owned())];
            (StatusCode::NOT_MODIFIED, headers).into_response()
        })
    }

    /// The answer with a revision, in the form that is wanted.
    fn revised(&self, revision: &str, data: impl FnOnce() -> Vec<u8>, octets: impl FnOnce() -> Vec<u8>) -> Response {
        let (kind, body) = if self.octets { (OCTETS, octets()) } else { ("application/json", data()) };
        let headers = [
            (header::CONTENT_TYPE, kind.to_owned()),
            (header::ETAG, tag(revision)),
            (header::VARY, "Accept".to_owned()),
        ];
        (headers, body).into_response()
    }
}

/// Weak: JSON and octets have the same.
fn tag(revision: &str) -> String {
    format!("W/\"{revision}\"")
}

fn ok(body: Vec<u8>) -> Response {
    json(StatusCode::OK, body)
}

/// An answer with `data`, written at once: lists are long.
fn data(data: &impl Serialize) -> Vec<u8> {
    let mut body = br#"{"status":"ok","data":"#.to_vec();
    serde_json::to_writer(&mut body, data).expect("answers have text keys and write to memory");
    body.push(b'}');
    body
}

/// An answer with a list of what is JSON already.
fn list(items: &[Vec<u8>]) -> Vec<u8> {
    [br#"{"status":"ok","data":["#, &items.join(&b',')[..], b"]}"].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_client_gets_the_form_that_it_accepts_and_nothing_that_it_has() {
        let wanted = |accept: &'static str, known: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            headers.insert(header::IF_NONE_MATCH, known.parse().unwrap());
            Wanted::of(&headers)
        };
        for (accept, octets) in [
            ("application/octet-stream", true),
            ("application/json, Application/Octet-Stream;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
        ] {
            assert_eq!(wanted(accept, "").octets, octets, "{accept}");
        }
        for (known, is_unchanged) in
            [("W/\"a-1\"", true), ("\"a-1\"", true), ("\"a-0\", W/\"a-1\"", true), ("\"a-11\"", false), ("", false)]
        {
            assert_eq!(wanted("*/*", known).unchanged("a-1").is_some(), is_unchanged, "{known}");
        }
    }

    #[test]
    fn numbers_out_of_bounds_are_refused_in_words() {
        let asked = |text: &str| Asked([("k".to_owned(), text.to_owned())].into());
        assert_eq!(asked("7").number("k", 8, 1..=50).ok(), Some(7));
        assert_eq!(asked("7").number("limit", 8, 1..=50).ok(), Some(8), "left out");
        for text in ["0", "51", "-1", "7.5", "", "many"] {
            let Err(NoView::BadRequest(why)) = asked(text).number("k", 8, 1..=50) else { panic!("{text} is taken") };
            assert!(why.contains("1 to 50"), "{why}");
        }
    }

    #[test]
    fn a_list_of_reports_is_json_however_long_it_is() {
        let read = |items: &[&[u8]]| -> Value {
            serde_json::from_slice(&list(&items.iter().map(|item| item.to_vec()).collect::<Vec<_>>())).unwrap()
        };
        assert_eq!(read(&[]), json!({ "status": "ok", "data": [] }));
        assert_eq!(read(&[b"{\"a\":1}", b"2"]), json!({ "status": "ok", "data": [{ "a": 1 }, 2] }));
    }
}
