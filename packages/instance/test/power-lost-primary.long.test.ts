// A primary that loses power has less WAL than its mirror, which gets WAL before the primary's own fsync. What it writes in its place must not be taken for common WAL.
import t from 'tap'
import { cp, rm } from 'node:fs/promises'
import { CHECK, fill, asMirror, promote } from './support/copy-kit.ts'
import { caughtUp, clusterFolder, startInstance, unlessEnded } from './support/real-pair.ts'

t.setTimeout(300_000)

t.test(
  'a primary that was started once more without the end of its WAL, after its mirror was promoted with it, comes back by itself',
  async (t) => {
    const { base, remove } = await clusterFolder([2, 3])
    t.teardown(remove)
    const primary = startInstance(base, 2, 'p', { dbid: 3, port: 1 })
    await primary.started
    await fill(primary, 2_000)
    await primary.sql('CHECKPOINT')
    const mirror = startInstance(base, 3, 'm', asMirror(primary.actor.port))
    t.teardown(() => mirror.actor.stop('immediate'))
    await mirror.started
    await caughtUp(primary, mirror)
    // What is on the disk now is what a loss of power will leave.
    await cp(primary.datadir, `${base}/before`, { recursive: true })
    await primary.sql(`INSERT INTO t SELECT g, 7, repeat('l', 20) FROM generate_series(5000001, 5000100) g`)
    await caughtUp(primary, mirror)
    await primary.actor.stop('immediate')
    await rm(primary.datadir, { recursive: true })
    await cp(`${base}/before`, primary.datadir, { recursive: true })
    await promote(mirror)
    const old = startInstance(base, 2, 'p', null)
    await old.started
    await old.actor.stop('immediate')

    const back = startInstance(base, 2, 'm', { dbid: 3, port: mirror.actor.port })
    t.teardown(() => back.actor.stop('immediate'))
    await unlessEnded(back, back.started)
    await unlessEnded(back, caughtUp(mirror, back))
    await mirror.sql('INSERT INTO t VALUES (0)')
    await unlessEnded(back, caughtUp(mirror, back))
    const expected = await mirror.sql(CHECK)
    await mirror.actor.stop('immediate')
    await promote(back)
    t.same(await back.sql(CHECK), expected)
  },
)
