//! Bad input: each with its exit code and the words of its message. `docs/errors.md` shows them together.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::camera::Part;
use crate::desk::{Desk, Ran, models, picture};

fn with_runtime(desk: &Desk, library: &Path) -> Ran {
    Ran::of(desk.command("train train").env("EDGETUNED_ORT", library).output().unwrap())
}

#[test]
fn a_missing_or_wrong_runtime_library_ends_with_69_and_names_the_place() {
    let desk = Desk::with_pictures();
    let says = ["no usable ONNX Runtime library", "/nonexistent (not there)", "correct EDGETUNED_ORT"];
    with_runtime(&desk, Path::new("/nonexistent")).failed(69, &says);
    desk.put("text.so", b"this is no library, only a text that is long enough to be read as one\n");
    with_runtime(&desk, &desk.path("text.so")).failed(69, &["text.so", "correct EDGETUNED_ORT"]);
    let folders = ["/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/lib"];
    match folders.iter().map(|folder| Path::new(folder).join("libc.so.6")).find(|path| path.is_file()) {
        Some(libc) => with_runtime(&desk, &libc).failed(69, &["libc.so.6 (a library, but not ONNX Runtime)"]),
        None => eprintln!("no libc.so.6 found; that part was left out"),
    }
}

/// Runs a training with the bundled manifest changed from `from` to `to`, beside a copy of its model.
fn with_manifest(desk: &Desk, from: &str, to: &str) -> Ran {
    let manifest = fs::read_to_string(models().join("tiny-test.yaml")).unwrap();
    assert!(manifest.contains(from));
    desk.put("m/changed.yaml", manifest.replace(from, to).as_bytes());
    if !desk.path("m/tiny-test.onnx").exists() {
        desk.put("m/tiny-test.onnx", &fs::read(models().join("tiny-test.onnx")).unwrap());
    }
    desk.run("train train --backbone m/changed.yaml")
}

#[test]
fn a_model_that_differs_from_its_manifest_ends_with_78() {
    let desk = Desk::with_pictures();
    let says = ["SHA-256 c8a7f69b", "expects d8a7f69b", "fetch the model again"];
    with_manifest(&desk, "sha256: c8", "sha256: d8").failed(78, &says);
    let says = ["no tensor \"embeding\"", "\"embedding\"", "backbone inspect"];
    with_manifest(&desk, "tensor: embedding", "tensor: embeding").failed(78, &says);
    with_manifest(&desk, "dim: 210", "dim: 200").failed(78, &["200", "210", "correct the manifest"]);
    let model = fs::read(models().join("tiny-test.onnx")).unwrap();
    desk.put("m/cut.onnx", &model[..50_000]);
    let says = ["m/cut.onnx", "truncated after 50000 bytes", "copy it again"];
    with_manifest(&desk, "file: tiny-test.onnx", "file: cut.onnx").failed(78, &says);
    with_manifest(&desk, "file: tiny-test.onnx", "file: gone.onnx").failed(78, &["gone.onnx", "correct 'file'"]);
    desk.fails(
        "train train --backbone defualt",
        78,
        &["\"defualt\"", "default, default-inner, default-int8, fast, faster, photo, photo-inner, photo-int8, photo-int8-inner; give one"],
    );
    desk.fails("backbone inspect m/cut.onnx", 1, &["truncated after 50000 bytes", "copy it again"]);
    desk.fails("backbone inspect gone", 1, &["cannot read the model gone", "give the path"]);
}

#[test]
fn a_folder_that_cannot_be_trained_on_is_refused_with_the_remedy() {
    let desk = Desk::new();
    desk.shoot("one", Part::Nut, 0..3);
    desk.fails("train one", 1, &["class 'nut' is the only class", "at least two classes"]);
    desk.shoot("empty", Part::Nut, 0..3);
    fs::create_dir_all(desk.path("empty/gear")).unwrap();
    desk.fails("train empty", 1, &["empty/gear has no pictures", "remove it"]);
    fs::create_dir_all(desk.path("flat")).unwrap();
    desk.fails("train flat", 1, &["flat has no class folders", "put the pictures of each class into a folder"]);
    desk.fails("train gone", 1, &["cannot list gone", "check that it is a folder"]);
    // Unreadable whoever asks: something that is no folder.
    desk.fails("train one/nut/000.jpg/below", 1, &["cannot list one/nut/000.jpg/below"]);
    desk.fails("embed flat --out e.npz", 1, &["no pictures below flat"]);
}

#[test]
fn pictures_in_two_classes_are_refused_all_at_once_with_both_places() {
    let desk = Desk::with_pictures();
    for index in 0..3 {
        desk.put(&format!("train/gear/again{index}.jpg"), &picture(Part::Nut, index));
    }
    let says = [
        "train/gear/again0.jpg and train/nut/000.jpg are the same picture in the classes gear and nut; train/gear/again1.jpg",
        "train/gear/again2.jpg and train/nut/002.jpg",
        "remove one of each",
    ];
    desk.fails("train train", 1, &says);
    // Enough of them to fill a screen are counted instead.
    for index in 3..60 {
        desk.put(&format!("many/nut/{index}.jpg"), &picture(Part::Nut, index));
        desk.put(&format!("many/gear/{index}.jpg"), &picture(Part::Nut, index));
    }
    desk.fails("train many", 1, &["many/gear/3.jpg and many/nut/3.jpg", "and 7 more", "remove one of each"]);
}

/// A grey picture; bytes behind the end make it another file.
fn grey(mark: u8) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(40, 30, image::Rgb([90; 3])).write_to(&mut png, image::ImageFormat::Png).unwrap();
    [png.into_inner(), vec![mark]].concat()
}

#[test]
fn pictures_that_all_look_the_same_are_refused_with_their_number_whatever_the_head() {
    let desk = Desk::new();
    for index in 0..16_u8 {
        let class = ["a", "b"][usize::from(index % 2)];
        desk.put(&format!("same/{class}/{index}.png"), &grey(index));
    }
    for head in ["softmax", "lda", "rp-ridge", "mlp", "auto"] {
        let says = ["all 16 labelled images have the same embedding", "is the lens covered"];
        desk.fails(&format!("train same --head {head}"), 1, &says);
    }
}

#[test]
fn a_class_folder_with_an_impossible_name_is_refused_on_one_line() {
    let desk = Desk::with_pictures();
    desk.put("train/a\nb/1.jpg", &picture(Part::Nut, 20));
    desk.fails("train train", 1, &["cannot name a class", "rename it", "control characters"]);
    let desk = Desk::with_pictures();
    let folder = desk.path("train").join(std::ffi::OsStr::from_bytes(b"\xff"));
    if fs::create_dir(folder).is_err() {
        return eprintln!("this file system wants names in UTF-8; that part was left out");
    }
    desk.fails("train train", 1, &["cannot name a class", "not UTF-8", "rename it"]);
}

/// A BMP file's header of 50,000 x 50,000 pixels.
fn huge_bmp() -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    bytes.extend([0; 8]);
    bytes.extend(54_u32.to_le_bytes());
    bytes.extend(40_u32.to_le_bytes());
    bytes.extend(50_000_i32.to_le_bytes());
    bytes.extend(50_000_i32.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.resize(200, 0);
    bytes
}

#[test]
fn files_that_are_not_images_are_skipped_with_their_reasons() {
    let desk = Desk::with_pictures();
    let whole = picture(Part::Nut, 30);
    desk.put("train/nut/empty.jpg", b"");
    desk.put("train/nut/cut.jpg", &whole[..whole.len() / 2]);
    desk.put("train/nut/text.jpg", b"hello");
    desk.put("train/nut/huge.bmp", &huge_bmp());
    let report = desk.good("train train --out h.safetensors");
    assert_eq!(report["n_train"], 24);
    let reasons = report["refused"].as_array().unwrap().iter().map(|refused| refused["reason"].to_string());
    let reasons: Vec<_> = reasons.collect();
    for (reason, words) in reasons.iter().zip(["truncated", "empty (0 bytes)", "50000", "not a JPEG, PNG, WebP or BMP"])
    {
        assert!(reason.contains(words), "{words:?} is not in {reason}");
    }
    assert_eq!(reasons.len(), 4);
    let ran = desk.run("predict train/nut/huge.bmp --head h.safetensors");
    ran.failed(1, &["huge.bmp", "50000"]);
}

#[test]
fn a_class_without_a_usable_image_is_reported() {
    let desk = Desk::with_pictures();
    desk.put("train/washer/1.jpg", b"no picture");
    desk.fails("train train", 1, &["class washer has no usable image", "train/washer/1.jpg"]);
}

#[test]
fn what_cannot_be_written_is_named_and_leaves_nothing_behind() {
    let desk = Desk::with_pictures();
    desk.fails("train train --out gone/h.safetensors", 1, &["cannot write gone/h.safetensors", "check the folder"]);
    desk.fails("train train --out test", 1, &["cannot write test: Is a directory"]);
    assert!(!desk.path("test.part").exists());
    desk.fails("embed test --out gone/e.npz", 1, &["cannot write gone/e.npz"]);
}

#[test]
fn a_cache_that_cannot_be_used_ends_with_69() {
    let desk = Desk::with_pictures();
    desk.put("cache", b"a file where the folder should be");
    desk.fails("train train", 69, &["cache/edgetuned", "where a folder is needed", "move it away"]);
    let desk = Desk::with_pictures();
    desk.put("cache/edgetuned/edgetuned.db", b"a file of somebody else's");
    desk.fails("train train", 69, &["edgetuned.db", "not a database of edgetuned", "move it away"]);
    assert_eq!(fs::read(desk.path("cache/edgetuned/edgetuned.db")).unwrap(), b"a file of somebody else's");
}

#[test]
fn a_file_that_is_no_head_and_unknown_classes_are_refused() {
    let desk = Desk::with_pictures();
    desk.fails("predict test/nut/100.jpg --head gone", 1, &["cannot read the head gone", "trained head"]);
    desk.fails("evaluate test --head test/nut/100.jpg", 1, &["not a head file", "train again"]);
    desk.good("train train --out h.safetensors");
    desk.shoot("more", Part::Pin, 0..2);
    desk.fails("evaluate more --head h.safetensors", 1, &["class folder pin of more", "gear, nut, spring"]);
}

#[test]
fn an_embedding_with_nan_is_refused_with_its_place() {
    use edgetuned::train::{BadData, Dataset};
    use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId};
    let space = EmbeddingSpace { backbone: Digest([1; 32]), preprocessing: Digest([2; 32]), dim: 2 };
    let ids: Vec<SampleId> = (0..4_u8).map(|n| SampleId::of(&[n])).collect();
    let classes: ClassSet = ["a", "b"].map(|name| Label::new(name).unwrap()).into_iter().collect();
    let mut x = ndarray::Array2::from_shape_fn((4, 2), |(row, column)| (row * 2 + column) as f32);
    x[[2, 1]] = f32::NAN;
    let refused = Dataset::new(space, x, vec![0, 1, 0, 1], classes, ids.clone(), ids).unwrap_err();
    assert!(matches!(refused, BadData::NotFinite { .. }), "{refused:?}");
    assert!(refused.to_string().contains("NaN"), "{refused}");
}
