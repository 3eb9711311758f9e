import t from 'tap'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Connection } from '@mirabelle/runtime'
import { CHECK, divergedPair, promote } from './support/copy-kit.ts'
import {
  caughtUp,
  clusterFolder,
  contentOf,
  realPorts,
  startInstance,
  unlessEnded,
  watchingCopies,
  watchRequests,
} from './support/real-pair.ts'

t.setTimeout(300_000)

t.test(
  'a killed primary whose WAL goes beyond the fork comes back by itself, with only what differs sent',
  async (t) => {
    const { base, remove } = await clusterFolder([2, 3])
    t.teardown(remove)
    const { successor, lost } = await divergedPair(base, 20_000)
    t.teardown(() => successor.actor.stop('immediate'))
    t.ok(existsSync(join(base, 'dbid2', 'pgdata', lost)))

    const back = startInstance(base, 2, 'm', { dbid: 3, port: successor.actor.port })
    t.teardown(() => back.actor.stop('immediate'))
    await unlessEnded(back, back.started)
    await unlessEnded(back, caughtUp(successor, back))
    t.equal(back.actor.timeline, 2)
    t.notOk(existsSync(join(back.datadir, 'pgdata', lost)), 'a table that was never told is gone')

    const kept = await readdir(join(back.datadir, 'diverged'))
    t.equal(kept.length, 1, 'diverged WAL is kept')
    t.match(kept[0], /^1-0_[0-9A-F]+$/, 'under its timeline and end')
    t.ok((await readdir(join(back.datadir, 'diverged', kept[0] as string, 'pg_wal'))).length > 0)

    await successor.sql('INSERT INTO t VALUES (0)')
    await caughtUp(successor, back)
    const expected = await successor.sql(CHECK)
    await successor.actor.stop('immediate')
    await promote(back)
    t.same(await back.sql(CHECK), expected)
    t.same(await back.sql(`SELECT to_regclass('lost')`), [[null]])
    t.equal(back.actor.timeline, 3)
  },
)

t.test('a differential copy sends the blocks that differ, and little else', async (t) => {
  const { base, remove } = await clusterFolder([2, 3])
  t.teardown(remove)
  const { successor } = await divergedPair(base, 20_000)
  t.teardown(() => successor.actor.stop('immediate'))
  const received = countBytes()
  const ports = watchingCopies(realPorts('dbid2'), received.watch)
  const back = startInstance(base, 2, 'm', { dbid: 3, port: successor.actor.port }, 'differential', ports)
  t.teardown(() => back.actor.stop('immediate'))
  await back.started
  await unlessEnded(back, caughtUp(successor, back))
  const all = [...(await contentOf(join(successor.datadir, 'pgdata')))].filter(
    ([path]) => !path.startsWith('pg_wal'),
  )
  const total = all.reduce((sum, [, bytes]) => sum + bytes.length, 0)
  t.ok(total > 25_000_000, `${total} bytes in all`)
  // 3,000 new rows (too long for the gaps in old pages) and some hundred changed ones, with their index entries.
  t.ok(received.bytes > 8192 && received.bytes < total / 5, `${received.bytes} bytes were sent`)
})

function countBytes() {
  const counted = {
    bytes: 0,
    watch: (connection: Connection) =>
      watchRequests(connection, {
        after: (reply) => {
          if (reply.type === 'copy.bytes' || reply.type === 'copy.files') counted.bytes += reply.bytes.length
        },
      }),
  }
  return counted
}
