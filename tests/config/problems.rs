//! What is refused, and in which words.

use crate::{fault, good, load, load_text, yaml};

#[test]
fn all_problems_of_all_layers_come_at_once_with_their_lines() {
    let main = yaml(
        "config.yaml",
        "device:\n  id: Line 3\nbackbone:\n  threads: 0\n  modle: x\ntraining:\n  cooldown: 10 minutes\n  \
         schedule: daily\n  cooldown: 5m\nmqtt:\n  password_file: /run/p\n  cert_file: /run/c\nwatch:\n  \
         - path: camera\n  - path: /srv/a\n    setle: 1s\n  - path: /srv/a/b\n  - recursive: false\n",
    );
    let bad = yaml("conf.d/bad.yaml", "a: b: c\n");
    let more = yaml("conf.d/more.yaml", "\npromotion: {policy: sometimes}\n");
    let problems = load(&[main, bad, more]).unwrap_err();
    let found: Vec<_> = problems.iter().map(|p| (p.file.as_str(), p.line, p.key.as_str())).collect();
    let expected = [
        ("config.yaml", Some(2), "device.id"),
        ("config.yaml", Some(4), "backbone.threads"),
        ("config.yaml", Some(5), "backbone.modle"),
        ("config.yaml", Some(7), "training.cooldown"),
        ("config.yaml", Some(8), "training.schedule"),
        ("config.yaml", Some(9), "training.cooldown"),
        ("config.yaml", Some(14), "watch[0].path"),
        ("config.yaml", Some(16), "watch[1].setle"),
        ("config.yaml", Some(18), "watch[3].path"),
        ("conf.d/bad.yaml", Some(1), ""),
        ("conf.d/more.yaml", Some(2), "promotion.policy"),
        ("config.yaml", Some(11), "mqtt.password_file"),
        ("config.yaml", Some(12), "mqtt.cert_file"),
        ("config.yaml", Some(17), "watch[2].path"),
    ];
    assert_eq!(found, expected, "{problems:#?}");
    for problem in &problems {
        let line = problem.to_string();
        assert!(!line.contains('\n') && !problem.remedy.is_empty() && !problem.found.is_empty(), "{line}");
        assert!(!problem.expected.is_empty(), "{line}");
    }
}

#[test]
fn a_problem_reads_as_one_line_and_has_the_fields_of_check_json() {
    let problem = fault("\nbackbone: {threads: 65}");
    let line = "config.yaml:2: backbone.threads: found \"65\", expected a whole number from 1 to 64; \
                write for example 1";
    assert_eq!(problem.to_string(), line);
    let json = serde_json::to_value(&problem).unwrap();
    let fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = ["file", "line", "key", "found", "expected", "remedy"].to_vec();
    expected.sort_unstable();
    assert_eq!(fields, expected);
}

#[test]
fn trusted_keys_are_a_short_list_of_absolute_paths() {
    for bad in ["/etc/a.pub", "[a.pub]", "[/etc/../a.pub]", "[[/a.pub]]", "[null]", "null", "{a: /b}"] {
        let problem = fault(&format!("updates:\n  trusted_keys: {bad}"));
        assert_eq!((problem.key.as_str(), problem.line), ("updates.trusted_keys", Some(2)), "{bad}");
        assert!(problem.expected.contains("a list of at most 16 absolute paths"), "{problem}");
    }
    let many = vec!["/a.pub"; 17].join(", ");
    assert!(fault(&format!("updates: {{trusted_keys: [{many}]}}")).found.contains("17 items"));
    assert!(good("updates: {trusted_keys: []}").updates.trusted_keys.is_empty());
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    for (text, remedy) in [
        ("mqt: {url: x}", "did you mean 'mqtt'?"),
        ("training: {min_new_label: 3}", "did you mean 'min_new_labels'?"),
        ("training: {Seed: 3}", "did you mean 'seed'?"),
        ("watch: [{path: /a, label-from: none}]", "did you mean 'label_from'?"),
        ("top_k: 3", "did you mean 'prediction.top_k'?"),
        ("mqtt: {threads: 3}", "did you mean 'backbone.threads'?"),
        ("zzz: 3", "remove it"),
        ("<<: {}", "remove it"),
    ] {
        assert_eq!(fault(text).remedy, remedy, "{text}");
    }
    let password = fault("mqtt: {username: me, password: hunter2}");
    assert!(password.remedy.contains("mqtt.password_file"), "{password}");
    assert!(!password.to_string().contains("hunter2"), "a secret is not repeated: {password}");
}

#[test]
fn a_key_that_comes_twice_is_an_error_that_names_both_lines() {
    let problem = fault("training:\n  seed: 1\n  cooldown: 5m\n  seed: 1\n");
    assert_eq!((problem.line, problem.key.as_str()), (Some(4), "training.seed"));
    assert!(problem.found.contains("line 2"), "{problem}");
    assert_eq!(fault("mqtt: {url: null}\nmqtt: {spool_mb: 3}").key, "mqtt");
}

#[test]
fn a_list_of_nothing_in_a_time_is_refused_without_looking_for_it() {
    for time in [", * * * *", "0 1,,2 * * *", "0 3, * * *"] {
        let problem = fault(&format!("training: {{schedule: \"{time}\"}}"));
        assert!(problem.remedy.contains("list is empty"), "{problem}");
    }
}

#[test]
fn values_out_of_range_or_of_another_kind_are_refused() {
    for (text, expected) in [
        ("backbone: {threads: 65}", "from 1 to 64"),
        ("backbone: {threads: 1.5}", "whole number"),
        ("backbone: {threads: -1}", "whole number"),
        ("backbone: {threads: null}", "whole number"),
        ("backbone: {threads: [1]}", "whole number"),
        ("backbone: {model: null}", "text"),
        ("backbone: {model: ''}", "text"),
        ("backbone: {execution_providers: []}", "list of 1 to 8"),
        ("backbone: {execution_providers: cpu}", "list of 1 to 8"),
        ("backbone: {execution_providers: [acme, cpu]}", "a name with a library"),
        ("backbone: {providers: [openvino]}", "a map of at most 16"),
        ("backbone: {providers: {openvino: GPU}}", "a map of at most 16"),
        ("device: {id: UPPER}", "a-z"),
        ("device: {id: a/b}", "a-z"),
        ("device: {name: \"a\\nb\"}", "one line"),
        ("store: {path: relative}", "absolute"),
        ("store: {path: /a/../b}", "'..'"),
        ("store: {precision: f64}", "f16 or f32"),
        ("training: {min_new_labels: 0}", "from 1"),
        ("training: {cooldown: 10}", "duration"),
        ("training: {cooldown: 31d}", "to 30d"),
        ("training: {solver: sgd}", "lbfgs or adam"),
        ("training: {l2: 0}", "auto"),
        ("training: {l2: -1}", "auto"),
        ("training: {l2: .inf}", "auto"),
        ("training: {l2: inf}", "auto"),
        ("training: {l2: nan}", "auto"),
        ("training: {seed: 18446744073709551616}", "whole number"),
        ("training: {schedule: \"0 3 * *\"}", "five fields"),
        ("training: {schedule: \"0 0 3 * * *\"}", "five fields"),
        ("training: {schedule: \"60 3 * * *\"}", "five fields"),
        ("training: {schedule: \"@daily\"}", "five fields"),
        ("training: {schedule: \"0 0 30 2 *\"}", "five fields"),
        ("promotion: {margin: 1.1}", "from 0 to 1"),
        ("promotion: {margin: nan}", "from 0 to 1"),
        ("prediction: {top_k: 0}", "from 1"),
        ("mqtt: {prefix: ''}", "topic levels"),
        ("mqtt: {prefix: /a}", "topic levels"),
        ("mqtt: {prefix: a/}", "topic levels"),
        ("mqtt: {prefix: a/+/b}", "topic levels"),
        ("mqtt: {prefix: 'a#'}", "topic levels"),
        ("mqtt: {spool_mb: 0}", "from 1"),
        ("mqtt: {spool_max_age: 59s}", "from 1m"),
        ("mqtt: {max_packet_kb: 15}", "from 16"),
        ("mqtt: null", "map of url"),
        ("mqtt: mqtt://localhost", "map of url"),
        ("watch: {path: /a}", "list"),
        ("watch: null", "list"),
        ("watch: [/srv/a]", "map of path"),
        ("watch: [{path: /a, recursive: 'true'}]", "true or false"),
        ("watch: [{path: /a, recursive: yes}]", "true or false"),
        ("watch: [{path: /a, settle: 0s}]", "from 10ms"),
        ("watch: [{recursive: true}]", "absolute path"),
        ("watch: [{path: null}]", "absolute path"),
        ("- a", "map of device"),
        ("text", "map of device"),
    ] {
        let problem = fault(text);
        assert!(problem.expected.contains(expected), "{text}: {problem}");
    }
    assert_eq!(fault("backbone: {threads: '2'}").remedy, "write it without quotes");
}

#[test]
fn what_other_versions_have_is_refused_with_what_this_one_has() {
    assert_eq!(fault("training: {head: softmaxx}").remedy, "did you mean 'softmax'?");
    assert!(fault("training: {head: forest}").expected.contains("softmax or mlp or lda or rp-ridge or auto"));
}

#[test]
fn execution_providers_that_cannot_be_are_refused_with_the_remedy() {
    for (backbone, found, remedy) in [
        ("{execution_providers: [openvin, cpu]}", "openvin", "did you mean 'openvino'?"),
        ("{execution_providers: [acme, cpu]}", "acme", "set backbone.providers.acme.library"),
        ("{execution_providers: [acme], providers: {acme: {device: 1}}}", "acme", "backbone.providers.acme.library"),
        ("{execution_providers: [cpu, cuda]}", "\"cuda\" behind cpu", "put cpu last"),
        ("{execution_providers: [cuda, cuda]}", "\"cuda\" again", "remove one"),
        ("{execution_providers: [a b]}", "a b", "letters, digits"),
        ("{providers: {cpu: {threads: 2}}}", "cpu", "backbone.threads"),
        ("{providers: {qnn: {library: ep.so}}}", "ep.so", "absolute path"),
        ("{providers: {qnn: {library: /a/../ep.so}}}", "ep.so", "absolute path"),
        ("{providers: {qnn: {backend_path: [1]}}}", "qnn.backend_path", "text, a number, true or false"),
        ("{providers: {qnn: {backend_path: null}}}", "qnn.backend_path", "correct or remove"),
        ("{providers: {qnn: {'a b': 1}}}", "qnn.a b", "correct or remove"),
    ] {
        let problem = fault(&format!("backbone: {backbone}"));
        assert!(problem.found.contains(found) && problem.remedy.contains(remedy), "{backbone}: {problem}");
    }
}

#[test]
fn folders_that_contain_each_other_are_refused() {
    for (paths, store, how) in [
        (&["/srv/a", "/srv/a"][..], "/state", "is the same as watch[0].path"),
        (&["/srv/a", "/srv//a/."], "/state", "is the same as watch[0].path"),
        (&["/srv/a", "/srv/a/b"], "/state", "lies inside watch[0].path"),
        (&["/srv/a/b", "/srv/a"], "/state", "contains watch[0].path"),
        (&["/srv/a"], "/srv/a", "is the same as store.path"),
        (&["/srv/a"], "/srv/a/state", "contains store.path"),
        (&["/srv/a/in"], "/srv/a", "lies inside store.path"),
    ] {
        let list = paths.iter().fold(String::new(), |text, path| text + "  - path: " + path + "\n");
        let problem = fault(&format!("store: {{path: {store}}}\nwatch:\n{list}"));
        assert!(problem.found.contains(how), "{problem}");
        assert_eq!(problem.line, Some(2 + paths.len() as u64));
    }
    assert_eq!(good("watch: [{path: /srv/a}, {path: /srv/ab}]\nstore: {path: /srv/abc}").watch.len(), 2);
}

#[test]
fn credentials_come_in_the_pairs_that_make_sense() {
    assert_eq!(good("mqtt: {username: me}").mqtt.unwrap().password_file, None);
    assert_eq!(fault("mqtt: {password_file: /p}").key, "mqtt.password_file");
    assert_eq!(fault("mqtt: {url: 'mqtts://b', cert_file: /c}").key, "mqtt.cert_file");
    assert_eq!(fault("mqtt: {url: 'mqtts://b', key_file: /k}").key, "mqtt.key_file");
    let split = [yaml("a.yaml", "mqtt: {password_file: /p}"), yaml("b.yaml", "mqtt: {username: me}")];
    assert!(load(&split).is_ok(), "what belongs together may stand in two layers");
    let unused = load_text("mqtt: {ca_file: /c}").unwrap().warnings;
    assert_eq!(unused.iter().map(|warning| warning.key.as_str()).collect::<Vec<_>>(), ["mqtt.ca_file"]);
}

#[test]
fn a_broker_url_that_cannot_be_meant_is_refused_with_what_to_write() {
    for (url, remedy) in [
        ("localhost", "write for example mqtt://localhost:1883"),
        ("mqtt://h:0", "write a port from 1 to 65535, or none"),
        ("mqtts://[::1]", "write the broker's name or IPv4 address: TLS needs one"),
        ("mqtt://a/b", "write for example mqtt://localhost:1883"),
    ] {
        let problem = fault(&format!("mqtt: {{url: \"{url}\"}}"));
        assert_eq!((problem.key.as_str(), problem.remedy.as_str()), ("mqtt.url", remedy), "{url}");
    }
    let secret = fault("mqtt: {url: 'mqtt://me:hunter2@broker'}");
    assert!(secret.remedy.contains("password_file") && !secret.to_string().contains("hunter2"), "{secret}");
    let misplaced = fault("mqtt: mqtt://me:hunter2@broker");
    assert!(!misplaced.to_string().contains("hunter2"), "{misplaced}");
}
