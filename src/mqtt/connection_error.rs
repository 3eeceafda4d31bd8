//! Why there is no connection, with the remedy.

use std::io;

use rumqttc::{ConnectReturnCode, ConnectionError, StateError, mqttbytes};

use super::settings::Settings;

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
        ConnectionError::Tls(_) => true,
        // This is how a TLS alert of the other side arrives.
        ConnectionError::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        _ => false,
    }
}

/// A failed connect or a lost link.
pub(super) fn describe(error: &ConnectionError, settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    match error {
        ConnectionError::ConnectionRefused(code) => refused(*code, settings),
        ConnectionError::Tls(error) => format!(
            "TLS with {broker} failed: {}; check mqtt.ca_file, and the broker's certificate and its name",
            chain(error)
        ),
        ConnectionError::NetworkTimeout if !was_connected => {
            format!("{broker} does not answer; check mqtt.url, the network and the firewall")
        }
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
        (ConnectReturnCode::BadClientId, _) => format!(
            "{broker} refuses the client id {:?}; choose another mqtt.prefix or device.id",
            settings.base.client_id()
        ),
        (ConnectReturnCode::ServiceUnavailable, _) => {
            format!("{broker} reports that it is not available now; connecting again")
        }
        (ConnectReturnCode::RefusedProtocolVersion, _) => {
            format!("{broker} does not speak MQTT 3.1.1; choose a broker that does")
        }
        (ConnectReturnCode::Success, _) => closed(settings, false),
    }
}

fn input_output(error: &io::Error, settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {broker}; start the broker or correct mqtt.url")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            closed(settings, was_connected)
        }
        // This is how an alert of the other side arrives.
        io::ErrorKind::InvalidData if broker.tls => format!(
            "TLS with {broker} failed: {error}; check mqtt.ca_file, mqtt.cert_file and the broker's certificate"
        ),
        _ => format!("cannot reach {broker}: {error}; check mqtt.url and the network"),
    }
}

fn closed(settings: &Settings, was_connected: bool) -> String {
    let broker = &settings.broker;
    if was_connected {
        format!(
            "{broker} closed the connection; if that happens again and again, look for another client with the id {:?}",
            settings.base.client_id()
        )
    } else {
        format!(
            "{broker} closed the connection without an answer; check that its port speaks MQTT, with TLS for mqtts:// \
             only"
        )
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
