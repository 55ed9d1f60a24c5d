/** What encode.ts and decode.ts share: the constants of eight interleaved rANS coders (docs/formats.md 3.3), and the layout of their state. */

/** Frequencies of a table add up to 2^TABLE_BITS. */
export const TABLE_BITS: u32 = 11;
export const SLOTS: u32 = 1 << TABLE_BITS;
/** A lane lies in [LEAST, 2^32). */
export const LEAST: u32 = 1 << 16;
export const LANES: u32 = 8;

/** The bytes of the state: the lanes, then the fields at these offsets, then room for three vectors. */
export const CODER_BYTES: u32 = 112;
export const WORDS: usize = 32;
export const WORDS_END: usize = 36;
/** Where the extra bits begin and end, and how many have been read or written. */
export const EXTRA: usize = 40;
export const EXTRA_END: usize = 44;
export const BITS: usize = 48;
export const ROOM: usize = 64;
