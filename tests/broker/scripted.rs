//! Brokers that do what a script says, one connection after another.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::device::PATIENCE;
use crate::proxy::{PINGREQ, PUBLISH, SUBSCRIBE, publish, read_packet};

/// A broker of which every connection goes as its script says.
pub struct Scripted {
    pub port: u16,
    connects: Receiver<Vec<u8>>,
}

/// A connection whose CONNECT was read and not answered.
pub struct Guest(pub TcpStream);

impl Scripted {
    /// `script` gets the number of the connection, from 0; what it leaves unread is cut off.
    pub fn new(script: impl Fn(usize, &mut Guest) -> io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, connects) = channel();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let mut guest = Guest(stream);
                let Ok(connect) = read_packet(&mut guest.0) else { continue };
                if sender.send(connect).is_err() {
                    return;
                }
                // The device may hang up whenever it likes.
                let _ = script(number, &mut guest);
            }
        });
        Self { port, connects }
    }

    /// Whether the next CONNECT asks the broker to forget the session.
    pub fn next_is_clean(&self) -> bool {
        let connect = self.connects.recv_timeout(PATIENCE).expect("a connection in time");
        // Behind the fixed header, "MQTT" with its length, and the level.
        connect[connect.iter().position(|byte| *byte == b'M').unwrap() + 5] & 0b10 != 0
    }
}

impl Guest {
    /// Answers CONNECT.
    pub fn answer(&mut self, code: u8) -> io::Result<()> {
        self.say(&[0x20, 2, 0, code])
    }

    /// Sends bytes.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    /// Answers CONNECT and grants the subscriptions but for those with these numbers.
    pub fn welcome(&mut self, refused: &[usize]) -> io::Result<()> {
        self.answer(0)?;
        loop {
            let packet = read_packet(&mut self.0)?;
            if packet[0] >> 4 == SUBSCRIBE {
                return self.grant(&packet, refused);
            }
        }
    }

    fn grant(&mut self, subscribe: &[u8], refused: &[usize]) -> io::Result<()> {
        // Its remaining length takes one or two bytes; the id follows, then filters with a byte for each.
        let start = if subscribe[1] & 0x80 == 0 { 2 } else { 3 };
        let (id, mut rest) = subscribe[start..].split_at(2);
        let mut codes = Vec::new();
        while let [high, low, ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            codes.push(if refused.contains(&codes.len()) { 0x80 } else { 1 });
            rest = &rest[2 + length + 1..];
        }
        let length = u8::try_from(2 + codes.len()).unwrap();
        self.say(&[&[0x90, length], id, &codes].concat())
    }

    /// Acknowledges messages and answers pings until the device hangs up.
    pub fn serve(&mut self) -> io::Result<()> {
        loop {
            let packet = read_packet(&mut self.0)?;
            match packet[0] >> 4 {
                PUBLISH => {
                    if let Some((id, ..)) = publish(&packet) {
                        self.say(&[&[0x40, 2], id.to_be_bytes().as_slice()].concat())?;
                    }
                }
                SUBSCRIBE => self.grant(&packet, &[])?,
                PINGREQ => self.say(&[0xd0, 0])?,
                _ => {}
            }
        }
    }

    /// Reads and answers nothing until the device hangs up.
    pub fn ignore(&mut self) -> io::Result<()> {
        loop {
            read_packet(&mut self.0)?;
        }
    }
}
