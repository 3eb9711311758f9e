import t from 'tap'
import { decodeAnswer } from '@mirabelle/instance'
import {
  assignmentOf,
  closeAll,
  control,
  Dispatcher,
  makeFolders,
  startSegment,
  until,
} from './support/cluster-of-one.ts'

t.test(
  'a mirrored content of real engines: both copies before the answer, promotion, prepared transactions',
  async (t) => {
    const folders = await makeFolders([2, 3])
    t.teardown(async () => {
      closeAll()
      await folders.remove()
    })
    const primary = startSegment(assignmentOf(folders.base, 2, 'p', { dbid: 3, port: 1 }))
    await primary.segment.start()
    const p = primary.segment.instance
    const mirror = startSegment(assignmentOf(folders.base, 3, 'm', { dbid: 2, port: p.port }))
    await mirror.segment.start()
    const m = mirror.segment.instance
    t.equal(p.roleState, 'primary')
    t.equal(m.roleState, 'mirror')

    const ftsP = await control(p.port, 2)
    const probed = await until(ftsP.probe, (answer) => answer.isInSync, 'the pair gets in sync')
    t.match(probed, { isMirrorUp: true, isSyncRepEnabled: true, isRoleMirror: false, requestRetry: false })

    const ftsM = await control(m.port, 3)
    t.match(await ftsM.probe(), { isRoleMirror: true, isMirrorUp: false, isInSync: false })

    const coordinator = await Dispatcher.open(p.port, 2)
    await coordinator.sql('CREATE TABLE t (id int PRIMARY KEY)')
    for (let id = 1; id <= 20; id++) {
      const answer = await coordinator.sql(`INSERT INTO t VALUES (${id})`)
      t.ok(answer.ok)
      t.ok((p.gate?.localLsn ?? 0) >= answer.lsn, 'durable here')
      t.ok((p.gate?.mirrorLsn ?? 0) >= answer.lsn, 'durable at the mirror')
    }
    await coordinator.sql(`BEGIN; INSERT INTO t VALUES (100); PREPARE TRANSACTION 'g1'`)

    const settledBefore = coordinator.nextSeq - 1
    await primary.segment.stop('immediate')
    t.equal(await primary.ended, undefined)
    await coordinator.closed
    const promoted = await ftsM.promote()
    t.match(promoted, { type: 'fts.probed', roleState: 'promoting' })
    const after = await Dispatcher.open(m.port, 3, { incarnation: 'c1', nextSeq: settledBefore + 1 })
    t.equal(
      m.roleState,
      'primary',
      'a coordinator that came before was let in when the promotion was complete',
    )
    t.equal(m.timeline, 2)
    t.equal((await ftsM.promote()).roleState, 'primary', 'PROMOTE again just answers')

    const known = await after.connection.request(
      { type: 'dispatch.settled', incarnation: 'c1', seqs: [2, settledBefore, settledBefore + 5] },
      5_000,
    )
    t.same(
      known.settled.map(([seq]) => seq),
      [2, settledBefore],
      'what took effect is known by its number',
    )
    const read = async (sql: string) => decodeAnswer(sql, (await after.sql(sql)).output)
    t.same(await read('SELECT count(*) FROM t'), [['20']], 'every acknowledged row is there')
    t.same(await read('SELECT gid FROM pg_prepared_xacts'), [['g1']])
    await after.sql(`COMMIT PREPARED 'g1'`)
    t.same(await read('SELECT max(id) FROM t'), [['100']])

    await t.test('the old primary comes back as a mirror of the new one', async (t) => {
      const again = startSegment(assignmentOf(folders.base, 2, 'm', { dbid: 3, port: m.port }))
      await again.segment.start()
      await m.reassign({
        ...m.assignment,
        peer: { dbid: 2, endpoint: { addresses: ['127.0.0.1'], port: 1 } },
      })
      const sync = await until(ftsM.probe, (answer) => answer.isInSync, 'in sync again')
      t.equal(sync.isSyncRepEnabled, true)
      t.equal(again.segment.instance.timeline, 2)
      t.ok((await after.sql('INSERT INTO t VALUES (101)')).ok)
      await again.segment.stop('fast')
    })
    await mirror.segment.stop('fast')
    t.equal(await mirror.ended, undefined)
  },
)
