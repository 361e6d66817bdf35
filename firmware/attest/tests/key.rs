//! The device key: seed, names, key page, entropy tests; Ed25519 against RFC 8032.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]
#![allow(clippy::cast_possible_truncation, clippy::float_arithmetic)]

use hex_literal::hex;
use proptest::prelude::*;
use wb_attest::entropy::{Alarm, Cutoffs, Health};
use wb_attest::interface::NO_KEY_SERIAL;
use wb_attest::key::{KeyPage, KeyPageError, SEED_LABEL, SeedMaker, key_id, usb_serial};
use wb_attest::sha256;
use wb_attest::statement::{Changed, Signer, public_key, sign_in_chunks};

/// Seed, public key, message, signature.
type Vector<'a> = ([u8; 32], [u8; 32], &'a [u8], [u8; 64]);

/// RFC 8032, 7.1: tests 1, 2, 3 and SHA(abc).
#[test]
fn ed25519_is_rfc_8032() {
    let abc = hex!(
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
         2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    );
    let vectors: [Vector<'_>; 4] = [
        (
            hex!("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"),
            hex!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
            &[],
            hex!(
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155
                 5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            hex!("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"),
            hex!("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
            &hex!("72"),
            hex!(
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da
                 085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
        (
            hex!("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7"),
            hex!("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
            &hex!("af82"),
            hex!(
                "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
                 18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
            ),
        ),
        (
            hex!("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42"),
            hex!("ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf"),
            &abc,
            hex!(
                "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589
                 09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"
            ),
        ),
    ];
    for (seed, public, message, signature) in vectors {
        assert_eq!(public_key(&seed), public);
        assert_eq!(sign_in_chunks(&seed, |take| take(message)), Ok(signature));
        let bytewise = sign_in_chunks(&seed, |take| message.chunks(1).for_each(take));
        assert_eq!(bytewise, Ok(signature));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// 4.3: signing by chunks gives the plain signature, however the message is cut.
    #[test]
    fn chunks_give_the_plain_signature(
        seed in any::<[u8; 32]>(), message in proptest::collection::vec(any::<u8>(), 0..3000),
        cut in 1_usize..700,
    ) {
        use ed25519_dalek::Signer as _;
        let plain = ed25519_dalek::SigningKey::from_bytes(&seed).sign(&message).to_bytes();
        let signer = Signer::new(&seed);
        prop_assert_eq!(signer.sign_in_chunks(|take| take(&message)), Ok(plain));
        prop_assert_eq!(signer.sign_in_chunks(|take| message.chunks(cut).for_each(take)), Ok(plain));
    }
}

/// A message that is not the same at its second reading is not signed: two signatures with one
/// nonce would disclose the key.
#[test]
fn a_message_that_changes_is_not_signed() {
    let mut reading = 0_u8;
    let result = sign_in_chunks(&[5; 32], |take| {
        reading += 1;
        take(&[reading]);
    });
    assert_eq!((result, reading), (Err(Changed), 2));
}

/// 4.5: seed = SHA-256(label || device entropy || host || chip id).
#[test]
fn the_seed_is_the_published_hash() {
    let samples: Vec<u8> = (0..=255).collect();
    let (host, chip) = ([7; 32], b"chip-1");
    let mut maker = SeedMaker::new();
    samples.chunks(100).for_each(|piece| maker.device(piece));
    let seed = maker.finish(&host, chip);
    assert_eq!(seed, sha256(&[SEED_LABEL, &samples, &host, chip]));
    let mut other = SeedMaker::new();
    other.device(&samples);
    assert_ne!(other.finish(&[8; 32], chip), seed);
}

/// 4.3: key id and USB serial of the first key of RFC 8032 (the id made with `sha256sum`).
#[test]
fn the_serial_is_the_start_of_the_key_id() {
    let public = hex!("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let id = hex!("21fe31dfa154a261626bf854046fd2271b7bed4b6abe45aa58877ef47f9721b9");
    assert_eq!(key_id(&public), id);
    assert_eq!(&usb_serial(&id), b"21FE31DFA154A261626BF854");
    assert_eq!(NO_KEY_SERIAL.as_bytes(), &usb_serial(&[0; 32]));
    assert_eq!(&usb_serial(&[0x9A; 32]), b"9A9A9A9A9A9A9A9A9A9A9A9A");
}

/// The key page: layout byte for byte, erased flash is no key, every changed byte is damage.
#[test]
fn the_key_page_tells_blank_from_damaged() {
    let page = KeyPage::from_seed([0x42; 32]);
    let bytes = page.to_bytes();
    assert_eq!(&bytes[..8], b"DLKY\0\0\0\x01");
    assert_eq!(&bytes[8..40], &[0x42; 32]);
    assert_eq!(&bytes[40..72], &public_key(&[0x42; 32]));
    assert_eq!(&bytes[72..104], &sha256(&[&bytes[..72]]));
    assert!(bytes[104..].iter().all(|byte| *byte == 0xFF));
    assert_eq!(KeyPage::parse(&bytes), Ok(page));
    assert_eq!(KeyPage::parse(&[0xFF; 256]), Err(KeyPageError::Blank));
    assert_eq!(KeyPage::parse(&[0; 256]), Err(KeyPageError::Damaged));
    for at in 0..256 {
        for bit in 0..8 {
            let mut wrong = bytes;
            wrong[at] ^= 1 << bit;
            assert_eq!(KeyPage::parse(&wrong), Err(KeyPageError::Damaged), "byte {at} bit {bit}");
        }
    }
    let shown = format!("{page:?}");
    assert!(!shown.contains("66, 66, 66"), "the seed must not be printed");
}

/// SP 800-90B, 4.4.1: the alarm comes with the cutoff-th equal sample, not before, and stays.
#[test]
fn a_stuck_source_gives_alarm() {
    for cutoffs in [Cutoffs::HALF_BIT, Cutoffs::BIT_PER_BYTE, Cutoffs::HALF_PER_BYTE] {
        let mut health = Health::new(cutoffs);
        let varied: Vec<u8> = (0..=255).collect();
        health.feed(&varied);
        health.feed(&vec![9; cutoffs.repetition as usize - 1]);
        assert_eq!(health.alarm(), None);
        health.feed(&[9]);
        assert_eq!(health.alarm(), Some(Alarm::Repetition));
        for _ in 0..100 {
            health.feed(&varied);
        }
        assert_eq!(health.alarm(), Some(Alarm::Repetition));
        assert!(!health.passed(0));
    }
}

/// SP 800-90B, 4.4.2: the alarm comes with the cutoff-th sample equal to the window's first, and
/// windows are counted one by one.
#[test]
fn a_leaning_source_gives_alarm() {
    for cutoffs in [Cutoffs::BIT_PER_BYTE, Cutoffs::HALF_PER_BYTE] {
        let window = |equal: u32| -> Vec<u8> {
            let period = cutoffs.window / equal;
            let mut left = equal;
            (0..cutoffs.window)
                .map(|i| {
                    if i % period == 0 && left > 0 {
                        left -= 1;
                        0xAB
                    } else {
                        i as u8 & 0x7F
                    }
                })
                .collect()
        };
        let mut dense = Vec::new();
        for i in 0..cutoffs.window {
            // No run reaches the cutoff of the repetition test.
            dense.push(if i % 4 == 3 { i as u8 } else { 0xAB });
        }
        let mut health = Health::new(cutoffs);
        for _ in 0..50 {
            health.feed(&window(cutoffs.proportion.min(60) - 1));
        }
        assert_eq!(health.alarm(), None);
        health.feed(&dense);
        assert_eq!(health.alarm(), Some(Alarm::Proportion));
    }
    let exact = Cutoffs { repetition: 1000, window: 512, proportion: 311 };
    let mut health = Health::new(exact);
    let mut samples = vec![1_u8; 310];
    samples.extend(vec![2; 202]);
    health.feed(&samples);
    assert_eq!(health.alarm(), None, "310 of 512 pass");
    health.feed(&[1; 310]);
    assert_eq!(health.alarm(), None);
    health.feed(&[1]);
    assert_eq!(health.alarm(), Some(Alarm::Proportion), "311 do not");
}

/// The proportion cutoffs are 1 + the critical value of the binomial distribution at 1 - 2^-20,
/// the repetition cutoffs 1 + 20 / H (SP 800-90B), computed here from the definition.
#[test]
fn the_cutoffs_are_those_of_the_standard() {
    for (cutoffs, entropy) in
        [(Cutoffs::HALF_BIT, 0.5_f64), (Cutoffs::BIT_PER_BYTE, 1.0), (Cutoffs::HALF_PER_BYTE, 4.0)]
    {
        assert_eq!(cutoffs.repetition, 1 + (20.0 / entropy).ceil() as u32);
        // ln of C(n, k) p^k (1 - p)^(n - k), summed from the top to keep the small tail exact.
        let (n, p) = (f64::from(cutoffs.window), (-entropy).exp2());
        let mut terms = vec![n * (1.0 - p).ln()];
        for k in 1..=cutoffs.window {
            let k = f64::from(k);
            terms.push(terms.last().unwrap() + ((n - k + 1.0) / k * p / (1.0 - p)).ln());
        }
        let mut tail = 0.0;
        let mut critical = cutoffs.window;
        while tail + terms[critical as usize].exp() <= (-20.0_f64).exp2() {
            tail += terms[critical as usize].exp();
            critical -= 1;
        }
        assert_eq!(cutoffs.proportion, 1 + critical, "H = {entropy}");
    }
}

/// A fair source passes, but only with enough samples.
#[test]
fn a_fair_source_passes() {
    let mut health = Health::new(Cutoffs::BIT_PER_BYTE);
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for i in 0..65_536 {
        assert!(!health.passed(65_536), "{i}");
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        health.feed(&[state as u8]);
    }
    assert!(health.passed(65_536));
    assert_eq!((health.samples(), health.alarm()), (65_536, None));
    assert!(!Health::new(Cutoffs::HALF_BIT).passed(0));
}
