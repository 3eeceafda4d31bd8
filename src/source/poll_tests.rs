//! Cameras that behave and cameras that do not, each a real server on this machine.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::*;
use crate::engine::SourceCounts;
use crate::words::Access;

/// What a request of the client said: its lines, without the empty one.
type Asked = Vec<String>;

/// A server that treats each connection as it is told, and remembers what it was asked. It ends with the test's process.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` gets the number of the connection, what was asked, and the stream; a connection is for one request.
    fn new(answer: impl Fn(usize, &Asked, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        thread::spawn({
            let asked = Arc::clone(&asked);
            let answer = Arc::new(answer);
            move || {
                for (number, stream) in listener.incoming().enumerate() {
                    let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
                    let mut stream = stream.unwrap();
                    thread::spawn(move || {
                        let reader = BufReader::new(stream.try_clone().unwrap());
                        let lines = reader.lines().map_while(Result::ok);
                        let request: Asked = lines.take_while(|line| !line.is_empty()).collect();
                        asked.lock().unwrap().push(request.clone());
                        // The client may have had enough.
                        let _ = answer(number, &request, &mut stream);
                    });
                }
            }
        });
        Self { address, asked }
    }

    fn request(&self) -> Request {
        Request {
            url: format!("http://{}/shot.jpg?pwd=secret", self.address),
            timeout: Duration::from_millis(700),
            access: None,
            ca_file: None,
            max_bytes: 100_000,
        }
    }

    fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.request())
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// The header of this name in a request.
fn header<'a>(asked: &'a Asked, name: &str) -> Option<&'a str> {
    let mut pairs = asked.iter().filter_map(|line| line.split_once(": "));
    pairs.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn jpeg(n: u8) -> Vec<u8> {
    [&[0xff, 0xd8, 0xff, 0xe0, n][..], &[7; 5_000], &[0xff, 0xd9]].concat()
}

/// An answer with these lines beside its length.
fn respond(stream: &mut TcpStream, status: &str, lines: &str, body: &[u8]) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{lines}Content-Length: {}\r\n\r\n", body.len())?;
    stream.write_all(body)
}

/// How a server answers one request.
type Behaviour = Box<dyn Fn(&mut TcpStream) -> io::Result<()> + Send + Sync>;

/// What a camera does, how, and what is said of it.
type Case = (&'static str, Behaviour, &'static str);

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n";

/// Sends `begin`, then the same again and again.
fn endless(stream: &mut TcpStream, begin: &[u8], piece: &[u8]) -> io::Result<()> {
    stream.write_all(begin)?;
    loop {
        stream.write_all(piece)?;
    }
}

/// Sends `begin`, then a little every 20 ms until the client leaves.
fn trickle(stream: &mut TcpStream, begin: &[u8], more: &[u8]) -> io::Result<()> {
    stream.write_all(begin)?;
    stream.set_read_timeout(Some(Duration::from_millis(20)))?;
    loop {
        if matches!(stream.read(&mut [0; 1]), Ok(0)) {
            return Ok(());
        }
        stream.write_all(more)?;
    }
}

/// Checks what is said of each camera, and that its query is not in it.
fn check(cases: Vec<Case>) {
    for (what, behaviour, expected) in cases {
        let server = Server::new(move |_, _, stream| behaviour(stream));
        let reason = server.fetcher().fetch().expect_err(what);
        assert!(reason.contains(expected), "{what}: {reason}");
        assert!(reason.contains("/shot.jpg: ") && !reason.contains("secret"), "{what}: {reason}");
    }
}

#[test]
fn a_camera_that_stalls_costs_the_timeout_and_no_more() {
    check(vec![
        ("closes at once", Box::new(|_| Ok(())), "check the source's http"),
        ("says nothing", Box::new(|stream| trickle(stream, b"", b"")), "no answer within 700ms"),
        (
            "trickles its head",
            Box::new(|stream| trickle(stream, b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n")),
            "no answer within 700ms",
        ),
        (
            "trickles its picture",
            Box::new(|stream| trickle(stream, &[HEAD, b"Content-Length: 9000\r\n\r\n\xff\xd8\xff"].concat(), b"x")),
            "bytes came within 700ms; raise the source's timeout",
        ),
    ]);
}

#[test]
fn a_camera_that_lies_about_lengths_costs_no_more_than_the_bound() {
    check(vec![
        (
            "has an endless head",
            Box::new(|stream| endless(stream, b"HTTP/1.1 200 OK\r\n", &b"X-A: b\r\n".repeat(99))),
            "",
        ),
        (
            "sends half of it",
            Box::new(|stream| stream.write_all(&[HEAD, b"Content-Length: 9000\r\n\r\n", &jpeg(1)[..2_000]].concat())),
            "broke off after 2000 bytes",
        ),
        (
            "says 10 GB",
            Box::new(|stream| stream.write_all(&[HEAD, b"Content-Length: 10000000000\r\n\r\n\xff\xd8\xff"].concat())),
            "has 10000000000 bytes, at most 100000 are read",
        ),
        (
            "sends without an end",
            Box::new(|stream| endless(stream, &[HEAD, b"Connection: close\r\n\r\n\xff\xd8\xff"].concat(), &[7; 4_096])),
            "has more than 100000 bytes",
        ),
        (
            "sends chunks without an end",
            Box::new(|stream| {
                let chunk = [b"400\r\n", &[7; 1_024][..], b"\r\n"].concat();
                endless(stream, &[HEAD, b"Transfer-Encoding: chunked\r\n\r\n"].concat(), &chunk)
            }),
            "has more than 100000 bytes",
        ),
    ]);
}

#[test]
fn a_camera_that_answers_something_else_is_described() {
    check(vec![
        (
            "sends a page",
            Box::new(|stream| respond(stream, "200 OK", "Content-Type: text/html\r\n", b"<html>Log in</html>")),
            "it answered text/html, and the payload is not a JPEG",
        ),
        ("sends nothing", Box::new(|stream| respond(stream, "200 OK", "", b"")), "the payload is empty"),
        (
            "leads around",
            Box::new(|stream| respond(stream, "302 Found", "Location: /shot.jpg\r\n", b"")),
            "it leads on more than 3 times",
        ),
        (
            "wants a password",
            Box::new(|stream| respond(stream, "401 Unauthorized", "WWW-Authenticate: Basic realm=x\r\n", b"")),
            "401 Unauthorized; check the source's username",
        ),
        (
            "wants Digest",
            Box::new(|stream| respond(stream, "401 Unauthorized", "WWW-Authenticate: Digest realm=x\r\n", b"")),
            "wants Digest authentication",
        ),
        ("is not there", Box::new(|stream| respond(stream, "404 Not Found", "", b"")), "check the path"),
        ("has a fault", Box::new(|stream| respond(stream, "503 Busy", "", b"")), "has a fault, or nothing to show"),
        (
            "speaks otherwise",
            Box::new(|stream| stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")),
            "check the source's http",
        ),
    ]);
}

#[test]
fn nobody_at_the_address_and_no_such_name_are_told_apart() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server { address: address.to_string(), asked: Arc::default() };
    let reason = server.fetcher().fetch().unwrap_err();
    assert!(reason.contains("nobody listens there"), "{reason}");
    let nowhere =
        Request { url: "http://nowhere.invalid/".into(), timeout: Duration::from_secs(30), ..server.request() };
    let reason = Fetcher::new(nowhere).fetch().unwrap_err();
    assert!(reason.contains("nowhere.invalid/"), "{reason}");
}

#[test]
fn a_picture_comes_with_and_without_a_length_and_a_length_that_is_too_short_cuts_it() {
    let server = Server::new(|number, _, stream| match number {
        0 => respond(stream, "200 OK", "", &jpeg(0)),
        1 => {
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n")?;
            stream.write_all(&jpeg(1))
        }
        2 => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100\r\n\r\n")?;
            stream.write_all(&jpeg(2))
        }
        _ => respond(stream, "302 Found", "Location: /other.jpg\r\n", b""),
    });
    let mut fetcher = server.fetcher();
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(0))));
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(1))));
    // What is missing is for the decoder to find.
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(2)[..100].to_vec())));
}

#[test]
fn a_redirect_is_followed_and_the_password_is_not_sent_elsewhere() {
    let elsewhere = Server::new(|_, _, stream| respond(stream, "200 OK", "", &jpeg(4)));
    let location = format!("Location: http://{}/other.jpg\r\n", elsewhere.address.replace("127.0.0.1", "localhost"));
    let server = Server::new(move |_, _, stream| respond(stream, "302 Found", &location, b""));
    let folder = tempfile::tempdir().unwrap();
    let password_file = folder.path().join("password");
    std::fs::write(&password_file, "s3cret\n").unwrap();
    let access = Some(Access::Basic { username: "eye".into(), password_file: Some(password_file) });
    let mut fetcher = Fetcher::new(Request { access, ..server.request() });
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(4))));
    assert_eq!(header(&server.asked()[0], "authorization"), Some("Basic ZXllOnMzY3JldA=="));
    assert_eq!(header(&elsewhere.asked()[0], "authorization"), None);
    assert_eq!(header(&server.asked()[0], "cookie"), None);
}

#[test]
fn what_the_camera_said_of_its_picture_is_sent_back_and_a_304_is_frozen() {
    let server = Server::new(|number, asked, stream| match (number, header(asked, "if-none-match")) {
        (0, None) => {
            let lines = "ETag: \"a\"\r\nLast-Modified: Mon, 30 Nov 2026 10:00:00 GMT\r\nSet-Cookie: a=b\r\n";
            respond(stream, "200 OK", lines, &jpeg(0))
        }
        (1, Some("\"a\"")) => stream.write_all(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"),
        // Half a picture with another tag.
        (2, Some("\"a\"")) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"b\"\r\nContent-Length: 999\r\n\r\n\xff")
        }
        (3, Some("\"a\"")) => respond(stream, "200 OK", "", &jpeg(1)),
        _ => respond(stream, "200 OK", "", &jpeg(2)),
    });
    let mut fetcher = server.fetcher();
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(0))));
    assert_eq!(fetcher.fetch(), Ok(Fetched::Unchanged));
    assert!(fetcher.fetch().is_err());
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(1))));
    assert_eq!(fetcher.fetch(), Ok(Fetched::Picture(jpeg(2))));
    let asked = server.asked();
    assert_eq!(header(&asked[1], "if-modified-since"), Some("Mon, 30 Nov 2026 10:00:00 GMT"));
    assert!(asked.iter().all(|asked| header(asked, "cookie").is_none()));
    assert_eq!(header(&asked[4], "if-none-match"), None, "the last answer had no tag");
}

/// Slots of these sources, and a receiver that hears of each news.
fn slots(sources: &[SourceId]) -> (Arc<Slots>, Receiver<()>) {
    let (woken, wakes): (SyncSender<()>, _) = sync_channel(64);
    let slots = Slots::new(move || woken.try_send(()).is_ok());
    slots.keep(sources);
    (Arc::new(slots), wakes)
}

#[test]
fn a_polled_camera_fills_its_slot_and_a_stalled_one_beside_it_is_told_of() {
    let (good, bad) = (SourceId::new("good").unwrap(), SourceId::new("bad").unwrap());
    // The same picture twice, then another one.
    let server = Server::new(|number, _, stream| respond(stream, "200 OK", "", &jpeg((number / 2) as u8)));
    let broken = Server::new(|_, _, stream| respond(stream, "500 Fault", "", b""));
    let (slots, wakes) = slots(&[good.clone(), bad.clone()]);
    let camera = |source: &SourceId, request| Camera {
        source: source.clone(),
        request,
        every: Duration::from_millis(20),
        burst: None,
    };
    let handle = spawn(vec![camera(&good, server.request()), camera(&bad, broken.request())], &slots, 1).unwrap();
    let mut counts = BTreeMap::<SourceId, SourceCounts>::new();
    let mut failure = None;
    let enough = |counts: &BTreeMap<SourceId, SourceCounts>| {
        let of = |source| counts.get(source).copied().unwrap_or_default();
        of(&good).frames >= 5 && of(&good).frozen >= 4 && of(&bad).failed >= 1
    };
    while !enough(&counts) {
        wakes.recv_timeout(Duration::from_mins(1)).unwrap();
        for news in slots.news().sources {
            let sum = counts.entry(news.source.clone()).or_default();
            sum.frames += news.counts.frames;
            sum.frozen += news.counts.frozen;
            sum.failed += news.counts.failed;
            failure = news.failure.or(failure);
        }
    }
    assert!(failure.unwrap().contains("500"), "the reason is told");
    assert!(slots.take(&good).is_some());
    assert_eq!(counts[&bad].frames, 0);
    assert!(!handle.is_finished());
    for thread in handle.stopping() {
        thread.join().unwrap();
    }
}

#[test]
fn a_burst_asks_at_once_and_faster() {
    let source = SourceId::new("door").unwrap();
    let server = Server::new(|number, _, stream| respond(stream, "200 OK", "", &jpeg(number as u8)));
    let (slots, wakes) = slots(std::slice::from_ref(&source));
    let burst = Some(Burst { every: Duration::from_millis(10), length: Duration::from_hours(1) });
    let every = Duration::from_hours(1);
    let camera = Camera { source: source.clone(), request: server.request(), every, burst };
    let handle = spawn(vec![camera], &slots, 1).unwrap();
    wakes.recv_timeout(Duration::from_mins(1)).unwrap();
    slots.news();
    handle.burst(&SourceId::new("other").unwrap());
    handle.burst(&source);
    for _ in 0..3 {
        // At its own pace the next one would come in an hour.
        wakes.recv_timeout(Duration::from_mins(1)).unwrap();
        slots.news();
    }
}
