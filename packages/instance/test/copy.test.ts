import t from 'tap'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { caughtUp, clusterFolder, startInstance, unlessEnded } from './support/real-pair.ts'

t.test('an empty folder becomes a mirror by a full copy, and can be promoted', async (t) => {
  const { base, remove } = await clusterFolder([2], [3])
  t.teardown(remove)
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await primary.sql('CREATE TABLE t (id int PRIMARY KEY, pad text)')
  await primary.sql(`INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 20000) g`)

  const mirror = startInstance(base, 3, 'm', { dbid: 2, port: primary.actor.port })
  t.teardown(() => mirror.actor.stop('immediate'))
  await mirror.started
  t.equal(mirror.actor.roleState, 'copying')
  await unlessEnded(mirror, caughtUp(primary, mirror))
  await primary.sql('INSERT INTO t VALUES (0)')
  await caughtUp(primary, mirror)
  t.notOk((await readdir(mirror.datadir)).includes('diverged'))
  t.same(await primary.sql('SELECT count(*) FROM pg_stat_replication'), [['0']])

  await primary.actor.stop('immediate')
  mirror.actor.requestPromote()
  await primary.ended
  await new Promise<void>((resolve) => {
    const look = (): void => {
      if (mirror.actor.roleState === 'primary') resolve()
      else setTimeout(look, 10)
    }
    look()
  })
  t.same(await mirror.sql('SELECT count(*), min(id), max(id) FROM t'), [['20001', '0', '20000']])
  t.ok(join(base, 'x'))
})
