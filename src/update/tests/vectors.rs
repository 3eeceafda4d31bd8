//! The vectors of RFC 8785 and RFC 8032, and keys in their files.

use base64ct::{Base64, Encoding};
use serde_json::json;

use super::super::*;
use super::signer;

#[test]
fn canonical_json_is_that_of_the_rfc() {
    let written = |text: &str| String::from_utf8(canonical(&read_strictly(text.as_bytes()).unwrap())).unwrap();
    // RFC 8785, sections 3.2.2 and 3.2.3.
    let sample = r#"{ "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false] }"#;
    let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                    \"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
    assert_eq!(written(sample), expected);
    let sorted = r#"{ "\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control", "\u00f6": "Latin Small Letter O" }"#;
    let order = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"];
    let places = order.map(|word| written(sorted).find(word).unwrap());
    assert!(places.is_sorted(), "{}", written(sorted));
    // Appendix B.
    for (bits, expected) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x8000_0000_0000_0001, "-5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
    ] {
        assert_eq!(String::from_utf8(canonical(&json!(f64::from_bits(bits)))).unwrap(), expected, "{bits:x}");
    }
}

#[test]
fn what_is_written_canonically_is_read_again_and_whole_numbers_that_are_inexact_are_not_read_however_written() {
    for text in ["6666666666666666666.9", "66666666666666666666", "-9007199254740993.0", "9007199254740992", "1e20"] {
        let error = read_strictly(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains("beyond 2^53 - 1"), "{text}: {error}");
    }
    for text in ["9007199254740991.0", "-9007199254740991", "1e21", "1E30", "0.1", "-0.0", "4503599627370495.5"] {
        let value = read_strictly(text.as_bytes()).unwrap();
        assert_eq!(read_strictly(&canonical(&value)).unwrap(), value, "{text}");
    }
}

/// The bytes of a text in hexadecimal.
fn bytes(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap()).collect()
}

/// A public key's bytes as its PEM file.
fn pem(key: &[u8]) -> String {
    let der = [&bytes("302a300506032b6570032100")[..], key].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", Base64::encode_string(&der))
}

#[test]
fn signatures_are_those_of_the_rfc() {
    // RFC 8032, section 7.1, tests 1 and 2.
    for (secret, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let signer = Signer::from_seed(&bytes(secret).try_into().unwrap());
        assert_eq!(signer.public(), TrustedKey::from_pem(&pem(&bytes(public))).unwrap());
        assert_eq!(signer.sign(&bytes(message)), Base64::encode_string(&bytes(signature)));
    }
}

#[test]
fn keys_survive_their_files_and_weak_or_foreign_ones_are_refused() {
    let signer = signer();
    assert_eq!(Signer::from_pem(&signer.to_pem()).unwrap().public(), signer.public());
    assert_eq!(TrustedKey::from_pem(&signer.public_pem()), Ok(signer.public()));
    // The neutral element: with it, zeros sign everything.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    assert_eq!(TrustedKey::from_pem(&pem(&neutral)), Err(BadKey::Weak));
    assert!(matches!(TrustedKey::from_pem(&signer.to_pem()), Err(BadKey::Public(_))), "a private key is no public one");
    assert!(matches!(Signer::from_pem(&signer.public_pem()), Err(BadKey::Private(_))));
    assert!(matches!(TrustedKey::from_pem(""), Err(BadKey::Public(_))));
    let secret = signer.to_pem();
    let broken = secret.replace('M', "N");
    let message = Signer::from_pem(&broken).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(!message.is_empty() && !message.contains(&secret.lines().nth(1).unwrap()[20..]), "{message}");
}
