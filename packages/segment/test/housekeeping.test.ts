import t, { type Test } from 'tap'
import { decodeAnswer } from '@mirabelle/instance'
import { DispatchFlag } from '@mirabelle/messages'
import {
  assignmentOf,
  closeAll,
  control,
  Dispatcher,
  makeFolders,
  startSegment,
  until,
} from './support/cluster-of-one.ts'

/** A primary that waits for no mirror. */
async function startAlone(t: Test) {
  const folders = await makeFolders([2])
  t.teardown(async () => {
    closeAll()
    await folders.remove()
  })
  const { segment } = startSegment({
    ...assignmentOf(folders.base, 2, 'p', { dbid: 3, port: 1 }),
    syncRep: false,
  })
  await segment.start()
  return segment
}

t.test(
  'a primary keeps WAL for its mirror in a slot, checkpoints, and vacuums; never beside a prepared transaction',
  async (t) => {
    const segment = await startAlone(t)
    const { instance } = segment
    const c = await Dispatcher.open(instance.port, 2)
    const read = async (sql: string) => decodeAnswer(sql, (await c.sql(sql)).output)
    const slots = () => read('SELECT slot_name, restart_lsn IS NOT NULL FROM pg_replication_slots')
    await until(slots, (rows) => rows.length === 1, 'the slot is made')
    t.same(await slots(), [['internal_wal_replication_slot', 't']])

    const redo = () => read('SELECT redo_lsn FROM pg_control_checkpoint()')
    const before = await redo()
    await c.sql('CREATE TABLE t (id int PRIMARY KEY)')
    t.equal(await instance.primary?.checkpoint(), true)
    t.notSame(await redo(), before)

    await c.sql(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'g'`)
    const pinned = await redo()
    t.equal(await instance.primary?.checkpoint(), false, 'I6')
    t.same(await redo(), pinned)
    await c.sql(`ROLLBACK PREPARED 'g'`)
    t.equal(await instance.primary?.checkpoint(), true)

    await c.sql('BEGIN')
    await c.sql('INSERT INTO t VALUES (2)')
    const checkpoint = instance.primary?.checkpoint()
    await c.sql('COMMIT')
    t.equal(await checkpoint, true, 'in the gap between two transactions')

    const fts = await control(instance.port, 2)
    const status = await fts.status()
    t.equal(status.roleState, 'primary')
    await segment.stop('smart')
    t.equal(instance.roleState, 'stopped')
  },
)

t.test(
  'what the segment does of its own it does as superuser, whoever the last statement worked for, and then nothing runs in the wrong name',
  async (t) => {
    const segment = await startAlone(t)
    const { instance } = segment
    const first = await Dispatcher.open(instance.port, 2)
    await first.sql('CREATE ROLE alice')
    const { setsSettings, needsSettings } = DispatchFlag
    const become = 'SET SESSION AUTHORIZATION alice; SET search_path = mine, pg_catalog'
    const who = async (c: Dispatcher, flags: number) => {
      const { output } = await c.sql('SELECT current_user', flags)
      return decodeAnswer('', output)[0]?.[0]
    }
    await first.sql('CREATE SCHEMA mine AUTHORIZATION alice')
    await first.sql(become, setsSettings)
    await first.sql('CREATE FUNCTION mine.pg_prepared_xact() RETURNS SETOF int LANGUAGE sql AS $$SELECT 1$$')
    t.equal(await who(first, needsSettings), 'alice')
    t.equal(await instance.primary?.checkpoint(), true, 'alice may do no CHECKPOINT')
    const lacking = await first.sql('SELECT current_user', needsSettings)
    t.match(Buffer.from(lacking.output).toString('latin1'), /CMB001/, 'alice is asked for again')
    t.equal(await who(first, 0), 'postgres')

    await first.sql(become, setsSettings)
    await first.sql('BEGIN')
    await first.sql('SELECT no_such_function()')
    first.connection.close()
    const second = await Dispatcher.open(instance.port, 2, { incarnation: 'c2' })
    t.equal(instance.roleState, 'primary', 'the next coordinator is let in')
    t.equal(await who(second, needsSettings), 'postgres', 'and counts on a fresh backend')
    await segment.stop('smart')
  },
)
