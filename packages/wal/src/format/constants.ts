/** Numbers of PostgreSQL 18's WAL format (xlog_internal.h, xlogrecord.h). All integers in WAL are little-endian. */

/** Size of a WAL page. */
export const PAGE_SIZE = 8192
/** Size of a WAL segment when nothing else is said: Mirabelle makes its clusters with 1 MiB. */
export const DEFAULT_SEGMENT_SIZE = 1024 * 1024
/** Largest size of a WAL segment. */
export const MAX_SEGMENT_SIZE = 1024 * 1024 * 1024
/** xlp_magic of PostgreSQL 18. */
export const PAGE_MAGIC = 0xd118
/** Page header of every page but the first of a segment. */
export const SHORT_HEADER = 24
/** Page header of the first page of a segment: also system identifier, segment size, page size. */
export const LONG_HEADER = 40
/** The first thing on the page is the rest of a record. */
export const XLP_FIRST_IS_CONTRECORD = 1
export const XLP_LONG_HEADER = 2
/** The rest of the record before this page never came (a crash); another record starts here. */
export const XLP_FIRST_IS_OVERWRITE_CONTRECORD = 8
export const XLP_ALL_FLAGS = 15

/** Size of the fixed part of a record. */
export const RECORD_HEADER = 24
/** Offset of xl_crc in it; the CRC covers what follows the header, then the header up to here. */
export const RECORD_CRC_OFFSET = 20
/** Longest record that PostgreSQL writes. */
export const MAX_RECORD = 1020 * 1024 * 1024
/** Records start at multiples of this. */
export const ALIGNMENT = 8

/** Resource manager XLOG and its record that ends a segment early. */
export const RM_XLOG = 0
export const XLOG_SWITCH = 0x40
/** Largest built-in resource manager, and the first number that extensions may use. */
export const MAX_BUILTIN_RMGR = 21
export const MIN_CUSTOM_RMGR = 128

/** Block id that says: main data follows, length in one byte / in four. */
export const XLR_BLOCK_ID_DATA_SHORT = 255
export const XLR_BLOCK_ID_DATA_LONG = 254
/** Other ids that are not block references. */
export const XLR_BLOCK_ID_ORIGIN = 253
export const XLR_BLOCK_ID_TOPLEVEL_XID = 252
export const XLR_MAX_BLOCK_ID = 32

/** Rounds up to where the next record can start. */
export function align(position: number): number {
  const rest = position % ALIGNMENT
  return rest === 0 ? position : position + ALIGNMENT - rest
}

/** Start of the segment that holds the byte at `lsn`. */
export function segmentStart(lsn: number, segmentSize: number): number {
  return lsn - (lsn % segmentSize)
}
