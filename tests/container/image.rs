//! `packaging/container`, held to the package, the program and the service.

use edgetuned::config::{self, Config, Layer, Source};
use serde_json::{Value, json};

use crate::packaged::{assets, read};
use crate::{instruction, instructions, yaml};

const IMAGE: &str = "packaging/container/Containerfile";
const ADD_ON: &str = "packaging/home-assistant/edgetuned/Dockerfile";

fn loaded() -> Config {
    let layer = Layer { name: "config.yaml".into(), source: Source::Yaml(read("packaging/container/config.yaml")) };
    config::load(&[layer], "line-3").unwrap().config
}

/// Where the files of the package lie once it is installed.
fn installed() -> Vec<String> {
    let place = |(from, to): (String, String)| match to.strip_suffix('/') {
        Some(folder) => format!("/{folder}/{}", from.rsplit('/').next().unwrap()),
        None => format!("/{to}"),
    };
    assets().into_iter().map(place).collect()
}

/// The command of an instruction in its exec form.
fn command(path: &str, name: &str) -> Vec<String> {
    let text = instruction(path, name);
    serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap()
}

#[test]
fn what_the_images_run_comes_with_the_package_and_is_understood() {
    let installed = installed();
    for path in [IMAGE, ADD_ON] {
        let asked = command(path, "HEALTHCHECK");
        assert!(installed.contains(&asked[0]), "{}: the package has only {installed:?}", asked[0]);
        assert_eq!(asked[1..], ["ctl", "get", "/healthz"]);
        let words = ["edgetuned".to_owned()].into_iter().chain(asked[1..].iter().cloned());
        edgetuned::cli::command().try_get_matches_from(words).unwrap();
    }
    let [entry] = &command(IMAGE, "ENTRYPOINT")[..] else { panic!("one program and no arguments") };
    assert!(installed.contains(entry), "{entry}");
    assert_eq!(command(IMAGE, "CMD"), ["run"]);
    // COPY puts its own in the place of the package's.
    for (_, copied) in instructions(IMAGE).iter().filter(|(name, _)| name == "COPY") {
        let (_, to) = copied.split_once(' ').unwrap();
        assert!(installed.iter().any(|file| file == to), "{to}");
    }
    let script = read("packaging/home-assistant/edgetuned/run");
    assert!(
        script.contains("    /usr/bin/edgetuned \"$@\"") && installed.iter().any(|file| file == "/usr/bin/edgetuned")
    );
}

#[test]
fn the_image_runs_without_root_and_both_users_have_one_number() {
    assert_eq!(instruction(IMAGE, "USER"), "8787:8787");
    assert_eq!(instruction(IMAGE, "STOPSIGNAL"), "SIGTERM");
    let bases: Vec<String> = [IMAGE, ADD_ON].map(|path| instructions(path)[0].1.clone()).into();
    assert!(bases[0] == bases[1] && bases[0].contains("debian:") && bases[0].ends_with("-slim"), "{bases:?}");
    for path in [IMAGE, ADD_ON] {
        let made = instructions(path).into_iter().find(|(_, rest)| rest.contains("useradd")).unwrap().1;
        assert!(made.contains("--gid 8787 edgetuned") && made.contains("--uid 8787 --gid edgetuned"), "{path}: {made}");
    }
    // systemd's own place for the user, without which the package's script would take another number.
    assert!(read("systemd/edgetuned.sysusers").contains("\nu edgetuned - "));
}

#[test]
fn the_image_keeps_the_state_where_the_program_has_it_and_its_door_needs_a_token() {
    let config = loaded();
    assert_eq!(config.store.path.to_str().unwrap(), instruction(IMAGE, "VOLUME"));
    let door = config.http.listen.unwrap();
    assert!(door.ip().is_unspecified(), "{door}");
    assert_eq!(door.port().to_string(), instruction(IMAGE, "EXPOSE"));
    assert!(config.http.token_file.is_some(), "the door is open to everybody");
}

#[test]
fn the_example_gives_what_the_image_expects_and_takes_what_it_does_not_need() {
    let compose = yaml("packaging/container/compose.yaml");
    let service = &compose["services"]["edgetuned"];
    assert_eq!((&service["read_only"], &service["cap_drop"]), (&json!(true), &json!(["ALL"])));
    assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]));
    assert!(service.get("privileged").is_none() && service.get("user").is_none());

    let config = loaded();
    let secret = service["secrets"][0].as_str().unwrap();
    assert_eq!(config.http.token_file.as_deref().unwrap(), std::path::Path::new("/run/secrets").join(secret));
    assert!(compose["secrets"][secret]["file"].is_string());

    let volumes: Vec<Vec<&str>> = service["volumes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|volume| volume.as_str().unwrap().split(':').collect())
        .collect();
    let target = |path: &str| volumes.iter().find(|volume| volume[1] == path).unwrap_or_else(|| panic!("no {path}"));
    let state = target(config.store.path.to_str().unwrap());
    assert!(compose["volumes"].as_object().unwrap().contains_key(state[0]) && state.len() == 2, "{state:?}");
    assert_eq!(target(config.watch[0].path.to_str().unwrap())[2], "ro");
    assert_eq!(target("/etc/edgetuned/conf.d")[2], "ro");

    let port = config.http.listen.unwrap().port();
    assert_eq!(service["ports"], json!([format!("127.0.0.1:{port}:{port}")]), "others are served by a proxy with TLS");

    // What the service may take.
    let unit = read("systemd/edgetuned.service");
    let limit = |key: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{key}="))).unwrap();
    assert_eq!(service["mem_limit"], limit("MemoryMax").to_lowercase());
    assert_eq!(service["pids_limit"].to_string(), limit("TasksMax"));
    assert_eq!(service["stop_grace_period"], format!("{}s", limit("TimeoutStopSec")));
    assert_ne!(service["hostname"], Value::Null, "each container would be another device");
}

#[test]
fn the_settings_that_the_pages_show_are_good_over_those_of_image_and_add_on() {
    let layer = |text: &str| Layer { name: "site.yaml".into(), source: Source::Yaml(text.into()) };
    let block = |page: &str, begin: &str| {
        let text = read(page);
        let from = text.find(begin).unwrap_or_else(|| panic!("{page} shows nothing that begins with {begin}"));
        text[from..].split("```").next().unwrap().to_owned()
    };
    let site = block("docs/containers.md", "device:\n  id: line-3");
    let config =
        config::load(&[layer(&read("packaging/container/config.yaml")), layer(&site)], "0123456789ab").unwrap().config;
    assert_eq!((config.device.id.as_str(), config.http.listen), ("line-3", loaded().http.listen));
    let options = "sources: [{ id: garage, http: 'http://supervisor/core/api/camera_proxy/camera.garage' }]";
    let tasks = block("packaging/home-assistant/edgetuned/DOCS.md", "tasks:\n");
    let config = config::load(&[layer(options), layer(&tasks)], "home").unwrap().config;
    assert_eq!(config.tasks.len(), 2);
}
