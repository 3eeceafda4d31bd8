//! Why there is no connection, with the remedy.

use std::io;

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, mqttbytes};
use rustls::pki_types::UnixTime;
use rustls::{CertificateError, Error as TlsError};

use super::settings::Settings;
use crate::words::Timestamp;

/// Why there is no connection.
#[derive(Debug)]
pub(super) struct Fault {
    /// In words, with the remedy.
    pub(super) reason: String,
    /// Whether only a person can change it.
    pub(super) barred: bool,
}

impl Fault {
    /// It may pass by itself.
    pub(super) fn passing(reason: String) -> Self {
        Self { reason, barred: false }
    }

    /// A person has to change something.
    pub(super) fn barring(reason: String) -> Self {
        Self { reason, barred: true }
    }
}

/// Whether the broker sent a packet that cannot be read; it would send it again on every connection.
pub(super) fn is_poison(error: &ConnectionError) -> bool {
    use mqttbytes::Error as Codec;
    matches!(error, ConnectionError::MqttState(StateError::Deserialization(error))
        if !matches!(error, Codec::Io(_) | Codec::OutgoingPacketTooLarge { .. }))
}

/// Whether the broker refuses this device, which only a person can change.
pub(super) fn is_barred(error: &ConnectionError) -> bool {
    use ConnectReturnCode::{BadClientId, BadUserNamePassword, NotAuthorized};
    match error {
        ConnectionError::ConnectionRefused(code) => matches!(code, BadClientId | BadUserNamePassword | NotAuthorized),
        _ => false,
    }
}

/// A failed connect or a lost link.
pub(super) fn describe(error: &ConnectionError, settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code, settings),
        ConnectionError::NetworkTimeout if !was_connected => no_answer(settings),
        ConnectionError::NetworkTimeout | ConnectionError::FlushTimeout => {
            format!("{broker} accepts no more data; connecting again")
        }
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        ) => input_output(error, settings, was_connected),
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            format!("{broker} no longer answers pings; connecting again")
        }
        ConnectionError::MqttState(StateError::ConnectionAborted) => closed(settings, was_connected),
        ConnectionError::NotConnAck(_) | ConnectionError::MqttState(StateError::Deserialization(_))
            if !was_connected =>
        {
            format!("{broker} does not answer with MQTT ({}); check the port in mqtt.url", chain(error))
        }
        other => format!("the connection to {broker} failed: {}; connecting again", chain(other)),
    }
}

fn refused(code: ConnectReturnCode, settings: &Settings) -> String {
    let broker = &settings.broker;
    match (code, &settings.credentials) {
        (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized, Some(credentials)) => format!(
            "{broker} refuses user {:?}; correct mqtt.username and mqtt.password_file, or the broker's user list",
            credentials.username
        ),
        (ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized, None) => {
            format!("{broker} refuses a client without a name; set mqtt.username and mqtt.password_file")
        }
        (ConnectReturnCode::BadClientId, _) => {
            format!("{broker} refuses the client id {:?}; set mqtt.client_id to one that it allows", settings.client_id)
        }
        (ConnectReturnCode::ServiceUnavailable, _) => {
            format!("{broker} reports that it is not available now; connecting again")
        }
        (ConnectReturnCode::RefusedProtocolVersion, _) => {
            format!("{broker} does not speak MQTT 3.1.1; choose a broker that does")
        }
        (ConnectReturnCode::Success, _) => closed(settings, false),
    }
}

/// Nothing comes back.
pub(super) fn no_answer(settings: &Settings) -> String {
    format!("{} does not answer; check mqtt.url, the network and the firewall", settings.broker)
}

/// The handshake of TLS failed, or the broker ended the encrypted connection.
pub(super) fn handshake(error: &io::Error, settings: &Settings) -> Fault {
    let broker = &settings.broker;
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<TlsError>());
    match (tls, error.kind()) {
        (Some(TlsError::InvalidCertificate(wrong)), _) => Fault::barring(certificate(wrong, settings)),
        (Some(TlsError::AlertReceived(alert)), _) => Fault::barring(format!(
            "TLS with {broker} failed: the broker refuses it ({alert:?}); check mqtt.cert_file and mqtt.key_file, and \
             which TLS versions the broker allows"
        )),
        (Some(TlsError::InvalidMessage(_)), _) => Fault::passing(format!(
            "{broker} does not answer with TLS; correct the port in mqtt.url, or write mqtt:// for a port without TLS"
        )),
        (Some(error), _) => {
            Fault::barring(format!("TLS with {broker} failed: {error}; check the TLS settings of the broker"))
        }
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            Fault::passing(format!(
                "{broker} closed the connection while TLS was set up; check that its port speaks TLS, and what lies \
                 between: a proxy or a firewall"
            ))
        }
        (None, _) => Fault::passing(input_output(error, settings, false)),
    }
}

/// What is wrong with the broker's certificate.
fn certificate(wrong: &CertificateError, settings: &Settings) -> String {
    let (broker, host) = (&settings.broker, &settings.broker.host);
    let found = match wrong {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the broker's certificate expired on {}, and it is {} here; renew it, or set the clock",
            date(*not_after),
            date(*time)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the broker's certificate is valid from {}, and it is {} here; set the clock (timedatectl)",
            date(*not_before),
            date(*time)
        ),
        CertificateError::UnknownIssuer => match &settings.tls.ca_file {
            Some(file) => format!(
                "the broker's certificate is signed by none of the authorities in {}; set mqtt.ca_file to the \
                 certificate of the one that signed it, with those between",
                file.display()
            ),
            None => "the broker's certificate is signed by no authority that this system knows (UnknownIssuer); set \
                     mqtt.ca_file to the certificate of the one that signed it"
                .to_owned(),
        },
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "the broker's certificate is not for the name {host} (NotValidForName); use a name that it is for in \
             mqtt.url, or make one for this name: {}",
            recipe(host)
        ),
        other => {
            let words = format!("{other:?}");
            if words.contains("CaUsedAsEndEntity") {
                format!(
                    "the broker's certificate is an authority's own, and not the one in mqtt.ca_file; set mqtt.ca_file to \
                     this very certificate, or make one: {}",
                    recipe(host)
                )
            } else if words.contains("UnsupportedCertVersion") {
                format!(
                    "the broker's certificate is of X.509 version 1, without the names that it is for; make one of \
                     version 3: {}",
                    recipe(host)
                )
            } else {
                format!("the broker's certificate cannot be used: {other}; make another one: {}", recipe(host))
            }
        }
    };
    format!("TLS with {broker} failed: {found}")
}

/// The command that makes a certificate for the broker which also serves as `mqtt.ca_file`.
pub(super) fn recipe(host: &str) -> String {
    let kind = if host.parse::<std::net::IpAddr>().is_ok() { "IP" } else { "DNS" };
    format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout broker.key -out broker.crt -subj /CN={host} -addext \
         subjectAltName={kind}:{host}"
    )
}

fn date(time: UnixTime) -> String {
    let time = Timestamp(i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000));
    time.to_jiff().strftime("%Y-%m-%d %H:%M UTC").to_string()
}

pub(super) fn input_output(error: &io::Error, settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {broker}; start the broker or correct mqtt.url")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            closed(settings, was_connected)
        }
        _ => format!("cannot reach {broker}: {error}; check mqtt.url and the network"),
    }
}

fn closed(settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    if was_connected {
        format!(
            "{broker} closed the connection; if that happens again and again, look for another client with the id {:?}",
            settings.client_id
        )
    } else {
        format!(
            "{broker} closed the connection without an answer; check that its port speaks MQTT, with TLS for mqtts:// \
             only, and that it takes last wills of QoS 1"
        )
    }
}

/// The connection was closed while the broker had not answered this.
pub(super) fn closed_at(what: &str, settings: &Settings) -> String {
    let broker = &settings.broker;
    format!(
        "{broker} closed the connection while it had not acknowledged {what}; connecting again; what the broker's access \
         list or its limits do not allow is found and set aside"
    )
}

/// Whether a stream ended, with or without a reset.
pub(super) fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
}

/// Whether the other side closed the connection, without a word about the reason.
pub(super) fn is_closed(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::Io(error)
        | ConnectionError::MqttState(
            StateError::Io(error) | StateError::Deserialization(mqttbytes::Error::Io(error)),
        ) => is_end(error),
        ConnectionError::MqttState(StateError::ConnectionAborted) => true,
        _ => false,
    }
}

/// An error and its causes in one line; the client library repeats some causes in its own words.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !line.contains(&cause_text) {
            line = format!("{line}: {cause_text}");
        }
        source = cause.source();
    }
    line
}
