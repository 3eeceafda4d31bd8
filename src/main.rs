//! The `edgetuned` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    edgetuned::cli::main()
}
