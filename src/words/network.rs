//! A network by its address and the length of its prefix.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

/// Addresses that begin alike: `192.168.1.0/24`, `fd00::/8`, or a single one, `192.168.1.7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is neither an address nor ADDRESS/BITS.
    #[error("write an address, or an address, '/' and the bits of its prefix: 192.168.1.7, 172.30.32.0/23, fd00::/8")]
    Text,
    /// The address has bits behind the prefix.
    #[error("set the bits behind the prefix to 0: {0}")]
    Beyond(Network),
}

impl Network {
    /// Whether `address` is in it; one of IPv4 that is written as IPv6 (`::ffff:a.b.c.d`) is the same.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.first.is_ipv4() == address.is_ipv4() && masked(address, self.bits) == self.first
    }
}

/// The address with 0 for all bits but the first `bits`.
fn masked(address: IpAddr, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            IpAddr::V4((u32::from(address) & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            IpAddr::V6((u128::from(address) & mask).into())
        }
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| BadNetwork::Text)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let is_number = |bits: &&str| bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits = match bits {
            None => most,
            Some(bits) => Some(bits)
                .filter(is_number)
                .and_then(|bits| bits.parse().ok())
                .filter(|bits| *bits <= most)
                .ok_or(BadNetwork::Text)?,
        };
        let first = masked(address, bits);
        if first == address { Ok(Self { first, bits }) } else { Err(BadNetwork::Beyond(Self { first, bits })) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_single = self.bits == if self.first.is_ipv4() { 32 } else { 128 };
        if is_single { self.first.fmt(f) } else { write!(f, "{}/{}", self.first, self.bits) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_as_it_does() {
        for (network, inside, outside) in [
            ("192.168.1.7", "192.168.1.7", "192.168.1.8"),
            ("172.30.32.0/23", "172.30.33.255", "172.30.34.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::/0", "::1", "127.0.0.1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::ffff:11.1.2.3"),
        ] {
            let read: Network = network.parse().unwrap();
            assert_eq!(read.to_string(), network);
            assert!(read.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!read.contains(outside.parse().unwrap()), "{network} {outside}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        for text in
            ["", "proxy", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/8/8", "10.0.0", "[::1]"]
        {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork::Text), "{text}");
        }
        let beyond = "10.0.0.1/8".parse::<Network>().unwrap_err();
        assert!(beyond.to_string().ends_with("to 0: 10.0.0.0/8"), "{beyond}");
    }
}
