//! Manual pages, from the same table that parses the command line.
//!
//! `clap_mangen` renders what clap knows. Examples are set line by line here, since it would run them together, and what
//! clap does not know follows: files, exit codes, where to read on.

use clap::Command;
use clap_mangen::Man;

/// What the pages say at their foot, on the left.
const SOURCE: &str = concat!("edgetuned ", env!("CARGO_PKG_VERSION"));

const FILES: &[(&str, &str)] = &[
    ("/etc/edgetuned/config.yaml", "The configuration, unless --config names another."),
    ("/etc/edgetuned/conf.d/*.yaml", "Further layers of it, in the order of their names."),
    ("/usr/share/edgetuned/default.yaml", "Every setting with its default, its unit and its reason."),
    ("/usr/share/edgetuned/models", "The bundled backbones."),
    ("/usr/lib/edgetuned", "The ONNX Runtime library."),
    ("/var/lib/edgetuned", "The state: samples, labels, heads, and messages that are not sent yet. To be backed up."),
    ("/run/edgetuned/edgetuned.sock", "Where the daemon listens to 'edgetuned ctl'."),
];

const EXIT_CODES: &[(&str, &str)] = &[
    ("0", "Done."),
    ("1", "Failed."),
    ("64", "Wrong usage."),
    ("69", "Something needed is unavailable: ONNX Runtime, the state folder, the daemon."),
    ("78", "Bad configuration."),
];

/// A page for `command` and for each command below it: file name and text, in the order in which they are listed. `date`
/// stands at the foot, as YYYY-MM-DD.
pub fn pages(command: Command, date: &str) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add(&command, &command, date, &mut pages);
    pages
}

fn add(command: &Command, root: &Command, date: &str, pages: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    pages.push((format!("{name}.1"), page(command, root, date)));
    for below in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add(below, root, date, pages);
    }
}

fn page(command: &Command, root: &Command, date: &str) -> String {
    let man = Man::new(command.clone()).source(SOURCE).manual("edgetuned").date(date);
    let mut text = Vec::new();
    let mut rendered = man.render_title(&mut text).and_then(|()| man.render_name_section(&mut text));
    rendered = rendered.and_then(|()| man.render_synopsis_section(&mut text));
    rendered = rendered.and_then(|()| man.render_description_section(&mut text));
    rendered = rendered.and_then(|()| man.render_options_section(&mut text));
    if command.has_subcommands() {
        rendered = rendered.and_then(|()| man.render_subcommands_section(&mut text));
    }
    rendered.expect("writing to memory does not fail");
    let mut text = String::from_utf8(text).expect("roff renders text");

    if let Some(examples) = command.get_after_help() {
        text += &section("EXAMPLES", &verbatim(&examples.to_string()));
    }
    let is_root = command.get_name() == root.get_name();
    if is_root {
        text += &section("FILES", &list(FILES));
    }
    text += &section("EXIT STATUS", &list(EXIT_CODES));
    text + &section("SEE ALSO", &see_also(command, root, is_root))
}

fn section(title: &str, body: &str) -> String {
    format!(".SH \"{title}\"\n{body}")
}

fn list(entries: &[(&str, &str)]) -> String {
    let paragraph = |(what, text): &(&str, &str)| format!(".TP\n{}\n{}\n", escaped(what), escaped(text));
    entries.iter().map(paragraph).collect::<Vec<_>>().concat()
}

/// The lines after the word 'Examples:', as they are.
fn verbatim(examples: &str) -> String {
    let lines = examples.lines().filter(|line| !line.starts_with("Example"));
    let lines = lines.map(|line| escaped(line.trim_start()) + "\n").collect::<Vec<_>>().concat();
    format!(".nf\n{lines}.fi\n")
}

/// The page above and its other pages; from the first page, where the rest is written down.
fn see_also(command: &Command, root: &Command, is_root: bool) -> String {
    if is_root {
        return format!("{}\n", escaped("/usr/share/doc/edgetuned"));
    }
    let name = command.get_display_name().unwrap_or(command.get_name());
    let above = name.rsplit_once('-').map_or(root.get_name(), |(above, _)| above);
    format!(".BR {} (1)\n", escaped(above))
}

/// `text` for the formatter: no line of it is a request, and hyphens are those that are typed.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}
