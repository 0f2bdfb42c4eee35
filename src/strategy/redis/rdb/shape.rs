//! What the opcodes and value types of an RDB file are made of: enough to know where each ends.

/// A piece of a value.
#[derive(Debug, Clone, Copy)]
pub enum Part {
    Bytes(u64),
    String,
    /// A number in the form of a length.
    Number,
    /// A number as text behind one byte that says how long it is.
    TextNumber,
    /// A length, and that many times the parts.
    Many(&'static [Part]),
    /// The number of the database that the next keys are in.
    Database,
    /// Sizes of a compressed string, packed and unpacked.
    Packed,
    Unpacked {
        packed: u64,
    },
    Module,
    Outdated,
}

use Part::{Bytes, Many, Number, String, TextNumber};

pub const END: u8 = 255;
pub const EXPIRES_AT: u8 = 253;
pub const EXPIRES_AT_MS: u8 = 252;

/// What comes after an opcode; `None` for the type of a value.
pub fn of_opcode(opcode: u8) -> Option<&'static [Part]> {
    Some(match opcode {
        254 => &[Part::Database],
        EXPIRES_AT => &[Bytes(4)],
        EXPIRES_AT_MS => &[Bytes(8)],
        251 => &[Number, Number], // sizes of a database
        250 => &[String, String], // a name and what it says
        249 => &[Bytes(1)],       // how often it is used
        248 => &[Number],         // for how long it was not
        247 => &[Part::Module],
        246 => &[Part::Outdated],
        245 => &[String],                 // a library of functions
        244 => &[Number, Number, Number], // sizes of a slot
        _ => return None,
    })
}

/// What comes after the type of a value: the key, and the value.
pub fn of_type(kind: u8) -> Option<&'static [Part]> {
    Some(match kind {
        // One string holds it all: plain, or one of the compact forms.
        0 | 9..=13 | 16 | 17 | 20 => &[String, String],
        1 | 2 | 14 => &[String, Many(&[String])],
        3 => &[String, Many(&[String, TextNumber])],
        4 => &[String, Many(&[String, String])],
        5 => &[String, Many(&[String, Bytes(8)])],
        6 | 7 => &[String, Part::Module],
        15 => &[String, ENTRIES, Number, Number, Number, Many(GROUP_1)],
        18 => &[String, Many(&[Number, String])],
        19 => &[
            String,
            ENTRIES,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Many(GROUP_2),
        ],
        21 => &[
            String,
            ENTRIES,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Number,
            Many(GROUP_3),
        ],
        22 | 23 => &[String, Part::Outdated],
        24 => &[String, Bytes(8), Many(&[Number, String, String])],
        25 => &[String, Bytes(8), String],
        _ => return None,
    })
}

/// Blocks of a stream's entries.
const ENTRIES: Part = Many(&[String, String]);
/// Entries that were delivered and not acknowledged: id, time, how often.
const PENDING: Part = Many(&[Bytes(16), Bytes(8), Number]);
const OWN_PENDING: Part = Many(&[Bytes(16)]);
/// Consumer groups: name, last id, since format 10 how many were read.
const GROUP_1: &[Part] = &[String, Number, Number, PENDING, CONSUMERS];
const GROUP_2: &[Part] = &[String, Number, Number, Number, PENDING, CONSUMERS];
const GROUP_3: &[Part] = &[String, Number, Number, Number, PENDING, CONSUMERS_3];
const CONSUMERS: Part = Many(&[String, Bytes(8), OWN_PENDING]);
/// With one more time, since format 11.
const CONSUMERS_3: Part = Many(&[String, Bytes(16), OWN_PENDING]);

pub const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The name in a module's id: nine letters of six bits, then ten bits of version.
pub fn module_name(id: u64) -> std::string::String {
    let letter = |place: u32| char::from(LETTERS[(id >> (10 + 6 * place) & 0x3f) as usize]);
    (0..9).rev().map(letter).collect()
}
