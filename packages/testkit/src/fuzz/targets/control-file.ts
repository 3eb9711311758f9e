/** PostgreSQL's pg_control and backup_label as the runtime reads them: understood, or refused with EngineRefused. */
import { EngineRefused, parseBackupLabel, parseControlFile } from '@mirabelle/engine'
import { isLsn } from '@mirabelle/messages'
import { bytes } from '../draw.ts'
import { promise, refusalOf, type FuzzTarget } from '../fuzz-target.ts'
import { damaged } from '../mutate.ts'

const LABEL = `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-01-01 00:00:00 UTC
LABEL: base
START TIMELINE: 1
`

export const controlFile: FuzzTarget = {
  name: 'control-file',
  what: 'pg_control and backup_label of a data directory',
  draw(random) {
    const control = bytes(random, random.chance(0.9) ? 8192 / 32 : random.below(60))
    if (control.length >= 52) {
      control.writeUInt32LE(1800, 8)
      control.writeUInt32LE(random.below(8), 16)
      control.writeBigUInt64LE(BigInt(random.below(2 ** 30)), 32)
      if (random.chance(0.8)) control.writeBigUInt64LE(BigInt(random.below(2 ** 30)), 40)
      control.writeUInt32LE(random.below(5), 48)
    }
    return [
      random.chance(0.3) ? damaged(random, control) : control,
      random.chance(0.7) ? damaged(random, Buffer.from(LABEL)) : Buffer.from(LABEL),
    ]
  },
  run([control = Buffer.alloc(0), label = Buffer.alloc(0)]) {
    refusalOf(() => {
      const { redo, checkpoint, timeline } = parseControlFile('pg_control', control)
      promise(
        isLsn(redo) && isLsn(checkpoint) && timeline >= 1,
        () => `redo at ${redo}, checkpoint at ${checkpoint}, timeline ${timeline}`,
      )
    }, EngineRefused)
    refusalOf(() => {
      const start = parseBackupLabel('backup_label', Buffer.from(label).toString('utf8'))
      promise(isLsn(start), () => `a backup from ${start} on`)
    }, EngineRefused)
  },
}
