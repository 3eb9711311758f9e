/**
 * A day's worth of WAL in fast motion: 5 GB (`REFRESH_WAL_MB`), with refreshes after each 64 MB. The folders of both and the time of a restart of the
 * mirror stay flat. Takes minutes: `npx tap --timeout=3600 packages/instance/test/refresh.long.test.ts`.
 */
import t from 'tap'
import { join } from 'node:path'
import { asMirror, CHECK, fill, promote } from './support/copy-kit.ts'
import { sizeOf } from './support/folder-size.ts'
import { caughtUp, clusterFolder, realPorts, startInstance, unlessEnded } from './support/real-pair.ts'

t.setTimeout(3_600_000)

const MIB = 1024 * 1024
const TOTAL_BYTES = Number(process.env['REFRESH_WAL_MB'] ?? 5 * 1024) * MIB
const ROUNDS = 5
const SETTINGS = { mirror_base_refresh_size: '64MB', max_wal_size: '64MB' }

t.test('disk and restart stay flat however much WAL has passed', async (t) => {
  const { base, remove } = await clusterFolder([2, 3])
  t.teardown(remove)
  const ports = realPorts('dbid2')
  const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 }, 'auto', ports, SETTINGS)
  await primary.started
  t.teardown(() => primary.actor.stop('immediate'))
  await fill(primary, 20_000)
  const startMirror = async () => {
    const peer = asMirror(primary.actor.port)
    const mirror = startInstance(base, 3, 'm', peer, 'incremental', realPorts('dbid3'), SETTINGS)
    t.teardown(() => mirror.actor.stop('immediate'))
    await mirror.started
    await unlessEnded(mirror, caughtUp(primary, mirror))
    return mirror
  }
  let mirror = await startMirror()
  const sizes: { readonly primary: number; readonly mirror: number; readonly restartMs: number }[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const end = primary.engine.flushLsn() + TOTAL_BYTES / ROUNDS
    for (let at = 0; primary.engine.flushLsn() < end; at++) {
      await primary.sql(`UPDATE t SET n = n + 1 WHERE id % 10 = ${at % 10}`)
      if (at % 50 === 0) await primary.sql('VACUUM t')
      await unlessEnded(mirror, caughtUp(primary, mirror))
    }
    const size = await sizeOf(join(base, 'dbid3'))
    await mirror.actor.stop('immediate')
    const startedAt = performance.now()
    mirror = await startMirror()
    const restartMs = Math.round(performance.now() - startedAt)
    sizes.push({ primary: await sizeOf(join(base, 'dbid2')), mirror: size, restartMs })
    t.comment(JSON.stringify(sizes.at(-1)))
  }
  for (const { primary, mirror } of sizes) {
    // Base, one being made, and twice the WAL (received, and restored by PostgreSQL) of a limit and of the time that a refresh takes.
    t.ok(mirror < 1024 * MIB, `${mirror} bytes of the mirror`)
    t.ok(primary < 512 * MIB, `${primary} bytes of the primary`)
  }
  const [first, last] = [sizes[0], sizes.at(-1)]
  t.ok((last?.mirror ?? 0) < 3 * (first?.mirror ?? 0), 'the mirror has not grown')
  const expected = await primary.sql(CHECK)
  await unlessEnded(mirror, caughtUp(primary, mirror))
  await primary.actor.stop('immediate')
  await promote(mirror)
  t.same(await mirror.sql(CHECK), expected)
})
