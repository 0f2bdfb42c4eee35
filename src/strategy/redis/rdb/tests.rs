use proptest::prelude::*;

use super::*;

/// An RDB file put together by hand, with everything that the format knows.
#[derive(Default)]
struct File(Vec<u8>);

impl File {
    fn new(format: u32) -> Self {
        Self(format!("REDIS{format:04}").into_bytes())
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// In the shortest form, as servers write it.
    fn length(self, length: u64) -> Self {
        match length {
            0..64 => self.raw(&[u8::try_from(length).unwrap()]),
            64..16384 => self.raw(&(u16::try_from(length).unwrap() | 0x4000).to_be_bytes()),
            16384..0x1_0000_0000 => self
                .raw(&[0x80])
                .raw(&u32::try_from(length).unwrap().to_be_bytes()),
            _ => self.raw(&[0x81]).raw(&length.to_be_bytes()),
        }
    }

    fn string(self, bytes: &[u8]) -> Self {
        self.length(bytes.len() as u64).raw(bytes)
    }

    fn strings(self, count: usize) -> Self {
        (0..count).fold(self, |file, number| {
            file.string(number.to_string().as_bytes())
        })
    }

    /// The type of a value, and a key.
    fn key(self, kind: u8) -> Self {
        self.raw(&[kind]).string(format!("key{kind}").as_bytes())
    }

    fn checked(self) -> Vec<u8> {
        let file = self.raw(&[255]);
        let checksum = CHECKSUM.checksum(&file.0).to_le_bytes();
        file.raw(&checksum).0
    }
}

fn everything() -> Vec<u8> {
    everything_with(20_000)
}

/// With one string of this length.
fn everything_with(length: usize) -> Vec<u8> {
    let compact = [0, 9, 10, 11, 12, 13, 16, 17, 20];
    let mut file = File::new(12)
        .raw(&[250])
        .string(b"redis-ver")
        .string(b"7.0.15")
        .raw(&[250])
        .string(b"ctime")
        .raw(&[0xc2, 1, 2, 3, 4])
        .raw(&[245])
        .string(b"#!lua name=x")
        .raw(&[254])
        .length(0)
        .raw(&[251])
        .length(27)
        .length(3)
        .raw(&[244, 1, 2, 3]);
    for kind in compact {
        file = file.key(kind).string(&[0xff; 100]);
    }
    file = file
        .key(0)
        .raw(&[0xc0, 1])
        .key(0)
        .raw(&[0xc1, 1, 2])
        .key(0)
        .raw(&[0xc3])
        .length(5)
        .length(900)
        .raw(b"packe");
    file = file.key(0).string(&vec![7; length]);
    file = file
        .key(0)
        .raw(&[0x81])
        .raw(&3u64.to_be_bytes())
        .raw(b"abc");
    for kind in [1, 2, 14] {
        file = file.key(kind).length(3).strings(3);
    }
    file = file.key(3).length(4);
    file = file.strings(1).raw(&[253]).strings(1).raw(&[254]);
    file = file.strings(1).raw(&[255]).strings(1).raw(b"\x031.5");
    file = file.key(4).length(2).strings(4);
    file = file.key(5).length(2).strings(1).raw(&[1; 8]);
    file = file.strings(1).raw(&[2; 8]);
    file = file
        .key(18)
        .length(2)
        .raw(&[1])
        .strings(1)
        .raw(&[2])
        .strings(1);
    file = file.key(24).raw(&[9; 8]).length(1).raw(&[0]).strings(2);
    file = file.key(25).raw(&[9; 8]).string(b"listpack");
    // In another database, with times to live and the like.
    file = file.raw(&[254]).length(15);
    file = file
        .raw(&[253, 1, 2, 3, 4, 248, 5])
        .key(0)
        .string(b"seconds");
    file = file.raw(&[252]).raw(&[1; 8]).raw(&[249, 5]);
    file = file.raw(&[250]).string(b"between").string(b"x");
    file = file.key(0).string(b"milliseconds");
    for (kind, numbers, of_group, times) in [(15, 3, 2, 8), (19, 8, 3, 8), (21, 8, 3, 16)] {
        file = file.key(kind).length(2).strings(4).raw(&vec![1; numbers]);
        file = file
            .length(1)
            .string(b"group")
            .raw(&[0x40, 9].repeat(of_group));
        file = file.length(2).raw(&[3; 24]).raw(&[1]);
        file = file.raw(&[4; 24]).raw(&[0x40, 7]);
        file = file.length(1).string(b"consumer").raw(&vec![7; times]);
        file = file.length(2).raw(&[8; 32]);
    }
    file.checked()
}

fn judge(bytes: &[u8], piece: usize) -> Result<Contents, String> {
    let mut reader = Reader::default();
    bytes.chunks(piece).for_each(|chunk| reader.feed(chunk));
    reader.finish()
}

#[test]
fn everything_that_the_format_knows_is_counted() {
    let contents = judge(&everything(), 4096).unwrap();
    assert_eq!(contents.format, 12);
    assert_eq!(contents.keys, BTreeMap::from([(0, 23), (15, 5)]));
    assert_eq!(contents.mortal, 2);
    assert!(contents.has_checksum);
    let empty = judge(&File::new(10).checked(), 3).unwrap();
    assert!(empty.keys.is_empty() && empty.has_checksum);
}

#[test]
fn a_cut_is_found_at_every_place() {
    let whole = everything();
    for end in 0..whole.len() {
        assert!(judge(&whole[..end], 4096).is_err(), "cut at {end}");
    }
}

#[test]
fn a_flipped_bit_is_found_at_every_place() {
    let mut bytes = everything_with(200);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            assert!(judge(&bytes, 100_000).is_err(), "bit {bit} of byte {at}");
            bytes[at] ^= 1 << bit;
        }
    }
    judge(&bytes, 100_000).unwrap();
}

#[test]
fn what_is_more_is_found() {
    for more in [&b"x"[..], b"\n", &[0; 40], &everything()] {
        let bytes = [&everything()[..], more].concat();
        assert!(judge(&bytes, 777).unwrap_err().contains("after the end"));
    }
}

#[test]
fn a_file_without_a_checksum_is_still_read_to_its_end() {
    let mut bytes = everything();
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    assert!(!judge(&bytes, 50).unwrap().has_checksum);
    for end in 0..bytes.len() {
        assert!(judge(&bytes[..end], 4096).is_err(), "cut at {end}");
    }
    // Before format 5 there is no place for one.
    let old = File::new(4).raw(&[254, 0]).key(0).string(b"x").raw(&[255]);
    assert_eq!(judge(&old.0, 2).unwrap().keys, BTreeMap::from([(0, 1)]));
}

#[test]
fn what_it_is_not_is_told_in_words() {
    let letter = |letter: u8| shape::LETTERS.iter().position(|known| *known == letter);
    let module = "ReJSON-RL"
        .bytes()
        .fold(0, |id, byte| id << 6 | letter(byte).unwrap() as u64);
    let module = module << 10 | 3;
    for (bytes, words) in [
        (vec![], "it is empty"),
        (b"<html>502 Bad Gateway</html>".to_vec(), "not an RDB file"),
        (b"REDIS00x1".to_vec(), "no number"),
        (b"REDIS0013".to_vec(), "format 13 is not known"),
        (b"REDIS0000".to_vec(), "format 0 is not known"),
        (b"VALKEY080".to_vec(), "not an RDB file"),
        (
            File::new(9).key(7).length(module).checked(),
            "module ReJSON-RL",
        ),
        (File::new(9).raw(&[247]).length(module).checked(), "module"),
        (File::new(12).key(22).checked(), "pre-release"),
        (File::new(12).key(99).checked(), "type 99"),
        (File::new(12).key(0).raw(&[0xc4]).checked(), "encoding 4"),
        (File::new(12).key(0).raw(&[0x82]).checked(), "cannot begin"),
        (
            File::new(12).key(0).raw(&[0xc3, 0, 5]).checked(),
            "compressed",
        ),
        (File::new(12).raw(&[252]).raw(&[1; 8]).checked(), "no key"),
        (b"REDIS0010".to_vec(), "breaks off after 9 bytes"),
    ] {
        let fault = judge(&bytes, 5).unwrap_err();
        assert!(fault.contains(words), "{fault}");
    }
}

#[test]
fn a_length_that_is_a_lie_takes_no_memory() {
    for lie in [u64::MAX, 1 << 40] {
        let list = File::new(12).key(1).length(lie).strings(9);
        assert!(judge(&list.0, 64).is_err());
        let string = File::new(12).key(0).length(lie).raw(b"abc");
        assert!(judge(&string.0, 64).is_err());
    }
}

proptest! {
    #[test]
    fn it_is_the_same_however_it_is_split(piece in 1usize..300) {
        let whole = everything();
        prop_assert_eq!(judge(&whole, piece), judge(&whole, whole.len()));
        let cut = &whole[..whole.len() / 2];
        prop_assert_eq!(judge(cut, piece).unwrap_err(), judge(cut, cut.len()).unwrap_err());
    }

    #[test]
    fn whatever_comes_is_judged(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let file = File::new(11).raw(&bytes).0;
        prop_assert!(judge(&file, 7).is_err());
    }
}
