//! What goes into the Debian package, held to what the program and the repository have. Building it takes `make
//! packages`; how it is installed, upgraded and removed is tested in `tests/systemd`.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use edgetuned::config::{self, Layer, Source};

#[path = "../examples/package_files/man.rs"]
mod man;
#[path = "support/packaged.rs"]
mod packaged;
#[path = "support/skip.rs"]
mod skip;

use packaged::{assets, metadata, read, root};

/// Whether `path`, whose last part may be `*` and an ending, names a file.
fn exists(path: &str) -> bool {
    let Some((folder, ending)) = path.split_once("/*") else { return root().join(path).is_file() };
    let files = fs::read_dir(root().join(folder)).unwrap();
    files.flatten().any(|file| file.file_name().to_str().is_some_and(|name| name.ends_with(ending)))
}

#[test]
fn every_file_that_is_packaged_exists_or_is_built() {
    let assets = assets();
    assert!(assets.len() > 20, "only {} files were found", assets.len());
    for (source, _) in assets.iter().filter(|(source, _)| !source.starts_with("target/release/")) {
        assert!(exists(source), "Cargo.toml packages {source}, which is not there");
    }
    let metadata = metadata();
    for key in ["maintainer-scripts", "changelog"] {
        assert!(root().join(metadata[key].as_str().unwrap()).exists(), "{key}");
    }
    for ending in ["service", "sysusers"] {
        let units = metadata["systemd-units"]["unit-scripts"].as_str().unwrap();
        assert!(exists(&format!("{units}/edgetuned.{ending}")), "no unit is packaged");
    }
}

#[test]
fn models_go_with_their_manifests_and_tests_stay_at_home() {
    let packaged: Vec<String> = assets().into_iter().map(|(source, _)| source).collect();
    let manifests: Vec<_> = packaged
        .iter()
        .filter(|path| path.starts_with("models/") && Path::new(path).extension().is_some_and(|kind| kind == "yaml"))
        .collect();
    let names = [
        "default",
        "default-inner",
        "default-int8",
        "fast",
        "faster",
        "photo",
        "photo-inner",
        "photo-int8",
        "photo-int8-inner",
    ];
    assert_eq!(manifests, names.map(|name| format!("models/{name}.yaml")).iter().collect::<Vec<_>>());
    for manifest in manifests {
        let model = edgetuned::backbone::Manifest::load(&root().join(manifest)).unwrap();
        let file = model.file.file_name().unwrap().to_str().unwrap();
        let places = [format!("models/{file}"), format!("target/release/package/models/{file}")];
        assert!(places.iter().any(|place| packaged.contains(place)), "{manifest} is packaged without {file}");
    }
}

#[test]
fn versions_agree() {
    let version = format!("edgetuned ({}-1) ", env!("CARGO_PKG_VERSION"));
    assert!(read("packaging/debian/changelog").starts_with(&version), "the Debian changelog is of another version");
    let setup = read("tools/setup.sh");
    let library = setup.lines().find_map(|line| line.strip_prefix("VERSION=")).unwrap();
    let library = format!("target/release/package/onnxruntime/libonnxruntime.so.{library}");
    assert!(assets().iter().any(|(source, _)| *source == library), "{library} is not what Cargo.toml packages");
}

#[test]
fn every_command_has_a_page_that_names_its_options_and_the_commands_below_it() {
    fn check(command: &clap::Command, pages: &[(String, String)]) -> usize {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let page = pages.iter().find(|(file, _)| *file == format!("{name}.1"));
        let (_, page) = page.unwrap_or_else(|| panic!("{name} has no page"));
        assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains(" 2026-11-24 "), "{name}: {page}");
        for option in command.get_arguments().filter_map(|argument| argument.get_long()) {
            let option = format!("\\-\\-{}", option.replace('-', "\\-"));
            assert!(page.contains(&option), "{name}: {option} is not in its page");
        }
        let below = command.get_subcommands().filter(|command| command.get_name() != "help");
        below.fold(1, |count, command| {
            let below = command.get_display_name().unwrap().replace('-', "\\-");
            assert!(page.contains(&below), "{name}: {below} is not in its page");
            count + check(command, pages)
        })
    }
    let pages = man::pages(edgetuned::cli::command(), "2026-11-24");
    let mut command = edgetuned::cli::command();
    command.build();
    let count = check(&command, &pages);
    assert!(count > 20, "only {count} commands were found");
    assert_eq!(pages.len(), count, "there are pages of what is no command");
}

#[test]
fn examples_keep_their_lines_and_are_no_requests_to_the_formatter() {
    let command = clap::Command::new("tool").after_help("Examples:\n  tool --one 'a'\n  .tool \\n");
    let pages = man::pages(command, "2026-11-24");
    assert!(
        pages[0].1.contains(".SH \"EXAMPLES\"\n.nf\ntool \\-\\-one \\(aqa\\(aq\n\\&.tool \\en\n.fi\n"),
        "{}",
        pages[0].1
    );
}

#[test]
fn the_configuration_sets_nothing_as_installed_and_the_smallest_one_when_uncommented() {
    let shipped = read("packaging/config.yaml");
    let load = |text: &str| {
        let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(text.into()) };
        config::load(&[layer], "host").unwrap().config.to_json()
    };
    let (_, settings) = shipped.split_once("\n\n").unwrap();
    let uncommented: String = settings.lines().map(uncomment).collect();
    assert_eq!(load(&uncommented), load(&read("config/minimal.yaml")));
    assert_eq!(load(&shipped), config::load(&[], "host").unwrap().config.to_json());
}

fn uncomment(line: &str) -> String {
    format!("{}\n", line.strip_prefix('#').unwrap_or(line))
}

/// The command in `configured.conf`, with `/etc/edgetuned` at `folder`.
fn condition(folder: &Path) -> String {
    let drop_in = read("packaging/configured.conf");
    let command = drop_in.lines().find_map(|line| line.strip_prefix("ExecCondition=/usr/bin/")).unwrap();
    assert!(read("packaging/debian/postinst").contains(command), "postinst asks something else than the service");
    command.replace("/etc/edgetuned", folder.to_str().unwrap())
}

#[test]
fn the_service_counts_as_configured_once_something_is_set_in_any_layer() {
    let folder = tempfile::tempdir().unwrap();
    let (file, layers) = (folder.path().join("config.yaml"), folder.path().join("conf.d"));
    let condition = condition(folder.path());
    let is_configured = || Command::new("sh").args(["-c", &condition]).status().unwrap().code() == Some(0);

    assert!(!is_configured(), "without any file");
    let shipped = read("packaging/config.yaml");
    fs::write(&file, &shipped).unwrap();
    assert!(!is_configured(), "as installed");
    fs::create_dir(&layers).unwrap();
    fs::write(layers.join("10-site.yaml.orig"), "watch: []\n").unwrap();
    fs::write(layers.join("10-site.yaml"), "---\n# nothing yet\n\n").unwrap();
    assert!(!is_configured(), "with a layer that sets nothing");
    fs::write(layers.join("10-site.yaml"), "---\nmqtt: { url: \"mqtt://broker:1883\" }\n").unwrap();
    assert!(is_configured(), "with a layer of its own");
    fs::remove_dir_all(&layers).unwrap();
    fs::write(&file, shipped.replace("#watch:\n#  - path", "watch:\n  - path")).unwrap();
    assert!(is_configured(), "with a folder in the file");
}

#[test]
fn the_floor_is_read_from_the_symbols() {
    let floor = |file: &Path| Command::new(root().join("packaging/floor.sh")).arg(file).output().unwrap();
    if Command::new("readelf").arg("--version").output().is_err() {
        skip::skip("readelf is not installed (apt-get install binutils)");
        return;
    }
    let library = root().join(".ort/libonnxruntime.so.1.27.0");
    if cfg!(target_arch = "x86_64") && library.exists() {
        let found = String::from_utf8(floor(&library).stdout).unwrap();
        // As 'readelf --version-info' lists them for the official library; the wheel promises 2.27.
        assert_eq!(found, "CXXABI 1.3.11\nGCC 4.3.0\nGLIBC 2.27\nGLIBCXX 3.4.21\n");
    }
    let program = floor(Path::new(env!("CARGO_BIN_EXE_edgetuned")));
    let found = String::from_utf8(program.stdout).unwrap();
    assert!(found.lines().any(|line| line.starts_with("GLIBC 2.")), "{found}");
    assert!(!floor(Path::new("not/there")).status.success(), "a file that is not there has no floor");
}
