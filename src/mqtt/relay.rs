//! The stream between the broker and the client library.
//!
//! The library connects by itself and has no place for a stream of ours, and it closes the connection at a packet that
//! is longer than its limit, which the broker would then send again for ever. So the connection is made here, with words
//! of our own for what goes wrong, and the library gets its bytes through a socket of this process: a long PUBLISH
//! without its payload, which is read to its end and thrown away. The library acknowledges it as any other, and what
//! waited beside it at the broker stays.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rumqttc::tokio_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::connection_error::{self, Fault};
use super::settings::Settings;
use super::tls;

/// Longer packets are not read to their end: the connection is closed, and the session with them.
const DISCARDED_MAX: usize = 16 << 20;

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;

/// A connection, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A long message whose payload was thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Oversized {
    /// Which message of the connection it is, counted from 1.
    pub(super) number: u64,
    /// Its length.
    pub(super) bytes: usize,
}

/// What the two ends share.
#[derive(Debug, Default)]
struct Shared {
    oversized: VecDeque<Oversized>,
    /// What went wrong with the connection to the broker.
    fault: Option<io::Error>,
}

/// A connection to the broker, and the socket at which the client library gets it.
pub(super) struct Relay {
    /// For [`rumqttc::Transport::unix`].
    pub(super) address: String,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Connects to the broker and waits for the client library.
    ///
    /// # Errors
    /// [`Fault`] in words.
    pub(super) async fn connect(settings: &Settings) -> Result<Self, Fault> {
        let within = settings.timeouts.connect;
        let stream = timeout(within, connect(settings))
            .await
            .unwrap_or_else(|_| Err(Fault::passing(connection_error::no_answer(settings))))?;
        let local = |error: io::Error| {
            Fault::passing(format!("no socket for the connection to the broker: {error}; connecting again"))
        };
        // Standard hashing is seeded at random.
        let address =
            format!("edgetuned-mqtt-{}-{:016x}", std::process::id(), RandomState::new().build_hasher().finish());
        let name = SocketAddr::from_abstract_name(&address).map_err(local)?;
        let listener = std::os::unix::net::UnixListener::bind_addr(&name).map_err(local)?;
        listener.set_nonblocking(true).map_err(local)?;
        let listener = UnixListener::from_std(listener).map_err(local)?;
        let shared = Arc::new(Mutex::new(Shared::default()));
        let task = tokio::spawn(run(listener, stream, Filter::new(settings.max_packet_bytes), Arc::clone(&shared)));
        Ok(Self { address: format!("\0{address}"), shared, task })
    }

    /// Whether the message of this number was too long, and how long it was.
    pub(super) fn oversized(&self, number: u64) -> Option<Oversized> {
        let queue = &mut self.shared.lock().unwrap_or_else(PoisonError::into_inner).oversized;
        if queue.front().is_some_and(|oversized| oversized.number <= number) { queue.pop_front() } else { None }
    }

    /// What went wrong with the connection to the broker, beside that it was closed.
    pub(super) fn take_fault(&self) -> Option<io::Error> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).fault.take()
    }

    /// Waits until what the client library sent is with the broker, for at most this long.
    pub(super) async fn finish(mut self, within: Duration) {
        // The task ends by itself once the library has closed its end.
        let _ = timeout(within, &mut self.task).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn connect(settings: &Settings) -> Result<Box<dyn Stream>, Fault> {
    let broker = &settings.broker;
    let tcp = connect_tcp(&broker.host, broker.port).await;
    let tcp = tcp.map_err(|error| Fault::passing(connection_error::input_output(&error, settings, false)))?;
    if !broker.tls {
        return Ok(Box::new(tcp));
    }
    let config = tls::client_config(&settings.tls).map_err(Fault::barring)?;
    let name = ServerName::try_from(broker.host.clone())
        .map_err(|error| Fault::barring(format!("{broker} has no name for TLS: {error}; correct mqtt.url")))?;
    let connected = TlsConnector::from(config).connect(name, tcp).await;
    Ok(Box::new(connected.map_err(|error| connection_error::handshake(&error, settings))?))
}

/// The first address of the broker that answers.
async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Carries bytes both ways until one end closes.
async fn run(listener: UnixListener, broker: Box<dyn Stream>, filter: Filter, shared: Arc<Mutex<Shared>>) {
    let Some(client) = accept(&listener).await else { return };
    drop(listener);
    let (mut from_broker, mut to_broker) = tokio::io::split(broker);
    let (mut from_client, mut to_client) = client.into_split();
    let down = async {
        let ended = pump_filtered(&mut from_broker, &mut to_client, filter, &shared).await;
        if let Err(error) = ended {
            shared.lock().unwrap_or_else(PoisonError::into_inner).fault = Some(error);
        }
        // The library sees the end.
        let _ = to_client.shutdown().await;
    };
    let up = async {
        // What cannot be written is seen by reading, too.
        let _ = tokio::io::copy(&mut from_client, &mut to_broker).await;
        let _ = to_broker.shutdown().await;
    };
    tokio::select! {
        () = down => {}
        () = up => {}
    }
}

/// The client library; whoever else on this machine finds the socket is turned away.
async fn accept(listener: &UnixListener) -> Option<UnixStream> {
    let own = i32::try_from(std::process::id()).ok();
    loop {
        let (stream, _) = listener.accept().await.ok()?;
        if stream.peer_cred().is_ok_and(|peer| peer.pid() == own) {
            return Some(stream);
        }
    }
}

async fn pump_filtered(
    broker: &mut (impl AsyncRead + Unpin),
    client: &mut (impl AsyncWrite + Unpin),
    mut filter: Filter,
    shared: &Mutex<Shared>,
) -> io::Result<()> {
    let (mut read, mut out) = (vec![0; CHUNK], Vec::with_capacity(CHUNK));
    loop {
        let length = broker.read(&mut read).await?;
        if length == 0 {
            return Ok(());
        }
        out.clear();
        let found = filter.pass(&read[..length], &mut out);
        shared.lock().unwrap_or_else(PoisonError::into_inner).oversized.extend(found);
        client.write_all(&out).await?;
    }
}

/// Takes the payload out of messages that are too long. What is no MQTT passes as it is: the library says so.
#[derive(Debug)]
struct Filter {
    limit: usize,
    state: State,
    /// Messages so far.
    messages: u64,
}

#[derive(Debug)]
enum State {
    /// Collects the type and the length of the next packet.
    Header(Vec<u8>),
    /// So many bytes pass.
    Passing(usize),
    /// Collects topic and packet id of a long message, of whose remaining bytes so many are left.
    Opening { head: Vec<u8>, first: u8, left: usize },
    /// So many bytes are thrown away.
    Discarding(usize),
    /// It is no MQTT.
    Opaque,
}

impl Filter {
    fn new(limit: usize) -> Self {
        Self { limit, state: State::Header(Vec::new()), messages: 0 }
    }

    /// Appends to `out` what passes of `bytes`; returns the long messages that begin in them.
    fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Vec<Oversized> {
        let mut found = Vec::new();
        while !bytes.is_empty() {
            let used = self.step(bytes, out, &mut found);
            bytes = &bytes[used..];
        }
        found
    }

    fn step(&mut self, bytes: &[u8], out: &mut Vec<u8>, found: &mut Vec<Oversized>) -> usize {
        match &mut self.state {
            State::Opaque => {
                out.extend_from_slice(bytes);
                bytes.len()
            }
            State::Passing(left) | State::Discarding(left) if *left == 0 => {
                self.state = State::Header(Vec::new());
                0
            }
            State::Passing(left) => {
                let taken = bytes.len().min(*left);
                out.extend_from_slice(&bytes[..taken]);
                *left -= taken;
                taken
            }
            State::Discarding(left) => {
                let taken = bytes.len().min(*left);
                *left -= taken;
                taken
            }
            State::Header(header) => {
                header.push(bytes[0]);
                let header = std::mem::take(header);
                self.state = self.after_header(header, out);
                1
            }
            State::Opening { head, first, left } => {
                head.push(bytes[0]);
                *left -= 1;
                let needed = variable_header(head, *first);
                if needed == Some(head.len()) {
                    out.push(*first);
                    length(head.len(), out);
                    out.extend_from_slice(head);
                    found.push(Oversized { number: self.messages, bytes: head.len() + *left });
                    self.state = State::Discarding(*left);
                } else if *left == 0 {
                    // Its topic is longer than itself: the library never gets it.
                    self.messages -= 1;
                    self.state = State::Header(Vec::new());
                }
                1
            }
        }
    }

    fn after_header(&mut self, header: Vec<u8>, out: &mut Vec<u8>) -> State {
        let remaining = match remaining(&header[1..]) {
            Remaining::Unfinished => return State::Header(header),
            Remaining::Bad => {
                out.extend_from_slice(&header);
                return State::Opaque;
            }
            Remaining::Bytes(remaining) => remaining,
        };
        let is_publish = header[0] >> 4 == 3;
        self.messages += u64::from(is_publish);
        if !is_publish || remaining <= self.limit || remaining > DISCARDED_MAX {
            out.extend_from_slice(&header);
            return State::Passing(remaining);
        }
        State::Opening { head: Vec::new(), first: header[0], left: remaining }
    }
}

enum Remaining {
    Unfinished,
    Bad,
    Bytes(usize),
}

/// The length in a packet's header (MQTT 3.1.1, 2.2.3).
fn remaining(bytes: &[u8]) -> Remaining {
    let mut value = 0;
    for (place, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Remaining::Bytes(value);
        }
    }
    if bytes.len() < 4 { Remaining::Unfinished } else { Remaining::Bad }
}

fn length(mut value: usize, out: &mut Vec<u8>) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        out.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return;
        }
    }
}

/// Length of topic and packet id, once it can be told.
fn variable_header(head: &[u8], first: u8) -> Option<usize> {
    let [high, low, ..] = head else { return None };
    let topic = usize::from(u16::from_be_bytes([*high, *low]));
    let has_id = first >> 1 & 3 > 0;
    Some(2 + topic + if has_id { 2 } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn publish(qos: u8, topic: &str, payload: usize) -> Vec<u8> {
        let id: &[u8] = if qos > 0 { &[0, 9] } else { &[] };
        let mut packet = vec![0x30 | qos << 1];
        length(2 + topic.len() + id.len() + payload, &mut packet);
        packet.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
        packet.extend(topic.as_bytes());
        packet.extend(id);
        packet.resize(packet.len() + payload, b'x');
        packet
    }

    /// What passes of a stream that comes in pieces of this size.
    fn passed(stream: &[u8], piece: usize) -> (Vec<u8>, Vec<Oversized>) {
        let (mut filter, mut out, mut found) = (Filter::new(1_000), Vec::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            found.extend(filter.pass(bytes, &mut out));
        }
        (out, found)
    }

    #[test]
    fn long_messages_lose_their_payload_and_everything_else_passes_whatever_the_pieces() {
        let others: [&[u8]; 3] = [&[0x20, 2, 0, 0], &[0x90, 3, 0, 1, 1], &[0xd0, 0]];
        let stream = [
            others[0].to_vec(),
            publish(1, "a/label", 900),
            publish(1, "a/label", 70_000),
            others[1].to_vec(),
            publish(0, "a/request/train", 2_000),
            publish(1, "a/label", 0),
            others[2].to_vec(),
        ]
        .concat();
        let expected = [
            others[0].to_vec(),
            publish(1, "a/label", 900),
            publish(1, "a/label", 0),
            others[1].to_vec(),
            publish(0, "a/request/train", 0),
            publish(1, "a/label", 0),
            others[2].to_vec(),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 100, 4_096, stream.len()] {
            let (out, found) = passed(&stream, piece);
            assert_eq!(out, expected, "in pieces of {piece}");
            let bytes = [11 + 70_000, 17 + 2_000];
            assert_eq!(found, [Oversized { number: 2, bytes: bytes[0] }, Oversized { number: 3, bytes: bytes[1] }]);
        }
    }

    #[test]
    fn what_is_no_mqtt_and_what_is_far_too_long_passes_to_the_library() {
        let text = b"HTTP/1.1 400 Bad Request\r\n\r\n".repeat(100);
        assert_eq!(passed(&text, 64).0, text);
        let endless = [&[0x30, 0xff, 0xff, 0xff, 0xff, 0x7f][..], &[7; 50]].concat();
        assert_eq!(passed(&endless, 3), (endless.clone(), vec![]));
        let mut header = vec![0x32];
        length(DISCARDED_MAX + 1, &mut header);
        header.extend([0, 1, b'a']);
        assert_eq!(passed(&header, 2), (header.clone(), vec![]));
    }

    #[test]
    fn a_message_whose_topic_is_longer_than_itself_ends_with_it() {
        let mut packet = vec![0x30];
        length(2_000, &mut packet);
        packet.extend([0xff, 0xff]);
        packet.resize(packet.len() + 1_998, b'x');
        let stream = [packet, vec![0xd0, 0]].concat();
        let (out, found) = passed(&stream, 10);
        assert_eq!(found, []);
        assert!(out.ends_with(&[0xd0, 0]), "the next packet passes");
    }
}
