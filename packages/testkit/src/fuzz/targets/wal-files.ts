/**
 * A folder of WAL as a crash, a full disk or a stranger may leave it: damaged segments, names that lie, recycled files, histories of nothing. Finding
 * its end and dumping it end soon, with an answer or with `datadir.broken`, and hold no more memory than a segment takes.
 */
import { MirabelleError } from '@mirabelle/messages'
import { dumpWal, findWalEnd, formatHistory, historyFileName, walFileName } from '@mirabelle/wal'
import type { SimRandom } from '../../sim/sim-random.ts'
import { bytes, edgeNumber, text } from '../draw.ts'
import { lateRefusalOf, promise, type FuzzInput, type FuzzTarget } from '../fuzz-target.ts'
import { damaged } from '../mutate.ts'
import { drawPosition, drawWal, SEGMENT } from './draw-wal.ts'
import { memoryDisk } from './memory-disk.ts'

const DIR = 'wal'

export const walFiles: FuzzTarget = {
  name: 'wal-files',
  what: 'folders of WAL segments and history files: where WAL ends, and waldump',
  draw: (random) => folder(random),
  async run(input) {
    const disk = memoryDisk(filesOf(input))
    const allBytes = input.reduce((sum, piece) => sum + piece.length, 0)
    const refused = await lateRefusalOf(async () => {
      const end = await findWalEnd(disk, DIR)
      if (end !== undefined)
        promise(
          end.endLsn >= end.startLsn && end.endLsn <= end.startLsn + allBytes + 8,
          () => `WAL from ${end.startLsn} to ${end.endLsn} in ${allBytes} bytes`,
        )
      let records = 0
      for await (const record of dumpWal({ disk, dir: DIR })) if (record.length > 0) records++
      promise(records * 24 <= allBytes, () => `${records} records in ${allBytes} bytes`)
    }, MirabelleError)
    if (refused !== undefined)
      promise(
        ['datadir.broken', 'wal.removed'].includes(refused.code),
        () => `${refused.code}: ${refused.message}`,
      )
  },
}

/** Pieces are names and contents in turn. */
function folder(random: SimRandom): FuzzInput {
  const position = drawPosition(random)
  const { bytes: stream } = drawWal(random, position)
  const pieces: Uint8Array[] = []
  const put = (name: string, content: Uint8Array): void => void pieces.push(Buffer.from(name), content)
  for (let at = 0; at < stream.length; at += SEGMENT) {
    const lsn = position.lsn + at + (random.chance(0.05) ? SEGMENT : 0)
    const content = stream.subarray(at, at + SEGMENT)
    const padded = random.chance(0.8)
      ? Buffer.concat([content, Buffer.alloc(SEGMENT - content.length)])
      : content
    put(walFileName(position.timeline, lsn, SEGMENT), random.chance(0.3) ? damaged(random, padded) : padded)
  }
  const [, first] = pieces
  if (random.chance(0.3) && first !== undefined) {
    const lying = Buffer.from(first)
    if (lying.length >= 40) lying.writeUInt32LE(Math.abs(edgeNumber(random)) % 2 ** 32, 32) // its segment size
    put(walFileName(position.timeline, random.below(9) * SEGMENT, SEGMENT), lying)
  }
  if (random.chance(0.5)) {
    const history = Array.from({ length: random.below(3) }, (_, index) => ({
      timeline: index + 1,
      end: Math.max(0, position.lsn + random.below(40_000) - 20_000),
    }))
    const file = Buffer.from(formatHistory(history))
    put(historyFileName(position.timeline), random.chance(0.4) ? damaged(random, file) : file)
  }
  if (random.chance(0.2)) put(text(random).replaceAll('/', '_'), bytes(random, random.below(60)))
  return pieces
}

function filesOf(input: FuzzInput): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (let at = 0; at + 1 < input.length; at += 2)
    files.set(
      `${DIR}/${Buffer.from(input[at] as Uint8Array).toString('latin1')}`,
      input[at + 1] as Uint8Array,
    )
  return files
}
