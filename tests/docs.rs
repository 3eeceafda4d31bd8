//! The documents match the repository: files, commands, configurations, and the bounds of queues.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgetuned::backbone::Manifest;
use edgetuned::config::{self, Layer, Source};
use edgetuned::wire::{InboundTopic, Topic};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: where it lies, and its text.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = ["", "docs", "docs/decisions"].map(|folder| root().join(folder));
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| (path.clone(), fs::read_to_string(&path).unwrap())).collect()
}

/// The contents of the fenced blocks that are in `language`, without their common indent.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let fence = line.trim_start();
        if fence == format!("```{language}") {
            let indent = line.len() - fence.len();
            let block = lines.by_ref().take_while(|line| line.trim_start() != "```");
            found.push(block.map(|line| line.get(indent..).unwrap_or_default()).collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

/// What stands between backticks within a line, outside of fenced blocks.
fn inline_code(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.lines()).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// What links lead to, relative ones only and without the part behind `#`.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let relative = targets.filter(|target| !target.contains("://") && !target.starts_with('#'));
    relative.map(|target| target.split('#').next().unwrap()).collect()
}

/// The arguments of every `edgetuned` command in a page.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks: Vec<String> = ["sh", "console", ""].iter().flat_map(|language| blocks(text, language)).collect();
    let lines = blocks.iter().flat_map(|block| block.lines()).chain(inline_code(text));
    let commands = lines.filter_map(|line| line.trim_start_matches("$ ").strip_prefix("edgetuned "));
    // A shell takes the quotes off.
    let words = |line: &str| line.split_whitespace().map(|word| word.trim_matches('\'').to_owned()).collect();
    commands.map(words).collect()
}

#[test]
fn links_lead_somewhere() {
    let mut count = 0;
    for (page, text) in pages() {
        for link in links(&text) {
            count += 1;
            let target = page.parent().unwrap().join(link);
            assert!(target.exists(), "{}: {link} leads nowhere", page.display());
        }
    }
    assert!(count > 15, "only {count} links were found");
}

#[test]
fn files_that_are_named_exist() {
    let mut count = 0;
    for (page, text) in pages() {
        let folders = ["src/", "tests/", "docs/", "config/", "tools/", "models/"];
        let names = inline_code(&text).into_iter().filter(|code| folders.iter().any(|folder| code.starts_with(folder)));
        let is_topic = |name: &str| name.parse::<Topic>().is_ok() || name.parse::<InboundTopic>().is_ok();
        for name in names.filter(|name| !name.contains("NNNN") && !is_topic(name)) {
            count += 1;
            assert!(root().join(name).exists(), "{}: there is no {name}", page.display());
        }
    }
    assert!(count > 50, "only {count} names were found");
}

#[test]
fn commands_are_understood() {
    let mut count = 0;
    for (page, text) in pages() {
        for arguments in commands(&text) {
            count += 1;
            // With --help nothing is done, but everything before it has to be known.
            let output = Command::new(env!("CARGO_BIN_EXE_edgetuned")).args(&arguments).arg("--help").output().unwrap();
            let complaint = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: edgetuned {}: {complaint}", page.display(), arguments.join(" "));
        }
    }
    assert!(count > 12, "only {count} commands were found");
    let unknown = ["train", "folder", "--shot", "3", "--help"];
    assert!(!Command::new(env!("CARGO_BIN_EXE_edgetuned")).args(unknown).output().unwrap().status.success());
}

#[test]
fn configurations_and_manifests_in_the_pages_are_good() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let operations = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let backbones = fs::read_to_string(root().join("docs/backbones.md")).unwrap();
    let (manifests, configurations) = (blocks(&backbones, "yaml"), blocks(&operations, "yaml"));
    assert_eq!((manifests.len(), configurations.len()), (1, 1));
    let manifest = Manifest::parse(&manifests[0], Path::new("docs/backbones.md")).unwrap();
    assert_eq!(manifest.embedding.dim, 1280);

    let load = |text: &str| {
        config::load(&[Layer { name: "docs".into(), source: Source::Yaml(text.into()) }], "host").unwrap().config
    };
    let minimal = fs::read_to_string(root().join("config/minimal.yaml")).unwrap();
    let (shown, minimal) = (load(&configurations[0]).to_json(), load(&minimal).to_json());
    assert_eq!(shown, minimal, "docs/operations.md and config/minimal.yaml differ");

    let cameras = blocks(&fs::read_to_string(root().join("docs/cameras.md")).unwrap(), "yaml");
    let sources: usize =
        cameras.iter().map(|text| load(text)).map(|config| config.sources.len() + config.watch.len()).sum();
    assert!(cameras.len() > 7 && sources > cameras.len(), "{sources} sources and folders in {} blocks", cameras.len());

    let doors = blocks(&fs::read_to_string(root().join("docs/http.md")).unwrap(), "yaml");
    assert!(doors.len() == 2 && doors.iter().all(|text| load(text).http.listen.is_some()), "{doors:?}");

    let page = fs::read_to_string(root().join("docs/tasks.md")).unwrap();
    let tasks: Vec<_> = blocks(&page, "yaml").iter().map(|text| load(text)).collect();
    let [people, gate, bins] = &tasks[..] else { panic!("{} configurations in docs/tasks.md", tasks.len()) };
    let folder = &people.watch[0].path;
    let regions: Vec<_> = people.tasks.iter().map(|task| task.region_of_watch(folder)).collect();
    assert!(regions.len() == 2 && regions[0] != regions[1] && regions.iter().all(Option::is_some), "{regions:?}");
    let levels: Vec<_> = bins.tasks.iter().map(|task| task.label_level(&bins.watch[0])).collect();
    assert_eq!(levels, [Some(1), Some(2)]);
    let task = &gate.tasks[0];
    assert!(gate.tasks.len() == 1 && task.state.is_some(), "a state for the automation");
    let sensor = format!("sensor.{}_{}", gate.device.name.to_lowercase(), task.id);
    let automation = &blocks(&page, "yaml automation")[0];
    assert!(automation.contains(&format!("entity_id: {sensor}\n")), "the automation does not wait for {sensor}");

    let shell = blocks(&readme, "sh").join("\n");
    let (_, rest) = shell.split_once("<<END\n").unwrap();
    let (written, _) = rest.split_once("\nEND").unwrap();
    assert_eq!(load(&written.replace("$PWD", "/srv")).device.id, "line-3");
}

#[test]
fn every_module_has_its_row_and_no_other() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let modules = architecture.lines().filter_map(|line| line.strip_prefix("| `src/")?.split('`').next());
    let entries = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap());
    let mut there: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    there.retain(|name| !["lib.rs", "learn.rs", "main.rs"].contains(&name.as_str()));
    there.sort();
    let mut listed: Vec<_> = modules.collect();
    listed.sort_unstable();
    assert_eq!(listed, there);
}

#[test]
fn bounds_in_the_architecture_are_those_of_the_code() {
    let architecture = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut count = 0;
    for line in architecture.lines().filter(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [_, bound, place, _] = cells[..] else { continue };
        let Some((name, file)) = place.trim_matches('`').split_once("` in `") else { continue };
        count += 1;
        // Underscores are in numbers of the code, and not of the page.
        let source = fs::read_to_string(root().join(file)).unwrap().replace('_', "");
        let value = match bound.strip_suffix(" s") {
            None => bound.to_owned(),
            Some(seconds) => format!("Duration::fromsecs({seconds})"),
        };
        let name = format!("const {}: ", name.replace('_', ""));
        let said = source.lines().find_map(|line| line.split_once(&name)?.1.split_once(" = "));
        assert_eq!(said.map(|(_, said)| said), Some(&*format!("{value};")), "{name}in {file}");
    }
    assert!(count > 9, "only {count} bounds were found");
}

#[test]
fn figures_of_the_readme_are_those_of_the_evaluation() {
    let block = |page: &str| {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let start = text.find("<!-- evaluation").unwrap_or_else(|| panic!("{page} has no table of accuracy"));
        let end = text.find("<!-- /evaluation").unwrap_or_else(|| panic!("{page} does not end its table"));
        text[start..end].to_owned()
    };
    let (readme, evaluation) = (block("README.md"), block("docs/evaluation.md"));
    assert_eq!(readme, evaluation, "make evaluation writes both");
    let rows = readme.lines().filter(|line| line.starts_with("| ")).count();
    assert!(rows >= 6, "a heading, and a row for 5, 10, 30 and all labels:\n{readme}");
}
