/**
 * Reads the key columns of one row of COPY data, decoded as PostgreSQL would: backslash escapes of the text format, quotes of CSV, NULL.
 */
import { contentOfText, type KeyValue } from '../hash/distribution-hash.ts'
import { hashTypeOf } from '../hash/hash-type.ts'
import type { CopyInPlan } from '../plan.ts'
import { decodeCsvField, decodeTextField } from './copy-decode.ts'

const BACKSLASH = 92

export class CopyFieldReader {
  readonly #plan: CopyInPlan
  readonly #csv: boolean
  readonly #delimiter: number
  readonly #quote: number
  readonly #escape: number
  readonly #lastField: number
  readonly #single: { readonly field: number; readonly type: string } | undefined
  /** Ends of the fields of the current row, up to the last one needed. */
  readonly #ends: number[] = []

  constructor(plan: CopyInPlan) {
    const { options, keyFields, keyTypes, columns } = plan
    this.#plan = plan
    this.#csv = options.format === 'csv'
    this.#delimiter = options.delimiter.charCodeAt(0)
    this.#quote = options.quote.charCodeAt(0)
    this.#escape = options.escape.charCodeAt(0)
    this.#lastField = Math.max(-1, ...keyFields)
    const name = columns[keyFields[0] ?? -1]
    const plain = name !== undefined && options.forceNull.length === 0 && options.forceNotNull.length === 0
    const type = keyTypes[0] ?? ''
    this.#single =
      keyFields.length === 1 && plain && hashTypeOf(type)?.family === 'int'
        ? { field: keyFields[0] as number, type }
        : undefined
  }

  /** The content of a row whose key is one integer written plainly, else -1: the common case, without a string for every field. */
  quickContent(bytes: Uint8Array, start: number, end: number, segmentCount: number): number {
    const single = this.#single
    if (single === undefined) return -1
    let at = start
    for (let field = 0; field < single.field; field++) {
      for (;;) {
        if (at >= end) return -1
        const c = bytes[at++] as number
        if (c === this.#delimiter) break
        if (this.#csv ? c === this.#quote : c === BACKSLASH) return -1
      }
    }
    let text = ''
    for (; at < end; at++) {
      const c = bytes[at] as number
      if (c === this.#delimiter) break
      if ((c < 48 || c > 57) && c !== 45) return -1
      text += String.fromCharCode(c)
    }
    return text === '' || text === this.#plan.options.null
      ? -1
      : contentOfText(text, single.type, segmentCount)
  }

  /** The key values, or undefined when the row has too few fields. */
  key(bytes: Uint8Array, start: number, end: number): KeyValue[] | undefined {
    if (!this.#scan(bytes, start, end, this.#lastField)) return undefined
    return this.#plan.keyFields.map((field, i) => ({
      value:
        field < 0
          ? null
          : this.#decode(
              bytes,
              field === 0 ? start : (this.#ends[field - 1] as number) + 1,
              this.#ends[field] as number,
              field,
            ),
      format: 0,
      type: this.#plan.keyTypes[i] as string,
    }))
  }

  /** All fields, for the header. */
  all(bytes: Uint8Array, start: number, end: number): string[] {
    this.#scan(bytes, start, end, Number.MAX_SAFE_INTEGER)
    return this.#ends.map(
      (to, field) =>
        this.#decode(bytes, field === 0 ? start : (this.#ends[field - 1] as number) + 1, to, field) ?? '',
    )
  }

  /** Fills #ends with the ends of fields 0 … last; false when there are fewer. */
  #scan(bytes: Uint8Array, start: number, end: number, last: number): boolean {
    this.#ends.length = 0
    if (last < 0) return true
    let quoted = false
    for (let at = start; at < end; at++) {
      const c = bytes[at]
      if (this.#csv) {
        if (
          quoted &&
          c === this.#escape &&
          this.#escape !== this.#quote &&
          (bytes[at + 1] === this.#quote || bytes[at + 1] === this.#escape)
        )
          at++
        else if (c === this.#quote) quoted = !quoted
        else if (c === this.#delimiter && !quoted) this.#ends.push(at)
      } else if (c === BACKSLASH) at++
      else if (c === this.#delimiter) this.#ends.push(at)
      if (this.#ends.length > last) return true
    }
    this.#ends.push(end)
    return this.#ends.length > last
  }

  #decode(bytes: Uint8Array, start: number, end: number, field: number): string | null {
    const raw = bytes.subarray(start, end)
    const { options, columns } = this.#plan
    if (!this.#csv) return decodeTextField(raw, options.null)
    const name = columns[field] ?? ''
    return decodeCsvField(raw, {
      quote: this.#quote,
      escape: this.#escape,
      null: options.null,
      forceNull: options.forceNull[0] === '*' || options.forceNull.includes(name),
      forceNotNull: options.forceNotNull[0] === '*' || options.forceNotNull.includes(name),
    })
  }
}
