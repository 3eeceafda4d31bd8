//! Values that are written in a form of their own: rates, votes, regions, thresholds, addresses of cameras.

use std::collections::BTreeMap;
use std::time::Duration;

use core::net::{IpAddr, SocketAddr};

use super::check::Refusal;
use super::quoted;
use super::sources::Rate;
use super::value::{Value, parse_duration};
use super::yaml::{Content, Node};
use crate::engine::Confirm;
use crate::words::{BadRegion, Label, Network, Region};

/// `2/s`, `30/m`, `1/10s`: at most 100 a second, at least one a day.
pub(super) fn rate(text: &str) -> Result<Rate, Refusal> {
    const DAY: Duration = Duration::from_hours(24);
    let read = || {
        let (frames, per) = text.split_once('/')?;
        let per = if per.starts_with(|c: char| c.is_ascii_digit()) { per.to_owned() } else { format!("1{per}") };
        let is_digits = !frames.is_empty() && frames.bytes().all(|byte| byte.is_ascii_digit());
        let rate = Rate { frames: frames.parse().ok().filter(|_| is_digits)?, per: parse_duration(&per)? };
        let is_within = (1..=1_000_000).contains(&rate.frames) && rate.per <= DAY;
        (is_within && rate.gap() >= Duration::from_millis(10)).then_some(rate)
    };
    read().ok_or_else(|| Refusal::remedy("write a number, a slash, and s, m or h, or a duration: 2/s, 30/m, 1/10s"))
}

/// `2 of 3`.
pub(super) fn confirm(text: &str) -> Result<Confirm, Refusal> {
    text.parse().map_err(|_| Refusal::default())
}

/// A box of four numbers, or a polygon of pairs.
pub(super) fn region(node: &Node) -> Result<Value, Refusal> {
    let Content::List(nodes) = &node.content else { return Err(Refusal::default()) };
    let region = if let Some(edges) = numbers::<4>(nodes) {
        Region::rectangle(edges)
    } else {
        let corners = nodes.iter().map(|node| match &node.content {
            Content::List(pair) => numbers::<2>(pair),
            _ => None,
        });
        let Some(corners) = corners.collect::<Option<Vec<_>>>() else {
            let found = "a list that is neither four numbers nor pairs of them".to_owned();
            let remedy = "write for example [0.0, 0.25, 0.3, 0.85]".to_owned();
            return Err(Refusal { found: Some(found), remedy: Some(remedy) });
        };
        Region::polygon(&corners)
    };
    region.map(Value::Region).map_err(|bad| {
        let found = match &bad {
            BadRegion::Beyond { found } => format!("{found}"),
            BadRegion::TooSmall { width, height } => format!("a region {width:.4} wide and {height:.4} high"),
            BadRegion::Corners { corners } => format!("{corners} corners"),
            BadRegion::Flat => "corners on one line".to_owned(),
        };
        let remedy = match bad {
            BadRegion::Beyond { .. } => "divide pixels by the picture's width and height: all parts lie from 0 to 1",
            BadRegion::TooSmall { .. } => "write the left and top edge first, and make it at least 0.01 wide and high",
            BadRegion::Corners { .. } => "draw it with 3 to 64 corners",
            BadRegion::Flat => "move a corner",
        };
        Refusal { found: Some(found), remedy: Some(remedy.to_owned()) }
    })
}

/// As many numbers as there are nodes.
fn numbers<const N: usize>(nodes: &[Node]) -> Option<[f64; N]> {
    let read = nodes.iter().map(|node| node.plain()?.parse::<f64>().ok());
    read.collect::<Option<Vec<_>>>()?.try_into().ok()
}

/// A map from labels to numbers from 0 to 1.
pub(super) fn shares(node: &Node, max: usize) -> Result<Value, Refusal> {
    let entries = match &node.content {
        Content::Map(entries) => entries.as_slice(),
        _ if node.is_empty() => &[],
        _ => return Err(Refusal::remedy("write for example { open: 0.9 }")),
    };
    if entries.len() > max {
        return Err(Refusal { found: Some(format!("{} labels", entries.len())), remedy: None });
    }
    let mut shares = BTreeMap::new();
    for (key, node) in entries {
        let refused = |found: String, remedy: String| Err(Refusal { found: Some(found), remedy: Some(remedy) });
        let label = match Label::new(&key.text) {
            Ok(label) => label,
            Err(bad) => return refused(quoted(&key.text), bad.to_string()),
        };
        let share = node.plain().and_then(|text| text.parse().ok()).filter(|share| (0.0..=1.0).contains(share));
        let Some(share) = share else {
            let found = format!("{} for {}", node.describe(), quoted(label.as_str()));
            return refused(found, "write a part of one, without a percent sign and quotes: 0.9".to_owned());
        };
        if shares.contains_key(&label) {
            return refused(format!("{} again", quoted(label.as_str())), "remove one of the two".to_owned());
        }
        shares.insert(label, share);
    }
    Ok(Value::Shares(shares))
}

/// Names of what cameras take as a password or a token in a query.
const SECRET: [&str; 12] = [
    "password",
    "passwd",
    "passwort",
    "pass",
    "pwd",
    "loginpas",
    "secret",
    "token",
    "access_token",
    "auth",
    "api_key",
    "apikey",
];

/// Whether the query of a URL has what may be a secret.
pub(super) fn has_secret(url: &str) -> bool {
    let Some((_, query)) = url.split_once('?') else { return false };
    query.split(['&', ';', '#']).any(|field| {
        let name = field.split('=').next().unwrap_or_default();
        SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
    })
}

/// The address of a picture.
pub(super) fn http_url(text: &str) -> Result<(), Refusal> {
    let secret = |found: &str, remedy: &str| Refusal { found: Some(found.to_owned()), remedy: Some(remedy.to_owned()) };
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        let remedy = "move the name to username and the password into a file that password_file names";
        return Err(secret("a URL with a user in it", remedy));
    }
    if has_secret(text) {
        let remedy = "write username and password_file, or token_file; a camera that takes its password in the address only \
                      is reached through go2rtc, which keeps it";
        return Err(secret("a URL with a password or a token in it", remedy));
    }
    let refused = |remedy: &str| Err(Refusal::remedy(remedy));
    if !matches!(scheme, "http" | "https") {
        return match scheme {
            "rtsp" | "rtsps" | "rtmp" => refused("name a single picture: go2rtc and Frigate make one of each stream"),
            _ => refused("write for example http://go2rtc:1984/api/frame.jpeg?src=garage"),
        };
    }
    let (host, port) = match authority.rfind(':') {
        Some(at) if !authority[at..].contains(']') => (&authority[..at], Some(&authority[at + 1..])),
        _ => (authority, None),
    };
    let is_port =
        |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|n| n > 0);
    if port.is_some_and(|port| !is_port(port)) {
        return refused("write a port from 1 to 65535, or none");
    }
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    if !is_host {
        return refused("write the camera's name or address after ://");
    }
    if text.len() > 2048 || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refused("write at most 2048 characters; spaces and letters beyond ASCII as %20 and the like");
    }
    if path.contains('#') {
        return refused("remove what begins with '#': a camera never sees it");
    }
    Ok(())
}

/// Where to listen.
pub(super) fn listen(text: &str) -> Result<(), Refusal> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() > 0 => Ok(()),
        _ => Err(Refusal::remedy("write for example 127.0.0.1:8787, or [::1]:8787; 0.0.0.0:8787 is every address")),
    }
}

/// A name of this device as clients call it.
pub(super) fn host(text: &str) -> Result<(), Refusal> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if text.parse::<IpAddr>().is_ok() {
        return Err(Refusal::remedy("remove it: every address is allowed, only names have to be listed"));
    }
    if text.len() <= 253 && text.split('.').all(is_label) {
        return Ok(());
    }
    Err(Refusal::remedy("write the name alone, without scheme, port and path: edge.example.org"))
}

/// An address or a network.
pub(super) fn network(text: &str) -> Result<(), Refusal> {
    text.parse::<Network>().map(drop).map_err(|bad| Refusal::remedy(bad.to_string()))
}
