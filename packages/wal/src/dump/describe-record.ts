/** One line per WAL record, in pg_waldump's form. */
import type { Lsn } from '@mirabelle/messages'
import type { WalRecord } from '../format/wal-record.ts'
import { blockReferences } from './block-references.ts'
import type { BlockReference } from './block-references.ts'
import { operationName, rmgrName } from './rmgr-names.ts'

/** What waldump prints of a record. */
export interface RecordDescription {
  readonly lsn: Lsn
  readonly rmgr: string
  readonly operation: string
  readonly length: number
  readonly xid: number
  readonly blocks: readonly BlockReference[]
  /** The whole line. */
  readonly line: string
}

/** Describes a record; its blocks when the record was collected with its bytes. */
export function describeRecord(record: WalRecord): RecordDescription {
  const rmgr = rmgrName(record.rmgr)
  const operation = operationName(record.rmgr, record.info)
  const blocks = (record.bytes === undefined ? undefined : blockReferences(record.bytes)) ?? []
  const images = blocks.reduce((sum, block) => sum + block.imageLength, 0)
  const length = `${String(record.length - images).padStart(6)}/${String(record.length).padStart(6)}`
  const line =
    `rmgr: ${rmgr.padEnd(11)} len (rec/tot): ${length}, tx: ${String(record.xid).padStart(10)}, ` +
    `lsn: ${padded(record.lsn)}, prev ${padded(record.prev)}, desc: ${operation}` +
    blocks.map(blockText).join('') +
    (record.crcOk ? '' : ' BAD CRC')
  return { lsn: record.lsn, rmgr, operation, length: record.length, xid: record.xid, blocks, line }
}

function blockText(block: BlockReference): string {
  const fork = block.fork === 'main' ? '' : ` fork ${block.fork}`
  const image = block.imageLength > 0 ? ' FPW' : ''
  return `, blkref #${block.id}: rel ${block.relation}${fork} blk ${block.block}${image}`
}

/** pg_waldump pads the lower half. */
function padded(lsn: Lsn): string {
  const hex = (value: number): string => value.toString(16).toUpperCase()
  return `${hex(Math.floor(lsn / 2 ** 32))}/${hex(lsn % 2 ** 32).padStart(8, '0')}`
}
