/**
 * Log sequence numbers (byte positions in WAL) and timelines, as PostgreSQL has them.
 *
 * An LSN is a plain number: 2^53 bytes of WAL are nine petabytes, and numbers are cheaper than bigints on every hot path.
 */

/** A byte position in the write-ahead log. 0 means "none" (PostgreSQL's InvalidXLogRecPtr). */
export type Lsn = number

/** A PostgreSQL timeline id, 1 and up. */
export type Timeline = number

/** "No position yet", PostgreSQL's 0/0. */
export const INVALID_LSN: Lsn = 0

const HIGH = 2 ** 32

/** Formats an LSN as PostgreSQL does: two hexadecimal halves, `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${Math.floor(lsn / HIGH)
    .toString(16)
    .toUpperCase()}/${(lsn % HIGH).toString(16).toUpperCase()}`
}

/** Parses `16/B374D848`. Throws a RangeError that shows the text when it is not an LSN. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text)
  if (match === null)
    throw new RangeError(
      `not an LSN: ${JSON.stringify(text.slice(0, 40))} (expected two hexadecimal halves like 0/16B3740)`,
    )
  const lsn = Number.parseInt(match[1] as string, 16) * HIGH + Number.parseInt(match[2] as string, 16)
  if (!Number.isSafeInteger(lsn))
    throw new RangeError(`LSN ${text} is beyond the largest position that is supported (1FFFFF/FFFFFFFF)`)
  return lsn
}

/** True for a whole, non-negative number that can be an LSN. */
export function isLsn(value: unknown): value is Lsn {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
