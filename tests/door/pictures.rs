//! Pictures of samples, by their digest and without anything that the file says beside the pixels.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::image::{Limits, decode};
use edgetuned::words::SampleId;

use crate::Stage;
use crate::camera::{Camera, Light, Part};
use crate::daemon::PATIENCE;

/// Waits until this sample's thumbnail is there.
fn seen(stage: &Stage, name: &str) {
    let until = Instant::now() + PATIENCE;
    while stage.client().get(&format!("/api/v1/thumbnails/{name}")).status != 200 {
        assert!(Instant::now() < until, "no thumbnail; its log:\n{}", stage.log());
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// A JPEG with a comment and an EXIF block in front, and text behind its end.
fn talkative(width: u32, height: u32) -> Vec<u8> {
    let plain = Camera::new(11).with_size(width, height).jpeg(Part::Nut, 1, &Light::DAY);
    let segment = |marker: u8, text: &[u8]| {
        let length = u16::try_from(text.len() + 2).unwrap().to_be_bytes();
        [&[0xff, marker][..], &length, text].concat()
    };
    // A TIFF header with no entry, and then what somebody would not like to be told.
    let exif = segment(0xe1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0GPS 52.5 13.4 hunter2");
    [&plain[..2], &exif, &segment(0xfe, b"hunter2"), &plain[2..], b"hunter2 behind the end"].concat()
}

#[test]
fn a_sample_is_shown_without_what_its_file_says() {
    let stage = Stage::set("");
    let client = stage.client();
    let bytes = talkative(2_000, 1_500);
    let path = stage.home.put("1.jpg", &bytes);
    let name = SampleId::of(&bytes).to_string();
    seen(&stage, &name);
    for (kind, longer) in [("thumbnails", 160), ("images", 1_280)] {
        let reply = client.get(&format!("/api/v1/{kind}/{name}"));
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("image/jpeg")), "{kind}");
        assert_eq!(client.get(&format!("/api/v1/{kind}/{}", &name[..16])).body, reply.body, "{kind}, by its start");
        let shown = decode(&reply.body, &Limits::default()).unwrap();
        assert_eq!(shown.width().max(shown.height()), longer, "{kind}");
        for word in [&b"hunter2"[..], b"Exif", b"GPS"] {
            assert!(!reply.body.windows(word.len()).any(|window| window == word), "{kind}");
        }
        assert!(reply.body.ends_with(&[0xff, 0xd9]), "{kind}: nothing is behind the end");
    }
    let image = format!("/api/v1/images/{name}");
    fs::write(&path, b"another file").unwrap();
    assert_eq!(client.get(&image).status, 404, "the file is another one");
    fs::remove_file(&path).unwrap();
    assert_eq!(client.get(&image).status, 404, "the file is gone");
    assert_eq!(client.get(&format!("/api/v1/thumbnails/{name}")).status, 200, "the thumbnail is the store's");
}

#[test]
fn only_digests_of_samples_name_a_picture() {
    let stage = Stage::set("");
    let client = stage.client();
    let bytes = talkative(64, 64);
    stage.home.put("1.jpg", &bytes);
    let name = SampleId::of(&bytes).to_string();
    seen(&stage, &name);
    let unknown = "0".repeat(64);
    let absolute = stage.home.camera().join("1.jpg");
    let (short, long, upper) = (&name[1..], format!("{name}0"), name.to_uppercase());
    for kind in ["thumbnails", "images"] {
        for digest in [
            "",
            "..",
            "../../status",
            "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
            "..%5c..%5c",
            "%00",
            "%ff",
            "%2fetc%2fpasswd",
            absolute.to_str().unwrap(),
            &format!("{name}%00"),
            &format!("{name}/"),
            short,
            &long,
            &upper,
            &unknown,
            &name[..15],
            &name[..17],
            &name[48..],
            &unknown[..16],
        ] {
            let reply = client.get(&format!("/api/v1/{kind}/{digest}"));
            assert_eq!(reply.status, 404, "{kind}/{digest}: {}", reply.text());
        }
    }
}

#[test]
fn hostile_pictures_are_no_pictures() {
    let stage = Stage::set("");
    let client = stage.client();
    let whole = talkative(320, 240);
    // The header of a PNG that says 30,000 x 30,000.
    let mut large = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0".to_vec();
    large.resize(20_000, 0);
    let half = whole[..whole.len() / 2].to_vec();
    let drawing = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec();
    for (file, bytes) in [("large.png", &large), ("half.jpg", &half), ("drawing.jpg", &drawing)] {
        stage.home.put(file, bytes);
    }
    stage.home.put("whole.jpg", &whole);
    seen(&stage, &SampleId::of(&whole).to_string());
    for bytes in [&large, &half, &drawing] {
        for kind in ["thumbnails", "images"] {
            assert_eq!(client.get(&format!("/api/v1/{kind}/{}", SampleId::of(bytes))).status, 404);
        }
    }
    let resident = stage.daemon.resident_kib();
    assert!(resident < 512 << 10, "{resident} KiB");
}
