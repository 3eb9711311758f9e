/**
 * Hash of a parameter in PostgreSQL's binary format, for the types that TypeScript can hash. `paramType` is the type the client sent
 * (int8 for an int4 column is usual). Returns false when the engine has to look at it.
 */
import { hashBytes, hashInt64, hashUint32, type Hash64 } from './bytes-hash.ts'
import { hashText } from './hash-text.ts'
import type { HashType } from './hash-type.ts'

export function hashBinary(bytes: Uint8Array, type: HashType, out: Hash64): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = bytes.byteLength
  switch (type.family) {
    case 'int':
      if (length === 2) hashUint32(view.getInt16(0), out)
      else if (length === 4) hashUint32(view.getInt32(0), out)
      else if (length === 8) hashInt64(view.getInt32(0), view.getInt32(4), out)
      else return false
      return true
    case 'text':
    case 'bpchar':
      return hashText(Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('utf8'), type, out)
    case 'bool':
      if (length !== 1) return false
      hashUint32(bytes[0] === 0 ? 0 : 1, out)
      return true
    case 'uuid':
      if (length !== 16) return false
      hashBytes(bytes, 16, out)
      return true
    case 'date':
      if (length !== 4) return false
      hashUint32(view.getInt32(0), out)
      return true
    case 'timestamp':
    case 'timestamptz':
      if (length !== 8 || type.modifier !== undefined) return false
      hashInt64(view.getInt32(0), view.getInt32(4), out)
      return true
    case 'engine':
      return false
  }
}
