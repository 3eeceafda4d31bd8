//! A wire between a device and its broker that fails as it is told to.
//!
//! It knows where MQTT packets begin and end, so it can tear one in the middle, lose an acknowledgement, deliver a
//! message twice, or have the session forgotten; and it notes what the broker acknowledged.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// A wire with its faults.
pub struct Proxy {
    /// Where the device connects.
    pub port: u16,
    shared: Arc<Shared>,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the device.
    ToBroker,
    /// From the broker.
    ToDevice,
}

/// What the broker acknowledged to the device.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Of the message.
    pub topic: String,
    /// Of the message.
    pub payload: Vec<u8>,
    /// When the acknowledgement came by, whether or not it went on.
    pub at: Instant,
}

struct Shared {
    broker: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ends: Vec<TcpStream>,
    /// Connections that are closed at once.
    refused: u64,
    stalled_until: Option<Instant>,
    torn: Option<Way>,
    forgetting: bool,
    /// Acknowledgements to the device that vanish, before the link is cut.
    lost: u32,
    /// Messages to the device that come twice.
    repeated: u32,
    /// Subscriptions that the broker confirmed.
    links: u64,
    acknowledged: Vec<Acknowledged>,
}

impl Proxy {
    /// A good wire to the broker on this port.
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared { broker, state: Mutex::default(), changed: Condvar::new() });
        thread::spawn({
            let shared = Arc::clone(&shared);
            move || listener.incoming().map_while(Result::ok).for_each(|device| shared.connect(device))
        });
        Self { port, shared }
    }

    /// Ends the present connection between two packets.
    pub fn cut(&self) {
        self.shared.state().cut();
    }

    /// Cuts, and lets no connection come up until [`Proxy::open`].
    pub fn close(&self) {
        self.refuse(u64::MAX);
    }

    /// Cuts, and closes this many connections as soon as they come.
    pub fn refuse(&self, connections: u64) {
        let mut state = self.shared.state();
        state.refused = connections;
        state.cut();
    }

    /// Ends what [`Proxy::close`] began.
    pub fn open(&self) {
        self.shared.state().refused = 0;
    }

    /// Nothing goes through for this long; then all of it does.
    pub fn stall(&self, time: Duration) {
        self.shared.state().stalled_until = Some(Instant::now() + time);
    }

    /// Of the next packet this way, half goes through before the cut.
    pub fn tear(&self, way: Way) {
        self.shared.state().torn = Some(way);
    }

    /// Cuts, and makes the broker forget the session: the next CONNECT asks for a clean one.
    pub fn forget_session(&self) {
        let mut state = self.shared.state();
        state.forgetting = true;
        state.cut();
    }

    /// The next so many acknowledgements of the broker do not arrive; then the link is cut.
    pub fn lose_acknowledgements(&self, count: u32) {
        self.shared.state().lost = count;
    }

    /// Ends that before so many came by, as the last of them would have: by a cut.
    pub fn lose_no_more(&self) {
        let mut state = self.shared.state();
        if std::mem::take(&mut state.lost) > 0 {
            state.cut();
        }
    }

    /// The next so many messages of the broker arrive twice.
    pub fn repeat(&self, count: u32) {
        self.shared.state().repeated = count;
    }

    /// Connections on which the subscription stood, ever.
    pub fn links(&self) -> u64 {
        self.shared.state().links
    }

    /// Waits until there were more than `before` such connections; whether there were in time.
    pub fn wait_for_link(&self, before: u64, patience: Duration) -> bool {
        let state = self.shared.state();
        let waited = self.shared.changed.wait_timeout_while(state, patience, |state| state.links <= before);
        !waited.expect("no panic beside it").1.timed_out()
    }

    /// What the broker acknowledged so far, in order.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.shared.state().acknowledged.clone()
    }
}

impl State {
    fn cut(&mut self) {
        for end in self.ends.drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic beside it")
    }

    fn connect(self: &Arc<Self>, device: TcpStream) {
        let mut state = self.state();
        if state.refused > 0 {
            state.refused -= 1;
            return;
        }
        let Ok(broker) = TcpStream::connect(("127.0.0.1", self.broker)) else { return };
        let unacknowledged = Arc::new(Mutex::new(HashMap::new()));
        for (way, from, to) in [(Way::ToBroker, &device, &broker), (Way::ToDevice, &broker, &device)] {
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { return };
            let mut flow =
                Flow { way, from, to, shared: Arc::clone(self), unacknowledged: Arc::clone(&unacknowledged) };
            thread::spawn(move || {
                while flow.pass_one().is_ok() {}
                let _ = flow.from.shutdown(Shutdown::Both);
                let _ = flow.to.shutdown(Shutdown::Both);
            });
        }
        state.ends.extend([device, broker]);
    }
}

/// Topic and payload by packet id.
type Messages = HashMap<u16, (String, Vec<u8>)>;

/// One way of one connection.
struct Flow {
    way: Way,
    from: TcpStream,
    to: TcpStream,
    shared: Arc<Shared>,
    /// Messages of the device.
    unacknowledged: Arc<Mutex<Messages>>,
}

impl Flow {
    /// Takes one packet and does with it what the faults say; an error ends the connection.
    fn pass_one(&mut self) -> io::Result<()> {
        let mut packet = read_packet(&mut self.from)?;
        self.note(&packet);
        self.wait_while_stalled();
        let mut copies = 1;
        {
            let mut state = self.shared.state();
            if state.torn == Some(self.way) {
                state.torn = None;
                drop(state);
                let half = packet.len().div_ceil(2);
                self.to.write_all(&packet[..half])?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            match (self.way, packet[0] >> 4) {
                (Way::ToBroker, CONNECT) if state.forgetting => {
                    state.forgetting = false;
                    // The flags follow "MQTT" with its length and the level of the protocol.
                    let flags = packet.len() - remaining(&packet) + 7;
                    packet[flags] |= 0b10;
                }
                (Way::ToDevice, PUBACK) if state.lost > 0 => {
                    state.lost -= 1;
                    return if state.lost == 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) };
                }
                (Way::ToDevice, PUBLISH) if state.repeated > 0 => {
                    state.repeated -= 1;
                    copies = 2;
                }
                (Way::ToDevice, SUBACK) => {
                    state.links += 1;
                    self.shared.changed.notify_all();
                }
                _ => {}
            }
        }
        for _ in 0..copies {
            self.to.write_all(&packet)?;
            if copies == 2 {
                packet[0] |= 0b1000;
            }
        }
        Ok(())
    }

    fn wait_while_stalled(&self) {
        loop {
            let until = self.shared.state().stalled_until;
            let Some(left) = until.and_then(|until| until.checked_duration_since(Instant::now())) else { return };
            thread::park_timeout(left);
        }
    }

    /// Remembers what the device sent, and notes what of it the broker acknowledged.
    fn note(&self, packet: &[u8]) {
        let mut sent = self.unacknowledged.lock().expect("no panic beside it");
        match (self.way, packet[0] >> 4) {
            (Way::ToBroker, PUBLISH) => {
                if let Some((id, topic, payload)) = publish(packet) {
                    sent.insert(id, (topic, payload));
                }
            }
            (Way::ToDevice, PUBACK) if packet.len() == 4 => {
                if let Some((topic, payload)) = sent.remove(&u16::from_be_bytes([packet[2], packet[3]])) {
                    let acknowledged = Acknowledged { topic, payload, at: Instant::now() };
                    self.shared.state().acknowledged.push(acknowledged);
                }
            }
            _ => {}
        }
    }
}

/// Kinds of packets.
pub const CONNECT: u8 = 1;
/// A message.
pub const PUBLISH: u8 = 3;
/// It was taken.
pub const PUBACK: u8 = 4;
/// Asks for topics.
pub const SUBSCRIBE: u8 = 8;
/// They are granted or not.
pub const SUBACK: u8 = 9;
/// Asks whether the other is there.
pub const PINGREQ: u8 = 12;

/// One whole MQTT packet.
pub fn read_packet(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; 1];
    from.read_exact(&mut packet)?;
    let (mut length, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        packet.extend(byte);
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let header = packet.len();
    packet.resize(header + length, 0);
    from.read_exact(&mut packet[header..])?;
    Ok(packet)
}

/// Bytes behind the fixed header of a whole packet.
fn remaining(packet: &[u8]) -> usize {
    let header = 2 + packet[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
    packet.len() - header
}

/// Packet id, topic and payload of a message with quality of service 1.
pub fn publish(packet: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let body = &packet[packet.len() - remaining(packet)..];
    let length = usize::from(u16::from_be_bytes([*body.first()?, *body.get(1)?]));
    let topic = String::from_utf8_lossy(body.get(2..2 + length)?).into_owned();
    let rest = body.get(2 + length..)?;
    if packet[0] & 0b110 == 0 {
        return None;
    }
    Some((u16::from_be_bytes([*rest.first()?, *rest.get(1)?]), topic, rest.get(2..)?.to_vec()))
}
