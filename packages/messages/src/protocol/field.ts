/**
 * Fields of messages: a description for the page, a type for the compiler and a check for what comes from outside, in one place.
 */

/** One field of a message. `T` is what a checked value has. */
export interface Field<T> {
  /** The type as the protocol page prints it. */
  readonly type: string
  /** What the field says, with its unit. */
  readonly doc: string
  /** True when a value that came from outside is of this type. */
  readonly check: (value: unknown) => value is T
}

/** The TypeScript type of a field. */
export type TypeOf<F> = F extends Field<infer T> ? T : never

function field<T>(type: string, doc: string, check: (value: unknown) => boolean): Field<T> {
  return { type, doc, check: check as (value: unknown) => value is T }
}

const isUint = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

/** A whole number, 0 and up. */
export const uint = (doc: string): Field<number> => field('uint', doc, isUint)
/** A whole number of either sign. */
export const int = (doc: string): Field<number> => field('int', doc, Number.isSafeInteger)
/** Any finite number. */
export const num = (doc: string): Field<number> => field('number', doc, Number.isFinite)
/** True or false. */
export const bool = (doc: string): Field<boolean> => field('bool', doc, (v) => typeof v === 'boolean')
/** Text of at most 64 KiB. */
export const text = (doc: string): Field<string> =>
  field('text', doc, (v) => typeof v === 'string' && v.length <= 65_536)
/** Bytes, passed through untouched. */
export const bytes = (doc: string): Field<Uint8Array> => field('bytes', doc, (v) => v instanceof Uint8Array)
/** A position in WAL. */
export const lsn = (doc: string): Field<number> => field('lsn', doc, isUint)
/** A timeline id. */
export const timeline = (doc: string): Field<number> =>
  field('timeline', doc, (v) => isUint(v) && (v as number) >= 1)
/** An instance. */
export const dbid = (doc: string): Field<number> =>
  field('dbid', doc, (v) => isUint(v) && (v as number) <= 32_767)
/** A shard, -1 for the coordinator. */
export const content = (doc: string): Field<number> =>
  field('content', doc, (v) => Number.isSafeInteger(v) && (v as number) >= -1)
/** A coordinator's epoch. */
export const epoch = (doc: string): Field<number> => field('epoch', doc, isUint)

/** One of some words. */
export function oneOf<const W extends string>(words: readonly W[], doc: string): Field<W> {
  return field(words.map((word) => `\`${word}\``).join(' or '), doc, (v) => words.includes(v as W))
}
/** A field that may be null ("none"). */
export function nullable<T>(inner: Field<T>): Field<T | null> {
  return field(`${inner.type} or null`, inner.doc, (v) => v === null || inner.check(v))
}
/** A list, with a bound on its length. */
export function list<T>(inner: Field<T>, doc: string, maxLength = 1_000_000): Field<readonly T[]> {
  return field(
    `list of ${inner.type}`,
    doc,
    (v) => Array.isArray(v) && v.length <= maxLength && v.every(inner.check),
  )
}
/** A fixed-length list of different things (compact form for hot paths). */
export function tuple<const F extends readonly Field<unknown>[]>(
  fields: F,
  doc: string,
): Field<{ readonly [I in keyof F]: TypeOf<F[I]> }> {
  const type = `[${fields.map((one) => one.doc).join(', ')}]`
  return field(
    type,
    doc,
    (v) => Array.isArray(v) && v.length === fields.length && fields.every((one, i) => one.check(v[i])),
  )
}
/** An object with named fields. */
export function record<const F extends Record<string, Field<unknown>>>(
  fields: F,
  doc: string,
): Field<{ readonly [K in keyof F]: TypeOf<F[K]> }> {
  const names = Object.keys(fields)
  const type = `{${names.map((name) => `${name}: ${(fields[name] as Field<unknown>).type}`).join(', ')}}`
  return field(
    type,
    doc,
    (v) => isPlainObject(v) && names.every((name) => (fields[name] as Field<unknown>).check(v[name])),
  )
}
/** A free-form object, checked by the one who reads it. */
export const json = <T = unknown>(doc: string): Field<T> =>
  field('json', doc, (v) => v !== undefined && typeof v !== 'function')
