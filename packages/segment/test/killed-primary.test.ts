import { fork, type ChildProcess } from 'node:child_process'
import t from 'tap'
import { decodeAnswer } from '@mirabelle/instance'
import type { Assignment } from '@mirabelle/messages'
import { assignmentOf, closeAll, control, Dispatcher, makeFolders, until } from './support/cluster-of-one.ts'

function startChild(assignment: Assignment): Promise<{ child: ChildProcess; port: number }> {
  return new Promise((resolve, reject) => {
    const script = new URL('./support/segment-main.ts', import.meta.url)
    const child = fork(script, [JSON.stringify(assignment)], { execArgv: ['--import=tsx'] })
    child.once('message', (message) => resolve({ child, port: (message as { port: number }).port }))
    child.once('exit', (status) => reject(new Error(`segment ended with ${status}`)))
  })
}
const gone = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => child.once('exit', () => resolve()))

t.test(
  'kill -9 of a primary under load: every acknowledged row is at the mirror, exactly once',
  async (t) => {
    const folders = await makeFolders([2, 3])
    const children: ChildProcess[] = []
    t.teardown(async () => {
      closeAll()
      for (const child of children) child.kill('SIGKILL')
      await folders.remove()
    })
    const primary = await startChild(assignmentOf(folders.base, 2, 'p', { dbid: 3, port: 1 }))
    const mirror = await startChild(assignmentOf(folders.base, 3, 'm', { dbid: 2, port: primary.port }))
    children.push(primary.child, mirror.child)
    const fts = await control(primary.port, 2)
    await until(fts.probe, (answer) => answer.isInSync, 'in sync')
    const coordinator = await Dispatcher.open(primary.port, 2)
    await coordinator.sql('CREATE TABLE t (id int PRIMARY KEY)')
    await coordinator.sql(`BEGIN; INSERT INTO t VALUES (0); PREPARE TRANSACTION 'pinned'`)

    const seqOf = new Map<number, number>()
    const acked: number[] = []
    const unknown: number[] = []
    let next = 1
    const writer = async (): Promise<void> => {
      for (;;) {
        const id = next++
        const seq = coordinator.nextSeq
        seqOf.set(id, seq)
        try {
          const answer = await coordinator.sql(`INSERT INTO t VALUES (${id})`)
          if (!answer.ok) throw new Error('the insert failed')
          acked.push(id)
        } catch {
          unknown.push(id)
          return
        }
      }
    }
    const writers = Array.from({ length: 16 }, writer)
    await until(
      () => acked.length,
      (count) => count > 500,
      'rows',
    )
    const dead = gone(primary.child)
    primary.child.kill('SIGKILL')
    await dead
    const killedAt = performance.now()
    await Promise.all(writers)
    const ftsM = await control(mirror.port, 3)
    await ftsM.promote()
    await until(ftsM.probe, (answer) => answer.roleState === 'primary', 'promotion')
    const after = await Dispatcher.open(mirror.port, 3, { nextSeq: coordinator.nextSeq })
    t.comment(
      `promoted and open ${Math.round(performance.now() - killedAt)} ms after the kill; ${acked.length} rows acknowledged`,
    )

    const rows = decodeAnswer('', (await after.sql('SELECT id FROM t')).output).map(([id]) => Number(id))
    const there = new Set(rows)
    t.equal(there.size, rows.length, 'none twice')
    t.same(
      acked.filter((id) => !there.has(id)),
      [],
      'none lost',
    )
    t.same(decodeAnswer('', (await after.sql('SELECT gid FROM pg_prepared_xacts')).output), [['pinned']])

    const seqs = unknown.map((id) => seqOf.get(id) as number)
    const known = await after.connection.request({ type: 'dispatch.settled', incarnation: 'c1', seqs }, 5_000)
    const settled = new Set(known.settled.map(([seq]) => seq))
    t.ok(known.floor <= Math.min(...seqs), 'all that was in flight is known')
    for (const id of unknown) {
      t.equal(
        settled.has(seqOf.get(id) as number),
        there.has(id),
        `row ${id}: what the mirror says is what the table has`,
      )
    }

    await t.test(
      'the killed one comes back as a mirror in sync, whether its WAL ends before the fork or beyond it',
      async (t) => {
        t.ok((await after.sql(`COMMIT PREPARED 'pinned'`)).ok)
        const again = await startChild(assignmentOf(folders.base, 2, 'm', { dbid: 3, port: mirror.port }))
        children.push(again.child)
        const sync = await until(ftsM.probe, (answer) => answer.isInSync, 'in sync again')
        t.equal(sync.isSyncRepEnabled, true)
        const fts2 = await control(again.port, 2)
        // In sync is a matter of WAL; PostgreSQL may still be starting to replay it.
        const status = await until(fts2.status, (one) => one.roleState === 'mirror', 'a mirror again')
        t.match(status, { roleState: 'mirror', role: 'm', timeline: 2 })
        t.ok((await after.sql('INSERT INTO t VALUES (-1)')).ok)
      },
    )
  },
)
