//! `tasks`: what they mean, and what of them is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use edgetuned::config::{LabelFrom, Origin, State, View};
use edgetuned::engine::Confirm;
use edgetuned::engine::PromotionPolicy;
use edgetuned::words::{Label, Region, SourceId, TaskId};
use rand::{RngExt as _, SeedableRng as _};

use crate::{fault, good, load, load_text, pairs, yaml};

const PLACES: &str = "watch:\n- {path: /srv/camera}\n- {path: /srv/bins, label_from: {folder: 2}}\n\
                      sources:\n- {id: garage, http: 'http://go2rtc/a.jpg'}\n- {id: phone}\n";

/// A configuration with [`PLACES`] and these `tasks`, of which the first is on line 8.
fn tasks(text: &str) -> String {
    format!("{PLACES}tasks:\n{text}\n")
}

#[test]
fn without_tasks_there_is_one_that_asks_about_everything() {
    let config = good("training: {seed: 4}\nprediction: {top_k: 7}");
    assert!(config.tasks.is_empty() && !config.names_tasks());
    let [task] = &config.all_tasks()[..] else { panic!() };
    assert_eq!((task.id.clone(), task.state.clone(), task.label_from), (TaskId::default(), None, None));
    assert_eq!(task.from, [View { of: Origin::Everything, region: Region::WHOLE }]);
    assert_eq!((&task.training, &task.promotion), (&config.training, &config.promotion));
    assert_eq!(task.prediction.top_k, 7);
}

#[test]
fn a_task_has_what_it_says_and_the_rest_in_general() {
    let config = good(&tasks(
        "- id: door\n  from: [{source: garage, region: [0.0, 0.25, 0.3, 0.85]}, {watch: /srv/camera/}]\n  \
         state: {confirm: 3 of 5, hold: 2s, thresholds: {open: 0.9, 'half open': 1}, unknown_after: 1h}\n  \
         training: {min_new_labels: 5, schedule: null}\n  promotion: {policy: manual}\n  prediction: {abstain: {alpha: 0.2}}\n\
         - id: light\n  label_from: folder\n  state:\ntraining: {seed: 9}",
    ));
    assert!(config.names_tasks());
    let [door, light] = &config.all_tasks()[..] else { panic!() };
    let region = Region::rectangle([0.0, 0.25, 0.3, 0.85]).unwrap();
    let garage = SourceId::new("garage").unwrap();
    assert_eq!(door.from[0], View { of: Origin::Source(garage.clone()), region: region.clone() });
    assert_eq!(door.from[1], View { of: Origin::Watch("/srv/camera".into()), region: Region::WHOLE });
    assert_eq!(door.region_of_source(&garage), Some(&region));
    assert_eq!(door.region_of_watch(Path::new("/srv/camera")), Some(&Region::WHOLE));
    assert_eq!(door.region_of_watch(Path::new("/srv/bins")), None);
    assert_eq!(light.region_of_source(&SourceId::new("phone").unwrap()), Some(&Region::WHOLE));
    let thresholds = [("half open", 1.0), ("open", 0.9)].map(|(label, share)| (Label::new(label).unwrap(), share));
    let state = State {
        confirm: Confirm::new(3, 5).unwrap(),
        hold: Duration::from_secs(2),
        thresholds: BTreeMap::from(thresholds),
        unknown_after: Duration::from_hours(1),
    };
    assert_eq!(door.state, Some(state));
    let plain = State {
        confirm: Confirm::new(2, 3).unwrap(),
        hold: Duration::ZERO,
        thresholds: BTreeMap::new(),
        unknown_after: Duration::from_mins(5),
    };
    assert_eq!(light.state, Some(plain), "an empty state is one");
    assert_eq!((door.training.min_new_labels, door.training.schedule.as_deref(), door.training.seed), (5, None, 9));
    assert_eq!((door.promotion.policy, door.prediction.top_k), (PromotionPolicy::Manual, 3));
    assert!((door.prediction.abstain_alpha - 0.2).abs() < 1e-12);
    assert_eq!((&light.training, &light.prediction), (&config.training, &config.prediction));
    assert_eq!(config.unknown_after(&garage), Duration::from_mins(5), "the shortest of those that look at it");
    assert_eq!(good(&tasks("- id: a")).unknown_after(&garage), Duration::from_mins(5));
    let long = good(&tasks("- {id: a, from: [{source: garage}], state: {unknown_after: 9m}}"));
    assert_eq!(long.unknown_after(&garage), Duration::from_mins(9));
    assert_eq!(long.unknown_after(&SourceId::new("phone").unwrap()), Duration::from_mins(5));
}

#[test]
fn an_environment_sets_all_tasks_and_general_settings_reach_them_from_any_layer() {
    let file = yaml("config.yaml", &tasks("- {id: a, training: {cooldown: 1m}}\n- {id: b}"));
    let later = yaml("conf.d/1.yaml", "training: {min_new_labels: 3, cooldown: 9m}");
    let config = load(&[file.clone(), later.clone()]).unwrap().config;
    assert_eq!(
        (config.tasks[0].training.min_new_labels, config.tasks[0].training.cooldown),
        (3, Duration::from_mins(1))
    );
    assert_eq!(config.tasks[1].training.cooldown, Duration::from_mins(9));
    let list = "[{id: c, from: [{source: phone}]}]";
    let config = load(&[file.clone(), later, pairs("environment", &[("tasks", list)])]).unwrap().config;
    let ids: Vec<_> = config.tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(ids, ["c"], "a list replaces the earlier one");
    for key in ["tasks.a", "tasks.id", "sources.garage.http", "tasks[].id", "tasks[].state.hold", "watch[].path"] {
        let problems = load(&[file.clone(), pairs("environment", &[(key, "x")])]).unwrap_err();
        assert!(problems.len() == 1 && problems[0].found.contains("unknown key"), "{key}: {problems:#?}");
    }
}

#[test]
fn a_folder_names_the_class_of_one_task() {
    let config = good(&tasks("- {id: kind, label_from: folder}\n- {id: side, label_from: {folder: 3}}\n- {id: other}"));
    let levels =
        |task: usize| config.watch.iter().map(|watch| config.tasks[task].label_level(watch)).collect::<Vec<_>>();
    assert_eq!([levels(0), levels(1), levels(2)], [vec![Some(1); 2], vec![Some(3); 2], vec![None; 2]]);
    // The task called default takes what the folders say, unless it says something itself.
    let config = good(&tasks("- {id: default}\n- {id: side, from: [{watch: /srv/camera}], label_from: {folder: 2}}"));
    let levels: Vec<_> =
        config.tasks.iter().map(|task| config.watch.iter().map(|w| task.label_level(w)).collect::<Vec<_>>()).collect();
    assert_eq!(levels, [vec![Some(1), Some(2)], vec![Some(2), None]]);
    let silent = good(&tasks("- {id: default, label_from: none}"));
    assert_eq!(silent.tasks[0].label_from, Some(LabelFrom::None));
    assert_eq!(silent.tasks[0].label_level(&silent.watch[1]), None);
    // One level of different folders is two tasks' business.
    let apart = "- {id: a, from: [{watch: /srv/camera}], label_from: folder}\n- {id: b, from: [{watch: /srv/bins}], label_from: folder}";
    assert_eq!(good(&tasks(apart)).tasks.len(), 2);
    for (list, line) in [
        ("- {id: a, label_from: folder}\n- {id: b, label_from: {folder: 1}}", 9),
        ("- {id: a, label_from: folder}\n- {id: b, label_from: folder, from: [{watch: /srv/bins}]}", 9),
        ("- {id: default}\n- {id: b, label_from: {folder: 2}}", 9),
        ("- {id: b, label_from: {folder: 2}}\n- {id: default}", 9),
    ] {
        let problem = fault(&tasks(list));
        assert_eq!((problem.key.as_str(), problem.line), ("tasks[1].label_from", Some(line)), "{list}");
        assert!(problem.found.contains("tasks[0] takes its labels from"), "{problem}");
    }
    assert_eq!(fault("tasks: [{id: a, label_from: folder}, {id: b, label_from: folder}]").key, "tasks[1].label_from");
    let posted = fault(&tasks("- {id: a, from: [{source: phone}], label_from: folder}"));
    assert!(posted.key == "tasks[0].label_from" && posted.remedy.contains("sources have no folders"), "{posted}");
}

#[test]
fn a_folders_own_level_that_no_task_takes_is_a_warning() {
    let warned = |list: &str| {
        let warnings = load_text(&tasks(list)).unwrap().warnings;
        warnings.into_iter().map(|warning| (warning.line, warning.key)).collect::<Vec<_>>()
    };
    let unused = vec![(Some(3), "watch[1].label_from".to_owned())];
    assert_eq!(warned("- {id: a}"), unused);
    assert_eq!(warned("- {id: default, label_from: none}"), unused);
    assert_eq!(warned("- {id: default, from: [{watch: /srv/camera}]}"), unused);
    assert_eq!(warned("- {id: default}"), []);
    assert_eq!(load_text(PLACES).unwrap().warnings, []);
}

#[test]
fn what_a_task_looks_at_is_there_and_has_one_region() {
    for (entry, key, words) in [
        ("{watch: /srv/camera/door}", "[0].watch", "the path of a folder in watch: /srv/camera, /srv/bins"),
        ("{source: garden}", "[0].source", "the id of one of sources: garage, phone"),
        ("{source: garge}", "[0].source", "did you mean 'garage'?"),
        ("{watch: /srv/bins, source: phone}", "[0].source", "one of watch and source"),
        ("{}", "[0]", "watch or source, region, or both"),
        (
            "{source: phone}, {source: phone, region: [0, 0, 1, 0.5]}",
            "[1]",
            "pictures that tasks[0].from[0] looks at, too",
        ),
        ("{watch: /srv/bins}, {watch: /srv//bins/}", "[1]", "one region of each"),
        ("{watch: /srv/bins}, {region: [0, 0, 1, 0.5]}", "[1]", "one region of each"),
        ("{region: [0, 0, 1, 0.5]}, {source: phone}", "[1]", "one region of each"),
    ] {
        let problem = fault(&tasks(&format!("- {{id: a, from: [{entry}]}}")));
        assert_eq!((problem.key, problem.line), (format!("tasks[0].from{key}"), Some(8)), "{entry}");
        let text = format!("found {}, expected {}; {}", problem.found, problem.expected, problem.remedy);
        assert!(text.contains(words), "{entry}: {text}");
    }
    assert!(fault("tasks: [{id: a, from: [{source: b}]}]").expected.contains("which has none"));
    assert!(fault("tasks: [{id: a, from: [{watch: /b}]}]").expected.contains("which has none"));
    // Whether a folder or source with a mistake in it was meant is not known.
    assert_eq!(fault("watch: [{path: camera}]\ntasks: [{id: a, from: [{watch: /camera}]}]").key, "watch[0].path");
    assert_eq!(fault("sources: [{id: Garage}]\ntasks: [{id: a, from: [{source: garage}]}]").key, "sources[0].id");
    let all = good(&tasks("- {id: a, from: [{region: [0, 0, 1, 0.5]}]}"));
    assert!(all.tasks[0].region_of_watch(Path::new("/srv/camera")).is_some_and(|region| !region.is_whole()));
    assert_eq!(good(&tasks("- {id: a, from: []}")).tasks[0].from, good(&tasks("- {id: a}")).tasks[0].from);
}

#[test]
fn regions_that_show_nothing_are_refused_with_what_is_wrong() {
    for (region, found) in [
        ("[0, 0, 1, 1.5]", "1.5"),
        ("[0, 0, 640, 480]", "640"),
        ("[-0.1, 0, 1, 1]", "-0.1"),
        ("[nan, 0, 1, 1]", "NaN"),
        ("[0.5, 0, 0.2, 1]", "a region -0.3000 wide"),
        ("[0, 0, 0.001, 1]", "a region 0.0010 wide"),
        ("[[0, 0], [1, 1]]", "2 corners"),
        ("[]", "0 corners"),
        ("[[0, 0], [0.5, 0.5], [1, 1]]", "corners on one line"),
        ("[0, 0, 1]", "neither four numbers nor pairs"),
        ("[[0, 0], [1, 1], [1]]", "neither four numbers nor pairs"),
        ("['0', 0, 1, 1]", "neither four numbers nor pairs"),
        ("door", "\"door\""),
        ("{left: 0}", "a map"),
    ] {
        let problem = fault(&tasks(&format!("- {{id: a, from: [{{source: phone, region: {region}}}]}}")));
        assert_eq!((problem.key.as_str(), problem.line), ("tasks[0].from[0].region", Some(8)), "{region}");
        assert!(problem.found.contains(found) && problem.expected.contains("[left, top"), "{region}: {problem}");
    }
    let drawn = good(&tasks("- {id: a, from: [{source: phone, region: [[0.1, 0.2], [0.9, 0.2], [0.5, 1]]}]}"));
    assert_eq!(drawn.tasks[0].from[0].region.corners().map(|corners| corners.len()), Some(3));
}

#[test]
fn states_that_never_hold_are_refused() {
    for (state, key, words) in [
        ("confirm: 0 of 3", "confirm", "N of M"),
        ("confirm: 4 of 3", "confirm", "N of M"),
        ("confirm: 60 of 101", "confirm", "M from 1 to 100"),
        ("confirm: 2/3", "confirm", "N of M"),
        ("confirm: +2 of 3", "confirm", "N of M"),
        ("confirm: 3", "confirm", "such as 2 of 3"),
        ("confirm: [2, 3]", "confirm", "such as 2 of 3"),
        ("hold: -1s", "hold", "from 0s to 1d"),
        ("hold: 2d", "hold", "from 0s to 1d"),
        ("unknown_after: 999ms", "unknown_after", "from 1s to 30d"),
        ("unknown_after: 10s", "unknown_after", "sources[0].every is 10s"),
        ("thresholds: {open: 1.1}", "thresholds", "\"1.1\" for \"open\""),
        ("thresholds: {open: nan}", "thresholds", "for \"open\""),
        ("thresholds: {open: 90%}", "thresholds", "without a percent sign"),
        ("thresholds: {open: '0.9'}", "thresholds", "and quotes"),
        ("thresholds: {open: null}", "thresholds", "from 0 to 1"),
        ("thresholds: {'a/b': 0.9}", "thresholds", "no slashes"),
        ("thresholds: {\" \": 0.9}", "thresholds", "visible character"),
        ("thresholds: {open: 0.9, 'open ': 0.8}", "thresholds", "\"open\" again"),
        ("thresholds: {open: 0.9, unknown: 0.8}", "thresholds", "\"unknown\", expected labels of classes; remove it"),
        ("thresholds: 0.9", "thresholds", "write for example { open: 0.9 }"),
        ("confrim: 2 of 3", "confrim", "did you mean 'confirm'?"),
    ] {
        let problem = fault(&tasks(&format!("- {{id: a, state: {{{state}}}}}")));
        assert_eq!((problem.key, problem.line), (format!("tasks[0].state.{key}"), Some(8)), "{state}");
        let text = format!("found {}, expected {}; {}", problem.found, problem.expected, problem.remedy);
        assert!(text.contains(words), "{state}: {text}");
    }
    let of = |text: &str| {
        good(&tasks(&format!("- {{id: a, state: {{confirm: {text}}}}}"))).tasks[0].state.clone().unwrap().confirm
    };
    for (votes, most) in [(1, 1), (1, 2), (2, 6), (1, 100), (50, 100), (100, 100)] {
        assert_eq!(of(&format!("{votes} of {most}")), Confirm::new(votes, most).unwrap());
    }
    let slow = fault("sources:\n- {id: a, http: 'http://c', every: 1h}\ntasks: [{id: t, state: {}}]");
    assert_eq!((slow.key.as_str(), slow.line), ("tasks[0].state.unknown_after", Some(2)), "of what somebody wrote");
    assert_eq!(fault(&tasks("- {id: a, state: null}")).key, "tasks[0].state");
}

#[test]
fn all_problems_of_tasks_come_at_once_with_their_lines() {
    let text = tasks(
        "- id: Door\n  training:\n    min_new_label: 5\n    seed: x\n  prediction: {unknown: {percentile: 10}}\n  \
         from:\n  - {source: garage, region: [0, 0, 2, 1]}\n  - {sorce: garage}\n- label_from: sometimes\n- id: a\n- id: a\n  store: 3",
    );
    let problems = load_text(&text).unwrap_err();
    let found: Vec<_> = problems.iter().map(|problem| (problem.line.unwrap(), problem.key.as_str())).collect();
    let expected = [
        (8, "tasks[0].id"),
        (10, "tasks[0].training.min_new_label"),
        (11, "tasks[0].training.seed"),
        (12, "tasks[0].prediction.unknown.percentile"),
        (14, "tasks[0].from[0].region"),
        (15, "tasks[0].from[1].sorce"),
        (16, "tasks[1].label_from"),
        (16, "tasks[1].id"),
        (19, "tasks[3].store"),
        (18, "tasks[3].id"),
    ];
    let without_empty: Vec<_> = found.iter().copied().filter(|(_, key)| *key != "tasks[0].from[1]").collect();
    assert_eq!(without_empty, expected, "{problems:#?}");
    let many = (0..17).fold(String::new(), |text, number| text + &format!("- id: t{number}\n"));
    assert!(fault(&tasks(&many)).found.contains("17 items"));
    assert_eq!(fault("tasks: [{id: a, training: fast}]").key, "tasks[0].training");
    assert_eq!(fault("tasks: [door]").remedy, "write id: door");
}

#[test]
fn places_name_what_a_task_sets() {
    let places = load_text(&tasks("- id: a\n  training:\n    seed: 3\n  from:\n  - source: phone")).unwrap().places;
    for (key, line) in [("tasks[0].training.seed", 10), ("tasks[0].from[0].source", 12), ("watch[1].path", 3)] {
        assert_eq!(places.get(key).and_then(|(_, line)| *line), Some(line), "{key} in {places:#?}");
    }
}

/// One of `choices`.
fn one<'a>(rng: &mut rand_chacha::ChaCha8Rng, choices: &[&'a str]) -> &'a str {
    choices[rng.random_range(0..choices.len())]
}

#[test]
fn whatever_is_written_is_read_back_the_same_or_refused() {
    let mut accepted = 0;
    for seed in 0..1_000 {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let rng = &mut rng;
        let mut text = PLACES.to_owned();
        for id in ["x", "y", "z"] {
            let feed = [
                "",
                ", mqtt: cam/ID/jpg, rate: 30/m",
                ", http: 'http://c/a', burst: {every: 3s}",
                ", http: 'http://c/a', token_file: /t, rate: 1/10s",
                ", http: 'https://c', username: u, ca_file: /c, keep: none",
                ", http: 'https://c', every: 1m, burst: {for: 0s}",
            ];
            writeln!(text, "- {{id: {id}{}}}", one(rng, &feed).replace("ID", id)).unwrap();
        }
        text += "tasks:\n";
        for id in ["default", "b", "c"] {
            let from = one(
                rng,
                &[
                    "",
                    ", from: []",
                    ", from: [{source: x}]",
                    ", from: [{watch: /srv/bins, region: [0, 0, 0.5, 1]}]",
                    ", from: [{region: [[0, 0], [1, 0], [0, 1]]}]",
                    ", from: [{source: y}, {source: z}]",
                ],
            );
            let labels = one(rng, &["", "", ", label_from: none", ", label_from: folder", ", label_from: {folder: 4}"]);
            let state = one(
                rng,
                &[
                    "",
                    ", state: {}",
                    ", state: {confirm: 3 of 4, thresholds: {ä: 0.25}}",
                    ", state: {unknown_after: 9s}",
                ],
            );
            let over = one(
                rng,
                &[
                    "",
                    ", training: {schedule: null}",
                    ", training: {l2: 0.5, head: auto}",
                    ", prediction: {abstain: {alpha: 0.3}}",
                    ", promotion: {instant: false}",
                    ", training: {}",
                    ", training: {seed: -1}",
                ],
            );
            writeln!(text, "- {{id: {id}{from}{labels}{state}{over}}}").unwrap();
        }
        text +=
            one(rng, &["", "training: {schedule: '0 4 * * *', cooldown: 1m}", "prediction: {abstain: {alpha: 0.3}}"]);
        match load_text(&text) {
            Ok(loaded) => {
                accepted += 1;
                let json = loaded.config.to_json().to_string();
                assert_eq!(good(&json), loaded.config, "seed {seed}:\n{text}\n{json}");
            }
            Err(problems) => {
                assert!(
                    problems.iter().all(|problem| !problem.to_string().contains('\n')),
                    "seed {seed}: {problems:#?}"
                );
            }
        }
    }
    assert!(accepted > 50, "only {accepted} were good");
}
