//! Archives that no tar of ours makes: each is refused before anything is unpacked.

use super::volume;
use crate::workbench::judge;

/// A header block, its checksum right.
fn header(name: &[u8], kind: u8, size: u64, link: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 512];
    block[..name.len()].copy_from_slice(name);
    block[100..108].copy_from_slice(b"0000644\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
    block[136..148].copy_from_slice(b"00000000000\0");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link);
    block[257..265].copy_from_slice(b"ustar\x0000");
    seal(block)
}

fn seal(mut block: Vec<u8>) -> Vec<u8> {
    block[148..156].copy_from_slice(b"        ");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn filled(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    content.resize(content.len().next_multiple_of(512), 0);
    content
}

fn file(name: &str, content: &[u8]) -> Vec<u8> {
    [
        header(name.as_bytes(), b'0', content.len() as u64, b""),
        filled(content),
    ]
    .concat()
}

fn folder(name: &str) -> Vec<u8> {
    header(name.as_bytes(), b'5', 0, b"")
}

fn link(name: &str, kind: u8, to: &str) -> Vec<u8> {
    header(name.as_bytes(), kind, 0, to.as_bytes())
}

fn extended(kind: u8, content: &[u8]) -> Vec<u8> {
    [
        header(b"x", kind, content.len() as u64, b""),
        filled(content),
    ]
    .concat()
}

fn pax(records: &[(&str, &str)]) -> Vec<u8> {
    let line = |(key, value): &(&str, &str)| {
        let rest = format!(" {key}={value}\n");
        let mut length = rest.len();
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        format!("{length}{rest}")
    };
    extended(
        b'x',
        records.iter().map(line).collect::<String>().as_bytes(),
    )
}

fn end() -> Vec<u8> {
    vec![0; 1024]
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), end()].concat()
}

/// In a folder `data`, which is there.
fn in_data(members: &[Vec<u8>]) -> Vec<u8> {
    archive(&[&[folder("data/")], members].concat())
}

fn cases() -> Vec<(&'static str, Vec<u8>)> {
    let good = in_data(&[file("data/a", b"hello")]);
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] ^= byte;
        bad
    };
    let sized = |field: &[u8]| {
        let mut block = header(b"data/a", b'0', 0, b"");
        block[124..124 + field.len()].copy_from_slice(field);
        in_data(&[seal(block)])
    };
    vec![
        ("empty", Vec::new()),
        ("only zeros", end()),
        ("text", b"this is no tar".to_vec()),
        ("512 bytes of text", vec![b'x'; 512]),
        ("no end", [folder("data/"), file("data/a", b"x")].concat()),
        ("half an end", good[..good.len() - 512].to_vec()),
        ("an end of 1023 bytes", good[..good.len() - 1].to_vec()),
        ("cut in a file", good[..1100].to_vec()),
        ("cut in a header", good[..700].to_vec()),
        (
            "something behind the end",
            [good.clone(), file("data/b", b"y")].concat(),
        ),
        ("a byte behind the end", [good.clone(), vec![1]].concat()),
        (
            "a block of zeros between",
            [folder("data/"), vec![0; 512], file("data/a", b"x"), end()].concat(),
        ),
        ("a flipped bit in a name", with(512, 1)),
        ("a flipped bit in a size", with(512 + 130, 1)),
        ("absolute", archive(&[file("/etc/passwd", b"x")])),
        ("absolute folder", archive(&[folder("/")])),
        ("double slash", archive(&[file("//etc/passwd", b"x")])),
        ("up", archive(&[file("../x", b"x")])),
        ("up only", archive(&[folder("..")])),
        ("up from within", in_data(&[file("data/../../x", b"x")])),
        ("up at the end", in_data(&[folder("data/..")])),
        ("up behind a dot", in_data(&[file("data/./../x", b"x")])),
        ("no name", archive(&[file("", b"x")])),
        (
            "a long name of GNU that is absolute",
            archive(&[extended(b'L', b"/etc/passwd\0"), file("x", b"x")]),
        ),
        (
            "a long name of GNU that goes up",
            archive(&[extended(b'L', b"a/../../b\0"), file("x", b"x")]),
        ),
        (
            "an absolute path in PAX",
            archive(&[pax(&[("path", "/etc/passwd")]), file("x", b"x")]),
        ),
        (
            "a path in PAX that goes up",
            archive(&[pax(&[("path", "a/../..")]), file("x", b"x")]),
        ),
        (
            "a NUL in a path of PAX",
            archive(&[pax(&[("path", "a\0b")]), file("x", b"x")]),
        ),
        (
            "a sparse name that goes up",
            archive(&[pax(&[("GNU.sparse.name", "../x")]), file("x", b"x")]),
        ),
        (
            "two paths in PAX",
            archive(&[pax(&[("path", "a"), ("path", "b")]), file("x", b"x")]),
        ),
        (
            "two sizes in PAX",
            archive(&[pax(&[("size", "1"), ("size", "2")]), file("x", b"x")]),
        ),
        (
            "two long names",
            archive(&[
                extended(b'L', b"a\0"),
                extended(b'L', b"b\0"),
                file("x", b"x"),
            ]),
        ),
        (
            "a name of GNU and one of PAX",
            archive(&[
                extended(b'L', b"a\0"),
                pax(&[("path", "b")]),
                file("x", b"x"),
            ]),
        ),
        (
            "a global path",
            archive(&[extended(b'g', b"11 path=ab\n"), file("x", b"x")]),
        ),
        (
            "a global size",
            archive(&[extended(b'g', b"9 size=0\n"), file("x", b"x")]),
        ),
        (
            "a PAX record too long",
            archive(&[extended(b'x', b"99 path=a\n"), file("x", b"x")]),
        ),
        (
            "a PAX record of no length",
            archive(&[extended(b'x', b"0 path=a\n"), file("x", b"x")]),
        ),
        (
            "a PAX record without an end",
            archive(&[extended(b'x', b"9 path=ab"), file("x", b"x")]),
        ),
        (
            "a PAX record without a key",
            archive(&[extended(b'x', b"5 ab\n"), file("x", b"x")]),
        ),
        (
            "a PAX size below zero",
            archive(&[pax(&[("size", "-1")]), file("x", b"x")]),
        ),
        (
            "a PAX size beyond all",
            archive(&[pax(&[("size", "18446744073709551615")]), file("x", b"x")]),
        ),
        ("endless PAX", archive(&[header(b"x", b'x', 1 << 30, b"")])),
        ("a size below zero", sized(b"-0000000001")),
        ("a size that is no number", sized(b"hello world")),
        ("a size in base 256 beyond all", sized(&[0xff; 12])),
        ("headers of nothing", archive(&[pax(&[("path", "a")])])),
        (
            "a character device",
            in_data(&[link("data/null", b'3', "")]),
        ),
        ("a block device", in_data(&[link("data/sda", b'4', "")])),
        ("an unknown kind", in_data(&[link("data/x", b'Z', "")])),
        ("an old sparse file", in_data(&[link("data/x", b'S', "")])),
        ("a volume name", archive(&[link("x", b'V', "")])),
        (
            "a hard link up",
            in_data(&[link("data/x", b'1', "../etc/passwd")]),
        ),
        (
            "an absolute hard link",
            in_data(&[link("data/x", b'1', "/etc/passwd")]),
        ),
        (
            "a hard link to another root",
            in_data(&[link("data/x", b'1', "etc/passwd")]),
        ),
        (
            "a hard link to nowhere",
            in_data(&[link("data/x", b'1', "")]),
        ),
        (
            "a hard link with content",
            in_data(&[header(b"data/x", b'1', 5, b"data/a"), filled(b"hello")]),
        ),
        (
            "a folder with content",
            in_data(&[header(b"data/x/", b'5', 5, b""), filled(b"hello")]),
        ),
        (
            "a link with content",
            in_data(&[header(b"data/x", b'2', 5, b"a"), filled(b"hello")]),
        ),
        (
            "through a link",
            in_data(&[link("data/x", b'2', "/etc"), file("data/x/passwd", b"x")]),
        ),
        (
            "through a link at the root",
            archive(&[link("x", b'2', "/etc"), file("x/passwd", b"x")]),
        ),
        (
            "through a link that took a folder's place",
            in_data(&[
                folder("data/x/"),
                file("data/x/a", b"a"),
                link("data/x", b'2', "/etc"),
                file("data/x/passwd", b"x"),
            ]),
        ),
        (
            "through a file",
            in_data(&[file("data/x", b"x"), file("data/x/y", b"y")]),
        ),
        ("without its folder", in_data(&[file("data/x/y", b"y")])),
        (
            "a root comes again",
            in_data(&[file("other", b"x"), file("data/b", b"y")]),
        ),
        (
            "a root above another",
            archive(&[file("a/b/c", b"x"), folder("a/")]),
        ),
        (
            "the same root twice",
            archive(&[file("a", b"x"), file("a", b"y")]),
        ),
        (
            "too many roots",
            archive(
                &(0..1001)
                    .map(|n| file(&format!("f{n}"), b"x"))
                    .collect::<Vec<_>>(),
            ),
        ),
        (
            "a root that is no text",
            archive(&[[header(b"\xff\xfe", b'0', 0, b"")].concat()]),
        ),
    ]
}

#[test]
fn evil_archives_are_refused() {
    let cases = cases();
    for (name, bytes) in &cases {
        let fault = judge(volume(), bytes).expect_err(name);
        assert!(!fault.is_empty(), "{name}");
        println!("refused: {name}: {fault}");
        // Byte by byte it is the same.
        let mut validator = volume().validator();
        for byte in bytes {
            validator.feed(&[*byte]);
        }
        assert_eq!(validator.finish().unwrap_err(), fault, "{name}");
    }
    println!("figure: volume: {} evil archives, all refused", cases.len());
}

#[test]
fn good_archives_are_counted() {
    let long = "n".repeat(300);
    let good = archive(&[
        folder("./data/"),
        file("data/a", b"hello"),
        link("data/b", b'1', "data/a"),
        link("data/c", b'2', "/etc/passwd"),
        link("data/pipe", b'6', ""),
        folder("data/sub/"),
        pax(&[
            ("path", &format!("data/sub/{long}")),
            ("mtime", "1.5"),
            ("SCHILY.xattr.user.a", "b"),
        ]),
        file("x", b"world"),
        extended(b'L', format!("data/sub/{long}2\0").as_bytes()),
        file("x", &[7; 513]),
        file("data/last", b""),
        extended(b'g', b"13 comment=a\n"),
        file("etc/one.conf", b"1"),
    ]);
    for more in [0, 512, 10240] {
        let print = judge(volume(), &[good.clone(), vec![0; more]].concat()).unwrap();
        assert_eq!(print.unit, "files");
        let counts: Vec<_> = print.counts.into_iter().collect();
        assert_eq!(
            counts,
            [("/data".to_owned(), 7), ("/etc/one.conf".to_owned(), 1)]
        );
    }
    // Every cut is found, wherever it is.
    for length in 0..good.len() {
        assert!(judge(volume(), &good[..length]).is_err(), "{length}");
    }
}
