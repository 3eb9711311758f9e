/**
 * One field of COPY data to its value (CopyReadAttributesText and CopyReadAttributesCSV of PostgreSQL).
 */

const BACKSLASH = 92
const SIMPLE: Record<string, number> = { b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 }

export function decodeTextField(raw: Uint8Array, nullText: string): string | null {
  const text = utf8(raw)
  // NULL is compared before escapes are taken away: a backslash-N of data is written \\N.
  if (text === nullText) return null
  if (!raw.includes(BACKSLASH)) return text
  const out: number[] = []
  for (let i = 0; i < raw.length; i++) {
    const c = raw[i] as number
    if (c !== BACKSLASH || i + 1 === raw.length) {
      out.push(c)
      continue
    }
    const next = String.fromCharCode(raw[++i] as number)
    const simple = SIMPLE[next]
    if (simple !== undefined) out.push(simple)
    else if (/[0-7]/.test(next)) i = number(raw, i, /[0-7]/, 3, 8, out)
    else if (
      next === 'x' &&
      i + 1 < raw.length &&
      /[0-9a-fA-F]/.test(String.fromCharCode(raw[i + 1] as number))
    ) {
      i = number(raw, i + 1, /[0-9a-fA-F]/, 2, 16, out)
    } else out.push(raw[i] as number)
  }
  return utf8(Uint8Array.from(out))
}

/** Reads up to `most` digits from `at`; returns the index of the last one. */
function number(
  raw: Uint8Array,
  at: number,
  digits: RegExp,
  most: number,
  base: number,
  out: number[],
): number {
  let text = ''
  while (text.length < most && at < raw.length && digits.test(String.fromCharCode(raw[at] as number))) {
    text += String.fromCharCode(raw[at++] as number)
  }
  out.push(Number.parseInt(text, base) & 0xff)
  return at - 1
}

export interface CsvDecoding {
  readonly quote: number
  readonly escape: number
  readonly null: string
  readonly forceNull: boolean
  readonly forceNotNull: boolean
}

export function decodeCsvField(raw: Uint8Array, options: CsvDecoding): string | null {
  const { quote, escape } = options
  let text = ''
  let sawQuote = false
  if (!raw.includes(quote)) text = utf8(raw)
  else {
    sawQuote = true
    const out: number[] = []
    let quoted = false
    for (let i = 0; i < raw.length; i++) {
      const c = raw[i] as number
      const next = raw[i + 1]
      if (quoted && c === escape && (next === escape || next === quote)) out.push(raw[++i] as number)
      else if (c === quote) quoted = !quoted
      else out.push(c)
    }
    text = utf8(Uint8Array.from(out))
  }
  if (text !== options.null) return text
  if (sawQuote) return options.forceNull ? null : text
  return options.forceNotNull ? text : null
}

function utf8(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
