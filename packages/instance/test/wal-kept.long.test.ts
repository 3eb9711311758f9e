import t from 'tap'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Lsn } from '@mirabelle/messages'
import { DEFAULT_SEGMENT_SIZE, parseWalFileName } from '@mirabelle/wal'
import { asMirror, CHECK, fill, promote } from './support/copy-kit.ts'
import {
  caughtUp,
  clusterFolder,
  realPorts,
  startInstance,
  unlessEnded,
  until,
  type Started,
} from './support/real-pair.ts'

t.setTimeout(300_000)

const MIB = 1024 * 1024
const SETTINGS = { max_slot_wal_keep_size: '16MB', max_wal_size: '8MB' }

/** Where the oldest WAL segment of the primary begins. */
async function oldestWal(primary: Started): Promise<Lsn> {
  const names = await readdir(join(primary.datadir, 'pgdata', 'pg_wal'))
  const starts = names.flatMap((name) => parseWalFileName(name, DEFAULT_SEGMENT_SIZE)?.start ?? [])
  return Math.min(...starts)
}

async function writeWal(primary: Started, bytes: number): Promise<void> {
  const end = primary.engine.flushLsn() + bytes
  while (primary.engine.flushLsn() < end) await primary.sql('UPDATE t SET n = n + 1')
  if ((await primary.actor.primary?.checkpoint()) !== true) throw new Error('there was no checkpoint')
}

t.test(
  'a primary keeps WAL for a mirror that is away, up to max_slot_wal_keep_size and no further',
  async (t) => {
    const { base, remove } = await clusterFolder([2, 3])
    t.teardown(remove)
    const ports = realPorts('dbid2')
    const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 }, 'auto', ports, SETTINGS)
    await primary.started
    t.teardown(() => primary.actor.stop('immediate'))
    await fill(primary, 1_000)
    const mirrorWith = async (recovery: 'incremental' | 'auto'): Promise<Started> => {
      const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port), recovery)
      t.teardown(() => mirror.actor.stop('immediate'))
      await mirror.started
      return mirror
    }
    const first = await mirrorWith('incremental')
    await unlessEnded(first, caughtUp(primary, first))
    const { flushLsn } = first.actor.status()
    await first.actor.stop('immediate')

    await writeWal(primary, 6 * MIB)
    t.ok((await oldestWal(primary)) <= flushLsn, 'what the mirror lacks is kept')
    const again = await mirrorWith('incremental')
    await unlessEnded(again, caughtUp(primary, again))
    await writeWal(primary, MIB)
    t.ok((await oldestWal(primary)) > flushLsn, 'and goes when the mirror has it')
    await again.actor.stop('immediate')

    for (let i = 0; i < 3; i++) {
      await writeWal(primary, 14 * MIB)
      const kept = primary.engine.flushLsn() - (await oldestWal(primary))
      // What is written between two checkpoints comes on top.
      t.ok(kept <= (16 + 14 + 2) * MIB, `${kept} bytes of WAL are kept`)
    }

    const late = await mirrorWith('incremental')
    const reason = await until(
      () => late.actor.status(),
      ({ roleState }) => roleState === 'unfit',
      'the mirror learns that WAL was removed',
    )
    t.match(reason.detail, /removed/)
    t.match(reason.detail, /mirabelle recover --differential/, 'and what to do')
    await late.actor.stop('immediate')

    const back = await mirrorWith('auto')
    await unlessEnded(back, caughtUp(primary, back))
    const expected = await primary.sql(CHECK)
    await primary.actor.stop('immediate')
    await promote(back)
    t.same(await back.sql(CHECK), expected, 'a differential copy brings it back')
  },
)
