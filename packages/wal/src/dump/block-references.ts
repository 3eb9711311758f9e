/** The blocks that a record refers to, read from its headers: which relation, which block, whether a page image is in it. */
import * as c from '../format/constants.ts'
import { readU16, readU32 } from '../format/little-endian.ts'

export interface BlockReference {
  readonly id: number
  /** Tablespace, database, relation file number. */
  readonly relation: string
  readonly fork: 'main' | 'fsm' | 'vm' | 'init'
  readonly block: number
  /** Length of the page image in the record, 0 for none. */
  readonly imageLength: number
}

const FORKS = ['main', 'fsm', 'vm', 'init'] as const
const HAS_IMAGE = 0x10
const SAME_RELATION = 0x80
const IMAGE_HAS_HOLE = 0x01
const IMAGE_COMPRESSED = 0x04 | 0x08 | 0x10

/** Block references of a whole record; undefined when its headers make no sense. */
export function blockReferences(record: Uint8Array): BlockReference[] | undefined {
  const blocks: BlockReference[] = []
  let relation = ''
  let at = c.RECORD_HEADER
  let data = 0
  const need = (length: number): boolean => at + length <= record.length
  while (at + data < record.length) {
    const id = record[at] as number
    if (id === c.XLR_BLOCK_ID_DATA_SHORT) return need(2) ? blocks : undefined
    if (id === c.XLR_BLOCK_ID_DATA_LONG) return need(5) ? blocks : undefined
    if (id === c.XLR_BLOCK_ID_ORIGIN) at += 3
    else if (id === c.XLR_BLOCK_ID_TOPLEVEL_XID) at += 5
    else if (id > c.XLR_MAX_BLOCK_ID || !need(4)) return undefined
    else {
      const flags = record[at + 1] as number
      data += readU16(record, at + 2)
      at += 4
      let imageLength = 0
      if ((flags & HAS_IMAGE) !== 0) {
        if (!need(5)) return undefined
        imageLength = readU16(record, at)
        const imageInfo = record[at + 4] as number
        at += 5
        if ((imageInfo & IMAGE_HAS_HOLE) !== 0 && (imageInfo & IMAGE_COMPRESSED) !== 0) at += 2
        data += imageLength
      }
      if ((flags & SAME_RELATION) === 0) {
        if (!need(12)) return undefined
        relation = `${readU32(record, at)}/${readU32(record, at + 4)}/${readU32(record, at + 8)}`
        at += 12
      }
      const fork = FORKS[flags & 0x0f]
      if (!need(4) || fork === undefined || relation === '') return undefined
      blocks.push({ id, relation, fork, block: readU32(record, at), imageLength })
      at += 4
    }
  }
  return at + data === record.length ? blocks : undefined
}
