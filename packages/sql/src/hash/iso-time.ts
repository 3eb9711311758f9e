/**
 * Dates and timestamps in the ISO form that PostgreSQL prints, as its internal numbers: days, or microseconds, since 2000-01-01.
 * Everything else (other date styles, `infinity`, `now`, BC, leap seconds, zone names) gives undefined: the engine reads those.
 */

const DATE = /^(\d{4})-(\d{2})-(\d{2})$/
const TIMESTAMP =
  /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6}))?)?)?(Z|[+-]\d{2}(?::?\d{2})?)?$/
const DAY_MS = 86_400_000
const EPOCH_MS = Date.UTC(2000, 0, 1)

/** Days since 2000-01-01 of `YYYY-MM-DD`. */
export function epochDays(text: string): number | undefined {
  const match = DATE.exec(text)
  return match === null ? undefined : daysOf(Number(match[1]), Number(match[2]), Number(match[3]))
}

/** Microseconds since 2000-01-01 (UTC when `zoned`). `precision` is the type's modifier: digits beyond it would be rounded, so the
 * engine gets those. */
export function timestampMicros(
  text: string,
  zoned: boolean,
  precision: string | undefined,
): bigint | undefined {
  const match = TIMESTAMP.exec(text)
  if (match === null) return undefined
  const days = daysOf(Number(match[1]), Number(match[2]), Number(match[3]))
  const [hour, minute, second] = [Number(match[4] ?? 0), Number(match[5] ?? 0), Number(match[6] ?? 0)]
  const fraction = match[7] ?? ''
  const zone = match[8]
  if (days === undefined || hour > 23 || minute > 59 || second > 59) return undefined
  if (precision !== undefined && fraction.length > Number(precision)) return undefined
  if (zoned !== (zone !== undefined)) return undefined
  let seconds = days * 86_400 + hour * 3600 + minute * 60 + second
  if (zone !== undefined && zone !== 'Z') {
    const digits = zone.slice(1).replace(':', '')
    const [zoneHours, zoneMinutes] = [Number(digits.slice(0, 2)), Number(digits.slice(2) || 0)]
    if (zoneHours > 15 || zoneMinutes > 59) return undefined
    seconds -= (zone.startsWith('-') ? -1 : 1) * (zoneHours * 3600 + zoneMinutes * 60)
  }
  return BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0'))
}

function daysOf(year: number, month: number, day: number): number | undefined {
  if (year === 0) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  return Math.round((date.getTime() - EPOCH_MS) / DAY_MS)
}
