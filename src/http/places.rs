//! Who may be connected at a time: so many in all, so many of one address. Where there is no place, the connection that
//! has sent nothing whole for longest makes way, so that whoever only holds connections keeps nobody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Connections to the door at a time.
const CONNECTIONS: usize = 64;
/// Of these, connections of one address, unless it is a trusted proxy's.
const PER_ADDRESS: usize = 16;

/// The connections that are served.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    connections: HashMap<u64, Connection>,
    last: u64,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    state: State,
    since: Instant,
    cut: Arc<Notify>,
}

/// What a connection is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its next request is not whole yet.
    Idle,
    /// A request is answered.
    Busy,
    /// It watches, for as long as it likes.
    Watching,
}

/// The place of one connection; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    cut: Arc<Notify>,
}

/// A request that is answered; dropping it ends that.
#[derive(Debug)]
pub(super) struct Answering {
    places: Arc<Places>,
    number: u64,
}

impl Places {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `address`; `None` where every one of its own, or of all, is at work.
    pub fn enter(self: &Arc<Self>, address: IpAddr, is_proxy: bool, now: Instant) -> Option<Place> {
        let mut taken = self.taken();
        if !is_proxy && taken.count(Some(address)) >= PER_ADDRESS {
            taken.cut_idle(Some(address))?;
        }
        if taken.count(None) >= CONNECTIONS {
            taken.cut_idle(None)?;
        }
        taken.last += 1;
        let (number, cut) = (taken.last, Arc::new(Notify::new()));
        taken.connections.insert(number, Connection { address, state: State::Idle, since: now, cut: Arc::clone(&cut) });
        Some(Place { places: Arc::clone(self), number, cut })
    }

    fn set(&self, number: u64, state: State, now: Instant) {
        if let Some(connection) = self.taken().connections.get_mut(&number) {
            (connection.state, connection.since) = (state, now);
        }
    }
}

impl Taken {
    fn count(&self, address: Option<IpAddr>) -> usize {
        self.connections.values().filter(|connection| connection.is_of(address)).count()
    }

    /// Ends the connection that has been idle for longest.
    fn cut_idle(&mut self, address: Option<IpAddr>) -> Option<()> {
        let idle = self.connections.iter().filter(|(_, found)| found.is_of(address) && found.state == State::Idle);
        let (number, _) = idle.min_by_key(|(_, found)| found.since)?;
        let number = *number;
        self.connections.remove(&number)?.cut.notify_one();
        Some(())
    }
}

impl Connection {
    fn is_of(&self, address: Option<IpAddr>) -> bool {
        address.is_none_or(|address| self.address == address)
    }
}

impl Place {
    /// A request came whole.
    pub fn answering(&self, watches: bool, now: Instant) -> Answering {
        self.places.set(self.number, if watches { State::Watching } else { State::Busy }, now);
        Answering { places: Arc::clone(&self.places), number: self.number }
    }

    /// Returns when the connection has to make way.
    pub async fn cut(&self) {
        self.cut.notified().await;
    }

    /// Whether one request has been answered for longer than `limit`.
    pub fn is_overdue(&self, limit: Duration, now: Instant) -> bool {
        let taken = self.places.taken();
        let connection = taken.connections.get(&self.number);
        connection.is_some_and(|found| found.state == State::Busy && now.duration_since(found.since) > limit)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken().connections.remove(&self.number);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.places.set(self.number, State::Idle, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn an_idle_connection_makes_way_and_one_at_work_does_not() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let later = |count: usize| now + Duration::from_millis(count as u64);
        let held: Vec<_> = (0..PER_ADDRESS).map(|at| places.enter(address(1), false, later(at)).unwrap()).collect();
        let working: Vec<_> = held[1..].iter().map(|place| place.answering(false, now)).collect();
        let newer = places.enter(address(1), false, later(20)).unwrap();
        let count = places.taken().connections.len();
        assert!(count == PER_ADDRESS && !places.taken().connections.contains_key(&held[0].number));
        let work = newer.answering(true, now);
        assert!(places.enter(address(1), false, later(21)).is_none(), "all are at work");
        assert!(places.enter(address(2), false, later(21)).is_some(), "another address");
        assert!(places.enter(address(1), true, later(21)).is_some(), "a proxy speaks for many");
        drop(work);
        assert!(places.enter(address(1), false, later(22)).is_some());
        assert!(held[1].is_overdue(Duration::from_secs(1), now + Duration::from_secs(2)));
        drop(working);
        assert!(!held[1].is_overdue(Duration::ZERO, now + Duration::from_hours(1)));
        drop((held, newer));
        assert!(places.taken().connections.is_empty());
    }

    #[test]
    fn there_are_so_many_in_all() {
        let (places, now) = (Arc::new(Places::default()), Instant::now());
        let held: Vec<_> = (0..CONNECTIONS).map(|at| places.enter(address(at as u8), false, now).unwrap()).collect();
        let working: Vec<_> = held.iter().map(|place| place.answering(false, now)).collect();
        assert!(places.enter(address(200), true, now).is_none());
        drop(working);
        assert!(places.enter(address(200), false, now).is_some());
        assert_eq!(places.taken().connections.len(), CONNECTIONS - 1, "one made way, and its place was given back");
    }
}
