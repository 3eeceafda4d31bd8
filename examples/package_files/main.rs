//! Writes what a package holds besides the program: manual pages, completions, notices, the list of components.
//!
//! All of it follows from the program, from `Cargo.lock` and from the files that are packaged, so none of it is kept in
//! the repository; `make packages` calls this. The same input gives the same bytes.

mod components;
mod man;
mod notices;

use std::error::Error;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use clap_complete::aot::{Shell, generate_to};

/// Writes what a package holds besides the program.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Manual pages, one for each command
    Man {
        /// The folder for them
        out: PathBuf,
        /// The day that they name, YYYY-MM-DD
        #[arg(long)]
        date: String,
    },
    /// Completions for bash, zsh and fish
    Completions {
        /// The folder for them
        out: PathBuf,
    },
    /// Licences and notices of all crates that are linked into the program, on standard output; standard input has
    /// what 'cargo metadata --filter-platform TRIPLE' says
    Notices,
    /// The list of components that cargo-cyclonedx wrote, completed by what cargo does not know of, on standard output;
    /// standard input has the list
    Components {
        /// Files that the package holds beside the program: the ONNX Runtime library, models
        files: Vec<PathBuf>,
    },
}

fn main() -> Result<(), Box<dyn Error>> {
    match Args::parse().command {
        Command::Man { out, date } => write_pages(&out, &date),
        Command::Completions { out } => write_completions(&out),
        Command::Notices => {
            print!("{}", notices::notices(&serde_json::from_str(&standard_input()?)?)?);
            Ok(())
        }
        Command::Components { files } => {
            let list = components::complete(serde_json::from_str(&standard_input()?)?, &files)?;
            println!("{}", serde_json::to_string_pretty(&list)?);
            Ok(())
        }
    }
}

fn write_pages(out: &Path, date: &str) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    for (name, page) in man::pages(edgetuned::cli::command(), date) {
        fs::write(out.join(name), page)?;
    }
    Ok(())
}

/// Under the names by which the shells look for them.
fn write_completions(out: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(out)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut edgetuned::cli::command(), "edgetuned", out)?;
    }
    fs::rename(out.join("edgetuned.bash"), out.join("edgetuned"))?;
    Ok(())
}

fn standard_input() -> io::Result<String> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}
