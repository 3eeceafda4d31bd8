//! Execution providers: every way in which one silently would not be used is said, with the CPU behind it as a warning and
//! without it as exit code 69; and those that can be used here are.
//!
//! What the stock library shows is tested always. `make providers` fetches other libraries and plug-ins and names their
//! folder in `EDGETUNED_PROVIDERS`; without it those tests are skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use edgetuned::words::Digest;
use serde_json::Value;

use crate::camera::Part;
use crate::daemon::Daemon;
use crate::desk::{Desk, Ran, models};
use crate::onnx::{Attribute, Net};
use crate::skip;

/// A desk with a configuration that asks for these providers.
struct Asked {
    desk: Desk,
    /// `EDGETUNED_ORT`; the library of the checkout unless given.
    runtime: Option<PathBuf>,
}

impl Asked {
    /// For `providers`, with `settings` of them, to compute `model`.
    fn new(providers: &str, settings: &str, model: &Path) -> Self {
        let desk = Desk::new();
        let (state, model) = (desk.path("state").display().to_string(), model.display());
        let text = format!(
            "backbone:\n  model: {model}\n  execution_providers: [{providers}]\n  providers: {settings}\n\
             store: {{ path: {state} }}\nmqtt: {{ url: null }}\nhttp: {{ listen: null }}\n"
        );
        desk.put("config.yaml", text.as_bytes());
        Self { desk, runtime: None }
    }

    fn on(self, runtime: &Path) -> Self {
        Self { runtime: Some(runtime.to_owned()), ..self }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.desk.command(&format!("--config config.yaml {words}"));
        command.envs(self.runtime.iter().map(|runtime| ("EDGETUNED_ORT", runtime)));
        // Left-over profiles would be seen here.
        fs::create_dir_all(self.desk.path("tmp")).unwrap();
        command.env("TMPDIR", self.desk.path("tmp"));
        command
    }

    fn run(&self, words: &str) -> Ran {
        let ran = Ran::of(self.command(words).output().unwrap());
        let names = fs::read_dir(self.desk.path("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
        // Newer libraries put reports of their use there.
        let left: Vec<_> = names.collect();
        assert!(left.is_empty(), "{words} left {left:?}");
        ran
    }

    /// What `check` says of the providers: exit code, problems, warnings and hints, as text.
    fn check(&self) -> (Option<i32>, String) {
        let ran = self.run("check --offline --json");
        let document = ran.document();
        let about = |list: &str| {
            let lines = document[list].as_array().cloned().unwrap_or_default();
            let is_of_it = |line: &Value| line.is_string() || line["key"] == "backbone.execution_providers";
            let text = |line: &Value| format!("{list}: {} {}", line["found"], line.as_str().unwrap_or_default());
            lines.iter().filter(|line| is_of_it(line)).map(text).collect::<Vec<_>>().join("\n")
        };
        (ran.code, ["problems", "warnings", "hints"].map(about).join("\n"))
    }
}

/// Provider `name` with `settings` does not compute `model`, for a reason with `says` in it.
fn falls_back(runtime: Option<&Path>, (name, settings): (&str, &str), model: &Path, says: &str) {
    let settings = if settings.is_empty() { "{}".to_owned() } else { format!("{{ {name}: {{ {settings} }} }}") };
    let asked = |providers: &str| {
        let asked = Asked::new(providers, &settings, model);
        if let Some(runtime) = runtime { asked.on(runtime) } else { asked }
    };
    let (code, said) = asked(&format!("{name}, cpu")).check();
    let fallen = format!("warnings: \"the backbone runs on cpu instead of {name}: {name}: ");
    assert!(code == Some(0) && said.contains(&fallen) && said.contains(says), "{name}, {settings}: {code:?} {said}");
    let alone = asked(name);
    let (code, said) = alone.check();
    assert!(
        code == Some(69) && said.contains("problems: ") && said.contains(says),
        "{name}, {settings}: {code:?} {said}"
    );
    let ran = alone.run(&format!("backbone bench --provider {name} --json"));
    let error = ran.document()["error"].to_string();
    assert!(ran.code == Some(69) && error.contains(says), "{name}, {settings}: {:?} {error}", ran.code);
}

fn photo() -> PathBuf {
    models().join("photo.yaml")
}

fn stock() -> PathBuf {
    let entries = fs::read_dir(models().parent().unwrap().join(".ort")).unwrap().map(|entry| entry.unwrap().path());
    let is_library = |path: &PathBuf| {
        path.to_string_lossy().contains("libonnxruntime.so.") && path.extension().is_some_and(|end| end != "sha256")
    };
    entries.into_iter().find(is_library).expect("tools/setup.sh put it there")
}

#[test]
fn what_the_library_lacks_and_what_is_no_plug_in_falls_back_and_says_so() {
    let files = Desk::new();
    files.put("text.so", "a text and no library, long enough for a header\n".repeat(9).as_bytes());
    let text = files.path("text.so");
    let library = |path: &Path| format!("library: {}", path.display());
    for (provider, settings, says) in [
        ("openvino", String::new(), "OpenVINOExecutionProvider execution provider is not supported in this build"),
        ("openvino", "device_type: GPU".to_owned(), "is not supported in this build"),
        ("cuda", String::new(), "CUDA execution provider is not enabled in this build"),
        ("tensorrt", "trt_fp16_enable: true".to_owned(), "TensorRT execution provider is not enabled in this build"),
        ("qnn", "backend_path: libQnnHtp.so".to_owned(), "not supported in this build"),
        ("acme", library(&files.path("none.so")), "none.so: No such file or directory"),
        ("acme", library(&text), "invalid ELF header"),
        ("acme", library(files.root()), "is no file"),
        ("acme", library(&stock()), "undefined symbol: CreateEpFactories"),
        // With a library a known name means the plug-in.
        ("openvino", library(&text), "invalid ELF header"),
    ] {
        falls_back(None, (provider, &settings), &models().join("tiny-test.yaml"), says);
    }
}

#[test]
fn every_provider_that_was_tried_is_named_in_order() {
    let asked = Asked::new("tensorrt, cuda, cpu", "{}", &models().join("tiny-test.yaml"));
    let (code, said) = asked.check();
    let (first, second) = (said.find("tensorrt: "), said.find("cuda: "));
    assert!(code == Some(0) && first.is_some() && first < second, "{said}");
    let asked = Asked::new("tensorrt, cuda", "{}", &models().join("tiny-test.yaml"));
    let ran = asked.run("run");
    ran.failed(69, &["no execution provider of [tensorrt, cuda]", ": tensorrt: ", "put cpu at the end"]);
    assert!(!ran.err.contains("cuda: "), "without cpu there is no second way: {}", ran.err);
}

#[test]
fn names_that_nobody_knows_are_wrong_configuration() {
    let asked = Asked::new("acme, cpu", "{}", &models().join("tiny-test.yaml"));
    assert_eq!(asked.check().0, Some(78));
    let desk = Desk::new();
    desk.fails("backbone bench tiny-test --provider acme", 78, &["\"acme\"", "openvino", "library"]);
    desk.fails("backbone bench tiny-test --provider openvin", 78, &["did you mean 'openvino'?"]);
}

#[test]
fn the_cpu_is_measured_and_what_cannot_be_is_left_out_beside_it() {
    let desk = Desk::new();
    for words in ["backbone bench tiny-test", "backbone bench tiny-test --provider cuda --provider cpu"] {
        let rows = desk.good(words);
        let [row] = &rows.as_array().unwrap()[..] else { panic!("{rows}") };
        let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["cosine", "images_per_second", "latency_ms", "provider", "rss_bytes"]);
        assert_eq!((&row["provider"], &row["cosine"]), (&"cpu".into(), &1.0.into()));
        let [rate, latency, memory] =
            ["images_per_second", "latency_ms", "rss_bytes"].map(|key| row[key].as_f64().unwrap());
        assert!(rate > 0.1 && latency > 0.01 && memory > 1e7, "{row}");
    }
    let ran = desk.run("backbone bench tiny-test --provider cuda --provider cpu");
    assert!(
        ran.code == Some(0) && ran.err.contains("cuda: ") && ran.out.contains("images/s"),
        "{} {}",
        ran.out,
        ran.err
    );
    assert_eq!(desk.json("backbone bench tiny-test --provider cuda --provider qnn").0, Some(69));
}

#[test]
fn the_daemon_falls_back_with_an_alert() {
    let asked = Asked::new("openvino, cpu", "{}", &models().join("tiny-test.yaml"));
    let mut daemon = Daemon::start(&asked.desk);
    let alerts = asked.desk.good("--config config.yaml ctl status")["alerts"].clone();
    daemon.stop();
    let found = alerts.as_array().unwrap().iter().find(|alert| alert["id"] == "provider").expect("the alert is up");
    assert_eq!(found["severity"], "warning");
    assert!(found["text"].as_str().unwrap().contains("runs on cpu instead of openvino: openvino: "), "{found}");
}

/// What `make providers` fetched.
struct Fetched(PathBuf);

impl Fetched {
    fn find() -> Option<Self> {
        let folder = std::env::var_os("EDGETUNED_PROVIDERS").map(|folder| Self(folder.into()));
        if folder.is_none() {
            skip::not_here("EDGETUNED_PROVIDERS names no folder of execution providers (make providers)");
        }
        folder
    }

    fn file(&self, path: &str) -> PathBuf {
        let file = self.0.join(path);
        assert!(file.is_file(), "{} is not there (make providers)", file.display());
        file
    }

    /// ONNX Runtime 1.24 with `OpenVINO` in it.
    fn with_openvino(&self) -> PathBuf {
        self.file("onnxruntime_openvino/onnxruntime/capi/libonnxruntime.so.1.24.1")
    }

    /// ONNX Runtime 1.31, as plug-ins of today need it.
    fn newer(&self) -> PathBuf {
        self.file("onnxruntime/onnxruntime/capi/libonnxruntime.so.1.31.1")
    }

    fn ggml(&self) -> PathBuf {
        self.file("onnxruntime_ggml/onnxruntime_ggml/lib/libonnxruntime_ggml.so")
    }

    fn openvino_plugin(&self) -> PathBuf {
        self.file("onnxruntime_ep_openvino/onnxruntime_ep_openvino/libonnxruntime_providers_openvino_plugin.so")
    }
}

/// The `OpenVINO` plug-in offers no device on processors of others.
fn is_intel() -> bool {
    fs::read_to_string("/proc/cpuinfo").unwrap().contains("GenuineIntel")
}

#[test]
fn providers_that_start_and_compute_nothing_fall_back_and_say_so() {
    let Some(fetched) = Fetched::find() else { return };
    let library = |path: PathBuf| format!("library: {}", path.display());
    let openvino = fetched.with_openvino();
    falls_back(Some(&openvino), ("openvino", "no_such_option: 1"), &photo(), "");
    falls_back(Some(&openvino), ("openvino", "device_type: GPU"), &photo(), "");
    let newer = fetched.newer();
    let webgpu =
        library(fetched.file("onnxruntime_ep_webgpu/onnxruntime_ep_webgpu/libonnxruntime_providers_webgpu.so"));
    falls_back(Some(&newer), ("webgpu", &webgpu), &photo(), "its plug-in offers no device here");
    // It needs a newer ONNX Runtime than the stock one.
    falls_back(Some(&stock()), ("ggml", &library(fetched.ggml())), &photo(), "another version of ONNX Runtime");
    falls_back(Some(&newer), ("ggml", &library(fetched.ggml())), &photo(), " of this model");
    let nxrt = library(fetched.file("nxrt_ep_cpu/nxrt_ep_cpu/libonnx_runtime_ep_cpu_plugin.so"));
    falls_back(Some(&newer), ("nxrt", &nxrt), &photo(), " of this model");
    let plugin = library(fetched.openvino_plugin());
    let gpu = format!("{plugin}, device_type: GPU");
    let says = if is_intel() { "no device of the type GPU" } else { "its plug-in offers no device here" };
    falls_back(Some(&newer), ("openvino", &gpu), &photo(), says);
    // Devices to compile for alone.
    falls_back(Some(&newer), ("openvino.virtual", &plugin), &photo(), "");
}

/// `[name, cpu]` with `settings` computes `model` by `name`; what `check` hints at, and the cosine of `bench`.
fn runs(runtime: &Path, (name, settings): (&str, &str), model: &Path) -> (String, f64) {
    let settings = format!("{{ {name}: {{ {settings} }} }}");
    let asked = Asked::new(&format!("{name}, cpu"), &settings, model).on(runtime);
    let (code, said) = asked.check();
    assert!(code == Some(0) && !said.contains("instead of"), "{said}");
    assert!(said.contains(&format!("the backbone runs on {name}, ")), "{said}");
    // The whole of it, without the CPU.
    let alone = Asked::new(name, &settings, model).on(runtime).check();
    assert_eq!(alone.0, Some(0), "{}", alone.1);
    let ran = asked.run("backbone bench --json");
    let rows = ran.document();
    let [of_it, of_cpu] = &rows.as_array().unwrap()[..] else { panic!("{rows}") };
    assert_eq!((&of_it["provider"], &of_cpu["provider"]), (&name.into(), &"cpu".into()));
    assert_eq!(of_cpu["cosine"], 1.0);
    (said, of_it["cosine"].as_f64().unwrap())
}

#[test]
fn openvino_built_in_computes_all_of_a_backbone() {
    let Some(fetched) = Fetched::find() else { return };
    let openvino = fetched.with_openvino();
    let (said, cosine) = runs(&openvino, ("openvino", "device_type: CPU"), &photo());
    assert!(cosine > 0.99999 && !said.contains("kept apart"), "{cosine}, {said}");
    // Its int8 is another one, so its embeddings are of another space.
    let (said, cosine) = runs(&openvino, ("openvino", ""), &models().join("photo-int8.yaml"));
    assert!(cosine < 0.9999 && said.contains("embeddings of openvino are not those of the CPU"), "{cosine}, {said}");
}

#[test]
fn a_head_of_a_provider_with_other_embeddings_is_not_given_those_of_the_cpu() {
    let Some(fetched) = Fetched::find() else { return };
    let asked = Asked::new("openvino, cpu", "{}", &models().join("photo-int8.yaml")).on(&fetched.with_openvino());
    for part in [Part::Nut, Part::Gear] {
        asked.desk.shoot("train", part, 0..6);
    }
    let trained = asked.run("train train --out head.safetensors --json");
    assert_eq!(trained.code, Some(0), "{}", trained.err);
    let predict = "predict train/nut/000.jpg --head head.safetensors";
    let there = asked.run(predict);
    assert!(there.code == Some(0) && there.out.contains("nut"), "{} {}", there.out, there.err);
    let on_cpu = Asked { runtime: None, ..asked };
    on_cpu.run(predict).failed(69, &["embeddings that openvino makes", "those of cpu", "train a head here"]);
    // Where both make the same, it does not matter.
    let asked = Asked::new("openvino, cpu", "{}", &photo()).on(&fetched.with_openvino());
    asked.desk.shoot("train", Part::Nut, 0..6);
    asked.desk.shoot("train", Part::Gear, 0..6);
    assert_eq!(asked.run("train train --out head.safetensors --json").code, Some(0));
    let on_cpu = Asked { runtime: None, ..asked };
    assert_eq!(on_cpu.run(predict).code, Some(0));
}

#[test]
fn the_openvino_plug_in_computes_all_of_a_backbone_on_the_stock_library() {
    let Some(fetched) = Fetched::find() else { return };
    if !is_intel() {
        return skip::not_here("the OpenVINO plug-in offers devices of Intel alone");
    }
    let plugin = format!("library: {}", fetched.openvino_plugin().display());
    for runtime in [stock(), fetched.newer()] {
        let (said, cosine) = runs(&runtime, ("openvino", &plugin), &photo());
        assert_eq!(cosine < 0.9999, said.contains("kept apart"), "{cosine}, {said}");
        assert!(cosine > 0.99, "{cosine}");
    }
}

/// A network without an operator that young plug-ins lack, with its manifest.
fn small_net(desk: &Desk) -> PathBuf {
    let net = Net::default().input("input", "1 3 16 16").weight("w", &[768, 32]).weight("m", &[32, 16]);
    let net = net.node_with("Flatten", "input", "flat", &[Attribute::Int("axis", 1)]);
    let net = net.node("MatMul", "flat w", "sums").node("Relu", "sums", "hidden");
    let bytes = net.node("MatMul", "hidden m", "embedding").output("embedding", "1 16").bytes();
    desk.put("net.onnx", &bytes);
    let manifest = format!(
        "name: net\nfile: net.onnx\nsha256: {}\n\
         input: {{ tensor: input, layout: nchw, size: [16, 16], channels: rgb, mean: 127.5, std: 127.5, resize: stretch }}\n\
         embedding: {{ tensor: embedding, dim: 16 }}\n",
        Digest::of(&bytes)
    );
    desk.put("net.yaml", manifest.as_bytes());
    desk.path("net.yaml")
}

#[test]
fn a_plug_in_computes_all_of_a_model_that_it_knows() {
    let Some(fetched) = Fetched::find() else { return };
    let desk = Desk::new();
    let settings = format!("library: {}, threads: 1", fetched.ggml().display());
    let (said, cosine) = runs(&fetched.newer(), ("ggml", &settings), &small_net(&desk));
    assert!(cosine > 0.99, "{cosine}, {said}");
}
