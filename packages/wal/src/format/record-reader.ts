/** Reads the records out of WAL bytes, with their content: for waldump, tests and the stand-in engine of the simulation. */
import type { Lsn } from '@mirabelle/messages'
import * as c from './constants.ts'
import { readU32 } from './little-endian.ts'
import { WalValidator } from './wal-validator.ts'
import type { WalProblem, WalRecord, WalValidatorOptions } from './wal-record.ts'

/** Records and where they ended. */
export interface WalRecords {
  readonly records: readonly WalRecord[]
  readonly validEnd: Lsn
  /** undefined when the bytes ended at or within a record without fault. */
  readonly problem: WalProblem | undefined
}

/** All whole records in `bytes`, each with its bytes. A record with a bad CRC is the last one and has `crcOk` false. */
export function readWalRecords(
  bytes: Uint8Array,
  options: Omit<WalValidatorOptions, 'collect' | 'onRecord'>,
): WalRecords {
  const records: WalRecord[] = []
  const validator = new WalValidator({
    ...options,
    collect: true,
    onRecord: (record) => records.push(record),
  })
  validator.push(bytes)
  return { records, validEnd: validator.validEnd, problem: validator.problem }
}

/**
 * The main data of a record that refers to no blocks (transactions, checkpoints, what `encodeWalRecords` makes).
 * undefined when the record has block references: those are parsed by nobody here.
 */
export function mainData(record: WalRecord): Uint8Array | undefined {
  const { bytes } = record
  if (bytes === undefined || bytes.length === c.RECORD_HEADER) return bytes?.subarray(c.RECORD_HEADER)
  let at = c.RECORD_HEADER
  for (;;) {
    const id = bytes[at]
    if (id === c.XLR_BLOCK_ID_DATA_SHORT) return sized(bytes, at + 2, bytes[at + 1] as number)
    if (id === c.XLR_BLOCK_ID_DATA_LONG) return sized(bytes, at + 5, readU32(bytes, at + 1))
    if (id === c.XLR_BLOCK_ID_ORIGIN) at += 3
    else if (id === c.XLR_BLOCK_ID_TOPLEVEL_XID) at += 5
    else return undefined
  }
}

function sized(bytes: Uint8Array, from: number, length: number): Uint8Array | undefined {
  return from + length === bytes.length ? bytes.subarray(from) : undefined
}
