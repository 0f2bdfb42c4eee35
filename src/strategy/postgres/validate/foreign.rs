//! What a file is that is no dump of ours.

const KNOWN: [(&[u8], &str); 6] = [
    (b"PGDMP", "a dump in custom format (-Fc)"),
    (b"toc.dat", "a dump in tar format (-Ft)"),
    (b"\x1f\x8b", "a gzip file, compressed twice"),
    (b"\x28\xb5\x2f\xfd", "a zstd file, compressed twice"),
    (b"PK\x03\x04", "a zip file"),
    (b"\xef\xbb\xbf", "a file with a byte order mark"),
];

/// By its first bytes, or its first comment.
pub fn what(magic: &[u8], comment: &[u8]) -> String {
    let known = KNOWN.iter().find(|(known, _)| magic.starts_with(known));
    match known {
        Some((_, what)) => format!("it is {what}, not a plain dump by pg_dump"),
        None if comment.ends_with(b"PostgreSQL database cluster dump") => {
            "it is a dump of a whole server by pg_dumpall".to_owned()
        }
        None => "it does not begin like a plain dump by pg_dump".to_owned(),
    }
}
