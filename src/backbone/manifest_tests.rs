use super::*;

const GOOD: &str = "\
name: net
file: weights/net.onnx
sha256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad
input:
  tensor: input
  layout: nhwc
  size: [128, 160]
  channels: bgr
  mean: [104, 117, 123]
  std: 1.0
  resize: crop
embedding: { tensor: pool, dim: 512, pool: avg }
";

fn parse(text: &str) -> Result<Manifest, BadManifest> {
    Manifest::parse(text, Path::new("/models/net.yaml"))
}

#[test]
fn a_manifest_becomes_a_preprocessing_with_its_defaults() {
    let manifest = parse(GOOD).unwrap();
    assert_eq!(manifest.file, Path::new("/models/weights/net.onnx"));
    assert_eq!(manifest.embedding, Embedding { tensor: "pool".into(), dim: 512, pool: Pool::Avg, inner: Vec::new() });
    let preprocess = Preprocess {
        size: (128, 160),
        layout: Layout::Nhwc,
        channels: Channels::Bgr,
        mean: [104.0, 117.0, 123.0],
        std: [1.0; 3],
        scale: [1.0; 3],
        resize: Resize::Crop { ratio: 0.875 },
        pad: 114,
        decode: Decode::Exact,
    };
    assert_eq!(manifest.preprocess, preprocess);
    let letterbox = parse(&GOOD.replace("resize: crop", "resize: letterbox")).unwrap();
    assert_eq!((letterbox.preprocess.resize, letterbox.preprocess.pad), (Resize::Letterbox, 114));
    let filled = parse(&GOOD.replace("resize: crop", "resize: crop\n  pad: 7")).unwrap();
    assert_eq!((filled.preprocess.resize, filled.preprocess.pad), (Resize::CROP, 7), "around polygons");
    let scaled = parse(&GOOD.replace("resize: crop", "resize: crop\n  decode: scaled")).unwrap();
    assert_eq!(scaled.preprocess.decode, Decode::Scaled);
    let ratio = parse(&GOOD.replace("resize: crop", "resize: crop\n  crop_ratio: 1.0")).unwrap();
    assert_eq!(ratio.preprocess.resize, Resize::Crop { ratio: 1.0 });
}

#[test]
fn every_mistake_names_file_line_key_found_and_expected() {
    let cases = [
        ("resize: crop", "rezise: crop", &["net.yaml:11", "input", "\"rezise\"", "did you mean \"resize\""][..]),
        ("layout: nhwc", "layout: nwhc", &["net.yaml:6", "input.layout", "`nwhc`", "`nchw`", "`nhwc`"]),
        ("dim: 512", "dim: wide", &["net.yaml:12", "embedding.dim", "\"wide\"", "usize"]),
        ("dim: 512", "dim: 0", &["net.yaml:12", "embedding.dim", "found 0", "1 to 65536"]),
        ("[128, 160]", "[128, 0]", &["net.yaml:7", "input.size", "[128, 0]"]),
        ("std: 1.0", "std: [1, 0, 1]", &["net.yaml:10", "input.std", "none 0"]),
        ("std: 1.0", "std: [1, 2]", &["net.yaml:10", "input.std", "one number or three"]),
        ("  channels: bgr\n", "", &["input.channels", "found nothing", "add the key"]),
        ("name: net\n", "", &["name", "found nothing"]),
        ("sha256: ba78", "sha256: zz78", &["net.yaml:3", "sha256", "64 hexadecimal digits"]),
        ("resize: crop", "resize: stretch\n  crop_ratio: 0.9", &["net.yaml:12", "input.crop_ratio", "unless"]),
        ("tensor: input", "tensor: ' '", &["net.yaml:5", "input.tensor", "a name"]),
        ("name: net", "name: [", &["net.yaml:"]),
    ];
    for (from, to, words) in cases {
        let message = parse(&GOOD.replace(from, to)).expect_err(to).to_string();
        for word in words {
            assert!(message.contains(word), "{to:?} gives {message:?}, which lacks {word:?}");
        }
    }
}

#[test]
fn a_mistake_is_reported_on_one_line_however_long_and_broken_it_is() {
    let long = "x".repeat(5_000);
    let cases = [
        ("layout: nhwc".to_owned(), format!("layout: {long}")),
        ("name: net".to_owned(), "{ nnam: !b\"a\n\n\nb\" }".to_owned()),
        ("name: net".to_owned(), format!("\"a\\n{long}\": 1\nname: net")),
        ("dim: 512".to_owned(), "dim: \"5\\n1\"".to_owned()),
    ];
    for (from, to) in cases {
        let message = parse(&GOOD.replace(&from, &to)).expect_err(&to).to_string();
        assert!(!message.contains('\n') && message.len() < 1_000, "{message}");
    }
    let message = parse("{nnam:!b\"ame:(ng\n\n\nx").unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
}

#[test]
fn a_missing_manifest_says_what_to_give_instead() {
    let error = Manifest::resolve("/nowhere/net.yaml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the manifest /nowhere/net.yaml: give a manifest's path or a bundled name"
    );
    assert!(matches!(Manifest::resolve("no-such-backbone"), Err(BadManifest::UnknownName { .. })));
}

#[test]
fn the_bundled_manifests_are_true_of_the_bundled_model() {
    for name in ["default", "default-int8", "fast", "faster", "photo", "photo-int8", "tiny-test"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.yaml"));
        let manifest = Manifest::load(&path).unwrap();
        if crate::backbone::bundled::remedy_of(Path::new(&format!("models/{name}.yaml"))).is_some()
            && !manifest.file.is_file()
        {
            // Set-up could not make it; tests/efficientnet.rs reports that.
            continue;
        }
        assert_eq!(Digest::of(&std::fs::read(&manifest.file).unwrap()), manifest.sha256, "{name}");
    }
}
