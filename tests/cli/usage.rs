//! Help, version, wrong usage.

use crate::desk::Desk;

#[test]
fn help_and_version_are_no_failures() {
    let desk = Desk::new();
    for command in [
        "",
        "run",
        "check",
        "train",
        "predict",
        "evaluate",
        "embed",
        "export",
        "regions draw",
        "heads",
        "backbone",
        "heads promote",
        "backbone add",
        "ctl",
        "ctl label",
        "fleet",
        "fleet status",
    ] {
        let ran = desk.run(&format!("{command} --help"));
        assert_eq!(ran.code, Some(0), "{command}");
        assert!(ran.out.contains("Usage: edgetuned"), "{command}: {}", ran.out);
    }
    assert!(desk.run("--help").out.contains("Examples:"));
    let version = desk.run("--version");
    assert_eq!((version.code, version.out.trim()), (Some(0), concat!("edgetuned ", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn wrong_usage_ends_with_64_and_keeps_to_one_document_with_json() {
    let desk = Desk::new();
    let wrong = [
        "bogus",
        "train",
        "train a --shots 0",
        "train a --l2 -1",
        "train a --head forest",
        "train a --solver lbfgs --epochs 3",
        "predict a.jpg",
        "predict --head h",
        "heads",
        "backbone",
        "backbone add",
        "backbone add a.onnx --mean 1",
        "backbone add a.onnx --out a.txt",
        "embed a --out a.csv",
        "export --head h",
        "export --out m.onnx",
        "check --nonsense",
    ];
    for words in wrong {
        let ran = desk.run(words);
        assert_eq!(ran.code, Some(64), "{words}: {}", ran.err);
        assert!(!ran.err.is_empty() && ran.out.is_empty(), "{words}");
        let (code, document) = desk.json(words);
        assert_eq!(code, Some(64), "{words}");
        let error = document["error"].as_str().unwrap();
        assert!(!error.is_empty() && !error.contains('\n'), "{words}: {error}");
    }
    assert_eq!(desk.run("").code, Some(64));
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else { return };
    let output = Desk::new().command("backbone list").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot write the result to standard output"), "{said}");
}
