//! Signed updates: nothing counts that no trusted key has signed, what is signed is read back, and the chunks of a file
//! are asked for until they are all there and no longer.
//!
//! An input is a manifest's text; behind a NUL follow bytes that choose what is done with it.
#![no_main]

use edgetuned::update::{
    Accepted, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, Chunks, Code, Contents, Device, Installed, Manifest, Signer,
    TrustedKeys, WINDOW, accept, bytes_max, canonical, read_strictly, sign,
};
use edgetuned::words::{TaskId, Timestamp};
use edgetuned_fuzz::{fits_on_a_screen, space};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (text, choices) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let signer = Signer::from_seed(&[7; 32]);
    let keys = TrustedKeys(vec![Signer::from_seed(&[8; 32]).public(), signer.public()]);
    match Manifest::open(text, &keys) {
        Ok(manifest) => panic!("nobody signed {manifest:?}"),
        Err(refusal) => fits_on_a_screen(&refusal.reason),
    }
    let Ok(value) = read_strictly(text) else { return };
    let written = canonical(&value);
    assert_eq!(read_strictly(&written).expect("canonical JSON is JSON"), value);
    let Value::Object(members) = value else { return };
    match sign(members, &signer) {
        Ok(signed) => {
            let manifest = Manifest::open(signed.as_bytes(), &keys).expect("it was signed with a trusted key");
            let strangers = TrustedKeys(vec![Signer::from_seed(&[9; 32]).public()]);
            let refusal = Manifest::open(signed.as_bytes(), &strangers).expect_err("not by this one");
            assert_eq!(refusal.code, Code::BadSignature);
            tampered(&signed, &manifest, &keys, choices);
            accepted(&manifest, choices);
            fetched(&manifest, choices);
        }
        Err(refusal) => fits_on_a_screen(&refusal.reason),
    }
});

/// A byte changed somewhere: it is refused, or it means the same.
fn tampered(signed: &str, manifest: &Manifest, keys: &TrustedKeys, choices: &[u8]) {
    for choice in choices.chunks_exact(3).take(4) {
        let mut bytes = signed.as_bytes().to_vec();
        let at = usize::from(u16::from_le_bytes([choice[0], choice[1]])) % bytes.len();
        bytes[at] = choice[2];
        if let Ok(other) = Manifest::open(&bytes, keys) {
            assert_eq!(other, *manifest, "byte {at} is another");
        }
    }
}

/// What a device begins to fetch is for it, newer than what it has, and fits.
fn accepted(manifest: &Manifest, choices: &[u8]) {
    let choice = |at: usize| u64::from(choices.get(at).copied().unwrap_or_default());
    let installed = Installed { name: "parts".into(), version: choice(0), sha256: manifest.sha256 };
    let device = Device {
        id: "line-3",
        tasks: &[(TaskId::default(), space(8))],
        bytes_max: choice(5) << 16,
        chunk_bytes_max: choice(1) << 12,
        installed: (choice(2) % 2 == 1).then_some(&installed),
        failed: &[choice(3), 7],
    };
    let kind = manifest.contents.kind();
    match accept(manifest, kind, &device, Timestamp((choice(4) << 33).cast_signed())) {
        Ok(Accepted::Begin) => {
            assert!(device.installed.is_none_or(|installed| installed.version < manifest.version));
            assert!(!device.failed.contains(&manifest.version) && manifest.chunk_bytes <= device.chunk_bytes_max);
            assert!(
                manifest.devices.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| !pattern.is_empty()))
            );
            if let Contents::Head { space, .. } = &manifest.contents {
                assert_eq!(*space, device.tasks[0].1);
            }
        }
        Ok(Accepted::Nothing) => assert_eq!(installed.version, manifest.version),
        Err(refusal) => fits_on_a_screen(&refusal.reason),
    }
}

fn fetched(manifest: &Manifest, choices: &[u8]) {
    assert!((1..=bytes_max(manifest.contents.kind())).contains(&manifest.size));
    assert!((CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&manifest.chunk_bytes));
    let mut chunks = Chunks::of(manifest);
    // The last one is the one that may be shorter.
    let last = chunks.count() - 1;
    assert_eq!(u64::from(last) * manifest.chunk_bytes + chunks.length(last), manifest.size);
    for choice in choices.chunks_exact(4).take(64) {
        let n = u32::from_le_bytes(choice.try_into().expect("chunks of 4")) % (chunks.count() + 2);
        let length = chunks.length(n.min(last)) as usize;
        assert_eq!(chunks.wants(n, length).is_ok(), n <= last);
        assert!(chunks.wants(n, length + 1).is_err(), "a chunk that is too long");
        chunks.add(n);
        let next = chunks.next();
        assert!(next.len() <= WINDOW && next.iter().all(|n| *n <= last && !chunks.has(*n)), "{next:?}");
        assert!(next.is_sorted() && (next.is_empty() == chunks.is_complete()), "{next:?}");
        assert!((chunks.percent() == 100) == chunks.is_complete());
    }
    // As a file that is not too long is fetched.
    for _ in 0..chunks.count().div_ceil(WINDOW as u32).min(64) {
        chunks.next().into_iter().for_each(|n| chunks.add(n));
    }
    assert!(chunks.is_complete() || chunks.count() > 64 * WINDOW as u32);
}
