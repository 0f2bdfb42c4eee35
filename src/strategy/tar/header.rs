//! One header block of 512 bytes.

pub const BLOCK: usize = 512;

/// As it stands in the block; longer names and sizes may come from blocks before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    /// Bytes stored behind it.
    pub size: u64,
}

pub fn parse(block: &[u8; BLOCK]) -> Result<Header, String> {
    check_sum(block)?;
    let mut name = text(&block[..100]).to_vec();
    // The old form of GNU has other things at the place of the prefix.
    let prefix = text(&block[345..500]);
    if &block[257..263] == b"ustar\0" && !prefix.is_empty() {
        name = [prefix, b"/", &name].concat();
    }
    Ok(Header {
        kind: block[156],
        name,
        link: text(&block[157..257]).to_vec(),
        size: number(&block[124..136]).ok_or("a header has no readable length")?,
    })
}

/// Up to the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The sum of all bytes, its own field taken as blanks; some writers summed them as signed.
fn check_sum(block: &[u8; BLOCK]) -> Result<(), String> {
    let bytes = || {
        let own = 148..156;
        block
            .iter()
            .enumerate()
            .map(move |(at, &byte)| if own.contains(&at) { b' ' } else { byte })
    };
    let unsigned: u64 = bytes().map(u64::from).sum();
    let signed: i64 = bytes().map(|byte| i64::from(byte.cast_signed())).sum();
    let told = number(&block[148..156]);
    if told.is_some_and(|told| told == unsigned || i64::try_from(told) == Ok(signed)) {
        Ok(())
    } else {
        Err("a header is damaged: its checksum is wrong".to_owned())
    }
}

/// Octal digits between blanks and NULs; or, for what does not fit, base 256 behind a first byte of
/// 0x80. `None` for anything else, and for what no file can be long.
pub fn number(field: &[u8]) -> Option<u64> {
    let value = if field[0] & 0x80 == 0 {
        let text = str::from_utf8(field).ok()?;
        let digits = text.trim_matches([' ', '\0']);
        if digits.is_empty() {
            0
        } else {
            u64::from_str_radix(digits, 8)
                .ok()
                .filter(|_| !digits.starts_with('+'))?
        }
    } else {
        let (high, low) = field[1..].split_at(field.len().checked_sub(9)?);
        if field[0] != 0x80 || high.iter().any(|&byte| byte != 0) {
            return None;
        }
        u64::from_be_bytes(low.try_into().ok()?)
    };
    i64::try_from(value).is_ok().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_their_forms() {
        assert_eq!(number(b"00000001750\0"), Some(1000));
        assert_eq!(number(b"   1750 \0\0\0\0"), Some(1000));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x20\0\0\0\0"), Some(1 << 37));
        for wrong in [
            b"0000000175x\0".as_slice(),
            b"-0000000175\0",
            b"+0000000175\0",
            b"00 00000175\0",
            b"\x80\0\0\x01\0\0\0\0\0\0\0\0",
            b"\x80\0\0\0\xff\0\0\0\0\0\0\0",
            b"\x80\0\0\0\0\0\0\x01",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(number(wrong), None, "{wrong:?}");
        }
    }
}
