/**
 * Finds where a row of COPY data ends, by the rules of PostgreSQL's CopyReadLineText. The kind of line end (\n, \r\n, \r) is that of the
 * first line.
 */
import type { CopyOptions } from '../plan.ts'

const LF = 10
const CR = 13
const BACKSLASH = 92
const DOT = 46

export class CopyLineFinder {
  readonly #csv: boolean
  readonly #quote: number
  /** 0 when it is the quote itself. */
  readonly #escape: number
  #eol: 'unknown' | 'lf' | 'crlf' | 'cr' = 'unknown'

  constructor(options: CopyOptions) {
    this.#csv = options.format === 'csv'
    this.#quote = options.quote.charCodeAt(0)
    this.#escape = options.escape === options.quote ? 0 : options.escape.charCodeAt(0)
  }

  /** Index behind the row that starts at `start`, line end included; -1 when it is not all there. `last`: no more bytes come. */
  find(bytes: Uint8Array, start: number, last: boolean): number {
    if (this.#eol === 'unknown' && !this.#detect(bytes, start, last)) return last ? bytes.length : -1
    const mark = this.#eol === 'cr' ? CR : LF
    const end = this.#csv ? this.#findCsv(bytes, start, mark) : this.#findText(bytes, start, mark)
    return end < 0 && last ? bytes.length : end
  }

  /** `\.` alone on a line ends text data. */
  isEndMarker(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#csv || bytes[start] !== BACKSLASH || bytes[start + 1] !== DOT) return false
    return this.contentEnd(bytes, start, end) === start + 2
  }

  /** End of the row without its line end. */
  contentEnd(bytes: Uint8Array, start: number, end: number): number {
    if (this.#eol === 'unknown') return end
    if (this.#eol === 'cr') return end > start && bytes[end - 1] === CR ? end - 1 : end
    let at = end
    if (at > start && bytes[at - 1] === LF) at--
    if (this.#eol === 'crlf' && at > start && bytes[at - 1] === CR) at--
    return at
  }

  /** Learns the line end from the first one; false when none is in sight yet. */
  #detect(bytes: Uint8Array, start: number, last: boolean): boolean {
    let quoted = false
    for (let i = start; i < bytes.length; i++) {
      const c = bytes[i] as number
      if (!this.#csv && c === BACKSLASH) i++
      else if (this.#csv && quoted && this.#escape !== 0 && c === this.#escape) i++
      else if (this.#csv && c === this.#quote) quoted = !quoted
      else if (quoted) continue
      else if (c === LF) return this.#learn('lf')
      else if (c === CR) {
        if (i + 1 === bytes.length && !last) return false
        return this.#learn(bytes[i + 1] === LF ? 'crlf' : 'cr')
      }
    }
    return false
  }

  #learn(eol: 'lf' | 'crlf' | 'cr'): true {
    this.#eol = eol
    return true
  }

  #findText(bytes: Uint8Array, start: number, mark: number): number {
    let at = start
    for (;;) {
      const found = bytes.indexOf(mark, at)
      if (found < 0) return -1
      // A line end behind an odd number of backslashes is data.
      let slashes = 0
      for (let i = found - 1; i >= start && bytes[i] === BACKSLASH; i--) slashes++
      if (slashes % 2 === 0) return found + 1
      at = found + 1
    }
  }

  #findCsv(bytes: Uint8Array, start: number, mark: number): number {
    let at = start
    for (;;) {
      const found = bytes.indexOf(mark, at)
      if (found < 0) return -1
      const quoteEnd = this.#quotedAt(bytes, start, at, found)
      if (quoteEnd === found) return found + 1
      if (quoteEnd < 0) return -1
      at = quoteEnd
    }
  }

  /** `found` when it is outside quotes; else where the quotes around it end; -1 when they do not end here. Rescans from the row's start
   * only up to the first quote. */
  #quotedAt(bytes: Uint8Array, start: number, from: number, found: number): number {
    let at = from
    if (from === start) {
      const first = bytes.indexOf(this.#quote, from)
      if (first < 0 || first > found) return found
      at = first
    }
    let quoted = false
    for (; at < bytes.length; at++) {
      const c = bytes[at]
      if (quoted && this.#escape !== 0 && c === this.#escape) {
        if (bytes[at + 1] === this.#quote || bytes[at + 1] === this.#escape) at++
      } else if (c === this.#quote) {
        quoted = !quoted
        if (!quoted && at > found) return at + 1
      }
      if (!quoted && at >= found) return found
    }
    return -1
  }
}
