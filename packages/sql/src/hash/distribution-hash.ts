/**
 * The content of a distribution key. One rule for constants, literals, parameters and COPY fields:
 * one column: its `hash…extended(value, 0)`; several: `hash_combine64` over them from 0, NULLs left out; NULL alone: 0. Then jump hashing.
 * Types that TypeScript cannot hash are handed back as questions for the coordinator's engine.
 */
import type { Hash64 } from './bytes-hash.ts'
import { combineHash, jumpHash } from './combine.ts'
import { hashBinary } from './hash-binary.ts'
import { hashText } from './hash-text.ts'
import { hashTypeOf } from './hash-type.ts'

/** A key value: text (string, or bytes with format 0), binary (bytes with format 1), or NULL. */
export interface KeyValue {
  readonly value: string | Uint8Array | null
  readonly format: 0 | 1
  /** `format_type` name, with modifier where the value will be stored. */
  readonly type: string
  /** Declared type of the parameter when the value is binary. */
  readonly paramType?: string | undefined
}

/** A hash that the coordinator's engine has to compute, under the client's settings (TimeZone, DateStyle): run `sql` with the one
 * parameter $1 (declare it as `paramType` when that is given), read the int8, and put it into `EngineHashes` under `id`. */
export interface EngineHash {
  readonly id: string
  readonly sql: string
  readonly value: string | Uint8Array
  readonly format: 0 | 1
  readonly paramType: string | undefined
}

/** Answers of the engine by `EngineHash.id`. */
export type EngineHashes = ReadonlyMap<string, bigint>

const single: Hash64 = { hi: 0, lo: 0 }
const combined: Hash64 = { hi: 0, lo: 0 }

/** The content of a key, or -1 after adding the missing questions to `missing`. */
export function contentOfKey(
  key: readonly KeyValue[],
  segmentCount: number,
  known: EngineHashes | undefined,
  missing: EngineHash[],
): number {
  combined.hi = combined.lo = 0
  let complete = true
  for (const part of key) {
    if (part.value === null) continue
    if (!hashOne(part, known, missing)) complete = false
    else if (key.length === 1) return jumpHash(single, segmentCount)
    else combineHash(combined, single)
  }
  return complete ? jumpHash(combined, segmentCount) : -1
}

/** Content of a key of one text column (the hot path): -1 when the engine is needed. */
export function contentOfText(text: string, type: string, segmentCount: number): number {
  const hashType = hashTypeOf(type)
  if (hashType === undefined || !hashText(text, hashType, single)) return -1
  return jumpHash(single, segmentCount)
}

/** The 64-bit hash of one value as PostgreSQL prints it (signed), or the question for the engine. */
export function distributionHash(part: KeyValue): bigint | EngineHash {
  const missing: EngineHash[] = []
  if (part.value === null) return 0n
  if (!hashOne(part, undefined, missing)) return missing[0] as EngineHash
  return BigInt.asIntN(64, (BigInt(single.hi) << 32n) | BigInt(single.lo))
}

function hashOne(part: KeyValue, known: EngineHashes | undefined, missing: EngineHash[]): boolean {
  const type = hashTypeOf(part.type)
  if (type === undefined) throw new TypeError(`type ${part.type} cannot be a distribution key`)
  const { value, format } = part
  if (value === null) return false
  if (typeof value === 'string' ? hashText(value, type, single) : hashEncoded(value, format, part, single))
    return true
  const text = typeof value === 'string' ? value : undefined
  const id = `${part.type}|${part.paramType ?? ''}|${format}|${text ?? Buffer.from(value as Uint8Array).toString('latin1')}`
  const answer = known?.get(id)
  if (answer !== undefined) {
    single.hi = Number((answer >> 32n) & 0xffffffffn)
    single.lo = Number(answer & 0xffffffffn)
    return true
  }
  if (!missing.some((question) => question.id === id)) {
    // hashint8extended takes any integer; hashfloat8extended any float: one function a group.
    const sql = `SELECT pg_catalog.${type.hashFunction}($1::${part.type}, 0)`
    missing.push({ id, sql, value, format, paramType: format === 1 ? part.paramType : undefined })
  }
  return false
}

function hashEncoded(value: Uint8Array, format: 0 | 1, part: KeyValue, out: Hash64): boolean {
  const type = hashTypeOf(part.type)
  if (type === undefined) return false
  if (format === 0) {
    return hashText(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8'), type, out)
  }
  const sent = part.paramType === undefined ? type : hashTypeOf(part.paramType)
  if (sent === undefined || sent.family !== type.family) return false
  return hashBinary(value, type, out)
}
