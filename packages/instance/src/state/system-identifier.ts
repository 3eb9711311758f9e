/** PostgreSQL's system identifier, from the first eight bytes of `global/pg_control`; empty when there is no such file (yet). */
import type { Disk } from '@mirabelle/runtime'
import { pgdataDir } from './layout.ts'

export async function systemIdentifier(disk: Disk, datadir: string): Promise<string> {
  const path = `${pgdataDir(datadir)}/global/pg_control`
  if (!(await disk.exists(path))) return ''
  const bytes = await disk.readFile(path)
  if (bytes.length < 8) return ''
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true).toString()
}
