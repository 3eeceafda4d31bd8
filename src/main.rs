//! The `edgetuned` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    switch_telemetry_off();
    edgetuned::cli::main()
}

/// From version 1.29 on the official ONNX Runtime reports how it is used, from the moment that it is opened, unless this variable is
/// set before.
#[allow(unsafe_code, reason = "a variable of the environment is set")]
fn switch_telemetry_off() {
    // SAFETY: no other thread runs yet that could read the environment.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
}
